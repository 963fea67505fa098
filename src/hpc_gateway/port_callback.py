"""The API by which a batch job tells the hub its server's port and node, and nothing else.

batchspawner's own handler sets whatever attribute of the spawner the request names. The modules
with the hub's spawners call register() when they are imported: before the hub sets up its URLs.
"""

import hashlib
import hmac
import json
import re

from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.apihandlers import APIHandler, default_handlers
from tornado import web

# Whether there is such a node, the scheduler decides.
HOST = re.compile(r"[A-Za-z0-9._-]{0,253}")


def token_digest(token):
    """What is kept of a server's token, to know it again after a restart of the hub."""
    return hashlib.sha256(token.encode()).hexdigest()


def innermost(spawner):
    """The one which waits for the port, when spawners are wrapped."""
    return getattr(spawner, "child_spawner", None) or spawner


def spawner_of(user, token):
    """The spawner whose server holds this token; after a restart only its digest is known."""
    digest = token_digest(token or "")
    for spawner in getattr(user, "spawners", {}).values():
        kept = getattr(innermost(spawner), "token_digest", "")
        if spawner.api_token:
            kept = token_digest(spawner.api_token)
        if kept and hmac.compare_digest(kept, digest):
            return spawner
    raise web.HTTPError(400, "This token belongs to no server")


def check_body(body):
    """Port and host in the request's body, which must hold nothing else; the host is optional."""
    if not isinstance(body, dict) or set(body) not in ({"port"}, {"port", "host"}):
        raise web.HTTPError(400, "The body must be a JSON object with the keys 'port' and 'host'")
    port = body["port"]
    if type(port) is not int or not 1024 <= port <= 65535:
        raise web.HTTPError(400, "The port must be an integer from 1024 to 65535")
    host = body.get("host", "")
    if not isinstance(host, str) or not HOST.fullmatch(host):
        raise web.HTTPError(400, "The host must be the name of a machine")
    return port, host


class PortHandler(APIHandler):
    @web.authenticated
    def post(self):
        spawner = spawner_of(self.current_user, self.get_auth_token())
        port, host = check_body(self.get_json_body())
        waiting = innermost(spawner)
        if getattr(waiting, "serving", False) and spawner.pending != "stop":
            # Its job was started again, or our answer was lost, which comes to the same.
            waiting.started_again("Its server calls anew.")
        if waiting.port == port:
            # Said again, since our answer was lost.
            self.done()
            return
        # Starting, or found starting after the hub's own start, or started again by the scheduler.
        if spawner.pending not in ("spawn", "check") and not getattr(waiting, "moved", False):
            raise web.HTTPError(400, "This server is not starting")
        if waiting.port:
            raise web.HTTPError(400, "The port of this server is already known")
        spawner.port = waiting.port = port
        if hasattr(waiting, "tell"):
            waiting.tell(port, host)
        self.done()

    def done(self):
        self.set_status(201)
        self.finish(json.dumps({"message": "The port is set"}))


def register():
    """Put our handler into the place of batchspawner's; a second time does no harm."""
    for index, handler in enumerate(default_handlers):
        if handler[1] is BatchSpawnerAPIHandler:
            default_handlers[index] = (handler[0], PortHandler)
