"""Apache alone: doors, TLS, headers, sign-in, websockets, reloads, and three hubs on one Apache."""

import re
import time
from pathlib import Path

import pytest

PREPARE = (Path(__file__).parents[3] / "roles/gateway/files/prepare-apache").read_text()
APPLY = (Path(__file__).parents[3] / "roles/gateway/files/apply-apache").read_text()
LOGIN = "https://localhost/jupyter/hub/login"
CURL = "curl --silent --show-error --insecure --max-time 20"


@pytest.fixture(scope="module", autouse=True)
def tools(host):
    """Wait for the stand-ins, and have curl."""
    host.check_output("apt-get -qq install --no-install-recommends curl >/dev/null 2>&1")
    host.check_output("grep -q other.test /etc/hosts || echo 127.0.0.1 other.test >>/etc/hosts")
    for hub in ("main", "second", "other"):
        for _ in range(50):
            if host.file(f"/run/jupyterhub/{hub}/proxy/proxy.sock").exists:
                break
            time.sleep(0.2)


def fetch(host, url, options=""):
    """Return (status code, headers and body)."""
    text = host.check_output(f"{CURL} --include {options} '{url}'")
    return int(re.findall(r"^HTTP/\S+ (\d+)", text, re.M)[-1]), text


def headers_seen(text):
    """Return the header names that the stand-in was given, in small letters."""
    body = text.split("\r\n\r\n", 1)[1]
    return {line.split(":")[0].lower() for line in body.splitlines()[2:] if ":" in line}


@pytest.fixture
def signed_in(host):
    """Return curl's option for the sign-in cookie of ada."""
    host.check_output(
        f"{CURL} --output /dev/null --cookie-jar /tmp/jar "
        f"--data httpd_username=ada --data httpd_password=right '{LOGIN}'"
    )
    jar = host.file("/tmp/jar").content_string
    value = re.search(r"jupyterhub-main-sign-in\t(\S+)", jar)[1]
    return f"--header 'Cookie: jupyterhub-main-sign-in={value}'"


@pytest.mark.parametrize(
    ("url", "hub"),
    [
        ("https://localhost/jupyter/x", "main"),
        ("https://localhost/second/x", "second"),
        ("https://other.test/x", "other"),
    ],
)
def test_each_hub_has_its_own_way_in(host, url, hub):
    code, text = fetch(host, url)
    assert code == 200
    assert f"/run/jupyterhub/{hub}/proxy" in text


def test_listens_on_loopback_only(host):
    listening = re.findall(
        r": (\w+):\w+ 00000000:0000 0A", host.file("/proc/net/tcp").content_string
    )
    assert set(listening) == {"0100007F"}
    assert " 0A " not in host.file("/proc/net/tcp6").content_string


def test_http_is_sent_on_to_https(host):
    code, text = fetch(host, "http://localhost/jupyter/hub/home?a=b")
    assert code == 301
    assert "Location: https://localhost/jupyter/hub/home?a=b" in text


@pytest.mark.parametrize("path", ["/", "/jupyter"])
def test_short_addresses_lead_to_the_hub(host, path):
    code, text = fetch(host, f"https://localhost{path}")
    assert code == 302
    assert re.search(r"Location: https://localhost/jupyter/\s", text, re.I)


def test_http2_and_hsts(host):
    text = fetch(host, "https://localhost/jupyter/", "--http2")[1]
    assert text.startswith("HTTP/2 200")
    assert "strict-transport-security: max-age=63072000" in text.lower()


def test_old_tls_is_refused(host):
    done = host.run(f"{CURL} --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://localhost/jupyter/")
    assert done.rc != 0


def test_certificate_is_for_the_name_and_its_key_is_secret(host):
    crt = host.file("/etc/apache2/jupyterhub/localhost/tls.crt")
    text = host.check_output("openssl x509 -noout -text -in %s", crt.path)
    assert "DNS:localhost" in text
    assert "CA:FALSE" in text
    assert host.file("/etc/apache2/jupyterhub/localhost/tls.key").mode == 0o600


