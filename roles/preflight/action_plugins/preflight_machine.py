"""Ask the machine what stands against a deploy, and word it like the problems of the inventory.

The asking is done by the module of the same name. Only here, on the control machine, is known in
which line of the inventory a value was written.
"""

from __future__ import annotations

from ansible.plugins.loader import action_loader

Inventory = action_loader.get("preflight_inventory", class_only=True)
rules = Inventory.rules

# Options of the module, and the variables that fill them.
OPTIONS = {
    "hub_name": "hub_name",
    "hub_account": "hub_account",
    "batch_user_group": "batch_user_group",
    "release_python": "release_python",
    "disk_free_gb": "preflight_disk_free_gb",
    "server_name": "gateway_server_name",
    "acme": "gateway_acme_url",
    "subdomains": "hub_subdomains",
    "listen": "gateway_listen",
    "api_listen": "gateway_api_listen",
    "certificate": "gateway_tls_certificate",
    "key": "gateway_tls_key",
}


class ActionModule(Inventory):
    """Run the module with this host's values."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return one message for each problem."""
        mine, _ = self.compose(task_vars)
        options = {
            option: mine.values[name] for option, name in OPTIONS.items() if name in mine.values
        }
        instance = rules.Instance(mine.host, mine.values)
        options["sign_on_files"] = rules.sign_on_files(instance)
        options["ports"] = {name: mine.values[name] for name in rules.PORTS}
        result = self._execute_module(module_args=options, task_vars=task_vars)
        if result.get("failed") or "problems" not in result:
            return result
        for found in result.pop("problems"):
            path = tuple(found["path"])
            # The inventory's own value where there is one: the module has seen it converted.
            value = found["value"] if instance.look(*path) is rules.MISSING else None
            instance.report(path, found["what"], found["remedy"], value)
        if mine.values["slurm_embedded"] == "auto" and not result["slurm_foreign"]:
            rules.check_asked_partitions(instance)
        return self.finish(result, mine, instance.problems)
