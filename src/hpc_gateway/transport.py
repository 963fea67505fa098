"""How the hub calls its submit wrapper: by sudo on this machine, or by ssh on a submit host."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import subprocess
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location

from traitlets import Dict, Enum, Float, Instance, Integer, Unicode, default
from traitlets.config import Application, SingletonConfigurable

# The hub's environment holds its secrets; a scheduler's client needs none of it.
CLEAN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

# The wrapper's own exit codes: it has refused, and the scheduler was not asked.
REFUSED = {64, 69, 77}

# They change nothing, and are asked beside what does: a hundred submissions hold up no question.
QUESTIONS = {"account", "capacity", "jobs"}

# No answer: of the wrapper in time, of ssh; or a program on the way was ended by a signal.
UNANSWERED = {None, 124, 255, 129, 130, 137, 143}

# In the words of a scheduler's client: the answer got lost, the request perhaps not.
LOST = re.compile(
    r"(?i)tim(?:ed|e)[ -]?out|socket|connect|communicat|contact|unreachable|transmit|no answer"
    r"|try again|temporar|broken pipe|reset by peer|not respond|can't talk|end of file|protocol"
)


class SchedulerError(Exception):
    """A command of the wrapper failed, in the words of the scheduler's client."""

    def __init__(self, words, code=None):
        super().__init__(words)
        self.code = code

    @property
    def ambiguous(self):
        """Whether the scheduler may have done what it was asked for all the same."""
        if self.code in REFUSED:
            return False
        if self.code in UNANSWERED or self.code < 0:
            return True
        return bool(LOST.search(str(self)))


class Shared:
    """One for the whole hub, configured like the hub.

    Not a singleton's class itself, for those of one such class exclude each other.
    """

    @classmethod
    def get(cls):
        if not cls.initialized():
            cls.instance(parent=Application.instance() if Application.initialized() else None)
        return cls.instance()


class Wrapper(Shared, SingletonConfigurable):
    """Calls the wrapper, a few calls at a time."""

    path = Unicode(
        "/opt/jupyterhub/main/bin/batch", config=True, help="Path of the submit wrapper."
    )

    transport = Enum(
        ["local", "ssh"],
        "local",
        config=True,
        help="Whether the wrapper runs on this machine, or on a submit host at the end of `ssh`.",
    )

    sudo = Unicode(
        "sudo -n -u {username} --",
        config=True,
        help="What makes the wrapper run as the user; {username} is replaced.",
    )

    ssh = Unicode(
        config=True,
        help="The ssh command up to the host; its forced command reads USER CLUSTER VERB.",
    )

    timeout = Float(
        35, config=True, help="Seconds until a command of the wrapper that hangs is given up."
    )

    # sshd allows ten sessions on one connection, both kinds together.
    at_once = Integer(
        6, min=1, config=True, help="How many jobs are submitted or cancelled at the same time."
    )

    questions_at_once = Integer(
        3, min=1, config=True, help="How many questions are asked at the same time."
    )

    account_age = Float(
        60, config=True, help="Seconds for which an answer about an account is good."
    )

    slots = Instance(asyncio.Semaphore)
    question_slots = Instance(asyncio.Semaphore)

    # (cluster, user) -> when it was asked (time.monotonic()), and the answer.
    accounts = Dict()

    @default("slots")
    def _slots_default(self):
        return asyncio.Semaphore(self.at_once)

    @default("question_slots")
    def _question_slots_default(self):
        return asyncio.Semaphore(self.questions_at_once)

    def argv(self, user, cluster, verb):
        if self.transport == "ssh":
            return [*shlex.split(self.ssh), user or "-", cluster, verb]
        prefix = [word.format(username=user) for word in shlex.split(self.sudo)] if user else []
        return [*prefix, self.path, cluster, verb]

    async def ask(self, cluster, verb, user=None):
        """What each command of a bulk query printed, or SchedulerError.

        On this machine and for nobody in particular the wrapper's own code runs in the hub: a
        process of its own for each question would be most of the hub's work.
        """
        if self.transport == "ssh" or user:
            return json.loads(await self.call(cluster, verb, user=user))["outputs"]
        try:
            code, output = await asyncio.to_thread(self.program.answers_about, cluster, verb)
        except SystemExit as refusal:
            raise SchedulerError(refusal.reason, refusal.code) from None
        if code != 0:
            raise SchedulerError(output.strip() or f"exit status {code}", code)
        return output

    @property
    def program(self):
        """The wrapper as a module, as it is now: a deploy may have replaced it."""
        changed = os.stat(self.path).st_mtime_ns
        if self.loaded != changed:
            loader = SourceFileLoader("hpc_gateway_batch", self.path)
            spec = spec_from_file_location(loader.name, self.path, loader=loader)
            self.module = module_from_spec(spec)
            loader.exec_module(self.module)
            self.loaded = changed
        return self.module

    loaded = None

    async def call(self, cluster, verb, request=None, user=None):
        """Run a verb, as the user if one is given; return what it prints, or SchedulerError."""
        async with self.question_slots if verb in QUESTIONS else self.slots:
            return await self.run(self.argv(user, cluster, verb), json.dumps(request or {}))

    async def run(self, argv, text):
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=CLEAN_ENVIRONMENT,
                cwd="/",
            )
        except OSError as error:
            raise SchedulerError(f"cannot run {argv[0]}: {error.strerror}", 69) from None
        try:
            async with asyncio.timeout(self.timeout):
                out, err = await process.communicate(text.encode())
        except TimeoutError:
            raise SchedulerError(
                f"the batch system did not answer within {self.timeout:g} s"
            ) from None
        finally:
            if process.returncode is None:
                # sudo belongs to root: the hub may not end it, but the wrapper ends by itself.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    process.kill()
        if process.returncode != 0:
            # Some clients say on standard output what went wrong.
            words = (err or out).decode(errors="replace").strip()
            raise SchedulerError(words or f"exit status {process.returncode}", process.returncode)
        return out.decode(errors="replace")

    async def account(self, cluster, user):
        """What the machine that submits knows of an account: name, uid, home, shell, groups.

        Asked once for a sign-in and the start that follows it; a refusal is not kept.
        """
        asked, account = self.accounts.get((cluster, user), (-float("inf"), None))
        if time.monotonic() - asked > self.account_age:
            asked = time.monotonic()
            account = json.loads(await self.call(cluster, "account", user=user))
            self.accounts[cluster, user] = asked, account
        return account
