"""Which profile a user gets."""

import asyncio
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import Spawner
from traitlets import Integer, TraitError, Unicode
from traitlets.config import Config

from hpc_gateway.errors import SpawnRefused
from hpc_gateway.profiles import GatewayProfilesSpawner
from hpc_gateway.schedulers import Job, Queue

# As the hub makes its own.
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parents[2] / "templates/hub"),
    autoescape=True,
    enable_async=True,
)

# wrapspawner hands its child an argument that is no trait.
pytestmark = pytest.mark.filterwarnings("ignore:Passing unrecognized arguments")


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """What is known of the clusters, in place of the hub's own tables: none are, unless named."""
    asked = []
    found = SimpleNamespace(asked=asked, refresh_soon=asked.append, snapshots={})
    found.peek = found.snapshots.get
    monkeypatch.setitem(sys.modules, "hpc_gateway.jobs", SimpleNamespace(tables=found))
    return found


class Child(Spawner):
    """Stands for a spawner of a profile."""

    job = Integer(0, config=True)
    running = False

    async def start(self):
        self.running = True
        return ("127.0.0.1", 1234)

    async def stop(self, now=False):
        self.running = False

    async def poll(self):
        return None if self.running else 1

    async def progress(self):
        yield {"message": "child"}

    def get_state(self):
        return super().get_state() | {"running": self.running}

    def load_state(self, state):
        super().load_state(state)
        self.running = state.get("running", False)


class OtherChild(Child):
    pass


class BatchChild(Child):
    """Stands for one that submits jobs."""

    scheduler = "slurm"
    req_nprocs = Unicode("", config=True)
    req_memory = Unicode("", config=True)
    req_runtime = Unicode("", config=True)


class LsfChild(BatchChild):
    scheduler = "lsf"


CORES = {"min": 1, "default": 2, "max": 12}
MEMORY = {"min": "1G", "default": "4G", "max": "64G"}
WALLTIME = {"min": "00:30:00", "default": "02:00:00", "max": "1-12:00:00"}

PROFILES = [
    ("Small", "small", Child, {"job": 1}),
    ("Large", "large", OtherChild, {"job": 2, "start_timeout": 77, "environment": {"B": "2"}}),
    ("For faculty", "faculty", Child, {}),
]


def make(options=None, groups=(), profiles=None, **settings):
    user = SimpleNamespace(
        name="bob",
        url="/",
        groups=[SimpleNamespace(name=group) for group in groups],
        settings={"jinja2_env": TEMPLATES},
    )
    settings = {"profile_groups": {"faculty": ["prof"]}} | settings
    return GatewayProfilesSpawner(
        user=user,
        profiles=PROFILES if profiles is None else profiles,
        user_options={} if options is None else options,
        config=Config(),
        **settings,
    )


def start(spawner):
    async def scenario():
        return await spawner.start()

    return asyncio.run(scenario())


def test_the_profile_asked_for_is_started():
    spawner = make({"profile": "large"})
    assert start(spawner) == ("127.0.0.1", 1234)
    assert type(spawner.child_spawner) is OtherChild
    assert spawner.child_spawner.job == 2
    assert asyncio.run(spawner.poll()) is None


@pytest.mark.parametrize(
    ("settings", "key"), [({}, "small"), ({"default_profile": "large"}, "large")]
)
def test_without_a_choice(settings, key):
    spawner = make(**settings)
    start(spawner)
    assert spawner.child_profile == key


def test_default_profile_which_the_user_may_not_see():
    spawner = make(default_profile="faculty")
    start(spawner)
    assert spawner.child_profile == "small"


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "nope"},
        {"profile": ""},
        {"profile": "Small"},
        {"profile": None},
        {"profile": ["small"]},
        {"profile": 1},
        {"profile": "faculty"},
        {"profile": "small", "req_nprocs": "64"},
        {"nprocs": "64"},
        {"child_class": "jupyterhub.spawner.LocalProcessSpawner"},
    ],
)
def test_anything_else_is_refused(options):
    spawner = make(options)
    with pytest.raises(SpawnRefused) as refusal:
        start(spawner)
    assert refusal.value.status_code == 400
    assert refusal.value.jupyterhub_message
    assert spawner.child_spawner is None


