"""Rules for every file of the tree."""

import re
import subprocess
from pathlib import Path

import pytest
from tree import ROOT, files, interpreters

# Those in templates/ are not: Jinja turns them into one.
SHELL = sorted(
    path
    for path in {
        *(path for path, name in interpreters().items() if name in ("sh", "bash", "dash")),
        *(path for path in files() if path.suffix in (".sh", ".bash")),
    }
    if path.parts[0] != "templates"
)
# ruff finds *.py by itself.
PYTHON = sorted(
    path
    for path, name in interpreters().items()
    if name.startswith("python") and path.suffix != ".py"
)
# Where packages and images come from is the site's choice, so no file may name such a host.
REGISTRY = re.compile(
    r"\b(?:[\w-]+\.)*(?:pypi|pythonhosted|npmjs|yarnpkg|docker|quay|ghcr|gcr|mcr\.microsoft)"
    r"\.(?:com|io|org)\b"
    r"|\b(?:deb|ftp|security|snapshot)\.(?:debian|nodesource)\.(?:com|org)\b"
    r"|\bgalaxy\.ansible\.com\b"
)


@pytest.mark.parametrize("path", SHELL, ids=str)
def test_shell_script(path: Path) -> None:
    """Shellcheck finds nothing in it."""
    command = ["shellcheck", "--external-sources", path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_python_script(path: Path) -> None:
    """Ruff finds nothing in a program whose name does not end in .py."""
    for command in (["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"]):
        result = subprocess.run([*command, path], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_executables_are_checked() -> None:
    """No executable escapes the linters: each says in its first line that it is sh or Python."""
    programs = [path for path in files() if (ROOT / path).stat().st_mode & 0o111]
    covered = {*SHELL, *(path for path, name in interpreters().items() if name == "python3")}
    assert not [str(path) for path in programs if path not in covered]


def test_yaml_is_yml() -> None:
    """YAML files end in .yml."""
    assert not [str(path) for path in files() if path.suffix == ".yaml"]


def test_no_registry_is_named() -> None:
    """No file names the host of a package or image registry."""
    named = []
    for path in files():
        text = (ROOT / path).read_text(errors="replace")
        named += [f"{path}: {match[0]}" for match in REGISTRY.finditer(text)]
    assert not named, "\n".join(named)
