"""Sign-in by a module that the role does not know: digest authentication out of a file."""

import hashlib
import subprocess
from pathlib import Path
from typing import ClassVar

from requests.auth import HTTPDigestAuth
from walk import SignOn

USERS = "/etc/apache2/users.htdigest"
VARIABLES = {
    "gateway_auth": "extra",
    "gateway_auth_domains": ["example.org"],
    "gateway_auth_extra": {
        "modules": ["auth_digest", "authn_file"],
        "directives": "AuthType Digest\n"
        'AuthName "extra"\n'
        "AuthDigestProvider file\n"
        f"AuthUserFile {USERS}\n",
    },
}

DOCKER = Path(__file__).parents[2] / "resources/bin/docker"


def prepare(gateway="sign-on-gateway"):
    """Write the file of passwords. It has no way to disable somebody but to leave them out."""
    lines = []
    for user in ("ada", "ada@Example.org", "ada@example.com", "bob"):
        secret = hashlib.md5(f"{user}:extra:right".encode(), usedforsecurity=False).hexdigest()
        lines.append(f"{user}:extra:{secret}\n")
    script = f"cat >{USERS} && chgrp www-data {USERS} && chmod 0640 {USERS}"
    subprocess.run(
        [DOCKER, "exec", "-i", gateway, "sh", "-c", script],
        input="".join(lines).encode(),
        check=True,
    )


def sign_in(browser, user, password):
    """Answer the browser's own window; return the last answer."""
    return browser.get(browser.base + "hub/login", auth=HTTPDigestAuth(user, password))


class TestExtra(SignOn):
    variables = VARIABLES
    prepare = staticmethod(prepare)
    sign_in = staticmethod(sign_in)
    groups: ClassVar[list] = []
    # The browser keeps the password.
    ends_session = False
    # There is no such person.
    nameless_words = "You cannot be signed in"

    def test_domain_is_cut_off(self, browser):
        """Our own; somebody of the same name elsewhere is somebody else."""
        sign_in(browser, "ada@example.com", "right")
        assert browser.whoami() is None
        sign_in(browser, "ada@Example.org", "right")
        assert browser.whoami()["name"] == "ada"

    def test_somebody_else_at_the_same_browser(self, browser):
        """The hub's session is of the one who signed in last, and of nobody before."""
        sign_in(browser, "ada", "right")
        assert browser.whoami()["name"] == "ada"
        sign_in(browser, "bob", "right")
        assert browser.whoami()["name"] == "bob"
        assert browser.api("GET", "users/ada").status_code in (403, 404)
        assert browser.open("user/ada/api/contents").status_code != 200
