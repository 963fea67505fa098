#!/usr/bin/env python3
"""Write roles/<role>/README.md and docs/variables.md from the roles' argument specs.

`docs/generate.py` writes what is out of date, `docs/generate.py --check` names it and exits 1.
Needs PyYAML, which comes with ansible-core: .venv/bin/python docs/generate.py
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by docs/generate.py from {source}: change that, not this page. -->"
HEAD = "| variable | type | default | meaning |\n|---|---|---|---|"

# Ansible's documentation markup, as Markdown.
MARKUP = [
    (re.compile(r"\b[COV]\(((?:[^()\\]|\\.|\([^()]*\))+)\)"), r"`\1`"),
    (re.compile(r"\bB\(([^)]+)\)"), r"**\1**"),
    (re.compile(r"\bI\(([^)]+)\)"), r"*\1*"),
    (re.compile(r"\bL\(([^,)]+),\s*([^)]+)\)"), r"[\1](\2)"),
    (re.compile(r"\bU\(([^)]+)\)"), r"<\1>"),
]


def main() -> int:
    """Write or check the pages; return the exit code."""
    stale = [path for path, text in pages() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: out of date, run docs/generate.py")
        return 1 if stale else 0
    for path, text in pages():
        if path in stale:
            path.write_text(text)
            print(path.relative_to(ROOT))
    return 0


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every generated page with its text."""
    paths = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    specs = {path.parts[-3]: load(path) for path in paths}
    for role, spec in specs.items():
        yield ROOT / "roles" / role / "README.md", readme(role, spec)
    yield ROOT / "docs" / "variables.md", reference(specs)


def load(path: Path) -> dict[str, Any]:
    """Return the argument spec of a role's main entry point."""
    return yaml.safe_load(path.read_text())["argument_specs"]["main"]


def readme(role: str, spec: dict[str, Any]) -> str:
    """Return the page of one role."""
    parts = [
        f"# Role {role}",
        NOTE.format(source="meta/argument_specs.yml"),
        f"{prose(spec['short_description'])}.",
        *map(prose, listed(spec.get("description"))),
    ]
    own = {name: option for name, option in options(spec) if name.startswith(f"{role}_")}
    other = {name: option for name, option in options(spec) if name not in own}
    if own:
        parts += ["## Variables", table(own)]
    if other:
        parts += ["## Variables of other roles that it needs", table(other)]
    for name, attribute in (spec.get("attributes") or {}).items():
        parts += [f"## {name.replace('_', ' ').capitalize()}", prose(attribute["description"])]
        parts += map(prose, listed(attribute.get("details")))
    return "\n\n".join(parts) + "\n"


def reference(specs: dict[str, dict[str, Any]]) -> str:
    """Return the page of all variables: each once, under the role that owns it."""
    parts = [
        "# Variables",
        NOTE.format(source="roles/*/meta/argument_specs.yml"),
        "Set them in the inventory. One without a default must be set where it says *required*; "
        "elsewhere the text says what holds when it is unset.",
    ]
    for role, spec in specs.items():
        own = {name: option for name, option in options(spec) if name.startswith(f"{role}_")}
        if own:
            parts += [
                f"## {role}",
                f"{prose(spec['short_description'])} ([role](../roles/{role}/README.md)).",
                table(own),
            ]
    return "\n\n".join(parts) + "\n"


def options(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each option with its name, nested ones after theirs as `list[].key` or `dict.key`."""
    for name, option in (spec.get("options") or {}).items():
        yield name, option
        joint = "[]." if option.get("type") == "list" else "."
        for inner, nested in options(option):
            yield f"{name}{joint}{inner}", nested


def table(chosen: dict[str, dict[str, Any]]) -> str:
    """Return the table of these options."""
    rows = [HEAD]
    for name, option in chosen.items():
        kind = option.get("type", "str")
        if kind == "list" and "elements" in option:
            kind = f"list of {option['elements']}"
        default = "*required*" if option.get("required") else ""
        if "default" in option:
            default = f"`{literal(option['default'])}`"
        meaning = [prose(text) for text in listed(option.get("description"))]
        if "choices" in option:
            choices = ", ".join(f"`{literal(choice)}`" for choice in option["choices"])
            meaning.append(f"One of {choices}.")
        rows.append(f"| `{name}` | {kind} | {cell(default)} | {cell(' '.join(meaning))} |")
    return "\n".join(rows)


def literal(value: object) -> str:
    """Return a value as one would write it in the inventory, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.strip().removesuffix("...").strip()


def listed(value: str | list[str] | None) -> list[str]:
    """Return a description's paragraphs."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def prose(text: str) -> str:
    """Return a description as Markdown on one line."""
    for pattern, markdown in MARKUP:
        text = pattern.sub(markdown, text)
    return " ".join(text.split())


def cell(text: str) -> str:
    """Return text that does not end its table cell."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
