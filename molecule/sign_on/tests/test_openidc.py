"""OpenID Connect: mod_auth_openidc and oidc-provider."""

import re
from typing import ClassVar

from walk import FollowsTheSession, InChromium, SignOnElsewhere, addition


class TestOpenidc(FollowsTheSession, InChromium, SignOnElsewhere):
    """The cases."""

    variables: ClassVar[dict] = {
        "gateway_auth": "openidc",
        "gateway_auth_data": ["groups"],
        "gateway_openidc_metadata_url": "https://sign-on-idp:8447/.well-known/openid-configuration",
        "gateway_openidc_client_id": "jupyterhub",
        "gateway_openidc_client_secret": 'a "quoted" $secret',
    }
    units: ClassVar[list] = ["provider-openidc"]

    name_field = "name"

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

    @staticmethod
    def end_session(browser):
        """The provider tells the gateway by itself."""
        page = browser.get("https://sign-on-idp:8447/session/end", timeout=30)
        secret = re.search('name="xsrf" value="([^"]*)"', page.text)[1]
        form = {"xsrf": secret, "logout": "yes"}
        url = "https://sign-on-idp:8447/session/end/confirm"
        assert browser.post(url, data=form, timeout=30).status_code == 200

    def test_refusal_by_the_provider(self, browser):
        """Who turns back there finds a page of ours."""
        assert "You cannot be signed in" in self.answer(browser, cancel="yes").text
        assert browser.whoami() is None

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

    def test_rights_by_groups_of_the_sign_on(self, browser):
        """Under the site's own names for them."""
        rights = 'admin_groups = {"staff"}'
        names = 'group_names = {"faculty": "staff"}'
        with addition(f"c.GatewayAuthenticator.{rights}\nc.GatewayAuthenticator.{names}"):
            self.sign_in(browser, "ada", "right")
            user = browser.whoami()
            assert browser.open("hub/admin").status_code == 200
        assert (sorted(user["groups"]), user["admin"]) == (["hpc", "staff"], True)
