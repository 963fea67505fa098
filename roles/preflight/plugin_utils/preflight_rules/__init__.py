"""What an inventory must satisfy: plain rules over plain values.

Nothing here touches a machine or needs a running Ansible. `check` takes what one instance would be
deployed with and returns every problem it finds, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .batch import check_asked_partitions, check_batch, walltime
from .clusters import check_clusters
from .gateway import PORTS, check_gateway
from .hub import check_hub
from .neighbours import COMPARED, check_neighbour
from .problems import HIDDEN, MISSING, Instance, Problem, message, value_text
from .profiles import ALIASES, TRAIT_TYPES, Profiles
from .sign_on import check_sign_on, sign_on_files
from .specs import (
    Specs,
    check_calls,
    check_names,
    check_paths,
    check_ranges,
    check_types,
    merge_specs,
)

__all__ = [
    "ALIASES",
    "COMPARED",
    "HIDDEN",
    "MISSING",
    "PORTS",
    "TRAIT_TYPES",
    "Instance",
    "Problem",
    "Specs",
    "check",
    "check_asked_partitions",
    "check_neighbour",
    "check_types",
    "merge_specs",
    "message",
    "sign_on_files",
    "value_text",
    "walltime",
]


def check(
    instance: Instance,
    specs: Specs,
    given: Mapping[str, Any],
    traits: Mapping[str, Mapping[str, Mapping]],
    call_arguments: Iterable[str] = (),
) -> list[Problem]:
    """Return every problem of one instance.

    `given` holds the variables that the inventory or the command line sets, and only those.
    """
    call_arguments = tuple(call_arguments)
    check_names(instance, specs, given)
    check_calls(instance, given, call_arguments)
    check_types(instance, specs, call_arguments)
    check_ranges(instance)
    check_paths(instance, specs)
    check_hub(instance)
    check_gateway(instance)
    check_sign_on(instance)
    check_batch(instance)
    check_clusters(instance)
    Profiles(instance, traits).check()
    if instance.look("slurm_embedded") == "always" and not any(
        problem.path[0] in ("hub_profiles", "slurm_partitions") for problem in instance.problems
    ):
        check_asked_partitions(instance)
    return instance.problems
