"""Refusals in words for the user."""

from jupyterhub.spawner import SpawnException


class SpawnRefused(SpawnException):
    """A server is not started, for a reason which the user reads on every page and in the API."""

    def __init__(self, message, **kwargs):
        super().__init__(message, **kwargs)
        # Some of the hub's pages show these only, others the repr-like str() without them.
        self.jupyterhub_message = message
        if self.message_html:
            self.jupyterhub_html_message = self.message_html
