"""Fitting: the loop, its checkpoints, recipes and runs."""
