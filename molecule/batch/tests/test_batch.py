"""The one command that the hub's account may run as its users, and what it refuses."""

import json
import shlex
import time

import pytest

WRAPPER = "/opt/jupyterhub/main/bin/batch"
SUDO = "runuser -u jupyterhub-main -- sudo -n"
HUB = "runuser -u jupyterhub-main --"
NAME = "jupyterhub-main-0123456789abcdef"
SCRIPT = (
    "#!/bin/sh\n#SBATCH --output={output}\nid -un; echo token=$JUPYTERHUB_API_TOKEN; pwd\n"
    f"#SBATCH --job-name={NAME}\n"
)


def submission(script=SCRIPT, env=None, name=NAME, output="out"):
    return {"script": script.replace("{output}", output), "env": env or {}, "name": name}


@pytest.fixture
def call(host):
    """Return a function that calls the wrapper as the hub would: user, words, request."""

    def run(user, words, request=None):
        text = "{}" if request is None else json.dumps(request)
        sudo = f"{SUDO} -u {user} --" if user else HUB
        return host.run(f"printf %s {shlex.quote(text)} | {sudo} {WRAPPER} {words}")

    return run


def finished(host, job):
    for _ in range(60):
        if not host.run("squeue --noheader --jobs=%s", job).stdout.strip():
            return
        time.sleep(0.5)
    pytest.fail(f"job {job} does not end")


def records(done):
    """Return the fields of each job in the answer to `jobs`."""
    assert done.rc == 0, done.stderr
    (output,) = json.loads(done.stdout)["outputs"]
    return [record.rstrip("\n").split("|", 8) for record in output.split("\x1e")[1:]]


def test_submit_runs_as_the_user_in_their_home(host, call):
    done = call("ada", "slurm submit", submission(env={"JUPYTERHUB_API_TOKEN": "t1"}))
    assert done.rc == 0, done.stderr
    finished(host, done.stdout.strip())
    assert host.file("/home/ada/out").content_string == "ada\ntoken=t1\n/home/ada\n"
    assert host.file("/home/ada/.jupyterhub-main").mode == 0o700


def test_jobs_and_cancel(host, call):
    """The hub's own account asks for everybody's jobs, without sudo."""
    request = submission("#!/bin/sh\n#SBATCH --job-name=" + NAME + "\nsleep 300\n")
    job = call("ada", "slurm submit", request).stdout.strip()
    for _ in range(40):
        (found,) = [fields for fields in records(call("", "slurm jobs")) if fields[0] == job]
        if found[2] == "RUNNING":
            break
        time.sleep(0.5)
    assert [found[1], found[2], found[3], found[8]] == ["ada", "RUNNING", "localhost", NAME]
    assert call("ada", "slurm cancel", {"job_id": job, "name": NAME}).rc == 0
    finished(host, job)


def test_name_of_a_job_forges_no_other(host, call):
    """Names are for everybody to choose, with line ends and separators in them."""
    forged = "x\n\x1e77|ada|COMPLETED|n/a|short|1|N/A|None|" + NAME
    host.check_output(
        "runuser -u ada -- sbatch --chdir=/tmp --output=/dev/null --job-name=%s --wrap='sleep 5'",
        forged,
    )
    assert "77" not in [fields[0] for fields in records(call("", "slurm jobs"))]


def test_capacity(call):
    done = call("", "slurm capacity")
    (output,) = json.loads(done.stdout)["outputs"]
    assert [line.split("|")[:2] for line in output.splitlines()] == [
        ["short", "up"],
        ["long", "up"],
    ]


def test_last_lines_of_a_job(host, call):
    request = submission(output=f"/home/ada/.jupyterhub-main/{NAME}.log")
    finished(host, call("ada", "slurm submit", request).stdout.strip())
    assert call("ada", "slurm log", {"name": NAME, "lines": 1}).stdout == "/home/ada\n"
    missing = call("ada", "slurm log", {"name": "jupyterhub-main-0", "lines": 1})
    assert (missing.rc, "cannot read" in missing.stderr) == (69, True)


