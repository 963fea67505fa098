"""What a job may tell the hub."""

import json
from types import SimpleNamespace

import pytest
from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.apihandlers import default_handlers
from tornado import web

from hpc_gateway import port_callback
from hpc_gateway.port_callback import token_digest


def spawner(**values):
    return SimpleNamespace(**({"api_token": "t", "port": 0, "pending": "spawn"} | values))


class BatchSpawner(SimpleNamespace):
    """As much of this project's own as PortHandler.post needs."""

    def __init__(self, **values):
        defaults = {"port": 0, "pending": "spawn", "api_token": "", "token_digest": ""}
        super().__init__(**(defaults | {"moved": False, "serving": False, "told": []} | values))

    def tell(self, port, host):
        self.told.append(port)
        self.host = host
        self.moved = False

    def started_again(self, why):
        assert why
        self.moved, self.serving, self.port = True, False, 0


class Request:
    """As much of a handler as PortHandler.post needs."""

    done = port_callback.PortHandler.done

    def __init__(self, body, *spawners, token="t"):
        self.current_user = SimpleNamespace(spawners=dict(enumerate(spawners)))
        self.body = body
        self.token = token
        self.status = 200

    def get_auth_token(self):
        return self.token

    def get_json_body(self):
        return self.body

    def set_status(self, status):
        self.status = status

    def finish(self, text):
        self.text = text


def post(request):
    port_callback.PortHandler.post(request)
    return request.status


def refused(request):
    with pytest.raises(web.HTTPError) as refusal:
        post(request)
    assert refusal.value.status_code == 400
    return refusal.value.log_message


def test_it_stands_in_the_place_of_batchspawners():
    port_callback.register()
    port_callback.register()
    entries = [cls for path, cls in default_handlers if path == "/api/batchspawner"]
    assert entries == [port_callback.PortHandler]
    assert BatchSpawnerAPIHandler not in [cls for _, cls in default_handlers]


def test_only_with_a_token():
    """Whoever has none is sent away before."""
    assert port_callback.PortHandler.post.__wrapped__.__name__ == "post"


@pytest.mark.parametrize("port", [1024, 8888, 65535])
def test_port_is_set(port):
    starting = spawner()
    request = Request({"port": port}, spawner(api_token="other"), starting)
    assert post(request) == 201
    assert starting.port == port
    assert json.loads(request.text)


def test_port_reaches_the_wrapped_spawner():
    child = spawner(pending=None)
    # The outer one may have a port already, by configuration.
    outer = spawner(port=8888, child_spawner=child)
    assert post(Request({"port": 2000}, outer)) == 201
    assert (child.port, outer.port) == (2000, 2000)


def test_wrapped_spawner_is_told():
    child = BatchSpawner()
    outer = spawner(child_spawner=child)
    assert post(Request({"port": 2000}, outer)) == 201
    assert (child.told, child.host) == ([2000], "")


def test_wrapped_spawner_is_told_the_node():
    child = BatchSpawner()
    body = {"port": 2000, "host": "node-1.example_b"}
    assert post(Request(body, spawner(child_spawner=child))) == 201
    assert (child.told, child.host) == ([2000], "node-1.example_b")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "8888",
        {},
        {"port": 1023},
        {"port": 65536},
        {"port": 0},
        {"port": -1},
        {"port": True},
        {"port": "8888"},
        {"port": 8888.0},
        {"port": None},
        {"cmd": ["sh"]},
        {"port": 8888, "cmd": ["sh"]},
        {"host": "node1"},
        {"port": 8888, "host": None},
        {"port": 8888, "host": ["node1"]},
        {"port": 8888, "host": "node1:80"},
        {"port": 8888, "host": "a@node1"},
        {"port": 8888, "host": "node1/x"},
        {"port": 8888, "host": "node1\n"},
        {"port": 8888, "host": "n" * 254},
    ],
)
def test_anything_else_is_refused(body):
    starting = spawner(cmd=None)
    assert refused(Request(body, starting))
    assert (starting.port, starting.cmd) == (0, None)


@pytest.mark.parametrize(
    "state",
    [
        {"pending": None},
        {"pending": "stop"},
        {"port": 9999},
        {"child_spawner": SimpleNamespace(port=9999)},
    ],
)
def test_only_while_the_server_starts_and_only_once(state):
    found = spawner(**state)
    assert refused(Request({"port": 8888}, found))
    assert found.port != 8888


@pytest.mark.parametrize("pending", [None, "spawn", "stop"])
def test_said_again_since_the_answer_was_lost(pending):
    child = BatchSpawner(port=8888)
    request = Request({"port": 8888}, spawner(pending=pending, child_spawner=child))
    assert post(request) == 201
    assert json.loads(request.text)
    assert not child.told


def test_hub_that_was_started_again_looks_for_its_servers():
    child = BatchSpawner()
    assert post(Request({"port": 8888}, spawner(pending="check", child_spawner=child))) == 201
    assert child.told == [8888]


def test_job_that_was_started_again():
    child = BatchSpawner(moved=True)
    assert post(Request({"port": 8888}, spawner(pending=None, child_spawner=child))) == 201
    assert (child.port, child.told) == (8888, [8888])


@pytest.mark.parametrize("port", [8888, 9999])
def test_job_that_was_started_again_unnoticed(port):
    child = BatchSpawner(port=8888, serving=True)
    assert post(Request({"port": port}, spawner(pending=None, child_spawner=child))) == 201
    assert (child.port, child.told) == (port, [port])


@pytest.mark.parametrize(("port", "told"), [(8888, 201), (9999, 400)])
def test_not_while_it_stops(port, told):
    child = BatchSpawner(port=8888, serving=True)
    request = Request({"port": port}, spawner(pending="stop", child_spawner=child))
    if told == 201:
        assert post(request) == 201
    else:
        assert refused(request) == "This server is not starting"
    assert (child.port, child.told, child.serving) == (8888, [], True)


@pytest.mark.parametrize("token", ["u", "", None])
def test_token_of_no_server(token):
    request = Request({"port": 8888}, spawner(), spawner(api_token=""), token=token)
    assert refused(request) == "This token belongs to no server"


def test_token_of_a_service():
    request = Request({"port": 8888})
    request.current_user = SimpleNamespace(name="service")
    assert refused(request)


def test_token_known_by_its_digest():
    """All that is left of it after a restart of the hub."""
    child = BatchSpawner(token_digest=token_digest("t"))
    others = [spawner(api_token=""), spawner(api_token="", child_spawner=BatchSpawner())]
    outer = spawner(api_token="", pending="check", child_spawner=child)
    assert post(Request({"port": 8888}, *others, outer)) == 201
    assert child.port == 8888
    assert refused(Request({"port": 8888}, *others, outer, token="u"))
    assert refused(Request({"port": 8888}, *others, outer, token=""))


def test_token_of_an_earlier_start_is_none():
    child = BatchSpawner(token_digest=token_digest("old"))
    outer = spawner(api_token="new", child_spawner=child)
    assert refused(Request({"port": 8888}, outer, token="old"))
    assert post(Request({"port": 8888}, outer, token="new")) == 201


def test_digest():
    assert len(token_digest("t")) == 64
    assert token_digest("t") != token_digest("u")
    assert "t0ken" not in token_digest("t0ken")
