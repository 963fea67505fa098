"""The machine's own accounts; last, so that every other sign-on has left nothing behind."""

from typing import ClassVar

from test_ldap import sign_in
from walk import GATEWAY, SignOn, machine


class TestPam(SignOn):
    variables: ClassVar[dict] = {"gateway_auth": "pam"}
    groups: ClassVar[list] = []
    # There is no such account.
    nameless_words = "User name or password is not right"
    sign_in = staticmethod(sign_in)

    @staticmethod
    def prepare():
        """Here alone the machine has to know people itself."""
        machine(GATEWAY).check_output(
            "useradd ada && useradd eve && echo ada:right | chpasswd && echo eve:right | chpasswd"
            " && usermod --lock eve"
        )

    def test_nothing_of_other_sign_ons_is_left(self):
        """Their secrets least of all."""
        directory = f"/etc/apache2/jupyterhub/{GATEWAY}/main"
        found = machine(GATEWAY).check_output("ls %s", directory).split()
        assert sorted(found) == ["session-key", "sign-in.html"]
