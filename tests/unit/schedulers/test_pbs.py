"""qstat and pbsnodes of PBS Professional and OpenPBS."""

import re
import time

import pytest

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, pbs, qstat

# `qstat -f` of 14 to 19, and of later ones without -w: wrapped, in the middle of words too.
WRAPPED = (
    "Job Id: 1234.pbs-server\n"
    "    Job_Name = j1a2b3c-89abcde\n"
    "    Job_Owner = ada@gateway.example.org\n"
    "    resources_used.cpupercent = 0\n"
    "    resources_used.ncpus = 2\n"
    "    resources_used.walltime = 00:00:10\n"
    "    job_state = R\n"
    "    queue = workq\n"
    "    server = pbs-server\n"
    "    Checkpoint = u\n"
    "    ctime = Tue Nov 24 13:52:00 2026\n"
    "    Error_Path = gateway.example.org:/home/ada/j1a2b3c-89abcde.e1234\n"
    "    exec_host = n1.example.org/0*2+n2/1\n"
    "    exec_vnode = (n1:ncpus=2:mem=4194304kb)+(n2:ncpus=1)\n"
    "    Hold_Types = n\n"
    "    Join_Path = oe\n"
    "    Output_Path = gateway.example.org:/home/ada/a/rather/long/directory/name/for/th\n"
    "\te/output\n"
    "    Rerunable = True\n"
    "    Resource_List.mem = 4gb\n"
    "    Resource_List.ncpus = 2\n"
    "    Resource_List.place = pack\n"
    "    Resource_List.select = 1:ncpus=2:mem=4gb\n"
    "    Resource_List.walltime = 02:00:00\n"
    "    substate = 42\n"
    "    Variable_List = PBS_O_HOME=/home/ada,PBS_O_LANG=C.UTF-8,PBS_O_LOGNAME=ada,\n"
    "\tPBS_O_PATH=/usr/local/bin:/usr/bin:/bin,PBS_O_SHELL=/bin/bash,\n"
    "\tBASH_FUNC_module%%=() {  local out=1;\n"
    "    job_state = F\n"
    "\n"
    "}\n"
    "    comment = Job run at Tue Nov 24 at 13:52 on (n1:ncpus=2:mem=4194304kb)+(n2:nc\n"
    "\tpus=1)\n"
    "    etime = Tue Nov 24 13:52:00 2026\n"
    "    Submit_arguments = -N j1a2b3c-89abcde\n"
    "    project = _pbs_project_default\n"
    "\n"
)

# `qstat -f -w` of later ones: one line each, line ends in values as \n.
WIDE = (
    "Job Id: 1235.pbs-server\n"
    "    Job_Name = long name\n"
    "    Job_Owner = eve@gateway.example.org\n"
    "    job_state = Q\n"
    "    queue = gpu@pbs-server\n"
    "    Resource_List.ncpus = 16\n"
    "    Variable_List = PBS_O_HOME=/home/eve,A=x\\nJob Id: 1234.pbs-server\\n    job_state = F\n"
    "    comment = Not Running: Insufficient amount of resource: ngpus (R: 2 A: 0 T: 4)\n"
    "    estimated.exec_vnode = (n3:ncpus=16:ngpus=2)\n"
    "    estimated.start_time = Tue Nov 24 18:30:00 2026\n"
    "\n"
)

HELD_JOB = (
    "Job Id: 1240[].pbs-server\n"
    "    Job_Name = array\n"
    "    Job_Owner = eve@gateway\n"
    "    job_state = H\n"
    "    queue = workq\n"
    "    Hold_Types = u\n"
    "\n"
)


def listed(state, **more):
    lines = {"Job_Name": "n", "Job_Owner": "ada@h", "job_state": state} | more
    return "Job Id: 1.s\n" + "".join(f"    {k} = {v}\n" for k, v in lines.items()) + "\n"


