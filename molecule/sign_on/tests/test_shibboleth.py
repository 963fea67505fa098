"""Shibboleth: shibd and SimpleSAMLphp, by SAML."""

import html
import re
from typing import ClassVar
from urllib.parse import urljoin

from walk import GATEWAY, FollowsTheSession, InChromium, SignOnElsewhere, machine

FIELD = re.compile(r"<input\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


def submit(browser, page, **typed):
    """Send the form of a page as a browser does, with what was typed."""
    fields = {}
    for tag in FIELD.findall(page.text):
        field = dict(ATTRIBUTE.findall(tag))
        if "name" in field:
            fields[field["name"]] = html.unescape(field.get("value", ""))
    action = re.search(r'<form[^>]*\baction="([^"]*)"', page.text)
    url = urljoin(page.url, html.unescape(action[1])) if action else page.url
    return browser.post(url, data=fields | typed, timeout=30)


class TestShibboleth(FollowsTheSession, InChromium, SignOnElsewhere):
    """The cases."""

    variables: ClassVar[dict] = {
        "gateway_auth": "shibboleth",
        "gateway_shibboleth_idp_entity_id": "https://sign-on-idp/saml",
        "gateway_shibboleth_metadata": "https://sign-on-idp:8446/simplesaml/saml2/idp/metadata.php",
        "gateway_shibboleth_support": "help@example.org",
        "gateway_auth_data": ["member"],
        "gateway_auth_check_url": "https://sign-on-idp:8446/simplesaml/saml2/idp/metadata.php",
    }
    # They have to come along with the provider's answer.
    sent_along: ClassVar[tuple] = ("_shibstate_", "_opensaml_req_")
    units: ClassVar[list] = ["provider-shibboleth"]

    @staticmethod
    def sign_in(browser, user, password):
        """Give name and password if asked; carry the answer over, as the provider's page does."""
        page = browser.open("hub/login")
        if 'name="password"' in page.text:
            page = submit(browser, page, username=user, password=password)
        if 'name="SAMLResponse"' in page.text:
            page = submit(browser, page)
        return page

    @staticmethod
    def end_session(browser):
        """The browser is sent to each service in turn."""
        idp = "https://sign-on-idp:8446/simplesaml/"
        query = {"ReturnTo": f"{idp}logout.php"}
        url = f"{idp}saml2/idp/SingleLogoutService.php"
        assert browser.get(url, params=query, timeout=30).status_code == 200

    def test_service_is_down(self, browser):
        """Without shibd nobody signs in, and is told so."""
        gateway = machine(GATEWAY)
        gateway.check_output("systemctl stop shibd")
        try:
            answer = browser.open("hub/login")
        finally:
            gateway.check_output("systemctl start shibd")
        assert "Signing in does not work at the moment" in answer.text
        assert browser.whoami() is None

    def test_keys_are_secret(self):
        """Nobody but shibd's account reads them."""
        for use in ("signing", "encrypt"):
            key = machine(GATEWAY).file(f"/etc/shibboleth/sp-{use}-key.pem")
            assert (key.user, key.mode) == ("_shibd", 0o600)
