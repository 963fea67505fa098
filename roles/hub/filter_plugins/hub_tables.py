"""The clusters as the hub sees them: a template prints, Python computes."""


def hub_tables(clusters, schedulers, interval):
    """Return {cluster: {scheduler, interval}} for c.JobTables.clusters.

    `clusters` is hub_clusters; where it is empty there is one for each of batch_schedulers.
    """
    if not clusters:
        clusters = [{"name": name, "scheduler": name} for name in schedulers if name != "local"]
    return {
        cluster["name"]: {
            "scheduler": cluster["scheduler"],
            "interval": float(cluster.get("query_interval") or interval),
        }
        for cluster in clusters
    }


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self):
        """Return the filters by name."""
        return {"hub_tables": hub_tables}
