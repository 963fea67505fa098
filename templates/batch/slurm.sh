#!/bin/bash
{# The job of the spawners for Slurm. Each {{name}} is the spawner's setting req_name, checked to be one plain word;
   options, prologue, epilogue and srun are the profile's as they stand, cmd is quoted.
   The environment, the server's token with it, is the job's own: Slurm shows it to nobody else. -#}
#SBATCH --job-name={{job_name}}
#SBATCH --chdir={{homedir}}
#SBATCH --output={{log_file}}
#SBATCH --export={{keepvars}}
#SBATCH --get-user-env=L
{% if cluster %}#SBATCH --clusters={{cluster}}
{% endif %}{% if partition or queue %}#SBATCH --partition={{partition or queue}}
{% endif %}{% if account %}#SBATCH --account={{account}}
{% endif %}{% if qos %}#SBATCH --qos={{qos}}
{% endif %}{% if reservation %}#SBATCH --reservation={{reservation}}
{% endif %}{% if runtime %}#SBATCH --time={{runtime}}
{% endif %}{% if memory %}#SBATCH --mem={{memory}}
{% endif %}{% if nprocs %}#SBATCH --cpus-per-task={{nprocs}}
{% endif %}{% if gres %}#SBATCH --gres={{gres}}
{% elif ngpus %}#SBATCH --gres=gpu:{{ngpus}}
{% endif %}{% if options %}#SBATCH {{options}}
{% endif %}
set -euo pipefail

{{prologue}}
{% if srun %}{{srun}} {% endif %}{{cmd}}
{{epilogue}}
