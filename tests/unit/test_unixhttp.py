"""HTTP over unix sockets: the health check and the repair of the proxy's routes."""

import http.server
import json
import socket
import socketserver
import threading

import pytest

from hpc_gateway import health, routes, unixhttp


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps({"status": status}).encode())

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass

    def address_string(self):
        return ""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path):
        self.requests = []
        self.statuses = []
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path / "s") as server:
        yield server
        server.shutdown()


@pytest.fixture
def stale(tmp_path):
    """A socket left behind by a process which was killed."""
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    return str(path)


def test_request(server):
    status, body = unixhttp.request(server.server_address, "GET", "/a?b", {"X-Y": "z"})
    assert (status, body) == (200, '{"status": 200}')
    method, path, headers = server.requests[0]
    assert (method, path, headers["X-Y"], headers["Host"]) == ("GET", "/a?b", "z", "localhost")


# Health


def check_health(path, timeout="0.3"):
    return health.main(["--socket", str(path), "--path", "/hub/health", "--timeout", timeout])


def test_healthy(server, capsys):
    assert check_health(server.server_address) == 0
    assert server.requests[0][:2] == ("GET", "/hub/health")
    assert capsys.readouterr() == ("", "")


def test_waits_until_healthy(server):
    server.statuses += [503, 503]
    assert check_health(server.server_address, "5") == 0
    assert len(server.requests) == 3


def test_never_healthy(server, capsys):
    server.statuses += [503] * 100
    assert check_health(server.server_address) == 1
    assert "HTTP status 503" in capsys.readouterr().err


def test_nobody_there(tmp_path, stale, capsys):
    assert check_health(tmp_path / "none") == 1
    assert "No such file" in capsys.readouterr().err
    assert check_health(stale) == 1
    assert "refused" in capsys.readouterr().err


def test_waits_for_the_socket(tmp_path):
    started = []
    path = tmp_path / "late"
    timer = threading.Timer(0.3, lambda: started.append(Server(path)))
    timer.start()
    assert check_health(path, "5") == 0
    started[0].shutdown()
    started[0].server_close()


# Routes


@pytest.fixture
def restore(tmp_path, server):
    def restore(hub, proxy=None, base_url="/jupyter/"):
        token = tmp_path / "token"
        token.write_text("t0ken\n")
        return routes.main(
            [
                *("--hub-socket", str(hub)),
                *("--proxy-socket", str(proxy or server.server_address)),
                *("--base-url", base_url),
                *("--token-file", str(token)),
                *("--timeout", "0.3"),
            ]
        )

    return restore


@pytest.mark.parametrize(
    ("base_url", "path"), [("/jupyter/", "/jupyter/hub/api/proxy"), ("/", "/hub/api/proxy")]
)
def test_the_hub_is_asked(server, restore, base_url, path):
    assert restore(server.server_address, base_url=base_url) == 0
    method, asked, headers = server.requests[-1]
    assert (method, asked) == ("POST", path)
    assert headers["Authorization"] == "token t0ken"


def test_no_hub_is_no_fault(tmp_path, stale, restore, capsys):
    assert restore(tmp_path / "none") == 0
    assert restore(stale) == 0
    assert capsys.readouterr() == ("", "")


def test_hub_which_refuses(server, restore, capsys):
    server.statuses += [403]
    assert restore(server.server_address) == 1
    error = capsys.readouterr().err
    assert "HTTP status 403" in error
    assert "t0ken" not in error


def test_hub_which_hangs_up(tmp_path, restore, capsys):
    class Silent(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(10)

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "h"), Silent) as hub:
        threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True).start()
        assert restore(tmp_path / "h") == 1
        hub.shutdown()
    assert "the hub did not answer" in capsys.readouterr().err


def test_proxy_which_does_not_come(tmp_path, server, restore, capsys):
    assert restore(server.server_address, tmp_path / "none") == 1
    assert "nothing listens" in capsys.readouterr().err
    assert server.requests == []
