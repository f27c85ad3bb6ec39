"""Training: experiment configuration, loop, checkpoints."""
