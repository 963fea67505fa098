"""How jobs and local servers are started through the wrapper."""

import asyncio
import json
import os
import pathlib
import signal
import stat
import sys
from types import SimpleNamespace

import pytest
from batchspawner.batchspawner import JobStatus
from jupyterhub.spawner import Spawner
from traitlets.utils.importstring import import_item

from hpc_gateway import spawners
from hpc_gateway.errors import SpawnRefused

SECRET = "canary-5ecret"

# Answers what a test put next to it, and writes down how it was called.
WRAPPER = f"""#!{sys.executable}
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
answer = json.loads((here / "answer.json").read_text())
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "stdin": sys.stdin.read()}}
(here / "call.json").write_text(json.dumps(call))
time.sleep(answer.get("sleep", 0))
sys.stderr.write(answer.get("err", ""))
sys.stdout.write(answer.get("out", ""))
sys.exit(answer.get("code", 0))
"""

BATCH_ALIASES = sorted(set(spawners.ALIASES) - {"local"})


class Wrapper:
    def __init__(self, path):
        self.path = path / "batch"
        self.path.write_text(WRAPPER)
        self.path.chmod(stat.S_IRWXU)
        self.answer()

    def answer(self, out="", **more):
        (self.path.parent / "answer.json").write_text(json.dumps({"out": out} | more))

    @property
    def call(self):
        return json.loads((self.path.parent / "call.json").read_text())


@pytest.fixture
def wrapper(tmp_path):
    return Wrapper(tmp_path)