def test_jobs():
    running, waiting, held = pbs.parse_jobs(WRAPPED + WIDE + HELD_JOB)
    assert running == Job(
        id="1234.pbs-server",
        name="j1a2b3c-89abcde",
        user="ada",
        state=RUNNING,
        host="n1.example.org",
        queue="workq",
        cores=2,
    )
    assert waiting == Job(
        id="1235.pbs-server",
        name="long name",
        user="eve",
        state=PENDING,
        queue="gpu",
        reason="Not Running: Insufficient amount of resource: ngpus (R: 2 A: 0 T: 4)",
        cores=16,
        start=time.mktime((2026, 11, 24, 18, 30, 0, 0, 0, -1)),
    )
    assert (held.id, held.state, held.reason) == ("1240[].pbs-server", HELD, "Hold_Types = u")


def test_value_on_several_lines():
    comment = "Not Running: Insufficient amount of resource: ncp\n\tus,\n\t and more"
    job = pbs.parse_jobs(listed("Q", comment=comment))[0]
    assert job.reason == "Not Running: Insufficient amount of resource: ncpus, and more"


def test_no_jobs():
    assert pbs.parse_jobs("") == []


@pytest.mark.parametrize(
    ("letters", "state"), [("QWTM", PENDING), ("H", HELD), ("RESUB", RUNNING), ("CFX", ENDED)]
)
def test_states(letters, state):
    for letter in letters:
        assert pbs.parse_jobs(listed(letter))[0].state == state


def test_of_a_job_that_is_requeued_no_host_is_told():
    assert pbs.parse_jobs(listed("Q", exec_host="n1/0"))[0].host == ""


def test_ended_with_the_history_on():
    job = pbs.parse_jobs(listed("F", Exit_status="271"))[0]
    assert job.reason == "exit_status 271"
    assert pbs.explain(job) == "It was cancelled, or its time was up."


def test_start_that_is_not_known():
    job = pbs.parse_jobs(listed("Q", **{"estimated.start_time": "UNKNOWN"}))[0]
    assert job.start is None


def test_line_ends_that_are_none():
    """What Python takes for line ends besides belongs to values."""
    forged = "a\rJob Id: 2.s\x0bJob Id: 3.s\u2028Job Id: 4.s"
    assert [job.id for job in pbs.parse_jobs(listed("R", Variable_List=forged))] == ["1.s"]


def test_forged_job_makes_the_answer_invalid():
    forged = "A=\n\nJob Id: 1234.pbs-server\n    Job_Name = x\n    Job_Owner = eve@h\n"
    forged += "    job_state = R\n    exec_host = evil/0\n"
    for text in (
        WRAPPED + listed("R", Variable_List=forged),
        listed("R", comment=forged) + WRAPPED,
    ):
        with pytest.raises(ValueError, match=r"1234\.pbs-server is listed twice"):
            pbs.parse_jobs(text)


@pytest.mark.parametrize("end", [1, 2, 30, 200, 600, 1200, len(WRAPPED) - 1])
def test_cut_short(end):
    with pytest.raises(ValueError, match="not whole"):
        pbs.parse_jobs(WRAPPED[:end])


@pytest.mark.parametrize(
    "text",
    [
        "pbs_iff: cannot connect to host\n\n",
        "    job_state = R\n\n",
        listed("Z"),
        listed("R").replace("    Job_Owner = ada@h\n", ""),
        listed("R").replace("    job_state", "qstat: lost the connection\n    job_state"),
        "Job Id: 1.s\n\n",
    ],
)
def test_not_understood(text):
    with pytest.raises(ValueError, match=r"1\.s|begins with"):
        pbs.parse_jobs(text)


