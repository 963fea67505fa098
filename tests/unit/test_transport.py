"""How the wrapper is called, and what its failures mean."""

import asyncio
import json
import os
import stat
import sys
import time

import pytest
from traitlets.config import Application, Config

from hpc_gateway.jobs import JobTables
from hpc_gateway.transport import SchedulerError, Wrapper

SECRET = "canary-5ecret"

# Answers what a test put next to it, and writes down how it was called.
WRAPPER = f"""#!{sys.executable}
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
answer = json.loads((here / "answer.json").read_text())
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}
call |= {{"stdin": sys.stdin.read(), "pid": os.getpid()}}
(here / "call.json").write_text(json.dumps(call))
time.sleep(answer.get("sleep", 0))
sys.stderr.write(answer.get("err", ""))
sys.stdout.buffer.write(bytes.fromhex(answer.get("hex", "")) + answer.get("out", "").encode())
sys.stdout.flush()
if answer.get("signal"):
    os.kill(os.getpid(), answer["signal"])
sys.exit(answer.get("code", 0))
"""


class Program:
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
def program(tmp_path):
    return Program(tmp_path)


@pytest.fixture
def wrapper(program):
    return Wrapper.instance(path=str(program.path), sudo="env")


def test_sudo_is_the_default():
    wrapper = Wrapper.get()
    path = "/opt/jupyterhub/main/bin/batch"
    assert wrapper.argv("bob", "alpha", "submit") == [
        *["sudo", "-n", "-u", "bob", "--"],
        *[path, "alpha", "submit"],
    ]
    # The bulk query needs nobody's rights.
    assert wrapper.argv(None, "alpha", "jobs") == [path, "alpha", "jobs"]


@pytest.mark.parametrize("name", ["bob -- sh", "{0}", "$(id)", "-u root", "a\nb"])
def test_odd_user_name_stays_one_word(name):
    assert Wrapper.get().argv(name, "alpha", "submit")[:5] == ["sudo", "-n", "-u", name, "--"]


def test_ssh():
    wrapper = Wrapper.instance(transport="ssh", ssh="/usr/bin/ssh -F '/etc/a b' command")
    start = ["/usr/bin/ssh", "-F", "/etc/a b", "command"]
    assert wrapper.argv("bob", "alpha", "submit") == [*start, "bob", "alpha", "submit"]
    assert wrapper.argv(None, "alpha", "jobs") == [*start, "-", "alpha", "jobs"]


async def test_call(program, wrapper):
    program.answer("7;x\n", err="a warning\n")
    assert await wrapper.call("alpha", "submit", {"script": "é"}, "bob") == "7;x\n"
    call = program.call
    assert call["argv"] == ["alpha", "submit"]
    assert json.loads(call["stdin"]) == {"script": "é"}
    assert call["cwd"] == "/"
    await wrapper.call("alpha", "jobs")
    assert program.call["stdin"] == "{}"