@pytest.fixture(autouse=True)
def hub_environment(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", SECRET)


@pytest.fixture
def make(wrapper, monkeypatch):
    """Makes a spawner whose wrapper is the one above, without sudo."""

    def make(alias="slurm", env=None, **settings):
        cls = import_item(spawners.ALIASES[alias])
        env = {"JUPYTERHUB_API_TOKEN": "t0ken", "HOME": "/h", "PATH": "/hub", "N": 1} | (env or {})
        monkeypatch.setattr(cls, "get_env", lambda self: dict(env))
        values = {
            "batch_wrapper": str(wrapper.path),
            "exec_prefix": "env",
            "batchspawner_singleuser_cmd": "/nb/batchspawner-singleuser",
            "req_homedir": "/home/bob",
            "cmd": ["/nb/jupyterhub-singleuser"],
        }
        traits = cls.class_trait_names()
        values = {k: v for k, v in values.items() if k in traits} | settings
        user = SimpleNamespace(name="bob", settings={}, url="/user/bob/", escaped_name="bob")
        return cls(user=user, **values)

    return make


def run(awaitable):
    return asyncio.run(awaitable)


def test_aliases_name_spawners():
    assert set(spawners.ALIASES) == {
        *("local", "slurm", "torque", "pbs"),
        *("gridengine", "condor", "lsf", "moab"),
    }
    for alias, path in spawners.ALIASES.items():
        cls = import_item(path)
        assert issubclass(cls, (Spawner, spawners.GatewayMixin))
        assert cls.scheduler == alias


def test_sudo_is_the_default(make):
    spawner = make(exec_prefix="sudo -n -u {username} --")
    command = spawner.command(spawner.batch_query_cmd, job_id="7")
    assert command == f"sudo -n -u bob -- {spawner.batch_wrapper} slurm query 7"
    assert spawner.wrapper_argv("a b") == [
        *["sudo", "-n", "-u", "bob", "--"],
        spawner.batch_wrapper,
        "a b",
    ]
    assert spawners.SlurmSpawner.exec_prefix.default_value == "sudo -n -u {username} --"


def test_odd_user_name_stays_one_word(make):
    spawner = make(exec_prefix="sudo -n -u {username} --")
    spawner.user.name = "bob -- sh"
    assert spawner.wrapper_argv()[3] == "bob -- sh"
    assert "-u 'bob -- sh' --" in spawner.command("x")


ANSWERS = {
    "slurm": "7",
    "torque": "7.server",
    "pbs": "7.server",
    "moab": "Moab.7",
    "gridengine": 'Your job 7 ("n") has been submitted',
    "condor": "1 job(s) submitted to cluster 7.",
    "lsf": "Job <7> is submitted to default queue <normal>.",
}


@pytest.mark.parametrize("alias", BATCH_ALIASES)
def test_submit(make, wrapper, alias):
    spawner = make(alias)
    wrapper.answer(ANSWERS[alias])
    assert "7" in run(spawner.submit_batch_script())
    call = wrapper.call
    assert call["argv"] == [alias, "submit"]
    request = json.loads(call["stdin"])
    assert set(request) == {"script", "env"}
    assert "/nb/batchspawner-singleuser /nb/jupyterhub-singleuser" in request["script"]
    # The account's own variables are the wrapper's to set.
    assert request["env"] == {"JUPYTERHUB_API_TOKEN": "t0ken", "N": "1"}


def test_hub_environment_stays_in_the_hub(make, wrapper):
    wrapper.answer("7")
    run(make().submit_batch_script())
    assert SECRET not in json.dumps(wrapper.call)
    assert "JUPYTERHUB_API_TOKEN" not in wrapper.call["env"]
    assert wrapper.call["env"]["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_only_kept_variables_travel(make, wrapper):
    wrapper.answer("7")
    run(
        make(
            env={"A": "1", "B": "2"}, req_keepvars="A", req_keepvars_extra="N, C"
        ).submit_batch_script()
    )
    assert json.loads(wrapper.call["stdin"])["env"] == {"A": "1", "N": "1"}


def test_nothing_secret_is_logged(make, wrapper, caplog):
    caplog.set_level("DEBUG")
    spawner = make()
    spawner.log.setLevel("DEBUG")
    spawner.log.propagate = True
    wrapper.answer("7")
    run(spawner.submit_batch_script())
    run(spawner.query_job_status())
    assert "Submitting a job for bob" in caplog.text
    assert "t0ken" not in caplog.text
    assert SECRET not in caplog.text


def test_no_shell(make, wrapper, tmp_path):
    wrapper.answer("RUNNING node1")
    run(make().run_command(f"{wrapper.path} $HOME `id` >{tmp_path}/x; id | 'a b'"))
    assert wrapper.call["argv"] == ["$HOME", "`id`", f">{tmp_path}/x;", "id", "|", "a b"]


def test_refusal_of_the_scheduler_reaches_the_user(make, wrapper):
    wrapper.answer(code=1, err="sbatch: error: Invalid qos %s\nmore, for the log\n")
    with pytest.raises(SpawnRefused) as refusal:
        run(make().submit_batch_script())
    assert refusal.value.jupyterhub_message == (
        "The batch system did not take the job: sbatch: error: Invalid qos %s"
    )
    assert "more, for the log" in refusal.value.log_message


def test_silent_failure_has_words_too(make, wrapper):
    wrapper.answer(code=3)
    with pytest.raises(SpawnRefused, match="exit status 3"):
        run(make().submit_batch_script())


@pytest.mark.parametrize(
    ("alias", "answer"),
    [
        ("slurm", ""),
        ("slurm", "hello"),
        ("slurm", "-7"),
        ("torque", ""),
        ("torque", "7; rm -rf"),
        ("torque", "$(id)"),
        ("gridengine", "no"),
    ],
)
def test_answer_without_a_job_id(make, wrapper, alias, answer):
    wrapper.answer(answer)
    spawner = make(alias)
    with pytest.raises(RuntimeError, match="No job id"):
        run(spawner.submit_batch_script())
    assert spawner.job_id == ""


async def given_up(spawner):
    with pytest.raises(RuntimeError, match=r"did not answer within 0\.2 s"):
        await spawner.run_command(str(spawner.batch_wrapper))
    # Until the event loop has seen the end of the process.
    await asyncio.sleep(0.8)


def test_slow_command_is_given_up(make, wrapper):
    wrapper.answer(sleep=60)
    run(given_up(make(command_timeout=0.2)))


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_sudo_cannot_be_ended_by_the_hub(make, wrapper, monkeypatch, error):
    def kill(self):
        raise error

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", kill)
    wrapper.answer(sleep=0.5)
    run(given_up(make(command_timeout=0.2)))


GRIDENGINE = """<?xml version='1.0'?><job_info><queue_info><job_list state="{}">
<JB_job_number>7</JB_job_number><queue_name>all.q@node1</queue_name></job_list></queue_info>
</job_info>"""


@pytest.mark.parametrize(
    ("alias", "answer", "status"),
    [
        ("slurm", {"out": "RUNNING node1"}, JobStatus.RUNNING),
        ("slurm", {"out": "SUSPENDED node1"}, JobStatus.RUNNING),
        ("slurm", {"out": "PENDING "}, JobStatus.PENDING),
        ("slurm", {"out": "REQUEUED "}, JobStatus.PENDING),
        ("slurm", {"out": ""}, JobStatus.NOTFOUND),
        ("slurm", {"out": "COMPLETED node1"}, JobStatus.NOTFOUND),
        (
            "slurm",
            {"err": "slurm_load_jobs error: Invalid job id specified", "code": 1},
            JobStatus.NOTFOUND,
        ),
        ("slurm", {"err": "Zero Bytes were transmitted or received", "code": 1}, JobStatus.UNKNOWN),
        ("slurm", {"err": "squeue: command not found", "code": 127}, JobStatus.UNKNOWN),
        ("slurm", {"code": 124}, JobStatus.UNKNOWN),
        ("torque", {"out": "<job_state>Q</job_state>"}, JobStatus.PENDING),
        ("torque", {"err": "qstat: Unknown Job Id 7.server", "code": 153}, JobStatus.NOTFOUND),
        ("pbs", {"out": "job_state = R\n exec_host = n1.x.org/0"}, JobStatus.RUNNING),
        ("pbs", {"err": "qstat: 7 Job has finished, use -x", "code": 35}, JobStatus.NOTFOUND),
        ("lsf", {"err": "Job <7> is not found", "code": 255}, JobStatus.NOTFOUND),
        ("lsf", {"out": "PEND -"}, JobStatus.PENDING),
        ("gridengine", {"out": GRIDENGINE.format("running")}, JobStatus.RUNNING),
        ("gridengine", {"out": "<not xml"}, JobStatus.UNKNOWN),
        ("condor", {"out": "2, slot1@node1"}, JobStatus.RUNNING),
    ],
)
def test_query(make, wrapper, alias, answer, status):
    spawner = make(alias, job_id="7")
    wrapper.answer(**answer)
    assert run(spawner.query_job_status()) == status
    assert wrapper.call["argv"] == [alias, "query", "7"]


def test_query_without_a_job(make):
    assert run(make().query_job_status()) == JobStatus.NOTFOUND


def test_unknown_state_keeps_the_server(make, wrapper):
    spawner = make(job_id="7", job_status="RUNNING node1")
    wrapper.answer(code=1, err="Socket timed out")
    assert run(spawner.poll()) is None
    assert (spawner.job_id, spawner.job_status) == ("7", "RUNNING node1")


def test_pbs_host_names_may_have_dots(make):
    spawner = make("pbs", job_status="exec_host = n1.x.org/0*2")
    assert spawner.state_gethost() == "n1.x.org"


def test_cancel(make, wrapper):
    spawner = make(job_id="7")
    run(spawner.cancel_batch_job())
    assert wrapper.call["argv"] == ["slurm", "cancel", "7"]
    wrapper.answer(code=1, err="scancel: error: Invalid job id specified")
    run(spawner.cancel_batch_job())
    wrapper.answer(code=1, err="Unable to contact slurm controller")
    with pytest.raises(RuntimeError):
        run(spawner.cancel_batch_job())


# What users may choose


@pytest.mark.parametrize("alias", ["slurm", "local"])
def test_options_of_users_are_refused(make, wrapper, alias):
    spawner = make(alias, user_options={"profile": "p", "partition": "big", "cmd": "sh"})
    with pytest.raises(SpawnRefused, match="cmd, partition") as refusal:
        run(spawner.start())
    assert refusal.value.status_code == 400
    assert not (wrapper.path.parent / "call.json").exists()


def test_allowed_option(make, wrapper):
    wrapper.answer("7")
    settings = {"user_options_allowed": {"nprocs"}, "req_nprocs": "1"}
    run(make(user_options={"nprocs": 4}, **settings).submit_batch_script())
    assert "--cpus-per-task=4\n" in json.loads(wrapper.call["stdin"])["script"]
    run(make(user_options={"profile": "p"}, **settings).submit_batch_script())
    assert "--cpus-per-task=1\n" in json.loads(wrapper.call["stdin"])["script"]


@pytest.mark.parametrize(
    "value",
    ["", "4\n#SBATCH --x", "4 --x", "$(id)", "`id`", "4;id", "'", '"', "x" * 129, None, [], True],
)
def test_value_of_an_allowed_option_must_be_a_plain_word(make, value):
    spawner = make(user_options_allowed={"nprocs"}, user_options={"nprocs": value})
    with pytest.raises(SpawnRefused, match="nprocs is not valid"):
        run(spawner.submit_batch_script())


# Job scripts


def script(make, alias="slurm", **settings):
    return run(make(alias, **settings).job_script())


def test_slurm_script_has_every_value(make):
    text = script(
        make,
        job_name="jupyterhub-main",
        req_partition="big",
        req_account="acc",
        req_qos="high",
        req_cluster="one,two",
        req_reservation="r1",
        req_runtime="1:00:00",
        req_memory="4gb",
        req_nprocs="2",
        req_ngpus="1",
        req_options="--constraint=x",
        req_keepvars="A,B",
        req_prologue="module load x\nmodule load y",
        req_epilogue="true",
    )
    for line in (
        "#SBATCH --job-name=jupyterhub-main",
        "#SBATCH --chdir=/home/bob",
        "#SBATCH --output=/home/bob/.jupyterhub-main.log",
        "#SBATCH --export=A,B",
        "#SBATCH --partition=big",
        "#SBATCH --account=acc",
        "#SBATCH --qos=high",
        "#SBATCH --clusters=one,two",
        "#SBATCH --reservation=r1",
        "#SBATCH --time=1:00:00",
        "#SBATCH --mem=4gb",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --constraint=x",
        "module load y",
        "srun /nb/batchspawner-singleuser /nb/jupyterhub-singleuser",
        "true",
    ):
        assert line in text.splitlines()


def test_slurm_script_leaves_out_what_is_not_set(make):
    lines = script(make, req_srun="").splitlines()
    assert sum(line.startswith("#SBATCH") for line in lines) == 5
    assert "/nb/batchspawner-singleuser /nb/jupyterhub-singleuser" in lines


def test_slurm_gres_beats_ngpus_and_queue_is_a_partition(make):
    text = script(make, req_gres="gpu:a100:1", req_ngpus="2", req_queue="q")
    assert "--gres=gpu:a100:1\n" in text
    assert "gpu:2" not in text
    assert "--partition=q\n" in text


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, None),
        ({"req_queue": "q"}, "#PBS -q q"),
        ({"req_host": "s"}, "#PBS -q @s"),
        ({"req_queue": "q", "req_host": "s"}, "#PBS -q q@s"),
    ],
)
@pytest.mark.parametrize("alias", ["torque", "pbs", "moab"])
def test_pbs_queue(make, alias, settings, line):
    queue = [x for x in script(make, alias, **settings).splitlines() if x.startswith("#PBS -q")]
    assert queue == ([line] if line else [])


