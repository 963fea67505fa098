"""One question for all: what each cluster's scheduler says of everybody's jobs, asked once for all.

A table keeps the answer of one bulk query. However many servers run or wait, the scheduler is asked
at most once in an interval, and only while somebody wants to know. An error says nothing about any
job: whoever asked gets a SchedulerError, and only a successful answer without a job means that it
is gone.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from traitlets import Dict, Float
from traitlets.config import LoggingConfigurable, SingletonConfigurable

from . import schedulers
from .transport import SchedulerError, Shared, Wrapper

# Sizes of queues change rarely: asked for when somebody looks at the form, at most this often.
CAPACITY_AGE = 60


@dataclass(frozen=True)
class Snapshot:
    """A successful answer, and when the scheduler was asked (time.monotonic())."""

    asked: float
    jobs: tuple = ()
    queues: Mapping = field(default_factory=dict)

    @property
    def age(self):
        return time.monotonic() - self.asked

    def job(self, user, job_id, name):
        """The user's job of this id or, where that is not known, of this name."""
        # Names are for everybody to choose, users are not.
        return self.by_id.get((user, job_id)) if job_id else self.by_name.get((user, name))

    # Looked up for each server at each poll; of several the scheduler's first one counts.

    @cached_property
    def by_id(self):
        return {(job.user, job.id): job for job in reversed(self.jobs)}

    @cached_property
    def by_name(self):
        return {(job.user, job.name): job for job in reversed(self.jobs)}

    def place(self, job):
        """The job's place among those that wait in its queue, from 1, and how many wait there."""
        waiting = [
            other.id
            for other in self.jobs
            if other.state == schedulers.PENDING and other.queue == job.queue
        ]
        return (waiting.index(job.id) + 1 if job.id in waiting else None), len(waiting)


