"""The job scripts that read the server's environment from a file: torque, pbs, lsf and moab."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jinja2 import Template

TEMPLATES = Path(__file__).resolve().parents[3] / "templates/batch"
NAMES = ["torque", "pbs", "lsf", "moab"]
# What batchspawner knows, unset.
SETTINGS = ["queue", "host", "memory", "nprocs", "ngpus", "runtime", "account", "options"]
UNSET = dict.fromkeys([*SETTINGS, "partition", "prologue", "epilogue"], "")
SET = {
    "queue": "short",
    "host": "server",
    "memory": "4gb",
    "nprocs": "2",
    "ngpus": "1",
    "runtime": "02:00:00",
    "account": "physics",
    "options": "-m n",
}
# Prints its environment and its input, and ends as it is told to.
COMMAND = """
import os, signal, sys, time
print("runs with", os.environ["TOKEN"], repr(sys.stdin.read()), flush=True)
if sys.argv[1] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("waits", flush=True)
    time.sleep(20)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[1]))
"""


class Job:
    def __init__(self, template, home):
        self.template, self.home = template, home
        self.log, self.env = home / "job.log", home / "job.env"
        self.env.write_text("export TOKEN='it'\"'\"'s \"x\"'\n")

    def script(self, end="0", **values):
        values = UNSET | {
            "job_name": "j1a2b3c-89abcde",
            "homedir": self.home,
            "log_file": self.log,
            "env_file": self.env,
            "cmd": shlex.join([sys.executable, "-c", COMMAND, end]),
            **values,
        }
        return Template((TEMPLATES / f"{self.template}.sh").read_text()).render(**values)

    def start(self, **values):
        # On its input, as some of these schedulers do.
        script = self.script(**values).replace("sleep 1\n", "sleep 0.5\n")
        process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, text=True)
        process.stdin.write(script)
        process.stdin.close()
        return process

    def run(self, **values):
        return self.start(**values).wait(10)


@pytest.fixture(params=NAMES)
def job(request, tmp_path):
    return Job(request.param, tmp_path)


def directives(script):
    """The lines at the beginning, up to the first that is none."""
    lines = script.split("\n")
    assert lines[0] == "#!/bin/bash"
    return lines[1 : lines.index("")]


def test_with_nothing_set(job):
    words = {"lsf": "BSUB", "moab": "MSUB"}.get(job.template, "PBS")
    expected = {
        "lsf": ["-L /bin/bash", "-J j1a2b3c-89abcde", "-o /dev/null"],
    }.get(job.template, ["-S /bin/bash", "-N j1a2b3c-89abcde", "-j oe", "-o /dev/null"])
    assert directives(job.script()) == [f"#{words} {line}" for line in expected]


def test_with_all_set(job):
    family = ["-q short@server", "-A physics", "-l walltime=02:00:00"]
    torque = [*family, "-l nodes=1:ppn=2:gpus=1", "-l mem=4gb", "-m n"]
    expected = {
        "torque": torque,
        "moab": torque,
        "pbs": [*family, "-l select=1:ncpus=2:mem=4gb:ngpus=1", "-m n"],
        "lsf": [
            "-q short",
            "-P physics",
            "-W 02:00",
            "-n 2",
            '-R "span[hosts=1]"',
            "-M 4gb",
            '-R "rusage[mem=4gb]"',
            '-gpu "num=1"',
            "-m n",
        ],
    }[job.template]
    lines = [line.partition(" ")[2] for line in directives(job.script(**SET))]
    assert lines[-len(expected) :] == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_with_one_set(job, name):
    lines = directives(job.script(**{name: SET[name]}))
    assert not [line for line in lines if line.endswith(("=", " ", ":", "@", '""')) or "=:" in line]


def test_the_environment_is_no_option(job):
    assert not [line for line in directives(job.script(**SET)) if " -v" in line or " -V" in line]


def test_normal_end(job):
    assert job.run(prologue="echo before", epilogue="echo after") == 0
    said = "before\nruns with it's \"x\" ''\nafter\n"
    assert job.log.read_text() == said
    assert not job.env.exists()


def test_output_is_added_to_that_of_an_earlier_run(job):
    job.log.write_text("earlier\n")
    job.run()
    assert job.log.read_text().startswith("earlier\nruns")


def test_error_of_the_server(job):
    assert job.run(end="3", epilogue="echo after $status") == 3
    assert "after 3" in job.log.read_text()
    assert not job.env.exists()


def test_error_of_the_prologue(job):
    assert job.run(prologue="false") == 1
    assert not job.log.read_text()
    assert job.env.exists()


def test_no_environment(job):
    job.env.unlink()
    assert job.run() == 1
    said = job.log.read_text()
    assert str(job.env) in said
    assert "runs" not in said
    assert "No such file" not in said


def test_server_ended_by_a_signal(job):
    assert job.run(end="killed") == 128 + signal.SIGKILL
    assert job.env.exists()


def test_ended_from_outside(job):
    """The server ends well upon the signal, before the shell has got it too."""
    process = job.start(end="wait")
    until = time.monotonic() + 10
    while not (job.log.exists() and "waits" in job.log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    subprocess.run(["kill", "-TERM", *children], check=True)
    time.sleep(0.2)
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    assert job.env.exists()
