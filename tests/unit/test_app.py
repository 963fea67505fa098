"""The sweep: no job stays behind, and none is taken that somebody needs."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from fake_cluster import DOWN, INTERVAL, until
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

from hpc_gateway import app
from hpc_gateway.app import GatewayHub, scheduler_notices
from hpc_gateway.jobs import JobTables
from hpc_gateway.schedulers import Job
from hpc_gateway.spawners import ALIASES, JobNames
from hpc_gateway.transport import SchedulerError

COOKIE_SECRET = b"secret of this hub, 32 bytes long"

PROFILES = [
    ("Local", "local", ALIASES["local"], {}),
    ("Foreign", "foreign", SimpleLocalProcessSpawner, {"cmd": ["x"]}),
    ("Small", "small", ALIASES["slurm"], {"req_memory": "1G"}),
    ("Large", "large", ALIASES["slurm"], {"cluster": "alpha", "req_memory": "9G"}),
]


@pytest.fixture
def gateway(db):
    """A hub that has its database and its profiles; nothing of it is started."""
    GatewayHub.clear_instance()
    config = Config({"GatewayProfilesSpawner": {"profiles": PROFILES}})
    hub = GatewayHub(config=config, cookie_secret=COOKIE_SECRET, sweep_interval=INTERVAL)
    hub.db = db
    yield hub
    GatewayHub.clear_instance()


@pytest.fixture
def name():
    """A name such as this hub's jobs have."""
    return JobNames("main", COOKIE_SECRET, 64).new()


@pytest.fixture
def server(db):
    """Puts a server with some state into the database."""

    def server(state, running=True, user="bob"):
        person = orm.User(name=user)
        db.add(person)
        spawner = orm.Spawner(name="", user=person, state=state)
        if running:
            spawner.server = orm.Server(base_url=f"/user/{user}/")
        db.add(spawner)
        db.commit()

    return server


async def look(gateway, suspects=frozenset()):
    """One look of the sweep, for which the scheduler is asked anew."""
    await asyncio.sleep(1.5 * INTERVAL)
    return await gateway.sweep(suspects)


def test_it_is_jupyterhub_in_the_configuration():
    assert GatewayHub.name == JupyterHub.name == "jupyterhub"
    hub = GatewayHub(config=Config({"JupyterHub": {"base_url": "/x/"}}))
    assert hub.base_url == "/x/"


async def test_cancelled_at_the_second_look(gateway, cluster, name, caplog):
    gateway.log.propagate = True
    cluster.jobs = [Job("7", name, "bob", "running", host="n")]
    suspects = await look(gateway)
    assert suspects == {("slurm", "7"), ("alpha", "7")}
    assert cluster.count("cancel") == 0
    await look(gateway, suspects)
    (call,) = cluster.of("cancel", cluster="slurm")
    assert call.request == {"job_id": "7", "name": name}
    assert call.user == "bob"
    assert "Cancelling job 7 of bob on slurm: no server belongs to it" in caplog.text
    assert cluster.jobs == []
    assert await look(gateway) == set()


async def test_only_what_both_looks_have_seen(gateway, cluster, name):
    cluster.jobs = [Job("7", name, "bob", "pending")]
    await look(gateway, {("slurm", "8"), ("beta", "7")})
    assert cluster.count("cancel") == 0


async def test_jobs_of_servers_are_left(gateway, cluster, server, name):
    second = JobNames("main", COOKIE_SECRET, 64).new()
    server({"job_id": "7", "job_name": name})
    # Within a profile.
    server({"child_state": {"job_name": second}, "child_conf": {}}, user="eve")
    cluster.jobs = [Job("7", name, "bob", "pending"), Job("8", second, "eve", "running")]
    assert await look(gateway) == set()


@pytest.mark.parametrize("state", [None, {}, {"child_state": None}, {"child_state": {}}])
async def test_servers_without_jobs(gateway, cluster, server, name, state):
    server(state)
    cluster.jobs = [Job("7", name, "bob", "pending"), Job("8", "", "bob", "pending")]
    assert await look(gateway) == {("slurm", "7"), ("alpha", "7")}


async def test_job_of_a_server_that_was_stopped(gateway, cluster, server, name):
    """Its state may have been left over."""
    server({"job_name": name}, running=False)
    cluster.jobs = [Job("7", name, "bob", "running")]
    assert ("slurm", "7") in await look(gateway)


async def test_job_that_is_submitted_meanwhile(gateway, cluster, server, name):
    """It is in the database before the scheduler has it."""

    def submit(call):
        if not cluster.jobs:
            server({"job_name": name})
            cluster.jobs = [Job("7", name, "bob", "pending")]
        return cluster.do_jobs(call)

    cluster.answers["jobs"] = [submit]
    assert await look(gateway) == set()


@pytest.mark.parametrize(
    "other",
    [
        "wrap",
        "",
        "jupyterhub-main",
        JobNames("main", b"of another hub of this name", 64).new(),
        JobNames("other", COOKIE_SECRET, 64).new(),
        JobNames("main", COOKIE_SECRET, 64).new() + "0",
        "x" + JobNames("main", COOKIE_SECRET, 64).new(),
    ],
)
async def test_jobs_of_others_are_left(gateway, cluster, other):
    cluster.jobs = [Job("7", other, "bob", "running")]
    suspects = {("slurm", "7"), ("alpha", "7")}
    assert await look(gateway, suspects) == set()
    assert cluster.count("cancel") == 0