class JobTable(LoggingConfigurable):
    """What the scheduler of one cluster last said."""

    def __init__(self, cluster, scheduler, interval, **kwargs):
        super().__init__(**kwargs)
        self.cluster = cluster
        self.scheduler = schedulers.module(scheduler)
        self.interval = interval
        self.snapshot = None
        # Names of nodes that it gave.
        self.hosts = set()
        # The latest error, if it is later than the snapshot; and since when there was no answer.
        self.error = None
        self.error_asked = -float("inf")
        self.silent_since = None
        self.warned = False
        # Questions under way.
        self.query = self.capacity = None
        self.last_asked = self.capacity_asked = -float("inf")
        self.turns = asyncio.Lock()

    async def fresh(self, since=None):
        """A snapshot for which the scheduler was asked at `since` (time.monotonic()) or later.

        Without `since`, one that is younger than the interval. Raises SchedulerError.
        """
        if since is None:
            since = time.monotonic() - self.interval
        while True:
            if self.error and self.error_asked >= since:
                raise self.error
            if self.snapshot and self.snapshot.asked >= since:
                return self.snapshot
            # One who gives up waiting does not end the query, since others wait for it too.
            await asyncio.shield(self.ask())

    def ask(self):
        """The question about jobs that is under way; a new one, if there is none."""
        if self.query is None or self.query.done():
            self.query = asyncio.ensure_future(self.ask_jobs())
        return self.query

    @asynccontextmanager
    async def turn(self):
        """Within this the scheduler is asked: one question at a time, an interval apart."""
        async with self.turns:
            await asyncio.sleep(max(0, self.last_asked + self.interval - time.monotonic()))
            try:
                yield time.monotonic()
            finally:
                self.last_asked = time.monotonic()

    async def outputs(self, verb, user=None):
        """What each of the scheduler's commands printed."""
        try:
            return await Wrapper.get().ask(self.cluster, verb, user)
        except SchedulerError as error:
            # Some say as an error that there is no job at all.
            empty = getattr(self.scheduler, "EMPTY", None)
            if verb == "jobs" and empty and empty.search(str(error)):
                return [""]
            raise

    async def ask_jobs(self):
        async with self.turn() as asked:
            try:
                jobs = tuple(self.scheduler.parse_jobs(*await self.outputs("jobs")))
            except Exception as error:
                self.failed(asked, error)
            else:
                queues = self.snapshot.queues if self.snapshot else {}
                self.answered(Snapshot(asked, jobs, queues))

    async def ask_capacity(self):
        """Learn the sizes of the queues, in the place of one question about jobs."""
        async with self.turn():
            try:
                queues = self.scheduler.parse_capacity(*await self.outputs("capacity"))
            except Exception as error:
                self.log.warning("Cluster %s: sizes of queues not known: %s", self.cluster, error)
            else:
                # Kept for the snapshots to come.
                self.snapshot = replace(self.snapshot or Snapshot(-float("inf")), queues=queues)

    def refresh_soon(self):
        """Have it asked in the background what is not known, or is old."""
        if self.snapshot is None or self.snapshot.age > self.interval:
            self.ask()
        if time.monotonic() - self.capacity_asked > CAPACITY_AGE:
            self.capacity_asked = time.monotonic()
            self.capacity = asyncio.ensure_future(self.ask_capacity())

    def failed(self, asked, error):
        if not isinstance(error, SchedulerError):
            error = SchedulerError(f"the answer about jobs is not understood: {error}")
        if self.error is None:
            # Once for each outage, not at every question.
            self.log.warning("Cluster %s: no answer about jobs: %s", self.cluster, error)
            self.silent_since = asked
        self.error, self.error_asked = error, asked
        if self.silence > JobTables.get().unknown_grace and not self.warned:
            self.warned = True
            self.log.error(
                "Cluster %s has not answered for %i s: %s. Its servers are left as they are.",
                *(self.cluster, self.silence, error),
            )

    def answered(self, snapshot):
        if self.error:
            self.log.warning("Cluster %s answers again, after %i s", self.cluster, self.silence)
        self.error = self.silent_since = None
        self.warned = False
        self.snapshot = snapshot
        self.hosts.update(job.host for job in snapshot.jobs if job.host)

    def host(self, name):
        """The scheduler's name of the node that a job says it is on; "" for one it never named.

        Believed of a job whose server calls, before the next answer: a user who lies reaches no
        other machine than nodes of the cluster, and is found out by that answer.
        """
        short = name.partition(".")[0]
        found = [host for host in self.hosts if host.partition(".")[0] == short]
        return name if name in self.hosts else found[0] if len(found) == 1 else ""

    @property
    def silence(self):
        """For how many seconds the scheduler has not answered; 0 while it answers."""
        return 0 if self.silent_since is None else time.monotonic() - self.silent_since

    async def as_owner(self, user):
        """A snapshot as a user sees it: where a site hides jobs from others, its owner sees it."""
        asked = time.monotonic()
        try:
            jobs = self.scheduler.parse_jobs(*await self.outputs("jobs", user))
        except SchedulerError:
            raise
        except Exception as error:
            raise SchedulerError(f"the answer about jobs is not understood: {error}") from None
        return Snapshot(asked, tuple(jobs))


class JobTables(Shared, SingletonConfigurable):
    """The tables of all clusters."""

    clusters = Dict(
        config=True,
        help="Name of a cluster -> {'scheduler': 'slurm', 'interval': 5}. One that is not named "
        "here has the name of its scheduler.",
    )

    interval = Float(5, min=0.1, config=True, help="Least seconds between two questions.")

    unknown_grace = Float(
        60,
        config=True,
        help="Seconds of a scheduler's silence after which users are warned on the hub's pages.",
    )

    tables = Dict()

    def table(self, cluster):
        """The table of a cluster; ValueError for one that is not known."""
        if cluster not in self.tables:
            settings = {"scheduler": cluster, "interval": self.interval}
            settings |= self.clusters.get(cluster, {})
            self.tables[cluster] = JobTable(
                cluster, settings["scheduler"], settings["interval"], parent=self
            )
        return self.tables[cluster]

    def peek(self, cluster):
        """The latest snapshot of a cluster, or None; never waits and never fails."""
        try:
            return self.table(cluster).snapshot
        except ValueError:
            return None

    def refresh_soon(self, cluster):
        """Have jobs and sizes of queues asked for in the background, if they are old."""
        with contextlib.suppress(ValueError):
            self.table(cluster).refresh_soon()

    def silent(self):
        """Clusters that have not answered for longer than the grace, with the seconds."""
        return {
            name: table.silence
            for name, table in self.tables.items()
            if table.silence > self.unknown_grace
        }


class Tables:
    """Short for JobTables.get(), which needs the hub's configuration and so comes late."""

    def __getattr__(self, name):
        return getattr(JobTables.get(), name)


tables = Tables()
