"""`slurm`: the job that launch/submit.py writes."""

from jp_llm.config.section import Section


class SlurmConfig(Section):
    """Options of sbatch, and what the job does before it starts the run."""

    job_name: str | None = None
    """null takes the last part of run_dir."""
