"""Sign-in by Kerberos: a real KDC, tickets by `kinit`, and the password in the browser's window."""

import subprocess
from pathlib import Path
from typing import ClassVar

from walk import PROVIDER, SignOn, addition, machine

VARIABLES = {"gateway_auth": "gssapi", "gateway_gssapi_password": True}

DOCKER = Path(__file__).parents[2] / "resources/bin/docker"
KEYTAB = "/etc/apache2/http.keytab"


def run(machine, *command, data=None):
    """Run a command on a machine; return what it did, with the output as bytes."""
    return subprocess.run(
        [DOCKER, "exec", "-i", machine, *command], input=data, capture_output=True
    )


def prepare(gateway="sign-on-gateway", provider="sign-on-idp"):
    """Do what a site does beforehand: the keytab for Apache's account alone, and krb5.conf."""
    for source, target, mode in (
        ("/etc/krb5.conf", "/etc/krb5.conf", "root:root 0644"),
        ("/etc/krb5kdc/gateway.keytab", KEYTAB, "www-data:root 0400"),
    ):
        owner, bits = mode.split()
        content = run(provider, "cat", source)
        assert content.returncode == 0, content.stderr
        script = f"umask 077; cat >{target} && chown {owner} {target} && chmod {bits} {target}"
        done = run(gateway, "sh", "-c", script, data=content.stdout)
        assert done.returncode == 0, done.stderr


def ticket(user, password, provider="sign-on-idp"):
    """Get a ticket as on a machine of the user's; return the header that shows it, if any."""
    done = run(provider, "show-ticket", user, "HTTP@sign-on-gateway", data=f"{password}\n".encode())
    token = done.stdout.decode().strip()
    return {"Authorization": f"Negotiate {token}"} if done.returncode == 0 else {}


def sign_in(browser, user, password):
    """Be asked for a ticket and show it, as a browser does; return the last answer."""
    asked = browser.get(browser.base + "hub/login")
    assert asked.status_code == 401
    assert "Negotiate" in asked.headers["WWW-Authenticate"]
    shown = ticket(user, password)
    return browser.get(asked.url, headers=shown) if shown else asked


def sign_in_by_password(browser, user, password):
    """Give the password in the browser's own window; return the last answer."""
    return browser.get(browser.base + "hub/login", auth=(user, password))


class TestGssapi(SignOn):
    variables = VARIABLES
    prepare = staticmethod(prepare)
    sign_in = staticmethod(sign_in)
    groups: ClassVar[list] = []
    # The ticket stays with its user.
    ends_session = False
    # Nobody is without a name there: who has no account here is told that.
    nameless_words = "You cannot be signed in"

    def test_password_in_place_of_a_ticket(self, browser):
        sign_in_by_password(browser, "ada", "wrong")
        assert browser.whoami() is None
        sign_in_by_password(browser, "eve", "right")
        assert browser.whoami() is None
        sign_in_by_password(browser, "ada", "right")
        assert browser.whoami()["name"] == "ada"

    def test_principal_that_is_no_account(self, browser):
        sign_in(browser, "ada/admin", "right")
        assert browser.whoami() is None

    def test_tickets_do_without_their_maker(self, browser):
        """Whoever has one signs in while the key server is down; a password cannot be checked."""
        shown = ticket("ada", "right")
        machine(PROVIDER).check_output("systemctl stop krb5-kdc")
        try:
            answer = sign_in_by_password(browser, "ada", "right")
            assert "You cannot be signed in" in answer.text
            assert browser.whoami() is None
            browser.open("hub/login", headers=shown)
            assert browser.whoami()["name"] == "ada"
        finally:
            machine(PROVIDER).check_output("systemctl start krb5-kdc")

    def test_groups_and_rights_of_the_account(self, browser):
        """They are asked of the submit host: this machine knows nobody."""
        source, rights = 'groups_from = "account"', 'admin_groups = {"cluster-admins"}'
        with addition(f"c.GatewayAuthenticator.{source}\nc.GatewayAuthenticator.{rights}"):
            sign_in(browser, "ada", "right")
            user = browser.whoami()
        assert (sorted(user["groups"]), user["admin"]) == (["ada", "cluster-admins"], True)
        assert machine("sign-on-gateway").run("getent passwd ada").rc != 0
