#!/usr/bin/python
"""Ask the live batch systems what they grant: queues, their limits, accounts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: preflight_scheduler
short_description: Say what the live batch systems of a machine grant to jobs
description:
  - Asks each scheduler's own client for its queues and their limits. Submits nothing, changes
    nothing, in check mode or not, and waits 15 seconds at most.
  - Called through the action plugin of the same name, which fills in the options and judges the
    profiles by the answers.
options:
  clusters:
    description:
      - The batch systems to ask, each with C(name), C(scheduler), C(environment) of its client,
        C(path), directories that the client may be in, C(accounts), whether to ask for them, and
        C(tests), arguments of C(sbatch --test-only) by a name.
    type: list
    elements: dict
    required: true
author: JupyterHub HPC Gateway
"""

RETURN = """
answers:
  description:
    - By cluster, C(silent), why it gave no answer, or C(queues), C(accounts) and C(refused).
      Times are seconds, memory is bytes, what has no limit is none.
  type: dict
  returned: always
"""

PATIENCE = 15
PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/opt/pbs/bin", "/opt/slurm/bin")
UNLIMITED = ("infinite", "INFINITY", "UNLIMITED", "NONE", "n/a", "")
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
# What sbatch says of a job that no node or limit ever lets run. Root asks here, so that what it
# says of accounts, groups and quality of service is no news for the hub's users.
HOPELESS = re.compile(
    r"(?:Requested node configuration is not available|Requested time limit is invalid"
    r"|Memory required by task is not available|CPU count per node can not be satisfied"
    r"|More processors requested than permitted|Node count specification invalid"
    r"|Invalid feature|Invalid generic resource|Requested GRES option unsupported).*",
    re.IGNORECASE,
)


class Silent(Exception):
    """A scheduler gave no answer; the text says why."""


class Client:
    """The programs of one cluster's client, all of them together within one limit of time."""

    def __init__(self, path=(), environment=None, seconds=PATIENCE):
        """`path` is looked through first, and only `environment` says which cluster is meant."""
        own = os.environ.get("PATH", "").split(os.pathsep)
        # An empty one would be the directory this happens to run in.
        self.path = os.pathsep.join(filter(None, [*path, *own, *PATH]))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SBATCH_")}
        self.environment = {**kept, "LC_ALL": "C", **(environment or {})}
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def run(self, name, *arguments):
        """Run a program; return its exit code, output and error output."""
        program = shutil.which(name, path=self.path)
        if not program:
            raise Silent(f"{name} is not installed")
        try:
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=self.environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Silent(f"{name} does not run: {error.strerror}") from error
        try:
            output, errors = process.communicate(timeout=max(0.1, self.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            # Its children too: they would hold the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Silent(f"{name} gave no answer within {self.seconds} s") from None
        return process.returncode, output, errors

    def ask(self, name, *arguments):
        """Run a program that must succeed; return its output."""
        code, output, errors = self.run(name, *arguments)
        if code != 0:
            text = (errors or output).strip().splitlines() or [f"exit code {code}"]
            raise Silent(f"{name} failed: {text[0]}")
        return output


# Reading what they print


def seconds(text):
    """Return the seconds of [days-][[hours:]minutes:]seconds, None for no limit."""
    if text in UNLIMITED:
        return None
    days, _, rest = text.rpartition("-")
    total = 0
    for part in rest.split(":"):
        total = total * 60 + int(part)
    return int(days or 0) * 86400 + total


def size(text):
    """Return the bytes of an amount such as 8gb, 4G or 1048576, None for no limit."""
    if text in UNLIMITED:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kmgtp]?)b?", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"{text} is no amount of memory")
    return int(float(match[1]) * UNITS[match[2].lower()])


def queue(name, closed="", walltime=None, default=False, nodes=()):
    """Return a queue: why it takes no jobs if it does not, and kinds of nodes it has for a job."""
    kinds = [{"cpus": cpus, "memory": memory} for cpus, memory in nodes]
    return {
        "name": name,
        "closed": closed,
        "walltime": walltime,
        "default": default,
        "nodes": kinds,
    }


def parse_sinfo(output):
    """Return the partitions of `sinfo --exact --format=%P|%a|%l|%c|%m`: a line a kind of node."""
    found = {}
    for line in output.splitlines():
        name, state, limit, cpus, memory = line.split("|")
        plain = name.rstrip("*")
        one = found.setdefault(
            plain,
            queue(plain, "" if state == "up" else f"is {state}", seconds(limit), plain != name),
        )
        if int(cpus):
            one["nodes"].append({"cpus": int(cpus), "memory": int(memory) * 2**20})
    for one in found.values():
        one["closed"] = one["closed"] or ("" if one["nodes"] else "has no nodes")
    return list(found.values())


