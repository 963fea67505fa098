#!/usr/bin/env python3
"""Print the apt packages that the roles install by default, from their variables for Debian.

These are `__<role>_packages`, and of `__<role>_packages_of` those of the choice `pam`.
"""

from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def packages(roles: Path) -> list[str]:
    """Return the sorted package names of `roles/*/vars/Debian.yml`."""
    found: set[str] = set()
    for variables in roles.glob("*/vars/Debian.yml"):
        name = f"__{variables.parts[-3]}_packages"
        values = yaml.safe_load(variables.read_text()) or {}
        found.update(values.get(name, []))
        found.update(values.get(f"{name}_of", {}).get("pam", []))
    return sorted(found)


if __name__ == "__main__":
    print(*packages(ROLES))
