"""Slurm: squeue and sinfo.

A job's name is its owner's choice and may hold anything, line ends and separators too. So the name
stands last, and each record begins with a mark that nobody can know beforehand; the wrapper makes
it anew for each query and hands it on as the character RECORD.
"""

import re

from . import ENDED, HELD, PENDING, RUNNING, Job, Queue

RECORD = "\x1e"

HEAD = re.compile(r"JOBID\|USER\|.*\|NAME\n")

GONE = re.compile(r"(?i)invalid job id|already completing|already completed")

STATES = {
    PENDING: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT",
    RUNNING: "RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    ENDED: "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED"
    " TIMEOUT LAUNCH_FAILED POWER_UP_NODE EXPIRED",
}
HOLD = re.compile(r"(?i)held|hold")
STATE = {word: state for state, words in STATES.items() for word in words.split()}


def parse_jobs(jobs):
    """squeue, format `%i|%u|%T|%B|%P|%C|%S|%r|%j`, by priority."""
    before, *records = jobs.split(RECORD)
    # Without its head line an answer that got lost would be one without a job.
    if before or not records or not HEAD.fullmatch(records[0]):
        raise ValueError(f"squeue's answer is not understood: {jobs[:100]!r}")
    return [parse_job(record) for record in records[1:]]


def parse_job(record):
    fields = record.split("|", 8)
    if len(fields) != 9 or not record.endswith("\n"):
        raise ValueError(f"squeue's line is not whole: {record[:100]!r}")
    job, user, word, host, queue, cores, start, reason, name = fields
    if not re.match(r"\d", job) or word not in STATE:
        raise ValueError(f"squeue's line is not understood: {record[:100]!r}")
    state = STATE[word]
    if state == PENDING and HOLD.search(f"{word} {reason}"):
        state = HELD
    return Job(
        id=job,
        name=name[:-1],
        user=user,
        state=state,
        host=host if state == RUNNING and host != "n/a" else "",
        queue=queue,
        reason=word if state == ENDED else reason if reason != "None" else "",
        cores=int(cores) if cores.isdigit() else 0,
        start=float(start) if state == PENDING and start.isdigit() else None,
    )


def parse_capacity(partitions):
    """sinfo, format `%R|%a|%C`: cores allocated, idle, other and in total."""
    queues = {}
    for line in partitions.splitlines():
        match = re.fullmatch(r"([^|]+)\|(\w+)\|(\d+)/(\d+)/(\d+)/(\d+)", line)
        if not match:
            raise ValueError(f"sinfo's line is not understood: {line[:100]!r}")
        name, available = match[1], match[2]
        queues[name] = Queue(name, int(match[6]), int(match[4]), available == "up")
    return queues


# Why a job waits, is held, or has ended: the beginning of Slurm's word -> what it means.
REASONS = {
    "Resources": "It is the next in line and starts as soon as enough cores and memory are free.",
    "Priority": "Jobs with a higher priority are before it. It starts when it is its turn.",
    "None": "The scheduler has not looked at it yet.",
    "Nodes required for job are DOWN": "The nodes it needs are down or reserved for others. "
    "Wait, choose a profile of another partition, or ask the cluster's administrators.",
    "ReqNodeNotAvail": "The nodes it needs are down, reserved or in maintenance. Wait, or choose a "
    "profile of another partition.",
    "PartitionDown": "The partition is closed at the moment. Choose a profile of another one.",
    "PartitionInactive": "The partition is closed at the moment. Choose a profile of another one.",
    "PartitionTimeLimit": "It asks for more time than the partition allows. Choose less time.",
    "PartitionNodeLimit": "It asks for more than the partition has. Choose a smaller profile.",
    "PartitionConfig": "It asks for more than the partition allows. Choose a smaller profile.",
    "JobHeldAdmin": "An administrator holds it. Ask the cluster's administrators why.",
    "JobHeldUser": "It is held by its owner: scontrol release lets it go on.",
    "BeginTime": "It waits for its begin time; a job that had to be started again waits about two "
    "minutes.",
    "Dependency": "It waits for another job.",
    "Licenses": "It waits for a licence that is in use.",
    "Reservation": "It waits for its reservation to begin.",
    "AssocGrpCPUMinutesLimit": "The group's CPU allocation is used up. Ask the group's manager for "
    "more, or choose a profile of another account.",
    "AssocGrpCPURunMinutesLimit": "The group's running jobs have reserved its CPU allocation. Wait "
    "until some end, or choose less time.",
    "AssocGrp": "The group uses all that it may use at once. It starts when other jobs of the "
    "group end.",
    "AssocMaxJobs": "You have as many running jobs as you may. It starts when another one ends.",
    "AssocMax": "It asks for more than your account allows. Choose a smaller profile.",
    "QOSGrpCPUMinutesLimit": "The CPU allocation of this quality of service is used up. Choose "
    "another profile, or ask for more.",
    "QOSGrp": "The quality of service is fully used. It starts when other jobs end.",
    "QOSMaxJobsPerUser": "You have as many running jobs as you may. It starts when another one "
    "ends.",
    "QOSMaxCpuPerUser": "Your running jobs use all cores that you may use. It starts when another "
    "one ends.",
    "QOSMax": "It asks for more than the quality of service allows. Choose a smaller profile.",
    "QOSNotAllowed": "Your account may not use this quality of service. Choose another profile.",
    "InvalidAccount": "The account to charge is not known to the scheduler. Choose another "
    "profile, or ask the cluster's administrators.",
    "InvalidQOS": "The quality of service is not known to the scheduler. Choose another profile.",
    "launch failed requeued held": "It could not be launched and is held. Ask the cluster's "
    "administrators.",
    "BOOT_FAIL": "Its node did not boot. Start again.",
    "CANCELLED": "It was cancelled: by you, or by an administrator.",
    "COMPLETED": "It ended by itself.",
    "DEADLINE": "It could not be completed before its deadline.",
    "FAILED": "It ended with an error.",
    "NODE_FAIL": "Its node failed. Start again.",
    "OUT_OF_MEMORY": "It needed more memory than it had asked for. Choose a profile with more.",
    "PREEMPTED": "It had to make room for another job. Start again.",
    "TIMEOUT": "Its time was up.",
}


def explain(job):
    """Why a job waits or has ended, in words for people; empty where there is nothing to say."""
    fitting = [word for word in REASONS if job.reason.startswith(word)]
    return REASONS[max(fitting, key=len)] if fitting else ""
