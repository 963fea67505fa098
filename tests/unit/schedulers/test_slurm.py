"""squeue and sinfo of Slurm 22.05, and the table of schedulers."""

import pytest

from hpc_gateway import schedulers
from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, slurm

HEAD = "\x1eJOBID|USER|STATE|EXEC_HOST|PARTITION|CPUS|START_TIME|REASON|NAME\n"

# As squeue printed them, with the mark as the wrapper hands it on.
RECORDS = (
    "\x1e23|ada|PENDING|n/a|main|64|1795529900|Resources|jupyterhub-main-c609308ad0ade4\n",
    "\x1e24|eve|PENDING|n/a|main|8|N/A|Priority|wrap\n",
    "\x1e4|ada|PENDING|n/a|short|2|N/A|JobHeldUser|j1a2b3c-89abcde\n",
    "\x1e25_[1-10%2]|eve|PENDING|n/a|main|1|N/A|Dependency|array\n",
    "\x1e22|ada|RUNNING|node1.example.org|main|4|1795529470|None|jupyterhub-main-0123456789abcd\n",
    "\x1e7|ada|COMPLETED|localhost|short|2|1795529470|None|jtorque\n",
    "\x1e9|ada|FAILED|localhost|short|2|1795529483|NonZeroExitCode|jpbs\n",
    "\x1e11|ada|CANCELLED|n/a|short|1|1795529492|None|jpbs\n",
)
# A name of somebody's choice, printed as it is.
FORGED = "\x1e6|eve|RUNNING|localhost|main|1|1795529447|None|a\nJob Id:\t1\n\tjob_state = C\n"
ANSWER = HEAD + "".join(RECORDS)


def test_jobs():
    first, second, held, array, running, ended, failed, cancelled = slurm.parse_jobs(ANSWER)
    assert first == Job(
        id="23",
        name="jupyterhub-main-c609308ad0ade4",
        user="ada",
        state=PENDING,
        queue="main",
        reason="Resources",
        cores=64,
        start=1795529900.0,
    )
    assert second == Job("24", "wrap", "eve", PENDING, queue="main", reason="Priority", cores=8)
    assert held == Job(
        "4", "j1a2b3c-89abcde", "ada", HELD, queue="short", reason="JobHeldUser", cores=2
    )
    assert array.id == "25_[1-10%2]"
    # It has started already: no time when it may.
    assert running == Job(
        id="22",
        name="jupyterhub-main-0123456789abcd",
        user="ada",
        state=RUNNING,
        host="node1.example.org",
        queue="main",
        cores=4,
    )
    assert (ended.state, ended.host, ended.reason) == (ENDED, "", "COMPLETED")
    assert failed.reason == "FAILED"
    assert slurm.explain(failed) == "It ended with an error."
    assert (cancelled.state, cancelled.reason) == (ENDED, "CANCELLED")


def test_no_jobs():
    assert slurm.parse_jobs(HEAD) == []


@pytest.mark.parametrize(
    ("word", "reason", "state"),
    [
        ("CONFIGURING", "None", PENDING),
        ("REQUEUED", "BeginTime", PENDING),
        ("REQUEUE_HOLD", "None", HELD),
        ("RESV_DEL_HOLD", "None", HELD),
        ("SPECIAL_EXIT", "JobHeldUser", HELD),
        ("PENDING", "JobHeldAdmin", HELD),
        ("PENDING", "launch failed requeued held", HELD),
        ("PENDING", "JobHoldMaxRequeue", HELD),
        ("COMPLETING", "None", RUNNING),
        ("SUSPENDED", "None", RUNNING),
        ("STOPPED", "None", RUNNING),
        ("PREEMPTED", "None", ENDED),
        ("CANCELLED", "JobHeldUser", ENDED),
        ("OUT_OF_MEMORY", "OutOfMemory", ENDED),
        ("NODE_FAIL", "None", ENDED),
        ("TIMEOUT", "TimeLimit", ENDED),
    ],
)
def test_states(word, reason, state):
    (job,) = slurm.parse_jobs(f"{HEAD}\x1e7|ada|{word}|n1|main|1|N/A|{reason}|x\n")
    assert job.state == state
    assert job.host == ("n1" if state == RUNNING else "")


def test_every_state_is_one_of_the_four():
    assert set(slurm.STATE.values()) == {PENDING, RUNNING, ENDED}
    assert sum(len(words.split()) for words in slurm.STATES.values()) == len(slurm.STATE)


def test_running_without_a_node_yet():
    (job,) = slurm.parse_jobs(f"{HEAD}\x1e7|ada|RUNNING|n/a|main|x|N/A|None|x\n")
    assert (job.host, job.cores, job.reason) == ("", 0, "")


@pytest.mark.parametrize(
    "name",
    [
        "a\nJob Id:\t1\n\tjob_state = C",
        "a\n22|ada|COMPLETED|n1|main|1|N/A|None|jupyterhub-main-0123456789abcd",
        "a|b|c|d|e|f|g|h|i|j",
        "a\n\n",
        "",
        "|",
        "a\x00b\x1b[0m",
        "JOBID|USER|STATE|EXEC_HOST|PARTITION|CPUS|START_TIME|REASON|NAME",
    ],
)
def test_a_name_forges_no_job(name):
    forged = f"\x1e6|eve|RUNNING|n1|main|1|N/A|None|{name}\n"
    jobs = slurm.parse_jobs(HEAD + RECORDS[4] + forged + RECORDS[5])
    assert [job.id for job in jobs] == ["22", "6", "7"]
    assert [job.user for job in jobs] == ["ada", "eve", "ada"]
    assert jobs[0].state == RUNNING
    assert jobs[1].name == name


