"""Spawners which start servers as jobs, or on the hub's machine, through the submit wrapper.

Each is batchspawner's spawner of the same name. What changes is how the scheduler is talked to: by
the root-owned wrapper alone (transport.py), by one question for all jobs (jobs.py); and that no
error of the scheduler and no death of the hub makes a job be forgotten or submitted twice.
"""

import asyncio
import contextlib
import hashlib
import json
import pwd
import re
import secrets
import shlex
import subprocess
import time
from functools import lru_cache
from html import escape
from pathlib import Path

import batchspawner
from batchspawner.batchspawner import BatchSpawnerBase, JobStatus
from jinja2 import Template
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import exponential_backoff, random_port
from sqlalchemy.orm import object_session
from traitlets import Bool, Enum, Instance, Integer, Set, Unicode, default
from traitlets.config import LoggingConfigurable

from . import port_callback
from .errors import SpawnRefused
from .jobs import JobTables
from .port_callback import token_digest
from .schedulers import ENDED, HELD, PENDING, RUNNING, Job
from .transport import CLEAN_ENVIRONMENT, SchedulerError, Wrapper

port_callback.register()

# The wrapper takes these from the user's account.
ACCOUNT_VARIABLES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL"}

# Checked, and put into the profile's settings, by the profiles spawner around this one.
PROFILE_OPTIONS = {"profile", "cores", "memory", "walltime"}

# What an allowed option of a user may look like: nothing that a shell or a scheduler reads as more
# than one word.
USER_OPTION = re.compile(r"[A-Za-z0-9_.:,=+@/-]{1,128}")

# A setting that becomes one word of a job script.
PLAIN_WORD = re.compile(r"[^\s'\"`$\\;&|<>#]*")

# Settings which are the administrator's own lines of a script rather than a word.
MANY_LINES = {"prologue", "epilogue"}
SCRIPT_LINES = {*MANY_LINES, "options", "srun", "keepvars", "keepvars_extra"}

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\]@-]{0,127}")

# In the output of a job: what may be a token, cookie or key.
SECRET = re.compile(
    r"[0-9a-fA-F]{32,}|(?i:(?<=token=)|(?<=token )|(?<=token: )|(?<=password=))[^\s'\"&]+"
)

CANCEL_TRIES = 3


class GatewayMixin(LoggingConfigurable):
    """What job and local spawners share: the wrapper, and the filter of what users ask for."""

    scheduler = "local"

    user_options_allowed = Set(
        Unicode(),
        config=True,
        help="Names of the job script's values (`nprocs` for req_nprocs) a user may choose freely.",
    )

    def user_env(self, env):
        # The base class asks this machine, which may not know the user; the wrapper sets these.
        return env

    def account_env(self):
        """The server's environment, less what the wrapper knows better."""
        return {
            name: str(value)
            for name, value in self.get_env().items()
            if name not in ACCOUNT_VARIABLES
        }

    def checked_user_options(self):
        """The options a user may set; others are refused, since they would beat the profile's."""
        options = {k: v for k, v in self.user_options.items() if k not in PROFILE_OPTIONS}
        unknown = sorted(set(options) - self.user_options_allowed)
        if unknown:
            raise SpawnRefused(
                f"These options cannot be set here: {', '.join(unknown)[:200]}",
                reason="user_options",
            )
        for name, value in options.items():
            if not (type(value) in (int, str) and USER_OPTION.fullmatch(str(value))):
                raise SpawnRefused(
                    f"The value of the option {name} is not valid", reason="user_options"
                )
        return options


