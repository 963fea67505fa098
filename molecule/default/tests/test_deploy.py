"""What one ./deploy leaves on a machine; tests/e2e looks at it from the outside."""

import re

import pytest


@pytest.mark.parametrize(
    "unit",
    ["jupyterhub-main", "jupyterhub-proxy-main", "apache2", "munge", "slurmctld", "slurmd"],
)
def test_unit_runs_and_comes_back_after_a_reboot(host, unit):
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled


def test_password_of_the_demo_account_is_for_root_alone(host):
    password = host.file("/root/demo-password")
    assert (password.user, password.group, password.mode) == ("root", "root", 0o600)
    assert password.size > 8


@pytest.mark.parametrize("port", [80, 443, 8081])
def test_gateway_listens_on_loopback_alone(host, port):
    table = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    rows = [line.split() for line in table]
    addresses = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert addresses == [f"0100007F:{port:04X}"]


@pytest.fixture(scope="module")
def look(host):
    """Return what `./deploy --check --diff -vvv` says on the deployed machine."""
    return host.check_output("cd /root/hpc-gateway && NO_COLOR=1 ./deploy --check --diff -vvv")


def test_check_mode_finds_nothing_to_change(look):
    assert re.search(r"^main +: ok=\d+ +changed=0 ", look, re.M)


def test_no_secret_shows_at_the_highest_verbosity(host, look):
    secrets = host.check_output("cat /var/lib/jupyterhub/main/secrets/* /root/demo-password")
    found = re.findall(r"[0-9a-f]{18,64}", secrets)
    assert len(found) >= 5
    assert not [secret for secret in found if secret in look]


def test_the_end_says_where_to_go(look):
    end = look[look.index("Say how to get in") :]
    assert "https://localhost/jupyter/" in end
    assert "/root/demo-password" in end
    assert "journalctl -u jupyterhub-main" in end