def test_account(call):
    about = json.loads(call("ada", "slurm account").stdout)
    assert (about["name"], about["home"], "hpc" in about["groups"]) == ("ada", "/home/ada", True)


def test_a_user_cannot_cancel_anothers_job(host, call):
    host.check_output("usermod --append --groups hpc eve")
    job = call("ada", "slurm submit", submission("#!/bin/sh\nsleep 60\n")).stdout.strip()
    refused = call("eve", "slurm cancel", {"job_id": job, "name": ""})
    assert "denied" in refused.stderr.lower()
    assert call("ada", "slurm cancel", {"job_id": job, "name": ""}).rc == 0
    host.check_output("gpasswd --delete eve hpc")


def test_local_run_and_signal(host, call):
    script = f"{SUDO} -u ada -- {WRAPPER} local run"
    request = json.dumps({"cmd": ["/bin/sleep", "100"], "env": {}})
    host.check_output(
        f"printf %s {shlex.quote(request)} | {script} >/tmp/pid 2>/dev/null & sleep 1"
    )
    pid = int(host.file("/tmp/pid").content_string)
    assert host.file(f"/proc/{pid}").user == "ada"
    assert call("ada", "local signal", {"pid": pid, "signal": 0}).rc == 0
    assert call("ada", "local signal", {"pid": pid, "signal": 15}).rc == 0
    time.sleep(0.5)
    assert call("ada", "local signal", {"pid": pid, "signal": 0}).rc == 1


@pytest.mark.parametrize(
    "user", ["root", "'#0'", "'#-1'", "'#4294967295'", "eve", "robot", "nobody"]
)
@pytest.mark.parametrize("verb", ["submit", "account"])
def test_who_may_not_run_jobs(call, user, verb):
    done = call(user, f"slurm {verb}", submission() if verb == "submit" else None)
    assert done.rc != 0
    assert done.stdout == ""


# Arguments that are not one of the fixed calls. sudo compares them joined by blanks, so that three
# get past it, to the wrapper.
@pytest.mark.parametrize(
    "words",
    [
        "",
        "slurm",
        "slurm shell",
        "slurm submit --uid=0",
        "slurm submit -- --uid=0",
        "slurm submit ''",
        "slurm cancel 1",
        "slurm cancel -u ada",
        "slurm cancel --help",
        "slurm cancel '1\n2'",
        "'slurm cancel'",
        "'slurm submit'",
        "slurm 'submit '",
        "slurm\\ submit",
        "slurm capacity",
        "slurm run",
        "SLURM submit",
        "local submit",
        "local signal 1 9",
        "pbs submit",
        "../slurm submit",
        "ssh",
        "- slurm submit",
    ],
)
def test_wrong_call_is_refused(host, call, words):
    jobs = host.check_output("squeue --noheader --states=all | wc -l")
    done = call("ada", words, submission())
    assert done.rc != 0
    assert done.stdout == ""
    by_sudo = words not in ("'slurm cancel'", "'slurm submit'", "slurm\\ submit")
    assert ("batch:" in done.stderr) != by_sudo
    assert host.check_output("squeue --noheader --states=all | wc -l") == jobs


# The same arguments without sudo, as whoever may run the file: by the wrapper.
@pytest.mark.parametrize("words", ["", "slurm", "slurm shell", "slurm submit --uid=0", "x jobs"])
def test_wrong_call_is_refused_by_the_wrapper(call, words):
    done = call("", words)
    assert done.rc == 64
    assert done.stderr.startswith("batch: ")


