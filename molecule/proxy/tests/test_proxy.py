"""The proxy alone: sockets, stale sockets, sandbox, restart only when what it runs changes."""

import importlib
import re
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3] / "tests"))
sandbox = importlib.import_module("sandbox")

UNIT = "jupyterhub-proxy-main"
SOCKET = "/run/jupyterhub/main/proxy/proxy.sock"
API_SOCKET = "/run/jupyterhub/main/hub/proxy-api.sock"
APPLY = (Path(__file__).parents[3] / "roles/proxy/files/apply-proxy").read_text()
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def pid(host):
    return host.check_output("systemctl show --property=MainPID --value %s", UNIT)


def connect(host, user, socket):
    return host.run("runuser -u %s -- python3 -c %s %s", user, CONNECT, socket).rc == 0


def test_runs_as_the_instances_account(host):
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    assert host.file(f"/proc/{pid(host)}").user == "jupyterhub-main"


def test_listens_on_no_port(host):
    listening = re.findall(r"\S+ 00000000:0000 0A .*", host.file("/proc/net/tcp").content_string)
    assert listening == []


def test_apache_alone_reaches_the_socket(host):
    assert connect(host, "www-data", SOCKET)
    assert not connect(host, "nobody", SOCKET)
    assert not connect(host, "www-data", API_SOCKET)
    assert connect(host, "jupyterhub-main", API_SOCKET)


def test_stale_sockets_do_not_keep_it_from_listening(host):
    host.check_output("systemctl kill --signal=KILL %s", UNIT)
    for _ in range(50):
        if host.service(UNIT).is_running and connect(host, "www-data", SOCKET):
            return
        time.sleep(0.2)
    pytest.fail("the proxy does not listen after it was killed")


def test_token_is_in_no_command_line(host):
    secret = host.file("/var/lib/jupyterhub/main/secrets/proxy.env").content_string
    token = secret.split("=")[1].strip()
    assert len(token) == 64
    assert token not in host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_security_score(host):
    verdict = host.check_output("systemd-analyze security --no-pager %s | tail -n 1", UNIT)
    score = float(re.search(r"(\d+\.\d+)", verdict)[1])
    print(f"systemd-analyze security: proxy {score}")
    assert score <= 2.0


def test_sandbox_is_in_force_not_only_written(host):
    host.check_output("touch /tmp/outside /home/outside")
    answers = sandbox.probe(
        host,
        UNIT,
        {
            # Refused
            "write below /opt": "touch /opt/jupyterhub/main/x",
            "see home directories": "test -e /home/outside",
            "see the machine's /tmp": "test -e /tmp/outside",
            "see devices": "test -e /dev/kmsg",
            "see other processes": "test -d /proc/1",
            "become another": "sudo -n -u nobody true",
            "make a namespace": "unshare --user true",
            "have new privileges": "grep -q '^NoNewPrivs:.*0' /proc/self/status",
            "be without a system call filter": "grep -q '^Seccomp:.*0' /proc/self/status",
            "have capabilities": "grep '^CapBnd:' /proc/self/status | grep -q '[1-9a-f]$'",
            # Needed
            "write below /run": f"touch {SOCKET}.probe && rm {SOCKET}.probe",
            "read the release": "test -r /opt/jupyterhub/main/proxy/bin/configurable-http-proxy",
        },
    )
    needed = {"write below /run", "read the release"}
    assert {name for name, code in answers.items() if code == 0} == needed


def test_same_proxy_in_another_release_restarts_nothing(host):
    before = pid(host)
    host.check_output(
        "cd /opt/jupyterhub/main/releases && rm -rf other && mkdir other && cp -a */PROXY other/"
    )
    done = host.run("sh -c %s apply-proxy main other", APPLY)
    assert (done.rc, done.stdout) == (0, "")
    assert pid(host) == before


def test_a_changed_unit_restarts_it_even_after_an_interruption(host):
    before = pid(host)
    release = host.check_output("basename $(readlink /opt/jupyterhub/main/proxy)")
    host.check_output("echo '# changed' >>/etc/systemd/system/%s.service", UNIT)
    done = host.run("sh -c %s apply-proxy main %s", APPLY, release)
    assert "applied" in done.stdout
    assert pid(host) != before