class GatewayBatchMixin(GatewayMixin, BatchSpawnerBase):
    """Goes in front of one of batchspawner's classes."""

    cluster = Unicode(
        config=True, help="Cluster the jobs go to; by default the one named like the scheduler."
    )

    hub_name = Unicode("main", config=True, help="The hub, in the name of its jobs.")

    job_name_length = Integer(
        64, config=True, help="Longest name of a job that the scheduler takes; at least 15."
    )

    script_directory = Unicode(
        "/etc/jupyterhub/main/templates/batch",
        config=True,
        help="Directory of the templates of job scripts, `<scheduler>.sh`.",
    )

    notebook_ports = Unicode(
        config=True,
        help="First and last port a server may listen on, `50000-50100`; empty, any.",
    )

    recover_jobs = Enum(
        ["adopt", "cancel"],
        "adopt",
        config=True,
        help="What to do at the hub's start with a job whose server was not ready when it stopped.",
    )

    # The name by which the job is found when its id is not known: saved before it is submitted.
    job_name = Unicode()

    # Digest of the server's token: the token itself is not kept.
    token_digest = Unicode()

    # Whether the server was ready, and the hub has its address.
    serving = Unicode()

    # Whether the scheduler started the job again, so that its server comes up somewhere else.
    moved = Bool()

    # Whether the hub's account does not see this job, and its owner is asked.
    hidden = Bool()

    # The hub went down while this server was starting.
    interrupted = Bool()

    # When the job was submitted (time.monotonic()), as far as this process knows.
    submitted = -float("inf")

    # What the scheduler last said of the job.
    job = Instance(Job, allow_none=True)

    # The port that the server had told a hub before this one.
    port_told = 0

    # The node that the server named, and when it called (time.monotonic()).
    host_told = ""
    called = -float("inf")

    told = Instance(asyncio.Event, ())

    @default("cluster")
    def _cluster_default(self):
        return self.scheduler

    @default("batch_script")
    def _batch_script_default(self):
        return (Path(self.script_directory) / f"{self.scheduler}.sh").read_text()

    @default("req_homedir")
    def _req_homedir_default(self):
        return pwd.getpwnam(self.user.name).pw_dir

    @property
    def table(self):
        return JobTables.get().table(self.cluster)

    # What is kept of a server

    def get_state(self):
        state = super().get_state()
        for name in ("job_name", "token_digest", "serving", "port"):
            if self.job_name and getattr(self, name):
                state[name] = getattr(self, name)
        return state

    def load_state(self, state):
        super().load_state(state)
        self.job_name = state.get("job_name", "")
        self.token_digest = state.get("token_digest", "")
        self.serving = state.get("serving", "")
        self.interrupted = bool(self.job_name and not self.serving)
        # Not yet as the port, which the spawner around this one is about to set to its own.
        self.port_told = state.get("port", 0)

    def clear_state(self):
        super().clear_state()
        self.job_name = self.token_digest = ""
        self.serving = ""
        self.moved = self.hidden = self.interrupted = False
        self.submitted = self.called = -float("inf")
        self.port_told = 0
        self.host_told = ""
        self.job = None
        self.told.clear()

    @property
    def outermost(self):
        """The spawner the hub knows: this one, or the one with the profiles around it."""
        return self.user.spawners[self.orm_spawner.name]

    def save(self):
        """Put the state into the database now: a hub that is killed finds the job again."""
        if self.orm_spawner is not None:
            self.orm_spawner.state = self.outermost.get_state()
            object_session(self.orm_spawner).commit()

    # What the scheduler says

    async def find(self, since=None):
        """The job, or None if it is gone; SchedulerError while that is not known.

        `since` as in JobTable.fresh().
        """
        snapshot = await self.table.fresh(since)
        job = self.own(snapshot)
        if job is None and snapshot.asked < self.submitted:
            # Newer than the answer.
            job = Job(self.job_id, self.job_name, self.user.name, PENDING)
        if job is None:
            # A site may hide jobs from the hub's account. Their owner sees them in any case.
            job = self.own(await self.table.as_owner(self.user.name))
            if job and job.state != ENDED and not self.hidden:
                self.hidden = True
                self.log.warning(
                    "Cluster %s hides job %s from the hub's account: asking as its owner",
                    *(self.cluster, job.id),
                )
        self.job = job
        return job

    def own(self, snapshot):
        """This server's job in a snapshot."""
        return snapshot.job(self.user.name, self.job_id, self.job_name)

    async def query_job_status(self):
        if not (self.job_name or self.job_id):
            self.job_status = ""
            return JobStatus.NOTFOUND
        # Where the job was before its server called is of no interest any more.
        since = max(self.called, time.monotonic() - self.table.interval)
        try:
            job = await self.find(since)
        except SchedulerError as error:
            self.log.debug("The state of job %s is not known: %s", self.job_id, error)
            return JobStatus.UNKNOWN
        if job is None or job.state == ENDED:
            self.log.info(
                "Job %s of %s has ended. %s",
                *(self.job_id or self.job_name, self.user.name, self.why(job)),
            )
            return JobStatus.NOTFOUND
        if not self.job_id:
            self.log.info("Found job %s of %s by its name", job.id, self.user.name)
            self.job_id = job.id
            self.save()
        self.job_status = f"{job.state} {job.host}".strip()
        self.notice_move(job)
        return JobStatus.RUNNING if job.state == RUNNING else JobStatus.PENDING

    def why(self, job):
        """Why a job waits or has ended, in words for people."""
        if job is None:
            return "The batch system does not know it any more."
        return self.table.scheduler.explain(job) or job.reason

    def state_gethost(self):
        return self.job.host if self.job else ""

    # Submitting

    def get_env(self):
        env = super().get_env()
        if self.notebook_ports:
            env["HPC_GATEWAY_NOTEBOOK_PORTS"] = self.notebook_ports
        return env

    def cmd_formatted_for_batch(self):
        return shlex.join(
            [*shlex.split(self.batchspawner_singleuser_cmd), *self.cmd, *self.get_args()]
        )

    def kept_env(self, names):
        """The variables that the job gets, with their values."""
        env = self.account_env()
        return {name: env[name] for name in names.replace(" ", "").split(",") if name in env}

    def file_of_job(self, kind, home):
        return f"{home}/.jupyterhub-{self.hub_name}/{self.job_name}.{kind}"

    def get_req_subvars(self):
        return super().get_req_subvars() | {
            "job_name": self.job_name,
            "log_file": self.file_of_job("log", self.req_homedir),
            "env_file": self.file_of_job("env", self.req_homedir),
        }

    async def job_script(self):
        """The script, with the values of the profile and, where allowed, the user's choices."""
        subvars = self.get_req_subvars() | self.checked_user_options()
        for name, value in subvars.items():
            lines = name in SCRIPT_LINES and (name in MANY_LINES or "\n" not in str(value))
            if not lines and not PLAIN_WORD.fullmatch(str(value)):
                what = "one line" if name in SCRIPT_LINES else "one plain word"
                raise SpawnRefused(
                    f"The profile's req_{name} must be {what}, not {str(value)[:100]!r}. "
                    "Tell the administrators.",
                    reason="profile",
                    status_code=500,
                )
        subvars["cmd"] = self.cmd_formatted_for_batch()
        return compiled(self.batch_script).render(**subvars)

    async def prepare(self):
        """Ask what the machine that submits knows of the user, where this one may not know them."""
        wrapper = Wrapper.get()
        if wrapper.transport == "ssh":
            try:
                account = await wrapper.account(self.cluster, self.user.name)
            except SchedulerError as error:
                raise self.not_taken(error) from None
            self.req_homedir = account["home"]

    async def submit_batch_script(self):
        await self.prepare()
        names = JobNames(
            self.hub_name, self.user.settings.get("cookie_secret", b""), self.job_name_length
        )
        self.job_name = names.new()
        self.token_digest = token_digest(self.api_token or "")
        script = await self.job_script()
        request = {
            "script": script,
            "env": self.kept_env(self.get_req_subvars()["keepvars"]),
            "name": self.job_name,
        }
        # Before there can be a job: from here on it can be found by its name.
        self.save()
        # Neither the environment nor the request: they hold the server's token.
        self.log.info("Submitting job %s for %s", self.job_name, self.user.name)
        self.log.debug("Job script of %s:\n%s", self.user.name, script)
        try:
            answer = await Wrapper.get().call(self.cluster, "submit", request, self.user.name)
            self.job_id = self.checked_job_id(answer)
        except SchedulerError as error:
            if not error.ambiguous:
                # Nothing to look for.
                self.job_name = ""
                raise self.not_taken(error) from None
            self.log.warning("Job %s may have been taken: %s", self.job_name, error)
            self.job_id = await self.find_submitted(error)
        self.submitted = time.monotonic()
        self.save()
        self.log.info("Job %s is %s of %s", self.job_name, self.job_id, self.user.name)
        return self.job_id

    def checked_job_id(self, answer):
        try:
            job_id = self.parse_job_id(answer.strip())
        except Exception:
            job_id = ""
        if not JOB_ID.fullmatch(job_id):
            raise SchedulerError(f"timed out, or no job id in the answer: {answer[:300]!r}")
        return job_id

    async def find_submitted(self, error):
        """The id of a job whose submission was not confirmed; SpawnRefused if there is none."""
        seen_none = 0
        # Twice, since it may have been on its way at the first look.
        while seen_none < 2:
            try:
                job = await self.find(time.monotonic())
            except SchedulerError:
                continue
            if job:
                return job.id
            seen_none += 1
        raise self.not_taken(error)

    def not_taken(self, error):
        # All lines: some clients say first that something went wrong, and then what.
        words = " ".join(str(error).split())[:300]
        return SpawnRefused(
            f"The batch system did not take the job: {words}",
            reason="submit",
            log_message=f"The batch system did not take the job: {error}",
            status_code=503,
        )

    # Starting

    async def start(self):
        self.port = 0
        self.told.clear()
        # Before the hub gives up, which would do so without saying why.
        try:
            async with asyncio.timeout(0.95 * self.start_timeout):
                await self.submit_batch_script()
                return await self.until_ready()
        except TimeoutError:
            raise SpawnRefused(
                f"The server was not ready within {self.start_timeout / 60:.0f} minutes, and is "
                f"given up. {self.describe()['message']}",
                reason="start_timeout",
                status_code=503,
            ) from None

    def tell(self, port, host=""):
        """The server says where it listens: the port, and its name for the node it is on."""
        self.port, self.host_told, self.called = port, host, time.monotonic()
        self.told.set()
        self.save()
        if self.moved:
            self.moved = False
            self.relocation = asyncio.ensure_future(self.relocate())

    async def until_ready(self):
        """Wait until the job runs and its server has said its port; return where it listens."""
        interval = self.table.interval
        seen_waiting = 0
        while True:
            # Its call is what a start waits for. It names the node; only where the scheduler has
            # never named that one, it is asked at once when the call comes.
            # (asyncio.wait_for might swallow the hub's giving up in that moment.)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self.told.wait()
            told = self.told.is_set()
            if host := told and self.job_id and self.table.host(self.host_told):
                break
            # An answer from before its call may be about a node that the job has left since.
            try:
                job = await self.find(time.monotonic() if told else None)
            except SchedulerError:
                continue
            if job is None or job.state == ENDED:
                raise await self.failure(job)
            self.job_id = job.id
            self.job_status = f"{job.state} {job.host}".strip()
            if told and job.state == RUNNING and (host := job.host):
                break
            # Twice, since some schedulers are late to say that a job runs.
            seen_waiting = seen_waiting + 1 if told and job.state != RUNNING else 0
            if seen_waiting == 2:
                # The scheduler took it off its node again: another server will say another port.
                self.port = 0
                self.told.clear()
        self.serving = host
        await listening(host, self.port)
        self.log.info("Job %s serves at %s:%i", self.job_id, host, self.port)
        return host, self.port

    async def failure(self, job):
        """What to tell the user about a job that ended before its server was ready."""
        why = self.why(job)
        try:
            lines = redact(await self.last_lines(), self.api_token)
        except SchedulerError as error:
            lines = ""
            self.log.info("No output of job %s: %s", self.job_id, error)
        message = f"The job {self.job_id} ended before its server was ready. {why}".strip()
        # This machine need not know the home directory, least of all after a restart of the hub.
        where = f"The job's output is in {self.file_of_job('log', '~')}"
        html = [f"<p>{escape(message)}</p>"]
        if lines:
            html.append(f'<pre class="text-start">{escape(lines)}</pre>')
        html.append(f"<p>{escape(where)}</p>")
        return SpawnRefused(
            f"{message} {where}",
            reason="job_ended",
            message_html="\n".join(html),
            log_message="\n".join([f"{message} {where}", lines]).strip(),
            status_code=503,
        )

    async def last_lines(self):
        request = {"name": self.job_name, "lines": 20}
        return (await Wrapper.get().call(self.cluster, "log", request, self.user.name)).strip()

    # Running

    async def poll(self):
        if self.interrupted:
            return await self.recover()
        status = await super().poll()
        if self.moved and self.outermost.pending == "check":
            # It moved while the hub was down, which would now ask for it at its old address.
            return await self.recover()
        return status

    async def recover(self):
        """At the hub's start: go on with a start that was under way when it stopped."""
        self.interrupted = self.moved = False
        if self.recover_jobs == "cancel":
            # The hub then stops it, which cancels the job.
            return 1
        if self.port_told:
            self.port = self.port_told
            self.told.set()
        try:
            async with asyncio.timeout(self.start_timeout):
                host, port = await self.until_ready()
        except (TimeoutError, SpawnRefused) as error:
            self.log.warning("Job %s of %s was lost: %s", self.job_name, self.user.name, error)
            return 1
        self.log.info("Took over job %s of %s", self.job_id, self.user.name)
        self.address(host, port)
        return None

    def address(self, host, port):
        """Tell the hub where the server is."""
        server = self.outermost.server
        server.ip, server.port = host, port
        self.save()

    def notice_move(self, job):
        """The scheduler may start a job again, on another node: its server has another address."""
        # Not compared with the hub's database, which would be read at each poll of each server.
        if self.serving and (job.state != RUNNING or (job.host and job.host != self.serving)):
            self.started_again(self.why(job))

    def started_again(self, why):
        """The server comes up anew and will say its port; a restarted hub waits for that too."""
        self.moved = True
        self.serving = ""
        self.port = self.port_told = 0
        self.told.clear()
        self.log.warning("Job %s of %s is started again. %s", self.job_id, self.user.name, why)
        self.save()

    async def relocate(self):
        """Send people to where the server of a job that was started again is now."""
        try:
            self.address(*await self.until_ready())
        except SpawnRefused as error:
            # The hub's next poll finds it ended.
            self.log.warning("Job %s did not come back: %s", self.job_id, error)
            return
        await self.user.settings["proxy"].add_user(self.user, self.orm_spawner.name)

    # Stopping

    async def stop(self, now=False):
        if self.job_name and not self.job_id:
            with contextlib.suppress(SchedulerError):
                job = await self.find(time.monotonic())
                self.job_id = job.id if job else ""
        if not self.job_id or not await self.cancelled() or now:
            return
        since = time.monotonic()
        with contextlib.suppress(SchedulerError, TimeoutError):
            async with asyncio.timeout(6 * self.table.interval):
                while True:
                    job = await self.find(since)
                    if job is None or job.state == ENDED:
                        return
                    since = time.monotonic()
        self.log.warning("Job %s is cancelled, but has not ended yet", self.job_id)

    async def cancelled(self):
        """Cancel the job; whether that succeeded."""
        for tries in range(1, CANCEL_TRIES + 1):
            try:
                await self.cancel_batch_job()
            except SchedulerError as error:
                self.log.warning(
                    "Job %s of %s is not cancelled (try %i): %s",
                    *(self.job_id, self.user.name, tries, error),
                )
                await asyncio.sleep(self.table.interval)
            else:
                return True
        self.log.error(
            "Job %s of %s could not be cancelled. It is tried again until the job is gone.",
            *(self.job_id, self.user.name),
        )
        return False

    async def cancel_batch_job(self):
        await cancel(self.table, self.user.name, self.job_id, self.job_name)

    # What the user sees meanwhile

    async def progress(self):
        seen = None
        while True:
            event = self.describe()
            if event != seen:
                yield event
            seen = event
            await asyncio.sleep(1)

    def describe(self):
        """Where the start has got to, from what is known already: nothing is asked for this."""
        table = self.table
        lines = []
        snapshot = table.snapshot
        job = self.own(snapshot) if snapshot and self.job_name else None
        done = 10
        if not self.job_id:
            lines.append("The job is handed to the batch system.")
        elif job and job.state == RUNNING:
            done = 70
            lines.append(f"Job {job.id} runs on {job.host or 'its node'}. Its server is starting.")
        elif job and job.state in (PENDING, HELD):
            done = 30
            lines += waiting_lines(job, snapshot)
            lines.append(table.scheduler.explain(job) or job.reason)
        else:
            done = 20
            lines.append(f"Job {self.job_id} is submitted.")
        if table.silence > 2 * table.interval:
            # The moment rather than the time since: a new text is a new line on the page.
            since = clock(time.time() - table.silence)
            lines.append(
                f"The batch system has not answered since {since}; the job is left as it is."
            )
        return {"progress": done, "message": " ".join(line for line in lines if line)}


