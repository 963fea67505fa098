"""What every sign-on has to do, once over each kind's own way to sign in.

A kind's module subclasses `SignOn`: `variables` chooses the kind, `sign_in` walks it as a browser
does, and returns the last answer.
"""

import importlib
import json
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

GATEWAY, PROVIDER = "sign-on-gateway", "sign-on-idp"
ADDRESSES = {GATEWAY: "10.203.8.10", PROVIDER: "10.203.8.20"}
SWITCH = ROOT / "molecule/sign_on/switch.yml"
CONVERGE = ROOT / "molecule/sign_on/converge.yml"
DEPLOYED = yaml.safe_load(CONVERGE.read_text())[0]["vars"]

lookup = socket.getaddrinfo


def by_name(host, *arguments, **options):
    """Resolve the names of the two machines, which this one does not know."""
    return lookup(ADDRESSES.get(host, host), *arguments, **options)


socket.getaddrinfo = by_name


class Browser(requests.Session):
    """Somebody's browser: cookies, redirects, and no proxy on the way."""

    base = f"https://{GATEWAY}/jupyter/"

    def __init__(self):
        super().__init__()
        self.trust_env = False
        self.verify = False

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


# The gateway's certificate is self-signed, the provider's of a CA that this machine does not know.
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
class SignOn:
    """The cases."""

    variables: ClassVar[dict] = {}
    # Whether a sign-out ends the provider's session.
    ends_session = True
    nameless_words = "did not say who you are"
    groups: ClassVar[list] = ["faculty", "hpc"]

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
    def play(cls, request):
        command = [
            ROOT / ".venv-test/bin/ansible-playbook",
            *("--inventory", request.config.getoption("ansible_inventory")),
            *("--extra-vars", json.dumps(DEPLOYED | cls.variables), SWITCH),
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
        gateway = e2e.Machine(GATEWAY)
        seen = {name: gateway.send(attempt) for name, attempt in forged.ATTEMPTS.items()}
        believed = [name for name, answer in seen.items() if forged.IDENTITY.search(answer)]
        assert believed == []

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
        assert "ada" in machine(GATEWAY).check_output("squeue --noheader --format=%s", "%u")
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
    # Who asks meanwhile is told so by us, rather than by the browser.
    notices_silence = True

    def test_provider_is_down(self, browser, ada):
        """Whoever is signed in goes on; whoever comes is told."""
        if ada.whoami() is None:
            self.sign_in(ada, "ada", "right")
        units = " ".join(self.units)
        machine(PROVIDER).check_output(f"systemctl stop {units}")
        try:
            assert ada.whoami()["name"] == "ada"
            assert ada.open("hub/home").status_code == 200
            if self.notices_silence:
                answer = self.sign_in(browser, "ada", "right")
                assert "Signing in does not work at the moment" in answer.text
            else:
                # The browser was on its way to the provider, and says so itself.
                with pytest.raises(requests.ConnectionError):
                    self.sign_in(browser, "ada", "right")
            assert browser.whoami() is None
        finally:
            machine(PROVIDER).check_output(f"systemctl start {units}")
