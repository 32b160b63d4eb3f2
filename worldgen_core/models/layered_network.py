"""The networks of the `layered` model, and what it knows besides: the book of tiles and the player's sprites.

The tile network says which tile lies where nobody has looked yet, from the tiles around it: masked prediction
over a window of tile ids, as MaskGIT (Chang et al. 2022, arXiv:2202.04200) does it over image tokens. The
mover (worldgen_core/models/layered_mover.py) says what the player does.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.batch import array_to_tensor
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_mover import MoverArchitecture, MoverNetwork
from worldgen_core.models.layered_passages import Passages, no_passages
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank

_DILATIONS = (1, 2, 4, 1)


class TileArchitecture(BaseModel):
    """Size of the tile network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(default=15, ge=3)
    """Rows of tiles of the window; the screen lies in its middle."""
    columns: int = Field(default=20, ge=3)
    """Columns of tiles of the window."""
    embedding: int = Field(default=32, ge=1)
    """Channels that a tile's id becomes."""
    channels: int = Field(default=96, ge=1)
    """Of the convolutions."""
    num_rounds: int = Field(default=3, ge=1)
    """In how many rounds new tiles are decided at play, the surest first."""
    temperature: float = Field(default=0.4, ge=0)
    """Of the draw; 0 takes the likeliest tile. Known land is sure of itself at any temperature below 1."""


class LayeredArchitecture(BaseModel):
    """Everything that gives the model its shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiles: TileArchitecture = TileArchitecture()
    """The tile network."""
    mover: MoverArchitecture = MoverArchitecture()
    """The mover's network."""
    num_context_frames: int = Field(default=8, ge=2)
    """Frames from which a dream starts."""


class LayeredShape(BaseModel):
    """What a card says: the architecture, and what was learnt of the game and fixes sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: LayeredArchitecture
    game: MoverGame
    tracking: TrackingSettings
    num_tiles: int = Field(ge=1)
    """Tiles in the book."""
    num_passages: int = Field(default=0, ge=0)
    """Changes of scene that are remembered."""


class TileNetwork(nn.Module):
    """See the module's first lines."""

    def __init__(self, arch: TileArchitecture, num_tiles: int) -> None:
        super().__init__()
        self.arch = arch
        self.num_tiles = num_tiles
        channels = arch.channels
        self.embed = nn.Embedding(num_tiles + 1, arch.embedding)
        self.position = nn.Parameter(torch.zeros(channels, arch.rows, arch.columns))
        self.stem = nn.Conv2d(arch.embedding, channels, 3, padding=1)
        self.first = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in _DILATIONS
        )
        self.second = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in _DILATIONS)
        self.overall = nn.ModuleList(nn.Linear(channels, channels) for _ in _DILATIONS)
        self.output = nn.Conv2d(channels, num_tiles, 1)

    def inner_matrices(self) -> list[nn.Parameter]:
        """The weights of the inner convolutions, which the Muon optimizer takes."""
        return [layer.weight for layer in (*self.first, *self.second)]  # pyright: ignore[reportReturnType]  # ModuleList forgets types

    def forward(self, ids: Int64[Tensor, "b rows columns"]) -> Float32[Tensor, "b k rows columns"]:
        """Logits of the tile in every cell; ids are 0 to num_tiles - 1, NO_TILE where nothing is known."""
        x = self.embed(torch.where(ids < 0, self.num_tiles, ids)).permute(0, 3, 1, 2)
        x = self.stem(x) + self.position
        for first, second, overall in zip(self.first, self.second, self.overall, strict=True):
            hidden = first(functional.silu(x)) + overall(x.mean(dim=(2, 3)))[:, :, None, None]
            x = x + second(functional.silu(hidden))
        return self.output(functional.silu(x))


class LayeredNetwork(nn.Module):
    """Both networks, the book of tiles and the bank of sprites."""

    book: Tensor
    """(k, tile_px * tile_px * 3) float32 grey levels."""

    def __init__(self, shape: LayeredShape) -> None:
        super().__init__()
        self.shape = shape
        game = shape.game
        self.tiles = TileNetwork(shape.architecture.tiles, shape.num_tiles)
        self.mover = MoverNetwork(shape.architecture.mover, game)
        self.register_buffer("book", torch.zeros(shape.num_tiles, game.tile_px**2 * 3))
        num_poses, (height, width) = len(game.pose_facing), game.box
        self.register_buffer("sprite_colour", torch.zeros(num_poses, height, width, 3))
        self.register_buffer("sprite_opacity", torch.zeros(num_poses, height, width))
        self.register_buffer("sprite_count", torch.zeros(num_poses, dtype=torch.int64))
        self.register_buffer("sprite_score", torch.zeros(2))

        blank = no_passages(
            (game.height, game.width),
            shape.architecture.mover.window_tiles * game.tile_px,
            shape.num_passages,
        )
        for field in fields(Passages):
            self.register_buffer(f"passage_{field.name}", getattr(blank, field.name))

    def set_passages(self, passages: Passages) -> None:
        """Take the changes of scene to remember; as many as the shape says."""
        for field in fields(Passages):
            getattr(self, f"passage_{field.name}").copy_(getattr(passages, field.name))

    def passages(self) -> Passages:
        """The changes of scene that are remembered, on the CPU."""
        return Passages(
            **{field.name: getattr(self, f"passage_{field.name}").cpu() for field in fields(Passages)}
        )

    def set_bank(self, bank: SpriteBank) -> None:
        """Take the player's looks."""
        self.sprite_colour = array_to_tensor(bank.colour)
        self.sprite_opacity = array_to_tensor(bank.opacity)
        self.sprite_count = array_to_tensor(bank.num_examples)
        self.sprite_score = array_to_tensor(bank.min_score)

    def bank(self) -> SpriteBank:
        """The player's looks."""
        game = self.shape.game
        return SpriteBank(
            colour=self.sprite_colour.cpu().numpy(),
            opacity=self.sprite_opacity.cpu().numpy(),
            facing=np.array(game.pose_facing, np.int64),
            num_examples=self.sprite_count.cpu().numpy(),
            home=np.array(game.home, np.int64),
            min_score=self.sprite_score.cpu().numpy(),
        )
