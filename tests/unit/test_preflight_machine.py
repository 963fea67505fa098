"""What role preflight asks a machine, with stand-ins for what a test cannot change."""

import importlib.util
import ipaddress
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "roles/preflight/library/preflight_machine.py"
SPEC = importlib.util.spec_from_file_location("preflight_machine", LIBRARY)
machine = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(machine)


@pytest.fixture
def found():
    return machine.Findings()


def whats(found):
    return [problem["what"] for problem in found.problems]


# The machine itself


@pytest.mark.parametrize("version", ["12", "13"])
def test_supported_debian(found, version, tmp_path):
    machine.check_system(found, {"ID": "debian", "VERSION_ID": version}, str(tmp_path))
    assert (found.problems, found.warnings) == ([], [])


def test_user(found):
    machine.check_user(found, 0)
    assert found.problems == []
    machine.check_user(found, 1000)
    assert whats(found) == ["Ansible is not root on this machine"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("ID=debian\nVERSION_ID=11\n", "debian 11"),
        ("ID=debian\nPRETTY_NAME='Debian GNU/Linux forky/sid'\n", "Debian GNU/Linux forky/sid"),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID='12'\n", "ubuntu 12"),
        ('ID="rocky"\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4"\n', "Rocky Linux 9.4"),
        ('ID="rhel"\nVERSION_ID="9.6"\n', "rhel 9.6"),
        ("", "unknown"),
    ],
)
def test_unsupported_system(found, text, label, tmp_path):
    machine.check_system(found, machine.os_release(text), str(tmp_path))
    assert [problem["value"] for problem in found.problems] == [label]
    assert whats(found) == ["this version deploys to Debian 12 and 13 alone"]
    assert found.warnings == []


def test_without_systemd(found, tmp_path):
    machine.check_system(found, {"ID": "debian", "VERSION_ID": "12"}, str(tmp_path / "none"))
    assert "systemd does not run here" in whats(found)[0]


def fake_python(path, prints):
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("version", ["3 11", "3 13"])
def test_python_supported(found, tmp_path, version):
    machine.check_python(found, fake_python(tmp_path / "python", version))
    assert found.problems == []


@pytest.mark.parametrize(
    ("prints", "what"),
    [
        ("3 9", "is Python 3.9, not 3.11 to 3.13"),
        ("3 14", "is Python 3.14, not 3.11 to 3.13"),
        ("hello", "does not run as a Python"),
    ],
)
def test_python_unsupported(found, tmp_path, prints, what):
    machine.check_python(found, fake_python(tmp_path / "python", prints))
    assert whats(found) == [what]


def test_python_missing(found, tmp_path):
    machine.check_python(found, str(tmp_path / "python"))
    assert whats(found) == ["no such file on the machine"]


def test_disk(found, tmp_path):
    machine.check_disk(found, 0, str(tmp_path / "not/yet/there"))
    assert found.problems == []
    machine.check_disk(found, 10**9, str(tmp_path / "not/yet/there"))
    assert whats(found)[0].startswith(str(tmp_path))


# Ports and addresses

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode\n"


def table(*rows):
    """Return a /proc/net/tcp of (address, port, state, inode) rows."""
    lines = []
    for number, (address, port, state, inode) in enumerate(rows):
        raw = ipaddress.ip_address(address).packed
        words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
        packed = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
        lines.append(
            f"{number:4}: {packed}:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0 {inode} 1"
        )
    return HEAD + "\n".join(lines) + "\n"


def port_problems(found, rows, holder="python3", listen=("127.0.0.1",), ports=None):
    machine.check_ports(
        found,
        ports or {"gateway_https_port": 443},
        list(listen),
        "127.0.0.1",
        [table(*rows)],
        lambda inodes: dict.fromkeys(inodes, (7, holder)),
    )
    return whats(found)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_port_held(found, address):
    assert port_problems(found, [(address, 443, "0A", "5")]) == [
        "this port is held by python3 (process 7)"
    ]
    assert found.problems[0]["path"] == ["gateway_https_port"]


@pytest.mark.parametrize(
    "row",
    [
        ("127.0.0.1", 444, "0A", "5"),  # another port
        ("127.0.0.2", 443, "0A", "5"),  # another address
        ("::1", 443, "0A", "5"),
        ("127.0.0.1", 443, "01", "5"),  # a connection, not a listener
    ],
)
def test_port_free(found, row):
    assert port_problems(found, [row]) == []


