"""The suite of faults, with the commands of Torque over a real Slurm."""

import importlib
import json
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
faults = importlib.import_module("faults")
slurm = importlib.import_module("slurm_faults")


class Torque(slurm.Slurm):
    cluster = "torque"
    names = r"j[0-9a-f]{6}-[0-9a-f]{7}"
    refused_words = "(?i)partition|queue"
    # Debian's qstat shows a held job like any that waits.
    held_words = "waits"
    views = ("qstat -f", *slurm.Slurm.views)

    def forget(self, job):
        # Ended jobs stay for five minutes otherwise, and there are no others.
        self.stop()
        self.run("rm -f /var/lib/slurm/slurmctld/job_state*")
        self.start()


class TestTorque(faults.Faults):
    scheduler_class = Torque


@pytest.fixture(scope="module")
def hub(host):
    return faults.Hub(host)


def profile_of(hub, user):
    state = json.loads(hub.api("GET", f"users/{user}")[1])["servers"][""]["state"]
    return state["profile"], state["child_class"]


def test_pbs_spawner_with_a_job_script_of_the_sites_own(host, hub):
    """From submission to the end; the script stands beside the inventory."""
    hub.start("eve", "pbs")
    try:
        assert profile_of(hub, "eve") == ("pbs", "hpc_gateway.spawners.PBSSpawner")
        assert hub.serves("eve")
        (job,) = Torque(host).jobs()
        node, process = Torque(host).process("eve")
        assert "SITE_SCRIPT=own" in node.check_output("tr '\\0' '\\n' </proc/%s/environ", process)
        # Polled meanwhile, at the latest every three seconds.
        time.sleep(8)
        assert Torque(host).jobs() == [job]
        assert hub.serves("eve")
    finally:
        hub.stop("eve")
    Torque(host).settle(0)


def test_dotted_class_as_a_profile(hub):
    """Any class of spawners does; the hub's own bounds hold for it."""
    hub.start("eve", "dotted")
    try:
        assert profile_of(hub, "eve") == (
            "dotted",
            "jupyterhub.spawner.SimpleLocalProcessSpawner",
        )
        assert hub.serves("eve")
    finally:
        hub.stop("eve")