def test_the_scheme_and_address_of_the_client_are_ours_to_say(host):
    lies = (
        "--header 'X-Scheme: http' --header 'X-Real-IP: 9.9.9.9' --header 'Forwarded: for=9.9.9.9'"
    )
    text = fetch(host, "https://localhost/jupyter/x", lies)[1]
    assert "X-Scheme: https" in text
    assert "x-real-ip: 127.0.0.1" in text.lower()
    assert "9.9.9.9" not in text
    assert "Host: localhost" in text


@pytest.mark.parametrize("name", ["a%2Fb.txt", "q%3Fx.txt", "a%20b%25.txt", "..%2Fx"])
def test_paths_travel_as_they_are(host, name):
    text = fetch(host, f"https://localhost/jupyter/user/ada/files/{name}")[1]
    assert f"GET /jupyter/user/ada/files/{name} HTTP" in text


@pytest.mark.parametrize(
    "path", ["kernels/1/channels", "terminals/websocket/1", "events/subscribe"]
)
def test_websockets(host, path):
    done = host.run(
        f"printf hello | timeout 5 {CURL} --no-buffer --http1.1 --include "
        "--header 'Connection: Upgrade' --header 'Upgrade: websocket' "
        "--header 'Sec-WebSocket-Version: 13' "
        "--header 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' "
        f"--max-time 2 https://localhost/jupyter/user/ada/api/{path}"
    )
    assert done.stdout.startswith("HTTP/1.1 101 ")


SPELLINGS = ["Remote_User", "Remote-User", "REMOTE_USER", "remote-user", "Remote_User_Data"]
SPELLINGS += ["Remote-User-Data", "Remote_User-Data", "remote-user_data"]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("path", ["hub/home", "hub/api/user", "user/ada/lab", "hub/logout"])
def test_identity_headers_of_a_client_are_gone(host, name, path):
    code, text = fetch(host, f"https://localhost/jupyter/{path}", f"--header '{name}: root'")
    assert code == 200
    assert not {h for h in headers_seen(text) if h.startswith(("remote_user", "remote-user"))}


def test_sign_in_page_is_a_page_not_a_pop_up(host):
    code, text = fetch(host, f"{LOGIN}?next=%2Fjupyter%2Fuser%2Fada")
    assert code == 401
    assert "www-authenticate" not in text.lower()
    assert 'name="httpd_password"' in text
    assert "sign-in-failed" not in text


@pytest.mark.parametrize("who", ["ada:wrong", "nobody-here:right", "ada:", "root:right"])
def test_wrong_password_is_refused_with_words(host, who):
    name, password = who.split(":")
    form = f"--data httpd_username={name} --data httpd_password={password}"
    code, text = fetch(host, LOGIN, form)
    assert code == 401
    assert "sign-in-failed" in text


def test_right_password_leads_on_to_where_one_wanted_to_go(host):
    form = "--data httpd_username=ada --data httpd_password=right"
    code, text = fetch(host, f"{LOGIN}?next=%2Fjupyter%2Fuser%2Fada%3Fa%3Db", form)
    assert code == 302
    target = re.search(r"^location: (\S+)", text, re.M | re.I)[1]
    assert target.endswith("/jupyter/hub/login?next=%2Fjupyter%2Fuser%2Fada%3Fa%3Db")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://localhost", 302),
        ("https://evil.test", 403),
        ("null", 403),
        ("http://localhost", 403),
    ],
)
def test_only_our_own_page_may_send_the_form(host, origin, expected):
    """Else a foreign page could sign somebody in, or send them on to an address of its own."""
    form = "--data httpd_username=ada --data httpd_password=right"
    form += " --data httpd_location=https://evil.test/"
    code, text = fetch(host, LOGIN, f"{form} --header 'Origin: {origin}'")
    assert code == expected
    if expected == 403:
        assert "evil.test" not in text


def test_a_page_address_cannot_carry_markup(host):
    text = fetch(host, f'{LOGIN}?"><script>alert(1)</script>', "--globoff")[1]
    assert "<script>alert" not in text


def test_right_password_hands_the_name_to_the_hub(host, signed_in):
    code, text = fetch(host, LOGIN, f"{signed_in} --header 'Remote_User: root'")
    assert code == 200
    assert re.findall(r"^remote_user: (.*)$", text, re.M | re.I) == ["ada"]


