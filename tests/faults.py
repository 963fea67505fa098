"""What may go wrong between a hub and its scheduler: the same cases for every scheduler.

A scenario's tests subclass `Faults` and give it a `Scheduler` of theirs. Between the wrapper and
the scheduler's commands the suite puts a shim, which can fail, hang, lie or lose an answer in each
of the ways that schedulers do; the scheduler itself is the real one.
"""

import json
import re
import shlex
import time
from contextlib import contextmanager

import pytest

# Also stands in the hub's configuration of the scenarios: molecule/resources/files/50-tests.py.
TOKEN = "only-for-tests-0123456789abcdef"
HUB = "/opt/jupyterhub/main"
CALL = """
import http.client, json, socket, sys, time
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(3 if path.endswith("progress") else 60)
        self.sock.connect("/run/jupyterhub/main/hub/hub.sock")
def so_far(answer):
    # The stream of a start that goes on does not end.
    text, end = b"", time.monotonic() + 4
    try:
        while time.monotonic() < end and (chunk := answer.read1()):
            text += chunk
    except TimeoutError:
        pass
    return text
method, path, body, token = sys.argv[1:]
connection = Connection("localhost")
connection.request(method, "/jupyter/hub/api/" + path, body or None,
                   {"Authorization": "token " + token, "Content-Type": "application/json"})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""
SHIM = r"""#!/bin/sh
# shim VERB COMMAND...: run a command of the scheduler, or what /run/faults/VERB says instead.
verb=$1 fault=$(cat "/run/faults/$1" 2>/dev/null)
shift
echo "$verb" >>/run/faults/calls
case $fault in
    error) echo 'Zero Bytes were transmitted or received' >&2; exit 1 ;;
    strange) echo 'something that no list knows' >&2; exit 42 ;;
    hang) exec sleep 300 ;;
    garbage) echo '<<<?|%$ lorem ipsum' ;;
    cut) "$@" | head -c -20 ;;
    lost) "$@" >/dev/null; echo 'Socket timed out on send/recv operation' >&2; exit 1 ;;
    lost-hang) "$@" >/dev/null; exec sleep 300 ;;
    *) exec "$@" ;;
esac
"""
INSTALL = """
import json, os, sys
path, cluster, on = "/etc/jupyterhub/main/batch.json", sys.argv[1], sys.argv[2] == "on"
configuration = json.load(open(path))
commands = configuration["clusters"][cluster]["commands"]
def shimmed(verb, words):
    words = words[2:] if words[0] == "/usr/local/bin/shim" else words
    return ["/usr/local/bin/shim", verb, *words] if on else words
for verb, words in commands.items():
    many = not words or isinstance(words[0], list)
    commands[verb] = [shimmed(verb, w) for w in words] if many else shimmed(verb, words)
with open(path + ".new", "w") as file:
    json.dump(configuration, file, indent=4, sort_keys=True)
