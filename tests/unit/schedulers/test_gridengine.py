"""Answers of Grid Engine 8.1.9, as a real one printed them; only names of hosts were changed."""

import re
import subprocess
from pathlib import Path

import pytest
from batchspawner.batchspawner import format_template

from hpc_gateway.schedulers import ENDED, HELD, PENDING, RUNNING, Job, Queue, gridengine

HEAD = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas\
/qstat/qstat.xsd">
"""


def listed(group, number, name, owner, state, time, place="", more="<slots>1</slots>"):
    kind = "JAT_start_time" if group == "running" else "JB_submission_time"
    return f"""    <job_list state="{group}">
      <JB_job_number>{number}</JB_job_number>
      <JAT_prio>0.25004</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>{owner}</JB_owner>
      <state>{state}</state>
      <{kind}>2026-11-24T13:{time}</{kind}>
      <queue_name>{place}</queue_name>
      {more}
    </job_list>
"""


def answer(running="", waiting=""):
    return (
        f"{HEAD}  <queue_info>\n{running}  </queue_info>\n"
        f"  <job_info>\n{waiting}  </job_info>\n</job_info>\n"
    )


# Name, letters of the state: as they were.
JOBS = answer(
    listed("running", 1, "jupyterhub-main-1a2b3c4d", "ada", "r", "50:50", "all.q@node1.example.org")
    + listed("running", 6, "jupyterhub-main-00000005", "eve", "s", "52:20", "all.q@node1")
    + listed("running", 34, "rr", "eve", "dRr", "54:12", "all.q@node1")
    + listed("running", 36, "sleep", "ada", "t", "54:36", "all.q@node1")
    + listed(
        "running",
        50,
        "array",
        "eve",
        "r",
        "56:01",
        "short.q@node2",
        "<slots>1</slots>\n      <tasks>1</tasks>",
    ),
    listed("pending", 11, "big", "eve", "qw", "51:17", more="<slots>90</slots>")
    + listed("pending", 9, "badout", "eve", "Eqw", "50:51")
    + listed("pending", 13, "mem", "eve", "qw", "51:17")
    + listed("pending", 37, "again", "eve", "Rq", "53:44")
    + listed("pending", 8, "heldjob", "eve", "hqw", "50:51")
    + listed("pending", 18, "a%lt;b&amp;c&gt;&quot;d", "eve", "qw", "51:18")
    + listed("zombie", 2, "jupyterhub-main-00000001", "eve", "z", "50:51"),
)

MESSAGES = """<?xml version='1.0'?>
<message  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas\
/qstat/message.xsd">
  <element>
    <SME_message_list>
      <element>
        <MES_job_number_list>
          <ulong_sublist>
            <ULNG_value>11</ULNG_value>
          </ulong_sublist>
          <ulong_sublist>
            <ULNG_value>20</ULNG_value>
          </ulong_sublist>
        </MES_job_number_list>
        <MES_message_number>24</MES_message_number>
        <MES_message>Jobs can not run because available slots combined under PE are not in range \
of job</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <ulong_sublist>
            <ULNG_value>13</ULNG_value>
          </ulong_sublist>
        </MES_job_number_list>
        <MES_message_number>6</MES_message_number>
        <MES_message>Jobs can not run because queue instance is not contained in its hard queue \
list</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <element>
            <ULNG_value>13</ULNG_value>
          </element>
        </MES_job_number_list>
        <MES_message_number>0</MES_message_number>
        <MES_message>Jobs can not run because no host can satisfy the resource requirements\
</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <element>
            <ULNG_value>13</ULNG_value>
          </element>
        </MES_job_number_list>
        <MES_message_number>0</MES_message_number>
        <MES_message>Jobs can not run because no host can satisfy the resource requirements\
