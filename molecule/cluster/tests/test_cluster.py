"""A web machine that knows nobody, and a submit host that the hub's key opens for one command."""

import importlib
import re
import sys
import time
from pathlib import Path

import pytest
import testinfra

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
faults = importlib.import_module("faults")

SSH = (
    "runuser -u jupyterhub-main -- ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes"
    " -o UserKnownHostsFile=/etc/jupyterhub/main/ssh_known_hosts -o IdentitiesOnly=yes"
    " -i /var/lib/jupyterhub/main/secrets/submit_key"
)


@pytest.fixture(scope="module")
def gateway():
    return testinfra.get_host("docker://cluster-gateway")


@pytest.fixture(scope="module")
def submit():
    return testinfra.get_host("docker://cluster-submit")


@pytest.fixture(scope="module")
def hub(gateway):
    return faults.Hub(gateway)


def test_the_gateway_knows_no_people_and_has_no_scheduler(gateway):
    for command in ("getent passwd ada", "command -v sbatch squeue", "test -e /etc/slurm"):
        assert gateway.run(command).rc != 0
    assert not gateway.file("/etc/sudoers.d/jupyterhub-main").exists
    assert not gateway.file("/opt/jupyterhub/main/bin/batch").exists


def test_security_score(gateway):
    """Without sudo the hub gives up nearly everything."""
    verdict = gateway.check_output("systemd-analyze security --no-pager jupyterhub-main | tail -1")
    score = float(re.search(r"(\d+\.\d+)", verdict)[1])
    print(f"systemd-analyze security: hub {score}")
    assert score <= 2.0


def test_a_user_of_the_cluster_signs_in(hub):
    """Account and user id are asked of the submit host."""
    page = hub.host.check_output(
        f"runuser -u jupyterhub-main -- {faults.HUB}/current/venv/bin/python -c %s", faults.PAGE
    )
    assert "ada" in page
    assert "Home" in page


@pytest.mark.parametrize(
    ("name", "words"), [("nemo", "has no account"), ("munge", "may not start servers")]
)
def test_who_may_not_sign_in(hub, name, words):
    page = hub.host.check_output(
        f"runuser -u jupyterhub-main -- {faults.HUB}/current/venv/bin/python -c %s",
        faults.PAGE.replace('"ada"', f'"{name}"')
        .replace('get("/jupyter/hub/login"', 'print(get("/jupyter/hub/login"')
        .replace(f'Remote_User="{name}")', f'Remote_User="{name}"))'),
    )
    assert words in page


@pytest.mark.parametrize(
    "command",
    [
        "",
        "id",
        "sh",
        "/bin/sh -c id",
        "root alpha submit",
        "ada alpha submit; id",
        "ada alpha submit\nid",
        "'$(id)' alpha submit",
        "ada  alpha submit",
        "ada alpha",
        "ada alpha shell",
        "ada alpha submit --uid=0",
        "-u alpha submit",
        "- alpha submit",
        "- alpha cancel",
        "../ada alpha submit",
        "ada ../alpha submit",
        "scp -t /tmp",
        "internal-sftp",
        "rsync --server . /",
    ],
)
def test_the_key_runs_one_command(gateway, submit, command):
    before = submit.check_output("squeue --noheader --states=all | wc -l")
    done = gateway.run(f"{SSH} jupyterhub-main@cluster-submit %s </dev/null", command)
    assert done.rc != 0
    assert done.stdout == ""
    assert "uid=" not in done.stderr
    assert submit.check_output("squeue --noheader --states=all | wc -l") == before


def test_the_key_gets_no_terminal(gateway):
    done = gateway.run(f"{SSH} -tt jupyterhub-main@cluster-submit - alpha jobs </dev/null")
    assert "PTY allocation request failed" in done.stderr


def test_the_key_forwards_nothing(gateway, submit):
    """Neither a port of the submit host to here, nor one of ours there."""
    forward = "-N -o ExitOnForwardFailure=yes jupyterhub-main@cluster-submit"
    there = gateway.run(f"timeout 10 {SSH} -R 9999:localhost:22 {forward}")
    assert there.rc not in (0, 124)
    assert "remote port forwarding failed" in there.stderr
    script = f"""
        timeout 10 {SSH} -L 9999:localhost:22 {forward} &
        sleep 3
        python3 -c 'import socket
s = socket.create_connection(("127.0.0.1", 9999), 5); s.settimeout(5); print(s.recv(9))'
    """
    here = gateway.run(script)
    assert "SSH-2.0" not in here.stdout


def test_files_on_the_submit_host_are_roots(submit):
    for path in (
        "/opt/jupyterhub/main/bin/batch",
        "/etc/jupyterhub/main/batch.json",
        "/etc/sudoers.d/jupyterhub-main",
        "/var/lib/jupyterhub/main/.ssh/authorized_keys",
    ):
        file = submit.file(path)
        assert file.user == "root"
        assert not file.mode & 0o022


def test_notebook_listens_in_its_range(hub, submit):
    hub.start("ada", "small")
    try:
        _, text = hub.api("GET", "users/ada")
        url = re.search(r'"port": (\d+)', text)
        assert url
        assert 50000 <= int(url[1]) <= 50200
    finally:
        hub.stop("ada")


def test_one_connection_for_all(hub, submit):
    """Twenty at once go through it, and it stays the only one."""
    people = [f"user{number:02}" for number in range(1, 21)]
    before = submit.check_output("pgrep --uid jupyterhub-main --count sshd || true")
    for name in people:
        hub.begin(name, "small")
    for name in people:
        hub.wait(name, "ready", 180)
    connections = submit.check_output("pgrep --uid jupyterhub-main --count sshd || true")
    assert connections == before == "1"
    for name in people:
        hub.api("DELETE", f"users/{name}/server")
    for name in people:
        hub.wait(name, "gone", 120)
    time.sleep(3)
    assert submit.check_output("squeue --noheader | wc -l") == "0"
