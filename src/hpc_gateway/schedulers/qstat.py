"""What the commands of PBS, of Torque and of Slurm's package of that name share.

They print blocks. A block begins with a line of its own, such as `Job Id: 12.server`, and ends with
an empty one; between them stand attributes, `    name = value`. What is too long goes on behind a
line end and a tab. Slurm's begin with `Job Id:<tab>12`, and each attribute with a tab.

Some values are whatever a user likes, variables with line ends in them for instance, and some
versions print them as they are. So a user can forge a job. Nobody can take one away, though: where
a job is listed twice, the answer is not taken at all.
"""

import re
import time

from . import ENDED, HELD, PENDING, RUNNING, Job

STATES = {
    **dict.fromkeys("QWTM", PENDING),
    "H": HELD,
    # Exiting, suspended, an array that has begun.
    **dict.fromkeys("RESUB", RUNNING),
    **dict.fromkeys("CFX", ENDED),
}
# Slurm's know six states; for all others, such as too little memory, they say U.
SLURM_STATES = {"Q": PENDING, "R": RUNNING, "S": RUNNING, "C": ENDED, "U": ENDED}

# From these on, a block may hold lines of a user's.
FREE = {"Variable_List", "Submit_arguments", "submit_args", "Account_Name", "executable", "comment"}


def blocks(text, heading):
    """(name, attributes, whether they are Slurm's) of each block; `heading` matches its name."""
    if text and not text.endswith("\n\n"):
        raise ValueError(f"the answer is not whole: {text[-100:]!r}")
    found, last, free = [], None, False
    # Only these line ends count: a carriage return, say, belongs to a value.
    for line in text.split("\n"):
        if match := re.fullmatch(heading, line):
            last, free = None, False
            found.append((match[1], {}, ":\t" in line))
            continue
        if not line:
            continue
        if not found:
            raise ValueError(f"the answer begins with {line[:100]!r}")
        _, attributes, slurm = found[-1]
        if line[0] == "\t" and not slurm:
            if last:
                attributes[last] += line[1:]
        elif match := re.fullmatch(r"\t([\w.]+) = (.*)" if slurm else r" +([\w.:-]+) = (.*)", line):
            last = match[1]
            free = free or last in FREE
            # The first of a name is the scheduler's own.
            if last in attributes:
                last = None
            else:
                attributes[last] = match[2]
        elif not free:
            raise ValueError(f"{found[-1][0]}: the line {line[:100]!r} is not understood")
    return found


def parse_jobs(text):
    """The jobs of `qstat -f`, in the scheduler's order."""
    return unique(job(*block) for block in blocks(text, r"Job Id:[ \t](\S+)"))


def unique(jobs):
    jobs = list(jobs)
    seen = set()
    for one in jobs:
        if one.id in seen:
            raise ValueError(f"job {one.id} is listed twice: the values of some job forge it")
        seen.add(one.id)
    return jobs


def job(name, attributes, slurm=False):
    try:
        letter = attributes["job_state"]
        state = (SLURM_STATES if slurm else STATES)[letter]
        title, owner = attributes["Job_Name"], attributes["Job_Owner"]
    except KeyError as error:
        raise ValueError(f"job {name} has no known {error}") from None
    host = re.match(r"\(?([\w.-]+)", attributes.get("exec_host", ""))
    return Job(
        id=name,
        name=title,
        user=owner.partition("@")[0],
        state=state,
        host=host[1] if host and state == RUNNING else "",
        queue=attributes.get("queue", "").partition("@")[0],
        reason=reason(state, attributes),
        cores=cores(attributes),
        start=moment(attributes.get("estimated.start_time", "")) if state == PENDING else None,
    )


def reason(state, attributes):
    if state == RUNNING:
        return ""
    if state == ENDED:
        status = attributes.get("exit_status", attributes.get("Exit_status"))
        return f"exit_status {status}" if status else ""
    said = attributes.get("comment", "")
    if state == HELD and not said and "Hold_Types" in attributes:
        said = f"Hold_Types = {attributes['Hold_Types']}"
    return said