</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <ulong_sublist>
            <ULNG_value>9</ULNG_value>
          </ulong_sublist>
        </MES_job_number_list>
        <MES_message_number>32</MES_message_number>
        <MES_message>Jobs dropped because of error state</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <ulong_sublist>
            <ULNG_value>8</ULNG_value>
          </ulong_sublist>
        </MES_job_number_list>
        <MES_message_number>33</MES_message_number>
        <MES_message>Jobs dropped because of hold state</MES_message>
      </element>
      <element>
        <MES_job_number_list>
          <ulong_sublist>
            <ULNG_value>18</ULNG_value>
          </ulong_sublist>
        </MES_job_number_list>
        <MES_message_number>31</MES_message_number>
        <MES_message>Jobs can not run because execution time not reached</MES_message>
      </element>
    </SME_message_list>
  </element>
</message>"""


def general(*messages):
    """Messages that are not of single jobs, each a number and words."""
    elements = "".join(
        f"      <element>\n        <MES_message_number>{number}</MES_message_number>\n"
        f"        <MES_message>{words}</MES_message>\n      </element>\n"
        for number, words in messages
    )
    return (
        f"{MESSAGES[: MESSAGES.index('  <element>')]}  <element>\n    <SME_global_message_list>\n"
        f"{elements}    </SME_global_message_list>\n  </element>\n</message>"
    )


def dropped(word, number, queue="all.q"):
    return number, f"queue instance &quot;{queue}@node1&quot; dropped because it is {word}"


NO_QUEUE = (28, "All queues dropped because of overload or full")
TURNED_OFF = general((83, "(Collecting of scheduler job information is turned off)"))
NO_MESSAGES = general((90, "There are no messages available"))

CAPACITY = f"""{HEAD}  <cluster_queue_summary>
    <name>all.q</name>
    <load>1.01685</load>
    <used>3</used>
    <resv>0</resv>
    <available>1</available>
    <total>4</total>
    <temp_disabled>0</temp_disabled>
    <manual_intervention>0</manual_intervention>
  </cluster_queue_summary>
  <cluster_queue_summary>
    <name>short.q</name>
    <load>-nan</load>
    <used>4</used>
    <resv>0</resv>
    <available>0</available>
    <total>4</total>
    <temp_disabled>0</temp_disabled>
    <manual_intervention>4</manual_intervention>
  </cluster_queue_summary>
  <cluster_queue_summary>
    <name>full.q</name>
    <used>4</used>
    <available>0</available>
    <total>8</total>
    <temp_disabled>4</temp_disabled>
    <manual_intervention>4</manual_intervention>
  </cluster_queue_summary>
</job_info>
"""

# With exit status 0, while the master was down.
DOWN = """<?xml version='1.0'?>
<comunication_error >
    <AN_status>11</AN_status>
    <AN_text>unable to send message to qmaster using port 6444 on host &quot;master&quot;: got \
send error</AN_text>
    <AN_quality>1</AN_quality>
