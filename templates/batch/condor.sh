{# The job of the spawner for HTCondor, a submit description. Each {{name}} is the spawner's setting req_name, checked
   to be one plain word; options, prologue and epilogue are the profile's as they stand, cmd has its quotes doubled.
   Everybody can read the environment and the arguments of a job (condor_q -l). So the server's environment, its token
   with it, comes from env_file, in a home directory that all machines share. -#}
{% set script -%}
set -euo pipefail

env_file={{env_file}}
[ -r "$env_file" ] || { echo "No environment for the server: $(hostname) cannot read $env_file" >&2; exit 1; }
. "$env_file"

{{prologue}}
{{cmd | replace("''", "'") | replace('""', '"')}} &
# HTCondor signals this shell alone, and kills the rest as soon as it ends.
trap 'kill "$!"; wait "$!" || true; exit 143' TERM
code=0
wait "$!" || code=$?
# Not earlier: a job that lost its machine starts again, and needs it.
rm -f "$env_file"
{{epilogue}}
exit "$code"
{%- endset -%}
{# Arguments are one line, in which HTCondor reads quotes and dollars itself: bash gets the script as $'...'. -#}
{% set script = script | replace("\\", "\\\\") | replace("\n", "\\n") -%}
{% set script = script | replace("'", "\\047") | replace('"', "\\042") | replace("$", "\\044") -%}
{# [[days-]hours:]minutes:seconds -#}
{% set limit = namespace(seconds=0) -%}
{% for part in runtime.replace("-", ":").split(":") if runtime -%}
{% set limit.seconds = limit.seconds * (24 if loop.revindex == 3 else 60) + part | int(part) -%}
{% endfor -%}
batch_name = {{job_name}}
{# What condor_q -nobatch shows; without it, the command. -#}
description = {{job_name}}
executable = /bin/bash
{# In a second shell, since the end of a login shell is that of ~/.bash_logout, with its exit code. -#}
arguments = "-l -c 'exec bash -c $(DOLLAR)''{{script}}'''"
getenv = HOME, USER, LOGNAME, SHELL, PATH, LANG
initialdir = {{homedir}}
output = {{log_file}}
error = {{log_file}}
should_transfer_files = NO
{% if nprocs %}request_cpus = {{nprocs}}
{% endif %}{% if memory %}request_memory = {{memory | upper | replace("I", "")}}
{% endif %}{% if ngpus %}request_gpus = {{ngpus}}
{% endif %}{% if account %}accounting_group = {{account}}
{% endif %}{% if runtime %}periodic_remove = JobStatus == 2 && time() - JobCurrentStartDate > {{limit.seconds}}
{% endif %}{# A server that does not end is killed after so many seconds; HTCondor's default is 10 minutes. -#}
job_max_vacate_time = 30
{# For a while the list of jobs says why one has ended. -#}
leave_in_queue = (JobStatus == 3 || JobStatus == 4) && time() - EnteredCurrentStatus < 300
{% if options %}{{options}}
{% endif %}queue
