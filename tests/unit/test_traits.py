"""The checked-in table of the spawners' options."""

import json
from pathlib import Path

from hpc_gateway import spawners, traits

TABLE = Path(__file__).parents[2] / "roles/preflight/files/spawner_traits.json"


def test_checked_in_table_is_up_to_date(capsys):
    """Remake it by: python -m hpc_gateway.traits > roles/preflight/files/spawner_traits.json"""
    traits.main()
    # As data, and not as text: the help of a trait may change with a library.
    assert json.loads(capsys.readouterr().out) == json.loads(TABLE.read_text())


def test_table():
    table = traits.table()
    assert set(table) == set(spawners.ALIASES)
    slurm = table["slurm"]
    assert slurm["req_nprocs"]["type"] == "str"
    assert slurm["start_timeout"]["type"] == "int"
    assert slurm["job_name_length"]["type"] == "int"
    assert slurm["debug"]["type"] == "bool"
    assert slurm["args"]["type"] == "list"
    assert slurm["environment"]["type"] == "dict"
    assert slurm["mem_limit"]["type"] == "any"  # "4G" is welcome
    assert slurm["req_memory"] == {
        "type": "str",
        "allow_none": False,
        "help": "Memory to request from resource manager",
    }
    assert "req_nprocs" not in table["local"]
    assert "user" not in slurm
