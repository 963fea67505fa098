"""What the suite of faults does to a Slurm."""

import importlib
import time

faults = importlib.import_module("faults")


class Slurm(faults.Scheduler):
    """One node, which is the machine that submits, unless a scenario says otherwise."""

    cluster = "slurm"
    interval = 2
    refused_words = "(?i)partition|feature"
    controller = "slurmctld"
    node = "localhost"
    views = (
        "scontrol show job {job}",
        "squeue --all --Format=ALL",
        "ps -ef",
        "scontrol write batch_script {job} -; echo end",
        "ls -lR /var/lib/slurm /var/spool",
        "cat /var/log/slurm/*",
    )

    def jobs(self):
        names = self.run("squeue --noheader --format='%i %j'")
        return [line.split()[0] for line in names.splitlines() if self.ours(line.split()[1])]

    def stop(self):
        self.run("systemctl stop %s", self.controller)

    def start(self):
        self.run("systemctl start %s", self.controller)

    def release(self, job):
        self.run("scontrol release %s", job)

    def requeue(self, job):
        self.run("scontrol requeue %s", job)
        # Slurm lets a requeued job wait for two minutes; the hub has to see that it waits.
        time.sleep(8)
        self.run("scontrol update jobid=%s starttime=now", job)

    def cancel(self, job):
        self.run("scancel %s", job)

    def forget(self, job):
        # MinJobAge, and the controller looks every so often.
        for _ in range(90):
            if self.host.run("squeue --noheader --states=all --jobs=%s", job).stdout.strip() == "":
                return
            time.sleep(1)
        raise AssertionError(f"job {job} is not forgotten")

    def lose_node(self):
        self.run("systemctl stop slurmd; pkill -KILL slurmstepd; pkill -KILL -u ada; true")

    def wait_for_lost_node(self, job):
        for _ in range(120):
            state = self.host.run("squeue --noheader --format=%s --jobs=%s", "%T", job).stdout
            if state.strip() != "RUNNING":
                return
            time.sleep(1)

    def regain_node(self):
        self.run("systemctl start slurmd")
        for _ in range(30):
            self.host.run("scontrol update nodename=%s state=resume", self.node)
            if "idle" in self.run("sinfo --noheader --format=%s", "%T"):
                return
            time.sleep(1)
