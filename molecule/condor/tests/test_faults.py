"""The suite of faults, with HTCondor."""

import importlib
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
faults = importlib.import_module("faults")


class Condor(faults.Scheduler):
    cluster = "condor"
    which = "--newest"
    interval = 2
    refused_words = "(?i)request_cpus|expression|submit"
    views = (
        "condor_q -allusers -long",
        "condor_q -allusers -xml",
        "condor_history -long -limit 20; echo end",
        "ps -ef",
        "ls -lR /var/lib/condor /var/spool",
        "cat /var/log/condor/*",
    )

    def jobs(self):
        listed = self.run(
            "condor_q -allusers -constraint 'JobStatus =!= 3 && JobStatus =!= 4' "
            "-format '%%d ' ClusterId -format '%%s\\n' JobBatchName".replace("%%", "%")
        )
        return [line.split()[0] for line in listed.splitlines() if self.ours(line.split()[-1])]

    # Stopped as a whole, a pool of one machine would end its jobs: its node stops too.

    def stop(self):
        self.run("pkill -STOP condor_schedd")

    def start(self):
        self.run("pkill -CONT condor_schedd")
        self.ready()

    def restart(self):
        """Its master starts it again, and it finds its jobs running."""
        self.run("pkill -KILL condor_schedd")
        self.ready()

    def ready(self):
        for _ in range(60):
            done = self.host.run("condor_q -allusers && condor_status -autoformat Machine")
            if done.rc == 0:
                return
            time.sleep(1)
        raise AssertionError("HTCondor does not come up")

    def release(self, job):
        self.run("condor_release %s", job)

    def requeue(self, job):
        self.run("condor_vacate_job -fast %s", job)

    def cancel(self, job):
        self.run("condor_rm %s", job)

    def forget(self, job):
        # Out of the queue: what leave_in_queue keeps is removed for good.
        self.run("condor_rm -forcex %s || true", job)

    def lose_node(self):
        self.run("condor_off -fast -startd; pkill -KILL condor_starter; pkill -KILL -u ada; true")

    def wait_for_lost_node(self, job):
        time.sleep(20)

    def regain_node(self):
        self.run("condor_on -startd")
        self.ready()


class TestCondor(faults.Faults):
    scheduler_class = Condor
