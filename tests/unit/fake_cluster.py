"""A cluster that tests can do anything to."""

import asyncio
import itertools
import json
import time
from dataclasses import dataclass, replace

from hpc_gateway.schedulers import Job
from hpc_gateway.transport import SchedulerError

# Seconds between two questions: 5 in a hub.
INTERVAL = 0.02

# Of each server that a test makes.
TOKEN = "5ecret-t0ken"

WORDS = {"pending": "PENDING", "held": "PENDING", "running": "RUNNING", "ended": "COMPLETED"}

HEAD = "\x1eJOBID|USER|STATE|EXEC_HOST|PARTITION|CPUS|START_TIME|REASON|NAME\n"


def squeue(jobs):
    """What Slurm prints of these jobs, as the wrapper hands it on."""
    lines = [HEAD]
    for job in jobs:
        reason = job.reason or ("JobHeldUser" if job.state == "held" else "None")
        word = job.reason if job.state == "ended" and job.reason else WORDS[job.state]
        start = int(job.start) if job.start else "N/A"
        lines.append(
            f"\x1e{job.id}|{job.user}|{word}|{job.host or 'n/a'}|{job.queue}|{job.cores}|{start}"
            f"|{reason}|{job.name}\n"
        )
    return json.dumps({"outputs": ["".join(lines)]})


@dataclass
class Call:
    """One call of the wrapper."""

    at: float
    cluster: str
    verb: str
    request: dict
    user: str | None


class Cluster:
    """Slurm as the hub sees it through its wrapper.

    `answers[verb]` is a list of what the next calls get in place of the usual answer: an exception
    to raise, a text, or a function of the call. The last one stays.
    """

    def __init__(self):
        self.jobs = []
        self.calls = []
        self.answers = {}
        # Users whose jobs only they see.
        self.hidden = set()
        self.delay = 0
        self.ids = itertools.count(101)
        self.log = "first line\nlast line\n"

    async def call(self, cluster, verb, request=None, user=None):
        call = Call(time.monotonic(), cluster, verb, request, user)
        self.calls.append(call)
        await asyncio.sleep(self.delay)
        answers = self.answers.get(verb)
        if answers:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer(call) if callable(answer) else answer
        return getattr(self, f"do_{verb}")(call)

    def do_submit(self, call):
        job = Job(str(next(self.ids)), call.request["name"], call.user, "pending", queue="main")
        self.jobs.append(job)
        return job.id

    def do_cancel(self, call):
        before = len(self.jobs)
        self.jobs = [job for job in self.jobs if job.id != call.request["job_id"]]
        if len(self.jobs) == before:
            raise SchedulerError("scancel: error: Invalid job id specified", 1)
        return ""

    def do_jobs(self, call):
        return squeue(
            [job for job in self.jobs if job.user not in self.hidden or job.user == call.user]
        )

    def do_capacity(self, call):
        return json.dumps({"outputs": ["main|up|1/3/0/4\n"]})

    def do_log(self, call):
        return self.log

    def count(self, verb, **values):
        """How many calls of a verb there were."""
        return len(self.of(verb, **values))

    def of(self, verb, **values):
        wanted = {"verb": verb} | values
        return [
            call for call in self.calls if all(getattr(call, k) == v for k, v in wanted.items())
        ]

    def change(self, job_id, **values):
        self.jobs = [replace(job, **values) if job.id == job_id else job for job in self.jobs]

    def run(self, job_id, host="node1"):
        self.change(job_id, state="running", host=host)

    def forget(self, job_id):
        self.jobs = [job for job in self.jobs if job.id != job_id]

    def end(self, job_id, reason="FAILED"):
        self.change(job_id, state="ended", host="", reason=reason)


DOWN = SchedulerError("squeue: error: Unable to contact slurm controller", 1)


async def until(condition, seconds=3):
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
