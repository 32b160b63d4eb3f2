"""Makes `gymnasium.make("worldgen/Dream-v0", model=…)` work: gymnasium finds `register` as an entry point."""

from __future__ import annotations

import gymnasium

ENVIRONMENT_ID = "worldgen/Dream-v0"


def register() -> None:
    """Register the environment, once; nothing heavy is imported before somebody makes it."""
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(id=ENVIRONMENT_ID, entry_point="worldgen_core.play.environment:DreamEnv")