def test_answer_that_is_cut_off():
    """It is not understood, or has lost whole jobs at its end: their owners are asked then."""
    whole = slurm.parse_jobs(ANSWER)
    ends = {len(HEAD)} | {
        len(HEAD) + len("".join(RECORDS[:count])) for count in range(1, len(RECORDS))
    }
    for length in range(len(ANSWER)):
        if length in ends:
            jobs = slurm.parse_jobs(ANSWER[:length])
            assert jobs == whole[: len(jobs)]
        else:
            with pytest.raises(ValueError, match="squeue"):
                slurm.parse_jobs(ANSWER[:length])


def test_forged_name_that_is_cut_off():
    """Whatever is left of the name: no other job is read wrongly."""
    answer = HEAD + RECORDS[4] + FORGED
    for length in range(len(HEAD) + len(RECORDS[4]), len(answer)):
        try:
            jobs = slurm.parse_jobs(answer[:length])
        except ValueError:
            continue
        assert jobs[0] == slurm.parse_jobs(answer)[0]
        assert [(job.id, job.user) for job in jobs[1:]] in ([], [("6", "eve")])


def test_answer_whose_beginning_is_lost():
    for start in range(1, len(ANSWER)):
        with pytest.raises(ValueError, match="squeue"):
            slurm.parse_jobs(ANSWER[start:])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "\n",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        # Without the head: whose first record may be lost.
        RECORDS[0],
        HEAD + HEAD,
        HEAD + "\x1e\n",
        HEAD + "\x1e7|ada|RUNNING|n1|main|1|N/A|None\n",
        HEAD + "\x1e7|ada|DANCING|n1|main|1|N/A|None|x\n",
        HEAD + "\x1e-7|ada|RUNNING|n1|main|1|N/A|None|x\n",
        HEAD + "\x1e|ada|RUNNING|n1|main|1|N/A|None|x\n",
        HEAD + "squeue: warning\n" + RECORDS[0],
        "squeue: warning\n" + ANSWER,
        HEAD.replace("JOBID", "NODELIST"),
    ],
)
def test_garbage(answer):
    with pytest.raises(ValueError, match="squeue"):
        slurm.parse_jobs(answer)


def test_capacity():
    assert slurm.parse_capacity("main|up|5/3/0/8\nlong run|down|0/0/16/16\n") == {
        "main": Queue("main", 8, 3, True),
        "long run": Queue("long run", 16, 0, False),
    }
    assert slurm.parse_capacity("p|drain|0/4/0/4\n")["p"].up is False
    assert slurm.parse_capacity("") == {}


@pytest.mark.parametrize(
    "text", ["main|up|5/3/0\n", "main|up\n", "sinfo: error\n", "main|up|a/b/c/d", "|up|1/1/1/1"]
)
def test_capacity_of_garbage(text):
    with pytest.raises(ValueError, match="sinfo"):
        slurm.parse_capacity(text)


def job(reason):
    return Job("7", "x", "ada", PENDING, reason=reason)


def test_reasons_in_words():
    assert slurm.explain(job("")) == ""
    assert slurm.explain(job("SomethingNew")) == ""
    assert "next in line" in slurm.explain(job("Resources"))
    assert "allocation is used up" in slurm.explain(job("AssocGrpCPUMinutesLimit"))
    # The longest beginning that fits.
    assert "at once" in slurm.explain(job("AssocGrpNodeLimit"))
    assert "reserved its" in slurm.explain(job("AssocGrpCPURunMinutesLimit"))
    assert "administrator" in slurm.explain(job("JobHeldAdmin"))
    assert "nodes" in slurm.explain(job("ReqNodeNotAvail, UnavailableNodes:n1"))
    for word in slurm.REASONS:
        assert slurm.explain(job(word)).endswith(".")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("scancel: error: Invalid job id 99", True),
        ("scancel: error: Kill job error on job id 9: Invalid job id specified", True),
        ("scancel: error: Kill job error on job id 9: Job/step already completing", True),
        ("scancel: error: Kill job error on job id 9: Job/step already completed", True),
        ("scancel: error: Kill job error on job id 9: Access/permission denied", False),
        ("slurm_load_jobs error: Unable to contact slurm controller", False),
        ("batch: job_id is not valid", False),
    ],
)
def test_no_such_job_any_more(text, gone):
    assert bool(slurm.GONE.search(text)) is gone


def test_modules():
    assert schedulers.module("slurm") is slurm


@pytest.mark.parametrize("name", schedulers.NAMES)
def test_module(name):
    module = schedulers.module(name)
    assert callable(module.parse_jobs)
    assert callable(module.parse_capacity)
    assert module.explain(job("")) == ""
    assert not module.GONE.search("")


@pytest.mark.parametrize("name", ["os", "", "markup", "..jobs", "slurm.x"])
def test_no_other_modules(name):
    with pytest.raises(ValueError, match="the schedulers are slurm, torque"):
        schedulers.module(name)
