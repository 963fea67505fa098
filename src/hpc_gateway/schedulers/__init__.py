"""What each scheduler's commands print, as jobs and queues: one module a scheduler, without I/O.

Each module has `parse_jobs(*outputs)`, `parse_capacity(*outputs)`, `explain(job)` and `GONE`. What
a parser does not understand, a cut-off end included, is a ValueError: it says nothing about jobs.
"""

from dataclasses import dataclass
from importlib import import_module

PENDING, HELD, RUNNING, ENDED = "pending", "held", "running", "ended"


@dataclass(frozen=True)
class Job:
    """One job of anybody's, as the scheduler's list shows it."""

    id: str
    name: str
    user: str
    # One of the four above. Suspended and ending jobs run; requeued ones are pending.
    state: str
    # Its first node, while it runs.
    host: str = ""
    queue: str = ""
    # The scheduler's own word on why it waits, is held or has ended.
    reason: str = ""
    cores: int = 0
    # When the scheduler expects it to start, in seconds since 1970, while it waits.
    start: float | None = None


@dataclass(frozen=True)
class Queue:
    """A queue or partition: how large it is, and how much of it is free."""

    name: str
    cores_total: int
    cores_free: int
    # Whether it starts jobs.
    up: bool = True


NAMES = ("slurm", "torque", "pbs", "gridengine", "condor", "lsf", "moab")


def module(scheduler):
    """The module of a scheduler of this name."""
    if scheduler not in NAMES:
        raise ValueError(f"no scheduler {scheduler!r}; the schedulers are {', '.join(NAMES)}")
    return import_module(f"{__name__}.{scheduler}")
