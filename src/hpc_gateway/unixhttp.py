"""HTTP over a unix socket, with the standard library alone."""

import http.client
import socket


class UnixHTTPConnection(http.client.HTTPConnection):
    """A connection to the server that listens on the unix socket `path`."""

    def __init__(self, path, timeout=5):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(socket_path, method, url, headers=None, timeout=5):
    """Send one request; return the status and the body's beginning."""
    connection = UnixHTTPConnection(socket_path, timeout)
    try:
        connection.request(method, url, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(1000).decode(errors="replace")
    finally:
        connection.close()
