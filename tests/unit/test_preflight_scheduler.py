"""What role preflight asks of live schedulers, and how it judges profiles by their answers."""

import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).resolve().parents[2] / "roles/preflight"
SPEC = importlib.util.spec_from_file_location(
    "preflight_scheduler", PREFLIGHT / "library/preflight_scheduler.py"
)
asker = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(asker)
sys.path.append(str(PREFLIGHT / "plugin_utils"))
rules = importlib.import_module("preflight_rules")
judge = importlib.import_module("preflight_rules.scheduler")

GB = 2**30

# Slurm 22.05; added: a partition with two kinds of nodes, one that is closed, one without nodes.
SINFO = (
    "short*|up|1:00:00|2|24064\nlong|up|12:00:00|2|24064\n"
    "big|up|7-00:00:00|64|128000\nbig|up|7-00:00:00|8|1024000\n"
    "old|inact|infinite|8|16000\nempty|up|infinite|0|0\n"
)
# Grid Engine 8.1.9, shortened; the third queue differs by host.
QCONF = (
    "qname                 all.q\nhostlist              @allhosts\npe_list               smp\n"
    "slots                 4\ns_rt                  INFINITY\nh_rt                  INFINITY\n"
    "h_vmem                INFINITY\n"
    "qname                 short.q\nhostlist              @allhosts\nslots                 1\n"
    "h_rt                  0:10:0\nh_vmem                2G\n"
    "qname                 mixed.q\nhostlist              @allhosts \\\n"
    "                      @gpu\n"
    "slots                 4,[node1=8],[@gpu=16]\nh_rt                  24:00:00,[@gpu=48:00:00]\n"
    "h_vmem                4G,[node1=8.5G]\n"
)
# slurm-wlm-torque 22.05.
QSTAT_OVER_SLURM = (
    "Queue:\tmain\n\tqueue_type = Execution\n\tresources_default.nodes = 1\n"
    "\tenabled = yes\n\tstarted = yes\n\n"
    "Queue:\tshort\n\tqueue_type = Execution\n\tresources_default.nodes = 1\n"
    "\tenabled = yes\n\tstarted = yes\n\n"
)
QSTAT = (
    "Queue: workq\n    queue_type = Execution\n    total_jobs = 0\n"
    "    state_count = Transit:0 Queued:0 Held:0 Waiting:0 Running:0 Exiting:0 Begun\n\t:0 \n"
    "    resources_max.mem = 8gb\n    resources_max.ncpus = 8\n"
    "    resources_max.walltime = 24:00:00\n    enabled = True\n    started = True\n\n"
    "Queue: night\n    queue_type = Execution\n    enabled = True\n    started = False\n\n"
    "Queue: old\n    queue_type = Execution\n    enabled = False\n    started = True\n\n"
)
# HTCondor 23.9: a machine of 2 cores, one of them with a running job.
CONDOR = "1 23593 2 24105\n1 512 1 512\n4 8000 undefined undefined\n"


# Reading answers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("infinite", None),
        ("INFINITY", None),
        ("1:00:00", 3600),
        ("0:10:0", 600),
        ("30:00", 1800),
        ("7-00:00:00", 7 * 86400),
        ("3600", 3600),
    ],
)
def test_seconds(text, number):
    assert asker.seconds(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8gb", 8 * GB),
        ("8.5G", 17 * GB // 2),
        ("1048576kb", GB),
        ("1073741824", GB),
        ("NONE", None),
    ],
)
def test_size(text, number):
    assert asker.size(text) == number


@pytest.mark.parametrize("text", ["4 apples", "G", "-1"])
def test_no_size(text):
    with pytest.raises(ValueError, match="no amount"):
        asker.size(text)


def nodes(queue):
    return [(node["cpus"], node["memory"]) for node in queue["nodes"]]


def test_slurm():
    short, long, big, old, empty = asker.parse_sinfo(SINFO)
    assert (short["name"], short["default"], short["walltime"]) == ("short", True, 3600)
    assert nodes(short) == [(2, 24064 * 2**20)]
    assert (long["default"], long["closed"]) == (False, "")
    assert nodes(big) == [(64, 125 * GB), (8, 1000 * GB)]
    assert (old["closed"], old["walltime"]) == ("is inact", None)
    assert empty["closed"] == "has no nodes"


