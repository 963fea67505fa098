"""What a job may tell the hub."""

import json
from types import SimpleNamespace

import pytest
from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.apihandlers import default_handlers
from tornado import web

from hpc_gateway import port_callback


def spawner(**values):
    return SimpleNamespace(**({"api_token": "t", "port": 0, "pending": "spawn"} | values))


class Request:
    """As much of a handler as PortHandler.post needs."""

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


def test_it_stands_in_the_place_of_batchspawners():
    port_callback.register()
    port_callback.register()
    entries = [cls for path, cls in default_handlers if path == "/api/batchspawner"]
    assert entries == [port_callback.PortHandler]
    assert BatchSpawnerAPIHandler not in [cls for _, cls in default_handlers]


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
    ],
)
def test_anything_else_is_refused(body):
    starting = spawner(cmd=None)
    with pytest.raises(web.HTTPError) as refusal:
        post(Request(body, starting))
    assert refusal.value.status_code == 400
    assert refusal.value.log_message
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
    with pytest.raises(web.HTTPError) as refusal:
        post(Request({"port": 8888}, found))
    assert refusal.value.status_code == 400
    assert found.port != 8888


@pytest.mark.parametrize("token", ["u", "", None])
def test_token_of_no_server(token):
    with pytest.raises(web.HTTPError) as refusal:
        post(Request({"port": 8888}, spawner(), spawner(api_token=""), token=token))
    assert refusal.value.status_code == 400


def test_token_of_a_service():
    request = Request({"port": 8888})
    request.current_user = SimpleNamespace(name="service")
    with pytest.raises(web.HTTPError):
        post(request)
