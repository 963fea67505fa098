"""Give a proxy that has just started its routes back: python -m hpc_gateway.routes.

A proxy keeps its routes in memory alone, and the hub looks after them every five minutes only;
until then users would get 404 from servers that run. Without a running hub there is nothing to
do: it sets the routes itself when it starts.
"""

import argparse
import http.client
import socket
import sys
import time
from pathlib import Path

from .unixhttp import request


def wait_for_socket(path, timeout):
    """Return True once something listens on the unix socket, False when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
                return True
            except OSError:
                if time.monotonic() >= deadline:
                    return False
        time.sleep(0.05)


def restore(hub_socket, base_url, token):
    """Ask the hub to check the proxy's routes; return an error message, or None."""
    url = f"{base_url.rstrip('/')}/hub/api/proxy"
    headers = {"Authorization": f"token {token}", "Content-Length": "0"}
    try:
        status, body = request(hub_socket, "POST", url, headers, timeout=30)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, http.client.HTTPException) as exception:
        return f"the hub did not answer: {exception}"
    return None if status == 200 else f"the hub answered with HTTP status {status}: {body}"


def main(argv=None):
    parser = argparse.ArgumentParser(prog="hpc_gateway.routes", description=__doc__)
    parser.add_argument("--hub-socket", required=True, help="unix socket of the hub")
    parser.add_argument("--base-url", required=True, help="base URL of the hub, e.g. /jupyter/")
    parser.add_argument("--token-file", required=True, type=Path, help="token of scope `proxy`")
    parser.add_argument("--proxy-socket", required=True, help="unix socket of the proxy's API")
    parser.add_argument("--timeout", type=float, default=20, help="seconds to wait for the proxy")
    options = parser.parse_args(argv)
    if not wait_for_socket(options.proxy_socket, options.timeout):
        error = f"nothing listens on {options.proxy_socket} after {options.timeout:g} s"
    else:
        token = options.token_file.read_text().strip()
        error = restore(options.hub_socket, options.base_url, token)
    if error:
        print(f"The proxy's routes were not restored: {error}", file=sys.stderr)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
