"""Spawners which start servers as jobs, or on the hub's machine, through the submit wrapper.

Each is batchspawner's spawner of the same name. What changes is how the scheduler is talked to:
by the root-owned wrapper alone, without a shell, without the hub's environment, and with a limit
of time; and an error of the scheduler no longer counts as the end of a job.
"""

import asyncio
import contextlib
import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET

import batchspawner
from batchspawner.batchspawner import BatchSpawnerBase, JobStatus, format_template
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import random_port
from traitlets import Float, Set, Unicode, default
from traitlets.config import LoggingConfigurable

from . import port_callback, scripts
from .errors import SpawnRefused

port_callback.register()

# The hub's environment holds its secrets; a scheduler's client needs none of it.
CLEAN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

# The wrapper takes these from the user's account.
ACCOUNT_VARIABLES = {"PATH", "HOME", "USER", "LOGNAME", "SHELL"}

# What an allowed option of a user may look like: nothing that a shell or a scheduler reads as more
# than one word.
USER_OPTION = re.compile(r"[A-Za-z0-9_.:,=+@/-]{1,128}")

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\]@-]{0,127}")


class GatewayMixin(LoggingConfigurable):
    """What job and local spawners share: the wrapper, and the filter of what users ask for."""

    scheduler = "local"

    batch_wrapper = Unicode(
        "/opt/jupyterhub/main/bin/batch", config=True, help="Path of the submit wrapper."
    )

    exec_prefix = Unicode(
        "sudo -n -u {username} --",
        config=True,
        help="What makes the wrapper run as the user; {username} is replaced.",
    )

    command_timeout = Float(
        30, config=True, help="Seconds until a command of the wrapper that hangs is given up."
    )

    user_options_allowed = Set(
        Unicode(),
        config=True,
        help="Names of the job script's values (`nprocs` for req_nprocs) a user may choose freely.",
    )

    def wrapper_argv(self, *words):
        prefix = [word.format(username=self.user.name) for word in shlex.split(self.exec_prefix)]
        return [*prefix, self.batch_wrapper, *words]

    def account_env(self):
        """The server's environment, less what the wrapper knows better."""
        return {
            name: str(value)
            for name, value in self.get_env().items()
            if name not in ACCOUNT_VARIABLES
        }

    def checked_user_options(self):
        """The options a user may set; others are refused, since they would beat the profile's."""
        # The key of the profile is meant for the profiles spawner around this one.
        options = {k: v for k, v in self.user_options.items() if k != "profile"}
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

    async def run_wrapper(self, argv, stdin=""):
        """Run a command and return what it prints; RuntimeError with its words when it fails."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
        )
        try:
            async with asyncio.timeout(self.command_timeout):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError:
            raise RuntimeError(
                f"the batch system did not answer within {self.command_timeout:g} s"
            ) from None
        finally:
            if process.returncode is None:
                # sudo belongs to root: the hub may not end it, but the wrapper ends by itself.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    process.kill()
        if process.returncode != 0:
            words = err.decode(errors="replace").strip()
            raise RuntimeError(words or f"exit status {process.returncode}")
        return out.decode(errors="replace").strip()


class GatewayBatchMixin(GatewayMixin, BatchSpawnerBase):
    """Goes in front of one of batchspawner's classes."""

    # Where the scheduler says so, a job is gone; any other failure of a query says nothing.
    gone_re = Unicode(
        r"(?i)invalid job id|unknown job|job has finished|job <\S+> is not found",
        config=True,
        help="Error message of the scheduler that means: there is no such job any more.",
    )

    job_name = Unicode("jupyterhub", config=True, help="Name of the jobs, in the scheduler's list.")

    batch_submit_cmd = Unicode(
        "{wrapper} {scheduler} submit", config=True, help="Command that submits a job script."
    )
    batch_query_cmd = Unicode(
        "{wrapper} {scheduler} query {job_id}", config=True, help="Command that asks for one job."
    )
    batch_cancel_cmd = Unicode(
        "{wrapper} {scheduler} cancel {job_id}", config=True, help="Command that ends one job."
    )

    def get_req_subvars(self):
        return super().get_req_subvars() | {
            "job_name": self.job_name,
            "scheduler": self.scheduler,
            "wrapper": self.batch_wrapper,
        }

    def cmd_formatted_for_batch(self):
        return shlex.join(
            [*shlex.split(self.batchspawner_singleuser_cmd), *self.cmd, *self.get_args()]
        )

    async def run_command(self, cmd, input=None, env=None):
        # `env`, the server's environment, travels on standard input instead.
        return await self.run_wrapper(shlex.split(cmd), input or "")

    def command(self, template, **values):
        # What comes out is split into words again. Name and job id are checked to be plain ones
        # where they come from; quoted all the same.
        values = {name: shlex.quote(value) for name, value in values.items()}
        subvars = self.get_req_subvars() | {"username": shlex.quote(self.user.name)} | values
        return " ".join(format_template(text, **subvars) for text in (self.exec_prefix, template))

    def kept_env(self, names):
        """The variables that the job script exports by name, with their values."""
        env = self.account_env()
        return {name: env[name] for name in names.replace(" ", "").split(",") if name in env}

    async def job_script(self):
        """The script, with the values of the profile and, where allowed, the user's choices."""
        subvars = self.get_req_subvars() | self.checked_user_options()
        for name, value in subvars.items():
            if name not in ("prologue", "epilogue") and "\n" in str(value):
                raise ValueError(f"req_{name} must be one line")
        subvars["cmd"] = self.cmd_formatted_for_batch()
        return await self._get_batch_script(**subvars)

    async def submit_batch_script(self):
        script = await self.job_script()
        request = {"script": script, "env": self.kept_env(self.get_req_subvars()["keepvars"])}
        command = self.command(self.batch_submit_cmd)
        # Neither the environment nor the request: they hold the server's token.
        self.log.info("Submitting a job for %s: %s", self.user.name, command)
        self.log.debug("Job script of %s:\n%s", self.user.name, script)
        try:
            answer = await self.run_command(command, input=json.dumps(request))
        except RuntimeError as error:
            words = str(error).splitlines()[0][:300]
            raise SpawnRefused(
                f"The batch system did not take the job: {words}",
                reason="submit",
                log_message=f"The batch system did not take the job: {error}",
                status_code=503,
            ) from None
        try:
            job_id = self.parse_job_id(answer)
        except Exception:
            job_id = ""
        if not JOB_ID.fullmatch(job_id):
            raise RuntimeError(f"No job id in the batch system's answer: {answer[:300]!r}")
        self.job_id = job_id
        self.log.info("Submitted job %s for %s", self.job_id, self.user.name)
        return self.job_id

    async def query_job_status(self):
        if not self.job_id:
            self.job_status = ""
            return JobStatus.NOTFOUND
        try:
            self.job_status = await self.run_command(
                self.command(self.batch_query_cmd, job_id=self.job_id)
            )
            if self.state_isrunning():
                return JobStatus.RUNNING
            if self.state_ispending():
                return JobStatus.PENDING
            return JobStatus.NOTFOUND
        except (RuntimeError, ET.ParseError) as error:
            if re.search(self.gone_re, str(error)):
                return JobStatus.NOTFOUND
            self.log.warning("The state of job %s is not known: %s", self.job_id, error)
            return JobStatus.UNKNOWN

    async def cancel_batch_job(self):
        try:
            await self.run_command(self.command(self.batch_cancel_cmd, job_id=self.job_id))
        except RuntimeError as error:
            if not re.search(self.gone_re, str(error)):
                raise
            self.log.info("Job %s had already ended", self.job_id)