def waiting_lines(job, snapshot):
    """The job's place in its queue, and when the scheduler expects it to start."""
    place, waiting = snapshot.place(job)
    queue = f" in {job.queue}" if job.queue else ""
    if job.state == HELD:
        yield f"Job {job.id} is held{queue}."
    elif place:
        yield f"Job {job.id} waits{queue}, {place} of {waiting}."
    else:
        yield f"Job {job.id} waits{queue}."
    if job.start and job.start > time.time():
        # By the scheduler's clock, which need not be this one's.
        yield f"Expected to start at about {clock(job.start)}."


def clock(moment):
    return time.strftime("%a %H:%M", time.localtime(moment))


async def listening(host, port, patience=10):
    """Wait for a server that called before it listens, for a few seconds.

    The hub itself then waits until it answers, but looks ever more rarely.
    """
    with contextlib.suppress(TimeoutError):
        await exponential_backoff(
            listens, "", 0.1, 1.5, max_wait=0.5, timeout=patience, host=host, port=port
        )


async def listens(host, port):
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@lru_cache(maxsize=64)
def compiled(template):
    """A template of a job script, compiled once rather than at each start."""
    return Template(template)


def redact(text, *secrets_known):
    """Take out of a job's output what may be a secret."""
    for secret in filter(None, secrets_known):
        text = text.replace(secret, "[hidden]")
    return SECRET.sub("[hidden]", text)


