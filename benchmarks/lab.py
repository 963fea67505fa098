"""What benchmarks/polling and benchmarks/spawn share: a machine with a hub, and how it is asked."""

import http.client
import json
import math
import os
import secrets
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOURCES = ROOT / "molecule/resources"
CONTAINER = RESOURCES / "container"
PODMAN = RESOURCES / "bin/docker"
STAND_IN = "/usr/local/bin/stand-in"
# How the benchmarks ask a hub for a token, made anew each time, and for whom.
TOKEN = secrets.token_hex(16)
ASKER = "bench-asker"
# A part of a hub's configuration: its API for the benchmarks.
API = f"""
c.JupyterHub.services.append({{"name": "bench", "api_token": "{TOKEN}"}})
c.JupyterHub.load_roles.append({{
    "name": "bench",
    "services": ["bench"],
    "users": ["{ASKER}"],
    "scopes": [
        "admin:users", "admin:servers", "admin:server_state", "servers", "list:users", "tokens",
    ],
}})
"""
ADDITION = "/etc/jupyterhub/main/jupyterhub_config.d/60-bench.py"


class Failure(Exception):
    """What was to be measured did not work."""


def log(text):
    """Say what is going on, beside the table."""
    print(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f}: {text}", file=sys.stderr)


def percentile(values, part):
    """Return the least value below which this part of them lies."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


def keep(name, lines):
    """Print the lines of a table, and keep them where the tables are."""
    print("\n".join(lines))
    path = ROOT / f".artifacts/benchmarks/{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Machine:
    """A container."""

    def __init__(self, name):
        """Name one that runs."""
        self.name = name

    @classmethod
    def deployed(cls, name, **variables):
        """Start a new one and deploy a hub with embedded Slurm there, as the site playbook does."""
        machine = cls(name)
        machine.remove()
        # By default podman allows fewer processes than these jobs have.
        subprocess.run([CONTAINER, "up", name, "released", "--pids-limit=-1"], check=True)
        path = f"{ROOT / '.venv-test/bin'}:{RESOURCES / 'bin'}:{os.environ['PATH']}"
        settings = {"ANSIBLE_CONFIG": ROOT / "ansible.cfg", "ANSIBLE_HOME": ROOT / ".ansible"}
        command = [
            ROOT / ".venv-test/bin/ansible-playbook",
            *("--inventory", f"{name},", "--connection", "community.docker.docker"),
            *("--extra-vars", json.dumps({"hub_notebook_listen": "127.0.0.1", **variables})),
            ROOT / "playbooks/site.yml",
        ]
        played = subprocess.run(
            command, env=os.environ | settings | {"PATH": path}, capture_output=True, text=True
        )
        if played.returncode != 0:
            raise Failure(f"the deploy failed:\n{played.stdout[-4000:]}{played.stderr[-1000:]}")
        return machine

    def remove(self):
        """Remove it."""
        subprocess.run([CONTAINER, "down", self.name], check=True)

    def run(self, command, *words, text=""):
        """Run a shell command with these as $1, $2 ... there; return what it prints."""
        argv = [PODMAN, "exec", "--interactive", self.name, "sh", "-c", command, "sh", *words]
        done = subprocess.run(argv, input=text, capture_output=True, text=True)
        if done.returncode != 0:
            said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise Failure(f"{self.name}: {command}: exit code {done.returncode}\n{said}")
        return done.stdout

    def write(self, path, text, mode="644"):
        """Put a text into a file there."""
        self.run(
            'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', path, mode, text=text
        )

    def install(self, name):
        """Put one of the programs beside this one there."""
        self.write(f"/usr/local/bin/{name}", (ROOT / "benchmarks" / name).read_text(), "755")

    def serve_stand_ins(self):
        """Have a stand-in answer on this node for all servers of it."""
        self.install("stand-in")
        self.run(f"systemd-run --quiet --collect --unit=bench-stand-in {STAND_IN} serve")

    def remove_stand_ins(self):
        """Stop it."""
        self.run(f"systemctl stop bench-stand-in && rm {STAND_IN}")

    def add_people(self, names, home=True):
        """Make accounts that are missing, of the same numbers on every machine."""
        words = "--create-home" if home else "--no-create-home"
        script = """
            number=30000
            while read -r name; do
                number=$((number + 1))
                id "$name" >/dev/null 2>&1 || useradd --uid $number --shell /bin/bash $1 "$name"
            done
        """
        self.run(script, words, text="".join(f"{name}\n" for name in names))

    def remove_people(self, names, home=True):
        """Take these accounts away again."""
        script = """
            while read -r name; do
                ! id "$name" >/dev/null 2>&1 || userdel $1 "$name" 2>/dev/null
            done
        """
        self.run(script, "--remove" if home else "", text="".join(f"{name}\n" for name in names))

    def jobs(self):
        """Return (id, user, state) of each job in the scheduler's memory, ended ones too."""
        listed = self.run("squeue --all --noheader --states=all --format='%i|%u|%T'")
        return [line.split("|") for line in listed.splitlines()]

    def no_jobs(self, seconds=60):
        """Wait until no job is left."""
        end = time.monotonic() + seconds
        while left := self.run("squeue --all --noheader"):
            if time.monotonic() > end:
                raise Failure(f"jobs are left:\n{left[:2000]}")
            time.sleep(0.3)

    def gateway(self, addition=""):
        """Let the benchmarks ask this machine's hub, add to its configuration; return it."""
        self.write(ADDITION, API + addition)
        self.run("systemctl restart jupyterhub-main")
        command = [PODMAN, "inspect", "--format", "{{.State.Pid}}", self.name]
        process = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        socket_path = f"/proc/{process}/root/run/jupyterhub/main/hub/hub.sock"
        hub = Hub(lambda timeout: UnixConnection(socket_path, timeout))
        hub.get_token()
        return hub