def test_pbs_resources(make):
    values = {"req_nprocs": "2", "req_memory": "4gb", "req_runtime": "1:00:00"}
    lines = script(make, "torque", **values).splitlines()
    assert {"#PBS -l nodes=1:ppn=2", "#PBS -l mem=4gb", "#PBS -l walltime=1:00:00"} <= set(lines)
    assert "#PBS -l select=1:ncpus=2:mem=4gb" in script(make, "pbs", **values).splitlines()
    assert "#PBS -l select=1" in script(make, "pbs").splitlines()


def test_value_of_two_lines_is_refused(make):
    with pytest.raises(ValueError, match="req_partition"):
        script(make, req_partition="a\n#SBATCH --uid=0")


def test_command_is_quoted(make):
    text = script(make, cmd=["/nb/x", "a b", "$(id)"])
    assert "/nb/x 'a b' '$(id)'" in text
    assert "/nb/x ''a b'' ''" in script(make, "condor", cmd=["/nb/x", "a b", "$(id)"])


# Local servers


LOCAL = f"""#!{sys.executable}
import json, os, sys
if sys.argv[2] == "signal":
    try:
        os.kill(int(sys.argv[3]), int(sys.argv[4]))
    except OSError as error:
        sys.exit(str(error))
    sys.exit()
request = json.loads(sys.stdin.read())
assert "JUPYTERHUB_CRYPT_KEY" not in os.environ
print(os.getpid(), flush=True)
os.dup2(2, 1)
os.execve(request["cmd"][0], request["cmd"], request["env"])
"""


