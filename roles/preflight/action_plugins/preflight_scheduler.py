"""Judge the profiles by what the live schedulers grant, worded like the problems of the inventory.

The asking is done by the module of the same name, on the machine that submits: the hub's own, or
the one the task is delegated to.
"""

from __future__ import annotations

import importlib

from ansible.plugins.loader import action_loader
from ansible.utils.display import Display

Inventory = action_loader.get("preflight_inventory", class_only=True)
rules = Inventory.rules
scheduler = importlib.import_module("preflight_rules.scheduler")


class ActionModule(Inventory):
    """Run the module for the clusters that profiles use; warn, or fail, by preflight_profiles."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return or show one message for each problem."""
        mine, _ = self.compose(task_vars)
        values = mine.values
        here = values.get("batch_transport", "local") == "local" or self._task.delegate_to
        clusters = scheduler.to_ask(values) if here else []
        if not clusters or values["preflight_profiles"] == "ignore":
            return {"changed": False}
        result = self._execute_module(module_args={"clusters": clusters}, task_vars=task_vars)
        if result.get("failed") or "answers" not in result:
            return result
        answers = result.pop("answers")
        foreign = bool(self._task.args.get("slurm_foreign"))
        for cluster in clusters:
            name, silent = cluster["name"], answers[cluster["name"]].get("silent")
            embedded = scheduler.is_embedded(values, cluster, foreign)
            if not silent:
                if embedded:
                    answers[name] = scheduler.as_deployed(values, answers[name])
            elif not embedded:
                # The embedded one may not be installed yet, and what it will have is known.
                self._warn(
                    f"{mine.host}: what profiles ask of the cluster {name} was not checked:"
                    f" {silent}. Set preflight_profiles to ignore if it shall not be asked."
                )
        instance = rules.Instance(mine.host, values)
        scheduler.check_live(instance, answers)
        if values["preflight_profiles"] == "error":
            return self.finish(result, mine, instance.problems)
        for problem in instance.problems:
            secret = mine.is_secret(problem.path)
            self._warn(rules.message(problem, mine.where(problem.path), secret))
        return result

    @staticmethod
    def _warn(text):
        # Formatted: not broken into lines, so that an editor finds the place.
        Display().warning(text, formatted=True)
