"""Names, types, ranges and paths: what the argument specs of all roles say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentValueError

from .problems import MISSING, SECRET_TEXT, Instance, Path, Problem, suggestion

# Lowest and highest value of numbers: argument specs know no ranges.
RANGES: dict[str, tuple[float, float]] = {
    "batch_command_timeout": (1, 600),
    "batch_query_interval": (1, 300),
    "batch_unknown_grace": (1, 86400),
    "gateway_api_port": (1, 65535),
    "gateway_http_port": (1, 65535),
    "gateway_https_port": (1, 65535),
    "gateway_login_failures": (0, 1000000),
    "gateway_max_request_workers": (128, 65536),
    "hub_concurrent_spawn_limit": (1, 100000),
    "hub_minimum_uid": (1, 2**32 - 2),
    "hub_start_timeout": (10, 86400),
    "preflight_disk_free_gb": (0, 1000000),
    "release_keep": (1, 1000),
    "slurm_cpus": (1, 100000),
    "slurm_memory_mb": (1, 2**40),
}


TYPE_NAMES = {
    "bool": "true or false",
    "dict": "a mapping (key: value)",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "text",
}


@dataclass(frozen=True)
class Specs:
    """What the roles' argument specs say, merged: every variable under the role it is named for."""

    options: Mapping[str, Mapping]
    required: frozenset[str]
    roles: tuple[str, ...]

    def owner(self, name: str) -> str | None:
        """Return the role that a variable is named for, by the longest name that fits."""
        bare = name.removeprefix("__")
        fitting = [role for role in self.roles if bare.startswith(f"{role}_")]
        return max(fitting, key=len, default=None)


def merge_specs(by_role: Mapping[str, Mapping[str, Mapping]]) -> Specs:
    """Merge {role: {entry point: {options: …}}}; a role's own word on its variables counts."""
    roles = tuple(sorted(by_role))
    owner = Specs({}, frozenset(), roles).owner
    options: dict[str, Mapping] = {}
    required = set()
    for role, entry_points in by_role.items():
        for entry_point, body in entry_points.items():
            for name, attributes in (body.get("options") or {}).items():
                if owner(name) == role or name not in options:
                    options[name] = attributes
                if owner(name) == role and entry_point == "main" and attributes.get("required"):
                    required.add(name)
    return Specs(options, frozenset(required), roles)


def check_names(instance: Instance, specs: Specs, given: Mapping[str, Any]) -> None:
    """Refuse what carries a role's name and no role knows, and what is one slip away from known."""
    for name in given:
        owner = specs.owner(name)
        if name in specs.options or name.startswith("ansible_"):
            continue
        if owner and name.startswith("__"):
            instance.report(
                (name,), f"names with __ are the role {owner}'s own", "Remove it", given[name]
            )
        elif owner:
            own = [option for option in specs.options if specs.owner(option) == owner]
            instance.report(
                (name,),
                f"the role {owner} has no such variable",
                suggestion(name, own, f"Its variables stand in roles/{owner}/defaults/main.yml"),
                given[name],
            )
        else:
            near = difflib.get_close_matches(name, specs.options, n=1, cutoff=0.9)
            if near:
                instance.report(
                    (name,),
                    "no role reads this variable",
                    f'Did you mean "{near[0]}"? Otherwise give it a name of another look',
                    given[name],
                )


def check_calls(instance: Instance, given: Mapping[str, Any], arguments: Iterable[str]) -> None:
    """Refuse in the inventory what roles hand to each other."""
    for name in arguments:
        if name in given:
            instance.report(
                (name,),
                "roles set this when they call each other, for every call anew",
                "Remove it from the inventory",
                given[name],
            )


def check_types(instance: Instance, specs: Specs, call_arguments: Iterable[str]) -> None:
    """Check each variable against its argument spec, and that required ones are there."""
    for name, attributes in sorted(specs.options.items()):
        if name in instance.values:
            if name == "hub_profiles" and isinstance(instance.values[name], list):
                continue  # has rules of its own, with better messages
            instance.problems.extend(_type_problems((name,), instance.values[name], attributes))
        elif name in specs.required and name not in {*call_arguments, *instance.unknown}:
            instance.report(
                (name,),
                "is not set and has no default",
                f"Set it in the inventory: {_first_sentence(attributes)}",
            )


def _first_sentence(attributes: Mapping) -> str:
    text = attributes.get("description") or "see the role's README"
    text = text if isinstance(text, str) else text[0]
    text = re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", text)  # the markup of argument specs
    return text.split(". ")[0].rstrip(".")


