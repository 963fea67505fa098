"""Each user's server under a name of its own; last, since nothing is put back."""

import pytest
from test_ldap import VARIABLES, sign_in
from walk import GATEWAY, SITE, ZONE, Browser, SignOn, e2e, machine


class Visitor(Browser):
    """Somebody's browser, at the hub's other name."""

    base = f"https://{ZONE}/jupyter/"


class Names(SignOn):
    """How it is deployed."""

    variables = VARIABLES | {"hub_subdomains": True, "gateway_server_name": ZONE}


@pytest.fixture(scope="module")
def ada(request):
    """Somebody who is signed in, with a server."""
    Names.play(request, SITE)
    with Visitor() as browser:
        sign_in(browser, "ada", "right")
        Names().stop_server(browser)
        browser.api("POST", "users/ada/server", json={"profile": "small"})
        Names.until(lambda: browser.api("GET", "users/ada").json()["servers"][""]["ready"])
        yield browser
        Names().stop_server(browser)


pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


def test_server_has_a_name_of_its_own(ada):
    """One comes to it signed in, and back."""
    answer = ada.open("user/ada/lab")
    assert answer.url.startswith(f"https://ada.{ZONE}/jupyter/user/ada/lab")
    assert "JupyterLab" in answer.text
    assert ada.get(f"https://ada.{ZONE}/jupyter/user/ada/api/contents").status_code == 200
    assert ada.open("hub/home").status_code == 200


def test_cookies_of_the_hub_are_not_the_servers(ada):
    """Its page shares with the hub nothing but the number of the session."""
    domains = {cookie.name: cookie.domain for cookie in ada.cookies}
    assert domains["jupyterhub-hub-login"] == ZONE
    assert domains["jupyterhub-user-ada"] == f"ada.{ZONE}"
    shared = [name for name, domain in domains.items() if domain.startswith(".")]
    assert shared == ["jupyterhub-session-id"]


@pytest.mark.parametrize("path", ["hub/home", "hub/login", "hub/api/user", "gateway/sign-in.html"])
def test_pages_of_the_hub_are_under_its_own_name_alone(ada, path):
    """A script in a page of a user's could read them else."""
    answer = ada.get(f"https://ada.{ZONE}/jupyter/{path}", allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"https://{ZONE}/jupyter/{path}"


def test_nobody_is_believed_under_a_users_name():
    """Nor shown the sign-in, for a page of that user's to read."""
    request = (
        f"GET /jupyter/hub/login HTTP/1.1\r\nHost: ada.{ZONE}\r\nRemote_User: ada\r\n"
        "Connection: close\r\n\r\n"
    )
    answer = e2e.Machine(GATEWAY).send(request.encode())
    assert answer.startswith(b"HTTP/1.1 302 "), answer


def test_proxy_that_was_killed(ada):
    """It is told these routes again too."""
    machine(GATEWAY).check_output("systemctl kill --signal KILL jupyterhub-proxy-main")
    path = f"https://ada.{ZONE}/jupyter/user/ada/api/contents"
    Names.until(lambda: ada.get(path).status_code == 200, 30)