@pytest.mark.parametrize(
    ("comment", "meaning"),
    [
        ("Not Running: Insufficient amount of resource: ncpus (R: 8 A: 4 T: 4)", "(cores) is free"),
        ("Can Never Run: Insufficient amount of resource: mem (R: 9tb)", "ever give .*memory"),
        ("Not Running: Queue short job limit has been reached.", "jobs that may run at once"),
        ("Not Running: Job would exceed project p1's limit on resource ncpus", "a limit of yours"),
        ("Not Running: Queue not started.", "closed at the moment"),
        ("Not Running: Job would cross dedicated time boundary", "maintenance"),
        ("Not Running: Job would conflict with reservation or top job", "kept for others"),
        ("Not Running: Draining system to allow starving job to run", "waited for very long"),
        ("Not Running: Host set host=n1 has too few free resources", "on one node"),
        ("job held, too many failed attempts to run", "could not be started several times"),
        ("Job held by ada on Tue Nov 24 13:52:00 2026", "^$"),
        ("", "^$"),
    ],
)
def test_why_it_waits(comment, meaning):
    text = pbs.explain(Job("1", "n", "ada", PENDING, reason=comment))
    assert re.search(meaning.replace("(cores)", r"\(cores\)"), text)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [("0", "by itself"), ("1", "an error"), ("-3", "could not run it"), ("-29", "time was up")],
)
def test_why_it_ended(status, meaning):
    assert meaning in pbs.explain(Job("1", "n", "ada", ENDED, reason=f"exit_status {status}"))


@pytest.mark.parametrize(
    "words",
    ["qdel: Unknown Job Id 12.pbs-server", "qdel: Job has finished 12.pbs-server"],
)
def test_gone(words):
    assert pbs.GONE.search(words)
    assert not pbs.GONE.search("qdel: Unauthorized Request  12.pbs-server")
    assert not pbs.GONE.search("qdel: cannot connect to server pbs-server (errno=15010)")


QUEUES = (
    "Queue: workq\n"
    "    queue_type = Execution\n"
    "    total_jobs = 1\n"
    "    state_count = Transit:0 Queued:0 Held:0 Waiting:0 Running:1 Exiting:0 Begun\n"
    "\t:0 \n"
    "    resources_assigned.ncpus = 2\n"
    "    enabled = True\n"
    "    started = True\n"
    "\n"
    "Queue: gpu\n"
    "    queue_type = Execution\n"
    "    enabled = True\n"
    "    started = False\n"
    "\n"
    "Queue: route\n"
    "    queue_type = Route\n"
    "    enabled = True\n"
    "    started = True\n"
    "\n"
)


def vnode(name, state, ncpus, used, **more):
    values = {
        "Mom": f"{name}.example.org",
        "ntype": "PBS",
        "state": state,
        "resources_available.ncpus": ncpus,
        "resources_available.vnode": name,
        "resources_assigned.ncpus": used,
    }
    return f"{name}\n" + "".join(f"     {k} = {v}\n" for k, v in (values | more).items()) + "\n"


def test_capacity():
    nodes = vnode("n1", "free", 8, 2) + vnode("n2", "job-busy", 8, 8)
    nodes += vnode("n3", "state-unknown,down", 8, 0) + vnode("g1", "free", 32, 0, queue="gpu")
    assert pbs.parse_capacity(QUEUES, nodes) == {
        "workq": Queue("workq", 24, 6, up=True),
        "gpu": Queue("gpu", 32, 32, up=False),
    }


def test_capacity_that_is_not_asked_for():
    assert pbs.parse_capacity() == {}
    assert pbs.parse_capacity(QUEUES) == {}


@pytest.mark.parametrize(
    ("queues", "nodes"),
    [
        (QUEUES[:-1], ""),
        (QUEUES, "pbsnodes: Server has no node list\n\n"),
        (QUEUES, "n1\n     Mom = n1\n\n"),
        (QUEUES, vnode("n1", "free", "many", 0)),
    ],
)
def test_capacity_not_understood(queues, nodes):
    with pytest.raises(ValueError, match=r"whole|begins|state|many"):
        pbs.parse_capacity(queues, nodes)


def test_cores_of_the_forms_of_torque():
    assert qstat.cores({"Resource_List.nodes": "1:ppn=2:gpus=1"}) == 2
    assert qstat.cores({"Resource_List.nodes": "node1:ppn=4+2:ppn=8+node7"}) == 21
    assert qstat.cores({"Resource_List.procs": "12", "Resource_List.nodes": "1"}) == 12
    assert qstat.cores({}) == 0