def cores(attributes):
    """ncpus of PBS, procs or nodes of Torque: `1:ppn=2`, or `node1:ppn=4+2:ppn=8`."""
    for name in ("ncpus", "procs"):
        number = attributes.get(f"Resource_List.{name}", "")
        if number.isdigit():
            return int(number)
    total = 0
    for part in filter(None, attributes.get("Resource_List.nodes", "").split("+")):
        count = part.partition(":")[0]
        each = re.search(r"\bppn=(\d+)", part)
        total += (int(count) if count.isdigit() else 1) * (int(each[1]) if each else 1)
    return total


def moment(text):
    """Seconds since 1970 of a time as these commands print it: that of this machine."""
    try:
        return time.mktime(time.strptime(text))
    except (ValueError, OverflowError):
        return None


# Why a job waits, is held, or has ended: part of the scheduler's words -> what they mean.
REASONS = {
    "can never run": "No node can ever give what it asks for ({resource}). Stop it and choose a "
    "smaller profile.",
    "too many failed attempts": "It could not be started several times, and is held. Stop it, and "
    "tell the cluster's administrators.",
    "failed to run": "The scheduler could not run it and tries again. If it goes on, tell the "
    "cluster's administrators.",
    "pbs error": "The scheduler could not run it and tries again. If it goes on, tell the "
    "cluster's administrators.",
    "insufficient amount": "It starts as soon as enough of what it asks for ({resource}) is free. "
    "A smaller profile may start sooner.",
    "too few free resources": "It starts as soon as enough is free on one node. A smaller profile "
    "may start sooner.",
    "exclusive node": "It needs a node of its own, and all are in use. It starts when one is free.",
    "not enough total nodes": "The cluster has not enough nodes for it. Choose a smaller profile.",
    "not enough": "All nodes that suit it are in use. It starts when one is free.",
    "no available resources": "All nodes are in use. It starts when enough is free.",
    "job limit": "The limit of jobs that may run at once is reached. It starts when another one "
    "ends.",
    "limit": "It would exceed a limit of yours, of your group's, or of the queue's. It starts when "
    "other jobs end.",
    "not started": "The queue is closed at the moment. Choose a profile of another one.",
    "dedicated time": "The cluster is reserved soon, for maintenance for instance. A profile with "
    "less time may start before.",
    "prime": "It waits for the hours in which its queue starts jobs, or would not end within them. "
    "A profile with less time may start before.",
    "reservation": "The nodes are kept for others. A profile with less time may start before.",
    "starving": "Another job has waited for very long, and the nodes are kept for it. It starts "
    "after that.",
    "license": "It waits for a licence that is in use.",
    "hold_types = u": "It is held by its owner: qrls lets it go on.",
    "hold_types": "An administrator or the scheduler holds it. Ask the cluster's administrators "
    "why.",
}
RESOURCES = {"ncpus": "cores", "mem": "memory", "ngpus": "GPUs", "walltime": "time"}

# Numbers above 128 and 256 are those of the signal that ended it.
STATUSES = {
    "0": "It ended by itself.",
    **dict.fromkeys(["143", "271"], "It was cancelled, or its time was up."),
    **dict.fromkeys(
        ["137", "265", "-10"],
        "It was killed, perhaps since it needed more memory than it had asked for. Choose a "
        "profile with more.",
    ),
    # Of Torque and of PBS.
    **dict.fromkeys(["-11", "-29"], "Its time was up."),
}


def explain(job):
    """Why a job waits or has ended, in words for people; empty where there is nothing to say."""
    if status := re.fullmatch(r"exit_status (-?\d+)", job.reason):
        could_not = "The scheduler could not run it. Start again; if that fails as well, tell the "
        other = could_not + "cluster's administrators." if status[1][0] == "-" else ""
        return STATUSES.get(status[1], other or "It ended with an error.")
    said = job.reason.lower()
    meaning = next((REASONS[words] for words in REASONS if words in said), "")
    resource = re.search(r"resource:? (\w+)", said)
    return meaning.format(
        resource=RESOURCES.get(resource[1], resource[1]) if resource else "all together"
    )
