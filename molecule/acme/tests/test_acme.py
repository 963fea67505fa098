"""Certificates from an ACME server: the first, the next under open websockets, none, no more."""

import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ADDRESS = "10.203.9.10"
NAME = "acme-gateway"
TIMER = "jupyterhub-gateway-certificates.timer"
SERVICE = "jupyterhub-gateway-certificates.service"
MAIN, OTHER = yaml.safe_load((ROOT / "molecule/acme/vars/main.yml").read_text())["__converge_hubs"]
UPGRADE = (
    f"GET /jupyter/user/ada/api/events HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)

testinfra_hosts = [f"ansible://{NAME}"]


@pytest.fixture
def play(request):
    """Return what deploys the main hub with another ACME server: exit code and output."""

    def deploy(url):
        variables = {
            "__converge_hubs": [MAIN | {"acme": url}],
            "__converge_roles": ["gateway"],
            "__gateway_acme_seconds": 5,
        }
        command = [
            ROOT / ".venv-test/bin/ansible-playbook",
            *("--inventory", request.config.getoption("ansible_inventory")),
            *("--extra-vars", json.dumps(variables), ROOT / "molecule/acme/converge.yml"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return deploy


def connect(name=NAME):
    """Return a TLS connection to Apache, whatever its certificate says."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((ADDRESS, 443), timeout=10)
    return context.wrap_socket(plain, server_hostname=name)


def served(name=NAME):
    """Return what openssl says of the certificate that a client of that name gets."""
    with connect(name) as connection:
        certificate = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
    command = ["openssl", "x509", "-noout", "-issuer", "-serial", "-ext", "subjectAltName"]
    return subprocess.run(
        command, input=certificate, capture_output=True, text=True, check=True
    ).stdout


def graceful_starts(host):
    # Finding none is no error.
    return host.check_output("grep -c AH00493 /var/log/apache2/error.log || true")


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def test_first_certificate_is_served_after_the_first_deploy(host):
    text = served()
    assert "CN = Pebble Intermediate" in text
    assert f"DNS:{NAME}" in text
    host.check_output(
        f"openssl s_client -connect localhost:443 -servername {NAME} -showcerts </dev/null |"
        "test 2 = $(grep -c BEGIN)"
    )


def test_neighbour_on_the_same_apache_keeps_its_own(host):
    assert "issuer=CN = other.test" in served("other.test")


def test_http_is_sent_on_to_https():
    with socket.create_connection((ADDRESS, 80), timeout=10) as connection:
        connection.sendall(f"GET /x HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        answer = connection.recv(4096).decode()
    assert f"Location: https://{NAME}/x" in answer


def test_timer_runs(host):
    assert host.service(TIMER).is_running
    assert host.service(TIMER).is_enabled


def test_renewal_leaves_websockets_open(host):
    """A whole new certificate waits, and the timer's service has Apache take it up."""
    before, pid = served(), host.check_output("systemctl show -P MainPID apache2")
    host.check_output("echo MDRenewWindow 3000d >/etc/apache2/conf-enabled/renew.conf")
    host.check_output("systemctl reload apache2")
    job = host.file(f"/var/lib/apache2/md/staging/{NAME}/job.json")
    until(lambda: job.exists and '"finished": true' in job.content_string)
    host.check_output("rm /etc/apache2/conf-enabled/renew.conf")

    websockets = [connect() for _ in range(50)]
    for websocket in websockets:
        websocket.sendall(UPGRADE.encode())
        assert websocket.recv(4096).startswith(b"HTTP/1.1 101 ")
    assert served() == before
    host.check_output(f"systemctl start {SERVICE}")
    until(lambda: served() != before)
    assert "Pebble" in served()
    for number, websocket in enumerate(websockets):
        websocket.sendall(b"ping %d" % number)
        assert websocket.recv(4096) == b"ping %d" % number
        websocket.close()
    assert host.check_output("systemctl show -P MainPID apache2") == pid


def test_nothing_to_take_up_is_no_reason_to_reload(host):
    starts = graceful_starts(host)
    host.check_output(f"systemctl start {SERVICE}")
    assert graceful_starts(host) == starts


def test_certificate_that_apache_does_not_take_is_tried_once(host):
    """Each reload while websockets are open keeps a process slot of Apache."""
    staged = f"/var/lib/apache2/md/staging/{NAME}"
    host.check_output(
        f"mkdir -p {staged} && echo '\"finished\": true' >{staged}/job.json &&"
        f" touch {staged}/pubcert.secp256r1.pem"
    )
    starts = int(graceful_starts(host))
    for _ in range(2):
        host.check_output(f"systemctl start {SERVICE}")
        until(lambda: int(graceful_starts(host)) == starts + 1)
    host.check_output(f"rm -rf {staged}")


def test_silent_server_is_an_error_and_apache_serves_on(host, play):
    """Also after a change of servers: the certificate of the one before is served on."""
    before = served()
    code, output = play("https://acme-server:14001/dir")
    assert code != 0
    assert "No certificate for acme-gateway came from the ACME server within 5 seconds" in output
    assert "Unsuccessful in contacting ACME server at <https://acme-server:14001/dir>" in output
    assert "Check that this machine reaches the server at gateway_acme_url" in output
    assert served() == before
    # It is back, and asked at once.
    code, output = play(MAIN["acme"])
    assert code == 0, output
    assert served() != before
    assert "Pebble" in served()


def test_switched_off(host, play):
    code, output = play("")
    assert code == 0, output
    assert "issuer=CN = acme-gateway" in served()
    for path in (
        f"/etc/systemd/system/{TIMER}",
        f"/etc/systemd/system/{SERVICE}",
        "/usr/local/sbin/jupyterhub-gateway-certificates",
        f"/etc/apache2/jupyterhub/{NAME}/earlier-certificate",
        f"/etc/apache2/jupyterhub/{NAME}/earlier.key",
    ):
        assert not host.file(path).exists
    assert not host.service(TIMER).is_running