def _type_problems(path: Path, value: Any, attributes: Mapping) -> Iterator[Problem]:
    kind = attributes.get("type", "str")
    if kind == "raw":
        return
    wanted = TYPE_NAMES.get(kind, kind)
    if value is None:
        yield Problem(path, value, "is empty", f"Give it {wanted}, or remove it for the default")
    elif kind == "list":
        if not isinstance(value, list):
            yield Problem(
                path, value, "is not a list", "Write it as a list: [one, two], or one - item a line"
            )
            return
        item = {
            key: attributes[key] for key in ("choices", "options", "no_log") if key in attributes
        }
        item["type"] = attributes.get("elements", "raw")
        for number, element in enumerate(value):
            yield from _type_problems((*path, number), element, item)
    elif kind == "dict":
        if not isinstance(value, Mapping):
            yield Problem(path, value, f"is not {wanted}", "Write it as lines of key: value")
        elif attributes.get("options"):
            yield from _mapping_problems(path, value, attributes["options"])
    else:
        problem = _scalar_problem(path, value, kind, attributes.get("choices"))
        if problem:
            yield problem


def _mapping_problems(path: Path, value: Mapping, options: Mapping) -> Iterator[Problem]:
    for key, item in value.items():
        if key in options:
            yield from _type_problems((*path, key), item, options[key])
        else:
            yield Problem(
                (*path, key),
                item,
                "is not a field known here",
                suggestion(str(key), options, f"The fields are {', '.join(options)}"),
            )
    for key, attributes in options.items():
        if attributes.get("required") and key not in value:
            yield Problem(
                (*path, key), MISSING, "is missing", f"Add {key}: {_first_sentence(attributes)}"
            )


def _scalar_problem(path: Path, value: Any, kind: str, choices: list | None) -> Problem | None:
    wanted = TYPE_NAMES.get(kind, kind)
    choice = f"Use one of {', '.join(map(str, choices))}" if choices else f"Give it {wanted}"
    if isinstance(value, list | Mapping):
        return Problem(path, value, f"is not {wanted}", choice)
    # The validator would turn these into something the admin did not mean.
    if kind in ("str", "path") and isinstance(value, bool):
        return Problem(
            path, value, "YAML reads this word as true or false", "Put it in quotes if it is text"
        )
    if kind in ("str", "path") and not isinstance(value, str):
        what = "YAML reads this as a number, and text is wanted (12:00:00 becomes 43200)"
        return Problem(path, value, what, "Put it in quotes")
    if kind in ("int", "float") and isinstance(value, bool):
        return Problem(path, value, f"is not {wanted}", f"Give it {wanted}")
    spec: dict[str, Any] = {"type": kind}
    if choices:
        spec["choices"] = choices
    errors = ArgumentSpecValidator({"value": spec}).validate({"value": value}).errors.errors
    if not errors:
        return None
    if isinstance(errors[0], ArgumentValueError):
        listed = map(str, choices or ())
        return Problem(path, value, "is not a choice here", suggestion(str(value), listed, choice))
    return Problem(path, value, f"is not {wanted}", choice)


def check_ranges(instance: Instance) -> None:
    """Check numbers against their range, paths for being absolute."""
    for name, (low, high) in RANGES.items():
        value = instance.sound(name)
        if value is MISSING:
            continue
        if not low <= float(value) <= high:
            if name == "hub_minimum_uid" and float(value) < low:
                what = "would let root sign in"
                remedy = "Use the first user id of people, on Debian 1000"
            else:
                what = "is out of range"
                remedy = f"Use a number from {low} to {high}"
            instance.report((name,), what, remedy)
    days = instance.sound("hub_cookie_max_age_days")
    if days is not MISSING and not 0 < float(days) <= 3650:
        instance.report(
            ("hub_cookie_max_age_days",),
            "is out of range",
            "Use days above 0 and at most 3650; 0.5 is twelve hours",
        )


def check_paths(instance: Instance, specs: Specs) -> None:
    """Check that every path is absolute: nothing says what it would be relative to."""
    for name, attributes in specs.options.items():
        value = instance.sound(name)
        if attributes.get("type") != "path" or not isinstance(value, str):
            continue
        if SECRET_TEXT.search(value):
            instance.report(
                (name,),
                "is the content of a file, and a path is wanted",
                "Put the content into a file on the machine and give the file's path",
            )
        elif not value.startswith("/"):
            instance.report(
                (name,),
                "is not an absolute path" if value else "is empty",
                "Write the path on the machine from / on, or remove the line for the default",
            )
