"""Registers the dream with gymnasium, when imported: `gymnasium.make` imports what stands before a colon.

gymnasium.make("worldgen_core.play.registration:worldgen/Dream-v0", model="FOLDER")
"""

from __future__ import annotations

import gymnasium

ENVIRONMENT_ID = "worldgen/Dream-v0"

# Nothing heavy is imported before somebody makes it.
gymnasium.register(id=ENVIRONMENT_ID, entry_point="worldgen_core.play.environment:DreamEnv")
