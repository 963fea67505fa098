"""What every sign-on has to do, once over each kind's own way to sign in.

A kind's module subclasses `SignOn`: `variables` chooses the kind, `sign_in` walks it as a browser
does, and returns the last answer.
"""

import contextlib
import importlib
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar
from urllib.parse import urljoin

import pytest
import requests
import testinfra
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests/e2e"))
e2e = importlib.import_module("conftest")
forged = importlib.import_module("test_forged_identity")

GATEWAY, PROVIDER, SUBMIT_HOST = "sign-on-gateway", "sign-on-idp", "sign-on-submit"
ADDRESSES = {GATEWAY: "10.203.8.10", PROVIDER: "10.203.8.20", SUBMIT_HOST: "10.203.8.30"}
# A zone in which every name leads to the gateway.
ZONE = "hub.example.org"
ADDITION = "/etc/jupyterhub/main/jupyterhub_config.d/70-sign-on.py"
# As short as a session of the hub may be here, in seconds.
SHORT = 15
# Seconds for which the gateway remembers whether a provider answered.
REMEMBERED = 5
SWITCH = ROOT / "molecule/sign_on/switch.yml"
SITE = ROOT / "playbooks/site.yml"
CONVERGE = ROOT / "molecule/sign_on/converge.yml"
DEPLOYED = yaml.safe_load(CONVERGE.read_text())[0]["vars"]

lookup = socket.getaddrinfo


def by_name(host, *arguments, **options):
    """Resolve the names of the two machines, which this one does not know."""
    address = ADDRESSES.get(host, host)
    if str(host).endswith(ZONE):
        address = ADDRESSES[GATEWAY]
    return lookup(address, *arguments, **options)


socket.getaddrinfo = by_name


class Browser(requests.Session):
    """Somebody's browser: cookies, redirects, and no proxy on the way."""

    base = f"https://{GATEWAY}/jupyter/"

    def __init__(self):
        super().__init__()
        self.trust_env = False
        self.verify = False
        self.set_cookies = []
        self.hooks["response"].append(self.remember)

    def remember(self, answer, **_):
        """Keep what our host says of cookies."""
        if answer.url.startswith(f"https://{GATEWAY}/"):
            self.set_cookies += answer.raw.headers.getlist("Set-Cookie")

    def open(self, path, **options):
        return self.get(urljoin(self.base, path), timeout=30, **options)

    def api(self, method, path, **options):
        headers = {"X-XSRFToken": self.cookies.get("_xsrf", path="/jupyter/hub/") or ""}
        url = urljoin(self.base, f"hub/api/{path}")
        return self.request(method, url, headers=headers, timeout=60, **options)

    def whoami(self):
        """The user of the hub's session, or None."""
        answer = self.api("GET", "user")
        return answer.json() if answer.status_code == 200 else None


def machine(name):
    return testinfra.get_host(f"docker://{name}")


def restart_hub():
    """Have it read its configuration."""
    machine(GATEWAY).check_output("systemctl restart jupyterhub-main")
    with Browser() as browser:
        SignOn.until(lambda: browser.open("hub/health").status_code == 200)


@contextlib.contextmanager
def addition(text):
    """Let the hub's configuration be another one meanwhile."""
    text = f"c = get_config()\n{text}\n"
    machine(GATEWAY).check_output("printf %%s %s >%s", text, ADDITION)
    restart_hub()
    try:
        yield
    finally:
        machine(GATEWAY).check_output("rm %s", ADDITION)
        restart_hub()


