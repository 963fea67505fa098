"""condor_q, condor_status and condor_rm of HTCondor 23.9; and the job's submit description."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jinja2 import Template

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, condor

TEMPLATE = Path(__file__).resolve().parents[3] / "templates/batch/condor.sh"

# condor_q -allusers -xml -attributes ...
HEAD = """<?xml version="1.0"?>
<!DOCTYPE classads SYSTEM "classads.dtd">
<classads>
"""
END = "</classads>\n"
EMPTY = HEAD + END
JOBS = (
    HEAD
    + r"""<c>
    <a n="ClusterId"><i>59</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="ExitCode"><i>7</i></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230001</s></a>
    <a n="JobStatus"><i>4</i></a>
    <a n="LastRejMatchReason"><s>no match found </s></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529666</i></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>60</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="ExitCode"><i>143</i></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230002</s></a>
    <a n="JobStatus"><i>3</i></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529666</i></a>
    <a n="RemoveReason"><s>The job attribute PeriodicRemove expression 'JobStatus == 2 &amp;&amp; time() - JobCurrentStartDate &gt; 10' evaluated to TRUE</s></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>61</i></a>
    <a n="ExitBySignal"><b v="t"/></a>
    <a n="ExitSignal"><i>9</i></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230003</s></a>
    <a n="JobStatus"><i>4</i></a>
    <a n="LastRejMatchReason"><s>no match found </s></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529666</i></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>62</i></a>
    <a n="ExitBySignal"><b v="t"/></a>
    <a n="ExitSignal"><i>15</i></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230004</s></a>
    <a n="JobStatus"><i>3</i></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529696</i></a>
    <a n="RemoveReason"><s>via condor_rm (by user ada)</s></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>63</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230005</s></a>
    <a n="JobStatus"><i>1</i></a>
    <a n="LastRejMatchReason"><s>no match found </s></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529703</i></a>
    <a n="RequestCpus"><i>64</i></a>
</c>
<c>
    <a n="ClusterId"><i>64</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="HoldReason"><s>Error from slot1_1@node1.example.org: Failed to open '/home/ada/nodir/x.log' as standard output: No such file or directory (errno 2)</s></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230006</s></a>
    <a n="JobStatus"><i>5</i></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529703</i></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>65</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="HoldReason"><s>submitted on hold at user's request</s></a>
    <a n="JobBatchName"><s>a &lt;b&gt; &amp; "c" \\\\ \001 \377 \303\251</s></a>
    <a n="JobStatus"><i>5</i></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529709</i></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>66</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="JobBatchName"><s>jupyterhub-main-01230007</s></a>
    <a n="JobStatus"><i>2</i></a>
    <a n="Owner"><s>ada</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529709</i></a>
    <a n="RemoteHost"><s>slot1_1@node1.example.org</s></a>
    <a n="RequestCpus"><i>1</i></a>
</c>
<c>
    <a n="ClusterId"><i>67</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="JobStatus"><i>2</i></a>
    <a n="LastRejMatchReason"><s>PREEMPTION_REQUIREMENTS == False </s></a>
    <a n="Owner"><s>eve</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><i>1795529709</i></a>
    <a n="RemoteHost"><s>slot1_2@node1.example.org</s></a>
    <a n="RequestCpus"><e>ifThenElse(Foo is 1,2,1)</e></a>
</c>
<c>
    <a n="ClusterId"><i>67</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="JobStatus"><i>1</i></a>
    <a n="LastRejMatchReason"><s>PREEMPTION_REQUIREMENTS == False </s></a>
    <a n="Owner"><s>eve</s></a>
    <a n="ProcId"><i>1</i></a>
    <a n="QDate"><i>1795529709</i></a>
    <a n="RequestCpus"><e>ifThenElse(Foo is 1,2,1)</e></a>