os.replace(path + ".new", path)
"""


class Hub:
    """The hub, asked by its API on its own socket."""

    def __init__(self, host):
        self.host = host

    def api(self, method, path, body=None):
        """Return status and text of an answer."""
        text = json.dumps(body) if body is not None else ""
        command = "runuser -u jupyterhub-main -- python3 -c %s %s %s %s %s"
        return json.loads(self.host.check_output(command, CALL, method, path, text, TOKEN))

    def servers(self, user):
        status, text = self.api("GET", f"users/{user}")
        return json.loads(text)["servers"] if status == 200 else {}

    def begin(self, user, profile, name="", **options):
        self.api("POST", f"users/{user}")
        path = f"users/{user}/servers/{name}" if name else f"users/{user}/server"
        status, text = self.api("POST", path, {"profile": profile, **options})
        assert status in (201, 202), text

    def fail(self, user, profile, seconds=60):
        """Begin a start that fails, and return what the user is told."""
        self.api("POST", f"users/{user}")
        status, text = self.api("POST", f"users/{user}/server", {"profile": profile})
        # A failure that comes at once is the answer; a later one is on the page with the progress.
        if status == 202:
            self.wait(user, "gone", seconds)
            text = self.said(user)
        assert status != 201
        return text

    def wait(self, user, wanted, seconds=90):
        """Wait until the default server is `ready`, `pending` or `gone`; fail if it does not."""
        end = time.monotonic() + seconds
        while True:
            server = self.servers(user).get("")
            state = "gone" if not server else "ready" if server["ready"] else "pending"
            if state == wanted:
                return server
            # What failed is not worth waiting for.
            if time.monotonic() > end or (wanted == "ready" and state == "gone"):
                said = self.said(user) if wanted == "ready" else ""
                pytest.fail(f"{user}'s server is {state}, not {wanted}: {said}\n{self.journal()}")
            time.sleep(0.5)

    def start(self, user, profile, seconds=90, **options):
        self.begin(user, profile, **options)
        return self.wait(user, "ready", seconds)

    def stop(self, user, seconds=60):
        self.api("DELETE", f"users/{user}/server")
        self.wait(user, "gone", seconds)

    def said(self, user):
        """What the page says of a start: the last event of its progress, so far."""
        code = CALL.replace("answer.read()", "so_far(answer)")
        command = "runuser -u jupyterhub-main -- python3 -c %s GET %s '' %s"
        answer = self.host.check_output(command, code, f"users/{user}/server/progress", TOKEN)
        events = [json.loads(event) for event in re.findall(r"data: (.*)", json.loads(answer)[1])]
        event = events[-1] if events else {}
        return " ".join(filter(None, (event.get("html_message"), event.get("message"))))

    def serves(self, user):
        """Whether the notebook server answers by way of the gateway: its own version, or 302."""
        code = (
            "import requests, sys, urllib3; urllib3.disable_warnings();"
            "print(requests.get(sys.argv[1], verify=False, timeout=5).text)"
        )
        url = f"https://localhost/jupyter/user/{user}/api"
        answer = self.host.run(f"{HUB}/current/venv/bin/python -c %s %s", code, url)
        return '"version"' in answer.stdout

    def journal(self, lines=40):
        command = "journalctl --quiet --no-pager --output=cat --unit=jupyterhub-main --lines=%s"
        return self.host.check_output(command, str(lines))

    def since(self):
        """A place in the journal, for `said_since`."""
        return self.host.check_output("date '+%Y-%m-%d %H:%M:%S'")

    def said_since(self, moment):
        command = "journalctl --quiet --no-pager --output=cat --unit=jupyterhub-main --since=%s"
        return self.host.check_output(command, moment)

    def kill(self):
        """As a machine that runs out of memory does it."""
        self.host.check_output("systemctl kill --signal=KILL jupyterhub-main")

    def back(self):
        for _ in range(120):
            if self.host.run("systemctl is-active --quiet jupyterhub-main").rc == 0:
                return
            time.sleep(0.5)
        pytest.fail("the hub does not come back")


class Scheduler:
    """What the suite does to a scheduler, by the scheduler's own commands, as root."""

    cluster = ""
    # Commands that make one question about jobs.
    commands = 1
    # Keys of the scenario's profiles.
    profile = "small"
    refused_profile = "refused"
    held_profile = "held"
    broken_profile = "broken"

    def __init__(self, host):
        # The machine that submits, where the wrapper and its commands are.
        self.host = host

    def run(self, command, *words):
        return self.host.check_output(command, *words)

    # How the names of the hub's jobs begin.
    names = r"jupyterhub-main-[0-9a-f]{14}"

    def ours(self, name):
        return bool(re.fullmatch(self.names, name))

    # The machines on which a notebook server may run.
    @property
    def nodes(self):
        return [self.host]

    # Which of the processes that have the server on their command line has its environment.
    which = "--oldest"

    def process(self, user):
        """The process of a user's notebook server, wherever it runs: (machine, id), or None."""
        for node in self.nodes:
            found = node.run(f"pgrep {self.which} --uid %s --full /jupyterhub-singleuser", user)
            if found.stdout.strip():
                return node, found.stdout.strip()
        return None

    def token(self, user):
        """The token of a user's server, as its own process has it."""
        node, process = self.process(user)
        command = "tr '\\0' '\\n' </proc/%s/environ | sed -n s/^JUPYTERHUB_API_TOKEN=//p"
        return node.check_output(command, process)

    def jobs(self):
        """Return the ids of the hub's jobs that have not ended."""
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def start(self):
        raise NotImplementedError

    def restart(self):
        self.stop()
        self.start()

    def release(self, job):
        raise NotImplementedError

    def requeue(self, job):
        raise NotImplementedError

    def cancel(self, job):
        raise NotImplementedError

    def lose_node(self):
        """Have the node die with all that runs there."""
        raise NotImplementedError

    def wait_for_lost_node(self, job):
        """Wait until the scheduler has noticed, or for as long as it may stay unnoticed."""
        raise NotImplementedError

    def regain_node(self):
        raise NotImplementedError

    # What the page says of a job that is held.
    held_words = "is held"

    # Commands by which a second user might see a job's environment, with {job}.
    views = ()

    @contextmanager
    def fault(self, verb, kind):
        """While this lasts, the scheduler's commands for a verb fail in this way."""
        self.run("echo %s >/run/faults/%s", kind, verb)
        try:
            yield
        finally:
            self.run("rm -f /run/faults/%s", verb)

    @contextmanager
    def shimmed(self):
        self.run("install -d -m 1777 /run/faults")
        self.run("printf %s %s >/usr/local/bin/shim && chmod 755 /usr/local/bin/shim", "%s", SHIM)
        self.run("touch /run/faults/calls && chmod 666 /run/faults/calls")
        self.run("python3 -c %s %s on", INSTALL, self.cluster)
        try:
            yield
        finally:
            self.run("python3 -c %s %s off", INSTALL, self.cluster)
            self.run("rm -r /run/faults /usr/local/bin/shim")

    def settle(self, count, seconds=60):
        """Wait until there are that many jobs of the hub, and return their ids."""
        for _ in range(2 * seconds):
            found = self.jobs()
            if len(found) == count:
                return found
            time.sleep(0.5)
        pytest.fail(f"there are {len(found)} jobs, not {count}: {found}")


