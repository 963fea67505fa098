"""One question for all: how often the schedulers are asked, and what their silence means."""

import asyncio
import itertools
import json
import time

import pytest
from fake_cluster import DOWN, HEAD, INTERVAL, squeue, until

from hpc_gateway import jobs
from hpc_gateway.jobs import JobTables, Snapshot
from hpc_gateway.schedulers import Job, Queue
from hpc_gateway.transport import SchedulerError

JOB = Job("7", "x", "bob", "running", host="node1", queue="main")


@pytest.fixture
def slow(cluster):
    """A table with an interval in which much happens."""
    tables = JobTables.get()
    tables.clusters = {"slurm": {"scheduler": "slurm", "interval": 0.2}}
    tables.tables = {}
    return tables.table("slurm")


def test_what_a_snapshot_tells():
    snapshot = Snapshot(
        time.monotonic() - 10,
        (
            JOB,
            Job("8", "a", "eve", "pending", queue="main"),
            Job("9", "b", "bob", "pending", queue="long"),
            Job("10", "c", "bob", "held", queue="main"),
            Job("11", "d", "bob", "pending", queue="main"),
        ),
    )
    assert 10 <= snapshot.age < 11
    assert snapshot.job("bob", "7", "") == JOB
    assert snapshot.job("eve", "7", "x") is None
    assert snapshot.job("bob", "", "x") == JOB
    assert snapshot.job("bob", "8", "x") is None
    assert snapshot.job("bob", "", "nobody's") is None
    assert snapshot.place(snapshot.jobs[1]) == (1, 2)
    assert snapshot.place(snapshot.jobs[4]) == (2, 2)
    assert snapshot.place(snapshot.jobs[2]) == (1, 1)
    assert snapshot.place(JOB) == (None, 2)


def test_job_of_a_name_that_another_user_took_first():
    forged = Job("6", "x", "eve", "running")
    assert Snapshot(0, (forged, JOB)).job("bob", "", "x") == JOB


def test_of_several_jobs_of_a_name_the_first_counts():
    first = Job("1", "x", "bob", "running")
    assert Snapshot(0, (first, Job("2", "x", "bob", "running"))).job("bob", "", "x") == first


async def test_one_question_for_all(cluster, slow):
    cluster.jobs = [JOB]
    cluster.delay = 0.02
    snapshots = await asyncio.gather(*(slow.fresh() for _ in range(200)))
    assert all(snapshot is snapshots[0] for snapshot in snapshots)
    assert snapshots[0].jobs == (JOB,)
    assert cluster.count("jobs", user=None) == 1
    assert await slow.fresh() is snapshots[0]
    assert cluster.count("jobs") == 1


async def test_at_most_one_question_in_an_interval(cluster, slow):
    """However many ask, however often, and however fresh they want it."""
    end = time.monotonic() + 1

    async def poller(number):
        while time.monotonic() < end:
            await slow.fresh(time.monotonic() if number % 2 else None)
            await asyncio.sleep(0.001 * number)

    await asyncio.gather(*(poller(number) for number in range(200)))
    times = [call.at for call in cluster.of("jobs")]
    assert 2 <= len(times) <= 7
    assert all(later - earlier > 0.19 for earlier, later in itertools.pairwise(times))


async def test_nobody_asks_nothing_is_asked(cluster, slow):
    await slow.fresh()
    await asyncio.sleep(0.3)
    assert cluster.count("jobs") == 1