</comunication_error>
"""


def test_jobs():
    jobs = gridengine.parse_jobs(JOBS, MESSAGES)
    assert jobs[0] == Job(
        id="1",
        name="jupyterhub-main-1a2b3c4d",
        user="ada",
        state=RUNNING,
        host="node1.example.org",
        queue="all.q",
        cores=1,
    )
    assert jobs[5] == Job(
        id="11",
        name="big",
        user="eve",
        state=PENDING,
        reason="Jobs can not run because available slots combined under PE are not in range of job",
        cores=90,
    )
    # Suspended and ending ones run, a requeued one waits, one that could not be started is held.
    assert {job.id: job.state for job in jobs} == {
        **dict.fromkeys(["1", "6", "34", "36", "50"], RUNNING),
        **dict.fromkeys(["11", "13", "37", "18"], PENDING),
        **dict.fromkeys(["9", "8"], HELD),
        "2": ENDED,
    }
    # By priority, as they will be considered.
    assert [job.id for job in jobs if job.state == PENDING] == ["11", "13", "37", "18"]


def test_why_jobs_wait():
    jobs = {job.id: job for job in gridengine.parse_jobs(JOBS, MESSAGES)}
    # Once, and without what is said of queues that were not asked for.
    assert jobs["13"].reason == (
        "Jobs can not run because no host can satisfy the resource requirements"
    )
    assert "less memory" in gridengine.explain(jobs["13"])
    assert "fewer cores" in gridengine.explain(jobs["11"])
    assert "begin time" in gridengine.explain(jobs["18"])
    assert "held" in gridengine.explain(jobs["8"])
    assert "could not be started" in gridengine.explain(jobs["9"])
    assert jobs["37"].reason == gridengine.explain(jobs["37"]) == ""
    assert gridengine.explain(jobs["2"]) == gridengine.explain(jobs["1"]) == ""


def test_queue_that_takes_no_job():
    # The first and the only word on it.
    messages = MESSAGES.replace("<ULNG_value>13<", "<ULNG_value>37<", 1)
    job = gridengine.parse_jobs(JOBS, messages)[8]
    assert job.reason.endswith("queue instance is not contained in its hard queue list")


@pytest.mark.parametrize("messages", [(), (TURNED_OFF,), (NO_MESSAGES,)])
def test_no_messages(messages):
    jobs = {job.id: job for job in gridengine.parse_jobs(JOBS, *messages)}
    assert jobs["11"].reason == ""
    assert (jobs["8"].reason, jobs["9"].reason) == ("hold state hqw", "error state Eqw")
    assert "held" in gridengine.explain(jobs["8"])
    assert "could not be started" in gridengine.explain(jobs["9"])


def test_all_queues_are_full():
    messages = general(dropped("full", 37), dropped("disabled", 39, "short.q"), NO_QUEUE)
    jobs = {job.id: job for job in gridengine.parse_jobs(JOBS, messages)}
    assert jobs["11"].reason == "All queues dropped because of overload or full"
    assert "All cores are in use" in gridengine.explain(jobs["11"])
    # Not of those that would not start in any case.
    assert jobs["9"].reason == "error state Eqw"
    assert jobs["1"].reason == jobs["2"].reason == ""


def test_all_queues_are_closed():
    # Said of all in the same words as of full ones.
    messages = general(
        dropped("disabled", 39), dropped("temporarily not available", 40, "short.q"), NO_QUEUE
    )
    job = gridengine.parse_jobs(JOBS, messages)[5]
    assert job.reason == (
        "All queues dropped because they are disabled or temporarily not available"
    )
    assert "closed" in gridengine.explain(job)


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("Jobs dropped because of exceeding limit in rule", "quota"),
        ("Jobs cannot run because they exceeds limit in resource quota sets", "quota"),
        ("Job dropped because of user limitations", "as many running jobs"),
        ("Jobs can not run because queue do not provides the jobs assigned project", "project"),
        ("There could not be found a queue instance with suitable access permissions", "may not"),
        ("Job dropped because of job dependencies", "another job"),
        ("Jobs can not run because the resource requirements can not be satisfied", "less time"),
        ("Jobs can not run because queue instance is not contained in its hard queue list", "take"),
        ("Jobs can not run because queue instance is not in queue list of PE", "parallel"),
        ("Jobs cannot run because a calendar will disable a queue soon", "closed"),
        ("a word of a later version", ""),
    ],
)
def test_explanations(words, meaning):
    said = gridengine.explain(Job("1", "j", "ada", PENDING, reason=words))
    assert meaning in said
    assert bool(meaning) == bool(said)


def test_defaults_of_a_site():
    """What `-f -r` in the site's sge_qstat file makes of the list."""
    jobs = answer(
        """    <Queue-List>
      <name>all.q@node1</name>
      <qtype>BIP</qtype>
      <slots_used>5</slots_used>
      <slots_total>5</slots_total>
      <job_list state="running">
        <JB_job_number>124</JB_job_number>
        <JAT_prio>0.25563</JAT_prio>
        <JB_name>jupyterhub</JB_name>
        <JB_owner>ada</JB_owner>
        <state>s</state>
        <JAT_start_time>2026-11-24T14:12:02</JAT_start_time>
        <slots>2</slots>
        <full_job_name>jupyterhub-main-1a2b3c4d</full_job_name>
        <requested_pe name="smp">2</requested_pe>
        <hard_req_queue>all.q</hard_req_queue>
      </job_list>
    </Queue-List>
""",
        listed("pending", 11, "big", "eve", "qw", "51:17").replace(
            "      <queue_name></queue_name>\n", ""
        ),
    )
    running, waiting = gridengine.parse_jobs(jobs)
    assert (running.name, running.host, running.queue, running.cores) == (
        *("jupyterhub-main-1a2b3c4d", "node1", "all.q"),
        2,
    )
    assert (waiting.id, waiting.host, waiting.queue) == ("11", "", "")


