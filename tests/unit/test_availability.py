"""How soon a job would start, in words."""

from types import SimpleNamespace

import pytest

from hpc_gateway.availability import availability
from hpc_gateway.schedulers import HELD, PENDING, RUNNING, Job, Queue

NOW = 1_000_000


def snapshot(*jobs, age=1, **queues):
    """Queues as name=(total, free[, up]); jobs as (state, queue, cores, start)."""
    return SimpleNamespace(
        age=age,
        jobs=[
            Job(str(number), "job", "eve", state, queue=queue, cores=cores, start=start)
            for number, (state, queue, cores, start) in enumerate(jobs)
        ],
        queues={name: Queue(name, *size) for name, size in queues.items()},
    )


def waits(queue="q", cores=1, start=None):
    return PENDING, queue, cores, start


CASES = [
    (None, "q", ("unknown", "not known")),
    (snapshot(q=(10, 3), age=3601), "q", ("unknown", "not known")),
    (snapshot(other=(10, 3)), "q", ("unknown", "not known")),
    # The size of the queue is not known, but who waits there is.
    (snapshot(waits(), o=(9, 9)), "q", ("busy", "1 job waits")),
    (snapshot(), "", None),
    (snapshot(waits("")), "", None),
    (snapshot(a=(10, 3), b=(10, 3)), "", None),
    (snapshot(q=(10, 3)), "", ("free", "starts at once; 3 of 10 cores free")),
    (snapshot(q=(10, 3)), "q", ("free", "starts at once; 3 of 10 cores free")),
    (snapshot(q=(10, 3), o=(1, 1)), "q@host", ("free", "starts at once; 3 of 10 cores free")),
    (snapshot(q=(10, 1)), "q", ("busy", "1 of 10 cores free")),
    (snapshot(q=(1, 0)), "q", ("busy", "0 of 1 core free")),
    (snapshot(q=(10, 3, False)), "q", ("closed", "starts no jobs at present")),
    # The one with the most room, as long as it starts jobs.
    (
        snapshot(a=(10, 1), b=(9, 5), c=(9, 9, False)),
        "a,b,c,d",
        ("free", "starts at once; 5 of 9 cores free"),
    ),
    # Other queues' jobs, and those which do not wait for cores.
    (
        snapshot(waits("o"), (HELD, "q", 1, None), (RUNNING, "q", 1, None), q=(10, 3), o=(1, 0)),
        "q",
        ("free", "starts at once; 3 of 10 cores free"),
    ),
    (snapshot(waits(), q=(10, 3)), "q", ("busy", "1 job waits; 3 of 10 cores free")),
    (snapshot(waits(""), waits("o,q"), q=(9, 0)), "q", ("busy", "2 jobs wait; 0 of 9 cores free")),
    (
        snapshot(waits(start=NOW + 100), waits(start=NOW + 290), q=(9, 0)),
        "q",
        ("busy", "2 jobs wait, about 5 minutes; 0 of 9 cores free"),
    ),
    # A larger job than this one says nothing about it.
    (
        snapshot(waits(start=NOW - 9), waits(cores=64, start=NOW + 90000), q=(9, 0)),
        "q",
        ("busy", "2 jobs wait, about 1 minute; 0 of 9 cores free"),
    ),
    (
        snapshot(waits(start=NOW + 7300), q=(9, 0)),
        "q",
        ("busy", "1 job waits, about 2 hours; 0 of 9 cores free"),
    ),
    (
        snapshot(waits(start=NOW + 3 * 86400), q=(9, 0)),
        "q",
        ("busy", "1 job waits, about 3 days; 0 of 9 cores free"),
    ),
    (
        snapshot(q=(10, 3), age=150),
        "q",
        ("free", "starts at once; 3 of 10 cores free (2 minutes ago)"),
    ),
]


@pytest.mark.parametrize(("known", "queue", "expected"), CASES)
def test_availability(known, queue, expected):
    found = availability(known, queue, 2, now=NOW)
    assert (found and (found.state, found.text)) == expected


def test_free_cores_say_nothing_of_free_gpus():
    assert availability(snapshot(q=(10, 3)), "q", 2, only_cores=False).text == "3 of 10 cores free"


def test_without_a_time_it_is_now():
    assert availability(snapshot(waits(start=1), q=(9, 0)), "q", 2).text.startswith("1 job waits, ")
