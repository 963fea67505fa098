"""A hub that starts, restarts, is refused and goes back, while servers and proxy keep running."""

import importlib
import json
import re
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests"))
sandbox = importlib.import_module("sandbox")

ACTIVATE = (ROOT / "roles/hub/files/activate").read_text()
PERSON = (ROOT / "tests/person.py").read_text()
ADDITIONS = "/etc/jupyterhub/main/jupyterhub_config.d"
HUB_SOCKET = "/run/jupyterhub/main/hub/hub.sock"
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture(scope="module")
def person(host):
    """Return a function: what a person does, by name of user and action."""

    def act(user, *action, prefix="/jupyter/", password="right"):
        words = [prefix, user, password, *action]
        command = "/opt/jupyterhub/main/current/venv/bin/python -c %s" + " %s" * len(words)
        return json.loads(host.check_output(command, PERSON, *words))

    return act


@pytest.fixture(scope="module")
def server(person):
    """Start ada's server, and stop it after the tests."""
    started = person("ada", "start", "small")
    assert started["ready"], started["page"]
    yield lambda: person("ada", "server")["status"]
    person("ada", "stop")


def pid(host, unit):
    return host.check_output("systemctl show --property=MainPID --value %s", unit)


def release(host):
    return host.check_output("basename $(readlink /opt/jupyterhub/main/current)")


def activate(host, name="main"):
    return host.run("sh -c %s activate main jupyterhub-main %s", ACTIVATE, name)


@pytest.mark.parametrize("name", ["main", "second"])
def test_runs_as_an_account_of_its_own(host, name):
    assert host.service(f"jupyterhub-{name}").is_enabled
    process = pid(host, f"jupyterhub-{name}")
    assert host.file(f"/proc/{process}").user == f"jupyterhub-{name}"


def test_listens_on_no_port_and_no_one_else_reaches_its_socket(host):
    for user in ("ada", "www-data", "jupyterhub-second"):
        assert host.run("runuser -u %s -- python3 -c %s %s", user, CONNECT, HUB_SOCKET).rc != 0
    assert host.run("runuser -u jupyterhub-main -- python3 -c %s %s", CONNECT, HUB_SOCKET).rc == 0
    table = host.file("/proc/net/tcp").content_string
    uid = host.user("jupyterhub-main").uid
    assert not re.search(rf"00000000:0000 0A(\s+\S+){{3}}\s+{uid}\s", table)


@pytest.mark.parametrize(("prefix", "name"), [("/jupyter/", "main"), ("/second/", "second")])
def test_two_hubs_side_by_side(person, prefix, name):
    arrived = person("ada", "get", "hub/home", prefix=prefix)
    assert arrived["status"] == 200
    assert arrived["url"].startswith(f"https://localhost{prefix}")


def test_wrong_password_and_blocked_user(person):
    assert person("ada", "sign-in", password="wrong")["status"] == 401
    assert person("eve", "sign-in")["status"] == 403


def test_configuration_is_as_expected(host):
    """A golden file: what an admin reads is what this file shows."""
    golden = Path(__file__).with_name("jupyterhub_config.py.golden").read_text()
    assert host.file("/etc/jupyterhub/main/jupyterhub_config.py").content_string == golden


def test_pages_and_job_scripts_are_in_place(host):
    directory = "/etc/jupyterhub/main/templates"
    ours = {
        f"{path.parent.name}/{path.name}": path.read_text()
        for path in (ROOT / "templates").glob("*/*")
        if path.suffix in (".html", ".sh")
    }
    found = host.check_output("cd %s && find . -type f -perm 644 -user root", directory)
    names = [name.removeprefix("./") for name in found.splitlines()]
    assert {name: host.file(f"{directory}/{name}").content_string for name in names} == ours


def test_configuration_carries_no_secret(host):
    secrets = host.check_output("cat /var/lib/jupyterhub/main/secrets/*")
    text = host.file("/etc/jupyterhub/main/jupyterhub_config.py").content_string
    for secret in re.findall(r"[0-9a-f]{64}", secrets):
        assert secret not in text


def test_server_is_a_job_of_its_user(host, server):
    assert server() == 200
    jobs = host.check_output("squeue --noheader --format='%u %T %j'").splitlines()
    assert len(jobs) == 1
    assert re.fullmatch("ada RUNNING jupyterhub-main-[0-9a-f]{14}", jobs[0])


def test_restarting_the_hub_leaves_proxy_and_server(host, server):
    proxy = pid(host, "jupyterhub-proxy-main")
    jobs = host.check_output("squeue --noheader")
    host.check_output("systemctl restart jupyterhub-main")
    assert pid(host, "jupyterhub-proxy-main") == proxy
    assert server() == 200
    assert host.check_output("squeue --noheader").split()[0] == jobs.split()[0]


