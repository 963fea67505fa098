"""Job scripts, where batchspawner's own fall short. Each {{name}} is the trait req_name."""

# batchspawner's ignores the account, the qos, the cluster and the number of GPUs.
SLURM = """#!/bin/bash
#SBATCH --job-name={{job_name}}
#SBATCH --chdir={{homedir}}
#SBATCH --output={{homedir}}/.{{job_name}}.log
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
"""

# batchspawner's writes `-q @` without a queue, and needs every value.
TORQUE = """#!/bin/sh
#PBS -N {{job_name}}
#PBS -j oe
#PBS -o {{homedir}}/.{{job_name}}.log
#PBS -v {{keepvars}}
{% if queue or host %}#PBS -q {{queue}}{% if host %}@{{host}}{% endif %}
{% endif %}{% if account %}#PBS -A {{account}}
{% endif %}{% if runtime %}#PBS -l walltime={{runtime}}
{% endif %}{% if nprocs %}#PBS -l nodes=1:ppn={{nprocs}}
{% endif %}{% if memory %}#PBS -l mem={{memory}}
{% endif %}{% if options %}#PBS {{options}}
{% endif %}
set -eu

{{prologue}}
{{cmd}}
{{epilogue}}
"""

# The same, for PBS Professional and OpenPBS, which ask for resources by select.
PBS = TORQUE.replace(
    """{% if nprocs %}#PBS -l nodes=1:ppn={{nprocs}}
{% endif %}{% if memory %}#PBS -l mem={{memory}}
{% endif %}""",
    """#PBS -l select=1{% if nprocs %}:ncpus={{nprocs}}{% endif %}\
{% if memory %}:mem={{memory}}{% endif %}{% if ngpus %}:ngpus={{ngpus}}{% endif %}

""",
)
