"""The submit wrapper, as far as it can be tested without sudo and a scheduler."""

import io
import json
import os
import pwd
import stat
import subprocess
import sys
import time
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

WRAPPER = Path(__file__).resolve().parents[2] / "roles/batch/files/batch"
NAME = "jupyterhub-main-0123456789abcd"

# Writes down how it was called, and does what a test put next to it.
CLIENT = f"""#!{sys.executable}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
call = {{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}
call["stdin"] = sys.stdin.read()
call["files"] = [pathlib.Path(word).read_text() for word in sys.argv[1:] if os.path.isfile(word)]
(here / "call.json").write_text(json.dumps(call))
exec((here / "answer.py").read_text())
"""


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """The wrapper as a module; its user is nobody in particular, at home in a directory of ours."""
    module = types.ModuleType("batch")
    module.__file__ = str(WRAPPER)
    # Not imported, which would leave compiled files in the role.
    exec(compile(WRAPPER.read_text(), WRAPPER, "exec"), module.__dict__)
    (tmp_path / "home").mkdir()
    account = SimpleNamespace(
        pw_name="bob", pw_uid=1001, pw_dir=str(tmp_path / "home"), pw_shell="/bin/zsh"
    )
    # It changes to other directories.
    monkeypatch.chdir(tmp_path)
    module.account = account
    module.pwd = SimpleNamespace(getpwuid=lambda uid: account)
    module.home = tmp_path / "home"
    module.own = module.home / module.DIRECTORY
    return module


@pytest.fixture
def client(tmp_path):
    """A client of a scheduler."""
    path = tmp_path / "client"
    path.write_text(CLIENT)
    path.chmod(stat.S_IRWXU)

    def answer(code):
        (tmp_path / "answer.py").write_text(code)

    answer("")
    return SimpleNamespace(
        path=str(path),
        answer=answer,
        call=lambda: json.loads((tmp_path / "call.json").read_text()),
        called=lambda: (tmp_path / "call.json").exists(),
    )


@pytest.fixture
def cluster(client):
    return {
        "scheduler": "slurm",
        "env": {"SLURM_CONF": "/etc/alpha.conf"},
        "environment_private": True,
        "commands": {
            "submit": [client.path, "--parsable"],
            "cancel": [client.path, "cancel", "{job_id}"],
            "jobs": [[client.path, "--format={mark}%i"], [client.path, "second"]],
            "capacity": [[client.path, "capacity"]],
        },
    }


@pytest.fixture
def main(batch, cluster, tmp_path):
    """Calls the whole of it: main("alpha", "submit", request)."""
    batch.CONFIGURATION = str(tmp_path / "batch.json")
    configuration = {
        "minimum_uid": 1000,
        "group": "",
        "timeout": 30,
        "clusters": {"alpha": cluster, "local": {}},
    }

    def main(*arguments, **changes):
        *words, request = arguments
        Path(batch.CONFIGURATION).write_text(json.dumps(configuration | changes))
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        return batch.main(words, io.BytesIO(text))

    return main


@pytest.fixture
def refused(capfd):
    """Calls a function that has to refuse: refused(code, function, ...) -> what it says."""

    def refused(code, function, *arguments, **keywords):
        capfd.readouterr()
        with pytest.raises(SystemExit) as refusal:
            function(*arguments, **keywords)
        assert refusal.value.code == code
        said = capfd.readouterr().err
        assert said.startswith("batch: ")
        assert said.count("\n") == 1
        return said

    return refused


def submission(script="#!/bin/sh\n", env=None, name=NAME):
    return {"script": script, "env": env or {}, "name": name}


# What it is called with


def test_calls(batch):
    for verb in ("submit", "cancel", "log", "account", "jobs", "capacity"):
        assert batch.parse_arguments(["alpha-2", verb]) == ("alpha-2", verb)
    for verb in ("run", "signal", "account"):
        assert batch.parse_arguments(["local", verb]) == ("local", verb)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["alpha"],
        ["alpha", "submit", "x"],
        ["alpha", "submit", ""],
        ["", "submit"],
        ["Alpha", "submit"],
        ["alpha ", "submit"],
        ["alpha\n", "submit"],
        ["-alpha", "submit"],
        ["../alpha", "submit"],
        ["a" * 32, "submit"],
        ["alpha", "Submit"],
        ["alpha", "submit "],
        ["alpha", "submit\n"],
        ["alpha", "run"],
        ["alpha", "signal"],
        ["local", "submit"],
        ["local", "jobs"],
        ["alpha", "--help"],
        ["ssh", "x", "y"],
    ],
)
def test_other_calls_are_refused(batch, refused, arguments):
    assert "usage: batch CLUSTER" in refused(64, batch.parse_arguments, arguments)


