"""Who may sign in by the identity header, and what becomes of it."""

import asyncio
import grp
import os
import pwd
from types import SimpleNamespace

import pytest
from tornado import web
from tornado.httputil import HTTPHeaders

from hpc_gateway.authenticator import (
    GatewayAuthenticator,
    GatewayLoginHandler,
    GatewayLogoutHandler,
)
from hpc_gateway.jobs import JobTables
from hpc_gateway.transport import SchedulerError, Wrapper

ACCOUNTS = {"bob": 1001, "root": 0, "daemon": 1, "toor": 0, "nobody": 65534, "jürgen": 1002}


@pytest.fixture(autouse=True)
def accounts(monkeypatch):
    def getpwnam(name):
        return SimpleNamespace(pw_name=name, pw_uid=ACCOUNTS[name], pw_gid=100)

    def getgrgid(gid):
        return SimpleNamespace(gr_name={100: "users", 200: "hpc"}[gid])

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    # One of them has no name.
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 200, 300])
    monkeypatch.setattr(grp, "getgrgid", getgrgid)


def authenticator(**settings):
    settings = {"username_pattern": "^[a-z_][a-z0-9_-]{0,31}$", "allow_all": True} | settings
    return GatewayAuthenticator(**settings)


def handler(*headers):
    """A request with these headers, as tornado holds them."""
    found = HTTPHeaders()
    for name, value in headers:
        found.add(name, value)
    return SimpleNamespace(request=SimpleNamespace(headers=found))


def login(*headers, **settings):
    hub = authenticator(**settings)
    return asyncio.run(hub.get_authenticated_user(handler(*headers), None))


@pytest.mark.parametrize("spelling", ["Remote_User", "Remote-User", "REMOTE_USER", "remote-user"])
def test_one_value_in_any_spelling_signs_in(spelling):
    assert login((spelling, "bob"))["name"] == "bob"


def test_name_is_normalised():
    assert login(("Remote_User", "Bob"))["name"] == "bob"


def test_another_header_can_be_configured():
    assert login(("X-Sso", "bob"), header_name="X_SSO")["name"] == "bob"
    with pytest.raises(web.HTTPError):
        login(("Remote_User", "bob"), header_name="X_SSO")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("Remote_User", "")], 401),
        ([("Remote_User", "(null)")], 403),
        ([("Remote_User", "root")], 403),
        ([("Remote_User", "ROOT")], 403),
        ([("Remote_User", "toor")], 403),
        ([("Remote_User", "daemon")], 403),
        ([("Remote_User", "nobody")], 403),
        ([("Remote_User", "nobody-here")], 403),
        ([("Remote_User", "bob, root")], 403),
        ([("Remote_User", "bob,bob")], 403),
        ([("Remote_User", "bob"), ("Remote_User", "bob")], 403),
        ([("Remote_User", "bob"), ("Remote-User", "root")], 403),
        ([("Remote_User", "bob"), ("Remote-User", "")], 403),
        ([("Remote_User", "../bob")], 403),
        ([("Remote_User", "bob/x")], 403),
        ([("Remote_User", "bob;x")], 403),
        ([("Remote_User", "bob x")], 403),
        ([("Remote_User", "-bob")], 403),
        ([("Remote_User", "bob%2fx")], 403),
        ([("Remote_User", "b" * 33)], 403),
        # UTF-8 bytes read as Latin-1: the Kelvin sign, of which lower() makes an ordinary k
        ([("Remote_User", "\u212aim".encode().decode("latin-1"))], 403),
        ([("Remote_User", "bob"), ("Remote_User_Data", "a"), ("Remote-User-Data", "b")], 403),
    ],
)
def test_refused(headers, status):
    with pytest.raises(web.HTTPError) as refusal:
        login(*headers)
    assert refusal.value.status_code == status
    assert refusal.value.log_message  # the page says why
    assert refusal.value.reason in ("Forbidden", "Unauthorized")


@pytest.mark.parametrize(
    "name", ["bob, root", "(null)", "root", "\u212aim".encode().decode("latin-1")]
)
def test_refused_whatever_the_pattern(name):
    with pytest.raises(web.HTTPError):
        login(("Remote_User", name), username_pattern=".+", require_account=False)


def test_pattern_must_match_as_a_whole():
    """An administrator's pattern without ^ and $ means the whole name too."""
    hub = authenticator(username_pattern="[a-z]+")
    assert hub.validate_username("bob")
    assert not hub.validate_username("bob.x")


def test_without_a_pattern_the_hub_still_has_its_own_rules():
    hub = authenticator(username_pattern="")
    assert hub.validate_username("jo.doe")
    assert not hub.validate_username("a/b")


def test_utf8_names_are_decoded():
    sent = "Jürgen".encode().decode("latin-1")
    assert login(("Remote_User", sent), username_pattern=r"\w+")["name"] == "jürgen"


def test_latin1_names_stay_as_they_are():
    assert login(("Remote_User", "j\xfcrgen"), username_pattern=r"\w+")["name"] == "jürgen"


