"""The machine under test, reached from this one: commands in its container, sockets in its network.

The scenario `default` runs these tests after its deploy. Against any other container that has one:

    PATH=$PWD/molecule/resources/bin:$PATH .venv-test/bin/pytest tests/e2e --hosts=docker://NAME
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "molecule/resources/bin/docker"
ARTIFACTS = ROOT / ".artifacts/e2e"
BASE = "/jupyter/"
HUB = f"https://localhost{BASE}"
# What a browser reports on a refusal that the test itself provokes.
REFUSED = re.compile(r"status of (401|403)")
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

# Self-signed, so there is nothing to verify it by.
TLS = ssl._create_unverified_context()


class Machine:
    """The container: what runs in it, and its network, in which the hub listens on loopback."""

    def __init__(self, name):
        self.name = name
        pid = subprocess.check_output([DOCKER, "inspect", "--format", "{{.State.Pid}}", name])
        self.namespace = f"/proc/{int(pid)}/ns/net"

    def run(self, *argv, user="root", text=None, check=True):
        """Run a command in the container as one of its users."""
        return subprocess.run(
            [DOCKER, "exec", "--interactive", "--user", user, self.name, *argv],
            input=text,
            text=True,
            capture_output=True,
            check=check,
            timeout=60,
        )

    def output(self, *argv, user="root"):
        return self.run(*argv, user=user).stdout.strip()

    def jobs(self):
        """The scheduler's jobs as (user, state)."""
        lines = self.output("squeue", "--noheader", "--format=%u %T").splitlines()
        return [tuple(line.split()) for line in lines]

    @contextlib.contextmanager
    def network(self):
        """Sockets that this thread opens meanwhile belong to the container, and stay there."""
        with open("/proc/thread-self/ns/net") as ours, open(self.namespace) as theirs:
            enter(theirs)
            try:
                yield
            finally:
                enter(ours)

    def send(self, request, port=443, seconds=10, host="localhost"):
        """Send these very bytes; return the very bytes that come back until the end."""
        with self.network(), contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((host, port), seconds))
            if port == 443:
                connection = stack.enter_context(TLS.wrap_socket(connection))
            connection.sendall(request)
            reply = b""
            # A server that goes on waiting, or cuts off, has said all it has to say.
            with contextlib.suppress(TimeoutError, ConnectionError):
                while part := connection.recv(65536):
                    reply += part
        return reply


def enter(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace.name}")


