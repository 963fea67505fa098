"""Sign-in by a directory on a page of our own: slapd with ldaps, groups by `memberOf`."""

from typing import ClassVar

from walk import SignOnByProvider

VARIABLES = {
    "gateway_auth": "ldap",
    # People type their `cn`, or whatever else the URL names; the account is `uid`.
    "gateway_ldap_url": "ldaps://sign-on-idp/ou=people,dc=example,dc=org?cn",
    "gateway_ldap_bind_dn": "cn=gateway,dc=example,dc=org",
    "gateway_ldap_bind_password": 'se"cret $ervice',
    "gateway_auth_data": ["memberOf"],
}


def sign_in(browser, user, password):
    """Open the page and send its form, as a browser does; return the last answer."""
    page = browser.get(browser.base + "hub/login")
    assert 'name="httpd_username"' in page.text
    form = {"httpd_username": user, "httpd_password": password}
    return browser.post(page.url, data=form, headers={"Origin": browser.base.split("/jupyter/")[0]})


class TestLdap(SignOnByProvider):
    variables = VARIABLES
    units: ClassVar[list] = ["slapd"]
    sign_in = staticmethod(sign_in)
