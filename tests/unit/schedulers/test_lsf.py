"""bjobs, bqueues and bhosts of LSF."""

import json
import time

import pytest

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, lsf


def record(job_id, stat, **more):
    return {
        "JOBID": job_id,
        "JOBINDEX": "0",
        "STAT": stat,
        "USER": "ada",
        "QUEUE": "normal",
        "EXEC_HOST": "",
        "SLOTS": "2",
        "JOB_NAME": "jupyterhub-main-89abcdef",
        "ESTIMATED_START_TIME": "",
        "PEND_REASON": "",
        "EXIT_REASON": "",
    } | more


def answer(*records, command="bjobs", count="JOBS"):
    # Slashes are escaped in LSF's own.
    return (
        json.dumps({"COMMAND": command, count: len(records), "RECORDS": records}, indent=2).replace(
            "/", "\\/"
        )
        + "\n"
    )


def test_jobs():
    running, waiting, ended = lsf.parse_jobs(
        answer(
            record("806290", "RUN", EXEC_HOST="2*n1.example.org:4*n2"),
            record(
                "806291",
                "PEND",
                USER="eve",
                JOB_NAME='a "name" / of|a\nuser',
                SLOTS="-",
                PEND_REASON="Job's resource requirements not satisfied: 4 hosts;",
                ESTIMATED_START_TIME="Nov 24 18:30 2026",
            ),
            record(
                "806280",
                "EXIT",
                EXEC_HOST="n1",
                EXIT_REASON="TERM_RUNLIMIT: job killed after reaching LSF run time limit",
            ),
        )
    )
    assert running == Job(
        id="806290",
        name="jupyterhub-main-89abcdef",
        user="ada",
        state=RUNNING,
        host="n1.example.org",
        queue="normal",
        cores=2,
    )
    assert waiting == Job(
        id="806291",
        name='a "name" / of|a\nuser',
        user="eve",
        state=PENDING,
        queue="normal",
        reason="Job's resource requirements not satisfied: 4 hosts;",
        start=time.mktime((2026, 11, 24, 18, 30, 0, 0, 0, -1)),
    )
    assert lsf.explain(waiting).startswith("No node has enough free")
    assert (ended.state, ended.host) == (ENDED, "")
    assert lsf.explain(ended) == "Its time was up."


@pytest.mark.parametrize(
    "text",
    ["", answer(), "No unfinished job found\n", "No job found\n", "No matching job found\n"],
)
def test_no_jobs(text):
    assert lsf.parse_jobs(text) == []


def test_control_characters_in_names():
    text = answer(record("1", "RUN", JOB_NAME="a\tb")).replace("\\t", "\t")
    assert lsf.parse_jobs(text)[0].name == "a\tb"


def test_elements_of_an_array_are_different_jobs():
    first, second = lsf.parse_jobs(
        answer(record("7", "RUN", JOBINDEX="1"), record("7", "RUN", JOBINDEX="2"))
    )
    assert (first.id, second.id) == ("7[1]", "7[2]")


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("PEND WAIT PROV", PENDING),
        ("PSUSP", HELD),
        ("RUN USUSP SSUSP UNKWN", RUNNING),
        ("DONE EXIT ZOMBI", ENDED),
    ],
)
def test_states(words, state):
    for word in words.split():
        assert lsf.parse_jobs(answer(record("1", word)))[0].state == state


def test_reason_where_lsf_gives_none():
    for word, reason in {"PEND": "", "PSUSP": "PSUSP", "EXIT": "EXIT", "RUN": ""}.items():
        job = lsf.parse_jobs(answer(record("1", word, PEND_REASON="-", EXIT_REASON="-")))[0]
        assert job.reason == reason


