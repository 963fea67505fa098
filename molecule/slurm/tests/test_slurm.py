"""A Slurm of one node that really runs jobs, with the partitions that the default profiles name."""

import re
import time
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"


@pytest.fixture(scope="module")
def user(host):
    """Return the name of an ordinary account."""
    host.run("useradd --create-home --shell /bin/bash ada")
    return "ada"


@pytest.mark.parametrize("name", ["munge", "slurmctld", "slurmd"])
def test_service_runs_and_is_enabled(host, name):
    assert host.service(name).is_running
    assert host.service(name).is_enabled


def test_every_partition_of_the_default_profiles_exists(host):
    defaults = yaml.safe_load((ROLES / "hub/defaults/main.yml").read_text())
    wanted = {profile["options"]["req_partition"] for profile in defaults["hub_profiles"]}
    found = set(host.check_output("sinfo --noheader --format=%R").split())
    assert wanted <= found


@pytest.mark.parametrize("profile", ["small", "medium"])
def test_the_partition_grants_what_the_profile_asks_for(host, user, profile):
    defaults = yaml.safe_load((ROLES / "hub/defaults/main.yml").read_text())
    options = {p["key"]: p["options"] for p in defaults["hub_profiles"]}[profile]
    host.check_output(
        "runuser -u %s -- sbatch --test-only --partition=%s --time=%s --mem=%s --cpus-per-task=%s "
        "--wrap=true",
        user,
        options["req_partition"],
        options["req_runtime"],
        options["req_memory"],
        options["req_nprocs"],
    )


def test_job_runs_as_its_user(host, user):
    job = host.check_output(
        "runuser -u %s -- sbatch --parsable --chdir=/home/%s --output=out --wrap=id", user, user
    )
    for _ in range(60):
        if not host.check_output("squeue --noheader --jobs=%s || true", job):
            break
        time.sleep(0.5)
    assert f"({user})" in host.file(f"/home/{user}/out").content_string


def test_walltime_beyond_the_partitions_limit_is_refused(host, user):
    done = host.run("runuser -u %s -- sbatch --test-only -p short -t 1-0 --wrap=true", user)
    assert done.rc != 0


def test_listens_on_no_more_than_the_address_of_its_name(host):
    """Ports 6817 and 6818 (0x1AA1, 0x1AA2) are not open on every interface."""
    sockets = re.findall(
        r": (\w+):(1AA[12]) \w+:0000 0A", host.file("/proc/net/tcp").content_string
    )
    assert {port for _, port in sockets} == {"1AA1", "1AA2"}
    assert "00000000" not in {address for address, _ in sockets}
