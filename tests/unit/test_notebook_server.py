"""What starts a notebook server in its job: against a real server in the place of the hub."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "roles/release/files/notebook/notebook-server"
# Below those which the kernel gives to whoever asks for any.
PORTS = range(23100, 23110)


@pytest.fixture
def notebook(monkeypatch):
    """The program as a module, which waits for no more than an instant."""
    module = types.ModuleType("notebook_server")
    # Not imported, which would leave compiled files in the role.
    exec(compile(PROGRAM.read_text(), PROGRAM, "exec"), module.__dict__)
    module.pauses = []
    module.time = types.SimpleNamespace(monotonic=lambda: module.now, sleep=module.pauses.append)
    module.now = 0
    return module


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, dict(self.headers), body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            return
        self.send_response(answer)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers what a test wants; the last answer stays."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.calls = [201], []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/hub/api"
    monkeypatch.setenv("JUPYTERHUB_API_URL", server.url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "t0ken")
    # Whatever the node has set, the hub is not behind it.
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


# Which port


def test_any_port(notebook):
    ports = {notebook.free_port("") for _ in range(3)}
    assert all(1024 < port <= 65535 for port in ports)


def test_port_within_bounds(notebook):
    found = {notebook.free_port(f"{PORTS[0]}-{PORTS[-1]}") for _ in range(200)}
    # All of them, so that the servers of one node seldom want the same.
    assert found == set(PORTS)
    assert notebook.free_port(f"{PORTS[3]}-{PORTS[3]}") == PORTS[3]


@pytest.fixture
def busy():
    """Takes ports, on any address, as another server does."""
    sockets = []

    def take(*ports):
        for port in ports:
            taken = socket.socket()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            sockets.append(taken)

    yield take
    for taken in sockets:
        taken.close()


def test_busy_ports_are_passed_over(notebook, busy):
    busy(*PORTS[:5], *PORTS[6:])
    for _ in range(20):
        assert notebook.free_port(f"{PORTS[0]}-{PORTS[-1]}") == PORTS[5]


def test_no_free_port(notebook, busy):
    busy(*PORTS[:2])
    with pytest.raises(SystemExit) as end:
        notebook.free_port(f"{PORTS[0]}-{PORTS[1]}")
    assert f"no port from {PORTS[0]}-{PORTS[1]} is free on {socket.gethostname()}" in str(end.value)


def test_port_of_a_server_that_has_just_ended(notebook):
    """Its last connections linger for a minute."""
    port = PORTS[8]
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with socket.create_connection(("127.0.0.1", port)):
            # Closed by the server first.
            server.accept()[0].close()
    assert notebook.free_port(f"{port}-{port}") == port


# Telling the hub


def test_port_is_told(notebook, hub, capsys):
    notebook.tell(50001)
    ((path, headers, body),) = hub.calls
    assert path == "/hub/api/batchspawner"
    assert headers["Authorization"] == "token t0ken"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"port": 50001, "host": socket.gethostname()}
    assert not notebook.pauses
    assert capsys.readouterr() == ("", "")


def test_node_is_named_as_slurm_names_it(notebook, hub, monkeypatch):
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    notebook.tell(50001)
    assert json.loads(hub.calls[0][2])["host"] == "node7"


def test_address_may_end_with_a_slash(notebook, hub, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub.url}/")
    notebook.tell(50001)
    assert hub.calls[0][0] == "/hub/api/batchspawner"


def test_it_goes_on_asking_while_the_hub_is_started_again(notebook, hub, capsys):
    # Away, not yet aware of the start, overloaded, and something that is no answer.
    hub.answers = [503, 400, 429, 502, b"", b"garbage\r\n\r\n", 201]
    notebook.tell(50001)
    assert len(hub.calls) == 7
    assert len({body for _, _, body in hub.calls}) == 1
    assert json.loads(hub.calls[6][2])["port"] == 50001
    assert notebook.pauses == [2] * 6
    said = capsys.readouterr().err
    assert said.count("notebook-server: trying again, ") == 6
    assert said.startswith("notebook-server: trying again, HTTP Error 503")
    assert "t0ken" not in said


def test_hub_that_is_not_there_at_first(notebook, hub, monkeypatch):
    """Its port is closed, as between the end of one process and the next one's start."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/x")

        def sleep(seconds):
            notebook.now += 100

        notebook.time.sleep = sleep
        with pytest.raises(SystemExit, match=r"does not answer: .*refused"):
            notebook.tell(50001)
    assert 300 < notebook.now <= 400