def test_request(batch):
    assert batch.read_request(io.BytesIO(b'{"a": 1, "b": "\xc3\xa9"}'), {"a", "b"}) == {
        "a": 1,
        "b": "é",
    }
    assert batch.read_request(io.BytesIO(b"{}"), set()) == {}


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"x", b"[]", b'"a"', b"null", b"{", b"\xff", b'{"a": 1} {}', b"{}"),
        *(b'{"a": 1}', b'{"a": 1, "b": 2, "c": 3}', b'{"a": 1, "B": 2}'),
    ],
)
def test_other_requests_are_refused(batch, refused, raw):
    refused(64, batch.read_request, io.BytesIO(raw), {"a", "b"})


def test_largest_request(batch, refused):
    fits = b'{"a": "' + b"x" * (batch.LARGEST_INPUT - 9) + b'"}'
    assert len(fits) == batch.LARGEST_INPUT
    assert batch.read_request(io.BytesIO(fits), {"a"})
    assert "larger than" in refused(64, batch.read_request, io.BytesIO(fits + b" "), {"a"})


@pytest.mark.parametrize(
    "job_id", ["7", "7.server.example.org", "7[1]", "7[]", "7@cluster", "Moab.7", "7_1", "12.0"]
)
def test_job_ids(batch, job_id):
    assert batch.checked({"job_id": job_id}, "job_id", batch.JOB_ID) == job_id


@pytest.mark.parametrize(
    "job_id",
    [
        *("", "-7", "--all", "7 8", "7\n", "7;id", "$(id)", "../7", "7/8", "-u root", "'7'", "%7"),
        *(7, None, ["7"], "7" * 129, "é"),
    ],
)
def test_other_job_ids_are_refused(main, client, refused, job_id):
    request = {"job_id": job_id, "name": ""}
    assert "job_id is not valid" in refused(64, main, "alpha", "cancel", request)
    assert not client.called()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "../x",
            "a/b",
            "/etc/passwd",
            ".bashrc",
            "a.b",
            "A",
            "a b",
            "-a",
            "1a",
            "a\n",
            "a\0b",
        ),
        *("a" * 65, 7, None, ["a"], "$(id)", "ä"),
    ],
)
def test_names_that_are_refused(batch, main, client, refused, name):
    assert "name is not valid" in refused(64, main, "alpha", "submit", submission(name=name))
    assert "name is not valid" in refused(64, main, "alpha", "log", {"name": name, "lines": 1})
    if name:
        request = {"job_id": "7", "name": name}
        assert "name is not valid" in refused(64, main, "alpha", "cancel", request)
    assert not client.called()
    assert os.listdir(batch.home) == []


# Environments

ALLOWED = [
    "JUPYTERHUB_API_TOKEN",
    "HPC_GATEWAY_NOTEBOOK_PORTS",
    "LANG",
    "a",
    "_",
    "OMP_NUM_THREADS",
]


@pytest.mark.parametrize("name", ALLOWED)
def test_variables(batch, name):
    wanted = {name: " any thing\n'\"$(id)`é"}
    assert batch.checked_variables(wanted) == wanted


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_X", "PYTHONPATH", "PYTHONSTARTUP", "PYTHON"),
        *("SLURM_CONF", "SBATCH_UID", "SQUEUE_FORMAT", "SCANCEL_X", "SINFO_X"),
        *("PBS_CONF_FILE", "PBS_SERVER", "SGE_ROOT", "SGE_CELL", "_CONDOR_X", "CONDOR_CONFIG"),
        *("LSB_X", "LSF_ENVDIR", "BSUB_X", "MOABHOMEDIR", "QSUB_X", "TORQUEHOME"),
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "ENV", "BASH_ENV", "IFS", "TMPDIR"),
        *("GCONV_PATH", "NLSPATH", "LOCPATH", "TERMINFO", "SHELLOPTS", "BASHOPTS", "PS4"),
        *("PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "KRB5_CONFIG"),
        *("HOSTALIASES", "SUDO_USER", "BASH_FUNC_x", "BASH_FUNC_x%%"),
        *("", "1A", "A B", "A=B", "A\n", "A;id", "A-B", "é", "A" * 129, "$(id)"),
    ],
)
def test_variables_that_are_refused(main, client, refused, name):
    said = refused(64, main, "alpha", "submit", submission(env={"FINE": "1", name: "x"}))
    assert "is not a name that may be set" in said
    assert not client.called()