async def test_errors_are_asked_for_no_more_often(cluster, slow):
    cluster.answers["jobs"] = [DOWN]
    results = await asyncio.gather(*(slow.fresh() for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {SchedulerError}
    with pytest.raises(SchedulerError, match="Unable to contact"):
        await slow.fresh()
    assert cluster.count("jobs") == 1


async def test_answer_is_as_new_as_wanted(cluster, table):
    first = await table.fresh()
    since = time.monotonic()
    second = await table.fresh(since)
    assert first.asked < since <= second.asked
    # An old error does not count either.
    cluster.answers["jobs"] = [DOWN, None]
    with pytest.raises(SchedulerError):
        await table.fresh(time.monotonic())
    assert (await table.fresh(time.monotonic())).asked > second.asked
    assert (await table.fresh(since)).asked > second.asked


async def test_question_under_way_may_be_too_old(cluster, table):
    """One that was asked before does not tell of what has happened since."""
    cluster.delay = 0.05
    early = asyncio.ensure_future(table.fresh())
    await until(lambda: cluster.calls)
    cluster.jobs = [JOB]
    since = time.monotonic()
    late = await table.fresh(since)
    assert late.asked >= since > (await early).asked
    assert cluster.count("jobs") == 2


async def test_one_who_gives_up_does_not_end_the_question(cluster, table):
    cluster.delay = 0.05
    impatient = asyncio.ensure_future(table.fresh())
    patient = asyncio.ensure_future(table.fresh())
    await until(lambda: cluster.calls)
    impatient.cancel()
    assert (await patient).jobs == ()
    assert impatient.cancelled()
    assert cluster.count("jobs") == 1


GARBAGE = [
    "",
    "not JSON",
    "[]",
    "null",
    "{}",
    '{"outputs": null}',
    '{"outputs": []}',
    '{"outputs": [5]}',
    '{"outputs": ["", ""]}',
    '{"outputs": ["no such thing"]}',
    json.dumps({"outputs": [HEAD[:-1]]}),
    squeue([JOB])[:-3],
]


@pytest.mark.parametrize("text", GARBAGE)
async def test_garbage_is_no_answer(cluster, table, text):
    cluster.answers["jobs"] = [None, text]
    cluster.jobs = [JOB]
    before = await table.fresh()
    with pytest.raises(SchedulerError, match="the answer about jobs is not understood"):
        await table.fresh(time.monotonic())
    assert table.snapshot is before
    # Nor of the owner.
    with pytest.raises(SchedulerError, match="the answer about jobs is not understood"):
        await table.as_owner("bob")


@pytest.mark.parametrize("user", [None, "bob"])
async def test_error_which_says_that_there_is_no_job(cluster, user):
    """So does LSF; of whatever else it says nothing is known."""
    JobTables.get().clusters = {"lsf": {"interval": INTERVAL}}
    table = JobTables.get().table("lsf")
    ask = (lambda: table.as_owner(user)) if user else (lambda: table.fresh(time.monotonic()))
    cluster.answers["jobs"] = [SchedulerError("No unfinished job found", 255)]
    assert (await ask()).jobs == ()
    cluster.answers["jobs"] = [SchedulerError("LSF is down. Please wait ...", 255)]
    with pytest.raises(SchedulerError, match="LSF is down"):
        await ask()
    cluster.answers["capacity"] = [SchedulerError("No unfinished job found", 255)]
    with pytest.raises(SchedulerError, match="No unfinished"):
        await table.outputs("capacity")


async def test_slurm_says_no_such_thing(cluster, table):
    cluster.answers["jobs"] = [SchedulerError("No unfinished job found", 255)]
    with pytest.raises(SchedulerError, match="No unfinished"):
        await table.fresh()


async def test_as_owner(cluster, table):
    cluster.jobs = [JOB]
    cluster.hidden = {"bob"}
    assert (await table.fresh()).jobs == ()
    since = time.monotonic()
    snapshot = await table.as_owner("bob")
    assert snapshot.jobs == (JOB,)
    assert snapshot.asked >= since
    # It is the owner's, not everybody's.
    assert table.snapshot.jobs == ()
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError, match="Unable to contact") as refusal:
        await table.as_owner("bob")
    assert refusal.value is DOWN


def log_of(table, caplog):
    """The texts of what it logs, by level."""
    table.log.propagate = True
    caplog.set_level("DEBUG")
    return lambda level: [
        record.getMessage() for record in caplog.records if record.levelname == level
    ]


async def test_silence_is_told_once_and_its_end(cluster, table, caplog):
    messages = log_of(table, caplog)
    JobTables.get().unknown_grace = 0.1
    await table.fresh()
    assert table.silence == 0
    cluster.answers["jobs"] = [DOWN]
    start = time.monotonic()
    while time.monotonic() < start + 0.3:
        with pytest.raises(SchedulerError):
            await table.fresh(time.monotonic())
    assert 0.2 < table.silence < 2
    assert JobTables.get().silent() == {"slurm": pytest.approx(table.silence, abs=0.1)}
    (warning,) = messages("WARNING")
    assert warning.startswith("Cluster slurm: no answer about jobs: squeue: error: Unable")
    (error,) = messages("ERROR")
    assert "has not answered for 0 s: squeue: error: Unable" in error
    cluster.answers.clear()
    await table.fresh(time.monotonic())
    assert table.silence == 0
    assert JobTables.get().silent() == {}
    assert messages("WARNING")[1:] == ["Cluster slurm answers again, after 0 s"]
    assert len(messages("ERROR")) == 1
    # The next outage is told again.
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError):
        await table.fresh(time.monotonic())
    assert len(messages("WARNING")) == 3
    assert len(messages("ERROR")) == 1


async def test_each_long_silence_is_told(cluster, table, caplog):
    messages = log_of(table, caplog)
    JobTables.get().unknown_grace = 0
    for _ in range(2):
        cluster.answers["jobs"] = [DOWN]
        for _ in range(3):
            with pytest.raises(SchedulerError):
                await table.fresh(time.monotonic())
        cluster.answers.clear()
        await table.fresh(time.monotonic())
    assert len(messages("ERROR")) == 2


