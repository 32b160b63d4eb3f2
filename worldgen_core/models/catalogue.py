"""Which module holds which architecture; imports nothing, so that planning need not load torch."""

from __future__ import annotations

MODEL_MODULES = {
    "direct": "worldgen_core.models.direct",
    "layered": "worldgen_core.models.layered",
    "diamond-vae": "worldgen_core.models.diamond_vae",
    "diamond-ae": "worldgen_core.models.diamond_vae",
    "diamond": "worldgen_core.models.diamond",
    "diamond-small": "worldgen_core.models.diamond",
    "gamengen": "worldgen_core.models.gamengen",
}
"""Model name → module with `load(folder, card, device)`."""

MODEL_PACKAGES = {"gamengen": ("diffusers",)}
"""Model name → libraries that only its own networks come from."""

AUTOENCODER_PACKAGES = {"sd": ("diffusers",)}
"""Architecture of an autoencoder → libraries that only it comes from."""
