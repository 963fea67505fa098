#!/usr/bin/env python3
"""Print the apt packages that the roles install: `__<role>_packages` of their OS variables."""

from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def packages(roles: Path) -> list[str]:
    """Return the sorted package names of `roles/*/vars/Debian.yml`."""
    found: set[str] = set()
    for variables in roles.glob("*/vars/Debian.yml"):
        role = variables.parts[-3]
        found.update((yaml.safe_load(variables.read_text()) or {}).get(f"__{role}_packages", []))
    return sorted(found)


if __name__ == "__main__":
    print(*packages(ROLES))
