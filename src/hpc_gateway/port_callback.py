"""The API by which a batch job tells the hub its server's port, and nothing else.

batchspawner's own handler sets whatever attribute of the spawner the request names. The modules
with the hub's spawners call register() when they are imported: before the hub sets up its URLs.
"""

import json

from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.apihandlers import APIHandler, default_handlers
from tornado import web


def spawner_of(user, token):
    """The spawner whose server holds this token."""
    for spawner in getattr(user, "spawners", {}).values():
        if spawner.api_token and spawner.api_token == token:
            return spawner
    raise web.HTTPError(400, "This token belongs to no server")


def check_port(body):
    """The port in the request's body, which must hold nothing else."""
    if not isinstance(body, dict) or set(body) != {"port"}:
        raise web.HTTPError(400, "The body must be a JSON object with the one key 'port'")
    port = body["port"]
    if not isinstance(port, int) or not 1024 <= port <= 65535:
        raise web.HTTPError(400, "The port must be an integer from 1024 to 65535")
    return port


class PortHandler(APIHandler):
    @web.authenticated
    def post(self):
        spawner = spawner_of(self.current_user, self.get_auth_token())
        port = check_port(self.get_json_body())
        # The one which waits for the port is the innermost, when spawners are wrapped.
        waiting = getattr(spawner, "child_spawner", None) or spawner
        if spawner.pending != "spawn":
            raise web.HTTPError(400, "This server is not starting")
        if waiting.port:
            raise web.HTTPError(400, "The port of this server is already known")
        spawner.port = waiting.port = port
        self.set_status(201)
        self.finish(json.dumps({"message": "The port is set"}))


def register():
    """Put our handler into the place of batchspawner's; a second time does no harm."""
    for index, handler in enumerate(default_handlers):
        if handler[1] is BatchSpawnerAPIHandler:
            default_handlers[index] = (handler[0], PortHandler)
