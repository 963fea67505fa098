"""LSF: bjobs, bqueues and bhosts, as JSON (LSF 10.1 with fix pack 2, or later)."""

import json
import re
import time

from . import ENDED, HELD, PENDING, RUNNING, Job, Queue

GONE = re.compile(r"(?i)no matching job found|job has already finished|job <\S+> is not found")

# What bjobs says, as an error even, when there is no job at all.
EMPTY = re.compile(r"(?i)^no (?:unfinished |matching )?job found")

STATES = {
    **dict.fromkeys(["PEND", "WAIT", "PROV"], PENDING),
    "PSUSP": HELD,
    # UNKWN: its host does not answer.
    **dict.fromkeys(["RUN", "USUSP", "SSUSP", "UNKWN"], RUNNING),
    **dict.fromkeys(["DONE", "EXIT", "ZOMBI"], ENDED),
}


def records(text, count):
    """The records of an answer, as many as it says they are."""
    try:
        # Control characters in names are printed as they are.
        answer = json.loads(text, strict=False)
        found, number = [dict(record) for record in answer["RECORDS"]], int(answer[count])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not whole, or not JSON: {error}: {text[-100:]!r}") from None
    if len(found) != number:
        raise ValueError(f"{len(found)} records instead of {number}")
    return [{name: str(value) for name, value in record.items()} for record in found]


def parse_jobs(text):
    """`bjobs -u all -a -json`, with at least the fields that job() needs."""
    if not text.strip() or EMPTY.search(text.strip()):
        return []
    jobs = [job(record) for record in records(text, "JOBS")]
    if len({one.id for one in jobs}) != len(jobs):
        raise ValueError("a job is listed twice")
    return jobs


def job(record):
    try:
        number, user, name = record["JOBID"], record["USER"], record["JOB_NAME"]
        word = record["STAT"]
        state = STATES[word]
    except KeyError as error:
        raise ValueError(f"not understood: {error} of {str(record)[:200]}") from None
    if record.get("JOBINDEX", "0") not in ("0", ""):
        number = f"{number}[{record['JOBINDEX']}]"
    # `4*node1:2*node2`
    host = re.match(r"(?:\d+\*)?([\w.-]+)", record.get("EXEC_HOST", ""))
    cores = record.get("SLOTS", "")
    said = record.get("EXIT_REASON" if state == ENDED else "PEND_REASON", "").strip("-")
    return Job(
        id=number,
        name=name,
        user=user,
        state=state,
        host=host[1] if host and host[1] != "-" and state == RUNNING else "",
        queue=record.get("QUEUE", ""),
        reason="" if state == RUNNING else said or word.replace("PEND", ""),
        cores=int(cores) if cores.isdigit() else 0,
        start=moment(record.get("ESTIMATED_START_TIME", "")) if state == PENDING else None,
    )


def moment(text, now=None):
    """Seconds since 1970 of `Nov 24 13:50`, a time of this machine's without its year."""
    match = re.match(r"(\w{3} +\d+ \d\d:\d\d)(?::\d\d)?( \d{4})?", text)
    if not match:
        return None
    now = now or time.time()
    year = match[2] or f" {time.localtime(now).tm_year}"
    try:
        moment = time.mktime(time.strptime(match[1] + year, "%b %d %H:%M %Y"))
        if not match[2] and moment < now - 180 * 86400:
            moment = time.mktime(time.strptime(f"{match[1]} {int(year) + 1}", "%b %d %H:%M %Y"))
    except ValueError:
        return None
    return moment


def parse_capacity(queues="", hosts=""):
    """`bqueues -json` and `bhosts -json`: slots, as many as the queue's limit and the hosts allow.

    Which queue has which hosts they do not say in a form that is the same everywhere.
    """
    if not queues.strip() or not hosts.strip():
        return {}
    all_slots = all_free = 0
    for host in records(hosts, "HOSTS"):
        slots = number(host, "MAX")
        all_slots += slots
        if host.get("STATUS") == "ok":
            all_free += max(0, slots - number(host, "NJOBS"))
    result = {}
    for queue in records(queues, "QUEUES"):
        name, status = queue.get("QUEUE_NAME"), queue.get("STATUS", "")
        if not name:
            raise ValueError(f"a queue without a name: {str(queue)[:200]}")
        total, free = all_slots, all_free
        if queue.get("MAX", "-").isdigit():
            used = sum(number(queue, word) for word in ("RUN", "SUSP", "RSV"))
            total = min(total, number(queue, "MAX"))
            free = min(free, max(0, number(queue, "MAX") - used))
        result[name] = Queue(name, total, free, status == "Open:Active")
    return result


def number(record, name):
    text = record.get(name, "-")
    return int(text) if text.isdigit() else 0


# Part of LSF's words -> what they mean.
REASONS = {
    "new job is waiting": "The scheduler has not looked at it yet.",
    "suspended by the user": "It is held by its owner: bresume lets it go on.",
    "suspended by lsf admin": "An administrator holds it. Ask the cluster's administrators why.",
    "psusp": "It is held. Where it was not you, ask the cluster's administrators why.",
    "job slot limit": "The limit of jobs that may run at once is reached, yours, your group's, or "
    "the queue's. It starts when other jobs end.",
    "limit has been reached": "A limit of yours, your group's, or the queue's is reached. It "
    "starts when other jobs end.",
    "not enough": "It starts as soon as enough is free. A smaller profile may start sooner.",
    "resource requirements not satisfied": "No node has enough free of what it asks for. It starts "
    "when one has; a smaller profile may start sooner.",
    "queue has been closed": "The queue is closed at the moment. Choose a profile of another one.",
    "inactivated": "The queue is closed at the moment. Choose a profile of another one.",
    "dispatch window": "It waits for the hours in which the queue starts jobs.",
    "run window": "It waits for the hours in which the queue starts jobs.",
    "closed by lsf administrator": "The nodes are closed at the moment. Wait, or choose a profile "
    "of another queue.",
    "reserved": "The nodes are kept for others. A profile with less time may start before.",
    "dependency": "It waits for another job.",
    "term_runlimit": "Its time was up.",
    "term_memlimit": "It needed more memory than it had asked for. Choose a profile with more.",
    "term_swap": "It needed more memory than it had asked for. Choose a profile with more.",
    "term_owner": "It was cancelled.",
    "term_admin": "An administrator cancelled it.",
    "term_preempt": "It had to make room for another job. Start again.",
    "term_": "The scheduler ended it. Start again; if that fails as well, tell the administrators.",
    "done": "It ended by itself.",
    "exit": "It ended with an error.",
    "zombi": "Its node does not answer any more. Start again.",
}


def explain(job):
    """Why a job waits or has ended, in words for people; empty where there is nothing to say."""
    said = job.reason.lower()
    return next((REASONS[words] for words in REASONS if words in said), "")
