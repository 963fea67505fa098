"""OpenID Connect: mod_auth_openidc and oidc-provider."""

import re
from typing import ClassVar

from walk import GATEWAY, PROVIDER, SignOnByProvider, machine


class TestOpenidc(SignOnByProvider):
    """The cases."""

    variables: ClassVar[dict] = {
        "gateway_auth": "openidc",
        "gateway_auth_data": ["groups"],
        "gateway_openidc_metadata_url": "https://sign-on-idp:8447/.well-known/openid-configuration",
        "gateway_openidc_client_id": "jupyterhub",
        "gateway_openidc_client_secret": 'a "quoted" $secret',
    }
    units: ClassVar[list] = ["provider-openidc"]

    # The browser is on its way to the provider, whose addresses are remembered.
    notices_silence = False

    @classmethod
    def sign_in(cls, browser, user, password):
        """Give name and password if asked."""
        return cls.answer(browser, name=user, password=password)

    @staticmethod
    def answer(browser, **form):
        page = browser.open("hub/login")
        if 'name="password"' in page.text:
            page = browser.post(page.url, data=form, timeout=30)
        onward = re.search('http-equiv="refresh" content="0; url=([^"]*)"', page.text)
        return browser.open(onward[1]) if onward else page

    def test_refusal_by_the_provider(self, browser):
        """Who turns back there finds a page of ours."""
        assert "You cannot be signed in" in self.answer(browser, cancel="yes").text
        assert browser.whoami() is None

    def test_sign_out_ends_the_provider_session(self, browser):
        """Who comes again is asked for the password again."""
        self.sign_in(browser, "ada", "right")
        assert "You are signed out" in browser.open("hub/logout").text
        assert 'name="password"' in browser.open("hub/login").text

    def test_answer_to_a_question_that_was_not_asked(self, browser):
        """Another site cannot sign somebody in."""
        answer = browser.open("hub/login/callback?code=x&state=y")
        assert answer.status_code == 400
        assert "You cannot be signed in" in answer.text
        assert browser.whoami() is None

    def test_no_cookie_of_a_sign_in_is_left(self, browser):
        """Else they pile up until Apache refuses the request."""
        self.sign_in(browser, "ada", "right")
        names = [cookie.name for cookie in browser.cookies if "sign-in" in cookie.name]
        assert names == ["jupyterhub-main-sign-in"]

    def test_provider_was_never_there(self, browser):
        """Until its addresses are learnt, people are told that it does not answer."""
        machine(PROVIDER).check_output("systemctl stop provider-openidc")
        try:
            machine(GATEWAY).check_output("systemctl reload apache2")
            answer = browser.open("hub/login")
        finally:
            machine(PROVIDER).check_output("systemctl start provider-openidc")
        assert "Signing in does not work at the moment" in answer.text
        assert answer.status_code == 500
