#!/bin/bash
{# The job of the spawners for Torque. Each {{name}} is the spawner's setting req_name, checked to be one plain word;
   options, prologue and epilogue are the profile's as they stand, cmd is quoted.
   Everybody may read a job's environment and, on some nodes, its script: the server's token is in env_file, which
   only the user reads. Output goes straight to log_file: Torque would deliver it at the end only. -#}
#PBS -S /bin/bash
#PBS -N {{job_name}}
#PBS -j oe
#PBS -o /dev/null
{% if queue or host %}#PBS -q {{queue}}{% if host %}@{{host}}{% endif %}
{% endif %}{% if account %}#PBS -A {{account}}
{% endif %}{% if runtime %}#PBS -l walltime={{runtime}}
{% endif %}{% if nprocs or ngpus %}#PBS -l nodes=1:ppn={{nprocs or 1}}{{":gpus=" ~ ngpus if ngpus}}
{% endif %}{% if memory %}#PBS -l mem={{memory}}
{% endif %}{% if options %}#PBS {{options}}
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