class JobNames:
    """The names of a hub's jobs: no other hub gives such a name, on whatever machine it is.

    Hubs of one name on two machines may use one cluster. The cookie secret tells them apart.
    """

    def __init__(self, hub_name, secret, length):
        tag = hashlib.sha256(hub_name.encode() + b" " + secret).hexdigest()[:6]
        prefix = f"jupyterhub-{hub_name}-{tag}"
        if len(prefix) + 8 > length:
            prefix = f"j{tag}-"
        self.digits = min(8, length - len(prefix))
        self.prefix = prefix

    def new(self):
        return self.prefix + secrets.token_hex(4)[: self.digits]

    def match(self, name):
        return bool(re.fullmatch(f"{re.escape(self.prefix)}[0-9a-f]{{{self.digits}}}", name))


async def cancel(table, user, job_id, job_name):
    """End a job; done as well if there is none any more. SchedulerError otherwise."""
    try:
        request = {"job_id": job_id, "name": job_name}
        await Wrapper.get().call(table.cluster, "cancel", request, user)
    except SchedulerError as error:
        if not table.scheduler.GONE.search(str(error)):
            raise


class SlurmSpawner(GatewayBatchMixin, batchspawner.SlurmSpawner):
    scheduler = "slurm"


# The names of these schedulers' jobs: older ones take 15 characters.
SHORT = 15