@pytest.mark.parametrize(
    "path", ["hub/home", "user/ada/lab", "hub/api/user", "hub/login/x", "hub/logins"]
)
def test_the_name_is_handed_over_at_the_login_alone(host, signed_in, path):
    text = fetch(host, f"https://localhost/jupyter/{path}", signed_in)[1]
    assert "remote_user" not in headers_seen(text)


@pytest.mark.parametrize(
    "path",
    ["user/ada/../../hub/login", "user/ada/%2e%2e/../hub/login", "/hub/login", "hub/./login"],
)
def test_an_address_that_only_resolves_to_the_login_gets_no_name(host, signed_in, path):
    text = host.check_output(
        f"{CURL} --include --path-as-is {signed_in} 'https://localhost/jupyter/{path}'"
    )
    assert "\nremote_user: ada" not in text.lower()


def test_cookie_is_narrow_and_short(host):
    text = fetch(host, LOGIN, "--data httpd_username=ada --data httpd_password=right")[1]
    cookie = re.search(r"^set-cookie: (jupyterhub-main-sign-in=.*)$", text, re.M | re.I)[1]
    for part in ("path=/jupyter/hub/login", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=60"):
        assert part in cookie
    assert "ada" not in cookie
    assert "right" not in cookie


def test_signing_out_ends_the_sign_in(host, signed_in):
    code, text = fetch(host, f"{LOGIN}/sign-out", signed_in)
    assert code in {302, 307}
    assert "sign-in.html?signed-out" in text
    value = re.search(r"set-cookie: jupyterhub-main-sign-in=([^;]*)", text, re.I)[1]
    code = fetch(host, LOGIN, f"--header 'Cookie: jupyterhub-main-sign-in={value}'")[0]
    assert code == 401
    assert (
        "You are signed out"
        in fetch(host, "https://localhost/jupyter/gateway/sign-in.html?signed-out")[1]
    )


def test_the_sign_in_of_one_hub_is_not_that_of_another(host, signed_in):
    assert fetch(host, "https://localhost/second/hub/login", signed_in)[0] == 401


@pytest.mark.parametrize(
    ("url", "user", "code"),
    [
        ("https://localhost/second/hub/login", "eve:other", 200),
        ("https://localhost/second/hub/login", "ada:right", 401),
        ("https://localhost/jupyter/hub/login", "eve:other", 401),
        ("https://localhost/jupyter/hub/login", "ada:right", 401),
        ("https://other.test/hub/login", "eve:other", 401),
    ],
)
def test_each_hub_has_its_own_sign_on(host, url, user, code):
    """One asks a file by the browser's own window, the others PAM by a page."""
    seen, text = fetch(host, url, f"--user {user}")
    assert seen == code
    assert ("Remote_User: eve" in text) is (code == 200)


def test_page_of_one_hub_signs_nobody_in_at_another(host):
    form = "--data httpd_username=ada --data httpd_password=right"
    assert fetch(host, "https://localhost/second/hub/login", form)[0] == 401
    assert fetch(host, "https://other.test/hub/login", form)[0] in {200, 302, 307}


COUNTS = "/var/cache/modsecurity/www-data-ip"
FORM = "--data httpd_username=ada --data httpd_password="
SECOND = "https://localhost/second/hub/login"
CODE = "--output /dev/null --write-out '%{http_code}\n'"


def wrong(host, address, number):
    """Give wrong passwords from an address, to the hub whose sign-on takes no time for each."""
    options = f"--interface {address} {CODE} --user eve:wrong"
    codes = host.check_output(f"{CURL} {options} '{SECOND}?[1-{number}]'").split()
    assert codes == ["401"] * number


@pytest.fixture
def too_many(host):
    """Give as many wrong passwords from one address as are checked; forget them later."""
    wrong(host, "127.0.0.2", 29)
    assert fetch(host, LOGIN, f"--interface 127.0.0.2 {FORM}wrong")[0] == 401
    yield "--interface 127.0.0.2"
    host.check_output(f"rm -f {COUNTS}.*")


def test_too_many_wrong_passwords_are_refused_with_words(host, too_many):
    for password in ("wrong", "right"):
        code, text = fetch(host, LOGIN, f"{too_many} {FORM}{password}")
        assert code == 429
        assert "Too many wrong passwords" in text
        assert "set-cookie" not in text.lower()
    # Every hub of the machine, in the browser's own window too.
    assert fetch(host, SECOND, f"{too_many} --user eve:other")[0] == 429
    # However the address is spelt that Apache reads as the login's.
    for path in ("hub/./login", "hub//login", "x/../hub/login", "%68ub/%6cogin", "hub/login/x"):
        url = f"https://localhost/jupyter/{path}"
        assert fetch(host, url, f"{too_many} --path-as-is {FORM}right")[0] == 429, path
    # A reload forgets nothing.
    host.check_output("systemctl reload apache2")
    assert fetch(host, LOGIN, f"{too_many} {FORM}right")[0] == 429
    # An administrator does.
    host.check_output(f"rm -f {COUNTS}.*")
    assert fetch(host, LOGIN, f"{too_many} {FORM}right")[0] == 302


def test_a_refused_form_ends_whole(host, too_many):
    """A page in place of a form that nobody read must not end its stream with an error."""
    for version in ("--http2", "--http1.1"):
        refused = f"{CURL} {too_many} {version} --fail-early {FORM}right '{LOGIN}'"
        text = host.check_output(f"for i in $(seq 100); do {refused} || exit; done")
        assert text.count("</html>") == 100


def test_others_do_not_notice_too_many_wrong_passwords(host, signed_in, too_many):
    for url in (LOGIN, "https://localhost/jupyter/user/ada/lab", f"{API}/jupyter/hub/api/user"):
        assert fetch(host, url, f"{too_many} {signed_in}")[0] == 200
    put = "--request POST --header 'Authorization: token x'"
    assert fetch(host, "https://localhost/jupyter/hub/api/user", f"{too_many} {put}")[0] == 200
    assert fetch(host, LOGIN, too_many)[0] == 401
    assert fetch(host, LOGIN, f"--interface 127.0.0.3 {FORM}right")[0] == 302


def test_wrong_passwords_are_forgotten_in_time(host):
    """The time runs from the first: more of them do not prolong it."""
    fragment = "/etc/apache2/jupyterhub/localhost/second.conf"
    host.check_output(f"sed -i 's/wrong_passwords=600/wrong_passwords=8/' {fragment}")
    host.check_output("systemctl reload apache2")
    began = time.monotonic()
    wrong(host, "127.0.0.4", 15)
    time.sleep(began + 4 - time.monotonic())
    wrong(host, "127.0.0.4", 15)
    right = f"--interface 127.0.0.4 {FORM}right"
    assert fetch(host, LOGIN, right)[0] == 429
    while fetch(host, LOGIN, right)[0] == 429:
        assert time.monotonic() < began + 11
        time.sleep(0.5)
    host.check_output(f"sed -i 's/wrong_passwords=8/wrong_passwords=600/' {fragment}")


def test_right_passwords_count_for_nothing(host):
    """A whole course behind one address: only wrong ones would be too many."""
    options = f"--max-time 60 --interface 127.0.0.5 {CODE} {FORM}right"
    codes = host.check_output(f"{CURL} {options} '{LOGIN}?[1-60]'").split()
    assert codes == ["302"] * 60


API = "http://127.0.0.1:8081"


def test_api_door_passes_the_api(host):
    code, text = fetch(host, f"{API}/jupyter/hub/api/user", "--header 'Authorization: token x'")
    assert code == 200
    assert "GET /jupyter/hub/api/user" in text
    assert "Authorization: token x" in text


@pytest.mark.parametrize("name", SPELLINGS)
def test_api_door_strips_identity_headers(host, name):
    text = fetch(host, f"{API}/jupyter/hub/api/user", f"--header '{name}: root'")[1]
    assert not {h for h in headers_seen(text) if h.startswith(("remote_user", "remote-user"))}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/jupyter/",
        "/jupyter/hub/login",
        "/jupyter/hub/home",
        "/jupyter/hub/api/../login",
        "/jupyter/hub/api/%2e%2e/login",
        "/jupyter/hub/api/..%2flogin",
        "/jupyter/hub/apix",
        "/jupyter/user/ada/lab",
        "/jupyter/hub//login",
        "/server-status",
    ],
)
def test_api_door_passes_nothing_else(host, path):
    assert fetch(host, f"{API}{path}", "--path-as-is")[0] == 404


