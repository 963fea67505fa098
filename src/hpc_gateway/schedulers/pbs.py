"""PBS Professional and OpenPBS: qstat and pbsnodes.

Their JSON is not used: with quotes or leading zeros in a variable, each version breaks it in its
own way. `qstat -f -w` writes each attribute on one line, line ends in its value included; what
versions before 20 print for `qstat -f` is understood as well.
"""

import re

from . import Queue, qstat
from .qstat import explain, parse_jobs

__all__ = ["GONE", "explain", "parse_capacity", "parse_jobs"]

GONE = re.compile(r"(?i)unknown job id|job has finished")

# A node in one of these states starts no jobs.
CLOSED = re.compile(r"down|offline|unknown|stale|provisioning|sleep|maintenance")


def parse_capacity(queues="", nodes=""):
    """`qstat -Q -f` and `pbsnodes -a`: the cores of the nodes that a queue has."""
    vnodes = [node for _, node, _ in qstat.blocks(nodes, r"(\S+)")]
    result = {}
    for name, queue, _ in qstat.blocks(queues, r"Queue:[ \t](\S+)"):
        if queue.get("queue_type", "Execution") != "Execution":
            # A routing queue has no nodes; its jobs run in another one.
            continue
        own = [node for node in vnodes if node.get("queue") == name]
        total, free = size(own or [node for node in vnodes if not node.get("queue")])
        up = all(queue.get(word, "").lower() in ("true", "yes") for word in ("enabled", "started"))
        if vnodes:
            result[name] = Queue(name, total, free, up)
    return result


def size(vnodes):
    """Cores in total, and free ones of nodes that start jobs."""
    total = free = 0
    for node in vnodes:
        if "state" not in node:
            raise ValueError("a node has no state")
        cores = number(node, "resources_available.ncpus")
        total += cores
        if not CLOSED.search(node["state"].lower()):
            free += max(0, cores - number(node, "resources_assigned.ncpus"))
    return total, free


def number(node, name):
    return int(node.get(name, "0"))
