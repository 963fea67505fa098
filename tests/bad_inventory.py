"""Try inventories that a deploy must refuse: the table is bad_inventory.yml.

No tests themselves: molecule/default runs the cases that need nothing special, while a hub is
serving, molecule/preflight the others, on a machine made for them.
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


@dataclass(frozen=True)
class Outcome:
    """What a deploy returned and said, and the paths on the machine that it touched."""

    code: int
    output: str
    changed: list[str]


class Machine:
    """A container that inventories are tried against, one after the other."""

    # Where a deploy writes, apart from /run and logs. /root: what Ansible may leave behind.
    WATCHED = ("/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var/lib")
    MARK = "/run/bad-inventory"

    def __init__(self, host, directory: Path, variables: dict[str, Any], own: tuple[str, ...] = ()):
        """Set the mark that changes are newer than.

        `host` is testinfra's, `directory` one for scratch, `variables` what every inventory says
        here, `own` patterns of paths that running services write to by themselves.
        """
        self.host = host
        self.directory = directory
        self.variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": host.backend.get_hostname(),
            **variables,
        }
        # The time of change tells what a checksum would, touched modes and owners too; of what is
        # gone, its directory tells. A new mark each time: a deploy answers for its own changes.
        ignored = " ".join(f"! -path '{pattern}'" for pattern in own)
        self.find = (
            f"find {' '.join(self.WATCHED)} -ignore_readdir_race -name .venv -prune"
            f" -o -cnewer {self.MARK} {ignored} -print && touch {self.MARK}"
        )
        host.check_output(f"touch {self.MARK}")

    def changed(self) -> list[str]:
        """Return the paths that were touched since the last call."""
        return self.host.check_output(self.find).splitlines()

    def deploy(self, case: Case, *options: str) -> Outcome:
        """Run the site playbook with a case's inventory."""
        hosts = {"first": {**self.variables, **case.variables}}
        if case.second is not None:
            hosts["second"] = {**self.variables, **case.second}
        inventory = self.directory / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}, default_flow_style=False))
        program = Path(sys.executable).parent / "ansible-playbook"
        command = [program, "--inventory", inventory, ROOT / "playbooks/site.yml", *options]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
        # Set by a Molecule run, and they would win over ansible.cfg.
        environment.pop("ANSIBLE_FORCE_COLOR", None)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
        )
        return Outcome(done.returncode, done.stdout + done.stderr, self.changed())


def cases(machine: bool) -> list[Case]:
    """Return the rows of the table that need a machine made for them, or those that do not."""
    rows = yaml.safe_load((ROOT / "tests/bad_inventory.yml").read_text())
    return [case for case in (Case(**row) for row in rows) if case.machine == machine]


def assert_refused(case: Case, outcome: Outcome) -> None:
    """Check exit code and message, and that neither Ansible nor the machine knows of a change."""
    output = outcome.output
    assert outcome.code != 0, f"{case.name}: not refused\n{output}"
    assert case.pattern().search(output), f"{case.name}: {case.pattern().pattern}\n{output}"
    assert re.search(r"problems? with (first|second); nothing was changed:", output), output
    assert set(re.findall(r"changed=(\d+)", output)) == {"0"}, output
    assert outcome.changed == [], output