# The gateway's certificate is of a CA that this machine does not know, the provider's too.
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
class SignOn:
    """The cases."""

    variables: ClassVar[dict] = {}
    # Whether a sign-out ends the provider's session.
    ends_session = True
    nameless_words = "did not say who you are"
    groups: ClassVar[list] = ["faculty", "hpc"]
    # Cookies of the module's own that pages of other sites have the browser send.
    sent_along: ClassVar[tuple] = ()

    @staticmethod
    def sign_in(browser, user, password):
        # Each kind's own; a kind without one is to fail.
        raise NotImplementedError

    @staticmethod
    def prepare():
        """Do what a site does before it chooses this sign-on."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployed(cls, request):
        """Choose the sign-on; a second run changes nothing."""
        cls.prepare()
        cls.play(request)
        said = cls.play(request)
        assert " changed=0 " in said, said

    @classmethod
    def play(cls, request, playbook=SWITCH, **variables):
        command = [
            ROOT / ".venv-test/bin/ansible-playbook",
            *("--inventory", request.config.getoption("ansible_inventory")),
            *("--extra-vars", json.dumps(DEPLOYED | cls.variables | variables), playbook),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @pytest.fixture
    def browser(self):
        with Browser() as browser:
            yield browser

    @pytest.fixture(scope="class")
    @classmethod
    def ada(cls):
        """Somebody who is signed in."""
        with Browser() as browser:
            cls.sign_in(browser, "ada", "right")
            yield browser

    def test_right_password(self, ada):
        user = ada.whoami()
        assert user["name"] == "ada"
        assert sorted(user["groups"]) == self.groups

    @pytest.mark.parametrize("user", ["ada", "eve", "nobody", "root"])
    def test_wrong_password(self, browser, user):
        self.sign_in(browser, user, "wrong")
        assert browser.whoami() is None

    def test_disabled_user(self, browser):
        self.sign_in(browser, "eve", "right")
        assert browser.whoami() is None

    def test_somebody_without_a_name_for_us(self, browser):
        """Whose record at the provider lacks the attribute that holds it: a page says so."""
        answer = self.sign_in(browser, "nameless", "right")
        assert browser.whoami() is None
        assert self.nameless_words in answer.text

    def test_forged_identities(self):
        """What is refused with the first sign-on is with each: the same attempts, byte for byte."""
        assert self.believed(GATEWAY, 443) == []

    @pytest.mark.parametrize("port", [443, 8081])
    def test_forged_identities_from_a_compute_node(self, port):
        """Neither at the door for people nor at that for compute nodes."""
        assert self.believed(SUBMIT_HOST, port) == []

    @staticmethod
    def believed(sender, port):
        sender, address = e2e.Machine(sender), ADDRESSES[GATEWAY]
        seen = {
            name: sender.send(attempt, port, host=address)
            for name, attempt in forged.ATTEMPTS.items()
        }
        assert sum(answer.startswith(b"HTTP/1.1 ") for answer in seen.values()) > len(seen) / 2
        return [name for name, answer in seen.items() if forged.IDENTITY.search(answer)]

    def test_token_of_a_script(self, ada):
        """A program signs in nowhere: it shows a token, and the gateway lets it through."""
        token = ada.api("POST", "users/ada/tokens", json={"expires_in": 300}).json()["token"]
        for scheme in ("token", "Bearer"):
            with Browser() as script:
                shown = {"Authorization": f"{scheme} {token}"}
                assert script.open("hub/api/user", headers=shown).json()["name"] == "ada"
                assert script.open("hub/api/user").status_code == 403

    def test_identity_is_kept_from_those_behind(self, ada):
        """Neither headers nor the sign-on's cookies reach what stands behind the proxy."""
        every = "; ".join(f"{cookie.name}={cookie.value}" for cookie in ada.cookies)
        headers = {"Cookie": every, "Remote_User": "root", "Remote-User-Data": "wheel"}
        seen = ada.open("services/echo/x", headers=headers).text.lower()
        assert seen.startswith("/jupyter/services/echo/x")
        assert "cookie:" in seen
        for word in ("remote", "sign-in", "auth", "shib", "oidc", "cas_", "root", "wheel"):
            assert word not in seen, seen

    def test_the_whole_way(self, ada):
        """From the sign-in to a notebook server that runs as a job, and out again."""
        self.stop_server(ada)
        assert ada.api("POST", "users/ada/server", json={"profile": "small"}).status_code in (
            201,
            202,
        )
        self.until(lambda: ada.api("GET", "users/ada").json()["servers"].get("", {}).get("ready"))
        assert "ada" in machine(SUBMIT_HOST).check_output("squeue --noheader --format=%s", "%u")
        assert "version" in ada.open("user/ada/api").json()
        assert "JupyterLab" in ada.open("user/ada/lab").text
        assert ada.open("user/ada/api/contents").status_code == 200
        answer = ada.open("hub/logout")
        assert "You are signed out" in answer.text
        assert ada.whoami() is None
        assert ada.open("user/ada/api/contents").status_code != 200
        if self.ends_session:
            ada.open("hub/home")
            assert ada.whoami() is None
        self.sign_in(ada, "ada", "right")
        self.stop_server(ada)

    def test_cookies_are_the_hubs_alone(self, ada):
        """None in the clear, none for scripts but the one that is made for them."""
        given = [cookie for cookie in ada.set_cookies if not re.match(r'[^=]*=("?"?);', cookie)]
        assert any(cookie.startswith("jupyterhub-hub-login=") for cookie in given)
        for cookie in given:
            assert re.search("; *secure", cookie, re.I), cookie
            assert cookie.startswith("_xsrf=") or re.search("; *httponly", cookie, re.I), cookie
            lax = re.search("; *samesite=lax", cookie, re.I)
            assert lax or cookie.startswith(self.sent_along), cookie

    def stop_server(self, ada):
        ada.api("DELETE", "users/ada/server")
        self.until(lambda: not ada.api("GET", "users/ada").json()["servers"])

    @staticmethod
    def until(condition, seconds=90):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.5)


class SignOnByProvider(SignOn):
    """The same, where somebody else is asked each time."""

    # What is stopped, to see what becomes of those who sign in meanwhile.
    units: ClassVar[list] = []

    def test_provider_is_down(self, browser, ada):
        """Whoever is signed in goes on; whoever comes is told."""
        if ada.whoami() is None:
            self.sign_in(ada, "ada", "right")
        with self.silence():
            assert ada.whoami()["name"] == "ada"
            assert ada.open("hub/home").status_code == 200
            answer = self.sign_in(browser, "ada", "right")
            assert "Signing in does not work at the moment" in answer.text
            assert answer.status_code >= 500
            assert browser.whoami() is None

    @classmethod
    @contextlib.contextmanager
    def silence(cls):
        """The provider does not answer meanwhile."""
        units = " ".join(cls.units)
        machine(PROVIDER).check_output(f"systemctl stop {units}")
        try:
            yield
        finally:
            machine(PROVIDER).check_output(f"systemctl start {units}")