def test_port_held_under_every_address(found):
    assert port_problems(found, [("192.0.2.1", 443, "0A", "5")], listen=["*"])


@pytest.mark.parametrize("name", ["apache2", "httpd"])
def test_port_held_by_apache(found, name):
    assert port_problems(found, [("0.0.0.0", 443, "0A", "5")], name) == []


def test_api_port_has_an_address_of_its_own(found):
    row = ("127.0.0.1", 8081, "0A", "5")
    ports = {"gateway_api_port": 8081}
    assert port_problems(found, [row], listen=["192.0.2.1"], ports=ports)


def test_port_held_by_an_unseen_process(found):
    machine.check_ports(
        found,
        {"gateway_http_port": 80},
        ["*"],
        "*",
        [table(("0.0.0.0", 80, "0A", "5"))],
        lambda inodes: {},
    )
    assert "outside this machine's view" in whats(found)[0]
    assert found.problems[0]["remedy"].startswith("Stop it")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_real_listener_is_found(found):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        machine.check_ports(found, {"gateway_api_port": port}, [], "127.0.0.1")
    assert whats(found) == [
        f"this port is held by {machine.process_name(os.getpid())} (process {os.getpid()})"
    ]


def test_addresses(found):
    machine.check_addresses(found, ["127.0.0.1", "*", "192.0.2.77"], "127.0.0.1")
    assert [problem["path"] for problem in found.problems] == [["gateway_listen", 2]]
    machine.check_addresses(found, [], "192.0.2.78")
    assert found.problems[1]["path"] == ["gateway_api_listen"]


# TLS files


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, capture_output=True)


def make_pair(directory, name, days=90, host="hub.example.org", more=()):
    directory.mkdir(exist_ok=True)
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={host}"),
        *("-addext", f"subjectAltName=DNS:{host},IP:192.0.2.1", "-days", str(days), *more),
    )
    key.chmod(0o600)
    return str(certificate), str(key)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Good certificate and key, and a second pair."""
    directory = tmp_path_factory.mktemp("tls")
    return SimpleNamespace(
        good=make_pair(directory, "good"), other=make_pair(directory, "other"), path=directory
    )


@pytest.mark.parametrize("name", ["hub.example.org", "192.0.2.1"])
def test_good_pair(found, tls, name):
    machine.check_tls(found, *tls.good, name)
    assert (found.problems, found.warnings) == ([], [])


@pytest.mark.parametrize(("days", "warnings"), [(5, 1), (80, 0)])
def test_certificate_of_an_acme_server(found, tmp_path, days, warnings):
    certificate, _ = make_pair(tmp_path, "x", days=days)
    (tmp_path / "domains/hub.example.org").mkdir(parents=True)
    Path(certificate).rename(tmp_path / "domains/hub.example.org/pubcert.pem")
    machine.check_acme(found, "hub.example.org", store=tmp_path)
    assert len(found.warnings) == warnings
    # None yet: the deploy gets it.
    machine.check_acme(found, "other.example.org", store=tmp_path)
    assert len(found.warnings) == warnings


@pytest.mark.parametrize(
    ("hosts", "covered"), [("hub.example.org", False), ("*.hub.example.org", True)]
)
def test_names_of_users_servers(found, tmp_path, hosts, covered):
    certificate, _ = make_pair(tmp_path, "x", host=hosts)
    machine.check_subdomains(found, certificate, "hub.example.org")
    assert [problem["what"] for problem in found.problems] == (
        [] if covered else ["does not cover *.hub.example.org, and hub_subdomains is true"]
    )


@pytest.mark.parametrize("name", ["other.example.org", "192.0.2.2"])
def test_server_name_not_covered(found, tls, name):
    machine.check_tls(found, *tls.good, name)
    assert whats(found) == [f"does not cover the server name {name}"]


def test_wildcard_certificate(found, tmp_path):
    machine.check_tls(found, *make_pair(tmp_path, "x", host="*.example.org"), "hub.example.org")
    assert found.problems == []


def test_pair_does_not_match(found, tls):
    machine.check_tls(found, tls.good[0], tls.other[1], "hub.example.org")
    assert whats(found) == [f"does not match the certificate {tls.good[0]}"]


def test_expired(found, tls, monkeypatch):
    monkeypatch.setattr(machine.time, "time", lambda: 10**10)
    machine.check_tls(found, *tls.good, "hub.example.org")
    assert whats(found)[0].startswith("has expired on")


def test_expires_soon(found, tmp_path):
    machine.check_tls(found, *make_pair(tmp_path, "x", days=5), "hub.example.org")
    assert found.problems == []
    assert "expires on" in found.warnings[0]


def test_not_yet_valid(found, tls, monkeypatch):
    monkeypatch.setattr(machine.time, "time", lambda: 0)
    machine.check_tls(found, *tls.good, "hub.example.org")
    assert whats(found)[0].startswith("is valid only from")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A certificate, the intermediate that issued it, and the authority that issued that."""
    directory = tmp_path_factory.mktemp("chain")
    issuer = ()
    for name, host in (("root", "r"), ("between", "b"), ("leaf", "hub.example.org")):
        certificate, key = make_pair(directory, name, host=host, more=issuer)
        issuer = ("-CA", certificate, "-CAkey", key)
    return directory


