"""Profiles: their fields, the settings of their spawner, and what they ask of the scheduler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .batch import walltime, walltime_forms
from .clusters import check_profile_cluster
from .fields import check_fields
from .problems import MISSING, Instance, Path, suggestion
from .sign_on import brings_no_groups
from .specs import TYPE_NAMES

PROFILE_KEY = re.compile(r"[a-z0-9-]+")


CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


MEMORY = re.compile(r"[1-9][0-9]*(?:[kmgt]b?)?", re.IGNORECASE)


COUNT = re.compile(r"[1-9][0-9]*")


ALIASES = ("local", "slurm", "torque", "pbs", "gridengine", "condor", "lsf", "moab")


PROFILE_FIELDS = (
    "name",
    "key",
    "spawner",
    "options",
    "groups",
    "default",
    "cluster",
    "category",
    "fields",
)


PROFILE_REQUIRED = ("name", "key", "spawner")


TRAIT_TYPES: dict[str, type | tuple[type, ...]] = {
    "any": object,
    "bool": bool,
    "dict": Mapping,
    "float": (int, float),
    "int": int,
    "list": list,
    "str": str,
}


def trait_problem(name: str, trait: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a value for a traitlet, and the remedy."""
    if name.endswith("_hook"):
        return (
            "is a Python function, which an inventory cannot hold",
            "Set it in jupyterhub_config.d instead",
        )
    kind = trait["type"]
    if value is None:
        if kind == "any" or trait["allow_none"]:
            return None
        return "is empty", "Give it a value, or remove it for the spawner's default"
    # Ansible's own types are subclasses; true is an int to Python, and not to an admin.
    fits = isinstance(value, TRAIT_TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if kind == "any" or fits:
        return None
    remedies = {
        "str": "Put it in quotes",
        "bool": "Write true or false without quotes",
        "int": "Write the number without quotes",
        "float": "Write the number without quotes",
        "list": "Write it as a list: [one, two]",
        "dict": "Write it as lines of key: value",
    }
    return f"is not {TYPE_NAMES[kind]}", remedies[kind]


class Profiles:
    """The rules for `hub_profiles`."""

    def __init__(self, instance: Instance, traits: Mapping[str, Mapping[str, Mapping]]):
        """`traits` is {alias: {trait: {"type": …, "allow_none": …}}}, types as in TRAIT_TYPES."""
        self.instance = instance
        self.traits = traits

    def check(self) -> None:
        """Check every profile, and all of them against each other."""
        profiles = self.instance.sound("hub_profiles")
        if not isinstance(profiles, list):
            return
        if not profiles:
            self.instance.report(
                ("hub_profiles",),
                "is empty, so that nobody could start a notebook",
                "Give at least one profile, or remove the line for the default ones",
            )
        for number, profile in enumerate(profiles):
            if isinstance(profile, Mapping):
                self._check_profile(("hub_profiles", number), profile)
            else:
                self.instance.report(
                    ("hub_profiles", number),
                    "is not a profile",
                    "Write it as lines of key: value, with at least name, key and spawner",
                )
        self._check_together(profiles)

    def _check_profile(self, path: Path, profile: Mapping) -> None:
        report = self.instance.report
        for name in PROFILE_REQUIRED:
            if name not in profile:
                report((*path, name), "is missing", f"Add {name}: every profile needs it", MISSING)
        for name in profile:
            if name not in PROFILE_FIELDS:
                report(
                    (*path, name),
                    "is no field of a profile",
                    suggestion(
                        str(name),
                        PROFILE_FIELDS,
                        f"The fields are {', '.join(PROFILE_FIELDS)};"
                        " settings of the spawner stand under options",
                    ),
                )
        name = profile.get("name", MISSING)
        if name is not MISSING and not (
            isinstance(name, str) and name.strip() and name.isprintable()
        ):
            report((*path, "name"), "is not one line of text", "Write what the user shall read")
        category = profile.get("category", MISSING)
        if category is not MISSING and not (
            isinstance(category, str) and category.strip() and category.isprintable()
        ):
            report((*path, "category"), "is not one line of text", "Write a heading, or remove it")
        key = profile.get("key", MISSING)
        if key is not MISSING and not (isinstance(key, str) and PROFILE_KEY.fullmatch(key)):
            report(
                (*path, "key"),
                "is not made of small letters, digits and dashes alone",
                "Write it as mesabi2c4g12h, in quotes if it is a number",
            )
        groups = profile.get("groups", [])
        if not (isinstance(groups, list) and all(isinstance(item, str) for item in groups)):
            report((*path, "groups"), "is not a list of names", "Write it as [one, two]")
        elif groups == [] and "groups" in profile:
            report(
                (*path, "groups"),
                "is empty, so that nobody would see the profile",
                "Name a group, or remove groups to show the profile to everybody",
            )
        elif groups and (why := brings_no_groups(self.instance)):
            report(
                (*path, "groups"),
                f"{why}, so that nobody would see the profile",
                "Remove groups, which shows it to all who may sign in: list these in"
                " hub_allowed_users",
            )
        if not isinstance(profile.get("default", False), bool):
            report((*path, "default"), "is not true or false", "Write default: true, or remove it")
        self._check_spawner(path, profile)

    def _check_spawner(self, path: Path, profile: Mapping) -> None:
        report = self.instance.report
        spawner = profile.get("spawner", MISSING)
        known = ", ".join(ALIASES)
        if not isinstance(spawner, str):
            if spawner is not MISSING:
                report((*path, "spawner"), "is not a spawner's name", f"Use one of {known}")
            return
        options = profile.get("options", {})
        if not isinstance(options, Mapping):
            report(
                (*path, "options"),
                "is not a mapping of the spawner's settings",
                'Write it as {req_nprocs: "2"}, or remove it',
            )
            options = {}
        if "cluster" in options:
            report(
                (*path, "options", "cluster"),
                "is no option, but a field of the profile",
                "Write cluster beside options rather than under it",
            )
        if "." in spawner:
            if not CLASS.fullmatch(spawner):
                report(
                    (*path, "spawner"),
                    "is not the name of a Python class",
                    "Write package.module.Class, or one of " + known,
                )
                return
            self._check_choices(path, spawner, profile)
            return
        if spawner not in ALIASES:
            report(
                (*path, "spawner"),
                "is not a spawner known here",
                suggestion(
                    spawner,
                    ALIASES,
                    f"Use one of {known}, or a class as package.module.Class",
                ),
            )
            return
        self._check_choices(path, spawner, profile)
        self._check_traits((*path, "options"), spawner, options)
        self._check_requests((*path, "options"), spawner, options)

    def _check_choices(self, path: Path, spawner: str, profile: Mapping) -> None:
        check_profile_cluster(self.instance, path, spawner, profile.get("cluster", MISSING))
        if "fields" in profile:
            check_fields(self.instance, (*path, "fields"), spawner, profile["fields"])

    def _check_traits(self, path: Path, alias: str, options: Mapping) -> None:
        traits = self.traits.get(alias)
        if traits is None:
            return
        for name, value in options.items():
            if name == "cluster":
                continue
            if name not in traits:
                self.instance.report(
                    (*path, name),
                    f"the spawner {alias} has no such setting",
                    suggestion(
                        str(name), traits, "JupyterHub's and batchspawner's pages list them"
                    ),
                )
            elif found := trait_problem(name, traits[name], value):
                what, remedy = found
                if name == "req_runtime" and isinstance(value, int):
                    what += " (YAML reads 12:00:00 without quotes as 43200)"
                self.instance.report((*path, name), what, remedy)

    def _check_requests(self, path: Path, alias: str, options: Mapping) -> None:
        """Check what is asked of the scheduler: the spawner takes any text, the scheduler not."""
        sound, report = self.instance.sound, self.instance.report
        for name in ("req_nprocs", "req_ngpus"):
            value = sound(*path, name)
            zero = name == "req_ngpus" and value == "0"
            if isinstance(value, str) and value and not zero and not COUNT.fullmatch(value):
                report((*path, name), "is not a whole number above 0", 'Write it as "2"')
        value = sound(*path, "req_memory")
        if isinstance(value, str) and value and not MEMORY.fullmatch(value):
            report((*path, "req_memory"), "is not an amount of memory", 'Write it as "4gb" or "4G"')
        value = sound(*path, "req_runtime")
        if isinstance(value, str) and value and walltime(value, alias) is None:
            report((*path, "req_runtime"), "is not a walltime", walltime_forms(alias))

    def _check_together(self, profiles: list) -> None:
        first: dict[str, int] = {}
        default = None
        for number, profile in enumerate(profiles):
            if not isinstance(profile, Mapping):
                continue
            key = profile.get("key")
            if isinstance(key, str) and first.setdefault(key, number) != number:
                self.instance.report(
                    ("hub_profiles", number, "key"),
                    f"hub_profiles[{first[key]}] has the same key",
                    "Give each profile a key of its own",
                )
            if profile.get("default") is True:
                if default is None:
                    default = number
                else:
                    self.instance.report(
                        ("hub_profiles", number, "default"),
                        f"hub_profiles[{default}] is the default already",
                        "Keep default: true in one profile",
                    )