def test_members_of_the_group_get_its_profile():
    spawner = make({"profile": "faculty"}, groups=["staff", "prof"])
    start(spawner)
    assert spawner.child_profile == "faculty"


def test_profile_of_no_group_is_for_nobody():
    spawner = make({"profile": "small"}, groups=["prof"], profile_groups={"small": []})
    with pytest.raises(SpawnRefused):
        start(spawner)


def test_limits_of_the_profile_rule_the_hub_too():
    spawner = make({"profile": "large"}, start_timeout=5)
    start(spawner)
    assert (spawner.start_timeout, spawner.child_spawner.start_timeout) == (77, 77)


def test_environment_of_the_profile_is_added():
    spawner = make({"profile": "large"}, environment={"A": "1", "B": "1"})
    start(spawner)
    assert spawner.child_spawner.environment == {"A": "1", "B": "2"}


def test_profiles_are_not_shared_between_users():
    spawner = make({"profile": "small"})
    start(spawner)
    spawner.child_config["job"] = 99
    assert PROFILES[0][3] == {"job": 1}


def test_duplicate_keys():
    with pytest.raises(TraitError, match="share the key small"):
        make(profiles=[*PROFILES, ("Again", "small", Child, {})])


def test_class_which_is_no_spawner():
    with pytest.raises(TraitError):
        make(profiles=[("A", "a", dict, {})])


def form(spawner):
    return asyncio.run(spawner.get_options_form())


def selected(html):
    """The key of the profile which is selected."""
    (key,) = re.findall(r'<input [^>]*value="([^"]*)"[^>]* checked', html)
    return key


def test_form_offers_what_the_user_may_start():
    html = form(make(default_profile="large"))
    assert re.findall(r'name="profile" value="(.*?)"', html) == ["small", "large"]
    assert re.findall(r'<label [^>]*for="profile-1-.">(.*?)</label>', html) == ["Small", "Large"]
    assert selected(html) == "large"
    assert "faculty" in form(make(groups=["prof"]))


def test_form_is_escaped():
    options = {"req_partition": "<i>q</i>"}
    spawner = make(
        {"profile": 'k"><script>', "walltime": '"><img>'},
        profiles=[("<b>A & {B}</b>", 'k"><script>', BatchChild, options)],
        profile_categories={'k"><script>': "<u>Heading</u>"},
        profile_fields={'k"><script>': {"walltime": WALLTIME}},
    )
    spawner.asked = spawner.user_options
    html = form(spawner)
    assert "&lt;b&gt;A &amp; {B}&lt;/b&gt;" in html
    assert 'value="k&#34;&gt;&lt;script&gt;"' in html
    assert 'value="&#34;&gt;&lt;img&gt;"' in html
    assert not re.search(r"<(b|i|u|img)>|k\"><script>", html)


def test_form_follows_the_groups():
    spawner = make()
    assert "For faculty" not in form(spawner)
    spawner.user.groups = [SimpleNamespace(name="prof")]
    assert "For faculty" in form(spawner)


def test_form_of_one_without_profiles():
    groups = {key: ["nobody"] for _, key, _, _ in PROFILES}
    assert "no profile for your account" in form(make(profile_groups=groups))
    with pytest.raises(SpawnRefused, match="none"):
        start(make(profile_groups=groups))


def test_the_hub_sees_that_there_is_a_form():
    assert make().options_form


def test_form_groups_by_category():
    spawner = make(profile_categories={"small": "Desk", "faculty": "Desk"}, groups=["prof"])
    groups = [
        (group["heading"], [profile["key"] for profile in group["profiles"]])
        for group in spawner.form_groups()
    ]
    assert groups == [("", ["large"]), ("Desk", ["small", "faculty"])]
    assert re.findall(r"<legend.*?>(.*?)</legend>", form(spawner)) == ["Select a profile", "Desk"]