def test_unknown_account_is_let_in_on_request():
    model = login(("Remote_User", "stranger"), require_account=False)
    assert model["name"] == "stranger"


def test_system_account_is_refused_even_then():
    with pytest.raises(web.HTTPError):
        login(("Remote_User", "daemon"), require_account=False)


def test_minimum_uid():
    with pytest.raises(web.HTTPError):
        login(("Remote_User", "bob"), minimum_uid=1002)
    assert login(("Remote_User", "bob"), minimum_uid=1001)


def test_root_stays_out_whatever_is_configured():
    with pytest.raises(Exception, match="minimum_uid"):
        authenticator(minimum_uid=0)


def test_unknown_account_reads_why():
    with pytest.raises(web.HTTPError, match="no account of that name"):
        login(("Remote_User", "stranger"))


def test_data_become_auth_state_and_groups():
    model = login(("Remote_User", "bob"), ("Remote_User_Data", "staff; faculty;;bob@x.org;a b"))
    assert model["auth_state"] == {
        "name": "bob",
        "data": ["staff", "faculty", "bob@x.org", "a b"],
    }
    assert model["groups"] == ["staff", "faculty"]


@pytest.mark.parametrize("data", ["", "(null)", ";"])
def test_no_data_means_no_groups(data):
    model = login(("Remote_User", "bob"), ("Remote_User_Data", data))
    assert model["groups"] == []
    assert model["auth_state"]["data"] == []
    assert login(("Remote_User", "bob"))["groups"] == []


def test_groups_are_managed_by_default():
    assert authenticator().manage_groups


def test_allow_list():
    settings = {"allow_all": False, "allowed_users": {"bob"}}
    assert login(("Remote_User", "bob"), **settings)
    assert login(("Remote_User", "bob"), **(settings | {"allowed_users": {"al"}})) is None


def test_allowed_groups():
    settings = {"allow_all": False, "allowed_groups": {"faculty"}}
    assert login(("Remote_User", "bob"), ("Remote_User_Data", "faculty"), **settings)
    assert login(("Remote_User", "bob"), ("Remote_User_Data", "staff"), **settings) is None
    assert login(("Remote_User", "bob"), **settings) is None
    assert not authenticator(**settings).check_allowed("bob")


def test_being_struck_off_the_list_ends_the_access():
    assert authenticator(allowed_users={"al"}).allow_existing_users is False


def test_block_list_beats_all():
    assert login(("Remote_User", "bob"), blocked_users={"bob"}) is None


FACULTY = ("Remote_User_Data", "faculty")


def test_block_list_of_groups_beats_all():
    settings = {"blocked_groups": {"faculty"}, "allowed_users": {"bob"}}
    assert login(("Remote_User", "bob"), FACULTY, **settings) is None
    assert login(("Remote_User", "bob"), **settings)


def test_being_blocked_by_a_group_ends_the_session():
    hub = authenticator(blocked_groups={"faculty"})
    assert asyncio.run(hub.refresh_user(person("faculty"))) is False
    assert asyncio.run(hub.refresh_user(person("staff"))) is True


def test_groups_by_other_names():
    names = {"urn:x:hpc": "hpc", "faculty": "staff"}
    data = ("Remote_User_Data", "urn:x:hpc; urn:x:other;faculty")
    assert login(("Remote_User", "bob"), data, group_names=names)["groups"] == ["hpc", "staff"]


def test_groups_of_the_account():
    model = login(("Remote_User", "bob"), FACULTY, groups_from="account")
    assert model["groups"] == ["users", "hpc"]


def test_groups_of_somebody_without_an_account():
    settings = {"groups_from": "account", "require_account": False}
    assert login(("Remote_User", "stranger"), FACULTY, **settings)["groups"] == []


def test_admins_by_group():
    settings = {"admin_groups": {"faculty"}, "admin_users": {"root"}}
    assert login(("Remote_User", "bob"), FACULTY, **settings)["admin"] is True
    # Not None, which would leave the rights of an earlier sign-in in place.
    assert login(("Remote_User", "bob"), **settings)["admin"] is False
    assert not login(("Remote_User", "bob"), FACULTY)["admin"]


@pytest.mark.parametrize("headers", [[("Remote_User", "stranger")], [("Remote_User", "daemon")]])
def test_refused_people_read_whom_to_ask(headers):
    with pytest.raises(web.HTTPError, match=r"one\. Ask the desk\.|here\. Ask the desk\."):
        login(*headers, contact="Ask the desk.")


def test_admins():
    assert login(("Remote_User", "bob"), admin_users={"bob"})["admin"] is True
    assert login(("Remote_User", "bob"))["admin"] is None


def person(*groups):
    """The hub's own object of bob, who is in these groups."""
    return SimpleNamespace(name="bob", groups=[SimpleNamespace(name=name) for name in groups])


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ([], True),
        ([("Remote_User", "bob")], True),
        ([("Remote-User", "BOB")], True),
        ([("Remote_User", "al")], False),
        ([("Remote_User", "bob"), ("Remote-User", "al")], False),
        ([("Remote_User", "")], False),
    ],
)
def test_refresh_compares_header_and_user(headers, fresh):
    # exactly True: anything else would replace auth_state and groups
    assert asyncio.run(authenticator().refresh_user(person(), handler(*headers))) is fresh