def parse_qconf(output):
    """Return the queues of `qconf -sq`. Values differ by host there: the largest ones count."""
    found = []
    for line in re.sub(r"\\\n\s*", "", output).splitlines():
        name, _, text = line.partition(" ")
        # VALUE,[HOST=VALUE],[HOST=VALUE]
        values = re.findall(r"(?:^|=)([^,\[\]=]+)", text.strip())
        if name == "qname":
            found.append(queue(text.strip(), nodes=[(None, None)]))
        elif name == "slots":
            found[-1]["nodes"][0]["cpus"] = most(map(int, values))
        elif name == "h_rt":
            found[-1]["walltime"] = most(map(seconds, values))
        elif name == "h_vmem":
            found[-1]["nodes"][0]["memory"] = most(map(size, values))
    return found


def parse_qstat(output):
    """Return the queues of `qstat -Q -f`, of PBS, Torque and what stands in for them."""
    found = []
    for line in output.splitlines():
        if line.startswith("Queue:"):
            found.append(queue(line.partition(":")[2].strip(), nodes=[(None, None)]))
        elif " = " in line and found:
            name, _, value = (part.strip() for part in line.partition(" = "))
            if name in ("enabled", "started") and value.lower() not in ("true", "yes"):
                found[-1]["closed"] = f"is not {name}"
            elif name == "resources_max.walltime":
                found[-1]["walltime"] = seconds(value)
            elif name == "resources_max.mem":
                found[-1]["nodes"][0]["memory"] = size(value)
            elif name in ("resources_max.ncpus", "resources_max.procct"):
                found[-1]["nodes"][0]["cpus"] = int(value)
    return found


def parse_condor_status(output):
    """Return all machines as one queue: what a slot has now, and as a whole, of each line."""
    kinds = set()
    for line in output.splitlines():
        cpus, memory, all_cpus, all_memory = (
            int(word) if word.isdigit() else 0 for word in line.split()
        )
        kinds.add((max(cpus, all_cpus), max(memory, all_memory) * 2**20))
    return [queue("", default=True, nodes=sorted(kinds))] if kinds else []


def most(values):
    """Return the largest limit, None where one of them is none at all."""
    values = list(values)
    return None if None in values or not values else max(values)


# Asking


def ask_slurm(client, cluster):
    """Ask Slurm, for accounts too, and whether it would take the jobs of the tests."""
    output = client.ask("sinfo", "--noheader", "--all", "--exact", "--format=%P|%a|%l|%c|%m")
    answer = {"queues": parse_sinfo(output)}
    try:
        for name, arguments in cluster.get("tests", {}).items():
            command = ["--test-only", "--chdir=/", *arguments, "--wrap=true"]
            if match := HOPELESS.search(client.run("sbatch", *command)[2]):
                answer.setdefault("refused", {})[name] = match[0]
        if cluster.get("accounts"):
            # Fails where there is no accounting, and then no account is asked for.
            code, output, _ = client.run("sacctmgr", "-nP", "show", "account", "format=Account")
            if code == 0 and output.strip():
                answer["accounts"] = output.split()
    except Silent:
        # The partitions are known at least.
        pass
    return answer


def ask_gridengine(client, _):
    """Ask Grid Engine."""
    names = client.ask("qconf", "-sql").split()
    return {"queues": parse_qconf(client.ask("qconf", "-sq", ",".join(names)))}


def ask_pbs(client, _):
    """Ask PBS or Torque."""
    return {"queues": parse_qstat(client.ask("qstat", "-Q", "-f"))}


def ask_condor(client, _):
    """Ask HTCondor."""
    words = ("Cpus", "Memory", "TotalSlotCpus", "TotalSlotMemory")
    return {"queues": parse_condor_status(client.ask("condor_status", "-af", *words))}


ASK = {
    "slurm": ask_slurm,
    "gridengine": ask_gridengine,
    "pbs": ask_pbs,
    "torque": ask_pbs,
    "condor": ask_condor,
}


def ask(cluster, patience=PATIENCE):
    """Return a cluster's answer, or why there is none."""
    client = Client(cluster.get("path", ()), cluster.get("environment"), patience)
    try:
        answer = ASK[cluster["scheduler"]](client, cluster)
    except Silent as reason:
        return {"silent": str(reason)}
    except (ValueError, IndexError) as error:
        return {"silent": f"its answer is not understood: {error}"}
    return answer if answer["queues"] else {"silent": "it shows no queue and no machine"}


def main():
    """Ask all clusters at once."""
    module = AnsibleModule(
        argument_spec={"clusters": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    clusters = module.params["clusters"]
    with ThreadPoolExecutor(max_workers=max(1, len(clusters))) as pool:
        answers = dict(zip([one["name"] for one in clusters], pool.map(ask, clusters), strict=True))
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
