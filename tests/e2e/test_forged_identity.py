"""Nobody becomes somebody by a header: not at the gateway, not around it, not from a job.

An attempt succeeds if an answer sets a cookie of the hub's login, or if the hub's API tells a name.
"""

import json
import re
from http.cookies import SimpleCookie

import pytest
from conftest import BASE, Session

LOGIN = f"{BASE}hub/login"
WHOAMI = f"{BASE}hub/api/user"
# With a value: an empty one is a cookie being cleared.
IDENTITY = re.compile(
    rb'^set-cookie: *jupyterhub-(hub-login|session-id|user-[^=]*)="?[^";\r]|"name": *"', re.I | re.M
)


def request(*headers, path=LOGIN, method="GET", body="", version="1.1", host="localhost"):
    """A request, byte for byte, in which nothing is put right."""
    lines = [f"{method} {path} HTTP/{version}"]
    if host:
        lines.append(f"Host: {host}")
    return "\r\n".join([*lines, *headers, "Connection: close", "", body]).encode("latin-1")


DEMO = "Remote_User: demo"
INNER = request(DEMO).decode()

# What somebody without a password sends.
ATTEMPTS = {
    # spellings
    "underscore": request(DEMO),
    "dash": request("Remote-User: demo"),
    "upper case": request("REMOTE_USER: demo"),
    "lower case": request("remote_user: demo"),
    "lower case dash": request("remote-user: demo"),
    "both spellings": request(DEMO, "Remote-User: demo"),
    "the same one twice": request(DEMO, DEMO),
    "space before the colon": request("Remote_User : demo"),
    "no space after the colon": request("Remote_User:demo"),
    "tab": request("Remote_User:\tdemo"),
    "folded": request("X-Filler: x\r\n Remote_User: demo"),
    "folded value": request("Remote_User:\r\n demo"),
    "line feed alone": request("X-Filler: x\nRemote_User: demo"),
    "carriage return alone": request("X-Filler: x\rRemote_User: demo"),
    "null byte": request("Remote_User\0: demo"),
    "X-Remote-User": request("X-Remote-User: demo"),
    "X-Forwarded-User": request("X-Forwarded-User: demo"),
    "environment": request("HTTP_REMOTE_USER: demo", "REMOTE.USER: demo", "AUTH_USER: demo"),
    "with data": request(DEMO, "Remote_User_Data: admin;wheel"),
    "data in other spellings": request(
        DEMO, "Remote-User-Data: admin", "Remote_User-Data: admin", "REMOTE-USER_DATA: admin"
    ),
    # values
    "unset": request("Remote_User: (null)"),
    "root": request("Remote_User: root"),
    "empty": request("Remote_User:"),
    "list": request("Remote_User: demo, root"),
    "upper-case name": request("Remote_User: DEMO"),
    # paths
    "back and forth": request(DEMO, path=f"{LOGIN}/../login"),
    "from elsewhere": request(DEMO, path=f"{BASE}user/demo/../../hub/login"),
    "from the page for everybody": request(
        DEMO, path=f"{BASE}gateway/sign-in.html/../../hub/login"
    ),
    "from the sign-out": request(DEMO, path=f"{LOGIN}/sign-out/../../login"),
    "encoded dots": request(DEMO, path=f"{BASE}hub/api/%2e%2e/login"),
    "encoded slash": request(DEMO, path=f"{BASE}hub%2flogin"),
    "encoded backslash": request(DEMO, path=f"{BASE}hub%5clogin"),
    "encoded letters": request(DEMO, path=f"{BASE}hub/%6cogin"),
    "encoded twice": request(DEMO, path=f"{BASE}hub/%256cogin"),
    "double slash in front": request(DEMO, path=f"/{LOGIN}"),
    "double slash": request(DEMO, path=f"{BASE}/hub//login"),
    "dot": request(DEMO, path=f"{BASE}hub/./login"),
    "slash at the end": request(DEMO, path=f"{LOGIN}/"),
    "parameter": request(DEMO, path=f"{LOGIN};x=1"),
    "parameter between": request(DEMO, path=f"{BASE}hub;x=1/login"),
    "upper-case path": request(DEMO, path=f"{BASE}hub/LOGIN"),
    "query": request(DEMO, path=f"{LOGIN}?next={BASE}hub/home&Remote_User=demo"),
    "whole address": request(DEMO, path=f"https://localhost{LOGIN}"),
    "address of another": request(DEMO, path=f"http://127.0.0.1:8081{LOGIN}"),
    "rewritten address": request(DEMO, f"X-Original-URL: {LOGIN}", path=f"{BASE}hub/health"),
    "home": request(DEMO, path=f"{BASE}hub/home"),
    "spawn": request(DEMO, path=f"{BASE}hub/spawn"),
    "API": request(DEMO, path=WHOAMI),
    "server of a user": request(DEMO, path=f"{BASE}user/demo/api/me"),
    # protocol
    "hop by hop": request(DEMO, "Connection: Remote_User, X-Real-IP"),
    "hop by hop, split": request("Connection: close, Remote_User", DEMO),
    "HTTP/1.0 without host": request(DEMO, version="1.0", host=""),
    "HTTP/0.9": f"GET {LOGIN}\r\n".encode(),
    "other host": request(DEMO, host="127.0.0.1:8081"),
    "trailer": request(
        "Transfer-Encoding: chunked",
        "Trailer: Remote_User",
        method="POST",
        body=f"0\r\n{DEMO}\r\n\r\n",
    ),
    "length and chunks": request(
        f"Content-Length: {len(INNER) + 5}",
        "Transfer-Encoding: chunked",
        path=f"{BASE}hub/health",
        method="POST",
        body=f"0\r\n\r\n{INNER}",
    ),
    "chunks, misspelt": request(
        "Content-Length: 5",
        "Transfer-Encoding : chunked",
        path=f"{BASE}hub/health",
        method="POST",
        body=f"0\r\n\r\n{INNER}",
    ),
    "two lengths": request(
        "Content-Length: 0",
        f"Content-Length: {len(INNER)}",
        path=f"{BASE}hub/health",
        method="POST",
        body=INNER,
    ),
    "body of a GET": request(f"Content-Length: {len(INNER)}", path=f"{BASE}hub/health", body=INNER),
    "upgrade": request(DEMO, "Upgrade: websocket", "Connection: Upgrade", path=LOGIN),
    # the web server's own ways to sign in
    "password left out": request(
        DEMO,
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 35",
        method="POST",
        body="httpd_username=demo&httpd_password=",
    ),
    "Basic": request(DEMO, "Authorization: Basic ZGVtbzo="),
    "session in clear": request(DEMO, "Cookie: jupyterhub-main-sign-in=main-user=demo&main-pw=x"),
}

