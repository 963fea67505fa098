"""CAS: mod_auth_cas and django-cas-server."""

import re
from typing import ClassVar

from walk import SignOnElsewhere


class TestCas(SignOnElsewhere):
    """The cases."""

    variables: ClassVar[dict] = {
        "gateway_auth": "cas",
        "gateway_auth_data": ["groups"],
        "gateway_cas_url": "https://sign-on-idp:8445/cas/",
    }
    # The module knows no such word; its cookie lasts a minute.
    sent_along: ClassVar[tuple] = ("jupyterhub-main-sign-in",)
    units: ClassVar[list] = ["provider-cas"]
    # The server itself refuses whoever lacks the name, in words of its own.
    nameless_words = ""

    @staticmethod
    def sign_in(browser, user, password):
        """Give name and password if asked."""
        page = browser.open("hub/login")
        if 'name="password"' in page.text:
            hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
            form = hidden | {"username": user, "password": password}
            page = browser.post(page.url, data=form, headers={"Referer": page.url}, timeout=30)
        return page

    def test_ticket_that_the_server_does_not_know(self, browser):
        """Somebody who made one up finds a page of ours."""
        answer = browser.open("hub/login?ticket=ST-made-up")
        assert answer.status_code == 401
        assert "You cannot be signed in" in answer.text

    def test_attributes_of_a_client(self, browser):
        """The headers in which attributes travel are the module's alone."""
        answer = browser.open("hub/login", headers={"CAS_groups": "wheel", "CAS_User": "root"})
        assert 'name="password"' in answer.text
        self.sign_in(browser, "ada", "right")
        browser.open("hub/login", headers={"CAS_groups": "wheel", "CAS_User": "root"})
        assert sorted(browser.whoami()["groups"]) == self.groups

    def test_server_is_down_when_the_ticket_comes(self, browser):
        """It cannot be asked: nobody is signed in."""
        with self.silence():
            answer = browser.open("hub/login?ticket=ST-made-up")
        assert answer.status_code == 503
        assert browser.whoami() is None