</c>
"""  # noqa: E501
    + END
)

# condor_status -xml -constraint 'SlotType =!= "Dynamic"' -attributes ...
SLOT = """<c>
    <a n="Cpus"><i>{cpus}</i></a>
    <a n="SlotType"><s>{kind}</s></a>
    <a n="State"><s>{state}</s></a>
    <a n="TotalSlotCpus"><i>{total}</i></a>
</c>

"""


def listed(change="", to=""):
    """The list's job 66, with a change, alone."""
    (ad,) = re.findall(r"<c>\n    <a n=\"ClusterId\"><i>66<.*?</c>\n", JOBS, re.DOTALL)
    assert change in ad
    return HEAD + ad.replace(change, to) + END


def test_jobs():
    jobs = {job.id: job for job in condor.parse_jobs(JOBS)}
    assert jobs["66"] == Job(
        id="66",
        name="jupyterhub-main-01230007",
        user="ada",
        state=RUNNING,
        host="node1.example.org",
        cores=1,
    )
    assert jobs["63"] == Job(
        id="63",
        name="jupyterhub-main-01230005",
        user="ada",
        state=PENDING,
        reason="no match found",
        cores=64,
    )
    assert jobs["67.1"] == Job(
        "67.1", "", "eve", PENDING, reason="PREEMPTION_REQUIREMENTS == False"
    )
    assert {name: (job.state, job.reason) for name, job in jobs.items() if job.id < "65"} == {
        "59": (ENDED, "ExitCode 7"),
        "60": (
            ENDED,
            "The job attribute PeriodicRemove expression "
            "'JobStatus == 2 && time() - JobCurrentStartDate > 10' evaluated to TRUE",
        ),
        "61": (ENDED, "ExitSignal 9"),
        "62": (ENDED, "via condor_rm (by user ada)"),
        "63": (PENDING, "no match found"),
        "64": (
            HELD,
            "Error from slot1_1@node1.example.org: Failed to open '/home/ada/nodir/x.log' as "
            "standard output: No such file or directory (errno 2)",
        ),
    }


def test_name_of_somebodys_choice():
    (job,) = (job for job in condor.parse_jobs(JOBS) if job.id == "65")
    assert job.name == 'a <b> & "c" \\\\ \x01 \ufffd é'
    (job,) = condor.parse_jobs(listed("-01230007", r"\n\t\r\\n\0011\q"))
    assert job.name == "jupyterhub-main\n\t\r\\n\x011q"


def test_order_is_that_of_submission():
    ids = [job.id for job in condor.parse_jobs(JOBS.replace("1795529666", "1795529999", 1))]
    assert ids == ["60", "61", "62", "63", "64", "65", "66", "67", "67.1", "59"]


@pytest.mark.parametrize(
    ("status", "state"),
    [(1, PENDING), (2, RUNNING), (3, RUNNING), (4, ENDED), (5, HELD), (6, RUNNING), (7, RUNNING)],
)
def test_states(status, state):
    (job,) = condor.parse_jobs(listed('n="JobStatus"><i>2', f'n="JobStatus"><i>{status}'))
    assert job.state == state
    assert job.host == ("node1.example.org" if state == RUNNING else "")
    assert job.reason == ""


# Of a job whose owner set what condor_qedit lets owners set.
EDITED = (
    HEAD
    + """<c>
    <a n="ClusterId"><i>77</i></a>
    <a n="ExitBySignal"><b v="f"/></a>
    <a n="HoldReason"><s>&lt;/classads&gt;</s></a>
    <a n="JobBatchName"><l><i>1</i><i>2</i></l></a>
    <a n="JobStatus"><s>x</s></a>
    <a n="Owner"><s>eve</s></a>
    <a n="ProcId"><i>0</i></a>
    <a n="QDate"><l><s>]]&gt;</s></l></a>
    <a n="RemoteHost"><i>7</i></a>
    <a n="RequestCpus"><c>
        <a n="a"><i>1</i></a>
        <a n="b"><s>&lt;</s></a>
    </c></a>
</c>
"""
    + END
)


