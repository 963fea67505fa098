"""Which profile a user gets."""

import asyncio
from types import SimpleNamespace

import pytest
from jupyterhub.spawner import Spawner
from traitlets import Integer, TraitError
from traitlets.config import Config

from hpc_gateway.errors import SpawnRefused
from hpc_gateway.profiles import GatewayProfilesSpawner

# wrapspawner hands its child an argument that is no trait.
pytestmark = pytest.mark.filterwarnings("ignore:Passing unrecognized arguments")


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


PROFILES = [
    ("Small", "small", Child, {"job": 1}),
    ("Large", "large", OtherChild, {"job": 2, "start_timeout": 77, "environment": {"B": "2"}}),
    ("For faculty", "faculty", Child, {}),
]


def make(options=None, groups=(), profiles=None, **settings):
    user = SimpleNamespace(
        name="bob", url="/", groups=[SimpleNamespace(name=group) for group in groups]
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


def test_form_offers_what_the_user_may_start():
    html = form(make(default_profile="large"))
    assert '<label class="form-label" for="profile">' in html
    assert 'id="profile" name="profile"' in html
    assert '<option value="small">Small</option>' in html
    assert '<option value="large" selected>Large</option>' in html
    assert "faculty" not in html
    assert "faculty" in form(make(groups=["prof"]))


def test_form_is_escaped():
    html = form(make(profiles=[("<b>A & {B}</b>", 'k"><script>', Child, {})]))
    assert "&lt;b&gt;A &amp; {B}&lt;/b&gt;" in html
    assert 'value="k&quot;&gt;&lt;script&gt;"' in html
    assert "<script>" not in html


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


def test_form_data():
    spawner = make()
    assert spawner.options_from_form({"profile": ["small"], "_xsrf": ["x"]}) == {"profile": "small"}
    assert spawner.options_from_query({"profile": ["small"]}) == {"profile": "small"}
    for data in ({}, {"profile": []}, {"profile": ["small", "large"]}):
        with pytest.raises(SpawnRefused):
            spawner.options_from_form(data)


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
