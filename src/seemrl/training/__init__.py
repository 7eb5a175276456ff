"""Training runs: the loop, checkpoints, evaluation, the run directory."""
