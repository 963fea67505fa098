"""showq of Moab."""

import pytest

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, moab


def job(number, state, **more):
    values = {
        "Account": "physics",
        "Class": "batch",
        "DRMJID": f"{number}.server",
        "GJID": number,
        "Group": "users",
        "JobID": number,
        "JobName": "j1a2b3c-89abcde",
        "ReqAWDuration": "7200",
        "ReqProcs": "2",
        "StartPriority": "99",
        "StartTime": "0",
        "State": state,
        "SubmissionTime": "1795528320",
        "User": "ada",
    } | more
    return "<job {}/>".format(" ".join(f'{k}="{v}"' for k, v in values.items()))


def showq(active=(), eligible=(), blocked=()):
    lists = {"active": active, "eligible": eligible, "blocked": blocked}
    queues = [
        f'<queue count="{len(jobs)}" option="{name}">{"".join(jobs)}</queue>'
        for name, jobs in lists.items()
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Data><Object>queue</Object>'
        '<cluster LocalActiveNodes="3" LocalIdleProcs="40" LocalUpProcs="64" time="1795528400"/>'
        + "".join(queues)
        + "</Data>\n"
    )


def test_jobs():
    running, first, second, blocked = moab.parse_jobs(
        showq(
            active=[job("881196", "Running", MasterHost="n1.example.org", RsvStartTime="1795528")],
            eligible=[
                job("Moab.5", "Idle", User="eve", RsvStartTime="1795540000"),
                job("881199", "Idle", JobName="name=a, b &lt;c&gt;", RsvStartTime="0"),
            ],
            blocked=[
                job(
                    "881200",
                    "Idle",
                    BlockReason="IdlePolicy:job 881200 violates idle HARD MAXIJOB limit of 2",
                )
            ],
        )
    )
    assert running == Job(
        id="881196",
        name="j1a2b3c-89abcde",
        user="ada",
        state=RUNNING,
        host="n1.example.org",
        queue="batch",
        cores=2,
    )
    assert first == Job(
        id="Moab.5",
        name="j1a2b3c-89abcde",
        user="eve",
        state=PENDING,
        queue="batch",
        cores=2,
        start=1795540000.0,
    )
    assert (second.name, second.reason, second.start) == ("name=a, b <c>", "", None)
    assert moab.explain(second) == ""
    assert blocked.state == PENDING
    assert moab.explain(blocked).startswith("You have as many waiting jobs")


def test_no_jobs():
    assert moab.parse_jobs(showq()) == []


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Idle Migrated Staged NotQueued", PENDING),
        ("Hold BatchHold SystemHold UserHold Deferred", HELD),
        ("Running Starting Suspended Unknown", RUNNING),
        ("Completed Removed Vacated", ENDED),
    ],
)
def test_states(words, state):
    for word in words.split():
        assert moab.parse_jobs(showq(active=[job("1", word)]))[0].state == state


@pytest.mark.parametrize(
    ("attributes", "reason", "meaning"),
    [
        ({"State": "Idle", "Hold": "User"}, "User", "held by its owner"),
        ({"State": "BatchHold"}, "BatchHold", "The scheduler holds it"),
        ({"State": "Deferred"}, "Deferred", "tried again later"),
        ({"State": "Hold", "Hold": "System"}, "System", "An administrator holds it"),
        ({"State": "Removed"}, "Removed", "cancelled"),
    ],
)
def test_held_and_ended(attributes, reason, meaning):
    found = moab.parse_jobs(showq(blocked=[job("1", "Idle", **attributes)]))[0]
    assert found.state in (HELD, ENDED)
    assert found.reason == reason
    assert meaning in moab.explain(found)


def test_blocked_without_a_reason():
    assert "checkjob" in moab.explain(moab.parse_jobs(showq(blocked=[job("1", "Idle")]))[0])


@pytest.mark.parametrize("end", [0, 40, 300, 700, -9, -2])
def test_cut_short(end):
    with pytest.raises(ValueError, match="not whole"):
        moab.parse_jobs(showq(active=[job("1", "Running"), job("2", "Running")])[:end])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Data/>", "has no queue"),
        ("<Data><Error>cannot connect</Error></Data>", "has no queue"),
        (showq(active=[job("1", "Running")] * 2), "listed twice"),
        (showq(active=[job("1", "Odd")]), "'odd'"),
        (showq(active=[job("1", "Running").replace(" User=", " Owner=")]), "no 'User'"),
        ("ERROR:    cannot connect to server\n", "not whole"),
    ],
)
def test_not_understood(text, words):
    with pytest.raises(ValueError, match=words):
        moab.parse_jobs(text)


@pytest.mark.parametrize(
    "words", ["ERROR:  invalid job specified (12)", "ERROR:    cannot locate job '12'"]
)
def test_gone(words):
    assert moab.GONE.search(words)
    assert not moab.GONE.search("ERROR:  user 'eve' is not authorized to cancel job '12'")


def test_capacity_is_not_known():
    assert moab.parse_capacity() == {}