@pytest.mark.parametrize("value", ["a\0b", 7, None, ["x"], True, {"x": "y"}])
def test_values_that_are_refused(main, client, refused, value):
    refused(64, main, "alpha", "submit", submission(env={"A": value}))
    assert not client.called()


@pytest.mark.parametrize("env", [None, [], "A=1", 7])
def test_environment_that_is_none(main, client, refused, env):
    request = submission() | {"env": env}
    assert "env is not an object" in refused(64, main, "alpha", "submit", request)
    assert not client.called()


def test_account_has_its_own_environment(batch):
    variables = batch.environment(batch.account, {"A": "1"}, {"A": "2"})
    assert variables == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(batch.home),
        "USER": "bob",
        "LOGNAME": "bob",
        "SHELL": "/bin/zsh",
        "LANG": "C.UTF-8",
        "A": "2",
    }
    batch.account.pw_shell = ""
    assert batch.environment(batch.account)["SHELL"] == "/bin/sh"


# Submitting


def test_submit(batch, main, client, capfd, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "canary")
    client.answer("print(7)")
    script = "#!/bin/sh\necho é '$x'\n"
    assert main("alpha", "submit", submission(script, {"TOKEN": "t"})) == 0
    assert capfd.readouterr().out == "7\n"
    call = client.call()
    assert call["argv"] == ["--parsable"]
    assert call["stdin"] == script
    assert call["cwd"] == str(batch.home)
    assert call["env"]["TOKEN"] == "t"
    assert call["env"]["SLURM_CONF"] == "/etc/alpha.conf"
    assert call["env"]["HOME"] == str(batch.home)
    assert "JUPYTERHUB_CRYPT_KEY" not in call["env"]
    # The job writes its output there; nobody else reads it.
    assert stat.S_IMODE(batch.own.stat().st_mode) == 0o700
    assert os.listdir(batch.own) == []


def test_directory_is_closed_again(batch, main):
    batch.own.mkdir(mode=0o777)
    batch.own.chmod(0o777)
    main("alpha", "submit", submission())
    assert stat.S_IMODE(batch.own.stat().st_mode) == 0o700


def test_directory_that_cannot_be_made(batch, main, client, refused):
    batch.own.write_text("a file")
    assert "cannot use" in refused(69, main, "alpha", "submit", submission())
    assert not client.called()


def test_exit_code_and_words_of_the_scheduler(main, client, capfd):
    client.answer("print('on stdout'); sys.exit('sbatch: error: Invalid qos')")
    assert main("alpha", "submit", submission()) == 1
    assert capfd.readouterr() == ("on stdout\n", "sbatch: error: Invalid qos\n")


def test_client_that_is_killed(main, client):
    """The job may have been taken: as a shell says it."""
    client.answer("os.kill(os.getpid(), 9)")
    assert main("alpha", "submit", submission()) == 137


def test_client_that_is_missing(main, cluster, refused):
    cluster["commands"]["submit"] = ["/nowhere/sbatch"]
    said = refused(69, main, "alpha", "submit", submission())
    assert said == "batch: cannot run /nowhere/sbatch: No such file or directory\n"


def test_client_that_hangs_ends_with_all_it_has_started(main, client, refused, tmp_path):
    client.answer(
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "(here / 'pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)\n"
    )
    start = time.monotonic()
    said = refused(124, main, "alpha", "submit", submission(), timeout=1)
    assert "did not answer in 1 seconds" in said
    assert time.monotonic() - start < 20
    for pid in (tmp_path / "pids").read_text().split():
        deadline = time.monotonic() + 5
        while runs(pid):
            assert time.monotonic() < deadline, f"{pid} is still there"
            time.sleep(0.02)


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("script", [None, 7, ["x"], "a\0b"])
def test_script_that_is_none(main, client, refused, script):
    refused(64, main, "alpha", "submit", submission() | {"script": script})
    assert not client.called()


