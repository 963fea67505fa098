"""Bad inventories are refused on a real machine, with one message, and leave it as it was."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
bad_inventory = importlib.import_module("bad_inventory")


@pytest.fixture(scope="module")
def machine(host, tmp_path_factory):
    return bad_inventory.Machine(host, tmp_path_factory.mktemp("inventory"), {})


def test_changes_are_noticed(host, machine):
    """Else the tests below would prove little: a new file, another mode, a file that is gone."""
    host.check_output("touch /etc/new")
    assert sorted(machine.changed()) == ["/etc", "/etc/new"]
    host.check_output("chmod 600 /etc/new")
    assert machine.changed() == ["/etc/new"]
    host.check_output("rm /etc/new")
    assert machine.changed() == ["/etc"]
    assert machine.changed() == []


@pytest.mark.parametrize("case", bad_inventory.cases(machine=True), ids=lambda case: case.name)
def test_refused_before_anything_changes(machine, case):
    bad_inventory.assert_refused(case, machine.deploy(case))


def test_obstacles_alone_are_no_problem(machine):
    """The same machine passes with a good inventory: cases are refused for their own reason."""
    case = bad_inventory.Case("good", {}, "", "", "")
    done = machine.deploy(case, "--tags=preflight", "--check")
    assert done.code == 0, done.output


def test_good_certificate_passes(machine):
    variables = {
        "gateway_tls_certificate": "/srv/preflight/good.pem",
        "gateway_tls_key": "/srv/preflight/good.key",
    }
    done = machine.deploy(bad_inventory.Case("good", variables, "", "", ""), "--tags=preflight")
    assert done.code == 0, done.output


def test_certificate_without_its_chain_is_named(machine):
    """No more than that: a private authority need not be known to this machine."""
    variables = {
        "gateway_tls_certificate": "/srv/preflight/issued.pem",
        "gateway_tls_key": "/srv/preflight/issued.key",
    }
    done = machine.deploy(bad_inventory.Case("issued", variables, "", "", ""), "--tags=preflight")
    assert done.code == 0, done.output
    assert "/srv/preflight/issued.pem (gateway_tls_certificate) lacks its chain" in done.output


def test_one_bad_host_stops_the_good_one(machine):
    second = {"hub_name": "test", "hub_base_url": "/test/", "release_keep": 0}
    case = bad_inventory.Case(
        "one of two", {}, "release_keep", "is out of range", "Use a number", "0", second
    )
    done = machine.deploy(case)
    bad_inventory.assert_refused(case, done)
    assert "Deploy each instance" not in done.output


def test_secrets_stay_hidden(machine):
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
    done = machine.deploy(bad_inventory.Case("secrets", variables, "", "", ""), "-vvv", "--diff")
    assert done.code != 0
    assert "4 problems with first" in done.output
    assert canary not in done.output
