"""The hub: JupyterHub, and a sweep that leaves no job behind: python -m hpc_gateway.app.

A job may outlive what the hub knows of it: a cancel that failed, a submission that was confirmed to
nobody, a database that was lost. Such a job has the hub's name and no server: it is cancelled.
"""

import asyncio
import contextlib
from html import escape

from jupyterhub import orm
from jupyterhub.app import JupyterHub
from traitlets import Float, Instance
from traitlets.utils.importstring import import_item

from .jobs import JobTables
from .schedulers import ENDED
from .spawners import GatewayBatchMixin, JobNames, cancel
from .transport import SchedulerError


class GatewayHub(JupyterHub):
    """JupyterHub under its own name in the configuration, c.JupyterHub."""

    name = "jupyterhub"

    sweep_interval = Float(
        60, config=True, help="Seconds between two looks for jobs that no server belongs to."
    )

    sweeper = Instance(asyncio.Task, allow_none=True)

    def init_tornado_settings(self):
        # For the page template: a line on every page while a scheduler does not answer.
        self.template_vars.setdefault("scheduler_notices", scheduler_notices)
        super().init_tornado_settings()

    async def start(self):
        await super().start()
        self.sweeper = asyncio.ensure_future(self.sweep_again_and_again())

    async def sweep_again_and_again(self):
        suspects = set()
        while True:
            try:
                suspects = await self.sweep(suspects)
            except Exception:
                self.log.exception("Looking for jobs that no server belongs to failed")
            await asyncio.sleep(self.sweep_interval)

    async def sweep(self, suspects):
        """Cancel jobs without a server that were so at the last look as well; return all such."""
        found = set()
        for cluster, names in self.job_names().items():
            table = JobTables.get().table(cluster)
            with contextlib.suppress(SchedulerError):
                snapshot = await table.fresh()
                # After the question: a job is in the database before it is at the scheduler.
                known = self.known_names()
                for job in snapshot.jobs:
                    if job.state == ENDED or job.name in known or not names.match(job.name):
                        continue
                    found.add((cluster, job.id))
                    if (cluster, job.id) in suspects:
                        await self.end(table, job)
        return found

    async def end(self, table, job):
        self.log.warning(
            "Cancelling job %s of %s on %s: no server belongs to it",
            *(job.id, job.user, table.cluster),
        )
        try:
            await cancel(table, job.user, job.id, job.name)
        except SchedulerError as error:
            self.log.error("Job %s of %s is not cancelled: %s", job.id, job.user, error)

    def job_names(self):
        """The clusters that the profiles name -> the names of this hub's jobs there."""
        found = {}
        for _, _, cls, options in self.config.get("GatewayProfilesSpawner", {}).get("profiles", []):
            cls = import_item(cls) if isinstance(cls, str) else cls
            if issubclass(cls, GatewayBatchMixin):
                spawner = cls(config=self.config, **options)
                found[spawner.cluster] = JobNames(
                    spawner.hub_name, self.cookie_secret, spawner.job_name_length
                )
        return found

    def known_names(self):
        """The names of jobs of every server in the database."""
        names = set()
        for spawner in self.db.query(orm.Spawner).filter(orm.Spawner.server_id.isnot(None)):
            state = spawner.state or {}
            for part in (state, state.get("child_state") or {}):
                names.add(part.get("job_name"))
        return names


def scheduler_notices(user):
    """For people, whoever they are: which clusters do not answer, as HTML."""
    return [
        f"The batch system {escape(name)} has not answered for {seconds / 60:.0f} minutes. "
        "Servers that run are left as they are; new ones may not start."
        for name, seconds in JobTables.get().silent().items()
    ]


def main():
    GatewayHub.launch_instance()


if __name__ == "__main__":
    main()
