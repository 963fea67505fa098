"""A release is complete, pinned, root's alone, and kept or removed by rule.

The converge itself shows that an incomplete one is built anew: prepare.yml left half of it.
"""

import json
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles/release/files"
ROOT = "/opt/jupyterhub/main"


@pytest.fixture(scope="module")
def release(host):
    """Return the path of the one release that the converge built."""
    found = host.check_output("ls %s/releases", ROOT).split()
    assert len(found) == 1
    return f"{ROOT}/releases/{found[0]}"


def test_mark_names_the_release(host, release):
    mark = json.loads(host.file(f"{release}/RELEASE.json").content_string)
    assert release.endswith(mark["id"])
    assert mark["kind"] == "hub"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("venv/bin/jupyterhub --version", "6."),
        ("bin/node --version", "v24."),
        ("bin/node {0}/bin/configurable-http-proxy --version", "5."),
        ("venv/bin/python -c 'import hpc_gateway.profiles, wrapspawner; print(1)'", "1"),
    ],
)
def test_programs_run(host, release, command, answer):
    assert host.check_output(f"{release}/{command.format(release)}").startswith(answer)


def test_versions_are_the_locked_ones(host, release):
    lock = (FILES / "hub/requirements.lock").read_text().lower().replace("_", "-")
    listing = host.check_output(
        "%s/venv/bin/python -c 'import importlib.metadata as m; "
        'print("\\n".join(d.name + "==" + d.version for d in m.distributions()))\'',
        release,
    )
    for line in listing.splitlines():
        name, version = line.split("==")
        if name != "hpc-gateway":
            assert f"\n{name.lower().replace('_', '-')}=={version}" in lock


def test_nobody_but_root_can_change_it(host, release):
    assert host.check_output("find %s ! -user root -o ! -type l -perm /022 | head", release) == ""


def test_bytecode_is_there_because_nobody_can_write_it_later(host, release):
    assert host.check_output("find %s/venv -name 'app*.pyc' -path '*jupyterhub*'", release)


def test_nothing_of_npm_ran_at_install_time(host, release):
    """`--ignore-scripts` is in force: the recipe that was packed says so."""
    assert "npm ci --ignore-scripts" in host.file(f"{release}/inputs/build").content_string


def test_a_wrong_hash_is_refused(host, release):
    host.check_output("rm -rf /tmp/bad && mkdir -p /tmp/bad/inputs")
    host.check_output("cp -a %s/inputs /tmp/bad/inputs/x", release)
    host.check_output(
        "sed -i 's/sha256:[0-9a-f]\\{8\\}/sha256:00000000/' /tmp/bad/inputs/x/requirements.lock"
    )
    done = host.run("/tmp/bad/inputs/x/build /tmp/bad x %s/tools /usr/bin/python3", ROOT)
    assert done.rc != 0
    assert "ash" in done.stderr
    assert not host.file("/tmp/bad/releases/x/RELEASE.json").exists


def test_old_releases_go_the_protected_stay(host):
    """Seven made-up ones, keep 2: what a link names or a process runs stays besides."""
    root = "/tmp/prune/hub"
    host.check_output(f"rm -rf /tmp/prune && mkdir -p {root}/releases")
    host.check_output(
        f"cd {root}/releases && "
        "for n in 1 2 3 4 5 6 7; do mkdir r$n && touch -d 2026-01-0$n r$n; done && "
        "ln -s releases/r1 ../current && ln -s releases/r2 ../previous && "
        "python3 -m venv --without-pip r3/venv && touch -d 2026-01-03 r3 && "
        f"({root}/releases/r3/venv/bin/python -c 'import time; time.sleep(60)' >/dev/null 2>&1 &)"
    )
    done = host.run("sh -c %s prune %s 2 r7", (FILES / "prune").read_text(), root)
    assert done.rc == 0, done.stderr
    assert host.check_output("ls %s/releases", root).split() == ["r1", "r2", "r3", "r6", "r7"]
    assert set(done.stdout.split()) == {"removed", "r4", "r5"}
