"""Diffusion: EDM preconditioning, schedules, samplers and losses (Karras et al. 2022)."""
