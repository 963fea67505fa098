"""Bad inventories are refused on a real machine, with one message, and leave it as it was."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
bad_inventory = importlib.import_module("bad_inventory")

CONNECTION = {"ansible_connection": "community.docker.docker"}
# The time of change tells what a checksum would, and touched modes and owners too.
STATE = "find /etc /home /opt /root /srv /usr /var/lib -printf '%p %i %m %U %G %s %C@\\n' | sort"


@pytest.fixture
def deploy(host, tmp_path):
    """Return a function that runs a case's deploy against the container."""
    name = host.backend.get_hostname()

    def run(case, *options):
        return bad_inventory.deploy(case, name, CONNECTION, tmp_path, *options)

    return run


@pytest.mark.parametrize("case", bad_inventory.cases(), ids=lambda case: case.name)
def test_refused_before_anything_changes(host, deploy, case):
    before = host.check_output(STATE)
    done = deploy(case)
    bad_inventory.assert_refused(case, done)
    assert host.check_output(STATE) == before


def test_obstacles_alone_are_no_problem(deploy):
    """The same machine passes with a good inventory: cases are refused for their own reason."""
    case = bad_inventory.Case("good", {}, "", "", "")
    done = deploy(case, "--tags=preflight", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_good_certificate_passes(deploy):
    variables = {
        "gateway_tls_certificate": "/srv/preflight/good.pem",
        "gateway_tls_key": "/srv/preflight/good.key",
    }
    done = deploy(bad_inventory.Case("good", variables, "", "", ""), "--tags=preflight")
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_bad_host_stops_the_good_one(deploy):
    second = {"hub_name": "test", "hub_base_url": "/test/", "release_keep": 0}
    case = bad_inventory.Case(
        "one of two", {}, "release_keep", "is out of range", "Use a number", "0", second
    )
    done = deploy(case)
    bad_inventory.assert_refused(case, done)
    assert "Deploy each instance" not in done.stdout


def test_secrets_stay_hidden(deploy):
    """A canary in the inventory shows in no output, however wrong its place and loud the run."""
    canary = "canary-4711"
    variables = {
        "hub_api_token": canary,
        "gateway_tls_certificate": "/c",
        "gateway_tls_key": f"-----BEGIN PRIVATE KEY-----\n{canary}",
        "hub_profiles": [
            {
                "name": "A",
                "key": "a",
                "spawner": "slurm",
                "options": {"environment": [{"PASSWORD": canary}], "secret": canary},
            }
        ],
    }
    done = deploy(bad_inventory.Case("secrets", variables, "", "", ""), "-vvv", "--diff")
    assert done.returncode != 0
    assert "4 problems with first" in done.stdout + done.stderr
    assert canary not in done.stdout + done.stderr