def test_worker_limits_are_in_force(host):
    text = host.check_output(
        "apache2ctl -t -D DUMP_RUN_CFG && cat /etc/apache2/conf-enabled/jupyterhub.conf"
    )
    assert "MaxRequestWorkers 4096" in text


def test_a_configuration_that_apache_refuses_is_taken_back(host):
    fragment = "/etc/apache2/jupyterhub/localhost/main.conf"
    good = host.file(fragment).content_string
    host.check_output("echo NoSuchDirective >>%s", fragment)
    done = host.run("sh -c %s", APPLY)
    assert done.rc != 0
    assert "NoSuchDirective" in done.stderr
    assert host.file(fragment).content_string == good
    assert host.file("/etc/apache2").mode == 0o755
    assert host.file("/etc/apache2/sites-enabled").mode == 0o755
    host.check_output("apache2ctl configtest")
    assert fetch(host, "https://localhost/jupyter/x")[0] == 200


def test_a_change_is_applied_by_reload_even_after_an_interruption(host):
    before = host.check_output("systemctl show --property=MainPID --value apache2")
    host.check_output("echo '# changed' >>/etc/apache2/jupyterhub/localhost/second.conf")
    assert "applied" in host.check_output("sh -c %s", APPLY)
    assert host.check_output("sh -c %s", APPLY) == ""
    assert host.check_output("systemctl show --property=MainPID --value apache2") == before


