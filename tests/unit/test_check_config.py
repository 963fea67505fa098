"""Faults of a configuration are found before a hub reads it."""

import os

import pytest

from hpc_gateway import check_config

GOOD = """
import os
c = get_config()
c.JupyterHub.bind_url = "http+unix://%2Frun%2Fproxy.sock/jupyter/"
c.JupyterHub.spawner_class = "hpc_gateway.profiles.GatewayProfilesSpawner"
c.JupyterHub.authenticator_class = "hpc_gateway.authenticator.GatewayAuthenticator"
c.JupyterHub.services = [{"name": "routes", "api_token": os.environ.get("NO_SUCH_SECRET", "")}]
c.JupyterHub.template_paths.append("/x")
c.GatewayAuthenticator.minimum_uid = 1000
c.Authenticator.allowed_users = {"bob"}
c.ConfigurableHTTPProxy.should_start = False
c.Spawner.cmd = ["/x"]
c.Spawner.mem_limit = "4G"
c.BatchSpawnerBase.batchspawner_singleuser_cmd = "/x"
c.Wrapper.path = "/opt/batch"
c.GatewayBatchMixin.hub_name = "x"
c.GatewayProfilesSpawner.profiles = [
    ("A", "a", "hpc_gateway.spawners.SlurmSpawner", {"req_nprocs": "2", "start_timeout": 5}),
    ("B", "b", "hpc_gateway.spawners.LocalSpawner", {}),
]
c.GatewayProfilesSpawner.profile_groups = {"a": ["g"]}
c.GatewayProfilesSpawner.profile_categories = {"a": "Jobs"}
c.GatewayProfilesSpawner.profile_fields = {"a": {"cores": {"min": 1, "default": 2, "max": 4}}}
c.GatewayProfilesSpawner.default_profile = "b"
"""


@pytest.fixture
def check(tmp_path, capsys):
    def check(text):
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(text)
        before = sorted(os.listdir(tmp_path))
        status = check_config.main([str(path)])
        assert sorted(os.listdir(tmp_path)) == before
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert status == (1 if lines else 0)
        assert all(line.startswith(str(tmp_path)) for line in lines)
        return [line.removeprefix(f"{path}: ") for line in lines]

    return check


def test_good(check):
    assert check(GOOD) == []


def test_empty(check):
    assert check("") == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("c.JupyterHub.bind_ulr = 'x'", "c.JupyterHub.bind_ulr: there is no such setting; did you"),
        ("c.JupyterHub.zzzzzzz = 'x'", "c.JupyterHub.zzzzzzz: there is no such setting"),
        ("c.JupyterHob.port = 1", "the hub has no such class; did you mean JupyterHub?"),
        ("c.JupyterHub.cleanup_servers = 'no'", "must be a boolean, not 'no' (str)"),
        ("c.Spawner.cmd = 3", "c.Spawner.cmd: must be a list"),
        ("c.Spawner.start_timeout = '5'", "must be an int, not '5' (str)"),
        ("c.JupyterHub.spawner_class = 'no.such'", "no.such cannot be imported: No module named"),
        ("c.JupyterHub.authenticator_class = 'json.JSONDecoder'", "is no Authenticator"),
        ("c.GatewayProfilesSpawner.default_profile = 'x'", "default_profile: no profile has the"),
        ("c.GatewayProfilesSpawner.profile_groups = {'x': []}", "no profile has the key 'x'"),
        ("c.GatewayProfilesSpawner.profile_groups = {'a': 'g'}", "profile_groups: must be a dict"),
        ("c.GatewayProfilesSpawner.profile_groups = 3", "profile_groups: must be a dict"),
        (
            "c.GatewayProfilesSpawner.profile_categories = {'x': 'X'}",
            "profile_categories: no profile",
        ),
        ("c.GatewayProfilesSpawner.profile_fields = {'x': {}}", "profile_fields: no profile has"),
        ("c.GatewayProfilesSpawner.profile_fields = {'a': 3}", "profile_fields: must be a dict"),
        (
            "c.GatewayProfilesSpawner.profile_fields['a']['cores']['min'] = 3",
            "profile 'a': cores: must be above 0, and default within min and max",
        ),
        (
            "c.GatewayProfilesSpawner.profile_fields = "
            "{'b': {'cores': {'min': 1, 'default': 2, 'max': 4}}}",
            "profile 'b': LocalSpawner has no option req_nprocs, which cores sets",
        ),
        ("c.GatewayProfilesSpawner.profiles = 'x'", "profiles: must be a list"),
        ("c.GatewayProfilesSpawner.profiles += [('C', 'a', 'x.y', {})]", "the key is used 2 times"),
    ],
)
def test_fault(check, line, fault):
    assert any(fault in found for found in check(GOOD + line))