def test_gridengine():
    everything, short, mixed = asker.parse_qconf(QCONF)
    assert (everything["walltime"], nodes(everything)) == (None, [(4, None)])
    assert (short["walltime"], nodes(short)) == (600, [(1, 2 * GB)])
    assert (mixed["walltime"], nodes(mixed)) == (48 * 3600, [(16, 17 * GB // 2)])


def test_pbs():
    workq, night, old = asker.parse_qstat(QSTAT)
    assert (workq["walltime"], nodes(workq), workq["closed"]) == (86400, [(8, 8 * GB)], "")
    assert (night["walltime"], nodes(night)) == (None, [(None, None)])
    assert (night["closed"], old["closed"]) == ("is not started", "is not enabled")


def test_torque_over_slurm():
    found = asker.parse_qstat(QSTAT_OVER_SLURM)
    assert [(one["name"], one["closed"]) for one in found] == [("main", ""), ("short", "")]


def test_condor():
    (one,) = asker.parse_condor_status(CONDOR)
    assert nodes(one) == [(1, 512 * 2**20), (2, 24105 * 2**20), (4, 8000 * 2**20)]
    assert asker.parse_condor_status("") == []


# Asking, with stand-ins for the clients


@pytest.fixture
def programs(tmp_path):
    """Return a function that puts a program of a name into the directory that is looked through."""

    def add(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return add


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Return a function that asks a cluster whose client is made of the stand-ins alone."""
    monkeypatch.setattr(asker, "PATH", ())
    monkeypatch.setenv("PATH", "")

    def run(scheduler, patience=5, **more):
        one = {"name": "a", "scheduler": scheduler, "path": [str(tmp_path), "/bin"], **more}
        return asker.ask(one, patience)

    return run


def test_client_that_is_not_there(ask, monkeypatch):
    monkeypatch.setattr(asker.shutil, "which", lambda name, path: None)
    assert ask("slurm") == {"silent": "sinfo is not installed"}


def test_client_that_hangs_with_a_child(ask, programs):
    programs("qstat", "/bin/sleep 60 & /bin/sleep 60")
    begin = time.monotonic()
    assert ask("pbs", 0.3) == {"silent": "qstat gave no answer within 0.3 s"}
    assert time.monotonic() - begin < 10


def test_client_that_fails(ask, programs):
    programs("qconf", "echo 'error: commlib error: got select error' >&2; echo more >&2; exit 1")
    answer = {"silent": "qconf failed: error: commlib error: got select error"}
    assert ask("gridengine") == answer
    programs("qconf", "exit 3")
    assert ask("gridengine") == {"silent": "qconf failed: exit code 3"}


def test_client_that_is_no_program(ask, programs, tmp_path):
    programs("qstat", "")
    (tmp_path / "qstat").write_text("#!/no/such/shell\n")
    assert ask("pbs")["silent"].startswith("qstat does not run")


@pytest.mark.parametrize("output", ["slurm_load_partitions: error", "a|up|1:00:00|many|1", "a|up"])
def test_answer_that_is_not_understood(ask, programs, output):
    programs("sinfo", f"echo '{output}'")
    assert ask("slurm")["silent"].startswith("its answer is not understood")


def test_empty_answer(ask, programs):
    programs("condor_status", "")
    assert ask("condor") == {"silent": "it shows no queue and no machine"}


def test_environment_of_the_client(ask, programs, monkeypatch):
    """It says which cluster is meant; what would change the job of a test does not reach sbatch."""
    monkeypatch.setenv("SBATCH_PARTITION", "wrong")
    programs("sinfo", 'echo "$SLURM_CONF$SBATCH_PARTITION*|up|1:00|1|1"')
    answer = ask("slurm", environment={"SLURM_CONF": "alpha"})
    assert answer["queues"][0]["name"] == "alpha"


def test_gridengine_is_asked_for_all_its_queues(ask, programs):
    programs("qconf", 'case $1 in -sql) printf "all.q\\nb.q\\n" ;; -sq) echo "qname $2" ;; esac')
    assert ask("gridengine")["queues"][0]["name"] == "all.q,b.q"


@pytest.mark.parametrize(
    ("says", "refused"),
    [
        # As Slurm 22.05 words them.
        (
            "allocation failure: Requested node configuration is not available",
            "Requested node configuration is not available",
        ),
        (
            "sbatch: error: Invalid generic resource (gres) specification",
            "Invalid generic resource (gres) specification",
        ),
        # Root's own affairs.
        ("allocation failure: Invalid account or account/partition combination specified", None),
        ("allocation failure: Access/permission denied", None),
        ("allocation failure: Unable to contact slurm controller (connect failure)", None),
    ],
)
def test_tests_of_sbatch(ask, programs, says, refused):
    programs("sinfo", "echo 'short*|up|1:00:00|2|24064'")
    programs("sbatch", f'case "$*" in *--mem=9G*) echo "{says}" >&2; exit 1 ;; esac')
    answer = ask("slurm", tests={"0": ["--mem=1G"], "3": ["--mem=9G"]})
    assert answer.get("refused") == ({"3": refused} if refused else None)


def test_accounts(ask, programs):
    programs("sinfo", "echo 'short*|up|1:00:00|2|24064'")
    programs("sacctmgr", "printf 'root\\nphysics\\n'")
    assert "accounts" not in ask("slurm")
    assert ask("slurm", accounts=True)["accounts"] == ["root", "physics"]
    programs("sacctmgr", "echo You are not running a supported accounting_storage plugin; exit 1")
    assert "accounts" not in ask("slurm", accounts=True)


def test_partitions_are_known_though_the_rest_hangs(ask, programs):
    programs("sinfo", "echo 'short*|up|1:00:00|2|24064'")
    programs("sacctmgr", "/bin/sleep 60")
    assert ask("slurm", 0.5, accounts=True)["queues"][0]["name"] == "short"


# What is asked


def profile(spawner="slurm", fields=None, cluster=None, **options):
    one = {"name": "A", "key": "a", "spawner": spawner, "options": options}
    if fields:
        one["fields"] = fields
    return one | ({"cluster": cluster} if cluster else {})


def values(*profiles, **more):
    return {"hub_profiles": list(profiles), "batch_schedulers": ["slurm", "local"], **more}


def test_clusters_that_nobody_uses_are_not_asked():
    assert judge.to_ask(values(profile("local"))) == []
    assert judge.to_ask(values(profile("some.module.Class"))) == []
    assert judge.to_ask(values(profile("lsf"), batch_schedulers=["lsf"])) == []
    assert judge.to_ask(values(profile(req_cluster="other"))) == []
    assert judge.to_ask({}) == []


def test_what_slurm_is_asked():
    fields = {"memory": {"min": "1G", "default": "2G", "max": "64gb"}}
    asked = judge.to_ask(
        values(
            profile("local"),
            profile(
                req_partition="short",
                req_nprocs="2",
                req_memory="4G",
                req_runtime="01:00:00",
                req_ngpus="1",
                req_account="physics",
                req_options="--constraint='a b'",
            ),
            profile(fields=fields, req_queue="long", req_ngpus="0", req_options="'"),
            batch_commands={
                "slurm": {"submit": ["/opt/slurm/bin/sbatch"], "jobs": [["/x/squeue"]]}
            },
        )
    )
    assert asked == [
        {
            "name": "slurm",
            "scheduler": "slurm",
            "environment": {},
            "path": ["/opt/slurm/bin", "/x"],
            "accounts": True,
            "tests": {
                "1": [
                    "--partition=short",
                    "--time=01:00:00",
                    "--mem=4G",
                    "--cpus-per-task=2",
                    "--gres=gpu:1",
                    "--constraint=a b",
                ],
                "2": ["--partition=long", "--mem=64g"],
            },
        }
    ]
    # As arguments of a module.
    assert json.loads(json.dumps(asked)) == asked


def test_several_clusters():
    clusters = [
        {"name": "alpha", "scheduler": "slurm", "environment": {"SLURM_CONF": "/a"}},
        {"name": "beta", "scheduler": "slurm"},
        {"name": "sge", "scheduler": "gridengine", "commands": {"submit": ["/opt/sge/qsub"]}},
        {"name": "unused", "scheduler": "pbs"},
    ]
    asked = judge.to_ask(
        values(
            profile(cluster="alpha"),
            profile(cluster="beta"),
            profile("gridengine", cluster="sge"),
            profile("some.module.Class", cluster="beta"),
            hub_clusters=clusters,
        )
    )
    assert [one["name"] for one in asked] == ["alpha", "beta", "sge"]
    assert [list(one.get("tests", {})) for one in asked] == [["0"], ["1", "3"], []]
    assert asked[0]["environment"] == {"SLURM_CONF": "/a"}
    assert asked[2]["path"] == ["/opt/sge"]


# Judging


def problems(answer, one, **more):
    name = one.get("cluster", one["spawner"])
    instance = rules.Instance("one", values(one, **{"batch_schedulers": [name], **more}))
    judge.check_live(instance, {name: answer})
    return [rules.message(problem, "place:1") for problem in instance.problems]


SLURM = {"queues": asker.parse_sinfo(SINFO)}
NO_DEFAULT = {"queues": asker.parse_sinfo("a|up|1:00:00|2|24064\n")}
SGE = {"queues": asker.parse_qconf(QCONF)}
PBS = {"queues": asker.parse_qstat(QSTAT)}
POOL = {"queues": asker.parse_condor_status(CONDOR)}


def field(name, most):
    return {name: {"min": most, "default": most, "max": most}}


@pytest.mark.parametrize(
    ("answer", "one"),
    [
        (SLURM, profile()),
        (
            SLURM,
            profile(
                req_partition="short",
                req_nprocs="2",
                req_memory="24064",
                req_runtime="01:00:00",
                req_account="any",
            ),
        ),
        (SLURM | {"accounts": ["root", "physics"]}, profile(req_account="Physics")),
        (SLURM, profile(req_partition="short,long", req_runtime="12:00:00")),
        (SLURM, profile(req_partition="big", req_nprocs="8", req_memory="1000G")),
        (SLURM, profile(req_partition="big", req_nprocs="64", req_memory="125gb")),
        (SLURM, profile(fields=field("walltime", "60"), req_runtime="12:00:00")),
        (SGE, profile("gridengine", req_queue="*", req_nprocs="16", req_runtime="999:00:00")),
        (SGE, profile("gridengine", req_queue="mixed.q@node1", req_nprocs="2", req_memory="17G")),
        (SGE, profile("gridengine", req_memory="900G")),
        (PBS, profile("pbs", req_queue="workq", req_memory="8gb", req_runtime="24:00:00")),
        (PBS, profile("torque", req_queue="workq@server", req_memory="8589934592")),
        (PBS, profile("pbs", req_queue="elsewhere", req_host="other")),
        (POOL, profile("condor", req_nprocs="4", req_memory="8000M", req_runtime="99:00:00")),
        ({"silent": "sinfo is not installed"}, profile(req_partition="nowhere")),
        ({"silent": "sinfo is not installed"}, profile("pbs", req_queue="nowhere")),
    ],
)
def test_granted(answer, one):
    assert problems(answer, one) == []


@pytest.mark.parametrize(
    ("answer", "one", "message"),
    [
        (
            SLURM,
            profile(req_partition="shrot"),
            'options.req_partition = "shrot": the cluster slurm has no partition shrot.'
            ' Did you mean "short"? It has short, long, big, old, empty.',
        ),
        (
            SLURM,
            profile(req_queue="long,none"),
            'options.req_queue = "long,none": the cluster slurm has no partition none.'
            " It has short, long, big, old, empty.",
        ),
        (
            NO_DEFAULT,
            profile(),
            "options.req_partition: is missing, and the cluster slurm has no default partition."
            " Use one of a.",
        ),
        (
            SLURM,
            profile(req_partition="old"),
            'options.req_partition = "old": the partition old takes no jobs: it is inact.'
            " Have it opened, or use another partition.",
        ),
        (
            SLURM,
            profile(req_partition="empty", req_nprocs="2"),
            'options.req_partition = "empty": the partition empty takes no jobs: it has no nodes.'
            " Have it opened, or use another partition.",
        ),
        (
            SLURM,
            profile(req_runtime="1-00:00:00"),
            'options.req_runtime = "1-00:00:00": is more than the partition short has for one job:'
            " 01:00:00. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(fields=field("walltime", "90"), req_runtime="00:10:00"),
            'fields.walltime.max = "90": is more than the partition short has for one job:'
            " 01:00:00. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(req_partition="long,short", req_runtime="13:00:00"),
            'options.req_runtime = "13:00:00": is more than the cluster slurm has for one job:'
            " 12:00:00. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(req_memory="24065"),
            'options.req_memory = "24065": is more than the partition short has for one job:'
            " 24064 MB. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(fields=field("memory", "32G")),
            'fields.memory.max = "32G": is more than the partition short has for one job:'
            " 24064 MB. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(req_nprocs="3"),
            'options.req_nprocs = "3": is more than the partition short has for one job:'
            " 2 cores. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(fields=field("cores", 3)),
            "fields.cores.max = 3: is more than the partition short has for one job:"
            " 2 cores. Ask for less, or use another partition.",
        ),
        (
            SLURM,
            profile(req_partition="big", req_nprocs="64", req_memory="900G"),
            'options.req_memory = "900G": is more than the partition big has on a node with'
            " 64 cores. Ask for less of one of the two.",
        ),
        (
            SLURM | {"accounts": ["root", "physics"]},
            profile(req_account="Phisics"),
            'options.req_account = "Phisics": the cluster slurm has no such account.'
            ' Did you mean "physics"? Correct it, or have the account made first.',
        ),
        (
            SLURM | {"refused": {"0": "Invalid feature specification"}},
            profile(req_options="-C x"),
            'options = {"req_options": "-C x"}: the cluster slurm refuses such a job:'
            " Invalid feature specification. Ask for what one of its nodes has.",
        ),
        (
            SGE,
            profile("gridengine", req_queue="short.q", req_runtime="01:00:00"),
            'options.req_runtime = "01:00:00": is more than the queue short.q has for one job:'
            " 00:10:00. Ask for less, or use another queue.",
        ),
        (
            SGE,
            profile("gridengine", req_queue="mixed.q", req_nprocs="2", req_memory="18G"),
            'options.req_memory = "18G": is more than the queue mixed.q has for one job:'
            " 17408 MB. Ask for less, or use another queue.",
        ),
        (
            SGE,
            profile("gridengine", req_queue="mixd.q@node1"),
            'options.req_queue = "mixd.q@node1": the cluster gridengine has no queue mixd.q.'
            ' Did you mean "mixed.q"? It has all.q, short.q, mixed.q.',
        ),
        (
            PBS,
            profile("pbs", req_queue="night"),
            'options.req_queue = "night": the queue night takes no jobs: it is not started.'
            " Have it opened, or use another queue.",
        ),
        (
            PBS,
            profile("torque", req_queue="workq", req_memory="9gb"),
            'options.req_memory = "9gb": is more than the queue workq has for one job: 8192 MB.'
            " Ask for less, or use another queue.",
        ),
        (
            POOL,
            profile("condor", req_nprocs="5"),
            'options.req_nprocs = "5": is more than the cluster condor has for one job: 4 cores.'
            " Ask for less, or use another cluster.",
        ),
    ],
)
def test_not_granted(answer, one, message):
    assert problems(answer, one) == [f"place:1 hub_profiles[0].{message}"]


def test_refusal_is_named_only_where_nothing_else_is_wrong():
    answer = SLURM | {"refused": {"0": "Requested time limit is invalid"}}
    assert len(problems(answer, profile(req_runtime="02:00:00"))) == 1


def test_all_problems_of_all_profiles():
    clusters = [{"name": "alpha", "scheduler": "slurm"}, {"name": "sge", "scheduler": "gridengine"}]
    instance = rules.Instance(
        "one",
        values(
            profile(cluster="alpha", req_partition="no"),
            profile(cluster="alpha", req_nprocs="9", req_memory="900G"),
            profile("gridengine", cluster="sge", req_queue="no"),
            hub_clusters=clusters,
        ),
    )
    judge.check_live(instance, {"alpha": SLURM, "sge": SGE})
    assert [problem.path[1] for problem in instance.problems] == [0, 1, 1, 2]


# The embedded Slurm


@pytest.mark.parametrize(
    ("expected", "foreign", "environment", "variables"),
    [
        (True, False, {}, {"slurm_embedded": "auto"}),
        (True, True, {}, {"slurm_embedded": "always"}),
        (False, True, {}, {"slurm_embedded": "auto"}),
        (False, False, {}, {"slurm_embedded": "never"}),
        (False, False, {"SLURM_CONF": "/a"}, {"slurm_embedded": "auto"}),
        (False, False, {}, {"slurm_embedded": "auto", "batch_transport": "ssh"}),
    ],
)
def test_embedded(expected, foreign, environment, variables):
    cluster = {"scheduler": "slurm", "environment": environment}
    assert judge.is_embedded(variables, cluster, foreign) is expected


def test_embedded_slurm_is_judged_as_it_will_be():
    """A partition that this run adds is no problem; what its node has decides about the rest."""
    partitions = [{"name": "new", "max_time": "1:00:00", "default": True}]
    variables = {"slurm_partitions": partitions}
    answer = judge.as_deployed(variables, SLURM)
    assert problems(answer, profile(req_partition="new", req_nprocs="64")) == []
    assert "64 cores" in problems(answer, profile(req_partition="new", req_nprocs="65"))[0]
    answer = judge.as_deployed(variables | {"slurm_cpus": 4, "slurm_memory_mb": 1024}, SLURM)
    assert "4 cores" in problems(answer, profile(req_nprocs="5"))[0]
    assert "1024 MB" in problems(answer, profile(req_memory="2G"))[0]