def test_a_renewed_certificate_is_loaded(host):
    host.check_output(
        "openssl req -x509 -key %s -subj /CN=localhost -out %s",
        *[f"/etc/apache2/jupyterhub/localhost/tls.{end}" for end in ("key", "crt")],
    )
    assert "applied" in host.check_output("sh -c %s", APPLY)


def test_a_wider_address_is_taken_over_and_a_bad_one_taken_back(host):
    """Apache cannot bind to an address while it listens on a part of it: it is restarted."""
    site = "/etc/apache2/sites-enabled/jupyterhub-localhost.conf"
    good = host.file(site).content_string
    host.check_output("sed -i '/^ *Listen /s/127.0.0.1:443/127.0.0.99:443/' %s", site)
    assert "applied" in host.check_output("sh -c %s", APPLY)
    host.check_output("sed -i '/^ *Listen /s/127.0.0.99:443/192.0.2.1:443/' %s", site)
    done = host.run("sh -c %s", APPLY)
    assert done.rc != 0
    assert "192.0.2.1" in done.stderr
    assert "127.0.0.99:443" in host.file(site).content_string
    assert host.service("apache2").is_running
    host.check_output("printf %%s %s >%s", good, site)
    assert "applied" in host.check_output("sh -c %s", APPLY)
    assert fetch(host, "https://localhost/jupyter/x")[0] == 200


def test_another_server_name_leaves_nothing_of_the_old_one(host):
    base = "/etc/apache2/jupyterhub"
    words = "other renamed.test no-subdomains api-127.0.0.1-8081 pam ports"
    assert "made away with other.test" in host.check_output(
        f"sh -c %s prepare-apache {words}", PREPARE
    )
    assert not host.file(f"{base}/other.test").exists
    assert not host.file("/etc/apache2/sites-enabled/jupyterhub-other.test.conf").exists
    # Two hubs share the other one: it stays when one of them leaves.
    words = "second renamed.test no-subdomains api-127.0.0.1-8081 pam ports"
    host.check_output(f"sh -c %s prepare-apache {words}", PREPARE)
    assert host.file(f"{base}/localhost/main.conf").exists
    assert not host.file(f"{base}/localhost/second.conf").exists


def test_nothing_secret_is_world_readable(host):
    found = host.check_output(
        "find /etc/apache2/jupyterhub /var/backups/jupyterhub-gateway -type f -perm /044 "
        "( -name '*.key' -o -name session-key )".replace("(", "\\(").replace(")", "\\)")
    )
    assert found == ""