def test_refresh_without_a_request():
    assert asyncio.run(authenticator().refresh_user(person())) is True


@pytest.mark.parametrize(
    ("settings", "fresh"),
    [
        ({"blocked_users": {"bob"}}, False),
        ({"allow_all": False, "allowed_users": {"al"}}, False),
        ({"allow_all": False, "allowed_users": {"bob"}}, True),
        ({"allow_all": False, "allowed_groups": {"faculty"}}, True),
        ({"allow_all": False, "allowed_groups": {"staff"}}, False),
        ({"minimum_uid": 70000}, False),
    ],
)
def test_being_struck_off_ends_the_session(settings, fresh):
    assert asyncio.run(authenticator(**settings).refresh_user(person("faculty"))) is fresh


def test_start_asks_whether_its_user_may_still_come_in():
    assert authenticator().refresh_pre_spawn


async def test_others_are_answered_while_many_start():
    """The hub's long work for a start follows the refresh at once."""
    hub, turns = authenticator(), []

    async def start(number):
        await hub.refresh_user(person())
        turns.append(loop_turns)

    async def count():
        nonlocal loop_turns
        while True:
            loop_turns += 1
            await asyncio.sleep(0)

    loop_turns = 0
    counting = asyncio.ensure_future(count())
    await asyncio.gather(*(start(number) for number in range(20)))
    counting.cancel()
    # No two in the same turn of the event loop.
    assert len(set(turns)) == 20


def test_handlers_replace_those_of_the_base_class():
    assert dict(authenticator().get_handlers(None)) == {
        "/login": GatewayLoginHandler,
        "/logout": GatewayLogoutHandler,
    }


class FakeHandler:
    """Records where the handlers under test go."""

    def __init__(self, user=None, logout_redirect_url=""):
        self.user = user
        self.authenticator = authenticator(logout_redirect_url=logout_redirect_url)
        self.went = None

    async def login_user(self):
        return self.user

    def get_next_url(self, user):
        return f"/next/{user.name}"

    def redirect(self, url, permanent=False):
        self.went = url

    async def render_template(self, name):
        return name

    def finish(self, html):
        self.went = html


def test_login_goes_on():
    page = FakeHandler(user=SimpleNamespace(name="bob"))
    asyncio.run(GatewayLoginHandler.get(page))
    assert page.went == "/next/bob"
    assert page._jupyterhub_user is page.user


def test_login_of_one_who_is_not_allowed():
    with pytest.raises(web.HTTPError) as refusal:
        asyncio.run(GatewayLoginHandler.get(FakeHandler()))
    assert refusal.value.status_code == 403


def test_logout_goes_on_to_the_web_server():
    page = FakeHandler(logout_redirect_url="/bye")
    asyncio.run(GatewayLogoutHandler.render_logout_page(page))
    assert page.went == "/bye"


def test_logout_does_not_sign_in_again():
    page = FakeHandler()
    asyncio.run(GatewayLogoutHandler.render_logout_page(page))
    assert page.went == "logout.html"


# With a submit host, which alone knows the accounts


@pytest.fixture
def submit_host(monkeypatch):
    """Return a dict: the user id of a name, or the error the submit host answers with."""
    answers = {"ada": 2001, "munge": 109}

    async def account(self, cluster, user):
        answer = answers[user]
        if isinstance(answer, Exception):
            raise answer
        return {"name": user, "uid": answer, "groups": ["hpc"], "cluster": cluster}

    for shared in (Wrapper, JobTables):
        shared.clear_instance()
    Wrapper.instance(transport="ssh")
    JobTables.instance(clusters={"alpha": {"scheduler": "slurm"}})
    monkeypatch.setattr(Wrapper, "account", account)
    yield answers
    for shared in (Wrapper, JobTables):
        shared.clear_instance()


def test_account_of_the_submit_host_signs_in(submit_host):
    assert login(("Remote_User", "ada"))["name"] == "ada"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (109, 403, "account of the system"),
        (SchedulerError("batch: eve is not a member of hpc", 77), 403, "not a member of hpc"),
        (SchedulerError("sudo: unknown user: eve", 1), 403, "no account of that name"),
        (SchedulerError("Connection closed", 255), 503, "Try again soon"),
    ],
)
def test_who_does_not(submit_host, answer, status, words):
    submit_host["eve"] = answer
    with pytest.raises(web.HTTPError, match=words) as refusal:
        login(("Remote_User", "eve"))
    assert refusal.value.status_code == status


def test_nobody_is_signed_out_while_the_submit_host_is_away(submit_host):
    hub = authenticator()
    user = SimpleNamespace(name="ada", groups=[])
    submit_host["ada"] = SchedulerError("Connection closed", 255)
    assert asyncio.run(hub.refresh_user(user)) is True
    submit_host["ada"] = SchedulerError("sudo: unknown user: ada", 1)
    assert asyncio.run(hub.refresh_user(user)) is False
