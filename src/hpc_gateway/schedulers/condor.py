"""HTCondor: condor_q and condor_status, both with -xml.

XML, since it has an end even where there is nothing to list, and is plain ASCII whatever users put
into their jobs. HTCondor has no queues: the whole pool is the one without a name.
"""

import re

from . import ENDED, HELD, PENDING, RUNNING, Job, Queue
from .markup import document

# Of condor_rm with, and without, the number of the process; the latter says it of jobs of others
# as well.
GONE = re.compile(
    r"(?i)job \d+\.\d+ (?:not found|already marked for removal)"
    r"|couldn't find/remove all jobs in cluster \d+"
)

# By JobStatus. One that is removed (3) runs as long as it has a host, one that sends its output (6)
# or is suspended (7) still does.
REMOVED = 3
STATES = {1: PENDING, 2: RUNNING, REMOVED: ENDED, 4: ENDED, 5: HELD, 6: RUNNING, 7: RUNNING}
# Where each says why.
REASON = {1: "LastRejMatchReason", REMOVED: "RemoveReason", 5: "HoldReason"}

# A machine that takes no jobs.
CLOSED = {"Owner", "Drained"}

ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def parse_jobs(jobs):
    """condor_q, by the time of submission: which user is next is decided anew in each round."""
    return [parse_job(ad) for ad in sorted(ads(jobs), key=lambda ad: get(ad, "QDate", 0))]


def parse_job(ad):
    cluster, process = need(ad, "ClusterId", int), need(ad, "ProcId", int)
    status, host = get(ad, "JobStatus", 0), get(ad, "RemoteHost", "").rpartition("@")[2]
    state = STATES.get(status)
    # Owners can change all but the number and the owner of a job (condor_qedit), the state too:
    # whatever it is, the job is there.
    if state is None or (status == REMOVED and host):
        state = RUNNING if host else PENDING
    return Job(
        # condor_submit answers with the cluster alone; ours have one process.
        id=f"{cluster}.{process}" if process else f"{cluster}",
        name=get(ad, "JobBatchName", ""),
        user=need(ad, "Owner", str),
        state=state,
        host=host if state == RUNNING else "",
        reason=reason(ad, state, status),
        # Some ask for an expression.
        cores=get(ad, "RequestCpus", 0),
    )


def reason(ad, state, status):
    if state == RUNNING:
        return ""
    if status in REASON:
        return get(ad, REASON[status], "").strip()
    name = "ExitSignal" if get(ad, "ExitBySignal", False) else "ExitCode"
    return f"{name} {get(ad, name, 0)}" if state == ENDED and name in ad else ""


def parse_capacity(slots):
    """condor_status, without dynamic slots, which are what is taken of the partitionable ones."""
    total = free = 0
    is_up = False
    for ad in ads(slots):
        cores, state = need(ad, "Cpus", int), need(ad, "State", str)
        is_partitionable = need(ad, "SlotType", str) == "Partitionable"
        total += need(ad, "TotalSlotCpus", int) if is_partitionable else cores
        if state not in CLOSED:
            is_up = True
            free += cores if is_partitionable or state == "Unclaimed" else 0
    return {"": Queue("", total, free, is_up)}


def ads(text):
    """What is listed, each as a dict of its attributes."""
    try:
        return [
            {attribute.attrib["n"]: value(attribute[0]) for attribute in ad}
            for ad in document(text, "classads")
        ]
    except (LookupError, TypeError) as error:
        raise ValueError(f"HTCondor's XML is not understood: {error!r}") from None


def need(ad, name, kind):
    """An attribute without which the rest means nothing."""
    if not isinstance(ad.get(name), kind):
        raise ValueError(f"HTCondor's {name} is not understood: {ad}")
    return ad[name]


def get(ad, name, instead):
    """An attribute; something instead of one that is not there, or of another kind."""
    return ad[name] if isinstance(ad.get(name), type(instead)) else instead


def value(element):
    if element.tag == "i":
        return int(element.text)
    if element.tag == "b":
        return element.attrib["v"] == "t"
    if element.tag == "s":
        return ESCAPE.sub(unescaped, (element.text or "").encode()).decode(errors="replace")
    # An expression, undefined: nothing that is used here.
    return None


def unescaped(match):
    """The byte that an escape stands for: text is UTF-8, each byte of it a number of base 8."""
    if match[1].isdigit():
        return bytes([int(match[1], 8)])
    return ESCAPED.get(match[1], match[1])


# Why a job waits, is held, or has ended: what HTCondor says -> what it means.
REASONS = {
    "no match found": "No machine takes it at the moment: those that fit are in use, or none is "
    "large enough. If it waits for long, choose a smaller profile.",
    "PREEMPTION_REQUIREMENTS": "All machines that fit are in use. It starts when other jobs end.",
    "insufficient priority": "Jobs of people with a better priority are before it. It starts when "
    "it is its turn.",
    "submitter limit exceeded": "You or your group use all that you may use at once. It starts "
    "when another of these jobs ends.",
    "concurrency limit": "As many jobs of its kind run as may at once. It starts when one of them "
    "ends.",
    "memory limit|memory usage exceeded|OOM event": "It needed more memory than it had asked for. "
    "Choose a profile with more.",
    "as standard (output|error)": "Its output file cannot be written. If your home directory is "
    "not full, ask the cluster's administrators.",
    "initial working directory": "Its machine does not reach your home directory. Ask the "
    "cluster's administrators.",
    "Failed to execute": "Its machine could not start it. Ask the cluster's administrators.",
    "via condor_hold|on hold at user's request": "It is held, by you or by an administrator: "
    "condor_release lets it go on.",
    "exceeded allowed|attribute PeriodicRemove": "Its time was up.",
    "SYSTEM_PERIODIC": "A rule of the cluster stopped it. Ask the cluster's administrators.",
    "via condor_rm": "It was cancelled: by you, or by an administrator.",
    "ExitCode 0": "It ended by itself.",
    "ExitCode": "It ended with an error.",
    "ExitSignal": "It was killed, perhaps since its machine had no memory left.",
}


def explain(job):
    """Why a job waits or has ended, in words for people; empty where there is nothing to say."""
    return next((words for said, words in REASONS.items() if re.search(said, job.reason)), "")
