"""What profiles ask for, against what the live schedulers answered; the asking is a module's."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from .batch import walltime
from .fields import FIELDS
from .problems import MISSING, Instance, Path, suggestion

# Schedulers that can be asked, and the options that name a queue there, the first one first.
ASKED: dict[str, tuple[str, ...]] = {
    "slurm": ("req_partition", "req_queue"),
    "gridengine": ("req_queue",),
    "pbs": ("req_queue",),
    "torque": ("req_queue",),
    "condor": (),
}


# Options whose job goes to a server or cluster that the client does not ask by itself.
ELSEWHERE = {"slurm": "req_cluster", "pbs": "req_host", "torque": "req_host"}


# Bytes of a number without a unit.
PLAIN = {"slurm": 2**20, "condor": 2**20}


UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


# Field of a profile -> the option whose place it takes.
OPTIONS = {"walltime": "req_runtime", "cores": "req_nprocs", "memory": "req_memory"}


def to_ask(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the clusters that profiles go to, as the module wants them."""
    found = []
    for name, cluster in _clusters(values).items():
        profiles = _profiles_of(values, name, cluster["scheduler"])
        if not profiles:
            continue
        options = [profile.get("options", {}) for _, profile in profiles]
        one = {
            "name": name,
            "scheduler": cluster["scheduler"],
            "environment": dict(cluster.get("environment", {})),
            "path": _directories(values, cluster),
        }
        if cluster["scheduler"] == "slurm":
            one["accounts"] = any(item.get("req_account") for item in options)
            one["tests"] = {str(number): _sbatch(profile) for number, profile in profiles}
        found.append(one)
    return found


def is_embedded(values: Mapping[str, Any], cluster: Mapping[str, Any], foreign: bool) -> bool:
    """Say whether a cluster is the Slurm that role slurm keeps as the inventory says."""
    return (
        cluster["scheduler"] == "slurm"
        and values.get("batch_transport", "local") == "local"
        and "SLURM_CONF" not in cluster["environment"]
        and values.get("slurm_embedded") != "never"
        and not (values.get("slurm_embedded") == "auto" and foreign)
    )


