"""How role preflight composes values and finds where each was written."""

import importlib
import sys
from pathlib import Path

import pytest
from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.template import Templar

ROLES = Path(__file__).resolve().parents[2] / "roles"
sys.path.append(str(ROLES / "preflight/plugin_utils"))
module = importlib.import_module("preflight_values")

SPECS = """
argument_specs:
  main:
    options:
      hub_name: {type: str}
"""
DEFAULTS = """
hub_name: main
hub_account: jupyterhub-{{ hub_name }}
hub_cpus: "{{ ansible_facts.processor_vcpus }}"
"""
INVENTORY = """
hub_name: test
hub_open: true
hub_profiles:
  - name: One
    options:
      debug: true
site_profiles: "{{ hub_profiles }}"
hub_bad: "{{ nowhere }}"
hub_facts: "{{ ansible_facts.processor_vcpus }}"
__hub_internal: 1
"""


@pytest.fixture
def values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("meta/argument_specs.yml", SPECS), ("defaults/main.yml", DEFAULTS)):
        path = tmp_path / "roles/hub" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    loader = DataLoader()
    roles = module.Roles(loader, str(tmp_path / "roles"))
    given = loader.load_from_file(str(tmp_path / "inventory.yml"), trusted_as_template=True)
    # As a variable of a role's own, which Ansible hands over among the host's.
    path = tmp_path / "roles/hub/vars.yml"
    path.write_text("__hub_constant: 1\n")
    given.update(loader.load_from_file(str(path)))
    given["hub_typed"] = Origin(description="<CLI option '-e'>").tag("x")
    given["hub_plugin"] = Origin(description="<inventory plugin>").tag("x")
    given["hub_vault"] = {"inner": VaultedValue(ciphertext="x").tag("canary")}
    given["hub_registered"] = "no file and no command line said this"
    found = module.Values("one", given, roles, Templar(loader))
    found.resolve([*roles.defaults, *given])
    return found


def test_inventory_wins_and_defaults_follow(values):
    assert values.values["hub_name"] == "test"
    assert values.values["hub_account"] == "jupyterhub-test"


def test_specs_are_read(values):
    assert list(values.roles.entry_points["hub"]["main"]["options"]) == ["hub_name"]


def test_given_is_what_the_inventory_says(values):
    assert "hub_account" not in values.given
    assert "__hub_constant" not in values.given
    assert "hub_registered" not in values.given
    assert {"hub_name", "hub_open", "__hub_internal"} <= set(values.given)


def test_unresolvable(values):
    assert values.errors == {"hub_bad": "'nowhere' is undefined"}
    assert values.unknown == {"hub_cpus", "hub_facts"}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("hub_name",), "inventory.yml:2"),
        (("hub_account",), "roles/hub/defaults/main.yml:3"),
        (("hub_profiles", 0, "name"), "inventory.yml:5"),
        (("hub_profiles", 0, "options", "debug"), "inventory.yml:7"),
        (("hub_profiles", 0, "key"), "inventory.yml:5"),
        (("site_profiles", 0, "name"), "inventory.yml:5"),
        (("hub_open",), "inventory of one"),
        (("hub_typed",), "command line (-e)"),
        (("hub_plugin",), "<inventory plugin>"),
        (("hub_missing",), "inventory of one"),
    ],
)
def test_where(values, path, place):
    assert values.where(path) == place


def test_value_from_a_vault_is_secret(values):
    assert values.is_secret(("hub_vault", "inner"))
    assert values.is_secret(("hub_vault",))
    assert not values.is_secret(("hub_name",))
    assert not values.is_secret(("hub_vault", "missing"))


def test_value_still_in_a_vault_is_secret(values):
    locked = Origin(path="/inventory.yml").tag(EncryptedString(ciphertext="x"))
    raw = {"hub_one": locked, "hub_many": [locked]}
    again = module.Values("one", raw, values.roles, values._templar)
    again.resolve(raw)
    assert set(again.errors) == {"hub_one"}
    assert again.is_secret(("hub_one",))
    assert again.is_secret(("hub_many",))


def test_without_origins_the_host_is_named(values, monkeypatch):
    monkeypatch.setattr(module, "Origin", None)
    monkeypatch.setattr(module, "VaultedValue", None)
    assert values.where(("hub_name",)) == "inventory of one"
    assert not values.is_secret(("hub_name",))
    again = module.Values("one", {"hub_name": "x", "__hub_y": 1}, values.roles, values._templar)
    assert set(again.given) == {"hub_name"}