ASKS = [
    ({}, []),
    ({"req_nprocs": "1"}, ["1 core"]),
    (
        {
            "req_nprocs": "2",
            "req_memory": "4gb",
            "req_ngpus": "1",
            "req_runtime": "12:00:00",
            "req_queue": "mesabi",
        },
        ["2 cores", "4 GB", "1 GPU", "12 hours", "queue mesabi"],
    ),
    ({"req_partition": "long", "req_queue": "x", "req_nprocs": ""}, ["queue long"]),
    ({"req_nprocs": 4, "req_memory": None}, ["4 cores"]),
    # What is not plain stands as it is.
    ({"req_memory": "4096", "req_runtime": "UNLIMITED"}, ["memory 4096", "time UNLIMITED"]),
    ({"req_ngpus": "0"}, []),
    ({"req_ngpus": "1-2"}, ["GPUs 1-2"]),
    ({"req_gres": "gpu:a100:2"}, ["2 GPUs (a100)"]),
    ({"req_gres": "gpu:2", "req_ngpus": "9"}, ["2 GPUs"]),
    ({"req_gres": "gpu"}, ["1 GPU"]),
    ({"req_gres": "tmpdisk:100"}, ["tmpdisk:100"]),
]


@pytest.mark.parametrize(("options", "asks"), ASKS, ids=str)
def test_form_says_what_a_profile_asks_for(options, asks):
    spawner = make(profiles=[("A", "a", BatchChild, options)])
    assert spawner.form_groups()[0]["profiles"][0]["asks"] == asks
    assert " · ".join(asks) in form(spawner)


def test_form_data():
    spawner = make()
    assert spawner.options_from_form({"profile": ["small"], "_xsrf": ["x"]}) == {"profile": "small"}
    assert spawner.options_from_query({"profile": ["small"]}) == {"profile": "small"}
    for data in ({}, {"profile": []}, {"profile": ["small", "large"]}, {"profile": ["faculty"]}):
        with pytest.raises(SpawnRefused):
            spawner.options_from_form(data)
    with pytest.raises(SpawnRefused, match="cannot set core, mem"):
        spawner.options_from_query({"profile": ["small"], "core": ["2"], "mem": ["1"]})


# What may be chosen within a profile


def make_fields(options=None, cls=BatchChild, **settings):
    """A user with profiles `a`, of which all may be chosen, and `b`, of which nothing may."""
    fields = {"cores": CORES, "memory": MEMORY, "walltime": WALLTIME}
    return make(
        options,
        profiles=[
            ("A", "a", cls, {"req_nprocs": "99", "req_partition": "short"}),
            ("B", "b", cls, {"req_nprocs": "8"}),
        ],
        **{"profile_fields": {"a": fields}, "profile_groups": {}} | settings,
    )


def requests(spawner):
    """What the profile's spawner asks the batch system for."""
    start(spawner)
    child = spawner.child_spawner
    return child.req_nprocs, child.req_memory, child.req_runtime


CHOSEN = [
    ({"profile": "a"}, ("2", "4G", "02:00:00")),
    ({"profile": "b"}, ("8", "", "")),
    (
        {"profile": "a", "cores": "12", "memory": "64G", "walltime": "36:00:00"},
        ("12", "64G", "36:00:00"),
    ),
    ({"profile": "a", "cores": 1, "memory": "1g", "walltime": 30}, ("1", "1G", "00:30:00")),
    # Written anew, in the site's own way.
    ({"profile": "a", "cores": " 007 "}, ("7", "4G", "02:00:00")),
    ({"profile": "a", "memory": "4096 MiB"}, ("2", "4G", "02:00:00")),
    ({"profile": "a", "memory": "1.5gb"}, ("2", "1536M", "02:00:00")),
    ({"profile": "a", "walltime": "1-1:30:00"}, ("2", "4G", "25:30:00")),
    ({"profile": "a", "walltime": "90"}, ("2", "4G", "01:30:00")),
]