@pytest.mark.parametrize("end", [1, 40, 200, -2, -20])
def test_cut_short(end):
    with pytest.raises(ValueError, match="not whole"):
        lsf.parse_jobs(answer(record("1", "RUN"), record("2", "RUN"))[:end])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer(record("1", "RUN")).replace('"JOBS": 1', '"JOBS": 2'), "1 records instead of 2"),
        (answer(record("1", "RUN"), record("1", "EXIT")), "listed twice"),
        (answer(record("1", "ODD")), "'ODD'"),
        (answer({"JOBID": "1", "ERROR": "Job <1> is not found"}), "'USER'"),
        (answer("text"), "not whole"),
        ("[]", "not whole"),
        ("Cannot connect to LSF. Please wait ...\n", "not whole"),
        ("batch daemon not responding ... still trying\nNo unfinished job found", "not whole"),
    ],
)
def test_not_understood(text, words):
    with pytest.raises(ValueError, match=words):
        lsf.parse_jobs(text)


@pytest.mark.parametrize("words", ["No unfinished job found", "No job found"])
def test_empty(words):
    assert lsf.EMPTY.search(words)
    assert not lsf.EMPTY.search(f"lsf.conf: x\n{words}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 24 18:30", (2026, 11, 24)),
        ("Jan  2 18:30", (2027, 1, 2)),
        ("Jan  2 18:30 2026 L", (2026, 1, 2)),
        ("Foo 24 18:30", None),
        ("-", None),
    ],
)
def test_moment(text, expected):
    now = time.mktime((2026, 11, 24, 13, 52, 0, 0, 0, -1))
    moment = time.mktime((*expected, 18, 30, 0, 0, 0, -1)) if expected else None
    assert lsf.moment(text, now) == moment


@pytest.mark.parametrize(
    ("state", "reason", "meaning"),
    [
        (PENDING, "New job is waiting for scheduling;", "not looked at it yet"),
        (PENDING, "User has reached the per-user job slot limit of the queue;", "may run at once"),
        (PENDING, "Not enough slots or resources for whole duration of the job;", "enough is free"),
        (HELD, "Job was suspended by LSF admin or root while pending;", "An administrator"),
        (HELD, "PSUSP", "held"),
        (ENDED, "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "more memory"),
        (ENDED, "TERM_UNKNOWN: unknown reason", "scheduler ended it"),
        (ENDED, "EXIT", "an error"),
        (PENDING, "", ""),
    ],
)
def test_why(state, reason, meaning):
    assert meaning in lsf.explain(Job("1", "n", "ada", state, reason=reason))
    assert bool(meaning) == bool(lsf.explain(Job("1", "n", "ada", state, reason=reason)))


@pytest.mark.parametrize(
    "words", ["Job <12>: No matching job found", "Job <12>: Job has already finished"]
)
def test_gone(words):
    assert lsf.GONE.search(words)
    assert not lsf.GONE.search("Job <12>: User permission denied")


def queue(name, status, most="-", **more):
    return {"QUEUE_NAME": name, "STATUS": status, "MAX": most, "RUN": "0"} | more


def host(name, status, most, njobs):
    return {"HOST_NAME": name, "STATUS": status, "MAX": most, "NJOBS": njobs}


QUEUES = answer(
    queue("normal", "Open:Active"),
    queue("short", "Open:Active", "6", RUN="3", SUSP="1", RSV="0"),
    queue("owners", "Closed:Active", "100"),
    command="bqueues",
    count="QUEUES",
)
HOSTS = answer(
    host("n1", "ok", "8", "3"),
    host("n2", "closed_Full", "8", "8"),
    host("n3", "unavail", "8", "0"),
    host("master", "closed_Adm", "-", "0"),
    command="bhosts",
    count="HOSTS",
)


def test_capacity():
    assert lsf.parse_capacity(QUEUES, HOSTS) == {
        "normal": Queue("normal", 24, 5, up=True),
        "short": Queue("short", 6, 2, up=True),
        "owners": Queue("owners", 24, 5, up=False),
    }


def test_capacity_that_is_not_asked_for():
    assert lsf.parse_capacity() == {}


@pytest.mark.parametrize(
    ("queues", "hosts"),
    [
        (QUEUES[:-3], HOSTS),
        (QUEUES, HOSTS[:-3]),
        (HOSTS, QUEUES),
        (QUEUES.replace("QUEUE_NAME", "NAME"), HOSTS),
    ],
)
def test_capacity_not_understood(queues, hosts):
    with pytest.raises(ValueError, match=r"whole|name"):
        lsf.parse_capacity(queues, hosts)