# Sent from within the machine, by its users, to whatever listens there: TARGET is a port or a path.
PROBE = r"""
import json, socket, ssl, sys
for target, path in json.load(sys.stdin):
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nRemote_User: demo\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
    try:
        if isinstance(target, str):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(target)
        else:
            connection = socket.create_connection(("localhost", target))
        connection.settimeout(3)
        if target == 443:
            context = ssl._create_unverified_context()
            connection = context.wrap_socket(connection)
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    except OSError as error:
        answer = f"error: {error}".encode()
    print(json.dumps([target, path, answer.decode("latin-1")]))
"""
PATHS = [LOGIN, WHOAMI, "/hub/login", "/hub/api/user", f"{BASE}user/demo/api/me", "/api/routes"]


def probe(machine, targets, user, *prefix):
    """Let a user try each target; return {(target, path): answer}."""
    done = machine.run(*prefix, "python3", "-c", PROBE, user=user, text=json.dumps(targets))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {(target, path): answer.encode("latin-1") for target, path, answer in answers}


def listening(machine):
    """All TCP ports that something listens on."""
    table = machine.output("cat", "/proc/net/tcp", "/proc/net/tcp6")
    rows = [line.split() for line in table.splitlines()]
    return sorted({int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"})


def test_the_right_password_gets_in(machine, password):
    """The same client with the same measure: what the attempts are refused, is there to be had."""
    body = f"httpd_username=demo&httpd_password={password}"
    form = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}")
    answer = machine.send(request(*form, method="POST", body=body))
    sign_in = cookies(answer, "jupyterhub-main-sign-in")
    answer = machine.send(request(sign_in))
    assert IDENTITY.search(answer)
    login = cookies(answer, "jupyterhub-hub-login")
    answer = machine.send(request(login, path=WHOAMI))
    assert IDENTITY.search(answer)
    assert b'"name": "demo"' in answer


def cookies(answer, name):
    """The Cookie header that gives back what an answer has set."""
    jar = SimpleCookie()
    for line in re.findall(r"^set-cookie: *(.*?)\r", answer.decode("latin-1"), re.I | re.M):
        jar.load(line)
    return f"Cookie: {name}={jar[name].coded_value}"


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_refused_at_the_gateway(machine, attempt):
    answer = machine.send(attempt)
    assert not IDENTITY.search(answer), answer.decode("latin-1")


@pytest.mark.parametrize("path", [LOGIN, f"{BASE}hub/home", WHOAMI])
def test_refused_over_http2(chromium, path):
    context = chromium.new_context(
        ignore_https_errors=True,
        # One spelling: two would be refused for being two.
        extra_http_headers={"Remote_User": "demo"},
    )
    page = context.new_page()
    page.goto(f"https://localhost{path}")
    used = page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    names = {cookie["name"] for cookie in context.cookies()}
    text = page.content()
    context.close()
    assert used == "h2"
    assert names <= {"_xsrf"}
    assert not IDENTITY.search(text.encode())


@pytest.mark.parametrize("header", ["Remote_User", "Remote-User"])
def test_the_password_decides_who_one_is(machine, password, header):
    """Demo, who has a password, wants to be root and in a group of administrators."""
    session = Session(machine)
    forged = {header: "root", "Remote_User_Data": "admin;wheel", "Remote-User-Data": "admin"}
    session.sign_in(password, headers=forged)
    user = session.api("user")
    assert (user["name"], user["groups"], user["admin"]) == ("demo", [], False)


@pytest.mark.parametrize("user", ["nobody", "demo"])
def test_sockets_are_closed_to_users(machine, user):
    sockets = machine.output("find", "/run/jupyterhub", "-type", "s").splitlines()
    assert len(sockets) >= 3
    targets = [(path, LOGIN) for path in sockets]
    for answer in probe(machine, targets, user).values():
        assert b"Permission denied" in answer
    # Whereas root is let in to the same sockets, so there is somebody behind them.
    for answer in probe(machine, targets, "root").values():
        assert answer.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("user", ["nobody", "demo"])
def test_no_port_believes_the_header(machine, notebook, user):
    ports = listening(machine)
    # The gateway's three and the notebook server's, at least.
    assert {80, 443, 8081} < set(ports)
    answers = probe(machine, [(port, path) for port in ports for path in PATHS], user)
    assert len(answers) == len(ports) * len(PATHS)
    assert {target: answer for target, answer in answers.items() if IDENTITY.search(answer)} == {}
    notebooks = [
        port for port in ports if b"403 Forbidden" in answers[port, f"{BASE}user/demo/api/me"][:40]
    ]
    assert notebooks, "the notebook server's own port is among them"


API_PATHS = {
    f"{BASE}hub/api": b"200",
    WHOAMI: b"403",
    LOGIN: b"404",
    f"{BASE}hub/home": b"404",
    f"{BASE}hub/api/../login": b"404",
    f"{BASE}hub/api/%2e%2e/login": b"404",
    f"{BASE}hub/api/..%2flogin": b"404",
    f"{BASE}hub/api/..;/login": b"404",
    f"{BASE}hub/apilogin": b"404",
    f"{BASE}user/demo/api/me": b"404",
}


@pytest.mark.parametrize("job", [False, True], ids=["from the machine", "from a job"])
def test_the_door_for_compute_nodes_knows_nobody(machine, job):
    prefix = ["srun", "--quiet", "--partition=short", "--immediate=30", "--time=1"] if job else []
    answers = probe(machine, [(8081, path) for path in API_PATHS], "demo", *prefix)
    status = {path: answers[8081, path].split(b" ")[1] for path in API_PATHS}
    assert status == API_PATHS
    assert not IDENTITY.search(b"".join(answers.values()))


# What a user puts into a configuration of their own, to see what reaches their server.
RECORDER = """
import json
from tornado.web import Application

find_handler = Application.find_handler

def record(self, request, **rest):
    with open("/home/demo/requests", "a") as file:
        print(json.dumps([request.uri, sorted(request.headers.get_all())]), file=file)
    return find_handler(self, request, **rest)

Application.find_handler = record
"""


@pytest.fixture(scope="module")
def recorder(machine, session):
    """A notebook server of demo's which writes down the headers that it gets."""
    configuration = "/home/demo/.jupyter/jupyter_server_config.py"
    machine.run("mkdir", "-p", "/home/demo/.jupyter", user="demo")
    machine.run("tee", configuration, user="demo", text=RECORDER)
    session.stop_server()
    session.start_server()
    yield session
    session.stop_server()
    machine.run("rm", "-f", configuration, "/home/demo/requests")


def test_a_notebook_server_never_sees_who_one_is(machine, recorder, password):
    session = recorder
    session.sign_in(password)
    session.fetch("user/demo/lab")
    sign_in = session.cookie("jupyterhub-main-sign-in")
    own = "; ".join(
        f"{cookie.name}={cookie.value}"
        for cookie in session.jar
        if f"{BASE}user/demo/".startswith(cookie.path)
    )
    # To Apache, which merges slashes, the last three are the login; to the proxy they are demo's.
    tricks = ["../../hub/login", "%2e%2e/%2e%2e/hub/login", "..;/../hub/login"]
    tricks += ["//../../hub/login", "//../../hub/login?next=x", "//%2e%2e/%2e%2e/hub/login"]
    forged = [DEMO, "Remote-User: demo", "REMOTE_USER_DATA: admin", "Remote-User_Data: admin"]
    for headers in forged, []:
        for path in ["api/status", "lab", "hub/login", "api/kernels/x/channels"]:
            machine.send(request(*headers, f"Cookie: {own}", path=f"{BASE}user/demo/{path}"))
        signed_in = f"Cookie: {own}; jupyterhub-main-sign-in={sign_in}"
        for path in tricks:
            machine.send(request(*headers, signed_in, path=f"{BASE}user/demo/{path}"))
    seen = [json.loads(line) for line in machine.output("cat", "/home/demo/requests").splitlines()]
    uris = [uri for uri, _ in seen]
    assert uris.count(f"{BASE}user/demo/api/status") == 2
    assert uris.count(f"{BASE}user/demo/hub/login") > 2, "two as written, the others by tricks"
    for uri, headers in seen:
        names = {name.lower().replace("_", "-") for name, _ in headers}
        assert not names & {"remote-user", "remote-user-data"}, uri
        assert "sign-in" not in str(headers), uri
        assert password not in str(headers), uri
