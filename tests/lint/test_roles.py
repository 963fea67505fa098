"""A role's interface is its defaults and its argument spec: they say the same."""

import re
from functools import cache
from typing import Any

import pytest
import yaml
from tree import ROLES, ROOT

TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "dict": dict,
    "float": (int, float),
    "int": int,
    "list": list,
    "path": str,
    "raw": object,
    "str": str,
}


@cache
def spec(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of a role's main entry point."""
    text = (ROOT / "roles" / role / "meta/argument_specs.yml").read_text()
    return yaml.safe_load(text)["argument_specs"]["main"].get("options") or {}


def owner(variable: str) -> str | None:
    """Return the role that a variable is named after; the longest name wins."""
    return max((role for role in ROLES if variable.startswith(f"{role}_")), key=len, default=None)


def fits(value: Any, option: dict[str, Any]) -> bool:
    """Tell whether a default is of its option's type; a template shows that only when it runs."""
    if isinstance(value, str) and "{{" in value:
        return True
    kind = option.get("type", "str")
    if isinstance(value, bool) and kind not in ("bool", "raw"):
        return False
    if not isinstance(value, TYPES[kind]):
        return False
    if kind == "list" and "elements" in option:
        return all(fits(item, {"type": option["elements"]}) for item in value)
    return True


@pytest.mark.parametrize("role", ROLES)
def test_role_is_complete(role: str) -> None:
    """Every role has its spec, defaults, page and scenario."""
    wanted = ["meta/argument_specs.yml", "defaults/main.yml", "README.md"]
    missing = [name for name in wanted if not (ROOT / "roles" / role / name).is_file()]
    if not (ROOT / "molecule" / role / "molecule.yml").is_file():
        missing.append(f"molecule/{role}/molecule.yml")
    if not list((ROOT / "molecule" / role).glob("tests/test_*.py")):
        missing.append(f"molecule/{role}/tests/test_*.py")
    assert not missing, f"role {role} lacks {missing}"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_spec_agree(role: str) -> None:
    """Each variable stands in both, with one value and type; one without value is commented."""
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text()
    defaults = yaml.safe_load(text) or {}
    wrong = [f"{name}: in defaults, not in the spec" for name in defaults.keys() - spec(role)]
    for name, option in spec(role).items():
        if owner(name) != role:
            wrong += foreign(name, option)
        elif ("default" in option) != (name in defaults):
            wrong.append(f"{name}: has a default in only one of spec and defaults")
        elif name in defaults:
            value = defaults[name]
            if value != option["default"]:
                wrong.append(f"{name}: {value!r} in defaults, {option['default']!r} in the spec")
            if option.get("required"):
                wrong.append(f"{name}: required, yet with a default")
            if not fits(value, option):
                wrong.append(f"{name}: {value!r} is not a {option.get('type', 'str')}")
        elif not re.search(rf"^# {name}:", text, re.MULTILINE):
            wrong.append(f"{name}: no default, and no line `# {name}: …` in defaults shows it")
    assert not wrong, "\n".join([f"role {role}:", *wrong])


def foreign(name: str, option: dict[str, Any]) -> list[str]:
    """Return what is wrong with an option that belongs to another role."""
    other = owner(name)
    if other is None:
        return [f"{name}: is named after no role"]
    if name not in spec(other):
        return [f"{name}: role {other} knows no such variable"]
    wrong = []
    if not option.get("required") or "default" in option:
        wrong.append(f"{name}: is role {other}'s, so here `required: true` and no default")
    if option.get("type") != spec(other)[name].get("type"):
        wrong.append(f"{name}: has another type in role {other}")
    return wrong
