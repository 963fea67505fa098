"""Moab: showq, as XML. Which classes have which nodes it does not say."""

import re

from . import ENDED, HELD, PENDING, RUNNING, Job
from .markup import document

# mjobctl's words.
GONE = re.compile(r"(?i)invalid job specified|cannot locate job|unable to locate job")

STATES = {
    **dict.fromkeys(["idle", "migrated", "staged", "notqueued", "requeued"], PENDING),
    **dict.fromkeys(["hold", "batchhold", "systemhold", "userhold", "deferred"], HELD),
    # An unknown job is one whose node or resource manager does not answer.
    **dict.fromkeys(["running", "starting", "suspended", "unknown"], RUNNING),
    # Still listed for a moment.
    **dict.fromkeys(["completed", "removed", "vacated", "cancelled"], ENDED),
}


def parse_jobs(text):
    """`showq --xml`: running, eligible and blocked jobs, each in the order of their priority."""
    data = document(text, "Data")
    if data.find("queue") is None:
        raise ValueError("showq's answer has no queue")
    jobs, seen = [], set()
    for queue in data.iter("queue"):
        for element in queue.iter("job"):
            found = job(element.attrib, queue.get("option"))
            if found.id in seen:
                raise ValueError(f"job {found.id} is listed twice")
            jobs.append(found)
            seen.add(found.id)
    return jobs


def job(attributes, option):
    try:
        word = attributes["State"].lower()
        number, user = attributes["JobID"], attributes["User"]
    except KeyError as error:
        raise ValueError(f"a job of showq's has no {error}") from None
    if word not in STATES:
        raise ValueError(f"job {number} is in the state {word!r}, which is not known")
    state = STATES[word]
    if attributes.get("Hold") and state == PENDING:
        state = HELD
    start = attributes.get("RsvStartTime", "")
    return Job(
        id=number,
        name=attributes.get("JobName", ""),
        user=user,
        state=state,
        host=attributes.get("MasterHost", "") if state == RUNNING else "",
        queue=attributes.get("Class", ""),
        reason="" if state == RUNNING else reason(attributes, option),
        cores=int(attributes.get("ReqProcs", "0")),
        start=float(start) if state == PENDING and start.isdigit() and int(start) else None,
    )


def reason(attributes, option):
    said = attributes.get("BlockReason") or attributes.get("Hold", "")
    state = attributes["State"]
    # A state says more than nothing, unless it is the usual one.
    return said or (state if state.lower() != "idle" else option if option == "blocked" else "")


def parse_capacity(*outputs):
    return {}


# Part of Moab's words -> what they mean.
REASONS = {
    "idlepolicy": "You have as many waiting jobs as are considered at once. It is its turn when "
    "another one starts.",
    "limit": "It would exceed a limit of yours, of your group's, or of the class. It starts when "
    "other jobs end.",
    "policy": "It would exceed a limit of yours, of your group's, or of the class. It starts when "
    "other jobs end.",
    "reservation": "The nodes are kept for others. A profile with less time may start before.",
    "deferred": "It could not be started, and is tried again later. A smaller profile may start "
    "sooner.",
    "batch": "The scheduler holds it, since it cannot run it. Ask the cluster's administrators "
    "why.",
    "system": "An administrator holds it. Ask the cluster's administrators why.",
    "user": "It is held by its owner: mjobctl -u lets it go on.",
    "hold": "An administrator or the scheduler holds it. Ask the cluster's administrators why.",
    "blocked": "It is not considered at the moment. `checkjob` says why.",
    "completed": "It ended by itself.",
    "removed": "It was cancelled, or its time was up.",
    "cancelled": "It was cancelled.",
}


def explain(job):
    """Why a job waits or has ended, in words for people; empty where there is nothing to say."""
    said = job.reason.lower()
    return next((REASONS[words] for words in REASONS if words in said), "")
