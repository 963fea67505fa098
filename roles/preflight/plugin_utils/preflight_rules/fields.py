"""What users may choose within a profile: `fields`, as hpc_gateway.fields reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .problems import MISSING, Instance, Path, suggestion

BOUNDS = ("min", "default", "max")


UNITS = "KMGT"


def cores(value: Any) -> int | None:
    """Return a number of cores."""
    return int(value) if re.fullmatch(r"[0-9]{1,6}", str(value)) else None


def memory(value: Any) -> int | None:
    """Return KiB."""
    match = re.fullmatch(r"([0-9]{1,9})([kmgt])b?", str(value), re.IGNORECASE)
    return int(match[1]) * 1024 ** UNITS.index(match[2].upper()) if match else None


def seconds(value: Any) -> int | None:
    """Return seconds. Two numbers are refused: to some they are hours, to others minutes first."""
    text = str(value)
    if re.fullmatch(r"[0-9]{1,6}", text):
        return int(text) * 60
    match = re.fullmatch(r"(?:([0-9]{1,4})-)?([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])", text)
    if not match:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


FIELDS: dict[str, tuple[Callable[[Any], int | None], str, str]] = {
    "cores": (cores, "a whole number above 0", "Write it as 4"),
    "memory": (memory, "an amount of memory with its unit", 'Write it as "4gb" or "4G"'),
    "walltime": (
        seconds,
        "a walltime",
        'Use "12:00:00", "1-12:00:00", or "90" for minutes, in quotes',
    ),
}


def check_fields(instance: Instance, path: Path, spawner: str, fields: Any) -> None:
    """Check names, values and their order."""
    if not isinstance(fields, Mapping) or not fields:
        instance.report(
            path,
            "is not a mapping of what users may choose",
            "Write it as {cores: {min: 1, default: 2, max: 12}}, or remove it",
        )
    elif spawner == "local":
        instance.report(
            path,
            "the spawner local asks no batch system for cores, memory or time",
            "Remove fields, or use the spawner of a batch system",
        )
    else:
        for name, bounds in fields.items():
            if name in FIELDS:
                _check_bounds(instance, (*path, name), name, bounds)
            else:
                instance.report(
                    (*path, name),
                    "is nothing that users may choose",
                    suggestion(str(name), FIELDS, f"The fields are {', '.join(FIELDS)}"),
                )


def _check_bounds(instance: Instance, path: Path, name: str, bounds: Any) -> None:
    if not isinstance(bounds, Mapping):
        instance.report(path, "is not a mapping", "Write it as {min: ..., default: ..., max: ...}")
        return
    read, kind, remedy = FIELDS[name]
    numbers = {}
    for part in BOUNDS:
        if part not in bounds:
            instance.report(
                (*path, part), "is missing", "Every field has min, default and max", MISSING
            )
            continue
        value = bounds[part]
        if name != "cores" and isinstance(value, int):
            what = "is not text (YAML reads 12:00:00 without quotes as 43200)"
            instance.report((*path, part), what, "Put it in quotes")
        elif not (number := read(value)):
            instance.report((*path, part), f"is not {kind}", remedy)
        else:
            numbers[part] = number
    for part in bounds:
        if part not in BOUNDS:
            instance.report(
                (*path, part),
                "is no part of a field",
                suggestion(str(part), BOUNDS, f"Its parts are {', '.join(BOUNDS)}"),
            )
    if len(numbers) < len(BOUNDS):
        return
    if numbers["min"] > numbers["max"]:
        instance.report((*path, "min"), "is more than max", "Lower min, or raise max")
    elif not numbers["min"] <= numbers["default"] <= numbers["max"]:
        instance.report((*path, "default"), "is not between min and max", "Use a value between")