class TorqueSpawner(GatewayBatchMixin, batchspawner.TorqueSpawner):
    scheduler = "torque"
    job_name_length = Integer(SHORT, config=True, help=GatewayBatchMixin.job_name_length.help)


class MoabSpawner(GatewayBatchMixin, batchspawner.MoabSpawner):
    scheduler = "moab"
    job_name_length = Integer(SHORT, config=True, help=GatewayBatchMixin.job_name_length.help)


class PBSSpawner(GatewayBatchMixin, batchspawner.PBSSpawner):
    scheduler = "pbs"
    job_name_length = Integer(SHORT, config=True, help=GatewayBatchMixin.job_name_length.help)


class GridengineSpawner(GatewayBatchMixin, batchspawner.GridengineSpawner):
    scheduler = "gridengine"
    req_pe = Unicode(
        "smp", config=True, help="Parallel environment for more than one core on one node."
    )

    def parse_job_id(self, output):
        # A site's own words may stand before it, and `-terse` in its defaults shortens it.
        return re.search(r"^(?:Your job )?(\d+)\b", output, re.MULTILINE)[1]


class CondorSpawner(GatewayBatchMixin, batchspawner.CondorSpawner):
    scheduler = "condor"

    def cmd_formatted_for_batch(self):
        # Within the quotes of a submit description quotes are doubled.
        return super().cmd_formatted_for_batch().replace('"', '""').replace("'", "''")