@pytest.mark.parametrize(
    ("names", "trusted", "end"),
    [
        (["leaf"], "", "CN = hub.example.org"),
        (["leaf"], "root", "CN = hub.example.org"),
        (["leaf", "between"], "", "CN = b"),
        (["leaf", "root"], "root", "CN = hub.example.org"),
        (["leaf", "between"], "root", None),
        (["leaf"], "between", None),
        (["leaf", "between", "root"], "", None),
    ],
)
def test_chain(found, chain, tmp_path, monkeypatch, names, trusted, end):
    store, path = tmp_path / "store.pem", tmp_path / "chain.pem"
    store.write_text((chain / f"{trusted}.pem").read_text() if trusted else "")
    path.write_text("".join((chain / f"{name}.pem").read_text() for name in names))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    machine.check_tls(found, str(path), str(chain / "leaf.key"), "hub.example.org")
    assert found.problems == []
    assert len(found.warnings) == bool(end)
    assert not end or f"lacks its chain: who issued {end} is" in found.warnings[0]


def test_tls_files_missing(found, tmp_path):
    machine.check_tls(found, str(tmp_path / "c"), str(tmp_path), "x")
    assert whats(found) == ["no such file on the machine", "is not a file"]


def test_tls_files_of_another_kind(found, tmp_path):
    path = tmp_path / "text"
    path.write_text("hello")
    path.chmod(0o600)
    machine.check_tls(found, str(path), str(path), "x")
    assert whats(found) == [
        "is not a certificate in PEM form",
        "is not a private key in PEM form without a pass phrase",
    ]


def test_key_with_pass_phrase(found, tls):
    locked = tls.path / "locked.key"
    openssl("pkey", "-in", tls.good[1], "-aes256", "-passout", "pass:x", "-out", str(locked))
    locked.chmod(0o600)
    machine.check_tls(found, tls.good[0], str(locked), "hub.example.org")
    assert "without a pass phrase" in whats(found)[0]


def test_key_open_to_all(found, tmp_path):
    certificate, key = make_pair(tmp_path, "x")
    os.chmod(key, 0o644)
    machine.check_tls(found, certificate, key, "hub.example.org")
    assert whats(found) == ["every user of the machine can read the key"]


def test_without_openssl(found, tls):
    machine.check_tls(found, *tls.other[:1], tls.good[1], "other", openssl="/no/openssl")
    assert found.problems == []
    assert "openssl is not installed" in found.warnings[0]


# Accounts and directories


@pytest.fixture
def accounts(monkeypatch):
    """Let the machine know these accounts: name → (user id, home)."""
    known = {}

    def look_up(name):
        uid, home = known[name]
        return pwd.struct_passwd((name, "x", uid, uid, "", home, "/bin/sh"))

    monkeypatch.setattr(machine.pwd, "getpwnam", look_up)
    return known


@pytest.mark.parametrize(
    ("uid", "home", "what"),
    [
        (1000, "/var/lib/jupyterhub/main", "is the account of a person (user id 1000)"),
        (0, "/root", "is root"),
        (33, "/var/www", "is a system account with another use"),
    ],
)
def test_account_of_something_else(found, accounts, uid, home, what):
    accounts["hub"] = (uid, home)
    machine.check_accounts(found, "main", "hub", "", 1000)
    assert whats(found)[0].startswith(what)