async def test_jobs_that_have_ended_are_left(gateway, cluster, name):
    cluster.jobs = [Job("7", name, "bob", "ended")]
    assert await look(gateway, {("slurm", "7")}) == set()


async def test_silent_cluster_hides_no_other(gateway, cluster, name):
    cluster.jobs = [Job("7", name, "bob", "running")]

    def answer(call):
        if call.cluster == "slurm":
            raise DOWN
        return cluster.do_jobs(call)

    cluster.answers["jobs"] = [answer]
    assert await look(gateway) == {("alpha", "7")}


async def test_cancel_that_fails_is_told_and_tried_again(gateway, cluster, name, caplog):
    gateway.log.propagate = True
    cluster.jobs = [Job("7", name, "bob", "running"), Job("8", name[:-1] + "0", "eve", "running")]
    suspects = {("slurm", "7"), ("slurm", "8")}
    cluster.answers["cancel"] = [SchedulerError("scancel: error: Access/permission denied", 1)]
    assert await look(gateway, suspects) >= suspects
    assert "Job 7 of bob is not cancelled: scancel: error: Access" in caplog.text
    assert cluster.count("cancel") == 2
    cluster.answers.clear()
    await look(gateway, suspects)
    assert cluster.jobs == []


async def test_short_names_where_the_scheduler_has_them(gateway, cluster):
    gateway.config.GatewayProfilesSpawner.profiles = [("T", "t", ALIASES["torque"], {})]
    short = JobNames("main", COOKIE_SECRET, 15).new()
    cluster.jobs = [Job("7", short, "bob", "running")]
    assert await look(gateway) == {("torque", "7")}


async def test_name_of_the_hub(gateway, cluster):
    gateway.config.GatewayBatchMixin.hub_name = "beta"
    cluster.jobs = [Job("7", JobNames("beta", COOKIE_SECRET, 64).new(), "bob", "running")]
    assert ("slurm", "7") in await look(gateway)


async def test_no_profiles(gateway, cluster):
    gateway.config = Config()
    assert await look(gateway) == set()
    assert not cluster.calls


async def test_from_the_start_on(gateway, cluster, name, monkeypatch):
    began = []

    async def start(self):
        began.append(True)

    monkeypatch.setattr(JupyterHub, "start", start)
    cluster.jobs = [Job("7", name, "bob", "running"), Job("8", "other", "eve", "running")]
    await gateway.start()
    assert began
    await until(lambda: len(cluster.jobs) == 1)
    assert cluster.jobs[0].id == "8"
    gateway.sweeper.cancel()


async def test_it_goes_on_after_a_fault(gateway, cluster, name, monkeypatch, caplog):
    gateway.log.propagate = True
    known, faults = GatewayHub.known_names, iter([OSError("database is locked")])

    def faulty(self):
        for fault in faults:
            raise fault
        return known(self)

    monkeypatch.setattr(GatewayHub, "known_names", faulty)
    cluster.jobs = [Job("7", name, "bob", "running")]
    sweeper = asyncio.ensure_future(gateway.sweep_again_and_again())
    await until(lambda: not cluster.jobs)
    assert "database is locked" in caplog.text
    sweeper.cancel()


async def test_it_pauses(gateway, cluster, monkeypatch):
    gateway.sweep_interval = 60
    sweeper = asyncio.ensure_future(gateway.sweep_again_and_again())
    await asyncio.sleep(10 * INTERVAL)
    assert cluster.count("jobs", cluster="slurm") == 1
    sweeper.cancel()


# On every page


async def test_notices(cluster):
    tables = JobTables.get()
    tables.clusters |= {"<b>": {"scheduler": "slurm", "interval": INTERVAL}}
    user = SimpleNamespace(name="bob")
    assert scheduler_notices(user) == []
    tables.table("<b>").silent_since = time.monotonic() - 30
    assert scheduler_notices(user) == []
    tables.table("<b>").silent_since = time.monotonic() - 185
    tables.table("slurm")
    assert scheduler_notices(user) == [
        "The batch system &lt;b&gt; has not answered for 3 minutes. Servers that run are left as "
        "they are; new ones may not start."
    ]


@pytest.mark.parametrize("own", [None, "the site's own"])
def test_page_template_has_them(gateway, monkeypatch, own):
    later = []
    monkeypatch.setattr(JupyterHub, "init_tornado_settings", lambda self: later.append(self))
    if own:
        gateway.template_vars = {"scheduler_notices": own}
    gateway.init_tornado_settings()
    assert gateway.template_vars["scheduler_notices"] == (own or scheduler_notices)
    assert later == [gateway]


def test_main(monkeypatch):
    started = []
    monkeypatch.setattr(GatewayHub, "launch_instance", lambda: started.append(GatewayHub))
    app.main()
    assert started == [GatewayHub]