@pytest.fixture
def local(make, wrapper):
    wrapper.path.write_text(LOCAL)
    return make("local", cmd=["/bin/sleep", "30"], interrupt_timeout=2)


def test_local_server_lives_and_ends(local, caplog):
    async def scenario():
        host, port = await local.start()
        assert (host, port) == ("127.0.0.1", local.port)
        assert port
        # The wrapper names its process just before it becomes the server.
        for _ in range(100):
            await asyncio.sleep(0.02)
            environ = pathlib.Path(f"/proc/{local.pid}/environ").read_text()
            if "JUPYTERHUB_API_TOKEN=t0ken" in environ:
                break
        assert "JUPYTERHUB_API_TOKEN=t0ken" in environ
        assert SECRET not in environ
        assert await local.poll() is None
        state = local.get_state()
        # A hub started anew has the number of the process alone.
        process, local.proc = local.proc, None
        local.load_state(state)
        assert await local.poll() is None
        local.proc = process
        await local.stop()
        assert await local.poll() is not None

    run(scenario())


def test_local_server_of_an_earlier_hub_is_gone(local):
    local.pid = 2**22 + 1
    assert run(local._signal(signal.SIGTERM)) is False
    assert run(local.poll()) == 0


def test_local_options_and_environment(make):
    assert make("local").env_keep == ["LANG", "LC_ALL"]


@pytest.mark.parametrize("text", ["", "refused", "sys.stdin.read(); import time; time.sleep(3)"])
def test_local_server_which_does_not_start(make, wrapper, text):
    body = text if "sys" in text else f"print({text!r})"
    wrapper.path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    spawner = make("local", command_timeout=1, env={"LONG": "x" * 200_000})
    with pytest.raises(SpawnRefused, match="did not start"):
        run(spawner.start())


def test_wrapper_is_executable_here(wrapper):
    """The tests above mean nothing where the temporary directory forbids programs."""
    assert os.access(wrapper.path, os.X_OK)
