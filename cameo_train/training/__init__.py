"""The training loop and what it needs: objective, checkpoints, validation, sampling."""