class LsfSpawner(GatewayBatchMixin, batchspawner.LsfSpawner):
    scheduler = "lsf"


class LocalSpawner(GatewayMixin, LocalProcessSpawner):
    """A server on the hub's machine, as the user, although the hub is not root."""

    @default("env_keep")
    def _env_keep_default(self):
        return ["LANG", "LC_ALL"]

    async def start(self):
        self.checked_user_options()
        self.port = self.port or random_port()
        request = {"cmd": [*self.cmd, *self.get_args()], "env": self.account_env()}
        self.log.info("Starting %s for %s", shlex.join(self.cmd), self.user.name)
        wrapper = Wrapper.get()
        self.proc = subprocess.Popen(
            wrapper.argv(self.user.name, "local", "run"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        # The wrapper says which process becomes the server: that of sudo is out of reach.
        try:
            async with asyncio.timeout(wrapper.timeout):
                line = await asyncio.to_thread(self.hand_over, json.dumps(request).encode())
        except TimeoutError:
            line = b""
        if not line.strip().isdigit():
            raise SpawnRefused("The server's process did not start", reason="local")
        self.pid = int(line)
        return (self.ip or "127.0.0.1", self.port)

    def hand_over(self, request):
        """Give the wrapper its request and return the line it answers."""
        with contextlib.suppress(BrokenPipeError), self.proc.stdin as stdin:
            stdin.write(request)
        return self.proc.stdout.readline()

    async def _signal(self, sig):
        try:
            request = {"pid": self.pid, "signal": int(sig)}
            await Wrapper.get().call("local", "signal", request, self.user.name)
        except SchedulerError as error:
            self.log.debug("Process %i of %s: %s", self.pid, self.user.name, error)
            return False
        return True


ALIASES = {
    alias: f"{__name__}.{cls.__name__}"
    for alias, cls in {
        "local": LocalSpawner,
        "slurm": SlurmSpawner,
        "torque": TorqueSpawner,
        "pbs": PBSSpawner,
        "gridengine": GridengineSpawner,
        "condor": CondorSpawner,
        "lsf": LsfSpawner,
        "moab": MoabSpawner,
    }.items()
}