class SignOnElsewhere(SignOnByProvider):
    """The same, where people are sent to the provider and come back."""

    # The field of its page in which people give their name.
    name_field = "username"

    @classmethod
    @contextlib.contextmanager
    def silence(cls):
        """Noticed, and over, once the gateway asks again."""
        with super().silence():
            time.sleep(REMEMBERED)
            yield
        with Browser() as browser:
            cls.until(lambda: browser.open("hub/login").status_code < 500)

    def test_sign_out_ends_the_provider_session(self, browser):
        """Who comes again is asked for the password again."""
        self.sign_in(browser, "ada", "right")
        assert "You are signed out" in browser.open("hub/logout").text
        assert 'name="password"' in browser.open("hub/login").text

    def test_sign_out_after_a_reload(self, browser):
        """What Apache has to know for it is not forgotten."""
        self.sign_in(browser, "ada", "right")
        machine(GATEWAY).check_output("systemctl reload apache2")
        time.sleep(1)
        assert "You are signed out" in browser.open("hub/logout").text
        assert 'name="password"' in browser.open("hub/login").text

    def test_session_ends_when_its_time_is_up(self, request):
        """At the next time it is asked; who is still signed in there notices nothing."""
        days = SHORT / 86400
        self.play(request, hub_cookie_max_age_days=days)
        try:
            with (
                addition(f"c.JupyterHub.cookie_max_age_days = {days}"),
                Browser() as kept,
                Browser() as ended,
            ):
                for browser in (kept, ended):
                    self.sign_in(browser, "ada", "right")
                for cookie in list(ended.cookies):
                    if cookie.domain.startswith(PROVIDER):
                        ended.cookies.clear(cookie.domain, cookie.path, cookie.name)
                assert ended.whoami()["name"] == "ada"
                time.sleep(SHORT + 1)
                for browser in (kept, ended):
                    assert browser.whoami() is None
                    self.sign_in(browser, "ada", "not the password")
                assert kept.whoami()["name"] == "ada"
                assert ended.whoami() is None
        finally:
            self.play(request)


class FollowsTheSession:
    """The same, where Apache knows of the sign-on's session as long as it lasts."""

    def test_session_ends_with_that_of_the_sign_on(self, browser):
        """At the next page; a program's token is no session."""
        self.sign_in(browser, "ada", "right")
        token = browser.api("POST", "users/ada/tokens", json={"expires_in": 300}).json()["token"]
        assert browser.whoami()["name"] == "ada"
        self.end_session(browser)
        assert browser.cookies.get("jupyterhub-hub-login", path="/jupyter/hub/")
        assert browser.whoami() is None
        assert 'name="password"' in browser.open("hub/home").text
        shown = {"Authorization": f"token {token}"}
        assert browser.open("hub/api/user", headers=shown).json()["name"] == "ada"

    @staticmethod
    def end_session(browser):
        """Sign out at the provider, which tells us."""
        # Each kind's own; a kind without one is to fail.
        raise NotImplementedError


class InChromium:
    """The same in a real browser, which runs what pages bring along and follows their policies."""

    @pytest.fixture
    def page(self):
        names = ",".join(f"MAP {name} {address}" for name, address in ADDRESSES.items())
        arguments = ("--no-proxy-server", f"--host-resolver-rules={names}")
        machine = e2e.Machine(SUBMIT_HOST)
        with e2e.launch(machine, *arguments) as chromium, e2e.opened(chromium) as page:
            yield page

    def test_in_chromium(self, page):
        """From the sign-in at the provider to a cell that ran, and out again."""
        kind = self.variables["gateway_auth"]
        # Lab opens what was open.
        machine(SUBMIT_HOST).check_output("rm -rf /home/ada/Untitled*.ipynb /home/ada/.jupyter/lab")
        page.goto(f"{Browser.base}hub/spawn")
        page.locator(f"[name={self.name_field}]").fill("ada")
        page.locator("[name=password]").fill("right")
        e2e.shoot(page, f"{kind}-1-sign-in")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/user/ada/lab**", timeout=60_000)
        e2e.run_a_cell(page)
        e2e.shoot(page, f"{kind}-2-notebook")
        # A button that its page's script has not found yet does nothing.
        page.goto(f"{Browser.base}hub/home", wait_until="networkidle")
        page.locator("#stop").click()
        page.get_by_role("button", name="Start My Server").wait_for()
        page.get_by_role("button", name="Logout").click()
        page.get_by_role("heading", name="You are signed out").wait_for()
        page.goto(f"{Browser.base}hub/home")
        page.locator("[name=password]").wait_for()
        e2e.shoot(page, f"{kind}-3-signed-out")
        # What the provider's own pages lack is its affair.
        ours = [line for line in page.watch.complaints if f"(https://{PROVIDER}" not in line]
        assert ours == [], ours