async def test_short_silence_is_no_matter(cluster, table, caplog):
    messages = log_of(table, caplog)
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError):
        await table.fresh()
    assert not messages("ERROR")
    assert JobTables.get().silent() == {}


async def test_cluster_that_never_answered(cluster, table):
    JobTables.get().unknown_grace = 0
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError):
        await table.fresh()
    assert JobTables.get().silent()
    assert JobTables.get().peek("slurm") is None


# Sizes of queues


async def test_sizes_come_in_the_background(cluster, slow):
    JobTables.get().refresh_soon("slurm")
    await until(lambda: slow.snapshot and slow.snapshot.queues)
    assert slow.snapshot.queues == {"main": Queue("main", 4, 3)}
    # In the place of one question about jobs.
    (first,), (second,) = cluster.of("jobs"), cluster.of("capacity")
    assert abs(first.at - second.at) > 0.19
    assert (second.user, second.cluster) == (None, "slurm")
    # Later answers about jobs keep them.
    cluster.jobs = [JOB]
    snapshot = await slow.fresh(time.monotonic())
    assert (snapshot.jobs, snapshot.queues) == ((JOB,), {"main": Queue("main", 4, 3)})


async def test_sizes_are_asked_for_rarely(cluster, table, monkeypatch):
    for _ in range(20):
        table.refresh_soon()
        await asyncio.sleep(0.01)
    assert cluster.count("capacity") == 1
    assert cluster.count("jobs") > 1
    monkeypatch.setattr(jobs, "CAPACITY_AGE", 0)
    table.refresh_soon()
    await table.capacity
    assert cluster.count("capacity") == 2


async def test_young_answers_are_not_asked_for_again(cluster, slow):
    cluster.jobs = [JOB]
    await slow.fresh()
    slow.refresh_soon()
    await slow.capacity
    assert cluster.count("jobs") == 1
    assert (slow.snapshot.jobs, set(slow.snapshot.queues)) == ((JOB,), {"main"})


async def test_sizes_without_jobs(cluster, table):
    """They may come first, and are no answer about jobs."""
    await table.ask_capacity()
    assert table.snapshot.queues
    assert table.snapshot.jobs == ()
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError):
        await table.fresh()


@pytest.mark.parametrize("answer", [DOWN, "", '{"outputs": ["what"]}', '{"outputs": [7]}', "[]"])
async def test_sizes_that_are_not_known(cluster, table, caplog, answer):
    messages = log_of(table, caplog)
    cluster.jobs = [JOB]
    await table.fresh()
    cluster.answers["capacity"] = [answer]
    table.refresh_soon()
    await table.capacity
    assert messages("WARNING")[0].startswith("Cluster slurm: sizes of queues not known")
    assert (table.snapshot.jobs, table.snapshot.queues) == ((JOB,), {})
    # It does not make the scheduler a silent one.
    assert table.silence == 0


# All clusters


def test_each_cluster_has_its_table():
    tables = JobTables.instance(
        interval=7, clusters={"alpha": {"scheduler": "slurm", "interval": 9}, "beta": {}}
    )
    alpha = tables.table("alpha")
    assert (alpha.cluster, alpha.interval) == ("alpha", 9)
    assert tables.table("alpha") is alpha
    # Not asked, and so not silent.
    assert tables.silent() == {}
    # One that is not named has the name of its scheduler.
    assert (tables.table("slurm").cluster, tables.table("slurm").interval) == ("slurm", 7)
    assert tables.table("slurm").scheduler is alpha.scheduler
    for unknown in ("gamma", "beta"):
        with pytest.raises(ValueError, match="no scheduler"):
            tables.table(unknown)


async def test_clusters_are_asked_apart(cluster):
    tables = JobTables.get()
    tables.clusters |= {"beta": {"scheduler": "slurm", "interval": 0.02}}
    cluster.answers["jobs"] = [lambda call: DOWN_OR_NOT[call.cluster](call)]
    DOWN_OR_NOT = {"alpha": lambda call: squeue([JOB]), "beta": lambda call: "garbage"}
    assert (await tables.table("alpha").fresh()).jobs == (JOB,)
    with pytest.raises(SchedulerError):
        await tables.table("beta").fresh()
    assert tables.peek("alpha").jobs == (JOB,)
    assert tables.peek("beta") is None


async def test_looking_never_fails(cluster):
    assert jobs.tables.peek("nowhere") is None
    jobs.tables.refresh_soon("nowhere")
    assert not cluster.calls
    assert jobs.tables.peek("slurm") is None
    jobs.tables.refresh_soon("slurm")
    await until(lambda: jobs.tables.peek("slurm"))
    await JobTables.get().table("slurm").capacity


def test_interval():
    assert INTERVAL < 1
    assert JobTables.interval.default_value == 5
    assert JobTables.unknown_grace.default_value == 60
