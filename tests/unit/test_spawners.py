"""How jobs and local servers are started through the wrapper, and that none is lost or doubled."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import stat
import sys
import time
from types import SimpleNamespace

import pytest
from batchspawner.batchspawner import JobStatus
from fake_cluster import DOWN, INTERVAL, TOKEN, Cluster, squeue, until
from jupyterhub import orm
from jupyterhub.spawner import Spawner
from tornado import web
from traitlets.utils.importstring import import_item

from hpc_gateway import port_callback, spawners
from hpc_gateway.errors import SpawnRefused
from hpc_gateway.jobs import JobTables
from hpc_gateway.port_callback import token_digest
from hpc_gateway.schedulers import Job
from hpc_gateway.spawners import JobNames, redact
from hpc_gateway.transport import SchedulerError, Wrapper

SECRET = "canary-5ecret"
BATCH_ALIASES = sorted(set(spawners.ALIASES) - {"local"})
NAME = r"jupyterhub-main-[0-9a-f]{14}"
SHORT_NAME = r"j[0-9a-f]{6}-[0-9a-f]{7}"
PORT = 50001

TIMED_OUT = SchedulerError("sbatch: error: Socket timed out on send/recv operation", 1)
REFUSED = SchedulerError("sbatch: error: Invalid qos %s\nmore, for the log", 1)

# wrapspawner hands its child an argument that is no trait.
pytestmark = pytest.mark.filterwarnings("ignore:Passing unrecognized arguments")


@pytest.fixture
def logged(caplog):
    """All that is logged, as one text."""
    caplog.set_level("DEBUG")
    log = spawners.GatewayMixin().log
    log.setLevel("DEBUG")
    log.propagate = True
    return lambda level=None: "\n".join(
        record.getMessage() for record in caplog.records if level in (None, record.levelname)
    )


@contextlib.asynccontextmanager
async def starting(spawner):
    """A start that is under way, and is called off at the end if it still is."""
    task = asyncio.ensure_future(spawner.start())
    try:
        await until(lambda: spawner.job_id or task.done())
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def started(spawner, cluster, host="node1", port=PORT):
    """Start a server as the hub does, to its end."""
    async with starting(spawner) as task:
        cluster.run(spawner.job_id, host)
        spawner.tell(port)
        await take_over(spawner, await task)
    return spawner.job_id


async def take_over(spawner, address):
    """What the hub does once start() has returned."""
    spawner.server.ip, spawner.server.port = address
    spawner.orm_spawner.state = spawner.get_state()
    spawner.user.db.commit()


async def next_poll(spawner):
    """What the hub's next poll finds, when an interval is over."""
    await asyncio.sleep(1.5 * INTERVAL)
    return await spawner.poll()


def restarted(make, *args, **settings):
    """The spawner in a hub that has been started again; it knows no tokens and no jobs."""
    JobTables.get().tables.clear()
    return make(*args, token="", **settings)


def saved(hub):
    """The state in the database of the one server there is."""
    hub.db.expire_all()
    return hub.db.query(orm.Spawner).one().state


def test_aliases_name_spawners():
    assert set(spawners.ALIASES) == {
        *("local", "slurm", "torque", "pbs"),
        *("gridengine", "condor", "lsf", "moab"),
    }
    for alias, path in spawners.ALIASES.items():
        cls = import_item(path)
        assert issubclass(cls, (Spawner, spawners.GatewayMixin))
        assert cls.scheduler == alias


@pytest.mark.parametrize("alias", BATCH_ALIASES)
def test_nothing_of_the_hubs_own_is_taken(alias):
    """The hub reads attributes of spawners such as `ready`, which have to stay its own."""
    cls = import_item(spawners.ALIASES[alias])
    for name in ("ready", "pending", "active", "server", "name", "last_activity"):
        assert getattr(cls, name) is getattr(Spawner, name)


# Submitting

ANSWERS = {
    "slurm": "7",
    "torque": "7.server",
    "pbs": "7.server",
    "moab": "Moab.7",
    "gridengine": 'Your job 7 ("n") has been submitted',
    "condor": "1 job(s) submitted to cluster 7.",
    "lsf": "Job <7> is submitted to default queue <normal>.",
}


@pytest.mark.parametrize("alias", BATCH_ALIASES)
async def test_submit(make, cluster, alias):
    spawner = make(alias)
    cluster.answers["submit"] = [ANSWERS[alias] + "\n"]
    assert "7" in await spawner.submit_batch_script()
    (call,) = cluster.calls
    assert (call.cluster, call.verb, call.user) == (alias, "submit", "bob")
    assert set(call.request) == {"script", "env", "name"}
    short = alias in ("torque", "pbs", "moab")
    assert re.fullmatch(SHORT_NAME if short else NAME, call.request["name"])
    assert call.request["name"] in call.request["script"]
    assert "/nb/notebook-server" in call.request["script"]
    assert "/nb/jupyterhub-singleuser" in call.request["script"]
    assert call.request["env"]["JUPYTERHUB_API_TOKEN"] == TOKEN
    assert TOKEN not in call.request["script"]


async def test_cluster_of_the_profile(make, cluster):
    await make(cluster="alpha").submit_batch_script()
    assert cluster.calls[0].cluster == "alpha"


