#!/bin/bash
{# The job of the spawners for LSF. Each {{name}} is the spawner's setting req_name, checked to be one plain word;
   options, prologue and epilogue are the profile's as they stand, cmd is quoted.
   Everybody may read a job's environment and, on some nodes, its script: the server's token is in env_file, which
   only the user reads. Output goes straight to log_file: LSF would deliver it at the end only. -#}
#BSUB -L /bin/bash
#BSUB -J {{job_name}}
#BSUB -o /dev/null
{% if queue %}#BSUB -q {{queue}}
{% endif %}{% if account %}#BSUB -P {{account}}
{# Hours and minutes; LSF takes no seconds. -#}
{% endif %}{% if runtime %}#BSUB -W {{runtime.split(":")[:2] | join(":")}}
{% endif %}{% if nprocs %}#BSUB -n {{nprocs}}
#BSUB -R "span[hosts=1]"
{% endif %}{% if memory %}#BSUB -M {{memory}}
#BSUB -R "rusage[mem={{memory}}]"
{% endif %}{% if ngpus %}#BSUB -gpu "num={{ngpus}}"
{% endif %}{% if options %}#BSUB {{options}}
{% endif %}
exec >>'{{log_file}}' 2>&1
set -euo pipefail

cd '{{homedir}}'
if [ ! -r '{{env_file}}' ]; then
    echo 'The environment of the server is not there: {{env_file}}'
    echo 'Does this node have the home directories of the machine that submits? Has the job ended before?'
    exit 1
fi
. '{{env_file}}'

{{prologue}}
status=0
{{cmd}} </dev/null || status=$?
{{epilogue}}
# What is ended from outside may be started again, and needs the file. This shell gets the signal a little later than
# the server, which may end well upon it.
sleep 1
[ "$status" -ge 128 ] || rm -f '{{env_file}}'
exit "$status"