def test_owner_cannot_break_the_list():
    assert condor.parse_jobs(EDITED) == [Job("77", "", "eve", PENDING)]
    running = EDITED.replace("<i>7</i>", "<s>a@b</s>")
    assert condor.parse_jobs(running) == [Job("77", "", "eve", RUNNING, host="b")]
    held = EDITED.replace("<s>x</s>", "<i>5</i>")
    assert condor.parse_jobs(held) == [Job("77", "", "eve", HELD, reason="</classads>")]
    ended = EDITED.replace("<s>x</s>", "<i>4</i>")
    assert condor.parse_jobs(ended) == [Job("77", "", "eve", ENDED)]


def test_no_jobs():
    assert condor.parse_jobs(EMPTY) == []


def test_cut_off():
    # Up to the bracket that closes the list.
    for length in range(len(JOBS) - 1):
        with pytest.raises(ValueError, match="XML is not whole"):
            condor.parse_jobs(JOBS[:length])


@pytest.mark.parametrize(
    "text",
    [
        "All queues are empty\n",
        "[\n]\n",
        "<jobs></jobs>",
        HEAD + '<c>\n    <a n="ClusterId"></a>\n</c>\n' + END,
        HEAD + '<c>\n    <a n="ClusterId"><i/></a>\n</c>\n' + END,
        HEAD + "<c>\n    <a><i>1</i></a>\n</c>\n" + END,
        listed("<i>66</i>", "<i>many</i>"),
        listed("<i>66</i>", "<e>undefined</e>"),
        listed('n="Owner"', 'n="User"'),
        listed('n="ProcId"', 'n="Proc"'),
        listed("<s>ada</s>", "<un/>"),
    ],
)
def test_not_understood(text):
    with pytest.raises(ValueError, match=r"XML|not understood|invalid literal"):
        condor.parse_jobs(text)


def test_capacity():
    slots = [
        SLOT.format(kind="Partitionable", cpus=6, state="Unclaimed", total=16),
        SLOT.format(kind="Partitionable", cpus=2, state="Drained", total=2),
        SLOT.format(kind="Partitionable", cpus=4, state="Owner", total=4),
        SLOT.format(kind="Static", cpus=1, state="Unclaimed", total=1),
        SLOT.format(kind="Static", cpus=8, state="Claimed", total=8),
    ]
    assert condor.parse_capacity(HEAD + "".join(slots) + END) == {"": Queue("", 31, 7)}
    closed = condor.parse_capacity(HEAD + slots[1] + slots[2] + END)
    assert closed == {"": Queue("", 6, 0, up=False)}
    assert condor.parse_capacity(EMPTY) == {"": Queue("", 0, 0, up=False)}


@pytest.mark.parametrize(
    "text",
    ["", HEAD, HEAD + SLOT.replace("State", "Status").replace("{", "").replace("}", "") + END],
)
def test_capacity_not_understood(text):
    with pytest.raises(ValueError, match=r"XML|invalid literal"):
        condor.parse_capacity(text)


def test_slot_without_a_state():
    slot = SLOT.replace("State", "Status").format(kind="Static", cpus=1, state="", total=1)
    with pytest.raises(ValueError, match="State is not understood"):
        condor.parse_capacity(HEAD + slot + END)