class UnixConnection(http.client.HTTPConnection):
    """HTTP by a unix socket."""

    def __init__(self, path, timeout):
        """Name the socket."""
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        """Connect to it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Hub:
    """A hub, asked by its API from outside of its machine, so that asking costs it least."""

    def __init__(self, connect):
        """Take what makes a connection, given a timeout."""
        self.connect, self.token = connect, TOKEN

    def ask(self, method, path, body=None, timeout=60):
        """Return status and body of an answer of the hub."""
        connection = self.connect(timeout)
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, f"/jupyter/hub/{path}", text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get_token(self):
        """Ask by a token of the hub's own making from now on.

        Such one is checked as quickly as a browser's cookie; one that a person has chosen is hashed
        16,000 times at every request.
        """
        status, text = self.ask("POST", f"api/users/{ASKER}/tokens", {})
        if status != 201:
            raise Failure(f"no token: {status} {text}")
        self.token = json.loads(text)["token"]

    def add_users(self, names):
        """Make users that are missing known to the hub."""
        status, text = self.ask("POST", "api/users", {"usernames": names})
        # 409: all of them are known.
        if status not in (201, 409):
            raise Failure(f"no users: {status} {text}")

    def server(self, user):
        """Return what the hub says of a user's server; None if there is none."""
        return json.loads(self.ask("GET", f"api/users/{user}")[1])["servers"].get("")

    def users(self, state):
        """Return the users with a server in this state: `ready`, `active` (starting ones too)."""
        found, page = [], None
        while page is None or len(page) == 200:
            path = f"api/users?state={state}&limit=200&offset={len(found)}"
            page = json.loads(self.ask("GET", path)[1])
            found += page
        return found

    def start(self, names, options, seconds=300):
        """Ask for all these servers at once and wait until they are ready."""

        def ask(name):
            status, text = self.ask("POST", f"api/users/{name}/server", options)
            if status not in (201, 202):
                raise Failure(f"{name}'s server does not start: {status} {text[:2000]}")

        end = time.monotonic() + seconds
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(ask, names))
        looks = 0
        while missing := set(names) - {user["name"] for user in self.users("ready")}:
            looks += 1
            # Rarely, since it is the hub that is measured: is one of them given up?
            gone = looks % 10 == 0 and [name for name in missing if self.server(name) is None]
            if gone or time.monotonic() > end:
                raise Failure(f"not ready: {sorted(missing)}, of these gone: {gone}")
            time.sleep(1)

    def stop(self, names, seconds=180):
        """Stop these users' servers and wait until they are gone."""
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(min(50, len(names))) as pool:
            list(pool.map(lambda name: self.ask("DELETE", f"api/users/{name}/server"), names))
        while left := [u["name"] for u in self.users("active") if u["name"] in names]:
            if time.monotonic() > end:
                raise Failure(f"servers do not stop: {left}")
            time.sleep(0.3)
