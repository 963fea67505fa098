"""Try inventories that a deploy must refuse: the table is bad_inventory.yml.

No tests themselves: molecule/preflight runs every case on a machine made for them,
molecule/default those that need nothing special, while a hub is serving.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Case:
    """One row of the table; the file says what each field means."""

    name: str
    variables: dict[str, Any]
    variable: str
    reason: str
    remedy: str
    value: str | None = None
    second: dict[str, Any] | None = None
    machine: bool = field(default=False)

    def pattern(self) -> re.Pattern[str]:
        """Return what the line of the message must look like."""
        value = "" if self.value is None else f" = {self.value}"
        return re.compile(
            r"^\s*(?:\S+:\d+|inventory of \S+) "
            + re.escape(f"{self.variable}{value}: ")
            + rf".*{re.escape(self.reason)}.*\. .*{re.escape(self.remedy)}.*\.$",
            re.MULTILINE,
        )


def cases(machine: bool = True) -> list[Case]:
    """Return the table; `machine=False` leaves out what needs a machine made for it."""
    rows = yaml.safe_load((ROOT / "tests/bad_inventory.yml").read_text())
    found = [Case(**row) for row in rows]
    return [case for case in found if machine or not case.machine]


def deploy(
    case: Case, host: str, connection: dict[str, Any], directory: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the site playbook with a case's inventory against a machine.

    `host` is what Ansible connects to, `connection` the variables that say how, `directory` a
    scratch directory for the inventory.
    """
    hosts = {"first": {**connection, "ansible_host": host, **case.variables}}
    if case.second is not None:
        hosts["second"] = {**connection, "ansible_host": host, **case.second}
    inventory = directory / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}, default_flow_style=False))
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [program, "--inventory", inventory, ROOT / "playbooks/site.yml", *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    # Set by a Molecule run, and they would win over ansible.cfg.
    environment.pop("ANSIBLE_FORCE_COLOR", None)
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


def assert_refused(case: Case, done: subprocess.CompletedProcess[str]) -> None:
    """Check exit code, message, and that no task reported a change."""
    output = done.stdout + done.stderr
    assert done.returncode != 0, f"{case.name}: not refused\n{output}"
    assert case.pattern().search(output), f"{case.name}: {case.pattern().pattern}\n{output}"
    assert re.search(r"problems? with (first|second); nothing was changed:", output), output
    assert set(re.findall(r"changed=(\d+)", output)) == {"0"}, output
