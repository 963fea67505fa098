"""qstat and pbsnodes of Torque, and of Slurm's package with commands of these names."""

import pytest

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, torque

HEADER = '<?xml version="1.0"?>\n'

RUNNING_JOB = (
    "<Job><Job_Id>12.torque.example.org</Job_Id><Job_Name>j1a2b3c-89abcde</Job_Name>"
    "<Job_Owner>ada@gateway.example.org</Job_Owner>"
    "<resources_used><cput>00:00:01</cput><mem>51200kb</mem></resources_used>"
    "<job_state>R</job_state><queue>batch</queue><server>torque.example.org</server>"
    "<exec_host>node-1.example.org/0-1+node2/3</exec_host><Hold_Types>n</Hold_Types>"
    "<Resource_List><mem>4gb</mem><nodect>1</nodect><nodes>1:ppn=2</nodes>"
    "<walltime>02:00:00</walltime></Resource_List><session_id>4711</session_id>"
    "<Variable_List>PBS_O_QUEUE=batch,A=&lt;/Variable_List&gt;&lt;job_state&gt;C\n"
    "Job Id: 13.torque.example.org\x1b[0m</Variable_List>"
    "<euser>ada</euser><comment>Job started on Tue Nov 24 at 13:52</comment></Job>"
)
WAITING_JOB = (
    "<Job><Job_Id>13.torque.example.org</Job_Id><Job_Name>STDIN</Job_Name>"
    "<Job_Owner>eve@gateway</Job_Owner><job_state>Q</job_state><queue>batch</queue>"
    "<Resource_List><nodes>2:ppn=8</nodes></Resource_List>"
    "<comment>Not Running: Not enough of the right type of nodes are available</comment></Job>"
)
ENDED_JOB = (
    "<Job><Job_Id>11.torque.example.org</Job_Id><Job_Name>j1a2b3c-0000001</Job_Name>"
    "<Job_Owner>ada@gateway</Job_Owner><job_state>C</job_state><queue>batch</queue>"
    "<exec_host>node2/0</exec_host><exit_status>271</exit_status></Job>"
)


def xml(*jobs):
    return f"{HEADER}<Data>{''.join(jobs)}</Data>\n"


def test_jobs():
    running, waiting, ended = torque.parse_jobs(xml(RUNNING_JOB, WAITING_JOB, ENDED_JOB))
    assert running == Job(
        id="12.torque.example.org",
        name="j1a2b3c-89abcde",
        user="ada",
        state=RUNNING,
        host="node-1.example.org",
        queue="batch",
        cores=2,
    )
    assert waiting == Job(
        id="13.torque.example.org",
        name="STDIN",
        user="eve",
        state=PENDING,
        queue="batch",
        reason="Not Running: Not enough of the right type of nodes are available",
        cores=16,
    )
    assert "All nodes that suit it are in use" in torque.explain(waiting)
    assert (ended.state, ended.host, ended.reason) == (ENDED, "", "exit_status 271")
    assert torque.explain(ended) == "It was cancelled, or its time was up."


@pytest.mark.parametrize("text", ["", xml(), f"{HEADER}<Data/>"])
def test_no_jobs(text):
    assert torque.parse_jobs(text) == []


@pytest.mark.parametrize("end", [5, 22, 100, 400, -9, -2])
def test_cut_short(end):
    with pytest.raises(ValueError, match="not whole"):
        torque.parse_jobs(xml(RUNNING_JOB, WAITING_JOB)[:end])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (xml(RUNNING_JOB, RUNNING_JOB), "listed twice"),
        (xml(RUNNING_JOB) + xml(WAITING_JOB), "not whole"),
        (f"{HEADER}<Error/>", "a Error, not a Data"),
        (xml("<Job><Job_Name>x</Job_Name></Job>"), "not a job"),
        (xml(RUNNING_JOB.replace("<Job>", "<Old>").replace("</Job>", "</Old>")), "not a job"),
        (xml(RUNNING_JOB.replace(">R<", ">Z<")), "no known 'Z'"),
        (xml(RUNNING_JOB.replace("Job_Owner", "Owner")), "no known 'Job_Owner'"),
        ("qstat: cannot connect to server torque (errno=111)\n\n", "begins with"),
    ],
)
def test_not_understood(text, words):
    with pytest.raises(ValueError, match=words):
        torque.parse_jobs(text)


@pytest.mark.parametrize(
    "words",
    [
        "qdel: Unknown Job Id Error 12.torque",
        "qdel: Unknown Job Id 12.torque",
        "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 12.torque",
    ],
)
def test_gone(words):
    assert torque.GONE.search(words)
    assert not torque.GONE.search("qdel: Unauthorized Request  12.torque")
    assert not torque.GONE.search("qdel: Request invalid for state of job 12.torque")


