"""The suite of faults, with Grid Engine."""

import importlib
import re
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
faults = importlib.import_module("faults")


class Gridengine(faults.Scheduler):
    cluster = "gridengine"
    commands = 2
    interval = 2
    refused_words = "(?i)queue"
    views = (
        "qstat -u '*'",
        "qstat -j {job}",
        "qstat -xml -j {job}",
        "ps -ef",
        "find /var/spool/gridengine -type f -readable | xargs cat",
        "find /var/lib/gridengine -type f -readable | xargs cat; echo end",
    )

    def jobs(self):
        listed = self.run("qstat -u '*' -xml")
        found = re.findall(
            r"<JB_job_number>(\d+)</JB_job_number>.*?<JB_name>([^<]+)</JB_name>", listed, re.DOTALL
        )
        return [job for job, name in found if self.ours(name)]

    def stop(self):
        self.run("systemctl stop gridengine-master")

    def start(self):
        self.run("systemctl start gridengine-master")
        for _ in range(60):
            if self.host.run("qstat").rc == 0:
                return
            time.sleep(1)
        raise AssertionError("the master does not come up")

    def release(self, job):
        self.run("qrls %s", job)

    def requeue(self, job):
        self.run("qmod -rj %s", job)

    def cancel(self, job):
        self.run("qdel %s", job)

    def forget(self, job):
        # What it keeps of ended jobs does not outlast the master.
        self.stop()
        self.start()

    def lose_node(self):
        self.run(
            "systemctl kill --signal=KILL gridengine-exec; pkill -KILL sge_shepherd; "
            "pkill -KILL -u ada; true"
        )

    def wait_for_lost_node(self, job):
        time.sleep(30)

    def regain_node(self):
        self.run("systemctl restart gridengine-exec")


class TestGridengine(faults.Faults):
    scheduler_class = Gridengine

    def test_two_people_on_two_schedulers(self, hub, scheduler, server):
        """One hub, Slurm beside Grid Engine, at the same time."""
        hub.start("eve", "slurm")
        assert hub.serves("eve")
        assert hub.serves(self.user)
        assert scheduler.run("squeue --noheader --format=%s", "%u") == "eve"
        assert scheduler.jobs() == [server]
        hub.stop("eve")
        self.lives(hub, scheduler, server)