@pytest.mark.parametrize(
    ("words", "is_gone"),
    [
        ("Job 9999.0 not found", True),
        ("Job 17.0 already marked for removal", True),
        ("Couldn't find/remove all jobs in cluster 9999", True),
        ("Permission denied to remove job 21.0", False),
        ("condor_rm: Can't find address for schedd gateway", False),
        (
            "SECMAN:2007:Read failure during security negotiation.\nNo result found for job 17.0",
            False,
        ),
    ],
)
def test_gone(words, is_gone):
    assert bool(condor.GONE.search(f"\n{words}\n")) == is_gone


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", ""),
        ("out of the ordinary", ""),
        ("no match found", "smaller profile"),
        ("PREEMPTION_REQUIREMENTS == False", "in use"),
        ("insufficient priority", "better priority"),
        ("submitter limit exceeded", "your group"),
        ("concurrency limit licence reached", "of its kind"),
        ("Error from slot1@n: Failed to open '/x' as standard output: Disk quota", "output file"),
        ('Cannot access initial working directory "/home/ada"', "does not reach your home"),
        ("Error from slot1@n: Failed to execute '/bin/bash': No such file", "could not start it"),
        ("submitted on hold at user's request", "condor_release"),
        ("via condor_rm (by user ada)", "cancelled"),
        ("The job exceeded allowed job duration of 1+00:00:00", "time was up"),
        ("ExitCode 0", "by itself"),
        ("ExitCode 1", "with an error"),
        ("ExitCode 10", "with an error"),
        ("ExitSignal 9", "killed"),
        (
            "Error from slot1@node1: Job has gone over cgroup memory limit of 512 megabytes. Peak "
            "usage: 513 megabytes.  Consider resubmitting with a higher request_memory.",
            "more memory",
        ),
        ("The job attribute PeriodicRemove expression 'x' evaluated to TRUE", "time was up"),
        ("The system macro SYSTEM_PERIODIC_REMOVE expression 'x' evaluated to TRUE", "A rule"),
        ("via condor_hold (by user condor)", "condor_release"),
    ],
)
def test_reasons_in_words(reason, words):
    said = condor.explain(Job("7", "x", "ada", PENDING, reason=reason))
    assert words in said
    assert bool(said) == bool(words)


# The submit description

SETTINGS = ["memory", "nprocs", "ngpus", "runtime", "queue", "account", "options"]
UNSET = dict.fromkeys([*SETTINGS, "prologue", "epilogue"], "")


