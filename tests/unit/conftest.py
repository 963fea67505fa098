"""The hub's own objects around a spawner, and the cluster its jobs go to."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cluster import INTERVAL, TOKEN, Cluster
from jupyterhub import orm
from jupyterhub.user import User
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from hpc_gateway import spawners
from hpc_gateway.jobs import JobTables
from hpc_gateway.transport import Wrapper

TEMPLATES = Path(__file__).resolve().parents[2] / "templates/batch"


class Proxy:
    def __init__(self):
        self.routes = []

    async def add_user(self, user, server_name=""):
        self.routes.append(user.spawners[server_name].server.host)


@pytest.fixture(autouse=True)
def own_singletons():
    """Each test has a hub of its own."""
    Wrapper.clear_instance()
    JobTables.clear_instance()
    yield
    Wrapper.clear_instance()
    JobTables.clear_instance()


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()

    async def call(self, *args, **kwargs):
        return await made.call(*args, **kwargs)

    async def ask(self, cluster, verb, user=None):
        return json.loads(await made.call(cluster, verb, user=user))["outputs"]

    async def listens(host, port):
        return True

    # There are no such nodes.
    monkeypatch.setattr(spawners, "listens", listens)
    monkeypatch.setattr(Wrapper, "call", call)
    monkeypatch.setattr(Wrapper, "ask", ask)
    names = [*spawners.ALIASES, "alpha"]
    JobTables.instance(
        clusters={name: {"scheduler": "slurm", "interval": INTERVAL} for name in names}
    )
    return made


@pytest.fixture
def table(cluster):
    return JobTables.get().table("slurm")


@pytest.fixture
def db():
    # As orm.new_session_factory(), which takes its time for migrations.
    engine = create_engine("sqlite:///:memory:")
    orm.Base.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
        yield session
    engine.dispose()


@pytest.fixture
def hub(db):
    """The hub's settings, and the users who have signed in."""
    return SimpleNamespace(
        db=db,
        settings={
            "cookie_secret": b"secret of this hub",
            "proxy": Proxy(),
            "hub": SimpleNamespace(
                public_host="", api_url="http://hub:8081/hub/api", base_url="/hub/"
            ),
        },
        config=Config(),
    )


@pytest.fixture
def make(hub):
    """Makes a spawner as the hub does, with a server in the database as during a start.

    Made once more for the same user, it is that of a hub which has been started again.
    """

    def make(alias="slurm", user="bob", token=TOKEN, **settings):
        cls = import_item(spawners.ALIASES.get(alias, alias))
        orm_user = hub.db.query(orm.User).filter_by(name=user).one_or_none()
        if orm_user is None:
            orm_user = orm.User(name=user)
            hub.db.add(orm_user)
            hub.db.commit()
        # Unlike the hub's, a new one each time: what a hub knows after its restart.
        person = User(orm_user, hub.settings | {"spawner_class": cls, "config": hub.config})
        if not orm_user.orm_spawners[""].server:
            orm_user.orm_spawners[""].server = orm.Server(base_url=f"/user/{user}/")
            hub.db.commit()
        values = {
            "batchspawner_singleuser_cmd": "/nb/notebook-server",
            "script_directory": str(TEMPLATES),
            "req_homedir": f"/home/{user}",
            "start_timeout": 5,
            "cmd": ["/nb/jupyterhub-singleuser"],
        } | settings
        traits = cls.class_trait_names()
        # The latter are what a start has brought about.
        known = {name: values.pop(name) for name in ("job_id", "job_name") if name in values}
        values = {name: value for name, value in values.items() if name in traits}
        spawner = person._new_spawner("", **values)
        person.spawners[""] = spawner
        spawner.api_token = token
        for name, value in known.items():
            setattr(spawner, name, value)
        return spawner

    return make
