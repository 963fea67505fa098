"""What the wrapper must know of each cluster: a template prints, Python computes."""


def batch_clusters(known, schedulers, clusters, commands):
    """Return {cluster: scheduler, environment_private, env, commands} for batch.json.

    `known` is what this role knows of each scheduler, `schedulers` and `commands` are
    batch_schedulers and batch_commands, `clusters` is hub_clusters.
    """
    if not clusters:
        clusters = [{"name": name, "scheduler": name} for name in schedulers if name != "local"]
    found = {"local": {"scheduler": "local"}} if "local" in schedulers else {}
    for cluster in clusters:
        scheduler = known[cluster["scheduler"]]
        found[cluster["name"]] = {
            "scheduler": cluster["scheduler"],
            "environment_private": scheduler["environment_private"],
            "env": {**scheduler["environment"], **cluster.get("environment", {})},
            "commands": {
                **scheduler["commands"],
                **commands.get(cluster["scheduler"], {}),
                **cluster.get("commands", {}),
            },
        }
    return found


def batch_calls(clusters):
    """Return the calls that the hub's account may make as a user: CLUSTER VERB."""
    local = ["run", "signal", "account"]
    batch = ["submit", "cancel", "log", "account", "jobs"]
    return [f"{name} {verb}" for name in clusters for verb in (local if name == "local" else batch)]


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self):
        """Return the filters by name."""
        return {"batch_clusters": batch_clusters, "batch_calls": batch_calls}