SLURM = "hpc_gateway.spawners.SlurmSpawner"


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (("C", "c", SLURM, {"req_qeue": "x"}), "no option req_qeue; did you mean req_queue?"),
        (("C", "c", SLURM, {"req_nprocs": 2}), "option req_nprocs must be a unicode string, not 2"),
        (("C", "c", SLURM, {"debug": "yes"}), "option debug must be a boolean"),
        (("C", "c", "no.such.Class", {}), "profile 'c': no.such.Class cannot be imported"),
        (("C", "c", "hpc_gateway.spawners.Nix", {}), "hpc_gateway.spawners.Nix cannot be imported"),
        (("C", "c", "json.JSONDecoder", {}), "json.JSONDecoder is no Spawner"),
        (("C", "c", "os.getpid", {}), "os.getpid is no Spawner"),
        (("C", "c", SLURM), "must be (name, key, class, options)"),
        ("C", "must be (name, key, class, options)"),
        (("C", 3, SLURM, {}), "name and key must be text"),
        (("C", "c", SLURM, []), "the options a dict"),
    ],
)
def test_fault_of_a_profile(check, profile, fault):
    line = f"c.GatewayProfilesSpawner.profiles += [{profile!r}]"
    assert [fault in found for found in check(GOOD + line)] == [True]


def test_every_fault_is_told(check):
    assert len(check(GOOD + "c.JupyterHub.a = 1\nc.JupyterHub.b = 2\nc.Nix.x = 1")) == 3


def test_settings_of_a_class_the_configuration_brings(check, tmp_path, monkeypatch):
    (tmp_path / "site_spawner.py").write_text(
        "from jupyterhub.spawner import SimpleLocalProcessSpawner as Base\n"
        "from traitlets import Unicode\n"
        "class SiteSpawner(Base):\n    colour = Unicode(config=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    profile = "c.GatewayProfilesSpawner.profiles += [('S', 's', 'site_spawner.SiteSpawner', {})]\n"
    assert check(GOOD + profile + "c.SiteSpawner.colour = 'red'") == []
    (fault,) = check(GOOD + profile + "c.SiteSpawner.colour = 3")
    assert "c.SiteSpawner.colour: must be" in fault


def test_short_names_of_classes(check):
    assert check("c.JupyterHub.spawner_class = 'simple'") == []


def test_syntax_error(check):
    (fault,) = check("x = 1\nc.X = (\n")
    assert fault.endswith("jupyterhub_config.py:2: '(' was never closed")


def test_error_while_running(check):
    (fault,) = check("import json\njson.loads('{')\n")
    assert "jupyterhub_config.py:2: JSONDecodeError: " in fault


def test_exit_while_running(check):
    (fault,) = check("raise SystemExit('no\\nmore')")
    assert fault.endswith("jupyterhub_config.py:1: SystemExit: no more")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("c.JupyterHub.bad = 1", "c.JupyterHub.bad: there is no such setting"),
        ("\n1 / 0", "site.py:2: ZeroDivisionError"),
        ("\n(", "site.py:2: '(' was never closed"),
    ],
)
def test_what_the_file_loads_is_checked_too(check, tmp_path, text, fault):
    (tmp_path / "jupyterhub_config.d").mkdir()
    (tmp_path / "jupyterhub_config.d" / "site.py").write_text(text)
    (found,) = check(
        "from pathlib import Path\n"
        "for path in sorted((Path(__file__).parent / 'jupyterhub_config.d').glob('*.py')):\n"
        "    load_subconfig(str(path))\n"
    )
    assert fault in found


def test_secrets_are_not_shown(check):
    (fault,) = check("c.ConfigurableHTTPProxy.auth_token = ['canary']")
    assert "canary" not in fault


def test_missing_file(tmp_path, capsys):
    assert check_config.main([str(tmp_path / "none.py")]) == 1
    assert "none.py" in capsys.readouterr().err