class Session:
    """Somebody with a cookie jar: what a browser is to the gateway, without the browser."""

    def __init__(self, machine):
        self.machine = machine
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=TLS),
            urllib.request.HTTPCookieProcessor(self.jar),
        )

    def fetch(self, path, data=None, method=None, headers=None, seconds=30):
        """Fetch a page below the hub's prefix, redirects followed; return status, url and text."""
        request = urllib.request.Request(
            f"https://localhost{BASE}{path}",
            data=data and data.encode(),
            method=method,
            headers=headers or {},
        )
        with self.machine.network():
            try:
                reply = self.opener.open(request, timeout=seconds)
            except urllib.error.HTTPError as error:
                reply = error
            with reply:
                text = reply.read().decode()
        return SimpleNamespace(status=reply.status, url=reply.url, text=text)

    def sign_in(self, password, name="demo", **options):
        form = {
            "httpd_username": name,
            "httpd_password": password,
        }
        return self.fetch(f"hub/login?next={BASE}hub/home", urllib.parse.urlencode(form), **options)

    def cookie(self, name):
        return next((cookie.value for cookie in self.jar if cookie.name == name), None)

    def api(self, path, data=None, method=None):
        """Ask the hub's API; return its JSON, if any."""
        reply = self.fetch(
            f"hub/api/{path}",
            None if data is None else json.dumps(data),
            method,
            {"X-XSRFToken": self.cookie("_xsrf") or "", "Content-Type": "application/json"},
        )
        assert reply.status < 300, f"{method or 'GET'} {path}: {reply.status} {reply.text}"
        return json.loads(reply.text or "null")

    def start_server(self, seconds=60):
        self.api("users/demo/server", {"profile": "small"}, "POST")
        self.wait_for(lambda server: server and server["ready"], seconds)

    def stop_server(self, seconds=60):
        if self.server():
            self.api("users/demo/server", method="DELETE")
        self.wait_for(lambda server: not server, seconds)

    def server(self):
        return self.api("users/demo")["servers"].get("")

    def wait_for(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition(server := self.server()):
            assert time.monotonic() < deadline, (
                f"the server is not there after {seconds} s: {server}"
            )
            time.sleep(0.5)


@pytest.fixture(scope="module")
def machine(host):
    assert os.geteuid() == 0, "entering the container's network takes root: sudo ./test e2e"
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return Machine(host.backend.get_hostname())


@pytest.fixture(scope="module")
def password(machine):
    return machine.output("cat", "/root/demo-password")


@pytest.fixture(scope="module")
def session(machine, password):
    """Demo, signed in."""
    session = Session(machine)
    assert session.sign_in(password).status == http.client.OK
    assert session.api("user")["name"] == "demo"
    return session


@pytest.fixture(scope="module")
def notebook(session):
    """Demo, signed in, with a running notebook server."""
    session.stop_server()
    session.start_server()
    yield session
    session.stop_server()


@contextlib.contextmanager
def launch(machine, *arguments):
    """Debian's browser in a container's network: its localhost is the container's.

    Nor does it meet the changes of ours, when containers of other scenarios come and go.
    """
    # Imported where it is needed: it takes as long as many a test.
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        program = Path(directory, "chromium")
        program.write_text(
            f'#!/bin/sh\nexec nsenter --net={machine.namespace} /usr/bin/chromium "$@"\n'
        )
        program.chmod(0o755)
        browser = playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=False,
            args=[
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                *arguments,
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium(machine):
    with launch(machine) as browser:
        yield browser


class Watch:
    """What goes on behind the page: complaints, and what the websockets bring."""

    def __init__(self, page):
        self.complaints = []
        self.frames = {}
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("requestfailed", self.request_failed)
        page.on("websocket", self.websocket)

    def console(self, message):
        mixed = "Mixed Content" in message.text
        if mixed or (message.type == "error" and not REFUSED.search(message.text)):
            self.complaints.append(f"console: {message.text} ({message.location['url']})")

    def request_failed(self, request):
        # Leaving a page cancels what it is still loading.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.failure}: {request.url}")

    def websocket(self, socket):
        received = self.frames.setdefault(urllib.parse.urlsplit(socket.url).path, [])
        socket.on("framereceived", lambda frame: received.append(frame))
        socket.on("socketerror", lambda error: self.complaints.append(f"{error}: {socket.url}"))

    def received(self, path):
        """All that came through the websockets whose path matches, as text."""
        frames = [
            frame for url, list_ in self.frames.items() if re.search(path, url) for frame in list_
        ]
        return "".join(
            frame if isinstance(frame, str) else frame.decode(errors="replace") for frame in frames
        )


@pytest.fixture
def page(chromium):
    with opened(chromium) as page:
        yield page


@contextlib.contextmanager
def opened(chromium):
    """A page of somebody who has not been here, watched."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    context = chromium.new_context(
        ignore_https_errors=True, viewport={"width": 1280, "height": 800}
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.watch = Watch(page)
    yield page
    shoot(page, "last")
    context.close()


def shoot(page, name):
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def run_a_cell(page):
    """Open a notebook in the launcher and run a cell of it, over the kernel's websocket."""
    page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    # A cell that is run before the kernel has said hello is not run at all.
    kernel = "/api/kernels/[^/]+/channels$"
    wait_until(page, lambda: "kernel_info_reply" in page.watch.received(kernel))
    page.get_by_text("(ipykernel) | Idle").wait_for()
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.type("6*7")
    page.keyboard.press("Shift+Enter")
    assert page.locator(".jp-OutputArea-executeResult pre").inner_text() == "42"
    assert "42" in page.watch.received(kernel)


def sign_in(page, password):
    page.get_by_label("User name").fill("demo")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def wait_until(page, condition, seconds=20):
    for _ in range(seconds * 10):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still not so after {seconds} s")
