"""Preflight asks the Slurm that runs here whether it grants what profiles ask for.

`slurm_embedded: never` makes it a Slurm of the site's, of which the inventory knows nothing.
"""

import importlib
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
bad_inventory = importlib.import_module("bad_inventory")

FITTING = {"req_partition": "short", "req_runtime": "01:00:00", "req_memory": "1G"}

# What every message about a profile, or about a scheduler that was not asked, has.
WORD = re.compile(r"hub_profiles\[|what profiles ask of")


@pytest.fixture(scope="module")
def preflight(host, tmp_path_factory):
    """Return a function that runs preflight for some profiles and with other variables."""
    machine = bad_inventory.Machine(host, tmp_path_factory.mktemp("inventory"), {})

    def run(*profiles, **variables):
        profiles = [
            {"name": "A", "key": f"a{number}", "spawner": "slurm", **profile}
            for number, profile in enumerate(profiles)
        ]
        variables = {"slurm_embedded": "never", "hub_profiles": profiles, **variables}
        case = bad_inventory.Case("profiles", variables, "", "", "")
        return machine.deploy(case, "--tags=preflight")

    return run


def field(most):
    return {"min": most, "default": most, "max": most}


FITS = {"options": FITTING}
WRONG = [
    (
        {"options": {**FITTING, "req_partition": "shrot"}},
        '.options.req_partition = "shrot": the cluster slurm has no partition shrot.'
        ' Did you mean "short"?',
    ),
    (
        {"options": {**FITTING, "req_runtime": "01:00:01"}},
        '.options.req_runtime = "01:00:01": is more than the partition short has for one job:'
        " 01:00:00. Ask for less",
    ),
    (
        {"options": {**FITTING, "req_memory": "9000G"}},
        '.options.req_memory = "9000G": is more than the partition short has for one job:',
    ),
    (
        {"options": FITTING, "fields": {"walltime": field("24:00:00")}},
        '.fields.walltime.max = "24:00:00": is more than the partition short has for one job:',
    ),
    # Only sbatch can tell.
    (
        {"options": {"req_options": "--constraint=gpu"}},
        '.options = {"req_options": "--constraint=gpu"}: the cluster slurm refuses such a job:'
        " Invalid feature specification.",
    ),
]


def missing(output, before):
    """Return the messages that do not stand in the output, each at a line of the inventory."""
    return [
        message
        for number, (_, message) in enumerate(WRONG)
        if not re.search(
            before + rf"\S+:\d+ hub_profiles\[{number}\]{re.escape(message)}", output, re.MULTILINE
        )
    ]


def test_warned_of(preflight):
    done = preflight(*(profile for profile, _ in WRONG), FITS)
    assert done.code == 0, done.output
    assert missing(done.output, r"\[WARNING\]: ") == [], done.output
    assert "hub_profiles[5]" not in done.output
    assert done.changed == []


def test_refused_where_the_inventory_wants_it(preflight):
    done = preflight(*(profile for profile, _ in WRONG), FITS, preflight_profiles="error")
    assert done.code != 0
    assert "5 problems with first; nothing was changed:" in done.output
    assert missing(done.output, "^ +") == [], done.output
    assert done.changed == []


def test_what_is_granted_leaves_no_word(preflight):
    """An account too: there is no accounting, so that nothing knows of any."""
    done = preflight({"options": {**FITTING, "req_account": "a"}}, preflight_profiles="error")
    assert done.code == 0, done.output
    assert not WORD.search(done.output)


def test_nobody_is_asked_where_the_inventory_wants_it(preflight):
    done = preflight(WRONG[0][0], preflight_profiles="ignore")
    assert done.code == 0, done.output
    assert not WORD.search(done.output)


def test_scheduler_that_does_not_answer_is_a_warning(host, preflight):
    """One that is down, and one that is not installed."""
    host.check_output("systemctl stop slurmctld")
    try:
        done = preflight(
            WRONG[0][0],
            {"spawner": "gridengine", "options": {"req_queue": "all.q"}},
            batch_schedulers=["slurm", "gridengine"],
            preflight_profiles="error",
        )
    finally:
        host.check_output("systemctl start slurmctld")
        host.check_output("for i in $(seq 60); do sinfo -h && break; sleep 0.5; done")
    assert done.code == 0, done.output
    before = r"\[WARNING\]: first: what profiles ask of the cluster "
    assert re.search(before + "slurm was not checked: sinfo ", done.output), done.output
    assert re.search(before + "gridengine was not checked: qconf is not installed", done.output), (
        done.output
    )


def test_embedded_slurm_may_get_what_it_has_not_yet(preflight):
    """A partition that the same run would add is no problem; what no node has is one."""
    new = {**FITTING, "req_partition": "new"}
    done = preflight(
        {"options": new},
        {"options": {**new, "req_memory": "9000G"}},
        slurm_embedded="auto",
        slurm_partitions=[{"name": "new", "max_time": "2:00:00"}],
        preflight_profiles="error",
    )
    assert done.code != 0
    assert "1 problem with first" in done.output
    assert "the partition new has for one job" in done.output