class Faults:
    """The cases. Each begins and ends without a server and without a job."""

    user = "ada"
    # How long the scheduler is down; the suite's bound is three minutes.
    outage = 180

    # The scenario's own.
    scheduler_class = Scheduler

    @pytest.fixture(scope="class")
    @classmethod
    def hub(cls, host):
        return Hub(host)

    @pytest.fixture(scope="class")
    @classmethod
    def scheduler(cls, host):
        return cls.scheduler_class(host)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def shim(cls, scheduler):
        with scheduler.shimmed():
            yield

    @pytest.fixture(autouse=True)
    def clean(self, hub, scheduler):
        yield
        if self.user in self.people(hub):
            hub.stop(self.user)
        scheduler.settle(0)

    def people(self, hub):
        return [user["name"] for user in json.loads(hub.api("GET", "users")[1])]

    @pytest.fixture
    def server(self, hub, scheduler):
        """A server that is ready; returns the id of its job."""
        hub.start(self.user, scheduler.profile)
        (job,) = scheduler.jobs()
        return job

    def lives(self, hub, scheduler, job):
        """The server was not dropped: the same job, and it serves."""
        assert self.servers_job(hub) == job
        assert scheduler.jobs() == [job]
        assert hub.serves(self.user)

    def servers_job(self, hub):
        state = json.loads(hub.api("GET", f"users/{self.user}")[1])["servers"][""]["state"]
        return state["child_state"]["job_id"]

    # A running server, and a scheduler that does not answer

    def test_scheduler_down_for_three_minutes(self, hub, scheduler, server):
        moment = hub.since()
        scheduler.stop()
        try:
            time.sleep(self.outage)
            assert hub.serves(self.user)
            assert "has not answered for" in self.page(hub)
        finally:
            scheduler.start()
        time.sleep(10)
        self.lives(hub, scheduler, server)
        log = hub.said_since(moment)
        assert re.search(r"no answer about jobs: \S", log)
        assert "has not answered for" in log
        assert "answers again" in log

    def page(self, hub):
        """A page of the hub, as a signed-in user sees it."""
        return hub.host.check_output(
            f"runuser -u jupyterhub-main -- {HUB}/current/venv/bin/python -c %s", PAGE
        )

    def test_scheduler_restarted(self, hub, scheduler, server):
        scheduler.restart()
        time.sleep(10)
        self.lives(hub, scheduler, server)

    @pytest.mark.parametrize("kind", ["error", "strange", "garbage", "cut", "hang"])
    def test_query_fails(self, hub, scheduler, server, kind):
        moment = hub.since()
        with scheduler.fault("jobs", kind):
            time.sleep(15)
            assert hub.serves(self.user)
        time.sleep(5)
        self.lives(hub, scheduler, server)
        assert "no answer about jobs" in hub.said_since(moment)

    def test_start_while_queries_fail(self, hub, scheduler):
        """What cannot be asked is waited for, and said."""
        with scheduler.fault("jobs", "error"):
            hub.begin(self.user, scheduler.held_profile)
            time.sleep(15)
            assert "The batch system has not answered since" in hub.said(self.user)
        (job,) = scheduler.settle(1)
        scheduler.release(job)
        hub.wait(self.user, "ready")
        self.lives(hub, scheduler, job)

    # Submitting

    @pytest.mark.parametrize("kind", ["lost", "lost-hang"])
    def test_answer_to_a_submission_is_lost(self, hub, scheduler, kind):
        """The job was taken: it is found, and not submitted again."""
        self.submissions(scheduler)
        with scheduler.fault("submit", kind):
            hub.begin(self.user, scheduler.profile)
            hub.wait(self.user, "ready")
        (job,) = scheduler.jobs()
        self.lives(hub, scheduler, job)
        assert self.submissions(scheduler) == 1

    def submissions(self, scheduler):
        """How often a job was submitted since this was last asked."""
        calls = scheduler.run("cat /run/faults/calls && : >/run/faults/calls").split()
        return calls.count("submit")

    def test_submission_that_never_arrived(self, hub, scheduler):
        with scheduler.fault("submit", "error"):
            said = hub.fail(self.user, scheduler.profile)
        assert "did not take the job: Zero Bytes" in said

    def test_submission_refused(self, hub, scheduler):
        """The scheduler's own words reach the user."""
        said = hub.fail(self.user, scheduler.refused_profile)
        assert "The batch system did not take the job: " in said
        assert re.search(scheduler.refused_words, said), said

    # What happens to jobs

    def test_held_job(self, hub, scheduler):
        hub.begin(self.user, scheduler.held_profile)
        (job,) = scheduler.settle(1)
        time.sleep(6)
        assert scheduler.held_words in hub.said(self.user)
        scheduler.release(job)
        hub.wait(self.user, "ready")
        self.lives(hub, scheduler, job)

    def test_job_dies_before_it_calls_back(self, hub, scheduler):
        """The start fails at once; the last of the output is shown, without secrets."""
        start = time.monotonic()
        hub.fail(self.user, scheduler.broken_profile)
        assert time.monotonic() - start < 60
        said = hub.said(self.user)
        assert "ended before its server was ready" in said
        assert "&lt;b&gt;no such module&lt;/b&gt;" in said
        assert "[hidden]" in said
        assert "canary" not in said
        assert re.search(r"~/\.jupyterhub-main/\S+\.log", said)

    def test_requeued_job(self, hub, scheduler, server):
        """The scheduler starts the job again: its server comes back, at its new address."""
        before = scheduler.process(self.user)[1]
        scheduler.requeue(server)
        self.wait_until(lambda: (scheduler.process(self.user) or ("", before))[1] != before, 240)
        self.wait_until(lambda: hub.serves(self.user), 120)
        self.lives(hub, scheduler, server)

    @staticmethod
    def wait_until(condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(1)

    def test_job_cancelled_by_somebody_else(self, hub, scheduler, server):
        scheduler.cancel(server)
        hub.wait(self.user, "gone")

    def test_job_ended_and_forgotten_while_the_hub_was_down(self, hub, scheduler, server):
        hub.host.check_output("systemctl stop jupyterhub-main")
        scheduler.cancel(server)
        scheduler.settle(0)
        scheduler.forget(server)
        hub.host.check_output("systemctl start jupyterhub-main")
        hub.wait(self.user, "gone")

    def test_node_dies(self, hub, scheduler, server):
        """Either the job comes back, or the server is gone, and the user may go on."""
        scheduler.lose_node()
        try:
            self.wait_until(lambda: not hub.serves(self.user), 60)
            scheduler.wait_for_lost_node(server)
        finally:
            scheduler.regain_node()
        self.wait_until(lambda: self.settled(hub, scheduler), 240)
        if not hub.servers(self.user):
            hub.start(self.user, scheduler.profile)

    def settled(self, hub, scheduler):
        server = hub.servers(self.user).get("")
        return not server or (server["ready"] and hub.serves(self.user))

    def test_clock_of_the_hub_is_wrong(self, hub, scheduler):
        """Two hours ahead: nothing is decided by comparing its clock with another one."""
        drop_in = "/run/systemd/system/jupyterhub-main.service.d"
        library = hub.host.check_output("find /usr/lib -name 'libfaketime.so.1'")
        # For the hub alone: the check of its health sleeps, which libfaketime of Debian 12 breaks.
        setting = (
            "[Service]\nExecStart=\nExecStart=/usr/bin/env FAKETIME=+7200"
            f" FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD={library}"
            f" {HUB}/current/venv/bin/python -m hpc_gateway.app"
            " --config=/etc/jupyterhub/main/jupyterhub_config.py\n"
        )
        hub.host.check_output(
            "mkdir -p %s && printf %%s %s >%s/clock.conf", drop_in, setting, drop_in
        )
        try:
            hub.host.check_output("systemctl daemon-reload && systemctl restart jupyterhub-main")
            hub.start(self.user, scheduler.profile)
            (job,) = scheduler.jobs()
            time.sleep(10)
            self.lives(hub, scheduler, job)
            hub.host.check_output("systemctl restart jupyterhub-main")
            self.lives(hub, scheduler, job)
            hub.stop(self.user)
        finally:
            hub.host.check_output("rm -r %s && systemctl daemon-reload", drop_in)
            hub.host.check_output("systemctl restart jupyterhub-main")

    # The hub dies

    def test_hub_killed_with_a_server_running(self, hub, scheduler, server):
        hub.kill()
        hub.back()
        hub.wait(self.user, "ready")
        self.lives(hub, scheduler, server)

    def test_hub_killed_while_a_job_waits(self, hub, scheduler):
        hub.begin(self.user, scheduler.held_profile)
        (job,) = scheduler.settle(1)
        hub.kill()
        hub.back()
        scheduler.release(job)
        hub.wait(self.user, "ready")
        self.lives(hub, scheduler, job)

    def test_hub_killed_before_it_knows_the_job(self, hub, scheduler):
        """The job was taken, its id reached nobody: it is found by its name."""
        with scheduler.fault("submit", "lost-hang"):
            hub.begin(self.user, scheduler.profile)
            scheduler.settle(1)
            hub.kill()
            hub.back()
        hub.wait(self.user, "ready")
        (job,) = scheduler.jobs()
        self.lives(hub, scheduler, job)

    def test_hub_killed_as_soon_as_the_job_runs(self, hub, scheduler):
        hub.begin(self.user, scheduler.profile)
        (job,) = scheduler.settle(1)
        hub.kill()
        hub.back()
        hub.wait(self.user, "ready")
        self.lives(hub, scheduler, job)

    # Ending

    def test_cancel_that_fails_is_tried_again(self, hub, scheduler, server):
        moment = hub.since()
        with scheduler.fault("cancel", "error"):
            hub.api("DELETE", f"users/{self.user}/server")
            hub.wait(self.user, "gone", 60)
            assert scheduler.jobs() == [server]
        scheduler.settle(0)
        log = hub.said_since(moment)
        assert "could not be cancelled" in log
        assert "no server belongs to it" in log

    # The token

    def test_nobody_else_can_read_the_token(self, hub, scheduler, server):
        """By a second user: process list, the job's listing, spooled scripts, logs, any file."""
        token = scheduler.token(self.user)
        assert re.fullmatch(r"[0-9a-f]{32,}", token)
        for view in scheduler.views:
            command = view.replace("{job}", shlex.quote(server))
            printed = "tr -cd '[:print:]\\n'"
            seen = scheduler.host.run(
                "runuser -u eve -- sh -c %s", f"{{ {command}; }} 2>&1 | {printed}"
            )
            assert seen.stdout.strip(), f"{command} shows nothing at all"
            assert token not in seen.stdout, command
        # Apart from the search below, which has the token on its own command line.
        processes = f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | {printed}"
        assert token not in scheduler.host.run("runuser -u eve -- sh -c %s", processes).stdout
        places = "/etc /home /opt/jupyterhub/main/bin /run /tmp /var"
        search = f"grep -rlIs --exclude-dir=proc {token} {places} 2>/dev/null"
        assert scheduler.host.run("runuser -u eve -- sh -c %s", search).stdout == ""
        journal = hub.host.check_output("journalctl --no-pager --output=cat")
        assert token not in journal

    # The price

    def test_scheduler_is_asked_at_its_pace(self, hub, scheduler, server):
        """However many want to know."""
        self.submissions(scheduler)
        time.sleep(20)
        calls = scheduler.run("cat /run/faults/calls").split()
        most = (20 / scheduler.interval + 1) * scheduler.commands
        assert 3 * scheduler.commands <= len(calls) <= most, calls


# A page of the hub, by a cookie made the way the hub makes one: as ada, with the sign-on's header.
PAGE = """
import http.client, socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/jupyterhub/main/hub/hub.sock")
cookies = {}
def get(path, **headers):
    connection = Connection("localhost")
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    connection.request("GET", path, headers={"Cookie": cookie, **headers})
    answer = connection.getresponse()
    for line in answer.headers.get_all("Set-Cookie") or []:
        name, _, value = line.split(";")[0].partition("=")
        cookies[name] = value
    return answer.headers.get("Location"), answer.read().decode()
get("/jupyter/hub/login", Remote_User="ada")
print(get("/jupyter/hub/home")[1])
"""
