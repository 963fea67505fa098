"""What a problem is, how one is found in an instance, and how it is worded."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


# Stands for "there is no value": None is something an inventory can say.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()


HIDDEN = "(not shown)"


SECRET_NAME = re.compile(
    r"token|passw|passphrase|secret|credential|(?:private|crypt|api|ssh)_?key(?!tab)", re.IGNORECASE
)


SECRET_TEXT = re.compile(r"-----BEGIN|PRIVATE KEY")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what, and what would be right (both without a full stop)."""

    path: Path
    value: Any
    what: str
    remedy: str


@dataclass
class Instance:
    """What one inventory host would be deployed with, and what is found wrong with it."""

    host: str
    values: Mapping[str, Any]
    # Variables whose value only the machine can tell: no rule judges them.
    unknown: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)

    def look(self, *path: str | int) -> Any:
        """Return the value at a path, MISSING where there is none."""
        value: Any = self.values
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return MISSING
        return value

    def sound(self, *path: str | int) -> Any:
        """Return the value at a path unless it, or a part of it, is already known to be wrong."""
        for problem in self.problems:
            if problem.path[: len(path)] == path:
                return MISSING
        return self.look(*path)

    def report(self, path: Path, what: str, remedy: str, value: Any = None) -> None:
        """Remember a problem."""
        self.problems.append(
            Problem(path, self.look(*path) if value is None else value, what, remedy)
        )

    def strings(self, name: str) -> list[tuple[int, str]]:
        """Return the sound items of a list of strings, with their positions."""
        items = self.look(name)
        if not isinstance(items, list):
            return []
        sound = ((number, self.sound(name, number)) for number in range(len(items)))
        return [(number, item) for number, item in sound if isinstance(item, str)]


def path_text(path: Path) -> str:
    """Write a path as an admin would: `hub_profiles[2].options.req_nprocs`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def value_text(path: Path, value: Any, hidden: bool = False) -> str:
    """Write a value for a message: short, on one line, and never a secret."""
    if hidden or any(isinstance(part, str) and SECRET_NAME.search(part) for part in path):
        return HIDDEN
    text = json.dumps(_without_secrets(value), ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if SECRET_NAME.search(str(key)) else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    if isinstance(value, str) and SECRET_TEXT.search(value):
        return HIDDEN
    return value


def message(problem: Problem, where: str, hidden: bool = False) -> str:
    """Write a problem as one line: place, variable, value, reason, remedy."""
    subject = f"{where} {path_text(problem.path)}"
    if problem.value is not MISSING:
        subject += f" = {value_text(problem.path, problem.value, hidden)}"
    return f"{subject}: {problem.what}. {problem.remedy}."


def suggestion(word: str, choices: Iterable[str], otherwise: str) -> str:
    """Return "Did you mean …?", or another advice where nothing is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.65)
    return f'Did you mean "{near[0]}"? {otherwise}' if near else otherwise
