"""The batch system: walltimes, partitions, and the group that may submit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from .problems import MISSING, Instance, suggestion

PARTITION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def walltime(text: str, scheduler: str) -> float | None:
    """Return seconds for a walltime as the scheduler writes it, None where it is none."""
    hours = minutes = seconds = days = 0
    if match := re.fullmatch(r"([0-9]{1,5}):([0-5][0-9]):([0-5][0-9])", text):
        hours, minutes, seconds = map(int, match.groups())
    elif scheduler == "lsf" and (match := re.fullmatch(r"([0-9]{1,5}):([0-5][0-9])", text)):
        hours, minutes = map(int, match.groups())
    elif scheduler != "slurm":
        return None
    elif text.upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    elif re.fullmatch(r"[0-9]{1,7}", text):
        minutes = int(text)
    elif match := re.fullmatch(r"([0-9]{1,7}):([0-5][0-9])", text):
        minutes, seconds = map(int, match.groups())
    elif match := re.fullmatch(
        r"([0-9]{1,4})-([01]?[0-9]|2[0-3])(?::([0-5][0-9])(?::([0-5][0-9]))?)?", text
    ):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    else:
        return None
    return days * 86400 + hours * 3600 + minutes * 60 + seconds or None


def walltime_forms(scheduler: str) -> str:
    if scheduler == "slurm":
        return 'Use "12:00:00", "1-12:00:00", "90:00" (minutes) or "90" (minutes), in quotes'
    return 'Use hours, minutes and seconds in quotes: "12:00:00"'


def check_batch(instance: Instance) -> None:
    """Check the group that may submit, and the embedded Slurm's partitions."""
    group = instance.sound("batch_user_group")
    if group == "root":
        instance.report(
            ("batch_user_group",),
            "members of root never submit through the hub",
            "Name a group of ordinary users, or remove the line to let every user submit",
        )
    elif isinstance(group, str) and group and not re.fullmatch(r"[A-Za-z_][\w.-]{0,31}", group):
        instance.report(
            ("batch_user_group",), "is no name of a group", "Use a group's name, as hpcusers"
        )
    _check_transport(instance)
    if instance.look("slurm_embedded") == "never":
        return
    partitions = instance.sound("slurm_partitions")
    if partitions == []:
        instance.report(
            ("slurm_partitions",),
            "is empty, so that the embedded Slurm could run no job",
            "Give at least one partition, or set slurm_embedded: never",
        )
    if isinstance(partitions, list):
        _check_partitions(instance, partitions)


def _check_transport(instance: Instance) -> None:
    """Check what a submit host needs, and what it rules out."""
    if instance.sound("batch_transport") != "ssh":
        return
    if not instance.look("batch_submit_host") or instance.look("batch_submit_host") is MISSING:
        instance.report(
            ("batch_transport",),
            "needs a submit host, and batch_submit_host names none",
            "Set batch_submit_host to the inventory's name of one in the group submit_hosts",
        )
    schedulers = instance.sound("batch_schedulers")
    if isinstance(schedulers, list) and "local" in schedulers:
        instance.report(
            ("batch_schedulers",),
            "local starts servers on the hub's machine, and with batch_transport: ssh nobody has an"
            " account there",
            "Remove local, or set batch_transport: local",
        )


def _check_partitions(instance: Instance, partitions: list[Mapping]) -> None:
    first: dict[str, int] = {}
    default = None
    for number, partition in enumerate(partitions):
        path = ("slurm_partitions", number)
        name = partition.get("name")
        if not isinstance(name, str) or not PARTITION.fullmatch(name) or name.upper() == "DEFAULT":
            instance.report(
                (*path, "name"),
                "is no name of a partition",
                "Use letters, digits, _ . and -; the word DEFAULT belongs to Slurm",
            )
        elif first.setdefault(name, number) != number:
            instance.report(
                (*path, "name"),
                f"slurm_partitions[{first[name]}] has the same name",
                "Give each partition a name of its own",
            )
        limit = partition.get("max_time")
        if isinstance(limit, str) and walltime(limit, "slurm") is None:
            instance.report(
                (*path, "max_time"),
                "is not a walltime",
                f"{walltime_forms('slurm')}, or UNLIMITED",
            )
        if partition.get("default") is True:
            if default is None:
                default = number
            else:
                instance.report(
                    (*path, "default"),
                    f"slurm_partitions[{default}] is the default already",
                    "Keep default: true in one partition",
                )


def check_asked_partitions(instance: Instance) -> None:
    """Check what Slurm profiles ask for against the partitions of the embedded Slurm.

    Not part of `check`: with slurm_embedded auto only the machine can tell whether it has a Slurm
    of the site's, whose partitions nobody here knows.
    """
    partitions, profiles = (instance.sound(name) for name in ("slurm_partitions", "hub_profiles"))
    if not (isinstance(partitions, list) and isinstance(profiles, list)):
        return
    by_name = {partition["name"]: partition for partition in partitions}
    clusters = instance.sound("hub_clusters")
    by_cluster = {item["name"]: item for item in clusters} if isinstance(clusters, list) else {}
    usual = next((item for item in partitions if item.get("default")), None)
    for number, profile in enumerate(profiles):
        cluster = by_cluster.get(profile.get("cluster", "slurm"), {})
        # A configuration of its own leads to another Slurm.
        if profile["spawner"] != "slurm" or "SLURM_CONF" in cluster.get("environment", {}):
            continue
        path = ("hub_profiles", number, "options")
        options = profile.get("options", {})
        asked = options.get("req_partition")
        if asked and asked not in by_name:
            instance.report(
                (*path, "req_partition"),
                "the embedded Slurm has no such partition",
                suggestion(
                    asked,
                    by_name,
                    "Add it to slurm_partitions, or set slurm_embedded: never if the machine shall"
                    " use the site's Slurm",
                ),
            )
            continue
        partition = by_name[asked] if asked else usual
        longest = profile.get("fields", {}).get("walltime")
        if longest:
            path, name = ("hub_profiles", number, "fields", "walltime"), "max"
            runtime = walltime(longest["max"], "slurm")
        else:
            name = "req_runtime"
            runtime = walltime(options.get("req_runtime") or "", "slurm")
        if partition and runtime and runtime > walltime(partition["max_time"], "slurm"):
            instance.report(
                (*path, name),
                f"is longer than max_time {partition['max_time']} of the partition"
                f" {partition['name']}, so that the job would never start",
                "Ask for less, or raise max_time in slurm_partitions",
            )
