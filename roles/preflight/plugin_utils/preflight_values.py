"""What one inventory host would be deployed with, and where each value was written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

try:
    from ansible._internal._datatag._tags import Origin, VaultedValue
except ImportError:  # another ansible-core: places are named less exactly
    Origin = VaultedValue = None

# Facts are not there when the inventory is judged; what depends on them is left to the machine.
FROM_MACHINE = re.compile(r"\bansible_\w+|\bhostvars\b")


class Roles:
    """The roles' specs and defaults, read from the directory that holds the roles."""

    def __init__(self, loader, directory: str):
        """`loader` is Ansible's own, so that defaults are templates and carry their origin."""
        self.directory = directory
        self.entry_points: dict[str, Mapping[str, Mapping]] = {}
        self.defaults: dict[str, Any] = {}
        for role in sorted(path for path in Path(directory).iterdir() if path.is_dir()):
            specs, defaults = role / "meta/argument_specs.yml", role / "defaults/main.yml"
            if specs.is_file():
                content = loader.load_from_file(str(specs)) or {}
                self.entry_points[role.name] = content.get("argument_specs") or {}
            if defaults.is_file():
                found = loader.load_from_file(str(defaults), trusted_as_template=True) or {}
                self.defaults.update(found)


class Values:
    """One host's values: defaults of the roles, overlaid by what the inventory says."""

    def __init__(self, host: str, given: Mapping[str, Any], roles: Roles, templar):
        """`given` are the host's variables as Ansible has them, untemplated."""
        self.host = host
        self.roles = roles
        self._raw = {**roles.defaults, **given}
        self._templar = templar.copy_with_new_env(available_variables=self._raw)
        self.given = {name: value for name, value in given.items() if self._is_written(name, value)}
        self.values: dict[str, Any] = {}
        self.unknown: set[str] = set()
        self.errors: dict[str, str] = {}

    def resolve(self, names: Iterable[str]) -> None:
        """Template the named variables, as far as they have a value here."""
        for name in names:
            if name not in self._raw:
                continue
            try:
                self.values[name] = self._templar.template(self._raw[name])
            except AnsibleError as error:
                if name in self.given and not FROM_MACHINE.search(repr(self._raw[name])):
                    self.errors[name] = str(error.message).splitlines()[0].rstrip(".")
                else:
                    self.unknown.add(name)

    def raw(self, name: str) -> Any:
        """Return the text a variable has in the inventory."""
        return self._raw.get(name)

    def where(self, path: tuple) -> str:
        """Return FILE:LINE of the innermost part of a path that knows where it was written."""
        found = max(self._deepest(self._raw, path), self._deepest(self.values, path))[1]
        if not found and len(path) == 1 and path[0] not in self.values:
            found = _place(_key(self._raw, path[0]))
        return found or f"inventory of {self.host}"

    @staticmethod
    def _deepest(node: Any, path: tuple) -> tuple[int, str]:
        found = (0, "")
        for depth, part in enumerate(path):
            # A key tells for values that can carry no origin (true, false), but not on top:
            # there the key of one file may hold the value of another.
            key = _key(node, part) if depth else None
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                break
            place = _place(node) or _place(key)
            found = (depth + 1, place) if place else found
        return found

    def is_secret(self, path: tuple) -> bool:
        """Say whether a value, or a part of it, came out of a vault."""
        return any(_is_vaulted(_walk(tree, path)) for tree in (self._raw, self.values))

    def _is_written(self, name: str, value: Any) -> bool:
        """Say whether inventory, play or command line set this, not a role or a task."""
        if Origin is None:
            return not name.startswith("__")
        key, origin = Origin.get_tag(name), Origin.get_tag(value)
        if name.startswith("__") and self._is_in_roles(key):
            return False
        origin = origin or key
        return origin is not None and not self._is_in_roles(origin)

    def _is_in_roles(self, origin: Any) -> bool:
        return bool(origin and origin.path and origin.path.startswith(f"{self.roles.directory}/"))


def _walk(node: Any, path: tuple) -> Any:
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _is_vaulted(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_vaulted, value.values()))
    if isinstance(value, list):
        return any(map(_is_vaulted, value))
    # Not yet decrypted: a value as the inventory holds it.
    encrypted = type(value).__name__ == "EncryptedString"
    return encrypted or bool(VaultedValue and VaultedValue.is_tagged_on(value))


def _key(node: Any, part: Any) -> Any:
    return next((key for key in node if key == part), None) if isinstance(node, Mapping) else None


def _place(value: Any) -> str | None:
    tag = Origin.get_tag(value) if Origin and value is not None else None
    if tag is None:
        return None
    if not tag.path:
        return "command line (-e)" if "-e" in (tag.description or "") else tag.description
    short = os.path.relpath(tag.path)
    path = tag.path if short.startswith("..") else short
    return f"{path}:{tag.line_num}" if tag.line_num else path
