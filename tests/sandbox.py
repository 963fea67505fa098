"""Ask a unit's sandbox what it lets through, from inside. No tests themselves."""

import json
import shlex

ANSWERS = "/run/jupyterhub/main/hub/probe"


def probe(host, unit, commands):
    """Return {name: exit code} of shell commands run in the sandbox of the unit, as its account.

    The unit is restarted with a drop-in whose ExecStartPre runs them, so what they meet is what
    the unit's own program meets. Paths inside are those of the instance `main`.
    """
    script = "".join(
        f"({command}) >/dev/null 2>&1; echo $? {shlex.quote(name)};"
        for name, command in commands.items()
    )
    # A unit file has its own quoting and its own meaning for $ and %.
    quoted = json.dumps(f"{{ {script} }} >{ANSWERS}").replace("$", "$$").replace("%", "%%")
    directory = f"/run/systemd/system/{unit}.service.d"
    host.check_output("mkdir -p %s", directory)
    host.check_output(
        "printf %%s %s >%s",
        f"[Service]\nExecStartPre=/bin/sh -c {quoted}\n",
        f"{directory}/probe.conf",
    )
    try:
        host.check_output("systemctl daemon-reload && systemctl restart %s", unit)
        answers = host.file(ANSWERS).content_string
    finally:
        host.check_output("rm -r %s && systemctl daemon-reload", directory)
    return {name: int(code) for code, name in (line.split(" ", 1) for line in answers.splitlines())}
