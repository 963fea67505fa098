"""./test counts what pytest says, and nothing as success that was none."""

import subprocess
from pathlib import Path

import pytest
from tree import ROOT


@pytest.mark.parametrize(
    ("log", "code", "counts"),
    [
        ("===== 3 passed in 1.20s =====", 0, "3 0 0"),
        ("2 failed, 10 passed, 1 skipped, 4 warnings in 61.20s (0:01:01)", 1, "10 2 1"),
        ("1 passed, 2 errors in 0.10s", 1, "1 2 0"),
        ("1 xfailed, 2 xpassed in 0.10s", 0, "2 0 1"),
        ("no tests ran in 0.01s", 1, "0 1 0"),
        ("1 passed in 0.10s\nlater\n1 failed in 0.10s\nafter it", 1, "0 1 0"),
        ("broken off", 1, "0 1 0"),
        ("", 1, "0 1 0"),
        ("", 0, "0 1 0"),
        ("2 passed in 0.10s\nthen it broke", 2, "2 1 0"),
    ],
)
def test_tally(tmp_path: Path, log: str, code: int, counts: str) -> None:
    """The tally is the last closing line's; a log without one, or a bad exit, is a failure."""
    path = tmp_path / "log"
    path.write_text(log + "\n")
    command = [ROOT / "molecule/resources/tally", path, str(code)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == counts


def test_unknown_stage_is_refused() -> None:
    """A stage that does not exist is an error that names those that do."""
    result = subprocess.run([ROOT / "test", "upstream"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "lint, unit, molecule" in result.stderr


def test_order_names_scenarios() -> None:
    """molecule/order names scenarios that exist."""
    scenarios = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")}
    assert not set((ROOT / "molecule/order").read_text().split()) - scenarios
