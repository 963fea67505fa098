"""A bad inventory is refused while a hub serves, which goes on as if nothing had been asked."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests"))
bad_inventory = importlib.import_module("bad_inventory")

CONFIGURATION = "/etc/jupyterhub/main/jupyterhub_config.py"
# Hub and Slurm write these by themselves: the hub its database, in its directory, when people come
# and go and now and then; slurmctld and slurmd their state. Logs are not looked at anywhere.
OWN = (
    "/var/lib/jupyterhub/main",
    "/var/lib/jupyterhub/main/jupyterhub.sqlite*",
    "/var/lib/slurm/*",
)
SERVING = """
systemctl show --property=MainPID jupyterhub-main &&
/opt/jupyterhub/main/current/venv/bin/python -m hpc_gateway.health --timeout=1 \\
    --socket=/run/jupyterhub/main/hub/hub.sock --path=/jupyter/hub/health
"""


@pytest.fixture(scope="module")
def machine(host, tmp_path_factory):
    """Return the machine as ./deploy knows it: inventories are the local one with a mistake."""
    variables = yaml.safe_load((ROOT / "inventories/local/group_vars/all.yml").read_text())
    return bad_inventory.Machine(host, tmp_path_factory.mktemp("inventory"), variables, OWN)


@pytest.fixture(autouse=True, scope="module")
def hub(host):
    """Return the hub's process, which answers with 200."""
    process = host.check_output(SERVING)
    assert process not in ("", "MainPID=0")
    return process


@pytest.fixture(autouse=True)
def _hub_serves_on(host, hub):
    """Check after each test that the same process still answers."""
    yield
    assert host.check_output(SERVING) == hub


@pytest.mark.parametrize("case", bad_inventory.cases(machine=False), ids=lambda case: case.name)
def test_refused_before_anything_changes(machine, case):
    bad_inventory.assert_refused(case, machine.deploy(case))


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"spawner": "nowhere.spawners.Own"}, "nowhere.spawners.Own cannot be imported"),
        (
            {"spawner": "hpc_gateway.spawners.SlurmSpawner", "options": {"req_memry": "4gb"}},
            "SlurmSpawner has no option req_memry; did you mean req_memory?",
        ),
    ],
    ids=["class that is nowhere", "unknown trait of a class"],
)
def test_refused_by_the_release(host, machine, profile, message):
    """What only the hub's own Python can know, it says before the configuration is replaced."""
    before = host.file(CONFIGURATION).content
    profiles = [{"name": "Own", "key": "own", **profile}]
    case = bad_inventory.Case("own class", {"hub_profiles": profiles}, "", "", "")
    # The other roles have nothing to do here, and would take their time to find that out.
    done = machine.deploy(case, "--tags=hub")
    assert done.code != 0, done.output
    assert f"{CONFIGURATION} is not replaced" in done.output, done.output
    assert message in done.output, done.output
    assert host.file(CONFIGURATION).content == before
    assert [path for path in done.changed if path.startswith("/etc/")] == [], done.output
