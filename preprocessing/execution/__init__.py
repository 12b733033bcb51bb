"""Who does the tasks of a stage: processes of this machine, MPI ranks, or elements of a Slurm array."""
