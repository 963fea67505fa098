#!/usr/bin/python
"""Ask a machine, in one go and without changing anything, whether a hub can be deployed on it."""

from __future__ import annotations

import glob
import grp
import ipaddress
import os
import pwd
import re
import socket
import ssl
import stat
import struct
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: preflight_machine
short_description: Say what on a machine stands against deploying a hub
description:
  - Looks at operating system, Python, disk, ports, addresses, TLS files, accounts, directories.
  - Changes nothing, in check mode or not. Finds all problems, not only the first.
  - Called through the action plugin of the same name, which fills in the options and words the
    result.
options:
  hub_name: {description: Name of the instance., type: str, required: true}
  hub_account: {description: Account the hub runs as., type: str, required: true}
  batch_user_group: {description: Group that may submit., type: str}
  release_python: {description: Python that releases are built with., type: str, required: true}
  disk_free_gb: {description: Free space wanted below /opt., type: float, required: true}
  server_name: {description: Name people type., type: str, required: true}
  acme: {description: Address of an ACME server., type: str, default: ""}
  subdomains: {description: Whether users have names below it., type: bool, default: false}
  listen: {description: Addresses for people., type: list, elements: str, required: true}
  api_listen: {description: Address for compute nodes., type: str, required: true}
  ports: {description: The gateway's ports by variable., type: dict, required: true}
  certificate: {description: File of the TLS certificate., type: path}
  key: {description: File of the TLS key., type: path, no_log: false}
  sign_on_files: {description: Files that the sign-on needs by variable., type: dict, default: {}}
author: JupyterHub HPC Gateway
"""

RETURN = """
problems:
  description: What is wrong, each with path, value, what and remedy.
  type: list
  elements: dict
  returned: always
slurm_foreign:
  description: Whether the machine has a Slurm of the site's, which slurm_embedded auto keeps.
  type: bool
  returned: always
ansible_facts:
  description: The fact os_family, which roles choose their files of variables by.
  type: dict
  returned: always
"""

SUPPORTED_DEBIAN = ("12", "13")
PYTHONS = ((3, 11), (3, 13))
WEB_SERVERS = ("apache2", "httpd")
LISTENING = "0A"
SOON = 14 * 86400
# Where role gateway has mod_md keep its certificates.
ACME_STORE = "/var/lib/apache2/md"


class Findings:
    """What was found: problems that stop the deploy, warnings that do not."""

    def __init__(self):
        """Begin with nothing."""
        self.problems = []
        self.warnings = []

    def problem(self, path, value, what, remedy):
        """Add a problem; `path` is a variable, or a list of it and positions in it."""
        path = [path] if isinstance(path, str) else path
        self.problems.append({"path": path, "value": value, "what": what, "remedy": remedy})


def run(*argv, data=None):
    """Run a program that only reads; return its exit code, output and error output."""
    try:
        done = subprocess.run(
            argv, input=data, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


# The machine itself


def os_release(text):
    """Return the fields of an os-release file."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip("'\"") for key, _, value in pairs}


def check_user(found, uid):
    """Check that Ansible may look everywhere, and later change what is needed."""
    if uid != 0:
        found.problem(
            "user",
            uid,
            "Ansible is not root on this machine",
            "Sign in as root, or as a user who may sudo, and set become: true",
        )


def check_system(found, release, systemd_directory="/run/systemd/system"):
    """Check the distribution, and that systemd runs."""
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    label = release.get("PRETTY_NAME") or " ".join(filter(None, (name, version))) or "unknown"
    if name != "debian" or version not in SUPPORTED_DEBIAN:
        found.problem(
            "operating system",
            label,
            "this version deploys to Debian 12 and 13 alone",
            "Use a machine with one of them",
        )
    if not os.path.isdir(systemd_directory):
        found.problem(
            "init system",
            process_name(1),
            "systemd does not run here, and the hub's services need it",
            "Boot the machine with systemd; a container needs it as its first process",
        )


def check_python(found, path):
    """Check the Python that releases are built with."""
    code, output, _ = run(path, "-I", "-c", "import sys; print(*sys.version_info[:2])")
    wanted = f"{'.'.join(map(str, PYTHONS[0]))} to {'.'.join(map(str, PYTHONS[1]))}"
    remedy = f"Name a Python {wanted}, as /usr/bin/python3 of Debian 12 and 13"
    if not os.path.exists(path):
        found.problem("release_python", path, "no such file on the machine", remedy)
    elif code != 0 or not re.match(r"\d+ \d+$", output):
        found.problem("release_python", path, "does not run as a Python", remedy)
    else:
        version = tuple(map(int, output.split()))
        if not PYTHONS[0] <= version <= PYTHONS[1]:
            label = ".".join(map(str, version))
            found.problem("release_python", path, f"is Python {label}, not {wanted}", remedy)


def check_disk(found, wanted_gb, directory="/opt/jupyterhub"):
    """Check the free space where releases go, before the directory exists too."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    state = os.statvfs(directory)
    free = state.f_bavail * state.f_frsize / 1e9
    if free < wanted_gb:
        found.problem(
            "preflight_disk_free_gb",
            wanted_gb,
            f"{directory} has {free:.1f} GB free",
            "Make room there, or lower preflight_disk_free_gb if you know that less will do",
        )


# Ports and addresses


def process_name(pid):
    """Return the name of a process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def listeners(tables):
    """Yield (address, port, inode) of each listening socket in /proc/net/tcp or tcp6 texts."""
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10 or fields[3] != LISTENING:
                continue
            packed, port = fields[1].split(":")
            # Written as 32-bit words in the machine's own byte order.
            words = (int(packed[at : at + 8], 16) for at in range(0, len(packed), 8))
            raw = b"".join(struct.pack("=I", word) for word in words)
            yield ipaddress.ip_address(raw), int(port, 16), fields[9]


def holders(inodes):
    """Return {inode: (pid, name)} for socket inodes, from what every process holds open."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    result = {}
    for path in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            inode = wanted.get(os.readlink(path))
        except OSError:  # closed meanwhile
            continue
        if inode:
            pid = path.split("/")[2]
            result.setdefault(inode, (int(pid), process_name(pid)))
    return result


def clash(wanted, held):
    """Say whether two listening addresses exclude each other on one port."""
    if wanted == "*" or held.is_unspecified:
        return True
    mine = ipaddress.ip_address(wanted)
    mapped = getattr(held, "ipv4_mapped", None)
    return mine.is_unspecified or mine in (held, mapped)


def check_ports(found, ports, listen, api_listen, tables=None, find_holders=holders):
    """Check that each port is free or Apache's, and name who holds it otherwise."""
    if tables is None:
        tables = []
        for name in ("/proc/net/tcp", "/proc/net/tcp6"):
            if os.path.exists(name):
                with open(name, encoding="ascii") as file:
                    tables.append(file.read())
    sockets = list(listeners(tables))
    for variable, port in ports.items():
        addresses = [api_listen] if variable == "gateway_api_port" else listen
        inodes = [
            inode
            for held, number, inode in sockets
            if number == int(port) and any(clash(wanted, held) for wanted in addresses)
        ]
        owners = find_holders(inodes) if inodes else {}
        others = sorted(
            {
                owners.get(inode, (0, "a process outside this machine's view"))
                for inode in inodes
                if owners.get(inode, (0, ""))[1] not in WEB_SERVERS
            }
        )
        if others:
            pid, name = others[0]
            who = f"{name} (process {pid})" if pid else name
            found.problem(
                variable,
                int(port),
                f"this port is held by {who}",
                f"Stop {name if pid else 'it'}, or choose another {variable}",
            )


def check_addresses(found, listen, api_listen):
    """Check that the machine has the addresses it shall listen on, by trying one."""
    wanted = [(["gateway_listen", number], item) for number, item in enumerate(listen)]
    for path, item in [*wanted, (["gateway_api_listen"], api_listen)]:
        if item == "*":
            continue
        family = socket.AF_INET6 if ":" in item else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((item, 0))
        except OSError:
            found.problem(
                path,
                item,
                "the machine has no such address",
                'Use an address that `ip address` shows there, or "*" for all of them',
            )


# TLS files


def check_tls(found, certificate, key, server_name, openssl="openssl"):
    """Check that certificate and key are there, good, current, and belong together."""
    good_certificate = _readable(found, "gateway_tls_certificate", certificate)
    good_key = _readable(found, "gateway_tls_key", key)
    if good_key and stat.S_IMODE(os.stat(key).st_mode) & stat.S_IROTH:
        found.problem(
            "gateway_tls_key",
            key,
            "every user of the machine can read the key",
            f"Run: chmod o-rwx {key}",
        )
    if run(openssl, "version")[0] != 0:
        found.warnings.append(
            "openssl is not installed: whether certificate and key are valid, match each other and"
            " cover the server name was not checked"
        )
        return
    public = _certificate(found, certificate, server_name, openssl) if good_certificate else None
    if not good_key:
        return
    # An empty pass phrase, so that a protected key fails instead of asking for one.
    code, own_public, _ = run(openssl, "pkey", "-in", key, "-pubout", "-passin", "pass:")
    if code != 0:
        found.problem(
            "gateway_tls_key",
            key,
            "is not a private key in PEM form without a pass phrase",
            "Give the key's file; `openssl pkey -in OLD -out NEW` takes a pass phrase off",
        )
    elif public and public != own_public:
        found.problem(
            "gateway_tls_key",
            key,
            f"does not match the certificate {certificate}",
            "Give the key the certificate was requested with",
        )


def check_sign_on(found, files):
    """Check that the files are there which the sign-on needs, and that a keytab is secret."""
    for variable, path in files.items():
        if not _readable(found, variable, path):
            continue
        if "keytab" in variable and stat.S_IMODE(os.stat(path).st_mode) & stat.S_IROTH:
            found.problem(
                variable,
                path,
                "every user of the machine can read the keys",
                f"Run: chmod o-rwx {path}",
            )


def _readable(found, variable, path):
    if os.path.isfile(path) and os.access(path, os.R_OK):
        return True
    what = "is not a file" if os.path.exists(path) else "no such file on the machine"
    found.problem(variable, path, what, "Put the file there first, or correct the path")
    return False


def check_acme(found, server_name, store=ACME_STORE, openssl="openssl"):
    """Warn of a certificate of an ACME server that ends soon: its renewal does not work."""
    path = f"{store}/domains/{server_name}/pubcert.pem"
    code, output, _ = run(
        openssl, "x509", "-in", path, "-noout", "-enddate", "-checkend", str(SOON)
    )
    if code != 0 and output.startswith("notAfter="):
        found.warnings.append(
            f"the ACME server's certificate {path} ends on {output.split('=')[1].splitlines()[0]}"
            " and is not renewed: Apache's error.log says why"
        )


def check_subdomains(found, path, server_name, openssl="openssl"):
    """Check that a certificate covers the names of users' servers too."""
    code, output, _ = run(openssl, "x509", "-in", path, "-noout", "-checkhost", f"x.{server_name}")
    if code == 0 and "does match" not in output:
        found.problem(
            "gateway_tls_certificate",
            path,
            f"does not cover *.{server_name}, and hub_subdomains is true",
            "Get a certificate for this too, or leave hub_subdomains false",
        )


def _certificate(found, path, server_name, openssl):
    """Check a certificate; return its public key, None where it is no certificate."""
    code, output, _ = run(
        openssl, "x509", "-in", path, "-noout", "-startdate", "-enddate", "-pubkey"
    )
    if code != 0:
        found.problem(
            "gateway_tls_certificate",
            path,
            "is not a certificate in PEM form",
            "Give a file that begins with -----BEGIN CERTIFICATE-----, the server's own one first",
        )
        return None
    dates = dict(line.split("=", 1) for line in output.splitlines() if line.startswith("not"))
    seconds = {name: ssl.cert_time_to_seconds(text) for name, text in dates.items()}
    now = time.time()
    if seconds["notAfter"] <= now:
        found.problem(
            "gateway_tls_certificate",
            path,
            f"has expired on {dates['notAfter']}",
            "Put a renewed certificate there",
        )
    elif seconds["notAfter"] <= now + SOON:
        found.warnings.append(f"the certificate {path} expires on {dates['notAfter']}")
    if seconds["notBefore"] > now:
        found.problem(
            "gateway_tls_certificate",
            path,
            f"is valid only from {dates['notBefore']} on",
            "Check the machine's clock, or wait",
        )
    # A chain that ends at an authority of the site's own, which this machine need not trust, cannot
    # be told from one that lacks an intermediate. One that leads to a self-signed certificate in
    # the file is whole.
    _, _, errors = run(
        *(openssl, "verify", "-no_check_time", "-partial_chain", "-untrusted", path, path)
    )
    end = re.search(r"(.+)\nerror (?:2|20) at ", errors)
    if end:
        found.warnings.append(
            f"the certificate {path} (gateway_tls_certificate) lacks its chain: who issued"
            f" {end.group(1)} is neither in the file nor among the authorities of the machine."
            " Append the intermediate certificates of your authority below it; an authority of your"
            " own is added to the machine's with update-ca-certificates"
        )
    try:
        ipaddress.ip_address(server_name)
        option = "-checkip"
    except ValueError:
        option = "-checkhost"
    _, output_host, _ = run(openssl, "x509", "-in", path, "-noout", option, server_name)
    if "does match" not in output_host:
        found.problem(
            "gateway_tls_certificate",
            path,
            f"does not cover the server name {server_name}",
            "Correct gateway_server_name, or get a certificate for this name",
        )
    return output[output.index("-----BEGIN") :] if "-----BEGIN" in output else None


# Accounts and directories


def slurm_is_foreign(configuration):
    """Say whether the machine has a Slurm that the role slurm did not configure."""
    return bool(configuration) and "role slurm of JupyterHub HPC Gateway" not in configuration


def first_user_id(text):
    """Return the first user id of people, as /etc/login.defs says."""
    match = re.search(r"^UID_MIN\s+(\d+)", text, re.MULTILINE)
    return int(match.group(1)) if match else 1000


def check_accounts(found, hub_name, hub_account, group, minimum):
    """Check that the hub's account is nobody else's, and that the group of users exists."""
    remedy = "Choose another hub_account, or remove the line for one of the hub's own"
    try:
        account = pwd.getpwnam(hub_account)
    except KeyError:
        account = None
    home = f"/var/lib/jupyterhub/{hub_name}"
    if account and not 0 < account.pw_uid < minimum:
        what = f"is the account of a person (user id {account.pw_uid})"
        found.problem("hub_account", hub_account, what if account.pw_uid else "is root", remedy)
    elif account and account.pw_dir.rstrip("/") != home:
        found.problem(
            "hub_account",
            hub_account,
            f"is a system account with another use (its home is {account.pw_dir}, not {home})",
            remedy,
        )
    if group:
        try:
            grp.getgrnam(group)
        except KeyError:
            found.problem(
                "batch_user_group",
                group,
                "the machine knows no such group",
                "Make the group, or correct the name",
            )
    return account


def check_directories(found, hub_name, account, root=""):
    """Check that nothing else stands where the hub's directories go."""
    shared = [f"{root}/{top}/jupyterhub" for top in ("opt", "etc", "var/lib")]
    for path in [*shared, *(f"{directory}/{hub_name}" for directory in shared)]:
        owners = {0}
        if account and path == f"{root}/var/lib/jupyterhub/{hub_name}":
            owners.add(account.pw_uid)
        if not os.path.lexists(path):
            continue
        if not os.path.isdir(path):
            found.problem(
                "hub_name",
                hub_name,
                f"{path} is not a directory, and the hub's own goes there",
                "Move it away, or choose another hub_name",
            )
            continue
        state = os.stat(path)
        if state.st_uid not in owners:
            found.problem(
                "hub_name",
                hub_name,
                f"{path} belongs to user id {state.st_uid}, so it is not a hub's",
                f"Move it away, or give it to root: chown root {path}",
            )
        elif state.st_mode & stat.S_IWOTH:
            found.problem(
                "hub_name",
                hub_name,
                f"every user of the machine can write to {path}",
                f"Run: chmod o-w {path}",
            )


def main():
    """Check all, and return what was found."""
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "hub_name": text,
            "hub_account": text,
            "batch_user_group": {"type": "str"},
            "release_python": text,
            "disk_free_gb": {"type": "float", "required": True},
            "server_name": text,
            "acme": {"type": "str", "default": ""},
            "subdomains": {"type": "bool", "default": False},
            "listen": {"type": "list", "elements": "str", "required": True},
            "api_listen": text,
            "ports": {"type": "dict", "required": True},
            "certificate": {"type": "path"},
            "key": {"type": "path", "no_log": False},
            "sign_on_files": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    want = module.params
    found = Findings()
    check_user(found, os.geteuid())
    check_system(found, os_release(_read("/etc/os-release")))
    check_python(found, want["release_python"])
    check_disk(found, want["disk_free_gb"])
    check_ports(found, want["ports"], want["listen"], want["api_listen"])
    check_addresses(found, want["listen"], want["api_listen"])
    if want["acme"]:
        check_acme(found, want["server_name"])
    if want["certificate"] and want["key"]:
        check_tls(found, want["certificate"], want["key"], want["server_name"])
        if want["subdomains"]:
            check_subdomains(found, want["certificate"], want["server_name"])
    check_sign_on(found, want["sign_on_files"])
    minimum = first_user_id(_read("/etc/login.defs"))
    account = check_accounts(
        found, want["hub_name"], want["hub_account"], want["batch_user_group"], minimum
    )
    check_directories(found, want["hub_name"], account)
    for warning in found.warnings:
        module.warn(warning)
    module.exit_json(
        changed=False,
        problems=found.problems,
        slurm_foreign=slurm_is_foreign(_read("/etc/slurm/slurm.conf")),
        # The one fact that the roles need; `setup` would take another second for it.
        # Every other family has been refused above.
        ansible_facts={"os_family": "Debian"},
    )


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