def test_account_of_the_hub(found, accounts):
    machine.check_accounts(found, "main", "hub", "", 1000)
    accounts["hub"] = (998, "/var/lib/jupyterhub/main")
    machine.check_accounts(found, "main", "hub", "", 1000)
    assert found.problems == []


def test_group(found):
    machine.check_accounts(found, "main", "no-such-account", "root", 1000)
    assert found.problems == []
    machine.check_accounts(found, "main", "no-such-account", "no-such-group", 1000)
    assert whats(found) == ["the machine knows no such group"]


def test_first_user_id():
    assert machine.first_user_id("# UID_MIN 1\nUID_MIN\t\t 500\n") == 500
    assert machine.first_user_id("") == 1000


@pytest.fixture
def directories(tmp_path, monkeypatch):
    """Make the shared directories of a machine below a scratch one, owned by root to all looks."""
    for top in ("opt", "etc", "var/lib"):
        (tmp_path / top / "jupyterhub").mkdir(parents=True)
    owner, real = {}, os.stat

    def look(path, *args, **kwargs):
        state = real(path, *args, **kwargs)
        return SimpleNamespace(st_mode=state.st_mode, st_uid=owner.get(str(path), 0))

    monkeypatch.setattr(machine.os, "stat", look)
    return SimpleNamespace(root=str(tmp_path), owner=owner, path=tmp_path)


def test_directories_fresh(found, directories):
    machine.check_directories(found, "main", None, directories.root)
    assert found.problems == []


def test_directory_is_a_file(found, directories):
    (directories.path / "opt/jupyterhub/main").write_text("x")
    machine.check_directories(found, "main", None, directories.root)
    assert whats(found) == [
        f"{directories.root}/opt/jupyterhub/main is not a directory, and the hub's own goes there"
    ]


def test_directory_of_somebody(found, directories):
    directories.owner[f"{directories.root}/etc/jupyterhub"] = 1000
    machine.check_directories(found, "main", None, directories.root)
    assert whats(found) == [
        f"{directories.root}/etc/jupyterhub belongs to user id 1000, so it is not a hub's"
    ]


def test_directory_of_the_hub(found, directories):
    state = directories.path / "var/lib/jupyterhub/main"
    state.mkdir()
    directories.owner[str(state)] = 998
    account = SimpleNamespace(pw_uid=998)
    machine.check_directories(found, "main", account, directories.root)
    assert found.problems == []
    machine.check_directories(found, "main", None, directories.root)
    assert "belongs to user id 998" in whats(found)[0]


def test_directory_open_to_all(found, directories):
    (directories.path / "opt/jupyterhub").chmod(0o777)
    machine.check_directories(found, "main", None, directories.root)
    assert whats(found)[0].startswith("every user of the machine can write")


def test_slurm_of_the_site():
    ours = "# Written by role slurm of JupyterHub HPC Gateway: one node\n"
    assert machine.slurm_is_foreign("ClusterName=big\n")
    assert not machine.slurm_is_foreign(ours)
    assert not machine.slurm_is_foreign("")


def test_mark_is_the_one_the_role_slurm_writes():
    template = LIBRARY.parents[2] / "slurm/templates/etc/slurm/slurm.conf.j2"
    assert not machine.slurm_is_foreign(template.read_text())


# Files of a sign-on


def test_file_of_a_sign_on_that_is_not_there(found, tmp_path):
    machine.check_sign_on(found, {"gateway_shibboleth_metadata": str(tmp_path / "none.xml")})
    (problem,) = found.problems
    assert problem["path"] == ["gateway_shibboleth_metadata"]
    assert problem["what"] == "no such file on the machine"


def test_keytab_is_secret(found, tmp_path):
    keytab = tmp_path / "http.keytab"
    keytab.touch(mode=0o600)
    machine.check_sign_on(found, {"gateway_gssapi_keytab": str(keytab)})
    assert found.problems == []
    keytab.chmod(0o644)
    machine.check_sign_on(found, {"gateway_gssapi_keytab": str(keytab)})
    (problem,) = found.problems
    assert "every user of the machine can read the keys" in problem["what"]
