"""Grid Engine: qstat, as XML. It prints XML and no failure where its master does not answer, too.

An answer cut off within is not XML, and one of another kind has another root.
"""

import re

from . import ENDED, HELD, PENDING, RUNNING, Job, Queue
from .markup import document

# qdel's words, of jobs that have ended as well.
GONE = re.compile(r'(?i)\bjob "?[\w.-]+"? (?:of user\(s\) \S+ )?does not exist')

# Those of qstat's lists. Of the jobs that wait, the letters tell which are held (hqw), and which
# could not be started (Eqw); neither goes on by itself.
STATES = {"running": RUNNING, "pending": PENDING, "zombie": ENDED}

# Said once for all jobs that wait and of which nothing else is said.
NO_QUEUE = re.compile(r"(?i)all queues dropped|all queue instances are overloaded or full")
DROPPED = re.compile(r'queue instance ".*" dropped because it is ([a-z ]+)')
# Said of every other queue where a job asks for one.
OTHER_QUEUE = "hard queue list"


def parse_jobs(jobs, messages=None):
    """`qstat -xml -u * -s prsz`, those that wait by priority; `qstat -j -xml`, why they wait."""
    root = document(jobs, "job_info")
    if root.find("queue_info") is None or root.find("job_info") is None:
        raise ValueError("qstat's answer has no list of jobs")
    own, common = ({}, "") if messages is None else why(messages)
    return [job(element, queue, own, common) for element, queue in listed(root)]


def listed(root):
    """Each job, and the queue it stands under where a site has `-f` among its defaults."""
    queue = ""
    for element in root.iter():
        if element.tag == "Queue-List":
            queue = text(element, "name")
        elif element.tag == "job_info":
            queue = ""
        elif element.tag == "job_list":
            yield element, queue


def job(element, queue, own, common):
    number, letters = text(element, "JB_job_number"), text(element, "state")
    state = STATES.get(element.get("state"))
    if not number.isdigit() or state is None:
        raise ValueError(f"job {number} is in the state {element.get('state')!r}, {letters!r}")
    reason = own.get(number, common) if state == PENDING else ""
    if state == PENDING and set(letters) & {"h", "E"}:
        state = HELD
        reason = own.get(number) or f"{'error' if 'E' in letters else 'hold'} state {letters}"
    queue, _, host = (text(element, "queue_name", "") or queue).partition("@")
    return Job(
        id=number,
        # With -r among a site's defaults there are both.
        name=text(element, "full_job_name", text(element, "JB_name")),
        user=text(element, "JB_owner"),
        state=state,
        host=host if state == RUNNING else "",
        queue=queue,
        reason=reason,
        cores=int(text(element, "slots")),
    )


def text(element, tag, otherwise=None):
    found = element.findtext(tag, otherwise)
    if found is None:
        raise ValueError(f"a {element.tag} of qstat's has no {tag}")
    return found.strip()


def why(messages):
    """Messages by job, and the one for all others that wait. Empty where a site collects none."""
    own, dropped, no_queue = {}, set(), ""
    # Numbers of messages differ between versions, the words hardly.
    for message in document(messages, "message").iter():
        words = message.findtext("MES_message", "").strip()
        if not words:
            continue
        for number in message.iter("ULNG_value"):
            reasons = own.setdefault((number.text or "").strip(), [])
            if words not in reasons:
                reasons.append(words)
        if match := DROPPED.search(words):
            dropped.add(match[1].strip())
        elif NO_QUEUE.search(words):
            no_queue = words
    if no_queue and dropped and not dropped & {"full", "overloaded"}:
        # The general word is said of queues that are closed, too.
        no_queue = f"All queues dropped because they are {' or '.join(sorted(dropped))}"
    return {number: joined(reasons) for number, reasons in own.items()}, no_queue


def joined(reasons):
    telling = [words for words in reasons if OTHER_QUEUE not in words]
    return "; ".join(telling or reasons)


def parse_capacity(queues):
    """`qstat -g c -xml`: slots by queue. Queues that share nodes count these for each."""
    root = document(queues, "job_info")
    return {queue.name: queue for queue in map(summary, root.iter("cluster_queue_summary"))}


def summary(element):
    free, total = int(text(element, "available")), int(text(element, "total"))
    # In an alarm, or without an answer; a slot may count as both.
    closed = max(int(text(element, tag)) for tag in ("temp_disabled", "manual_intervention"))
    return Queue(text(element, "name"), total, free, free > 0 or closed < total)


# Part of the scheduler's words, the more telling first -> what they mean.
REASONS = {
    "error state": "It could not be started and does not go on. Stop it and start again; if that "
    "does not help, ask the cluster's administrators: `qstat -j` names the error.",
    "execution time": "It waits for its begin time.",
    "dependencies": "It waits for another job.",
    "hold state": "It is held. Its owner may let it go on by `qrls`, an administrator otherwise.",
    "limit in r": "You, or your group, use all that a quota of the site allows. It starts when "
    "other jobs end; a smaller profile may start sooner.",
    "user limitations": "You have as many running jobs as you may. It starts when another one "
    "ends.",
    "project": "Its project may not use these queues. Choose another profile, or ask the cluster's "
    "administrators.",
    "access permissions": "You may not use these queues. Choose another profile, or ask the "
    "cluster's administrators.",
    "no access to pe": "You may not use the parallel environment. Ask the cluster's "
    "administrators.",
    "queue list of pe": "The queue does not have the parallel environment. Tell the hub's "
    "administrators.",
    "calendar": "The queue is closed before the job would end. Choose less time, or another "
    "profile.",
    "reserv": "The nodes it needs are reserved. A profile with less time may start before.",
    "job filter": "Many jobs that ask for the same are before it. It starts when it is its turn.",
    "available slots combined": "No node has as many free cores as it asks for. It waits for "
    "them; with fewer cores it may start sooner.",
    "insufficient slots": "No node has as many free cores as it asks for. It waits for them; with "
    "fewer cores it may start sooner.",
    "no host can satisfy": "No node has what it asks for at the moment. If it does not start, "
    "choose less memory or a smaller profile.",
    "not available for parallel": "No node has what it asks for at the moment. If it does not "
    "start, choose less memory or a smaller profile.",
    "resource requirements": "The queue does not allow what it asks for. Choose less time or "
    "memory, or a profile of another queue.",
    "hard queue list": "The queue it asks for does not take it. Choose another profile.",
    "full": "All cores are in use. It starts when other jobs end and it is its turn.",
    "overload": "The nodes are busy. It starts when other jobs end and it is its turn.",
    "because they are": "The queues are closed, or their nodes are down. It starts when they are "
    "open again.",
}


def explain(job):
    """Why a job waits, in words for people; empty where there is nothing to say."""
    said = job.reason.lower()
    return next((REASONS[words] for words in REASONS if words in said), "")