async def test_hub_environment_stays_in_the_hub(program, wrapper, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", SECRET)
    await wrapper.call("alpha", "submit", {}, "bob")
    assert set(program.call["env"]) - {"LC_CTYPE"} == {"PATH", "LANG"}
    assert program.call["env"]["PATH"] == "/usr/local/bin:/usr/bin:/bin"


async def test_no_shell(program, wrapper, tmp_path):
    await wrapper.call(f"$HOME `id` >{tmp_path}/x; id |", "submit", {}, "bob")
    assert program.call["argv"] == [f"$HOME `id` >{tmp_path}/x; id |", "submit"]
    assert not (tmp_path / "x").exists()


async def test_bytes_which_are_no_text(program, wrapper):
    program.answer(hex="ff41")
    assert await wrapper.call("alpha", "jobs") == "\N{REPLACEMENT CHARACTER}A"


async def failure(wrapper, *args):
    with pytest.raises(SchedulerError) as refusal:
        await wrapper.call("alpha", "submit", {}, *args)
    return refusal.value


async def test_failure_has_the_words_of_the_client(program, wrapper):
    program.answer("on stdout", code=1, err="sbatch: error: Invalid qos %s\nmore\n")
    error = await failure(wrapper)
    assert str(error) == "sbatch: error: Invalid qos %s\nmore"
    assert error.code == 1
    # Some say it on standard output.
    program.answer("bsub: no\n", code=255)
    assert str(await failure(wrapper)) == "bsub: no"
    program.answer(code=3)
    assert str(await failure(wrapper)) == "exit status 3"


@pytest.mark.parametrize(
    ("words", "code", "ambiguous"),
    [
        ("sbatch: error: Invalid qos specification", 1, False),
        ("qsub: Unknown queue", 170, False),
        ("exit status 1", 1, False),
        ("sbatch: command not found", 127, False),
        # The wrapper's own: nobody was asked.
        ("batch: the request is not JSON, protocol error", 64, False),
        ("batch: cannot run sbatch: connection timed out", 69, False),
        ("batch: bob may not run jobs; contact them", 77, False),
        # No answer, or none that is one.
        ("batch: sbatch did not answer in 30 seconds", 124, True),
        ("Connection closed by remote host", 255, True),
        ("anything", None, True),
        ("exit status -9", -9, True),
        ("Killed", 137, True),
        ("Terminated", 143, True),
        ("sbatch: error: Socket timed out on send/recv operation", 1, True),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", 1, True),
        ("sbatch: error: Zero Bytes were transmitted or received", 1, True),
        ("sbatch: error: Unexpected missing socket error", 1, True),
        ("qsub: cannot connect to server pbs (errno=111)", 1, True),
        ("qsub: End of File", 1, True),
        ("qsub: Protocol (ASN.1) error", 1, True),
        ("error: commlib error: can't reach, got read error (closing connection)", 1, True),
        ("ERROR: Failed to connect to local queue manager", 1, True),
        ("Resource temporarily unavailable", 1, True),
        ("write: Broken pipe", 1, True),
    ],
)
def test_whether_it_was_done_all_the_same(words, code, ambiguous):
    assert SchedulerError(words, code).ambiguous is ambiguous


async def test_no_program():
    wrapper = Wrapper.instance(path="/nowhere/batch")
    with pytest.raises(SchedulerError) as refusal:
        await wrapper.call("alpha", "jobs")
    assert str(refusal.value) == "cannot run /nowhere/batch: No such file or directory"
    assert refusal.value.code == 69
    assert not refusal.value.ambiguous


async def test_program_which_is_killed(program, wrapper):
    program.answer(signal=9)
    error = await failure(wrapper)
    assert error.code == -9
    assert error.ambiguous


def lives(pid):
    """Whether the process is there and more than an entry of a table."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ended(pid):
    async with asyncio.timeout(3):
        while lives(pid):
            await asyncio.sleep(0.01)


async def until_called(program):
    async with asyncio.timeout(3):
        while True:
            try:
                return program.call["pid"]
            except (FileNotFoundError, ValueError):
                await asyncio.sleep(0.01)


async def test_program_which_hangs_is_given_up(program, wrapper):
    wrapper.timeout = 0.5
    program.answer(sleep=60)
    start = time.monotonic()
    error = await failure(wrapper)
    assert time.monotonic() - start < 5
    assert str(error) == "the batch system did not answer within 0.5 s"
    assert error.ambiguous
    await ended(program.call["pid"])


async def test_one_who_is_called_off_leaves_no_program(program, wrapper):
    program.answer(sleep=60)
    task = asyncio.ensure_future(wrapper.call("alpha", "jobs"))
    pid = await until_called(program)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended(pid)


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
async def test_sudo_cannot_be_ended_by_the_hub(program, wrapper, monkeypatch, error):
    tried = []

    def kill(self):
        tried.append(self.pid)
        raise error

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", kill)
    wrapper.timeout = 0.2
    program.answer(sleep=1)
    assert "did not answer" in str(await failure(wrapper))
    assert tried
    # Until the event loop has seen the end of the process.
    await ended(tried[0])
    await asyncio.sleep(0.1)


async def test_large_request(program, wrapper):
    await wrapper.call("alpha", "submit", {"script": "x" * 500_000})
    assert len(program.call["stdin"]) > 500_000


async def test_program_which_does_not_listen(program, wrapper):
    program.path.write_text("#!/bin/sh\nexec echo 7\n")
    assert await wrapper.call("alpha", "submit", {"script": "x" * 500_000}) == "7\n"


async def test_only_a_few_at_once(wrapper, monkeypatch):
    under_way, most = 0, 0

    async def run(self, argv, text):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.005)
        under_way -= 1

    monkeypatch.setattr(Wrapper, "run", run)
    wrapper.at_once = 3
    await asyncio.gather(*(wrapper.call("alpha", "submit", {}, "bob") for _ in range(20)))
    assert most == 3


async def test_questions_do_not_wait_for_submissions(wrapper, monkeypatch):
    submitted = asyncio.Event()
    questions, most = 0, 0

    async def run(self, argv, text):
        nonlocal questions, most
        if "submit" in argv:
            await submitted.wait()
            return "7"
        questions += 1
        most = max(most, questions)
        await asyncio.sleep(0.005)
        questions -= 1
        return "{}"

    monkeypatch.setattr(Wrapper, "run", run)
    wrapper.questions_at_once = 2
    jobs = [asyncio.ensure_future(wrapper.call("alpha", "submit", {}, "bob")) for _ in range(20)]
    verbs = ("jobs", "capacity", "account")
    async with asyncio.timeout(1):
        await asyncio.gather(*(wrapper.call("alpha", verb) for verb in verbs * 3))
    assert most == 2
    submitted.set()
    await asyncio.gather(*jobs)


def test_both_kinds_together_are_what_one_connection_carries():
    wrapper = Wrapper()
    assert wrapper.at_once + wrapper.questions_at_once <= 10


async def test_account_is_asked_once_for_a_start(program, wrapper):
    program.answer('{"uid": 1}')
    await wrapper.account("alpha", "bob")
    program.answer('{"uid": 2}')
    assert (await wrapper.account("alpha", "bob"))["uid"] == 1
    assert (await wrapper.account("beta", "bob"))["uid"] == 2
    assert (await wrapper.account("alpha", "eve"))["uid"] == 2
    wrapper.account_age = 0
    assert (await wrapper.account("alpha", "bob"))["uid"] == 2


async def test_refusal_of_an_account_is_not_kept(program, wrapper):
    program.answer(code=1, err="sudo: unknown user: bob")
    with pytest.raises(SchedulerError):
        await wrapper.account("alpha", "bob")
    program.answer('{"uid": 1}')
    assert (await wrapper.account("alpha", "bob"))["uid"] == 1


async def test_account(program, wrapper):
    account = {"name": "bob", "uid": 1001, "home": "/home/bob", "shell": "/bin/sh", "groups": []}
    program.answer(json.dumps(account))
    assert await wrapper.account("alpha", "bob") == account
    assert program.call["argv"] == ["alpha", "account"]


def test_one_of_each_for_the_whole_hub():
    assert Wrapper.get() is Wrapper.get()
    assert JobTables.get() is JobTables.get()
    assert type(Wrapper.get()) is Wrapper
    assert type(JobTables.get()) is JobTables


def test_the_hub_configures_them(monkeypatch):
    hub = Application(config=Config({"Wrapper": {"path": "/x"}, "JobTables": {"interval": 9}}))
    monkeypatch.setattr(Application, "_instance", hub)
    assert Wrapper.get().path == "/x"
    assert JobTables.get().interval == 9
    assert JobTables.get().table("slurm").interval == 9


def test_wrapper_is_executable_here(program):
    """The tests above mean nothing where the temporary directory forbids programs."""
    assert os.access(program.path, os.X_OK)


# A question about everybody's jobs, on this machine: by the wrapper's own code


MODULE = """
import sys
class Refusal(SystemExit):
    reason = "did not answer in 8 seconds"
def answers_about(cluster, verb):
    if cluster == "hangs":
        raise Refusal(124)
    return (0, [f"{cluster} {verb}"]) if cluster == "alpha" else (3, "no such controller\\n")
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "batch"
    path.write_text(MODULE)
    Wrapper.instance(path=str(path))
    return path


async def test_question(module):
    assert await Wrapper.get().ask("alpha", "jobs") == ["alpha jobs"]


async def test_question_that_fails(module):
    with pytest.raises(SchedulerError, match="no such controller") as error:
        await Wrapper.get().ask("beta", "jobs")
    assert error.value.code == 3


async def test_question_that_is_given_up(module):
    with pytest.raises(SchedulerError, match="did not answer in 8 seconds") as error:
        await Wrapper.get().ask("hangs", "jobs")
    assert (error.value.code, error.value.ambiguous) == (124, True)


async def test_wrapper_that_was_replaced_is_loaded_anew(module):
    assert await Wrapper.get().ask("alpha", "jobs") == ["alpha jobs"]
    module.write_text(MODULE.replace("{verb}", "new"))
    os.utime(module, ns=(1, 1))
    assert await Wrapper.get().ask("alpha", "jobs") == ["alpha new"]


async def test_question_as_a_user_or_elsewhere_is_a_call(monkeypatch):
    calls = []

    async def call(self, *words, user=None):
        calls.append((*words, user))
        return '{"outputs": ["x"]}'

    monkeypatch.setattr(Wrapper, "call", call)
    assert await Wrapper.get().ask("alpha", "jobs", "ada") == ["x"]
    Wrapper.get().transport = "ssh"
    assert await Wrapper.get().ask("alpha", "jobs") == ["x"]
    assert calls == [("alpha", "jobs", "ada"), ("alpha", "jobs", None)]
