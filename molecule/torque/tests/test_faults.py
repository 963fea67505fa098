"""The suite of faults, with the commands of Torque over a real Slurm."""

import importlib
import sys
from pathlib import Path

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
