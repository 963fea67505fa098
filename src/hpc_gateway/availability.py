"""What the scheduler's last answer says about a start now, in words for the spawn form."""

import time
from dataclasses import dataclass

from .fields import count_words, walltime_words
from .schedulers import PENDING

# Seconds from which on an answer's age is told, and from which on it says nothing about now.
AGED, TOO_OLD = 60, 3600


@dataclass(frozen=True)
class Availability:
    """How soon a job would start: `state` is free, busy, closed or unknown."""

    state: str
    text: str


UNKNOWN = Availability("unknown", "not known")


def about(seconds):
    """A duration as one tells an estimate: about 5 minutes, about 2 hours."""
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return count_words(minutes, "minute")
    hours = round(minutes / 60)
    return count_words(hours, "hour") if hours < 48 else count_words(round(hours / 24), "day")


def find_queue(queues, wanted):
    """The queue a job would go to: of several that are named, the one with the most room."""
    names = [name.split("@")[0] for name in wanted.split(",")] if wanted else list(queues)
    found = [queues[name] for name in names if name in queues]
    # Without a name the scheduler chooses, and nobody here knows which.
    if not found or (not wanted and len(found) > 1):
        return None
    return max(found, key=lambda queue: (queue.up, queue.cores_free))


def waiting_jobs(jobs, name):
    """Those that wait for this queue, or for any: some schedulers do not tell before they start."""
    return [
        job
        for job in jobs
        if job.state == PENDING and (not job.queue or name in job.queue.split(","))
    ]


def wait_words(waiting, cores, now):
    """How many wait, and when the last of those like this job is expected to start."""
    text = f"{count_words(len(waiting), 'job')} {'waits' if len(waiting) == 1 else 'wait'}"
    # A large job at the end of the line does not hold a small one.
    starts = [job.start for job in waiting if job.start and job.cores <= cores]
    return f"{text}, about {about(max(starts) - now)}" if starts else text


def availability(snapshot, wanted, cores, only_cores=True, now=None):
    """What to say about a job of so many cores; None where there is nothing sensible to say.

    `only_cores`: the job asks for nothing scarcer, such as GPUs, whose number nobody here knows.
    """
    if snapshot is None or snapshot.age > TOO_OLD:
        return UNKNOWN
    queue = find_queue(snapshot.queues, wanted)
    waiting = waiting_jobs(snapshot.jobs, queue.name if queue else wanted)
    if not queue and not (wanted and waiting):
        return UNKNOWN if wanted else None
    now = time.time() if now is None else now
    free = queue and f"{queue.cores_free} of {count_words(queue.cores_total, 'core')} free"
    if not queue:
        state, parts = "busy", [wait_words(waiting, cores, now)]
    elif not queue.up:
        state, parts = "closed", ["starts no jobs at present"]
    elif waiting:
        state, parts = "busy", [wait_words(waiting, cores, now), free]
    elif cores <= queue.cores_free and only_cores:
        state, parts = "free", ["starts at once", free]
    else:
        state, parts = "busy", [free]
    text = "; ".join(parts)
    if snapshot.age > AGED:
        text += f" ({walltime_words(int(snapshot.age) // 60 * 60)} ago)"
    return Availability(state, text)
