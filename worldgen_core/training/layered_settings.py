"""Settings of the `layered` model's training, and its three sizes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.models.layered_mover import MoverArchitecture
from worldgen_core.models.layered_network import LayeredArchitecture, TileArchitecture
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.training.layered_atlas import AtlasSettings
from worldgen_core.training.layered_moves_settings import MoverLossSettings
from worldgen_core.training.layered_windows import WindowSettings
from worldgen_core.training.loop_settings import LoopSettings, smoke_loop


class LayeredSettings(BaseModel):
    """What `train_layered` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str = "overworld"
    """Whose assumptions the training may make; the staleness of the stage follows that game's file."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, batches and noise."""
    tracking: TrackingSettings | None = None
    """What is assumed of the game instead of what its file says, for footage of another speed or size of
    tiles; None takes the game's own."""
    architecture: LayeredArchitecture = LayeredArchitecture()
    """Size of the networks."""
    atlas: AtlasSettings = AtlasSettings()
    """How maps and the book of tiles are made."""
    windows: WindowSettings = WindowSettings()
    """What the tile network learns from."""
    moves: MoverLossSettings = MoverLossSettings()
    """What the mover learns from."""
    num_steps: int = Field(ge=1)
    """Optimizer steps; each takes one batch of windows and one of moves."""
    loop: LoopSettings = LoopSettings()
    """Optimizer, schedule, checkpoints, device."""
    warm_rate_share: float = Field(default=0.3, gt=0, le=1)
    """Training on from a finished model multiplies both peak rates with this."""


def smoke() -> LayeredSettings:
    """Half a minute; shows that everything runs, and learns little."""
    return LayeredSettings(
        architecture=LayeredArchitecture(
            tiles=TileArchitecture(embedding=8, channels=24), mover=MoverArchitecture(channels=16, width=48)
        ),
        atlas=AtlasSettings(max_tiles=256, look_every=8, num_iterations=2),
        windows=WindowSettings(batch_size=4),
        moves=MoverLossSettings(batch=16),
        num_steps=30,
        loop=smoke_loop(checkpoint_every=15),
    )


def laptop() -> LayeredSettings:
    """Some ten minutes on two CPU cores."""
    return LayeredSettings(num_steps=1500, loop=LoopSettings(ema_decay=0.99, precision="auto"))


def paper() -> LayeredSettings:
    """For one GPU and long footage; planned and stepped once on a CPU."""
    return LayeredSettings(
        architecture=LayeredArchitecture(
            tiles=TileArchitecture(rows=19, columns=26, embedding=64, channels=256),
            mover=MoverArchitecture(channels=128, width=512),
        ),
        atlas=AtlasSettings(max_tiles=4096),
        windows=WindowSettings(batch_size=128),
        moves=MoverLossSettings(batch=512),
        num_steps=40_000,
        loop=LoopSettings(
            warmup_steps=500, ema_decay=0.999, checkpoint_every=1000, log_every=100, precision="auto"
        ),
    )