@pytest.mark.parametrize(
    ("verb", "request_body"),
    [
        ("submit", submission(env={"LD_PRELOAD": "/tmp/x.so"})),
        ("submit", submission(env={"LD_AUDIT": "/tmp/x.so"})),
        ("submit", submission(env={"SBATCH_ACCOUNT": "other"})),
        ("submit", submission(env={"SLURM_CONF": "/tmp/slurm.conf"})),
        ("submit", submission(env={"SGE_ROOT": "/tmp"})),
        ("submit", submission(env={"PBS_CONF_FILE": "/tmp/pbs.conf"})),
        ("submit", submission(env={"_CONDOR_SCHEDD_HOST": "x"})),
        ("submit", submission(env={"PYTHONPATH": "/tmp"})),
        ("submit", submission(env={"BASH_ENV": "/tmp/x"})),
        ("submit", submission(env={"BASH_FUNC_ls%%": "() { id; }"})),
        ("submit", submission(env={"PATH": "/tmp"})),
        ("submit", submission(env={"HOME": "/root"})),
        ("submit", submission(env={"A=B": "c"})),
        ("submit", submission(env={"A\nB": "c"})),
        ("submit", submission(env={"": "c"})),
        ("submit", submission(env={"A": 1})),
        ("submit", submission(env={"A": "b\0c"})),
        ("submit", submission() | {"env": []}),
        ("submit", submission() | {"script": 1}),
        ("submit", submission() | {"script": "a\0b"}),
        ("submit", {"script": SCRIPT, "env": {}}),
        ("submit", submission() | {"user": "root"}),
        ("submit", submission(name="../../.ssh/authorized_keys")),
        ("submit", submission(name="/etc/passwd")),
        ("submit", submission(name="")),
        ("submit", submission(name="a\nb")),
        ("submit", submission(name="-a")),
        ("submit", []),
        ("cancel", {"job_id": "--user=eve", "name": ""}),
        ("cancel", {"job_id": "1 --user=eve", "name": ""}),
        ("cancel", {"job_id": "1\n2", "name": ""}),
        ("cancel", {"job_id": "../1", "name": ""}),
        ("cancel", {"job_id": "1;id", "name": ""}),
        ("cancel", {"job_id": "$(id)", "name": ""}),
        ("cancel", {"job_id": "", "name": ""}),
        ("cancel", {"job_id": 1, "name": ""}),
        ("cancel", {"job_id": ["1"], "name": ""}),
        ("cancel", {"job_id": "1", "name": "../x"}),
        ("cancel", {"job_id": "1"}),
        ("log", {"name": "../../../etc/shadow", "lines": 5}),
        ("log", {"name": "x", "lines": -1}),
        ("log", {"name": "x", "lines": True}),
        ("log", {"name": "x", "lines": "5"}),
        ("account", {"name": "root"}),
        ("jobs", {"user": "root"}),
    ],
)
def test_wrong_request_is_refused(call, verb, request_body):
    done = call("ada", f"slurm {verb}", request_body)
    assert done.rc == 64
    assert done.stderr.startswith("batch: ")


@pytest.mark.parametrize(
    "request_body",
    [
        {"pid": 1, "signal": 9},
        {"pid": -1, "signal": 9},
        {"pid": 0, "signal": 9},
        {"pid": "2", "signal": 9},
        {"pid": 2, "signal": 19},
        {"pid": 2, "signal": True},
        {"pid": 2},
    ],
)
def test_wrong_signal_is_refused(call, request_body):
    done = call("ada", "local signal", request_body)
    assert done.rc == 64


@pytest.mark.parametrize(
    "command",
    [
        "-u ada -- /bin/id",
        "-u ada -- /opt/jupyterhub/main/bin/../bin/batch slurm submit",
        "-u ada -- /opt/jupyterhub/main/bin//batch slurm submit",
        "-u ada -- bin/batch slurm submit",
        "-D / -u ada -- /opt/jupyterhub/main/bin/batch slurm submit",
        "-R / -u ada -- /opt/jupyterhub/main/bin/batch slurm submit",
        "-u ada BASH_ENV=/tmp/x -- /opt/jupyterhub/main/bin/batch slurm submit",
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
    assert host.run("runuser -u eve -- sudo -n -u ada -- %s slurm account", WRAPPER).rc != 0


def test_nobody_but_root_can_change_wrapper_rule_and_configuration(host):
    for path in (WRAPPER, "/etc/sudoers.d/jupyterhub-main", "/etc/jupyterhub/main/batch.json"):
        file = host.file(path)
        assert file.user == "root"
        assert not file.mode & 0o022