def test_routes_are_back_within_five_seconds_of_a_proxy_restart(host, server):
    host.check_output("systemctl kill --signal=KILL jupyterhub-proxy-main")
    start = time.monotonic()
    url = "https://localhost/jupyter/user/ada/api"
    while True:
        code = host.run(
            "/opt/jupyterhub/main/current/venv/bin/python -c %s %s",
            "import requests, sys, urllib3; urllib3.disable_warnings();"
            "print(requests.get(sys.argv[1], verify=False, timeout=2).text)",
            url,
        )
        took = time.monotonic() - start
        # The notebook server's own answer: {"version": ...}
        if '"version"' in code.stdout:
            break
        assert took < 5
        time.sleep(0.2)
    print(f"routes were back after {took:.1f} s")
    assert took < 5
    assert server() == 200


def test_nothing_to_do_touches_nothing(host):
    before = pid(host, "jupyterhub-main")
    done = activate(host, release(host))
    assert (done.rc, done.stdout) == (0, "")
    assert pid(host, "jupyterhub-main") == before


def test_a_bad_addition_is_refused_before_the_hub_is_touched(host):
    before = pid(host, "jupyterhub-main")
    host.check_output("echo 'c.JupyterHub.no_such_thing = 1' >%s/50-bad.py", ADDITIONS)
    done = activate(host, release(host))
    assert done.rc != 0
    assert "no_such_thing" in done.stderr
    assert pid(host, "jupyterhub-main") == before
    # A reboot would start what last worked; the admin's file is kept where the message says.
    assert not host.file(f"{ADDITIONS}/50-bad.py").exists
    assert "/opt/jupyterhub/main/failed" in done.stderr
    kept = "/opt/jupyterhub/main/failed/configuration/jupyterhub_config.d/50-bad.py"
    assert host.file(kept).exists
    assert activate(host, release(host)).stdout == ""


def test_a_hub_that_does_not_come_up_goes_back(host, server):
    """It passes the check, which root runs, and fails in the unit: all goes back."""
    host.check_output(
        "printf 'import os\\nif os.getuid():\\n    raise SystemExit(3)\\n' >%s/50-bad.py", ADDITIONS
    )
    host.check_output("chmod 644 %s/50-bad.py", ADDITIONS)
    done = activate(host, release(host))
    assert done.rc != 0
    assert "back to what last worked" in done.stderr
    assert not host.file(f"{ADDITIONS}/50-bad.py").exists
    assert host.file(ADDITIONS).mode == 0o750
    assert host.service("jupyterhub-main").is_running
    assert server() == 200
    assert activate(host, release(host)).stdout == ""


def test_a_broken_release_goes_back_and_the_old_one_serves(host, server):
    """A release whose JupyterHub does not start, as an upgrade might bring it."""
    old = release(host)
    host.check_output(
        "cd /opt/jupyterhub/main/releases && rm -rf broken && cp -al %s broken && "
        "sed -i 's/^    main()$/    raise SystemExit(3)/' "
        "broken/venv/lib/python3*/site-packages/hpc_gateway/app.py",
        old,
    )
    done = activate(host, "broken")
    assert done.rc != 0
    assert release(host) == old
    assert server() == 200
    host.check_output("rm -r /opt/jupyterhub/main/releases/broken")


def test_switching_releases_keeps_server_and_proxy(host, server):
    old = release(host)
    proxy = pid(host, "jupyterhub-proxy-main")
    host.check_output("cd /opt/jupyterhub/main/releases && rm -rf next && cp -al %s next", old)
    assert "activated next" in activate(host, "next").stdout
    assert host.check_output("readlink /opt/jupyterhub/main/previous") == f"releases/{old}"
    assert pid(host, "jupyterhub-proxy-main") == proxy
    assert server() == 200
    assert f"activated {old}" in activate(host, old).stdout
    assert server() == 200


def test_security_score(host):
    verdict = host.check_output("systemd-analyze security --no-pager jupyterhub-main | tail -n 1")
    score = float(re.search(r"(\d+\.\d+)", verdict)[1])
    print(f"systemd-analyze security: hub {score}")
    assert score <= 6.5


def test_sandbox_is_in_force_not_only_written(host):
    host.check_output("touch /tmp/outside")
    answers = sandbox.probe(
        host,
        "jupyterhub-main",
        {
            # Refused
            "write below /opt": "touch /opt/jupyterhub/main/x",
            "write below /etc": "touch /etc/jupyterhub/main/x",
            "see the machine's /tmp": "test -e /tmp/outside",
            "see other processes": "test -d /proc/1",
            "become root": "sudo -n true",
            "have root's capabilities": "grep '^CapBnd:' /proc/self/status | grep -q ffffff",
            # Needed
            "write its own state": "touch /var/lib/jupyterhub/main/x",
            "call the wrapper": "echo {} | sudo -n -u ada -- "
            "/opt/jupyterhub/main/bin/batch slurm account",
        },
    )
    needed = {"write its own state", "call the wrapper"}
    assert {name for name, code in answers.items() if code == 0} == needed


def test_no_secret_in_journal_or_process_list(host):
    secrets = set(
        re.findall(r"[0-9a-f]{64}", host.check_output("cat /var/lib/jupyterhub/main/secrets/*"))
    )
    assert len(secrets) == 4
    seen = host.check_output(
        "journalctl --no-pager --output=cat; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )
    assert not [secret for secret in secrets if secret in seen]