async def test_environment(make, cluster, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", SECRET)
    environment = {"HOME": "/h", "PATH": "/hub", "USER": "x", "SHELL": "/x", "LOGNAME": "x", "N": 1}
    await make(environment=environment, notebook_ports="50000-50100").submit_batch_script()
    env = cluster.calls[0].request["env"]
    assert env["HPC_GATEWAY_NOTEBOOK_PORTS"] == "50000-50100"
    assert env["JUPYTERHUB_SERVICE_URL"].endswith(":0/user/bob/")
    assert env["N"] == "1"
    # The account's own variables are the wrapper's to set.
    assert not spawners.ACCOUNT_VARIABLES & set(env)
    assert SECRET not in json.dumps(cluster.calls[0].request)


async def test_any_port_by_default(make, cluster):
    await make().submit_batch_script()
    assert "HPC_GATEWAY_NOTEBOOK_PORTS" not in cluster.calls[0].request["env"]


async def test_only_kept_variables_travel(make, cluster):
    environment = {"A": "1", "B": "2", "N": "3"}
    await make(
        environment=environment, req_keepvars="A", req_keepvars_extra="N, C"
    ).submit_batch_script()
    assert cluster.calls[0].request["env"] == {"A": "1", "N": "3"}


async def test_nothing_secret_is_logged(make, cluster, logged):
    spawner = make(environment={"KEY": SECRET})
    job_id = await started(spawner, cluster)
    assert await spawner.poll() is None
    cluster.end(job_id)
    assert await next_poll(spawner) == 1
    assert "Submitting job jupyterhub-main-" in logged()
    assert f"is {job_id} of bob" in logged()
    assert "#SBATCH --job-name" in logged("DEBUG")
    assert TOKEN not in logged()
    assert SECRET not in logged()


async def test_refusal_of_the_scheduler_reaches_the_user(make, cluster):
    cluster.answers["submit"] = [REFUSED]
    spawner = make()
    with pytest.raises(SpawnRefused) as refusal:
        await spawner.start()
    assert refusal.value.jupyterhub_message == (
        "The batch system did not take the job: sbatch: error: Invalid qos %s more, for the log"
    )
    assert "more, for the log" in refusal.value.log_message
    assert refusal.value.status_code == 503
    # At once: there is nothing to look for, nor to stop.
    assert [call.verb for call in cluster.calls] == ["submit"]
    await spawner.user.stop("")
    assert [call.verb for call in cluster.calls] == ["submit"]


async def test_state_is_saved_before_there_is_a_job_and_right_after(make, cluster, hub):
    states = []
    spawner = make()

    def submit(call):
        states.append(saved(hub))
        return cluster.do_submit(call)

    cluster.answers["submit"] = [submit]
    await spawner.submit_batch_script()
    name = cluster.calls[0].request["name"]
    digest = token_digest(TOKEN)
    assert states == [{"job_name": name, "token_digest": digest}]
    assert saved(hub) == {"job_name": name, "token_digest": digest, "job_id": "101"}
    assert TOKEN not in json.dumps(saved(hub))


async def test_spawner_without_a_database(make, cluster):
    """As in a check of the configuration."""
    spawner = make()
    spawner.orm_spawner = None
    await spawner.submit_batch_script()
    assert spawner.job_id == "101"


async def test_lost_answer_is_looked_for_and_the_job_adopted(make, cluster, hub, logged):
    def lose(call):
        cluster.do_submit(call)
        raise TIMED_OUT

    # Names are for everybody to choose, and to see.
    cluster.answers["submit"] = [lose]
    spawner = make()
    cluster.jobs = [Job("9", "other", "bob", "running", host="n")]
    assert await spawner.submit_batch_script() == "101"
    assert cluster.count("submit") == 1
    assert saved(hub)["job_id"] == "101"
    assert "may have been taken: sbatch: error: Socket timed out" in logged("WARNING")


async def test_job_of_that_name_of_somebody_else_is_not_adopted(make, cluster):
    def lose(call):
        cluster.jobs.append(Job("66", call.request["name"], "eve", "running", host="evil"))
        cluster.do_submit(call)
        raise TIMED_OUT

    cluster.answers["submit"] = [lose]
    assert await make().submit_batch_script() == "101"


async def test_job_that_shows_up_late_is_adopted(make, cluster):
    def lose(call):
        cluster.answers["jobs"] = [None, None, appear]
        raise TIMED_OUT

    def appear(call):
        if not cluster.jobs:
            cluster.do_submit(cluster.calls[0])
        return cluster.do_jobs(call)

    cluster.answers["submit"] = [lose]
    assert await make().submit_batch_script() == "101"
    assert cluster.count("submit") == 1


async def test_lost_answer_and_no_job(make, cluster):
    cluster.answers["submit"] = [TIMED_OUT]
    with pytest.raises(SpawnRefused, match="Socket timed out"):
        await make().start()
    assert cluster.count("submit") == 1
    # Each look is a new one, and one of the owner's as well.
    assert cluster.count("jobs", user=None) == 2
    assert cluster.count("jobs", user="bob") == 2
    submit, *looks = cluster.calls
    assert all(call.at > submit.at for call in looks)


async def test_lost_answer_while_nothing_answers(make, cluster):
    """Nothing is known, so nothing is refused, and nothing submitted again."""
    cluster.answers["submit"] = [TIMED_OUT]
    cluster.answers["jobs"] = [DOWN]
    submission = asyncio.ensure_future(make().submit_batch_script())
    await until(lambda: cluster.count("jobs") > 5)
    assert not submission.done()
    cluster.do_submit(cluster.calls[0])
    cluster.answers.clear()
    assert await submission == "101"
    assert cluster.count("submit") == 1


@pytest.mark.parametrize(
    ("alias", "answer"),
    [
        ("slurm", ""),
        ("slurm", "hello"),
        ("slurm", "-7"),
        ("torque", ""),
        ("torque", "7; rm -rf"),
        ("torque", "$(id)"),
        ("gridengine", "no"),
        ("condor", "1 job(s)"),
        ("lsf", ""),
    ],
)
async def test_answer_without_a_job_id(make, cluster, alias, answer):
    """It may have been taken all the same."""
    cluster.answers["submit"] = [answer]
    spawner = make(alias)
    with pytest.raises(SpawnRefused, match="no job id in the answer"):
        await spawner.submit_batch_script()
    assert spawner.job_id == ""
    assert cluster.count("jobs", user=None) == 2
    cluster.answers["submit"] = [lambda call: cluster.do_submit(call) and answer]
    assert await spawner.submit_batch_script() == "101"


# What is known of a job


async def test_job_that_is_newer_than_the_answer_is_pending(make, cluster, table):
    spawner = make()
    table.interval = 60
    await table.fresh()
    await spawner.submit_batch_script()
    cluster.forget(spawner.job_id)
    assert await spawner.query_job_status() == JobStatus.PENDING
    assert spawner.job.id == spawner.job_id
    assert cluster.count("jobs") == 1


async def test_answer_that_is_as_old_as_the_submission_may_have_the_job(make, cluster, table):
    spawner = make(job_id="7", job_name="x")
    cluster.jobs = [Job("7", "x", "bob", "running", host="n")]
    snapshot = await table.fresh()
    spawner.submitted = snapshot.asked + 1
    assert await spawner.query_job_status() == JobStatus.RUNNING


async def test_nothing_is_left_of_a_server_that_has_ended(make, cluster):
    fresh = make()
    spawner = make()
    job_id = await started(spawner, cluster)
    spawner.hidden = spawner.interrupted = spawner.moved = True
    spawner.port_told = PORT
    spawner.clear_state()
    for name in ("job_id", "job_name", "job_status", "token_digest", "submitted", "port_told"):
        assert getattr(spawner, name) == getattr(fresh, name), name
    for name in ("serving", "moved", "hidden", "interrupted", "job"):
        assert not getattr(spawner, name), name
    assert not spawner.told.is_set()
    assert spawner.get_state() == {}
    assert job_id


@pytest.mark.parametrize(
    ("values", "status", "host"),
    [
        ({"state": "running", "host": "node1"}, JobStatus.RUNNING, "node1"),
        ({"state": "running"}, JobStatus.RUNNING, ""),
        ({"state": "pending"}, JobStatus.PENDING, ""),
        ({"state": "held"}, JobStatus.PENDING, ""),
        ({"state": "ended", "reason": "NODE_FAIL"}, JobStatus.NOTFOUND, ""),
    ],
)
async def test_states(make, cluster, values, status, host):
    spawner = make(job_id="7", job_name="x")
    cluster.jobs = [Job("7", "x", "bob", **values)]
    assert await spawner.query_job_status() == status
    assert spawner.state_gethost() == host
    if status != JobStatus.NOTFOUND:
        assert spawner.job_status == f"{values['state']} {host}".strip()


async def test_query_without_a_job(make, cluster):
    spawner = make()
    spawner.job_status = "running x"
    assert await spawner.query_job_status() == JobStatus.NOTFOUND
    assert (spawner.job_status, spawner.state_gethost()) == ("", "")
    assert not cluster.calls


async def test_state_of_an_earlier_release(make, cluster, hub):
    """It knew the ids of jobs, and not their names."""
    spawner = make()
    spawner.orm_spawner.state = {"job_id": "7", "job_status": "RUNNING node1"}
    hub.db.commit()
    cluster.jobs = [Job("7", "jupyterhub-main", "bob", "running", host="node1")]
    spawner = restarted(make)
    spawner._check_pending = True
    assert await asyncio.wait_for(spawner.poll(), 3) is None
    cluster.end("7")
    assert await next_poll(spawner) == 1


@pytest.mark.parametrize(
    "answer", [DOWN, "", "garbage", '{"outputs": ["slurm_load_jobs error"]}', '{"outputs": [5]}']
)
async def test_unknown_is_never_gone(make, cluster, answer):
    spawner = make()
    job_id = await started(spawner, cluster)
    before = spawner.get_state()
    cluster.answers["jobs"] = [answer]
    for _ in range(4):
        assert await next_poll(spawner) is None
    assert spawner.get_state() == before
    # Nor if the answer of the owner is none.
    cluster.answers["jobs"] = [lambda call: Cluster.do_jobs(Cluster(), call), answer]
    assert await next_poll(spawner) is None
    cluster.answers.clear()
    cluster.end(job_id)
    assert await next_poll(spawner) == 1
    assert spawner.get_state() == {}


async def test_job_that_the_site_hides(make, cluster, logged):
    cluster.hidden = {"bob"}
    spawner = make()
    job_id = await started(spawner, cluster)
    for _ in range(3):
        assert await next_poll(spawner) is None
    assert spawner.hidden
    assert logged("WARNING").count(f"hides job {job_id} from the hub's account") == 1
    cluster.forget(job_id)
    assert await next_poll(spawner) == 1


async def test_job_that_ended_there_hides_nothing(make, cluster):
    spawner = make(job_id="7", job_name="x")
    cluster.jobs = [Job("7", "x", "bob", "ended")]
    cluster.hidden = {"bob"}
    assert await spawner.query_job_status() == JobStatus.NOTFOUND
    assert not spawner.hidden


async def test_job_which_neither_sees_is_gone(make, cluster, logged):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.forget(job_id)
    assert await next_poll(spawner) == 1
    assert cluster.count("jobs", user="bob") == 1
    assert f"Job {job_id} of bob has ended. The batch system does not know it" in logged("INFO")


async def test_job_of_the_same_id_and_name_of_another_user_is_not_ours(make, cluster):
    spawner = make(job_id="7", job_name="x")
    cluster.jobs = [Job("7", "x", "eve", "running", host="evil")]
    assert await spawner.query_job_status() == JobStatus.NOTFOUND


async def test_end_is_told_with_its_reason(make, cluster, logged):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.end(job_id, "OUT_OF_MEMORY")
    assert await next_poll(spawner) == 1
    assert "It needed more memory than it had asked for" in logged("INFO")


async def test_200_servers_ask_as_often_as_one(make, cluster, table):
    table.interval = 0.3
    servers = []
    for number in range(200):
        spawner = make(user=f"u{number}")
        spawner.job_id, spawner.job_name = str(number), "x"
        servers.append(spawner)
    cluster.jobs = [Job(str(number), "x", f"u{number}", "running") for number in range(200)]
    polls = [await asyncio.gather(*(spawner.poll() for spawner in servers)) for _ in range(3)]
    assert polls == [[None] * 200] * 3
    assert cluster.count("jobs") <= 2


# Starting


async def test_start(make, cluster, hub):
    spawner = make()
    async with starting(spawner) as task:
        assert cluster.count("submit") == 1
        await asyncio.sleep(0.1)
        assert not task.done()
        cluster.run("101")
        await asyncio.sleep(0.1)
        assert not task.done()
        assert spawner.job_status == "running node1"
        spawner.tell(PORT)
        assert saved(hub)["port"] == PORT
        assert await task == ("node1", PORT)
    assert spawner.serving
    assert spawner.get_state()["serving"] == "node1"


async def test_server_that_calls_is_not_kept_waiting(make, cluster, table):
    """Its call is what a start waits for: the scheduler is asked as soon as it may be."""
    table.interval = 4
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101")
        asked = time.monotonic()
        spawner.tell(PORT)
        await task
    assert time.monotonic() - asked < 2


async def test_answer_from_before_the_call_is_not_enough(make, cluster, table):
    table.interval = 0.2
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101", "node1")
        await until(lambda: spawner.job_status == "running node1")
        cluster.run("101", "node2")
        spawner.tell(PORT)
        assert await task == ("node2", PORT)


@pytest.mark.parametrize("named", ["node2", "node2.cluster.example"])
async def test_call_from_a_node_the_scheduler_has_named_is_enough(make, cluster, table, named):
    """On a busy hub the next question may be a whole interval away."""
    table.interval = 5
    table.hosts = {"node1", "node2"}
    spawner = make()
    async with starting(spawner) as task:
        await table.fresh()
        cluster.run("101", "node2")
        asked = time.monotonic()
        spawner.tell(PORT, named)
        assert await task == ("node2", PORT)
    assert time.monotonic() - asked < 1
    assert cluster.count("jobs") == 1
    # What was said before the call, that the job waits, is no sign of a new start.
    table.interval = 0.1
    assert await spawner.query_job_status() == JobStatus.RUNNING
    assert not spawner.moved
    assert spawner.serving == "node2"


@pytest.mark.parametrize("named", ["", "localhost", "node22", "node", "node3"])
async def test_call_from_elsewhere_is_not(make, cluster, table, named):
    """The scheduler says where the job is."""
    table.hosts = {"node1", "node2", "node3.a", "node3.b"}
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101", "node2")
        spawner.tell(PORT, named)
        assert await task == ("node2", PORT)


async def test_call_from_where_the_job_is_not_is_found_out(make, cluster, table):
    table.hosts = {"node1", "node2"}
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101", "node2")
        spawner.tell(PORT, "node1")
        assert await task == ("node1", PORT)
    await spawner.query_job_status()
    assert spawner.moved
    assert spawner.serving == ""


async def test_server_is_ready_once_it_listens(make, cluster, monkeypatch):
    """It calls before; the hub, which looks ever more rarely, is not to begin too early."""
    looks = []

    async def listens(host, port):
        looks.append((host, port))
        return len(looks) == 3

    monkeypatch.setattr(spawners, "listens", listens)
    await started(make(), cluster)
    assert looks == [("node1", PORT)] * 3


async def test_server_that_never_listens_is_left_to_the_hub():
    start = time.monotonic()
    await spawners.listening("127.0.0.1", 1, patience=0.3)
    assert 0.2 < time.monotonic() - start < 2


async def test_what_listens():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await spawners.listens("127.0.0.1", port)
    server.close()
    await server.wait_closed()
    assert not await spawners.listens("127.0.0.1", port)
    assert not await spawners.listens("no-such-machine.invalid", port)


async def test_call_of_a_job_whose_id_is_not_known(make, cluster, table):
    table.hosts = {"node2"}
    spawner = make(job_name="x")
    cluster.jobs.append(Job("7", "x", "bob", "running", host="node2"))
    spawner.tell(PORT, "node2")
    assert await spawner.until_ready() == ("node2", PORT)
    assert spawner.job_id == "7"


async def test_start_goes_on_while_nothing_answers(make, cluster):
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101")
        cluster.answers["jobs"] = [DOWN]
        spawner.tell(PORT)
        await asyncio.sleep(0.1)
        assert not task.done()
        cluster.answers.clear()
        assert await task == ("node1", PORT)


async def test_job_without_a_node_yet(make, cluster):
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101", "")
        spawner.tell(PORT)
        await asyncio.sleep(0.1)
        assert not task.done()
        cluster.run("101", "node1")
        assert await task == ("node1", PORT)


async def test_scheduler_which_is_late_to_say_that_a_job_runs(make, cluster):
    spawner = make()
    async with starting(spawner) as task:
        seen = cluster.count("jobs")
        spawner.tell(PORT)
        await until(lambda: cluster.count("jobs") > seen)
        cluster.run("101")
        assert await task == ("node1", PORT)


@pytest.mark.parametrize(
    ("answers", "host"),
    [
        (["pending", "pending", "running node2"], "node2"),
        (["running node1", "running node2"], "node2"),
    ],
)
async def test_call_during_a_question(make, cluster, monkeypatch, answers, host):
    """That answer is still one from before the call."""
    spawner = make(job_id="7", job_name="x")
    first = len(answers)

    async def find(self, since=None):
        if len(answers) == first:
            spawner.tell(PORT)
        state, _, node = answers.pop(0).partition(" ")
        return Job("7", "x", "bob", state, host=node)

    monkeypatch.setattr(type(spawner), "find", find)
    assert await spawner.until_ready() == (host, PORT)
    assert not answers


async def test_it_does_not_turn_in_circles_meanwhile(make, cluster, table, monkeypatch):
    table.interval = 0.1
    find, looks = spawners.GatewayBatchMixin.find, []

    async def count(self, since=None):
        looks.append(since)
        return await find(self, since)

    monkeypatch.setattr(spawners.GatewayBatchMixin, "find", count)
    async with starting(make()):
        await asyncio.sleep(0.5)
    assert 1 <= len(looks) <= 6


async def test_job_that_is_requeued_before_its_server_was_ready(make, cluster):
    spawner = make()
    async with starting(spawner) as task:
        # Of the first node, which is given up at once.
        spawner.tell(PORT)
        await until(lambda: spawner.port == 0)
        assert not spawner.told.is_set()
        cluster.run("101", "node2")
        await asyncio.sleep(0.1)
        assert not task.done()
        spawner.tell(PORT + 1)
        assert await task == ("node2", PORT + 1)


async def test_start_that_takes_too_long_says_why(make, cluster):
    """Before the hub gives up, which knows no reason."""
    cluster.answers["submit"] = [
        lambda call: (cluster.do_submit(call) and cluster.change("101", reason="Priority")) or "101"
    ]
    spawner = make(start_timeout=2)
    with pytest.raises(SpawnRefused) as refusal:
        await asyncio.wait_for(spawner.start(), spawner.start_timeout)
    assert refusal.value.jupyterhub_message == (
        "The server was not ready within 0 minutes, and is given up. Job 101 waits in main, 1 of "
        "1. Jobs with a higher priority are before it. It starts when it is its turn."
    )
    await spawner.user.stop("")
    assert cluster.jobs == []


async def test_a_second_start_waits_for_its_own_server(make, cluster):
    spawner = make()
    await started(spawner, cluster)
    spawner.job_id = ""
    assert spawner.told.is_set()
    async with starting(spawner) as task:
        assert spawner.port == 0
        cluster.run("102", "node2")
        await asyncio.sleep(0.1)
        assert not task.done()
        spawner.tell(PORT)
        assert await task == ("node2", PORT)


# A job that ends before its server is ready


async def test_job_that_dies_fails_the_start_with_its_reason(make, cluster, logged):
    key = "0123456789abcdef" * 2
    cluster.log = (
        f"JUPYTERHUB_API_TOKEN={TOKEN}\n"
        f"key {key}\nGET /?token=abc&x\npassword=hunter2\n"
        "<script>alert('x')</script> & more\nslurmstepd: Out Of Memory\n"
    )
    spawner = make()
    async with starting(spawner) as task:
        name = spawner.job_name
        cluster.end("101", "OUT_OF_MEMORY")
        with pytest.raises(SpawnRefused) as refusal:
            await task
    error = refusal.value
    assert error.status_code == 503
    message = (
        "The job 101 ended before its server was ready. It needed more memory than it had asked "
        f"for. Choose a profile with more. The job's output is in ~/.jupyterhub-main/{name}.log"
    )
    assert error.jupyterhub_message == message
    (call,) = cluster.of("log")
    assert (call.request, call.user) == ({"name": name, "lines": 20}, "bob")
    html = error.message_html
    assert "<script>" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; more" in html
    assert "slurmstepd: Out Of Memory" in html
    assert f"{name}.log" in html
    assert "slurmstepd: Out Of Memory" in error.log_message
    for text in (html, error.log_message, str(error), logged()):
        for secret in (TOKEN, key, "abc&", "hunter2"):
            assert secret not in text
    # The hub then stops it: nothing is left to be cancelled.
    await spawner.user.stop("")
    assert cluster.count("cancel") == 0


async def test_it_does_so_within_one_poll(make, cluster, table):
    table.interval = 0.2
    spawner = make()
    async with starting(spawner) as task:
        cluster.run("101")
        await until(lambda: spawner.job_status)
        cluster.end("101")
        ended = time.monotonic()
        with pytest.raises(SpawnRefused, match="It ended with an error"):
            await task
    assert time.monotonic() - ended < 3


async def test_job_that_vanishes_before_it_is_ready(make, cluster):
    spawner = make()
    async with starting(spawner) as task:
        cluster.forget("101")
        with pytest.raises(SpawnRefused, match="does not know it any more"):
            await task


async def test_job_whose_output_cannot_be_read(make, cluster, logged):
    cluster.answers["log"] = [SchedulerError("batch: cannot read /home/bob/x.log", 69)]
    spawner = make()
    async with starting(spawner) as task:
        cluster.end("101")
        with pytest.raises(SpawnRefused) as refusal:
            await task
    assert "<pre" not in refusal.value.message_html
    assert "The job&#x27;s output is in" in refusal.value.message_html
    assert "No output of job 101: batch: cannot read" in logged("INFO")


async def test_unknown_reason_is_told_as_it_is(make, cluster):
    spawner = make(job_name="x", job_id="7")
    assert spawner.why(Job("7", "x", "bob", "ended", reason="LAUNCH_FAILED")) == "LAUNCH_FAILED"
    assert spawner.why(Job("7", "x", "bob", "ended")) == ""


@pytest.mark.parametrize(
    ("text", "known", "clean"),
    [
        ("a t0ken b t0ken", ["t0ken"], "a [hidden] b [hidden]"),
        ("a", ["", None], "a"),
        ("x" + "0f" * 16, [], "x[hidden]"),
        ("0f" * 15, [], "0f" * 15),
        ("?token=a%20b&c=d", [], "?token=[hidden]&c=d"),
        ("Authorization: Token abc", [], "Authorization: Token [hidden]"),
        ("token: abc", [], "token: [hidden]"),
        ("PASSWORD=abc", [], "PASSWORD=[hidden]"),
        ("no secret here", [], "no secret here"),
    ],
)
def test_redact(text, known, clean):
    assert redact(text, *known) == clean


# After a restart of the hub


async def test_server_that_was_ready_is_found_as_it_is(make, cluster):
    job_id = await started(make(), cluster)
    spawner = restarted(make)
    assert (spawner.job_id, bool(spawner.serving), spawner.interrupted) == (job_id, True, False)
    assert await spawner.poll() is None
    assert not spawner.moved
    assert (spawner.server.ip, spawner.server.port) == ("node1", PORT)


async def interrupted(make, cluster, told=False, **settings):
    """A spawner whose hub was killed while it started."""
    spawner = make(**settings)
    async with starting(spawner):
        if told:
            spawner.tell(PORT)
    return restarted(make, **settings)


async def test_start_goes_on_after_a_restart(make, cluster, hub, logged):
    spawner = await interrupted(make, cluster)
    assert spawner.interrupted
    poll = asyncio.ensure_future(spawner.poll())
    await asyncio.sleep(0.1)
    assert not poll.done()
    cluster.run("101", "node3")
    spawner.tell(PORT)
    assert await poll is None
    assert (spawner.server.ip, spawner.server.port) == ("node3", PORT)
    assert saved(hub)["serving"].startswith("node")
    assert "Took over job 101 of bob" in logged("INFO")
    assert cluster.count("submit") == 1
    # From then on it is polled as any other.
    assert await spawner.poll() is None
    cluster.end("101")
    assert await next_poll(spawner) == 1


async def test_port_that_was_told_to_the_hub_before(make, cluster):
    spawner = await interrupted(make, cluster, told=True)
    cluster.run("101", "node3")
    assert await spawner.poll() is None
    assert (spawner.server.ip, spawner.server.port) == ("node3", PORT)


async def test_job_without_a_known_id_is_adopted_by_its_name(make, cluster, hub):
    """The hub was killed before the answer to its submission was there."""

    def kill(call):
        cluster.do_submit(call)
        raise asyncio.CancelledError

    cluster.answers["submit"] = [kill]
    with pytest.raises(asyncio.CancelledError):
        await make().start()
    assert "job_id" not in saved(hub)
    spawner = restarted(make)
    cluster.run("101", "node3")
    poll = asyncio.ensure_future(spawner.poll())
    await until(lambda: spawner.job_id == "101")
    spawner.tell(PORT)
    assert await poll is None
    assert saved(hub)["job_id"] == "101"


async def test_found_by_name_while_polled(make, cluster, hub):
    spawner = make(job_name="x")
    cluster.jobs = [Job("7", "x", "bob", "running", host="n")]
    assert await spawner.query_job_status() == JobStatus.RUNNING
    assert spawner.job_id == "7"
    assert saved(hub)["job_id"] == "7"


async def test_job_that_is_to_be_cancelled_after_a_restart(make, cluster):
    spawner = await interrupted(make, cluster, recover_jobs="cancel")
    assert await spawner.poll() == 1
    # As the hub does with a server that is not there.
    await spawner.user.stop("")
    assert cluster.jobs == []
    assert cluster.of("cancel")[0].request["job_id"] == "101"


async def test_job_that_ended_while_the_hub_was_down(make, cluster, logged):
    spawner = await interrupted(make, cluster)
    cluster.end("101", "TIMEOUT")
    assert await spawner.poll() == 1
    assert "was lost" in logged("WARNING")
    assert "Its time was up" in logged("WARNING")


async def test_lost_job_where_the_hub_knows_no_accounts(make, cluster):
    spawner = make(user="nobody-here")
    async with starting(spawner):
        pass
    cluster.end("101")
    spawner = restarted(make, user="nobody-here")
    spawner._trait_values.pop("req_homedir")
    with pytest.raises(KeyError):
        _ = spawner.req_homedir
    assert await spawner.poll() == 1


async def test_start_that_takes_too_long_after_a_restart(make, cluster, logged):
    spawner = await interrupted(make, cluster)
    spawner.start_timeout = 1
    assert await spawner.poll() == 1
    assert "was lost" in logged("WARNING")
    await spawner.user.stop("")
    assert cluster.jobs == []


# A job that the scheduler starts again


def call_back(spawner, token, port):
    """What PortHandler makes of the call of a server."""
    request = SimpleNamespace(
        current_user=spawner.user,
        get_auth_token=lambda: token,
        get_json_body=lambda: {"port": port},
        done=lambda: done.append(port),
    )
    done = []
    port_callback.PortHandler.post(request)
    return bool(done)


async def test_requeued_job_is_followed(make, cluster, hub, logged):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.change(job_id, state="pending", host="", reason="BeginTime")
    assert await next_poll(spawner) is None
    assert spawner.moved
    assert "Job 101 of bob is started again. It waits for its begin time" in logged("WARNING")
    assert not spawner.told.is_set()
    assert "serving" not in saved(hub)
    assert "port" not in saved(hub)
    cluster.run(job_id, "node2")
    assert await next_poll(spawner) is None
    # By chance the same port again.
    assert call_back(spawner, TOKEN, PORT)
    await spawner.relocation
    assert hub.settings["proxy"].routes == [f"http://node2:{PORT}"]
    assert (spawner.server.ip, spawner.server.port) == ("node2", PORT)
    assert (spawner.moved, spawner.serving) == (False, "node2")
    assert saved(hub)["serving"].startswith("node")
    assert await spawner.poll() is None
    assert logged("WARNING").count("is started again") == 1
    assert cluster.count("submit") == 1


@pytest.mark.parametrize("host", ["node1", "node2"])
@pytest.mark.parametrize("port", [PORT, PORT + 1])
async def test_job_that_was_started_again_between_two_polls(make, cluster, hub, host, port):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.run(job_id, host)
    assert call_back(spawner, TOKEN, port)
    await spawner.relocation
    assert hub.settings["proxy"].routes == [f"http://{host}:{port}"]
    assert (spawner.server.ip, spawner.server.port) == (host, port)
    assert await next_poll(spawner) is None
    assert not spawner.moved


async def test_another_node_is_noticed(make, cluster):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.run(job_id, "node2")
    assert await next_poll(spawner) is None
    assert spawner.moved


async def test_hub_keeps_addresses_in_lower_case(make, cluster):
    spawner = make()
    job_id = await started(spawner, cluster, host="Node1.Example.ORG")
    spawner.server.ip = "node1.example.org"
    assert await next_poll(spawner) is None
    assert not spawner.moved
    # Nor is a node that is not told another one.
    cluster.change(job_id, host="")
    assert await next_poll(spawner) is None
    assert not spawner.moved


async def test_hub_restarted_while_a_job_moves(make, cluster):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.change(job_id, state="pending", host="")
    assert await next_poll(spawner) is None
    spawner = restarted(make)
    poll = asyncio.ensure_future(spawner.poll())
    await asyncio.sleep(0.1)
    assert not poll.done()
    cluster.run(job_id, "node2")
    spawner.tell(PORT + 1)
    assert await poll is None
    assert (spawner.server.ip, spawner.server.port) == ("node2", PORT + 1)


async def test_job_that_moved_while_the_hub_was_down(make, cluster, hub):
    job_id = await started(make(), cluster)
    cluster.run(job_id, "node2")
    spawner = restarted(make)
    spawner._check_pending = True
    poll = asyncio.ensure_future(spawner.poll())
    await asyncio.sleep(0.1)
    # The hub would ask for it at its old address otherwise, and stop it.
    assert not poll.done()
    assert call_back(spawner, TOKEN, PORT + 1)
    assert await poll is None
    assert (spawner.server.ip, spawner.server.port) == ("node2", PORT + 1)
    # The hub sets up the routes by itself then.
    assert hub.settings["proxy"].routes == []


async def test_job_that_does_not_come_back(make, cluster, hub, logged):
    spawner = make()
    job_id = await started(spawner, cluster)
    cluster.change(job_id, state="pending", host="")
    await next_poll(spawner)
    spawner.tell(PORT)
    cluster.end(job_id)
    await spawner.relocation
    assert hub.settings["proxy"].routes == []
    assert "Job 101 did not come back: " in logged("WARNING")
    assert await next_poll(spawner) == 1


async def test_no_second_port_while_a_server_stops(make, cluster):
    spawner = make()
    await started(spawner, cluster)
    spawner._stop_pending = True
    with pytest.raises(web.HTTPError, match="not starting"):
        call_back(spawner, TOKEN, PORT + 1)
    assert spawner.serving


async def test_token_is_known_after_a_restart(make, cluster):
    spawner = await interrupted(make, cluster)
    spawner._check_pending = True
    with pytest.raises(web.HTTPError, match="belongs to no server"):
        call_back(spawner, "another", PORT)
    assert call_back(spawner, TOKEN, PORT)
    assert spawner.told.is_set()


# Stopping


async def test_stop_waits_until_the_job_is_gone(make, cluster):
    spawner = make()
    job_id = await started(spawner, cluster)

    def linger(call):
        # It takes its time, and what was said before it was cancelled does not count.
        cluster.answers["jobs"] = [None, None, gone]
        return ""

    def gone(call):
        cluster.end(job_id, "CANCELLED")
        return cluster.do_jobs(call)

    cluster.answers["cancel"] = [linger]
    await spawner.stop()
    cancel, *looks = cluster.calls[-4:]
    assert cancel.request == {"job_id": job_id, "name": spawner.job_name}
    assert (cancel.verb, cancel.user) == ("cancel", "bob")
    assert [call.verb for call in looks] == ["jobs"] * 3
    assert all(call.at > cancel.at for call in looks)


async def test_stop_is_not_fooled_by_an_old_answer(make, cluster, table):
    spawner = make()
    await started(spawner, cluster)
    table.interval = 0.1
    cluster.answers["cancel"] = [""]
    cluster.answers["jobs"] = [squeue([]), None]
    # From a moment before.
    assert (await table.fresh(time.monotonic())).jobs == ()
    stop = asyncio.ensure_future(spawner.stop())
    await asyncio.sleep(0.2)
    assert not stop.done()
    cluster.jobs = []
    await stop


async def test_stop_now(make, cluster):
    spawner = make()
    await started(spawner, cluster)
    before = cluster.count("jobs")
    await spawner.stop(now=True)
    assert cluster.count("cancel") == 1
    assert cluster.count("jobs") == before


async def test_job_that_does_not_end(make, cluster, logged):
    spawner = make()
    await started(spawner, cluster)
    cluster.answers["cancel"] = [""]
    await spawner.stop()
    assert "Job 101 is cancelled, but has not ended yet" in logged("WARNING")


async def test_stop_while_nothing_answers(make, cluster, logged):
    spawner = make()
    await started(spawner, cluster)
    cluster.answers["jobs"] = [DOWN]
    await spawner.stop()
    assert cluster.count("cancel") == 1
    assert "has not ended yet" in logged("WARNING")


async def test_cancel_is_tried_again(make, cluster, logged):
    spawner = make()
    await started(spawner, cluster)
    cluster.answers["cancel"] = [DOWN, DOWN, None]
    await spawner.stop()
    assert cluster.jobs == []
    assert cluster.count("cancel") == 3
    assert "Job 101 of bob is not cancelled (try 2): squeue: error: Unable" in logged("WARNING")
    assert not logged("ERROR")


async def test_cancel_that_keeps_failing_is_told(make, cluster, logged):
    spawner = make()
    await started(spawner, cluster)
    cluster.answers["cancel"] = [DOWN]
    await spawner.stop()
    assert cluster.count("cancel") == 3
    assert "Job 101 of bob could not be cancelled" in logged("ERROR")


async def test_job_that_is_gone_is_cancelled(make, cluster, logged):
    spawner = make()
    await started(spawner, cluster)
    cluster.jobs = []
    await spawner.stop()
    assert cluster.count("cancel") == 1
    assert not logged("WARNING")


async def test_stop_without_a_job(make, cluster):
    await make().stop()
    assert not cluster.calls


async def test_stop_of_a_job_whose_id_is_not_known(make, cluster):
    spawner = make(job_name="x")
    cluster.jobs = [Job("7", "x", "bob", "pending"), Job("8", "x", "eve", "pending")]
    await spawner.stop()
    assert [job.id for job in cluster.jobs] == ["8"]


@pytest.mark.parametrize("answer", [None, DOWN])
async def test_stop_of_a_job_which_is_not_found(make, cluster, answer):
    """The sweep finds it later, if there is one."""
    cluster.answers["jobs"] = [answer]
    await make(job_name="x").stop()
    assert cluster.count("cancel") == 0


async def test_failed_start_leaves_no_job(make, cluster):
    """The hub stops what did not start in time."""
    spawner = make()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(spawner.start(), 0.2)
    await spawner.user.stop("")
    assert cluster.jobs == []
    assert spawner.get_state() == {}


# Within a profile


@pytest.fixture
def profile(make, hub):
    """Makes the spawner of the profiles, as the hub has it."""
    hub.config.GatewayBatchMixin.script_directory = str(spawners_templates())
    hub.config.GatewayProfilesSpawner.profiles = [
        ("Small", "small", spawners.ALIASES["slurm"], {"req_homedir": "/home/bob"}),
    ]

    def profile(token=TOKEN):
        JobTables.get().tables.clear()
        cls = "hpc_gateway.profiles.GatewayProfilesSpawner"
        return make(cls, token=token, user_options={"profile": "small"})

    return profile


def spawners_templates():
    return pathlib.Path(__file__).resolve().parents[2] / "templates/batch"


async def profile_started(outer, cluster):
    task = asyncio.ensure_future(outer.start())
    await until(lambda: outer.child_spawner and outer.child_spawner.job_id)
    job_id = outer.child_spawner.job_id
    cluster.run(job_id)
    assert call_back(outer, TOKEN, PORT)
    await take_over(outer, await task)
    return job_id


async def test_profile_is_saved_whole(profile, cluster, hub):
    outer = profile()
    outer._spawn_pending = True
    job_id = await profile_started(outer, cluster)
    assert (outer.port, outer.child_spawner.port) == (PORT, PORT)
    state = saved(hub)["child_state"]
    assert (state["job_id"], state["serving"]) == (job_id, "node1")
    again = profile(token="")
    assert again.child_spawner.serving
    assert await again.poll() is None
    assert not again.child_spawner.moved


async def test_profile_goes_on_after_a_restart(profile, cluster, hub):
    outer = profile()
    outer._spawn_pending = True
    task = asyncio.ensure_future(outer.start())
    await until(lambda: outer.child_spawner and outer.child_spawner.job_id)
    assert call_back(outer, TOKEN, PORT)
    assert saved(hub)["child_state"]["port"] == PORT
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    again = profile(token="")
    again._check_pending = True
    cluster.run("101", "node3")
    assert await again.poll() is None
    assert (again.server.ip, again.server.port) == ("node3", PORT)
    assert saved(hub)["child_state"]["serving"].startswith("node")


async def test_profile_moves(profile, cluster, hub):
    outer = profile()
    outer._spawn_pending = True
    job_id = await profile_started(outer, cluster)
    outer._spawn_pending = False
    cluster.run(job_id, "node2")
    assert call_back(outer, TOKEN, PORT)
    await outer.child_spawner.relocation
    assert (outer.server.ip, outer.server.port) == ("node2", PORT)
    assert hub.settings["proxy"].routes == [f"http://node2:{PORT}"]
    await outer.user.stop("")
    assert cluster.jobs == []
    assert "child_state" not in saved(hub)


# Where people have no accounts on the gateway


async def test_home_directory_is_that_of_the_submit_host(make, cluster):
    Wrapper.get().transport = "ssh"
    account = {"name": "bob", "uid": 1, "home": "/nfs/bob", "shell": "/bin/sh", "groups": []}
    cluster.answers["account"] = [json.dumps(account)]
    await make().submit_batch_script()
    submit = cluster.of("submit")[0]
    assert "#SBATCH --chdir=/nfs/bob\n" in submit.request["script"]
    assert cluster.of("account")[0].user == "bob"


async def test_submit_host_which_knows_no_such_user(make, cluster):
    Wrapper.get().transport = "ssh"
    cluster.answers["account"] = [SchedulerError("sudo: unknown user bob", 1)]
    with pytest.raises(SpawnRefused, match="unknown user bob"):
        await make().start()
    assert not cluster.count("submit")


def test_home_directory_of_this_machine(make):
    spawner = make(user="root")
    spawner._trait_values.pop("req_homedir")
    assert spawner.req_homedir == "/root"


# While it waits


@pytest.fixture
def waiting(make, cluster, table):
    """Describes a job at its start, in the words that the user reads."""
    spawner = make(job_id="7", job_name="x")

    async def waiting(*jobs):
        cluster.jobs = list(jobs)
        await table.fresh(time.monotonic())
        return spawner.describe()

    waiting.spawner = spawner
    return waiting


def test_before_there_is_a_job(make, cluster):
    assert make().describe() == {
        "progress": 10,
        "message": "The job is handed to the batch system.",
    }


def test_before_the_scheduler_is_asked(make, cluster):
    spawner = make(job_id="7", job_name="x")
    assert spawner.describe() == {"progress": 20, "message": "Job 7 is submitted."}
    assert not cluster.calls


async def test_place_in_the_queue_and_reason(waiting):
    others = [
        Job("5", "a", "eve", "pending", queue="main"),
        Job("6", "b", "eve", "pending", queue="long"),
    ]
    last = Job("8", "c", "eve", "pending", queue="main")
    job = Job("7", "x", "bob", "pending", queue="main", reason="AssocGrpCPUMinutesLimit")
    assert await waiting(*others, job, last) == {
        "progress": 30,
        "message": "Job 7 waits in main, 2 of 3. The group's CPU allocation is used up. Ask the "
        "group's manager for more, or choose a profile of another account.",
    }


async def test_expected_start(waiting, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    start = time.time() + 25 * 60 + 10
    job = Job("7", "x", "bob", "pending", start=start, reason="Resources")
    message = (await waiting(job))["message"]
    when = time.strftime("%a %H:%M", time.localtime(start))
    assert f"Job 7 waits, 1 of 1. Expected to start at about {when}." in message
    # A time that is over says nothing.
    job = Job("7", "x", "bob", "pending", start=time.time() - 5, reason="Resources")
    assert "Expected" not in (await waiting(job))["message"]


async def test_held(waiting):
    job = Job("7", "x", "bob", "held", queue="main", reason="JobHeldAdmin")
    assert (await waiting(job))["message"].startswith("Job 7 is held in main. An administrator")


async def test_reason_without_words(waiting):
    job = Job("7", "x", "bob", "pending", reason="Unheard")
    assert (await waiting(job))["message"] == "Job 7 waits, 1 of 1. Unheard"


def test_job_without_a_place():
    job = Job("7", "x", "bob", "pending", queue="main")
    snapshot = SimpleNamespace(place=lambda job: (None, 3))
    assert list(spawners.waiting_lines(job, snapshot)) == ["Job 7 waits in main."]


async def test_running(waiting):
    job = Job("7", "x", "bob", "running", host="node1")
    assert await waiting(job) == {
        "progress": 70,
        "message": "Job 7 runs on node1. Its server is starting.",
    }
    job = Job("7", "x", "bob", "running")
    assert "runs on its node." in (await waiting(job))["message"]


async def test_nothing_is_told_of_others_jobs(waiting):
    described = await waiting(Job("7", "x", "eve", "running", host="evil"))
    assert described == {"progress": 20, "message": "Job 7 is submitted."}


async def test_silence(waiting, cluster, table):
    await waiting(Job("7", "x", "bob", "running", host="node1"))
    cluster.answers["jobs"] = [DOWN]
    with pytest.raises(SchedulerError):
        await table.fresh(time.monotonic())
    table.silent_since = time.monotonic() - table.interval
    assert "not answered" not in waiting.spawner.describe()["message"]
    table.silent_since = time.monotonic() - 90
    since = time.strftime("%a %H:%M", time.localtime(time.time() - 90))
    assert waiting.spawner.describe()["message"] == (
        "Job 7 runs on node1. Its server is starting. The batch system has not answered since "
        f"{since}; the job is left as it is."
    )


async def test_progress_tells_what_changes(make, cluster, monkeypatch):
    spawner = make()
    sleep, pauses = asyncio.sleep, []

    async def short(seconds):
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", short)
    texts = iter(["one", "one", "two", "two", "one"])
    monkeypatch.setattr(type(spawner), "describe", lambda self: {"message": next(texts)})
    events = spawner.progress()
    assert [(await anext(events))["message"] for _ in range(3)] == ["one", "two", "one"]
    assert pauses == [1] * 4


# What users may choose


@pytest.mark.parametrize("alias", ["slurm", "local"])
async def test_options_of_users_are_refused(make, cluster, alias):
    spawner = make(alias, user_options={"profile": "p", "partition": "big", "cmd": "sh"})
    with pytest.raises(SpawnRefused, match="cmd, partition") as refusal:
        await spawner.start()
    assert refusal.value.status_code == 400
    assert not cluster.calls


@pytest.mark.parametrize("alias", ["slurm", "local"])
def test_what_the_profile_has_checked_is_no_option_here(make, alias):
    options = {"profile": "p", "cores": "4", "memory": "4G", "walltime": "1:00:00"}
    assert make(alias, user_options=options).checked_user_options() == {}


async def test_allowed_option(make, cluster):
    settings = {"user_options_allowed": {"nprocs"}, "req_nprocs": "1"}
    await make(user_options={"nprocs": 4}, **settings).submit_batch_script()
    await make(user_options={"profile": "p"}, **settings).submit_batch_script()
    four, one = (call.request["script"] for call in cluster.of("submit"))
    assert "--cpus-per-task=4\n" in four
    assert "--cpus-per-task=1\n" in one


@pytest.mark.parametrize(
    "value",
    [
        *("", "4\n#SBATCH --x", "4 --x", "$(id)", "`id`", "4;id", "'", '"', "x" * 129),
        *(None, [], True, 1.5, "4\n", "é"),
    ],
)
async def test_value_of_an_allowed_option_must_be_a_plain_word(make, cluster, value):
    spawner = make(user_options_allowed={"nprocs"}, user_options={"nprocs": value})
    with pytest.raises(SpawnRefused, match="nprocs is not valid"):
        await spawner.submit_batch_script()
    assert not cluster.calls


# Job scripts


async def script(make, alias="slurm", **settings):
    return await make(alias, job_name="jupyterhub-main-1", **settings).job_script()


async def test_slurm_script_has_every_value(make):
    text = await script(
        make,
        req_partition="big",
        req_account="acc",
        req_qos="high",
        req_cluster="one,two",
        req_reservation="r1",
        req_runtime="1:00:00",
        req_memory="4gb",
        req_nprocs="2",
        req_ngpus="1",
        req_options="--constraint=x",
        req_keepvars="A,B",
        req_prologue="module load x\nmodule load y",
        req_epilogue="true",
    )
    for line in (
        "#SBATCH --job-name=jupyterhub-main-1",
        "#SBATCH --chdir=/home/bob",
        "#SBATCH --output=/home/bob/.jupyterhub-main/jupyterhub-main-1.log",
        "#SBATCH --export=A,B",
        "#SBATCH --partition=big",
        "#SBATCH --account=acc",
        "#SBATCH --qos=high",
        "#SBATCH --clusters=one,two",
        "#SBATCH --reservation=r1",
        "#SBATCH --time=1:00:00",
        "#SBATCH --mem=4gb",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --constraint=x",
        "module load y",
        "srun /nb/notebook-server /nb/jupyterhub-singleuser",
        "true",
    ):
        assert line in text.splitlines()
    # Nothing stands before them, or Slurm would not read them.
    lines = text.splitlines()
    last = max(index for index, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") for line in lines[:last])
    assert lines[0] == "#!/bin/bash"


async def test_slurm_script_leaves_out_what_is_not_set(make):
    lines = (await script(make, req_srun="")).splitlines()
    assert sum(line.startswith("#SBATCH") for line in lines) == 5
    assert "/nb/notebook-server /nb/jupyterhub-singleuser" in lines


async def test_slurm_gres_beats_ngpus_and_queue_is_a_partition(make):
    text = await script(make, req_gres="gpu:a100:1", req_ngpus="2", req_queue="q")
    assert "--gres=gpu:a100:1\n" in text
    assert "gpu:2" not in text
    assert "--partition=q\n" in text


@pytest.mark.parametrize("alias", BATCH_ALIASES)
async def test_files_of_the_job(make, alias):
    text = await script(make, alias, hub_name="beta")
    assert "/home/bob/.jupyterhub-beta/jupyterhub-main-1.log" in text
    if alias != "slurm":
        assert "/home/bob/.jupyterhub-beta/jupyterhub-main-1.env" in text


@pytest.mark.parametrize("alias", BATCH_ALIASES)
async def test_script_shows_no_environment(make, alias):
    assert SECRET not in await script(make, alias, environment={"KEY": SECRET})


async def test_site_template(make, tmp_path):
    (tmp_path / "slurm.sh").write_text("{{job_name}} {{cmd}}")
    text = await script(make, script_directory=str(tmp_path), cmd=["x"], args=["--y z"])
    assert text == "jupyterhub-main-1 /nb/notebook-server x '--y z'"


@pytest.mark.parametrize(
    "value",
    [
        *("a\n#SBATCH --uid=0", "a b", "a;b", "$(id)", "`id`", "a'b", 'a"b', "a|b", "a>b", "a#b"),
        *("a\\b", "a&b"),
    ],
)
async def test_value_which_is_not_one_plain_word_is_refused(make, value):
    with pytest.raises(SpawnRefused, match="req_partition must be one plain word") as refusal:
        await script(make, req_partition=value)
    assert refusal.value.status_code == 500


@pytest.mark.parametrize("name", ["options", "srun", "keepvars"])
async def test_value_of_two_lines_is_refused(make, name):
    with pytest.raises(SpawnRefused, match=f"req_{name} must be one line"):
        await script(make, **{f"req_{name}": "a\n#SBATCH --uid=0"})
    with pytest.raises(SpawnRefused, match="must be one line"):
        await script(make, req_keepvars_extra="a\n#SBATCH --uid=0")


async def test_lines_of_the_administrator_stand_as_they_are(make):
    text = await script(make, req_options="--a 'b c'", req_srun="srun -n 1", req_epilogue="a;\nb")
    assert "#SBATCH --a 'b c'\n" in text
    assert "\nsrun -n 1 /nb/notebook-server" in text
    assert text.rstrip().endswith("a;\nb")


async def test_command_is_quoted(make):
    text = await script(make, cmd=["/nb/x", "a b", "$(id)"])
    assert "/nb/notebook-server /nb/x 'a b' '$(id)'" in text
    quoted = make("condor", cmd=["/nb/x", "a b", 'c"d']).cmd_formatted_for_batch()
    assert quoted == "/nb/notebook-server /nb/x ''a b'' ''c\"\"d''"


def test_grid_engine_has_a_parallel_environment(make):
    assert make("gridengine").get_req_subvars()["pe"] == "smp"


# Names of jobs


def test_names_of_jobs():
    names = JobNames("main", b"secret", 64)
    made = {names.new() for _ in range(100)}
    assert len(made) == 100
    for name in made:
        assert names.match(name)
        assert re.fullmatch(NAME, name)
    short = JobNames("main", b"secret", 15)
    for name in (short.new() for _ in range(100)):
        assert short.match(name)
        assert not names.match(name)
        assert re.fullmatch(SHORT_NAME, name)
        assert len(name) == 15


@pytest.mark.parametrize("length", [15, 64])
@pytest.mark.parametrize("other", [("main", b"another secret"), ("other", b"secret")])
def test_hubs_do_not_take_each_others_jobs(length, other):
    """Nor those of one name on another machine."""
    ours, theirs = JobNames("main", b"secret", length), JobNames(*other, length)
    assert not ours.match(theirs.new())
    assert not theirs.match(ours.new())


def test_what_is_no_name_of_ours():
    names = JobNames("main", b"secret", 64)
    name = names.new()
    for wrong in ("", "jupyterhub-main", f"{name}0", name[:-1], f"x{name}", f"{name}\n"):
        assert not names.match(wrong)
    # Nothing in a hub's name is a pattern.
    assert not JobNames("a.b", b"s", 64).match(JobNames("a.b", b"s", 64).new().replace(".", "x"))


def test_hub_restarted_knows_its_names():
    assert JobNames("main", b"secret", 64).match(JobNames("main", b"secret", 64).new())


# Local servers


LOCAL = f"""#!{sys.executable}
import json, os, sys
request = json.loads(sys.stdin.read())
if sys.argv[2] == "signal":
    try:
        os.kill(request["pid"], request["signal"])
    except OSError as error:
        sys.exit(str(error))
    sys.exit()
assert sys.argv[1:] == ["local", "run"]
assert "JUPYTERHUB_CRYPT_KEY" not in os.environ
print(os.getpid(), flush=True)
os.dup2(2, 1)
os.execve(request["cmd"][0], request["cmd"], request["env"])
"""


@pytest.fixture
def program(tmp_path):
    """The path of a wrapper to be written, which is called without sudo."""
    path = tmp_path / "batch"
    path.touch(stat.S_IRWXU)
    Wrapper.instance(path=str(path), sudo="env")
    return path


@pytest.fixture
def local(make, program, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", SECRET)
    program.write_text(LOCAL)
    return make("local", cmd=["/bin/sleep", "30"], interrupt_timeout=2)


async def test_local_server_lives_and_ends(local):
    host, port = await local.start()
    assert (host, port) == ("127.0.0.1", local.port)
    assert port
    # The wrapper names its process just before it becomes the server.
    for _ in range(100):
        await asyncio.sleep(0.02)
        environ = pathlib.Path(f"/proc/{local.pid}/environ").read_text()
        if f"JUPYTERHUB_API_TOKEN={TOKEN}" in environ:
            break
    assert f"JUPYTERHUB_API_TOKEN={TOKEN}" in environ
    assert SECRET not in environ
    assert await local.poll() is None
    state = local.get_state()
    # A hub started anew has the number of the process alone.
    process, local.proc = local.proc, None
    local.load_state(state)
    assert await local.poll() is None
    local.proc = process
    await local.stop()
    assert await local.poll() is not None


async def test_local_server_keeps_its_port(make, program):
    program.write_text(LOCAL)
    spawner = make("local", cmd=["/bin/true"], port=12345, ip="0.0.0.0")
    assert await spawner.start() == ("0.0.0.0", 12345)
    spawner.proc.wait()
    assert await spawner.poll() is not None


async def test_local_server_of_an_earlier_hub_is_gone(local):
    local.pid = 2**22 + 1
    assert await local._signal(signal.SIGTERM) is False
    assert await local.poll() == 0


def test_local_options_and_environment(make):
    assert make("local").env_keep == ["LANG", "LC_ALL"]


@pytest.mark.parametrize("text", ["", "refused", "sys.stdin.read(); import time; time.sleep(2)"])
async def test_local_server_which_does_not_start(make, program, text):
    body = text if "sys" in text else f"print({text!r})"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    Wrapper.get().timeout = 0.5
    spawner = make("local", environment={"LONG": "x" * 200_000})
    with pytest.raises(SpawnRefused, match="did not start"):
        await spawner.start()
    spawner.proc.wait()


def test_wrapper_is_executable_here(program):
    """The tests above mean nothing where the temporary directory forbids programs."""
    assert os.access(program, os.X_OK)
