"""What the tests in this directory ask about the tree."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


@cache
def files() -> list[Path]:
    """Return the files that git would commit, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = {Path(name) for name in names.split("\0") if name}
    return sorted(path for path in paths if (ROOT / path).is_file())


@cache
def interpreters() -> dict[Path, str]:
    """Return the interpreter that each script's first line names: `sh`, `python3` …"""
    found = {}
    for path in files():
        with (ROOT / path).open("rb") as stream:
            first = stream.readline().decode(errors="replace")
        if first.startswith("#!"):
            found[path] = first[2:].removeprefix("/usr/bin/env ").split()[0].rsplit("/")[-1]
    return found