@pytest.mark.parametrize(("options", "found"), CHOSEN, ids=str)
def test_choice_within_bounds(options, found):
    assert requests(make_fields(options)) == found


def test_choice_is_written_as_the_site_writes():
    fields = {"memory": {"min": "1gb", "default": "1gb", "max": "8gb"}, "walltime": WALLTIME}
    options = {"profile": "a", "memory": "2G", "walltime": "01:30:01"}
    spawner = make_fields(options, LsfChild, profile_fields={"a": fields})
    assert requests(spawner) == ("99", "2gb", "01:31")


REFUSED = [
    ({"profile": "a", "cores": "13"}, "Cores: 13 is not within 1 to 12 cores"),
    ({"profile": "a", "cores": "0"}, "is not within"),
    ({"profile": "a", "cores": "-1"}, "'-1' is not a whole number"),
    ({"profile": "a", "cores": "2.5"}, "is not a whole number"),
    ({"profile": "a", "cores": "٣"}, "is not a whole number"),
    ({"profile": "a", "cores": "2\n#SBATCH --exclusive"}, "is not a whole number"),
    ({"profile": "a", "cores": ""}, "is not a whole number"),
    ({"profile": "a", "cores": True}, "that is no value for it"),
    ({"profile": "a", "cores": ["2"]}, "that is no value for it"),
    ({"profile": "a", "cores": "2" * 41}, "that is no value for it"),
    ({"profile": "a", "memory": "65G"}, "Memory: 65G is not within 1 to 64 GB"),
    ({"profile": "a", "memory": "1023M"}, "is not within"),
    ({"profile": "a", "memory": "4096"}, "is not an amount of memory such as 4G"),
    ({"profile": "a", "memory": "4G --exclusive"}, "is not an amount of memory"),
    ({"profile": "a", "memory": "4GX"}, "is not an amount of memory"),
    ({"profile": "a", "walltime": "36:00:01"}, "Time: 36:00:01 is not within 30 minutes to 36 hou"),
    ({"profile": "a", "walltime": "29"}, "is not within"),
    ({"profile": "a", "walltime": "02:00"}, "is not a time such as 02:00:00"),
    ({"profile": "a", "walltime": "01:60:00"}, "is not a time"),
    ({"profile": "a", "walltime": "UNLIMITED"}, "is not a time"),
    ({"profile": "b", "cores": "2"}, "cannot be set here: cores"),
    ({"profile": "a", "nprocs": "2"}, "cannot be set here: nprocs"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=str)
def test_choice_that_is_refused(options, words):
    spawner = make_fields(options)
    with pytest.raises(SpawnRefused, match=re.escape(words)) as refusal:
        start(spawner)
    assert refusal.value.status_code == 400
    assert spawner.child_spawner is None


def test_choice_by_form_and_by_link():
    spawner = make_fields()
    data = {"profile": ["a"], "cores:a": [" 3 "], "memory:a": [""], "cores:b": ["77"]}
    assert spawner.options_from_form(data) == {"profile": "a", "cores": "3"}
    query = {"profile": ["a"], "walltime": ["01:00:00"]}
    assert spawner.options_from_query(query) == {"profile": "a", "walltime": "01:00:00"}
    for data, words in [
        ({"profile": ["a"], "cores:a": ["13"]}, "not within"),
        ({"profile": ["a"], "cores:a": ["1", "2"]}, "Give cores once"),
        ({"profile": ["b"], "cores": ["1"]}, "cannot be set here: cores"),
        ({"profile": ["b"], "cores:b": ["1"]}, "cannot be set here: cores"),
    ]:
        with pytest.raises(SpawnRefused, match=words):
            spawner.options_from_form(data)


def values(html):
    return dict(re.findall(r'name="(\w+:\w+)"\s+value="(.*?)"', html))


DEFAULTS = {"cores:a": "2", "memory:a": "4G", "walltime:a": "02:00:00"}


def test_form_of_fields():
    html = form(make_fields())
    assert values(html) == DEFAULTS
    assert "1 to 12 cores · 1 to 64 GB · 30 minutes to 36 hours · queue short" in html
    assert 'type="number" min="1" max="12"' in html
    for name in ("cores", "memory", "walltime"):
        assert f'for="profile-1-1-{name}"' in html
        assert f'id="profile-1-1-{name}-hint"' in html


REMEMBERED = [
    ({"profile": "a", "cores": "3", "walltime": "90"}, "a", {"cores:a": "3", "walltime:a": "90"}),
    ({"profile": "a", "cores": 4}, "a", {"cores:a": "4"}),
    # Overtaken by the site, or never sound.
    ({"profile": "a", "cores": "13", "memory": ["x"]}, "a", {}),
    ({"profile": "gone", "cores": "3"}, "b", {}),
    ({"profile": ["a"]}, "b", {}),
    ({"profile": "b", "cores": "3"}, "b", {}),
    ({}, "b", {}),
]


@pytest.mark.parametrize(("options", "key", "changed"), REMEMBERED, ids=str)
def test_form_opens_with_the_last_choice(options, key, changed):
    html = form(make_fields(options, default_profile="b"))
    assert selected(html) == key
    assert values(html) == DEFAULTS | changed


def test_last_choice_that_is_no_longer_for_this_user():
    assert selected(form(make({"profile": "faculty"}, groups=["prof"]))) == "faculty"
    assert selected(form(make({"profile": "faculty"}))) == "small"


def test_form_shows_again_what_was_refused():
    spawner = make_fields({"profile": "b"})
    with pytest.raises(SpawnRefused):
        spawner.options_from_form({"profile": ["a"], "cores:a": ["13"]})
    html = form(spawner)
    assert selected(html) == "a"
    assert values(html) == DEFAULTS | {"cores:a": "13"}
    # Until a server has been started by another way.
    start(spawner)
    assert selected(form(spawner)) == "b"


UNSOUND = [
    ({"gpus": CORES}, "gpus: no such field; the fields are cores, memory, walltime"),
    ({"cores": {"min": 1, "max": 2}}, "cores: must have min, default and max"),
    ({"cores": CORES | {"step": 1}}, "cores: must have min, default and max"),
    ({"memory": MEMORY | {"max": "64"}}, "memory: max '64' is not an amount of memory"),
    ({"walltime": WALLTIME | {"min": "1h"}}, "walltime: min '1h' is not a time"),
    ({"cores": CORES | {"default": 13}}, "cores: must be above 0, and default within min and max"),
    ({"cores": CORES | {"min": 0}}, "cores: must be above 0"),
]


@pytest.mark.parametrize(("fields", "words"), UNSOUND, ids=str)
def test_unsound_fields(fields, words):
    with pytest.raises(TraitError, match=re.escape(f"Profile 'a': {words}")):
        make_fields(profile_fields={"a": fields})


# How soon


def test_form_says_how_soon(tables):
    tables.snapshots["slurm"] = SimpleNamespace(
        age=1, jobs=[], queues={"short": Queue("short", 10, 3), "long": Queue("long", 8, 0)}
    )
    tables.snapshots["beta"] = SimpleNamespace(
        age=1,
        jobs=[Job("1", "x", "eve", "pending", cores=2)],
        queues={"only": Queue("only", 4, 0)},
    )
    queue = {"req_partition": "short"}
    spawner = make(
        profiles=[
            ("A", "a", BatchChild, queue),
            ("B", "b", BatchChild, queue | {"req_nprocs": "4"}),
            ("C", "c", BatchChild, queue | {"req_ngpus": "1"}),
            ("D", "d", BatchChild, queue | {"req_nprocs": "1"}),
            ("E", "e", BatchChild, {"cluster": "beta"}),
            ("F", "f", BatchChild, {"cluster": "gamma", "req_queue": "x"}),
            ("G", "g", BatchChild, {}),
            ("L", "l", Child, {}),
        ],
        profile_fields={"d": {"cores": {"min": 1, "default": 4, "max": 8}}},
    )
    found = {
        profile["key"]: profile["availability"] and profile["availability"].text
        for profile in spawner.form_groups()[0]["profiles"]
    }
    assert found == {
        "a": "starts at once; 3 of 10 cores free",
        "b": "3 of 10 cores free",
        "c": "3 of 10 cores free",
        "d": "3 of 10 cores free",
        "e": "1 job waits; 0 of 4 cores free",
        "f": "not known",
        # The scheduler's default queue, which nobody here knows.
        "g": None,
        "l": None,
    }
    assert set(tables.asked) == {"slurm", "beta", "gamma"}
    html = form(spawner)
    assert "Now: starts at once; 3 of 10 cores free" in html
    assert html.count("Now: ") == 6
    described = set(" ".join(re.findall(r'aria-describedby="(.*?)"', html)).split())
    assert described <= set(re.findall(r' id="(.*?)"', html))


def test_no_warning_of_unhandled_options(caplog):
    spawner = make({"profile": "small"})
    spawner.log.propagate = True
    asyncio.run(spawner._run_apply_user_options({"profile": "small"}))
    assert not caplog.text


def test_no_warning_of_the_shared_database(caplog):
    spawner = make()
    spawner.log.propagate = True
    start(spawner)
    assert not caplog.text


async def messages(spawner):
    found = []
    async for event in spawner.progress():
        found.append(event)
        break
    return found


def test_progress():
    spawner = make()
    # As the hub's own spawner has it, while there is no child.
    assert asyncio.run(messages(spawner))[0]["message"] != "child"
    start(spawner)
    assert asyncio.run(messages(spawner)) == [{"message": "child"}]


# After a restart of the hub


def state_of(key="large"):
    spawner = make({"profile": key})
    start(spawner)
    return spawner.get_state()


def test_state_survives():
    spawner = make()
    spawner.load_state(state_of())
    assert type(spawner.child_spawner) is OtherChild
    assert spawner.child_spawner.running
    assert spawner.get_state() == state_of()


def test_choice_survives():
    spawner = make_fields({"profile": "a", "cores": "3"})
    start(spawner)
    again = make_fields()
    again.load_state(spawner.get_state())
    assert again.child_spawner.req_nprocs == "3"


def test_state_of_a_profile_that_is_gone_still_manages_the_server():
    spawner = make(profiles=PROFILES[:1])
    spawner.load_state(state_of())
    assert type(spawner.child_spawner) is OtherChild
    assert spawner.child_spawner.job == 2
    assert asyncio.run(spawner.poll()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"profile": "gone", "child_class": "no.such.Class"},
        {"profile": "gone", "child_class": "json.JSONDecoder"},
        {"child_conf": {"job": "text"}},
    ],
)
def test_unreadable_state_does_not_stop_the_hub(change):
    spawner = make()
    spawner.load_state(state_of() | change)
    assert spawner.child_spawner is None
    assert asyncio.run(poll(spawner)) == 1


async def poll(spawner):
    return await spawner.poll()


def test_state_of_another_version_without_a_class():
    spawner = make()
    state = state_of() | {"profile": "gone"}
    del state["child_class"]
    spawner.load_state(state)
    # Above all not a process on the hub's own machine.
    assert spawner.child_spawner is None


def test_no_state(caplog):
    spawner = make()
    spawner.log.propagate = True
    spawner.load_state({})
    assert not caplog.text
    assert spawner.child_spawner is None
    start(spawner)
    spawner.clear_state()
    assert spawner.child_spawner is None
