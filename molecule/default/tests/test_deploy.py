"""What one ./deploy leaves on a machine; tests/e2e looks at it from the outside."""

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
