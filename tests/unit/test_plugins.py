"""The small Python of the roles: filters, and what names and packs a release."""

import ast
import importlib.util
import json
import tarfile
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"


def load(path):
    """Return the module at a path below roles/."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), ROLES / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pack(tmp_path):
    """Return pack.py, working on a copy of what it reads."""
    module = load("release/files/pack.py")
    for name, source in {**module.inputs("hub"), **module.inputs("notebook")}.items():
        kind = "notebook" if "notebook" in name or "page_config" in name else "hub"
        target = (
            tmp_path
            / "files"
            / {"tools/requirements.lock": name, "build": name}.get(name, f"{kind}/{name}")
        )
        if name.startswith("hpc_gateway/"):
            target = tmp_path / name.removeprefix("hpc_gateway/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (tmp_path / "files/notebook/requirements.lock").write_text("nothing==1\n")
    module.FILES, module.ROOT = tmp_path / "files", tmp_path
    return module


def test_the_same_inputs_are_the_same_release(pack, tmp_path):
    first = pack.pack("hub", "3.11", "x86_64", tmp_path / "one")
    second = pack.pack("hub", "3.11", "x86_64", tmp_path / "two")
    assert first["id"] == second["id"]
    assert Path(first["archive"]).read_bytes() == Path(second["archive"]).read_bytes()


@pytest.mark.parametrize(
    "change",
    ["files/hub/requirements.lock", "files/hub/package-lock.json", "files/build", "src/x.py"],
)
def test_any_other_input_is_another_release(pack, tmp_path, change):
    before = pack.pack("hub", "3.11", "x86_64", tmp_path / "out")["id"]
    path = tmp_path / change
    path.write_text((path.read_text() if path.exists() else "") + "\n# changed\n")
    assert pack.pack("hub", "3.11", "x86_64", tmp_path / "out")["id"] != before


@pytest.mark.parametrize("other", [("notebook", "3.11", "x86_64"), ("hub", "3.13", "x86_64")])
def test_kind_and_python_are_part_of_the_name(pack, tmp_path, other):
    before = pack.pack("hub", "3.11", "x86_64", tmp_path / "out")["id"]
    assert pack.pack(*other, tmp_path / "out")["id"] != before


def test_the_archive_says_what_it_is(pack, tmp_path):
    made = pack.pack("hub", "3.11", "x86_64", tmp_path / "out")
    with tarfile.open(made["archive"]) as tar:
        names = tar.getnames()
        mark = json.load(tar.extractfile(f"{made['id']}/RELEASE.json"))
        assert tar.getmember(f"{made['id']}/build").mode == 0o755
    assert mark == {"id": made["id"], "kind": "hub", "python": "3.11", "machine": "x86_64"}
    assert f"{made['id']}/hpc_gateway/src/hpc_gateway/__init__.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_header_spellings():
    spellings = load("gateway/filter_plugins/header_spellings.py").FilterModule().filters()
    assert spellings["header_spellings"]("Remote_User") == ["Remote-User", "Remote_User"]
    assert len(set(spellings["header_spellings"]("Remote_User_Data"))) == 4


class Text(str):
    """A text whose repr() is not Python, as Ansible's own are."""

    def __repr__(self):
        return f"<{self}>"


@pytest.mark.parametrize(
    "value",
    ["plain", 'it\'s "quoted" \\ and\nlong ' * 9, 7, 1.5, True, None, [], {"a": ["b", 1]}, {}],
)
def test_python_literal_reads_back(value):
    literal = (
        load("hub/filter_plugins/python_literal.py").FilterModule().filters()["python_literal"]
    )
    assert ast.literal_eval(f"({literal(value, 8)})") == value


def test_python_literal_of_ansibles_own_types():
    literal = load("hub/filter_plugins/python_literal.py").python_literal
    assert ast.literal_eval(literal({Text("a"): [Text("b")]})) == {"a": ["b"]}


def test_a_sites_templates_are_found_first(tmp_path):
    lookup = load("hub/lookup_plugins/site_templates.py").LookupModule()
    texts = {
        "host/hub/page.html": "of the host",
        "site/hub/page.html": "of the site",
        "site/hub/own.html": "{{ kept }}\n\n",
        "site/hub/notes.txt": "no page",
        "site/gateway/sign-in.html.j2": "another's",
        "ours/hub/page.html": "ours",
        "ours/hub/form.html": "ours",
        "ours/batch/slurm.sh": "ours",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    directories = [str(tmp_path / name) for name in ("host", "site", "missing", "ours")]
    files = lookup.run(directories, target="/etc/x", validate="check %s")
    assert {file["dest"]: file["content"] for file in files} == {
        "/etc/x/batch/slurm.sh": "ours",
        "/etc/x/hub/form.html": "ours",
        "/etc/x/hub/own.html": "{{ kept }}\n\n",
        "/etc/x/hub/page.html": "of the host",
    }
    assert {file["validate"] for file in files} == {"check %s"}


def test_a_template_that_is_no_text(tmp_path):
    module = load("hub/lookup_plugins/site_templates.py")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/page.html").write_bytes(b"\xff")
    with pytest.raises(module.AnsibleLookupError, match=r"page\.html cannot be read as text"):
        module.LookupModule().run([str(tmp_path)], target="/etc/x", validate="check %s")


def test_what_a_purge_removes(tmp_path):
    others = load("../plugins/modules/write_files.py").others
    for name in ("old", "wanted"):
        (tmp_path / name).write_text("")
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    found = others([str(tmp_path), str(tmp_path / "missing")], {str(tmp_path / "wanted")})
    assert found == [str(tmp_path / "dangling"), str(tmp_path / "old")]
