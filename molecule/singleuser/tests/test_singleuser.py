"""What compute nodes need: a notebook environment at a path that stays the same."""

from pathlib import Path

import pytest

ROOT = "/opt/jupyterhub/main/notebook"
SWITCH = (Path(__file__).parents[3] / "roles/singleuser/files/switch").read_text()


@pytest.mark.parametrize("program", ["jupyterhub-singleuser", "batchspawner-singleuser"])
def test_program_is_at_the_path_that_jobs_use(host, program):
    assert host.file(f"{ROOT}/current/venv/bin/{program}").exists


def test_lab_and_kernel_are_in_it(host):
    assert host.check_output(f"{ROOT}/current/venv/bin/jupyter-lab --version").startswith("4.")
    assert "python3" in host.check_output(f"{ROOT}/current/venv/bin/jupyter-kernelspec list")


def test_an_ordinary_user_can_run_it_and_not_change_it(host):
    run = "runuser -u nobody -- "
    assert host.run(f"{run}{ROOT}/current/venv/bin/jupyterhub-singleuser --version").rc == 0
    assert host.run(f"{run}touch {ROOT}/current/venv/bin/x").rc != 0


def test_a_running_server_keeps_its_release(host):
    """Programs name their release, not the link: the link may move under a running server."""
    release = host.check_output(f"readlink -f {ROOT}/current")
    shebang = host.check_output(f"head -n 1 {ROOT}/current/venv/bin/jupyterhub-singleuser")
    assert release in shebang


def test_switch_remembers_the_previous_one(host):
    root = "/tmp/switch"
    host.check_output(f"rm -rf {root} && mkdir -p {root}/releases/a {root}/releases/b")
    for name in ("a", "b"):
        assert "switched" in host.check_output("sh -c %s switch %s %s", SWITCH, root, name)
    assert host.check_output("sh -c %s switch %s b", SWITCH, root) == ""
    assert host.check_output(f"readlink {root}/current {root}/previous").split() == [
        "releases/b",
        "releases/a",
    ]