@pytest.mark.parametrize("answer", [401, 403, 404, 405])
def test_hub_which_does_not_take_it(notebook, hub, answer):
    hub.answers = [answer]
    with pytest.raises(SystemExit, match=f"does not take this server: HTTP Error {answer}"):
        notebook.tell(50001)
    assert len(hub.calls) == 1


@pytest.mark.parametrize(("answer", "reason"), [(503, "HTTP Error 503"), (400, "HTTP Error 400")])
def test_patience_ends(notebook, hub, answer, reason):
    hub.answers = [answer]

    def sleep(seconds):
        notebook.now += 50

    notebook.time.sleep = sleep
    with pytest.raises(SystemExit) as end:
        notebook.tell(50001)
    assert f"the hub at {hub.url}/batchspawner does not answer: {reason}" in str(end.value)
    assert "t0ken" not in str(end.value)
    # For five minutes.
    assert len(hub.calls) == 8


# Becoming the server


@pytest.fixture
def become(notebook, monkeypatch):
    """What it has become: (program, its words, its environment)."""
    found = []

    def execvp(program, words):
        found.append((program, words, dict(os.environ)))

    monkeypatch.setattr(os, "execvp", execvp)
    return found


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("http://0.0.0.0:0/user/bob/", "http://0.0.0.0:{}/user/bob/"),
        ("https://127.0.0.1:8888/user/a%40b/x/", "https://127.0.0.1:{}/user/a%40b/x/"),
        ("http://[::]:0/user/bob/", "http://[::]:{}/user/bob/"),
        ("http://node/user/bob/", "http://node:{}/user/bob/"),
    ],
)
def test_it_becomes_the_server(notebook, hub, become, monkeypatch, url, becomes):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", url)
    monkeypatch.setenv("HPC_GATEWAY_NOTEBOOK_PORTS", f"{PORTS[7]}-{PORTS[7]}")
    notebook.main(["jupyterhub-singleuser", "--x", "a b"])
    ((program, words, environment),) = become
    assert (program, words) == ("jupyterhub-singleuser", ["jupyterhub-singleuser", "--x", "a b"])
    assert environment["JUPYTERHUB_SERVICE_URL"] == becomes.format(PORTS[7])
    assert environment["JUPYTERHUB_API_TOKEN"] == "t0ken"
    assert "HPC_GATEWAY_NOTEBOOK_PORTS" not in environment
    assert json.loads(hub.calls[0][2])["port"] == PORTS[7]


def test_not_before_the_hub_knows(notebook, hub, become, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", "http://0.0.0.0:0/")
    hub.answers = [403]
    with pytest.raises(SystemExit):
        notebook.main(["x"])
    assert not become


def test_as_a_program(hub):
    """In full, with nothing replaced."""
    hub.answers = [503, 400, 201]
    script = "import os; print(os.getpid(), os.environ['JUPYTERHUB_SERVICE_URL'])"
    environment = {
        "PATH": os.environ["PATH"],
        "JUPYTERHUB_API_URL": hub.url,
        "JUPYTERHUB_API_TOKEN": "t0ken",
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:0/user/bob/",
        "http_proxy": "http://127.0.0.1:9",
    }
    with subprocess.Popen(
        [PROGRAM, sys.executable, "-c", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    port = json.loads(hub.calls[-1][2])["port"]
    # The same process: what the scheduler has started is the server.
    assert out == f"{process.pid} http://0.0.0.0:{port}/user/bob/\n"
    assert len(hub.calls) == 3
    assert err.count("trying again") == 2