def as_deployed(values: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer of the embedded Slurm as it will be after the deploy.

    What it has now may change with this run; names and limits of its partitions are judged by
    `check_asked_partitions`.
    """
    nodes = [dict(node) for queue in answer["queues"] for node in queue["nodes"]]
    for node in nodes:
        node["cpus"] = values.get("slurm_cpus") or node["cpus"]
        if values.get("slurm_memory_mb"):
            node["memory"] = values["slurm_memory_mb"] * 2**20
    return {
        "queues": [
            {
                "name": partition["name"],
                "closed": "",
                "walltime": None,
                "default": bool(partition.get("default")),
                "nodes": nodes,
            }
            for partition in values["slurm_partitions"]
        ]
    }


def check_live(instance: Instance, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Check all profiles whose cluster has answered."""
    clusters = _clusters(instance.values)
    for name, answer in answers.items():
        if "queues" not in answer:
            continue
        scheduler = clusters[name]["scheduler"]
        for number, profile in _profiles_of(instance.values, name, scheduler):
            before = len(instance.problems)
            _Asked(instance, number, profile, name, scheduler).check(answer)
            refused = answer.get("refused", {}).get(str(number))
            if refused and len(instance.problems) == before:
                instance.report(
                    ("hub_profiles", number, "options"),
                    f"the cluster {name} refuses such a job: {refused}",
                    "Ask for what one of its nodes has",
                )


class _Asked:
    """What one profile asks of its cluster."""

    def __init__(
        self, instance: Instance, number: int, profile: Mapping, cluster: str, scheduler: str
    ):
        self.instance = instance
        self.profile = profile
        self.options = profile.get("options", {})
        self.path: Path = ("hub_profiles", number)
        self.cluster = cluster
        self.scheduler = scheduler
        self.noun = "partition" if scheduler == "slurm" else "queue"

    def check(self, answer: Mapping[str, Any]) -> None:
        self._check_account(answer.get("accounts"))
        queues = self._queues(answer["queues"])
        if not queues:
            return
        opened = [queue for queue in queues if not queue["closed"]]
        where = self._where(queues)
        if not opened:
            self._report(
                self._queue_option(),
                f"{where} takes no jobs: it {queues[0]['closed']}",
                f"Have it opened, or use another {self.noun}",
            )
        nodes = [node for queue in opened or queues for node in queue["nodes"]]
        asked = {name: self._amount(name) for name in OPTIONS}
        limits = {
            "walltime": _most(queue["walltime"] for queue in opened or queues),
            "cores": _most(node["cpus"] for node in nodes),
            "memory": _most(self._memory(node, asked["cores"]) for node in nodes),
        }
        words = {"walltime": _clock, "cores": _cores, "memory": _megabytes}
        over = [name for name, limit in limits.items() if limit is not None and asked[name] > limit]
        for name in over:
            self._report(
                self._option(name),
                f"is more than {where} has for one job: {words[name](limits[name])}",
                f"Ask for less, or use another {self.noun if self._queue_option() else 'cluster'}",
            )
        both = any(
            asked["cores"] <= _or_more(node["cpus"])
            and asked["memory"] <= _or_more(self._memory(node, asked["cores"]))
            for node in nodes
        )
        if nodes and not over and not both:
            self._report(
                self._option("memory"),
                f"is more than {where} has on a node with {_cores(asked['cores'])}",
                "Ask for less of one of the two",
            )

    def _check_account(self, accounts: list[str] | None) -> None:
        account = self.options.get("req_account")
        if account and accounts is not None and account.lower() not in map(str.lower, accounts):
            self._report(
                ("options", "req_account"),
                f"the cluster {self.cluster} has no such account",
                suggestion(account, accounts, "Correct it, or have the account made first"),
            )

    def _queues(self, known: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the queues a job may go to."""
        option = self._queue_option()
        asked = str(self.options.get(option[-1]) or "") if option else ""
        if not asked:
            usual = [queue for queue in known if queue["default"]]
            if self.scheduler == "slurm" and not usual:
                names = ", ".join(queue["name"] for queue in known)
                self._report(
                    option,
                    f"is missing, and the cluster {self.cluster} has no default {self.noun}",
                    f"Use one of {names}",
                    MISSING,
                )
            # Where nothing tells which one, any that would do is good enough.
            return usual if usual or self.scheduler == "slurm" else known
        chosen = []
        for name in asked.split(","):
            # Grid Engine takes patterns, and hosts of a queue; PBS a server, which is asked here.
            pattern = name.partition("@")[0] or "*"
            found = [queue for queue in known if fnmatch.fnmatchcase(queue["name"], pattern)]
            if not found:
                names = [queue["name"] for queue in known]
                self._report(
                    option,
                    f"the cluster {self.cluster} has no {self.noun} {pattern}",
                    suggestion(pattern, names, f"It has {', '.join(names)}"),
                )
            chosen += found
        return chosen

    def _queue_option(self) -> Path:
        """Return the option that names the queue, or would; nothing where there are no queues."""
        names = ASKED[self.scheduler]
        chosen = next((name for name in names if self.options.get(name)), names[0] if names else "")
        return ("options", chosen) if chosen else ()

    def _where(self, queues: list[Mapping[str, Any]]) -> str:
        names = list(dict.fromkeys(queue["name"] for queue in queues))
        if len(names) == 1 and names[0]:
            return f"the {self.noun} {names[0]}"
        return f"the cluster {self.cluster}"

    def _memory(self, node: Mapping[str, Any], cores: int) -> int | None:
        """Return what a node has for a job: Grid Engine's limit is for each slot."""
        if node["memory"] is None or self.scheduler != "gridengine":
            return node["memory"]
        return node["memory"] * max(1, cores)

    def _option(self, name: str) -> Path:
        if name in self.profile.get("fields", {}):
            return "fields", name, "max"
        return "options", OPTIONS[name]

    def _amount(self, name: str) -> int:
        """Return the most that a user can ask for: cores, bytes or seconds; 0 for nothing."""
        fields = self.profile.get("fields", {})
        if name in fields:
            amount = FIELDS[name][0](fields[name]["max"]) or 0
            return amount * 2**10 if name == "memory" else amount
        text = str(self.options.get(OPTIONS[name]) or "")
        if name == "walltime":
            return walltime(text, self.scheduler) or 0
        if name == "memory":
            return _bytes(text, self.scheduler)
        return int(text) if text.isdigit() else 0

    def _report(self, path: Path, what: str, remedy: str, value: Any = None) -> None:
        self.instance.report((*self.path, *path), what, remedy, value)


def _clusters(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the clusters by name, without those whose scheduler is not asked."""
    clusters = values.get("hub_clusters") or [
        {"name": name, "scheduler": name} for name in values.get("batch_schedulers", [])
    ]
    return {item["name"]: item for item in clusters if item["scheduler"] in ASKED}


def _profiles_of(
    values: Mapping[str, Any], cluster: str, scheduler: str
) -> list[tuple[int, Mapping]]:
    """Return the profiles that go to a cluster, with their places; a class by its `cluster`."""
    return [
        (number, profile)
        for number, profile in enumerate(values.get("hub_profiles", []))
        if profile.get("cluster", profile["spawner"]) == cluster
        and not profile.get("options", {}).get(ELSEWHERE.get(scheduler, ""))
    ]


def _directories(values: Mapping[str, Any], cluster: Mapping[str, Any]) -> list[str]:
    """Return the directories that the cluster's commands are set to come from."""
    commands = [
        *cluster.get("commands", {}).values(),
        *(values.get("batch_commands") or {}).get(cluster["scheduler"], {}).values(),
    ]
    words = [command[0] if isinstance(command, list) and command else "" for command in commands]
    words = [word[0] if isinstance(word, list) and word else word for word in words]
    found = (os.path.dirname(word) for word in words if isinstance(word, str))
    return list(dict.fromkeys(directory for directory in found if directory))


def _sbatch(profile: Mapping[str, Any]) -> list[str]:
    """Return the arguments for `sbatch --test-only`, as the batch script would give them."""
    options = dict(profile.get("options", {}))
    for name, bounds in profile.get("fields", {}).items():
        options[OPTIONS[name]] = bounds["max"]
    memory = str(options.get("req_memory") or "")
    gpus = options.get("req_ngpus")
    gres = options.get("req_gres") or (f"gpu:{gpus}" if gpus and gpus != "0" else "")
    wanted = {
        "partition": options.get("req_partition") or options.get("req_queue"),
        "time": options.get("req_runtime"),
        # 4gb is what other schedulers write.
        "mem": re.sub(r"[bB]$", "", memory),
        "cpus-per-task": options.get("req_nprocs"),
        "gres": gres,
    }
    try:
        more = shlex.split(str(options.get("req_options") or ""))
    except ValueError:
        more = []
    return [f"--{name}={value}" for name, value in wanted.items() if value] + more


def _bytes(text: str, scheduler: str) -> int:
    match = re.fullmatch(r"([0-9]+)([kmgt]?)b?", text, re.IGNORECASE)
    if not match:
        return 0
    return int(match[1]) * UNITS.get(match[2].lower(), PLAIN.get(scheduler, 1))


def _most(limits: Iterable[int | None]) -> int | None:
    """Return the largest limit, None where there is none."""
    found = list(limits)
    return None if None in found or not found else max(found)


def _or_more(limit: int | None) -> float:
    return float("inf") if limit is None else limit


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def _megabytes(number: int) -> str:
    return f"{number // 2**20} MB"


def _clock(number: int) -> str:
    minutes, seconds = divmod(int(number), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
