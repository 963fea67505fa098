"""Wait until a server on a unix socket is healthy: python -m hpc_gateway.health."""

import argparse
import http.client
import sys
import time

from .unixhttp import request


def wait(socket_path, url, timeout):
    """Return None once the answer is 200, or the last error when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            status, _ = request(socket_path, "GET", url)
            if status == 200:
                return None
            error = f"HTTP status {status}"
        except (OSError, http.client.HTTPException) as exception:
            error = str(exception) or type(exception).__name__
        if time.monotonic() >= deadline:
            return error
        time.sleep(0.1)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="hpc_gateway.health", description=__doc__)
    parser.add_argument("--socket", required=True, help="path of the unix socket")
    parser.add_argument("--path", required=True, help="path of the URL, for example /hub/health")
    parser.add_argument("--timeout", type=float, default=30, help="seconds to wait")
    options = parser.parse_args(argv)
    error = wait(options.socket, options.path, options.timeout)
    if error:
        print(
            f"{options.path} on {options.socket} is not healthy after {options.timeout:g} s: "
            f"{error}",
            file=sys.stderr,
        )
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
