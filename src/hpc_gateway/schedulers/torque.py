"""Torque: qstat and pbsnodes, as XML. What Slurm's commands of these names print is text."""

import re

from . import Queue, qstat
from .markup import document
from .qstat import explain

__all__ = ["GONE", "explain", "parse_capacity", "parse_jobs"]

# One that is ending needs no cancelling.
GONE = re.compile(r"(?i)unknown job id|invalid state for job - (?:complete|exiting)")

CLOSED = re.compile(r"down|offline|unknown")


def parse_jobs(text):
    """`qstat -x`, of everybody's jobs; or `qstat -f`. Some versions print nothing for no job."""
    if not text.lstrip().startswith("<"):
        return qstat.parse_jobs(text)
    jobs = []
    for element in document(text, "Data"):
        attributes = values(element)
        if element.tag != "Job" or not attributes.get("Job_Id"):
            raise ValueError(f"qstat's {element.tag} is not a job")
        jobs.append(qstat.job(attributes["Job_Id"], attributes))
    return qstat.unique(jobs)


def values(element):
    """Text by tag; of nested ones by both tags."""
    result = {}
    for child in element:
        result.setdefault(child.tag, (child.text or "").strip())
        for inner in child:
            result.setdefault(f"{child.tag}.{inner.tag}", (inner.text or "").strip())
    return result


def parse_capacity(queues="", nodes=""):
    """`qstat -Q -f` and `pbsnodes -x`: the cores of the nodes that a queue's jobs may run on."""
    found = [values(node) for node in document(nodes, "Data")] if nodes.strip() else []
    result = {}
    for name, queue, _ in qstat.blocks(queues, r"Queue:[ \t](\S+)"):
        if queue.get("queue_type", "Execution") != "Execution":
            continue
        wanted = queue.get("resources_default.neednodes")
        own = [
            node
            for node in found
            if not wanted or wanted in [node.get("name"), *node.get("properties", "").split(",")]
        ]
        total = sum(int(node.get("np", "0")) for node in own)
        up = all(queue.get(word, "").lower() in ("true", "yes") for word in ("enabled", "started"))
        if own:
            result[name] = Queue(name, total, sum(free(node) for node in own), up)
    return result


def free(node):
    """Cores without a job: `jobs` is `0/12.server, 1/12.server`, or `0-1/12.server`."""
    if "state" not in node:
        raise ValueError("a node has no state")
    if CLOSED.search(node["state"].lower()):
        return 0
    used = 0
    for cores in re.findall(r"([\d,-]+)/", node.get("jobs", "")):
        for part in filter(None, cores.split(",")):
            first, _, last = part.partition("-")
            used += int(last or first) - int(first) + 1
    return max(0, int(node.get("np", "0")) - used)
