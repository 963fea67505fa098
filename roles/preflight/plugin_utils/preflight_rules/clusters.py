"""Several batch systems behind one hub: `hub_clusters`, and which one a profile means."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .problems import MISSING, Instance, Path, suggestion

CLUSTER_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


QUERY_INTERVAL = (1, 300)


# Verbs of the submit wrapper, and whether each is several commands.
COMMANDS = {"submit": False, "cancel": False, "jobs": True, "capacity": True}


def check_clusters(instance: Instance) -> None:
    """Check names, environment, interval and commands; types are checked already."""
    clusters = instance.look("hub_clusters")
    if not isinstance(clusters, list):
        return
    first: dict[str, int] = {}
    for number, cluster in enumerate(clusters):
        if not isinstance(cluster, Mapping):
            continue
        path = ("hub_clusters", number)
        name = instance.sound(*path, "name")
        if isinstance(name, str):
            if not CLUSTER_NAME.fullmatch(name):
                instance.report(
                    (*path, "name"),
                    "is not made of small letters, digits and dashes, a letter first, at most 31",
                    "Use a short word, as alpha",
                )
            elif name == "local":
                instance.report(
                    (*path, "name"),
                    "is the word for servers on the hub's own machine",
                    "Use another word, as alpha",
                )
            elif first.setdefault(name, number) != number:
                instance.report(
                    (*path, "name"),
                    f"hub_clusters[{first[name]}] has the same name",
                    "Give each cluster a name of its own",
                )
        interval = instance.sound(*path, "query_interval")
        low, high = QUERY_INTERVAL
        if interval is not MISSING and not low <= float(interval) <= high:
            instance.report(
                (*path, "query_interval"),
                "is out of range",
                f"Use a number from {low} to {high}, or remove it for batch_query_interval",
            )
        _check_environment(instance, (*path, "environment"))
        _check_commands(instance, (*path, "commands"))


def _check_environment(instance: Instance, path: Path) -> None:
    environment = instance.sound(*path)
    if not isinstance(environment, Mapping):
        return
    for name, value in environment.items():
        if not VARIABLE.fullmatch(str(name)):
            instance.report(
                (*path, name),
                "is no name of an environment variable",
                "Use letters, digits and _, as SLURM_CONF",
            )
        elif not isinstance(value, str):
            instance.report((*path, name), "is not text", "Put it in quotes")
        elif not value.isprintable():
            instance.report((*path, name), "is not one line of text", "Write it on one line")


def _check_commands(instance: Instance, path: Path) -> None:
    commands = instance.sound(*path)
    if not isinstance(commands, Mapping):
        return
    for verb, value in commands.items():
        if verb not in COMMANDS:
            instance.report(
                (*path, verb),
                "is no command of a cluster",
                suggestion(str(verb), COMMANDS, f"The commands are {', '.join(COMMANDS)}"),
            )
            continue
        several = COMMANDS[verb]
        commands_of = value if several and isinstance(value, list) else [value]
        if not all(map(_is_command, commands_of)):
            form = "[/path/of/program, option]"
            instance.report(
                (*path, verb),
                f"is not {'a list of lists' if several else 'a list'} of words that begins with an"
                " absolute path",
                f"Write it as {f'[{form}]' if several else form}",
            )


def _is_command(value: object) -> bool:
    words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return words and bool(value) and value[0].startswith("/")


def check_profile_cluster(instance: Instance, path: Path, spawner: str, cluster: object) -> None:
    """Check that a profile's spawner has a batch system to go to, and that it is of its kind."""
    report = instance.report
    enabled, clusters = instance.sound("batch_schedulers"), instance.sound("hub_clusters")
    if cluster is not MISSING and not isinstance(cluster, str):
        report((*path, "cluster"), "is not a cluster's name", "Write it as cluster: alpha")
        return
    if spawner == "local" and cluster is not MISSING:
        report(
            (*path, "cluster"),
            "the spawner local starts servers on the hub's own machine",
            "Remove cluster, or use the spawner of the cluster's scheduler",
        )
        return
    own_class = "." in spawner
    if not (isinstance(enabled, list) and isinstance(clusters, list)) or (
        own_class and cluster is MISSING
    ):
        return
    kinds = {item["name"]: item["scheduler"] for item in clusters}
    if not clusters or spawner == "local":
        if spawner not in enabled and not own_class:
            report(
                (*path, "spawner"),
                "is not in batch_schedulers, so that nothing could be started by it",
                f"Add {spawner} to batch_schedulers, or use one of {', '.join(enabled)}",
            )
            return
        kinds = {name: name for name in enabled if name != "local"}
    if spawner == "local":
        return
    fitting = [name for name, kind in kinds.items() if own_class or kind == spawner]
    if not fitting:
        report(
            (*path, "spawner"),
            "no cluster of hub_clusters has this scheduler",
            f"Add a cluster with scheduler: {spawner}, or use one of"
            f" {', '.join(sorted(set(kinds.values())))}",
        )
    elif cluster is MISSING and spawner not in kinds:
        report(
            (*path, "cluster"),
            f"is missing, and no cluster is named {spawner}",
            f"Add cluster: with one of {', '.join(fitting)}",
            MISSING,
        )
    elif cluster is not MISSING and cluster not in kinds:
        where = "hub_clusters" if clusters else "batch_schedulers, and hub_clusters is empty"
        report(
            (*path, "cluster"),
            f"is not in {where}",
            suggestion(cluster, fitting, f"Use one of {', '.join(fitting)}"),
        )
    else:
        name = spawner if cluster is MISSING else cluster
        if not own_class and kinds[name] != spawner:
            report(
                (*path, "spawner") if cluster is MISSING else (*path, "cluster"),
                f"the scheduler of the cluster {name} is {kinds[name]}, not {spawner}",
                f"Use the spawner {kinds[name]}, or one of the clusters {', '.join(fitting)}",
            )