def test_client_that_reads_no_standard_input(main, client, cluster):
    cluster["commands"]["submit"] = [client.path, "-v", "{script}"]
    assert main("alpha", "submit", submission("#!/bin/sh\n# é\n")) == 0
    call = client.call()
    assert call["files"] == ["#!/bin/sh\n# é\n"]
    assert call["stdin"] == ""
    # Nothing is left of it.
    assert not os.path.exists(call["argv"][1])


# The environment in a file, where the scheduler shows that of its jobs


@pytest.fixture
def public(cluster):
    cluster["environment_private"] = False
    return cluster


VALUES = {
    "TOKEN": "t0ken",
    "JSON": '["access:servers!server=bob/", "a b"]',
    "QUOTES": "it's \"quoted\" 'twice'",
    "SHELL_": "$HOME `id` $(id) \\ ; & | > < * ? ~ ! # %",
    "LINES": "one\ntwo\n\nthree\n",
    "TAB": "\ta  b ",
    "EMPTY": "",
    "UNICODE": "é \u2028 \U0001f600",
    "TRICK": "'; touch /tmp/pwned; '",
    "DASH": "-n",
}


def test_file_reads_back_in_a_shell(batch, main, client, public):
    assert main("alpha", "submit", submission(env=VALUES)) == 0
    assert set(VALUES) & set(client.call()["env"]) == set()
    path = batch.own / f"{NAME}.env"
    show = f"import json, os; print(json.dumps({{k: os.environ[k] for k in {list(VALUES)}}}))"
    for shell in ("/bin/sh", "/bin/bash"):
        done = subprocess.run(
            [shell, "-euc", '. "$1"; shift; exec "$@"', "sh", path, sys.executable, "-c", show],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        assert json.loads(done.stdout) == VALUES
        assert done.stderr == ""


def test_file_is_for_the_user_alone(batch, main, public):
    old = os.umask(0)
    try:
        main("alpha", "submit", submission(env=VALUES))
    finally:
        os.umask(old)
    assert os.listdir(batch.own) == [f"{NAME}.env"]
    path = batch.own / f"{NAME}.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.is_file()
    assert not path.is_symlink()


def test_file_is_there_before_the_job(batch, main, client, public):
    client.answer(f"assert 't0ken' in open({str(batch.own / (NAME + '.env'))!r}).read()")
    assert main("alpha", "submit", submission(env=VALUES)) == 0


@pytest.mark.parametrize("suffix", [".env", ".env.new"])
@pytest.mark.parametrize("kind", ["symlink", "dangling", "file"])
def test_nothing_in_the_way_is_followed(batch, main, public, tmp_path, suffix, kind):
    victim = tmp_path / "victim"
    if kind != "dangling":
        victim.write_text("as it was")
    batch.own.mkdir()
    in_the_way = batch.own / f"{NAME}{suffix}"
    if kind == "file":
        # Which somebody has opened already, say.
        os.link(victim, in_the_way)
    else:
        in_the_way.symlink_to(victim)
    assert main("alpha", "submit", submission(env=VALUES)) == 0
    if kind == "dangling":
        assert not victim.exists()
    else:
        assert victim.read_text() == "as it was"
    path = batch.own / f"{NAME}.env"
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert "t0ken" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_link_put_there_in_that_moment_is_not_followed(batch, tmp_path, monkeypatch):
    """Between the removal of what was there and the opening."""
    victim = tmp_path / "victim"
    unlink = os.unlink

    def unlink_and_put(path):
        unlink(path)
        os.symlink(victim, path)

    Path("x.env.new").touch()
    monkeypatch.setattr(os, "unlink", unlink_and_put)
    with pytest.raises(FileExistsError):
        batch.write_private("x.env", "secret")
    assert not victim.exists()


# Cancelling


def test_cancel(batch, main, client):
    batch.own.mkdir()
    (batch.own / f"{NAME}.env").write_text("secret")
    (batch.own / "another.env").write_text("secret")
    assert main("alpha", "cancel", {"job_id": "7[1].server", "name": NAME}) == 0
    assert client.call()["argv"] == ["cancel", "7[1].server"]
    assert client.call()["env"]["SLURM_CONF"] == "/etc/alpha.conf"
    assert os.listdir(batch.own) == ["another.env"]
    # Without a name, and without a file.
    assert main("alpha", "cancel", {"job_id": "8", "name": ""}) == 0
    assert main("alpha", "cancel", {"job_id": "8", "name": NAME}) == 0
    assert os.listdir(batch.own) == ["another.env"]


def test_cancel_that_fails_removes_the_file_too(batch, main, client, capfd):
    batch.own.mkdir()
    (batch.own / f"{NAME}.env").write_text("secret")
    client.answer("sys.exit('scancel: error: Invalid job id specified')")
    assert main("alpha", "cancel", {"job_id": "7", "name": NAME}) == 1
    assert capfd.readouterr().err == "scancel: error: Invalid job id specified\n"
    assert os.listdir(batch.own) == []


# Output of jobs


def test_last_lines(batch, main, capfd):
    batch.own.mkdir()
    path = batch.own / f"{NAME}.log"
    path.write_text("".join(f"line {number}\n" for number in range(1, 101)))
    assert main("alpha", "log", {"name": NAME, "lines": 3}) == 0
    assert capfd.readouterr().out == "line 98\nline 99\nline 100\n"
    assert main("alpha", "log", {"name": NAME, "lines": 1000}) == 0
    assert capfd.readouterr().out == path.read_text()


def test_last_lines_of_a_large_output(batch, main, capfd):
    batch.own.mkdir()
    path = batch.own / f"{NAME}.log"
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast \xff\n")
    assert main("alpha", "log", {"name": NAME, "lines": 1}) == 0
    assert capfd.readouterr().out == "last \N{REPLACEMENT CHARACTER}\n"


def test_empty_output(batch, main, capfd):
    batch.own.mkdir()
    (batch.own / f"{NAME}.log").touch()
    assert main("alpha", "log", {"name": NAME, "lines": 20}) == 0
    assert capfd.readouterr().out == "\n"


def test_no_output(main, refused):
    assert "No such file" in refused(69, main, "alpha", "log", {"name": NAME, "lines": 20})


@pytest.mark.parametrize("lines", [0, -1, 1001, "5", 5.0, True, None])
def test_lines(main, refused, lines):
    assert "lines is not" in refused(64, main, "alpha", "log", {"name": NAME, "lines": lines})


def test_old_outputs_are_removed(batch, main):
    batch.own.mkdir()
    for number in range(30):
        path = batch.own / f"job-{number}.log"
        path.touch()
        os.utime(path, (number, number))
    (batch.own / "notes.txt").touch()
    (batch.own / "directory.log").mkdir()
    main("alpha", "submit", submission())
    kept = {f"job-{number}.log" for number in range(10, 30)}
    assert set(os.listdir(batch.own)) == kept | {"notes.txt", "directory.log"}


def test_two_starts_remove_the_same_old_outputs(batch, main, monkeypatch):
    batch.own.mkdir()
    for number in range(30):
        (batch.own / f"job-{number}.log").touch()

    def unlink(path):
        raise FileNotFoundError

    monkeypatch.setattr(os, "unlink", unlink)
    assert main("alpha", "submit", submission()) == 0


# Questions


def test_jobs(main, client, capfd):
    client.answer("print(sys.argv[1].partition('=')[2].replace('%i', '7|x\\x1e8'))")
    assert main("alpha", "jobs", {}) == 0
    answer = json.loads(capfd.readouterr().out)
    # The mark alone becomes the character; a name cannot hold it.
    assert answer == {"outputs": ["\x1e7|x?8\n", "\n"]}
    assert client.call()["env"]["SLURM_CONF"] == "/etc/alpha.conf"


def test_mark_is_new_each_time(main, client):
    marks = set()
    for _ in range(3):
        client.answer("sys.exit(0 if sys.argv[1] == 'second' else 3)")
        assert main("alpha", "jobs", {}) == 3
        mark = client.call()["argv"][0].removeprefix("--format=").removesuffix("%i")
        assert len(mark) >= 32
        marks.add(mark)
    assert len(marks) == 3


def test_question_that_fails_is_no_answer(main, client, capfd):
    client.answer("print('half an answer'); sys.exit(0 if sys.argv[1] != 'second' else 5)")
    assert main("alpha", "jobs", {}) == 5
    said = capfd.readouterr()
    # Some clients say on standard output what went wrong.
    assert (said.out, said.err) == ("", "half an answer\n")


def test_capacity(main, client, capfd):
    client.answer("sys.stdout.buffer.write(b'\\xff\\n')")
    assert main("alpha", "capacity", {}) == 0
    assert json.loads(capfd.readouterr().out) == {"outputs": ["\N{REPLACEMENT CHARACTER}\n"]}
    assert client.call()["argv"] == ["capacity"]


def test_account(main, batch, capfd):
    assert main("alpha", "account", {}) == 0
    answer = json.loads(capfd.readouterr().out)
    groups = answer.pop("groups")
    assert groups == sorted(groups)
    assert groups
    assert answer == {"name": "bob", "uid": 1001, "home": str(batch.home), "shell": "/bin/zsh"}


# Who may


@pytest.mark.parametrize(
    ("uid", "settings"),
    [(0, {}), (0, {"minimum_uid": 0}), (65534, {}), (999, {}), (1001, {"minimum_uid": 1002})],
)
def test_system_accounts_may_not(batch, main, client, refused, uid, settings):
    batch.account.pw_uid = uid
    request = submission()
    assert "system account" in refused(77, main, "alpha", "submit", request, **settings)
    assert not client.called()


def test_group(batch, main, client, refused):
    request = submission()
    mine = batch.grp.getgrgid(os.getgid()).gr_name
    assert main("alpha", "submit", request, group=mine) == 0
    other = next(one.gr_name for one in batch.grp.getgrall() if one.gr_gid not in groups())
    assert "not a member" in refused(77, main, "alpha", "submit", request, group=other)
    assert "not a member" in refused(77, main, "alpha", "submit", request, group="no-such-group")


def groups():
    return {os.getgid(), *os.getgroups()}


def test_anybody_may_ask(batch, main, capfd):
    """The hub's account is a system account."""
    batch.account.pw_uid = 999
    assert main("alpha", "jobs", {}) == 0
    assert main("alpha", "capacity", {}) == 0


def test_other_clusters(main, refused):
    assert "not one of this hub's" in refused(64, main, "beta", "jobs", {})
    assert "not one of this hub's" in refused(64, main, "local", "account", {}, clusters={})


def test_request_is_read_by_its_verb(main, client, refused):
    refused(64, main, "alpha", "jobs", {"user": "root"})
    refused(64, main, "alpha", "submit", submission() | {"user": "root"})
    refused(64, main, "alpha", "cancel", {"job_id": "7"})
    refused(64, main, "local", "run", {"cmd": ["id"]})
    assert not client.called()


@pytest.mark.parametrize("text", [None, "{"])
def test_configuration_that_cannot_be_read(batch, refused, tmp_path, text):
    batch.CONFIGURATION = str(tmp_path / "x.json")
    if text:
        Path(batch.CONFIGURATION).write_text(text)
    assert "cannot read" in refused(69, batch.main, ["alpha", "jobs"], io.BytesIO(b"{}"))


def test_home_directory_that_is_missing(batch, main, client):
    batch.account.pw_dir = "/nowhere"
    assert main("alpha", "cancel", {"job_id": "7", "name": ""}) == 0
    assert client.call()["cwd"] == "/"


# Processes on this machine


@pytest.fixture
def become(batch, monkeypatch):
    """What it would have become."""
    found = []

    def execve(path, command, variables):
        found.append((path, command, variables))
        raise FileNotFoundError(2, "No such file or directory")

    mine = vars(os) | {"execve": execve, "dup2": lambda one, two: found.append((one, two))}
    # pytest itself needs the real ones.
    monkeypatch.setattr(batch, "os", SimpleNamespace(**mine))
    return found


def test_run(batch, main, become, refused, capfd):
    request = {"cmd": ["/nb/x", "a b"], "env": {"TOKEN": "t"}}
    with pytest.raises(SystemExit) as refusal:
        main("local", "run", request)
    assert refusal.value.code == 69
    out, err = capfd.readouterr()
    assert out == f"{os.getpid()}\n"
    assert "cannot run /nb/x: No such file" in err
    errors, (path, command, variables) = become
    assert errors == (2, 1)
    assert (path, command) == ("/nb/x", ["/nb/x", "a b"])
    assert variables == batch.environment(batch.account, {"TOKEN": "t"})
    assert os.getcwd() == str(batch.home)


@pytest.mark.parametrize("cmd", [None, [], "id", [7], ["a\0b"], ["id", None], {"id": 1}])
def test_command_that_is_none(main, become, refused, cmd):
    refused(64, main, "local", "run", {"cmd": cmd, "env": {}})
    assert not become


def test_run_checks_the_environment(main, become, refused):
    refused(64, main, "local", "run", {"cmd": ["id"], "env": {"LD_PRELOAD": "x"}})
    assert not become


def test_signal(main):
    with subprocess.Popen(["sleep", "60"]) as process:
        assert main("local", "signal", {"pid": process.pid, "signal": 0}) == 0
        assert main("local", "signal", {"pid": process.pid, "signal": 15}) == 0
        assert process.wait(5) == -15
    assert main("local", "signal", {"pid": process.pid, "signal": 0}) == 1


@pytest.mark.parametrize(
    ("pid", "number"),
    [
        *((1, 15), (0, 15), (-1, 9), (-5, 9), ("7", 9), (7.0, 9), (True, 9), (None, 9)),
        *((os.getpid(), 1), (os.getpid(), 19), (os.getpid(), "0"), (os.getpid(), True)),
        *((os.getpid(), None), (os.getpid(), -9)),
    ],
)
def test_other_signals_are_refused(main, refused, monkeypatch, pid, number):
    monkeypatch.setattr(os, "kill", lambda *words: pytest.fail(f"kill {words}"))
    refused(64, main, "local", "signal", {"pid": pid, "signal": number})


def test_process_of_somebody_else(main, monkeypatch):
    def kill(pid, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert main("local", "signal", {"pid": 2, "signal": 9}) == 1


# The hub's key on a submit host


class Became(Exception):
    pass


@pytest.fixture
def ssh(batch, monkeypatch):
    """What a command of the hub's key becomes."""

    def execv(path, words):
        raise Became(path, words)

    monkeypatch.setattr(os, "execv", execv)

    def ssh(command):
        monkeypatch.setenv("SSH_ORIGINAL_COMMAND", command)
        batch.main(["ssh"], io.BytesIO(b""))

    return ssh


def test_ssh_as_a_user(batch, ssh):
    with pytest.raises(Became) as became:
        ssh("bob alpha submit")
    sudo = "/usr/bin/sudo"
    words = [sudo, "-n", "-u", "bob", "--", batch.PROGRAM, "alpha", "submit"]
    assert became.value.args == (sudo, words)


@pytest.mark.parametrize("verb", ["jobs", "capacity"])
def test_ssh_as_nobody(batch, ssh, verb):
    with pytest.raises(Became) as became:
        ssh(f"- alpha {verb}")
    assert became.value.args == (batch.PROGRAM, [batch.PROGRAM, "alpha", verb])


@pytest.mark.parametrize(
    "command",
    [
        "",
        "id",
        "bob alpha",
        "bob alpha submit x",
        "bob alpha submit;id",
        "bob  alpha submit",
        " bob alpha submit",
        "bob alpha submit\n",
        "bob\talpha\tsubmit",
        "bob alpha $(id)",
        "bob Alpha submit",
        "bob alpha shell",
        "bob alpha ssh",
        "-u alpha submit",
        "-uroot alpha submit",
        "--user=root alpha submit",
        "#0 alpha submit",
        "%wheel alpha submit",
        "bob;id alpha submit",
        "$(id) alpha submit",
        "../bob alpha submit",
        "1001 alpha submit",
        " alpha submit",
        "- alpha submit",
        "- alpha cancel",
        "- alpha account",
        "- local run",
        "-- alpha jobs",
        f"{'b' * 65} alpha submit",
    ],
)
def test_other_commands_of_the_key_are_refused(ssh, refused, command):
    refused(64, ssh, command)


def test_ssh_without_a_command(batch, refused, monkeypatch):
    monkeypatch.delenv("SSH_ORIGINAL_COMMAND", raising=False)
    refused(64, batch.main, ["ssh"], io.BytesIO(b""))


# As a program


def test_as_a_program(tmp_path):
    """Isolated: nothing of the caller's environment and directory takes part."""
    (tmp_path / "json.py").write_text("raise SystemExit(99)")
    done = subprocess.run(
        [WRAPPER, "alpha"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x"},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 64
    assert done.stderr.startswith("batch: usage: ")


def test_names_of_people(batch):
    assert batch.USER.fullmatch(pwd.getpwuid(os.getuid()).pw_name)