QUEUES = (
    "Queue: batch\n    queue_type = Execution\n    total_jobs = 2\n    enabled = True\n"
    "    started = True\n\n"
    "Queue: gpu\n    queue_type = Execution\n    resources_default.neednodes = gpu\n"
    "    enabled = True\n    started = False\n\n"
    "Queue: default\n    queue_type = Route\n    enabled = True\n    started = True\n\n"
)


def node(name, state, np, **more):
    values = {"name": name, "state": state, "np": np} | more
    return f"<Node>{''.join(f'<{k}>{v}</{k}>' for k, v in values.items())}</Node>"


def test_capacity():
    nodes = xml(
        node("n1", "free", 8, properties="fast,ib", jobs="0/12.srv, 1/12.srv"),
        node("n2", "free", 8, jobs="0-3,6/13.srv,7/14.srv"),
        node("n3", "job-exclusive", 4, jobs="0/5.s,1/5.s,2/5.s,3/5.s"),
        node("n4", "down,offline", 8),
        node("g1", "free", 32, properties="gpu"),
    )
    assert torque.parse_capacity(QUEUES, nodes) == {
        "batch": Queue("batch", 60, 6 + 2 + 0 + 0 + 32, up=True),
        "gpu": Queue("gpu", 32, 32, up=False),
    }


def test_capacity_that_is_not_asked_for():
    assert torque.parse_capacity() == {}
    assert torque.parse_capacity(QUEUES) == {}


@pytest.mark.parametrize(
    "nodes", [xml(node("n1", "free", 8))[:-3], xml("<Node><name>n1</name></Node>")]
)
def test_capacity_not_understood(nodes):
    with pytest.raises(ValueError, match=r"whole|state"):
        torque.parse_capacity(QUEUES, nodes)


# As Debian 12's slurm-wlm-torque prints them.
SLURM = (
    "Job Id:\t1\n"
    "\tJob_Name = j1a2b3c-89abcde\n"
    "\tJob_Owner = ada@torque-lab\n"
    "\tjob_state = R\n"
    "\tqueue = short\n"
    "\tqtime = Tue Nov 24 13:52:00 2026\n"
    "\tmtime = Tue Nov 24 13:52:01 2026\n"
    "\tctime = Tue Nov 24 14:22:01 2026\n"
    "\texec_host = localhost/2\n"
    "\tPriority = 4294901759\n"
    "\teuser = ada(1000)\n"
    "\tegroup = ada(1000)\n"
    "\tResource_List.walltime = 00:30:00\n"
    "\tResource_List.nodect = 1\n"
    "\tResource_List.ncpus = 2\n"
    "\n"
    "Job Id:\t4\n"
    "\tJob_Name = bash\n"
    "\tJob_Owner = eve@torque-lab\n"
    "\tinteractive = True\n"
    "\tjob_state = Q\n"
    "\tqueue = short\n"
    "\tqtime = Tue Nov 24 13:52:33 2026\n"
    "\tPriority = 0\n"
    "\teuser = eve(1001)\n"
    "\tegroup = eve(1001)\n"
    "\tResource_List.walltime = Infinite\n"
    "\tResource_List.nodect = 1\n"
    "\tResource_List.ncpus = 2\n"
    "\n"
)


def test_jobs_of_slurm():
    running, waiting = torque.parse_jobs(SLURM)
    assert running == Job(
        "1", "j1a2b3c-89abcde", "ada", RUNNING, host="localhost", queue="short", cores=2
    )
    assert waiting == Job("4", "bash", "eve", PENDING, queue="short", cores=2)


@pytest.mark.parametrize(
    ("letter", "state"), [("Q", PENDING), ("S", RUNNING), ("C", ENDED), ("U", ENDED)]
)
def test_states_of_slurm(letter, state):
    job = torque.parse_jobs(SLURM.replace("state = R", f"state = {letter}"))[0]
    assert job.state == state


def test_slurm_holds_no_job_by_a_letter():
    with pytest.raises(ValueError, match="no known 'H'"):
        torque.parse_jobs(SLURM.replace("state = R", "state = H"))
    assert torque.parse_jobs(xml(RUNNING_JOB.replace(">R<", ">H<")))[0].state == HELD


def test_forged_job_of_slurm():
    name = "a\n\tJob_Owner = eve@x\n\tjob_state = Q\n\nJob Id:\t1\n\tJob_Name = b"
    with pytest.raises(ValueError, match="job 1 is listed twice"):
        torque.parse_jobs(SLURM.replace("= bash", f"= {name}"))


@pytest.mark.parametrize("end", [3, 40, 300, -1])
def test_slurm_cut_short(end):
    with pytest.raises(ValueError, match="not whole"):
        torque.parse_jobs(SLURM[:end])
