"""Agents: PPO training, scripted players and episode capture."""
