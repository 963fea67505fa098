"""After five interruptions the next run converged: the hub is whole and serves."""

import pytest


@pytest.mark.parametrize(
    "name", ["jupyterhub-main", "jupyterhub-proxy-main", "apache2", "slurmctld", "slurmd"]
)
def test_service_runs_and_is_enabled(host, name):
    assert host.service(name).is_running
    assert host.service(name).is_enabled


def test_hub_answers_through_the_gateway(host):
    answer = host.check_output(
        "/opt/jupyterhub/main/current/venv/bin/python -c %s",
        "import requests, urllib3; urllib3.disable_warnings(); print(requests.get("
        "'https://localhost/jupyter/hub/health', verify=False, timeout=5).status_code)",
    )
    assert answer == "200"


def test_releases_are_complete_and_no_build_is_left(host):
    for root in ("/opt/jupyterhub/main", "/opt/jupyterhub/main/notebook"):
        for release in host.check_output(f"ls {root}/releases").split():
            assert host.file(f"{root}/releases/{release}/RELEASE.json").exists
        assert host.file(f"{root}/current/RELEASE.json").exists
        assert not host.file(f"{root}/inputs").exists


def test_packages_are_whole(host):
    assert host.check_output("dpkg --audit") == ""