def test_no_jobs():
    assert gridengine.parse_jobs(answer(), NO_MESSAGES) == []


@pytest.mark.parametrize("length", [0, 10, 300, len(JOBS) // 2, len(JOBS.rstrip()) - 1])
def test_cut_off_jobs(length):
    with pytest.raises(ValueError, match="not whole"):
        gridengine.parse_jobs(JOBS[:length], MESSAGES)


@pytest.mark.parametrize("length", [0, 300, len(MESSAGES) - 1])
def test_cut_off_messages(length):
    with pytest.raises(ValueError, match="not whole"):
        gridengine.parse_jobs(JOBS, MESSAGES[:length])


@pytest.mark.parametrize("length", [0, 300, len(CAPACITY.rstrip()) - 1])
def test_cut_off_capacity(length):
    with pytest.raises(ValueError, match="not whole"):
        gridengine.parse_capacity(CAPACITY[:length])


@pytest.mark.parametrize(
    "jobs",
    [
        DOWN,
        # Of qstat -j, for a job that there is not.
        "<?xml version='1.0'?>\n<unknown_jobs >\n    <ST_name>9999</ST_name>\n</unknown_jobs>\n",
        f"{HEAD}</job_info>\n",
        f"{HEAD}  <queue_info>\n  </queue_info>\n</job_info>\n",
        CAPACITY,
        JOBS.replace('"zombie"', '"exited"'),
        JOBS.replace("<JB_job_number>11<", "<JB_job_number><"),
        JOBS.replace("<JB_owner>ada</JB_owner>", ""),
        JOBS.replace("<state>qw</state>", ""),
        JOBS.replace("<slots>90<", "<slots>-<"),
        "job-ID  prior   name       user         state submit/start at     queue\n",
    ],
)
def test_not_understood(jobs):
    with pytest.raises(ValueError):  # noqa: PT011
        gridengine.parse_jobs(jobs, MESSAGES)


def test_no_answer_to_the_second_question():
    with pytest.raises(ValueError, match="comunication_error"):
        gridengine.parse_jobs(JOBS, DOWN)


def test_capacity():
    assert gridengine.parse_capacity(CAPACITY) == {
        "all.q": Queue("all.q", 4, 1),
        "short.q": Queue("short.q", 4, 0, up=False),
        # Four slots of eight are in an alarm, and disabled as well.
        "full.q": Queue("full.q", 8, 0),
    }


@pytest.mark.parametrize(
    "text",
    [
        DOWN,
        CAPACITY.replace("<total>4</total>", "", 1),
        CAPACITY.replace("<available>1<", "<available>-nan<"),
    ],
)
def test_capacity_not_understood(text):
    with pytest.raises(ValueError):  # noqa: PT011
        gridengine.parse_capacity(text)


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        # The same for one that there never was.
        ('denied: job "9999" does not exist', True),
        ("The job 4711 of user(s) ada does not exist", True),
        ("job 34 is already in deletion", False),
        ('ada - you do not have the necessary privileges to delete the job "13"', False),
        ('denied: host "gateway" is not a submit host', False),
        (
            "error: commlib error: got select error (Connection refused)\n"
            'unable to send message to qmaster using port 6444 on host "master": got send error',
            False,
        ),
    ],
)
def test_gone(words, gone):
    assert bool(gridengine.GONE.search(words)) is gone


