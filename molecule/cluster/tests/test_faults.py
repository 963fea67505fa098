"""The suite of faults, with Slurm on machines of its own, behind a submit host."""

import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests"))
faults = importlib.import_module("faults")
slurm = importlib.import_module("slurm_faults")

# Machines as such: a dead one answers to nothing else.
DOCKER = ROOT / "molecule/resources/bin/docker"


def machine(name):
    return testinfra.get_host(f"docker://{name}")


class Alpha(slurm.Slurm):
    cluster = "alpha"

    @property
    def nodes(self):
        return [machine(f"cluster-node{number}") for number in (1, 2)]

    def lose_node(self):
        """The node that the job is on: power off."""
        self.lost = self.run("squeue --noheader --format=%s", "%B").split()[0]
        subprocess.run([DOCKER, "kill", self.lost], check=True, capture_output=True)

    def wait_for_lost_node(self, job):
        # It goes on at the other node.
        for _ in range(120):
            where = self.host.run("squeue --noheader --format=%s --jobs=%s", "%T %B", job).stdout
            if where.split() and where.split()[0] == "RUNNING" and where.split()[1] != self.lost:
                return
            time.sleep(1)
        raise AssertionError(f"job {job} does not go on at another node: {where}")

    def regain_node(self):
        subprocess.run([DOCKER, "start", self.lost], check=True, capture_output=True)
        for _ in range(60):
            if "down" not in self.run("sinfo --noheader --format=%s", "%T"):
                return
            time.sleep(1)


class TestCluster(faults.Faults):
    scheduler_class = Alpha

    @pytest.fixture(scope="class")
    @classmethod
    def hub(cls):
        return faults.Hub(machine("cluster-gateway"))

    @pytest.fixture(scope="class")
    @classmethod
    def scheduler(cls):
        return Alpha(machine("cluster-submit"))

    def test_connection_to_the_submit_host_breaks(self, hub, scheduler, server):
        """Like any other silence of the scheduler."""
        moment = hub.since()
        scheduler.run("systemctl stop ssh ssh.socket 2>/dev/null; pkill -KILL sshd; true")
        try:
            time.sleep(15)
            assert hub.serves(self.user)
            assert "no answer about jobs" in hub.said_since(moment)
        finally:
            scheduler.run("systemctl start ssh")
        time.sleep(15)
        self.lives(hub, scheduler, server)

    def test_two_people_on_two_clusters(self, hub, scheduler, server):
        """Two Slurms behind one hub, at the same time; both count their jobs from 1."""
        hub.start("eve", "beta")
        assert hub.serves("eve")
        beta = "env SLURM_CONF=/etc/slurm-beta/slurm.conf squeue --noheader --format=%s"
        assert scheduler.run(beta, "%u %B") == "eve cluster-node3"
        assert scheduler.run("squeue --noheader --format=%s", "%u") == "ada"
        hub.stop("eve")
        self.lives(hub, scheduler, server)

    @pytest.fixture
    def private(self, scheduler):
        """Nobody sees the jobs of others, the hub's account least of all."""
        path = "/etc/slurm/slurm.conf"
        scheduler.run(f"echo PrivateData=jobs >>{path} && scontrol reconfigure")
        yield
        scheduler.run(f"sed -i /^PrivateData/d {path} && scontrol reconfigure")

    def test_cluster_that_hides_jobs(self, hub, scheduler, private):
        """The hub asks as the owner, and loses nothing."""
        moment = hub.since()
        hub.start(self.user, scheduler.profile)
        (job,) = scheduler.jobs()
        assert scheduler.run("runuser -u jupyterhub-main -- squeue --all --noheader") == ""
        # Several polls, and looks for jobs that no server belongs to.
        time.sleep(15)
        self.lives(hub, scheduler, job)
        assert f"hides job {job} from the hub's account" in hub.said_since(moment)
        hub.kill()
        hub.back()
        hub.wait(self.user, "ready")
        time.sleep(15)
        self.lives(hub, scheduler, job)
        scheduler.cancel(job)
        hub.wait(self.user, "gone")