class SlurmSpawner(GatewayBatchMixin, batchspawner.SlurmSpawner):
    scheduler = "slurm"
    batch_script = Unicode(scripts.SLURM, config=True, help="Template of the job script.")
    # batchspawner's take a job which is suspended or requeued for one that is gone.
    state_pending_re = Unicode(
        r"^(?:PENDING|CONFIGURING|REQUEUE|RESV_DEL_HOLD|SPECIAL_EXIT)",
        config=True,
        help="Matches the answer to a query while the job waits.",
    )
    state_running_re = Unicode(
        r"^(?:RUNNING|COMPLETING|RESIZING|SIGNALING|STAGE_OUT|STOPPED|SUSPENDED)",
        config=True,
        help="Matches the answer to a query while the job runs.",
    )


class TorqueSpawner(GatewayBatchMixin, batchspawner.TorqueSpawner):
    scheduler = "torque"
    batch_script = Unicode(scripts.TORQUE, config=True, help="Template of the job script.")


class MoabSpawner(GatewayBatchMixin, batchspawner.MoabSpawner):
    scheduler = "moab"
    batch_script = Unicode(scripts.TORQUE, config=True, help="Template of the job script.")


class PBSSpawner(GatewayBatchMixin, batchspawner.PBSSpawner):
    scheduler = "pbs"
    batch_script = Unicode(scripts.PBS, config=True, help="Template of the job script.")
    # batchspawner's misses host names with a dot.
    state_exechost_re = Unicode(
        r"exec_host = ([\w.-]+)/", config=True, help="Finds the host in the answer to a query."
    )


class GridengineSpawner(GatewayBatchMixin, batchspawner.GridengineSpawner):
    scheduler = "gridengine"


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
        argv = self.wrapper_argv("local", "run")
        self.log.info("Starting %s for %s", shlex.join(self.cmd), self.user.name)
        self.proc = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        # The wrapper says which process becomes the server: that of sudo is out of reach.
        try:
            async with asyncio.timeout(self.command_timeout):
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
        argv = self.wrapper_argv("local", "signal", str(self.pid), str(int(sig)))
        try:
            await self.run_wrapper(argv)
        except RuntimeError as error:
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