# The job script

TEMPLATE = Path(__file__).parents[3] / "templates/batch/gridengine.sh"


def script(tmp_path, **values):
    empty = dict.fromkeys(
        ["queue", "memory", "nprocs", "ngpus", "runtime", "account", "options", "prologue"], ""
    )
    return format_template(
        TEMPLATE.read_text(),
        **empty
        | {
            "job_name": "jupyterhub-main-1a2b3c4d",
            "homedir": "/home/ada",
            "log_file": "/home/ada/.jupyterhub-main/jupyterhub-main-1a2b3c4d.log",
            "env_file": str(tmp_path / "job.env"),
            "epilogue": "",
            "cmd": "true",
            "pe": "smp",
        }
        | values,
    )


def run(tmp_path, env="export TOKEN='canary-5ecret'\n", **values):
    """Run the script; return its exit code, its output, and whether the environment is left."""
    file = tmp_path / "job.env"
    if env is not None:
        file.write_text(env)
    (tmp_path / "job").write_text(script(tmp_path, **values))
    done = subprocess.run(
        ["/bin/bash", "-l", "job"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        check=False,
    )
    return done.returncode, done.stdout, file.exists()


def requests(text):
    return re.findall(r"^#\$ (.*)$", text, re.MULTILINE)


def test_script_asks_for_nothing_by_itself(tmp_path):
    text = script(tmp_path)
    assert requests(text) == [
        "-N jupyterhub-main-1a2b3c4d",
        "-S /bin/bash",
        "-wd /home/ada",
        "-j y",
        "-o /home/ada/.jupyterhub-main/jupyterhub-main-1a2b3c4d.log",
    ]
    assert "{#" not in text


def test_script_asks_for_what_the_profile_has(tmp_path):
    text = script(
        tmp_path,
        queue="all.q",
        account="physics",
        runtime="02:00:00",
        memory="4gib",
        nprocs="2",
        ngpus="1",
        options="-r y",
    )
    assert requests(text)[5:] == [
        *("-q all.q", "-P physics", "-l h_rt=02:00:00", "-l mem_free=4G"),
        *("-pe smp 2", "-l gpu=1", "-r y"),
    ]


@pytest.mark.parametrize(
    ("memory", "written"),
    [("4G", "4G"), ("512MB", "512M"), ("4gb", "4G"), ("1T", "1T"), ("100KiB", "100K")],
)
def test_script_memory(tmp_path, memory, written):
    assert requests(script(tmp_path, memory=memory))[5:] == [f"-l mem_free={written}"]


@pytest.mark.parametrize("nprocs", [1, "1", ""])
def test_script_one_core_needs_no_parallel_environment(tmp_path, nprocs):
    assert len(requests(script(tmp_path, nprocs=nprocs))) == 5


def test_script_runs(tmp_path):
    code, said, left = run(
        tmp_path,
        prologue="echo before",
        cmd="/bin/bash -c 'echo ${#TOKEN}; test -e job.env && exit 7'",
        epilogue="echo after",
    )
    # The exit code is the server's, and a requeued job would have had its environment.
    assert (code, said.split(), left) == (7, ["before", "13", "after"], False)


def test_script_does_not_mind_a_logout_file(tmp_path):
    (tmp_path / ".bash_logout").write_text("false\n")
    assert run(tmp_path, cmd="/bin/bash -c 'exit 7'")[0] == 7


def test_script_without_environment(tmp_path):
    code, said, _ = run(tmp_path, env=None, cmd="echo started")
    assert code == 1
    assert said.startswith("No environment for the server: ")
    assert said.endswith(f" cannot read {tmp_path}/job.env\n")


def test_script_that_is_broken_off_keeps_the_environment(tmp_path):
    code, said, left = run(tmp_path, prologue="false", cmd="echo started")
    assert (code, said, left) == (1, "", True)
    code, said, left = run(tmp_path, cmd="/bin/bash -c 'kill -KILL $PPID'")
    assert (code, said, left) == (-9, "", True)
