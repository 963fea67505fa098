#!/bin/bash -l
{# The job of the spawner for Grid Engine. Each {{name}} is the spawner's setting req_name, checked to be one plain
   word; options, prologue and epilogue are the profile's as they stand, cmd is quoted.
   Everybody can read the environment and the script of a job (qstat -j, the node's spool). So the server's
   environment, its token with it, comes from env_file, in a home directory that all machines share. -#}
#$ -N {{job_name}}
{# Whatever shell the queue has, and its shell_start_mode. -#}
#$ -S /bin/bash
#$ -wd {{homedir}}
#$ -j y
#$ -o {{log_file}}
{% if queue %}#$ -q {{queue}}
{% endif %}{% if account %}#$ -P {{account}}
{% endif %}{% if runtime %}#$ -l h_rt={{runtime}}
{% endif %}{# A node that has this much free now: every Grid Engine knows mem_free, and counts it once for a job. It is no
   limit. h_vmem, the usual one, would be for each slot, and for addresses, of which Python takes many times the memory
   that it uses: a site that wants it has `-l h_vmem=` among req_options, or its own template. -#}
{% if memory %}#$ -l mem_free={{memory | upper | replace("B", "") | replace("I", "")}}
{% endif %}{% if nprocs and nprocs | string != "1" %}#$ -pe {{pe}} {{nprocs}}
{% endif %}{# A resource that the site has to define; gpu is what most call it. -#}
{% if ngpus %}#$ -l gpu={{ngpus}}
{% endif %}{% if options %}#$ {{options}}
{% endif %}
set -euo pipefail

env_file={{env_file}}
[ -r "$env_file" ] || { echo "No environment for the server: $(hostname) cannot read $env_file" >&2; exit 1; }
. "$env_file"

{{prologue}}
code=0
{{cmd}} || code=$?
# Not earlier: a job that lost its node starts again, and needs it.
rm -f "$env_file"
{{epilogue}}
# A login shell runs ~/.bash_logout, in which not every command succeeds.
set +e
exit "$code"
