"""The one command that the hub's account may run as its users, and what it refuses."""

import json
import shlex
import time

import pytest

WRAPPER = "/opt/jupyterhub/main/bin/batch"
SUDO = "runuser -u jupyterhub-main -- sudo -n"
SCRIPT = "#!/bin/sh\n#SBATCH --output=out\nid -un; echo token=$JUPYTERHUB_API_TOKEN; pwd\n"


@pytest.fixture
def call(host):
    """Return a function that calls the wrapper as the hub would: user, words, request."""

    def run(user, words, request=None):
        text = "" if request is None else json.dumps(request)
        return host.run(f"printf %s {shlex.quote(text)} | {SUDO} -u {user} -- {WRAPPER} {words}")

    return run


def finished(host, job):
    for _ in range(60):
        if not host.run("squeue --noheader --jobs=%s", job).stdout.strip():
            return
        time.sleep(0.5)
    pytest.fail(f"job {job} does not end")


def test_submit_runs_as_the_user_in_their_home(host, call):
    done = call("ada", "slurm submit", {"script": SCRIPT, "env": {"JUPYTERHUB_API_TOKEN": "t1"}})
    assert done.rc == 0, done.stderr
    finished(host, done.stdout.strip())
    assert host.file("/home/ada/out").content_string == "ada\ntoken=t1\n/home/ada\n"


def test_query_and_cancel(host, call):
    job = call(
        "ada", "slurm submit", {"script": "#!/bin/sh\nsleep 300\n", "env": {}}
    ).stdout.strip()
    for _ in range(40):
        answer = call("ada", f"slurm query {job}").stdout.split()
        if answer and answer[0] == "RUNNING":
            break
        time.sleep(0.5)
    assert answer == ["RUNNING", "localhost"]
    assert call("ada", f"slurm cancel {job}").rc == 0
    finished(host, job)


def test_a_user_cannot_cancel_anothers_job(host, call):
    host.check_output("usermod --append --groups hpc eve")
    job = call("ada", "slurm submit", {"script": "#!/bin/sh\nsleep 60\n", "env": {}}).stdout.strip()
    refused = call("eve", f"slurm cancel {job}")
    assert "denied" in refused.stderr.lower()
    assert call("ada", f"slurm cancel {job}").rc == 0
    host.check_output("gpasswd --delete eve hpc")


def test_local_run_and_signal(host, call):
    script = f"{SUDO} -u ada -- {WRAPPER} local run"
    request = json.dumps({"cmd": ["/bin/sleep", "100"], "env": {}})
    host.check_output(
        f"printf %s {shlex.quote(request)} | {script} >/tmp/pid 2>/dev/null & sleep 1"
    )
    pid = host.file("/tmp/pid").content_string.strip()
    assert host.file(f"/proc/{pid}").user == "ada"
    assert call("ada", f"local signal {pid} 0").rc == 0
    assert call("ada", f"local signal {pid} 15").rc == 0
    time.sleep(0.5)
    assert call("ada", f"local signal {pid} 0").rc == 1


@pytest.mark.parametrize(
    "user", ["root", "'#0'", "'#-1'", "'#4294967295'", "eve", "robot", "nobody"]
)
def test_who_may_not_run_jobs(call, user):
    done = call(user, "slurm submit", {"script": SCRIPT, "env": {}})
    assert done.rc != 0
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        "",
        "slurm",
        "slurm shell",
        "slurm submit --uid=0",
        "slurm cancel",
        "slurm cancel -u ada",
        "slurm cancel '1 --user=eve'",
        "slurm cancel --help",
        "slurm cancel '1\n2'",
        "slurm cancel ../1",
        "slurm query '1;id'",
        "slurm query '$(id)'",
        "slurm run",
        "local submit",
        "local signal 1 1",
        "local signal -1 9",
        "local signal 0 9",
        "pbs submit",
        "../slurm submit",
    ],
)
def test_wrong_call_is_refused(call, words):
    done = call("ada", words, {"script": "#!/bin/sh\nid\n", "env": {}})
    assert done.rc == 64
    assert done.stderr.startswith("batch: ")


@pytest.mark.parametrize(
    "request_body",
    [
        {"script": SCRIPT, "env": {"LD_PRELOAD": "/tmp/x.so"}},
        {"script": SCRIPT, "env": {"SBATCH_ACCOUNT": "other"}},
        {"script": SCRIPT, "env": {"SLURM_CONF": "/tmp/slurm.conf"}},
        {"script": SCRIPT, "env": {"PATH": "/tmp"}},
        {"script": SCRIPT, "env": {"A=B": "c"}},
        {"script": SCRIPT, "env": {"A": 1}},
        {"script": SCRIPT, "env": []},
        {"script": 1, "env": {}},
        {"script": SCRIPT},
        {"script": SCRIPT, "env": {}, "user": "root"},
        [],
    ],
)
def test_wrong_request_is_refused(call, request_body):
    done = call("ada", "slurm submit", request_body)
    assert done.rc == 64
    assert done.stderr.startswith("batch: ")


@pytest.mark.parametrize(
    "command",
    [
        "-u ada -- /bin/id",
        "-u ada -- /opt/jupyterhub/main/bin/../bin/batch slurm submit",
        "-u ada -E -- /opt/jupyterhub/main/bin/batch slurm submit",
        "-u ada LD_PRELOAD=/tmp/x.so -- /opt/jupyterhub/main/bin/batch slurm submit",
        "-u ada -g root -- /opt/jupyterhub/main/bin/batch slurm submit",
        "-u ada -i",
        "-u ada -s",
        "-u root -- /bin/sh",
        "-e /etc/sudoers",
    ],
)
def test_sudo_allows_nothing_else(host, command):
    done = host.run(f"{SUDO} {command} </dev/null")
    assert done.rc != 0
    assert done.stdout == ""


def test_another_account_has_no_such_rule(host):
    assert host.run("runuser -u eve -- sudo -n -u ada -- %s slurm query 1", WRAPPER).rc != 0


def test_nobody_but_root_can_change_wrapper_rule_and_configuration(host):
    for path in (WRAPPER, "/etc/sudoers.d/jupyterhub-main", "/etc/jupyterhub/main/batch.json"):
        file = host.file(path)
        assert file.user == "root"
        assert not file.mode & 0o022
