"""Training: one loop for every model, with checkpoints, EMA and exact resume."""
