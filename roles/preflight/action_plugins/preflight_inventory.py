"""Judge the inventory on the control machine: every instance, before anything changes anywhere.

Documented by the role's README; takes no arguments. Nothing is asked of the machine.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from ansible.plugins.action import ActionBase

ROLE = Path(__file__).resolve().parents[1]

# Ansible loads this file by its path, so that its neighbours are on no import path.
sys.path.append(str(ROLE / "plugin_utils"))
rules = importlib.import_module("preflight_rules")
values = importlib.import_module("preflight_values")


class ActionModule(ActionBase):
    """Check one host's values, and those of the hosts on the same machine against them."""

    rules = rules
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return one message for each problem."""
        result = super().run(tmp, task_vars)
        mine, specs = self.compose(task_vars)
        instance = rules.Instance(mine.host, mine.values, frozenset(mine.unknown))
        for name, error in mine.errors.items():
            instance.report(
                (name,),
                f"cannot be worked out: {error}",
                "Correct it, or set what it refers to",
                mine.raw(name),
            )
        arguments = task_vars["__preflight_call_arguments"]
        rules.check(instance, specs, mine.given, self._traits(), arguments)
        for other in self._neighbours(task_vars, mine.roles):
            rules.check_neighbour(instance, other)
        return self.finish(result, mine, instance.problems)

    def compose(self, task_vars):
        """Return this host's values and the specs they are judged by."""
        roles = values.Roles(self._loader, str(ROLE.parent))
        specs = rules.merge_specs(roles.entry_points)
        mine = values.Values(task_vars["inventory_hostname"], task_vars, roles, self._templar)
        mine.resolve(specs.options)
        return mine, specs

    def finish(self, result, mine, problems, place=None):
        """Fail with all problems, or do nothing."""
        lines = [
            rules.message(problem, place or mine.where(problem.path), mine.is_secret(problem.path))
            for problem in problems
        ]
        if lines:
            count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
            head = f"{count} with {mine.host}; nothing was changed:"
            result.update(failed=True, msg="\n".join([head, *lines]))
        return result

    @staticmethod
    def _traits():
        path = ROLE / "files" / "spawner_traits.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _neighbours(self, task_vars, roles):
        """Yield the other hosts on this machine: earlier ones, and later ones not in this run.

        So each pair is reported once.
        """
        hostvars = task_vars["hostvars"]
        host = task_vars["inventory_hostname"]
        hosts = list(hostvars)
        running = task_vars.get("ansible_play_hosts_all", [])
        machine = self._machine(host, hostvars)
        for number, other in enumerate(hosts):
            later = number > hosts.index(host) and other in running
            if other == host or later or self._machine(other, hostvars) != machine:
                continue
            found = values.Values(other, hostvars.raw_get(other), roles, self._templar)
            found.resolve(rules.COMPARED)
            unknown = frozenset({*found.unknown, *found.errors})
            yield rules.Instance(other, found.values, unknown)

    @staticmethod
    def _machine(host, hostvars):
        """Return what tells machines apart: where Ansible connects to."""
        found = hostvars[host]
        if found.get("ansible_connection") == "local":
            return "local"
        return found.get("ansible_host", host), found.get("ansible_port")