class Script:
    """A submit description in a home directory, and what HTCondor would make of it."""

    def __init__(self, home):
        self.env = home / "job.env"
        self.env.write_text("export TOKEN='it'\"'\"'s \"x\"'\n")
        self.values = UNSET | {
            "job_name": "jupyterhub-main-01230001",
            "homedir": home,
            "log_file": home / "job.log",
            "env_file": self.env,
        }

    def render(self, command=("true",), **values):
        cmd = shlex.join(command).replace('"', '""').replace("'", "''")
        return Template(TEMPLATE.read_text()).render({**self.values, "cmd": cmd, **values})

    def settings(self, **values):
        lines = self.render(**values).splitlines()
        assert lines.pop() == "queue"
        return dict(line.split(" = ", 1) for line in lines)

    def start(self, command, **values):
        words = self.settings(command=command, **values)["arguments"]
        # Any other dollar, or two of these side by side, would be HTCondor's.
        assert words.count("$") == words.count("$(DOLLAR)") == 1
        assert words[0] == words[-1] == '"'
        assert '"' not in words[1:-1]
        quoted = re.findall(r"((?:[^' ]|'(?:[^']|'')*')+)", words[1:-1].replace("$(DOLLAR)", "$"))
        words = [re.sub(r"^'|'$", "", word).replace("''", "'") for word in quoted]
        return subprocess.Popen(
            ["/bin/bash", *words],
            env={"HOME": str(self.values["homedir"]), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command, **values):
        process = self.start(command, **values)
        said = process.communicate(timeout=20)[0]
        return process.returncode, said


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


def python(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


def test_with_nothing_set(script):
    settings = script.settings()
    assert settings.pop("arguments")
    home = script.values["homedir"]
    assert settings == {
        "batch_name": "jupyterhub-main-01230001",
        "description": "jupyterhub-main-01230001",
        "executable": "/bin/bash",
        "getenv": "HOME, USER, LOGNAME, SHELL, PATH, LANG",
        "initialdir": str(home),
        "output": f"{home}/job.log",
        "error": f"{home}/job.log",
        "should_transfer_files": "NO",
        "job_max_vacate_time": "30",
        "leave_in_queue": "(JobStatus == 3 || JobStatus == 4) "
        "&& time() - EnteredCurrentStatus < 300",
    }


def test_with_all_set(script):
    settings = script.settings(
        nprocs="2",
        memory="4gb",
        ngpus="1",
        account="physics",
        runtime="02:00:00",
        options="request_disk = 1GB",
    )
    assert {name: value for name, value in settings.items() if name not in script.settings()} == {
        "request_cpus": "2",
        "request_memory": "4GB",
        "request_gpus": "1",
        "accounting_group": "physics",
        "periodic_remove": "JobStatus == 2 && time() - JobCurrentStartDate > 7200",
        "request_disk": "1GB",
    }


@pytest.mark.parametrize(
    ("memory", "taken"), [("4G", "4G"), ("4gb", "4GB"), ("4GiB", "4GB"), ("512Mi", "512M")]
)
def test_memory(script, memory, taken):
    assert script.settings(memory=memory)["request_memory"] == taken


@pytest.mark.parametrize(
    ("runtime", "seconds"),
    [
        ("90", 90),
        ("08:09", 489),
        ("12:00:00", 43200),
        ("1-02:03:04", 93784),
        ("2-00:00:00", 172800),
    ],
)
def test_walltime(script, runtime, seconds):
    removed = script.settings(runtime=runtime)["periodic_remove"]
    assert removed == f"JobStatus == 2 && time() - JobCurrentStartDate > {seconds}"


def test_walltime_that_is_none(script):
    with pytest.raises(TypeError):
        script.render(runtime="4h")


def test_normal_end(script):
    code, said = script.run(
        python("import os, sys; print(os.environ['TOKEN'], sys.argv[1:])", "a  b", 'it\'s "$HOME"'),
        epilogue="echo after $code",
    )
    assert said == "it's \"x\" ['a  b', 'it\\'s \"$HOME\"']\nafter 0\n"
    assert code == 0
    assert not script.env.exists()


def test_prologue_of_many_lines(script):
    prologue = "if true; then\n\techo \"it's $(echo $((1 + 1))) \\$ \\n\" '$HOME' # $$(x)\nfi\n"
    code, said = script.run(["true"], prologue=prologue + 'test -n "$$"\n')
    assert (code, said) == (0, "it's 2 $ \\n $HOME\n")


def test_error_of_the_server(script):
    code, said = script.run(python("raise SystemExit(3)"), epilogue="echo after $code")
    assert (code, said) == (3, "after 3\n")
    assert not script.env.exists()


def test_login_shell(script):
    (script.values["homedir"] / ".bash_profile").write_text("export HERE=profile\n")
    (script.values["homedir"] / ".bash_logout").write_text("exit 9\n")
    assert script.run(["true"], prologue="echo $HERE") == (0, "profile\n")


def test_error_of_the_prologue(script):
    assert script.run(["echo", "runs"], prologue="false") == (1, "")
    assert script.env.exists()


def test_no_environment(script):
    script.env.unlink()
    code, said = script.run(["echo", "runs"])
    assert code == 1
    assert said.startswith("No environment for the server: ")
    assert f"cannot read {script.env}\n" in said
    assert "runs" not in said


def test_ended_from_outside(script):
    """The server gets the signal too, and the time it needs; the job may start again."""
    process = script.start(
        python(
            "import os, signal, sys, time\n"
            "def end(*_): time.sleep(0.5); os.write(1, b'ends well\\n'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, end)\n"
            "os.write(1, b'waits\\n')\n"
            "time.sleep(20)"
        )
    )
    assert process.stdout.readline() == "waits\n"
    began = time.monotonic()
    process.terminate()
    assert process.wait(10) == 143
    assert time.monotonic() - began > 0.4
    assert process.stdout.read() == "ends well\n"
    assert script.env.exists()
