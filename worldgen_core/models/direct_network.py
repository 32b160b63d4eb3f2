"""The network of the `direct` model: next frame from the last frames, the actions and a little chance.

A U-Net of two levels over space-to-depth cells. It predicts the frame minus the background, a termination
logit and a small memory map that is fed back with the frame, so that what a frame cannot show (speed, a
bird above the screen) is not lost. Nothing here knows a game: what may be assumed comes in through
`DirectArchitecture`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.models.blocks import ModulatedBlock, depth_to_space, space_to_depth
from worldgen_core.models.chance import ChanceEncoder, ChancePrior
from worldgen_core.models.end_head import EndHead


class DirectArchitecture(BaseModel):
    """Size of the network and what it may assume of the game."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_context_frames: int = Field(default=4, ge=1)
    """Frames seen before each prediction."""
    block: int = Field(default=4, ge=1)
    """Side of the space-to-depth patch in pixels; height and width must be multiples of twice this."""
    channels: tuple[int, int] = (64, 128)
    """Channels of the fine and the coarse level."""
    num_blocks: tuple[int, int, int] = (1, 2, 2)
    """Residual blocks on the way down, in the middle and on the way up."""
    condition: int = Field(default=64, ge=1)
    """Width of the vector that carries actions and chance."""
    chance: int = Field(default=4, ge=1)
    """Dimensions of the chance drawn for each frame."""
    chance_map: int = Field(default=4, ge=1)
    """Channels of the map through which chance reaches the cells where new content enters."""
    num_mixture: int = Field(default=12, ge=1)
    """Gaussians in the learned prior of the chance."""
    memory: int = Field(default=8, ge=0)
    """Channels of the memory map; 0 means off: the model sees only frames."""
    new_content: Literal["anywhere", "right"] = "anywhere"
    """Where the game shows things that no earlier frame tells; the chance encoder sees only that part."""
    new_content_cells: int = Field(default=1, ge=1)
    """Width of that part in cells, if it is not everywhere."""
    scroll: tuple[int, int] = (0, 0)
    """Pixels (down, right) by which the foreground mostly moves a frame; training measures it."""

    def with_new_content_right(self, num_columns: int) -> DirectArchitecture:
        """The same for a game that shows new things in its rightmost `num_columns` pixels only."""
        num_cells = math.ceil(num_columns / self.block)
        return self.model_copy(update={"new_content": "right", "new_content_cells": num_cells})


class StepOutput(NamedTuple):
    """One prediction: cells of frame minus background, termination logit, memory."""

    cells: Float[Tensor, "b cells h w"]
    end_logit: Float32[Tensor, " b"]
    memory: Float[Tensor, "b m h w"]


class DirectNetwork(nn.Module):
    """U-Net over cells; see the module's first lines."""

    background: Tensor

    def __init__(self, arch: DirectArchitecture, *, num_actions: int, height: int, width: int) -> None:
        """Build for frames of `height` x `width` pixels."""
        super().__init__()
        self.arch = arch
        self.num_actions = num_actions
        self.cells = 3 * arch.block**2
        self.keep = arch.block**2
        self.grid = (height // arch.block, width // arch.block)
        fine, coarse = arch.channels
        down, middle, up = arch.num_blocks
        is_border = arch.new_content == "right"
        columns = arch.new_content_cells if is_border else self.grid[1]
        self.map_shape = (arch.chance_map, self.grid[0], columns)

        self.register_buffer("background", torch.zeros(self.cells, *self.grid))
        self.encoder = ChanceEncoder(self.cells, self.grid[0], columns=columns, size=arch.chance)
        self.prior = ChancePrior(
            self.cells,
            *self.grid,
            columns=columns if is_border else 0,
            size=arch.chance,
            num_mixture=arch.num_mixture,
        )
        self.chance_map = nn.Linear(arch.chance, math.prod(self.map_shape))
        self.condition = nn.Sequential(
            nn.Linear(arch.num_context_frames * num_actions + arch.chance, arch.condition),
            nn.SiLU(),
            nn.Linear(arch.condition, arch.condition),
            nn.SiLU(),
        )
        inputs = arch.num_context_frames * self.cells + arch.memory + arch.chance_map
        self.input = nn.Conv2d(inputs, fine, 1)
        self.position = nn.Parameter(0.1 * torch.randn(fine, *self.grid))
        self.down = nn.ModuleList(ModulatedBlock(fine, arch.condition) for _ in range(down))
        self.shrink = nn.Conv2d(fine, coarse, 2, stride=2)
        self.middle = nn.ModuleList(ModulatedBlock(coarse, arch.condition) for _ in range(middle))
        self.grow = nn.Conv2d(coarse, 4 * fine, 1)
        self.up = nn.ModuleList(ModulatedBlock(fine, arch.condition) for _ in range(up))
        self.output = nn.Conv2d(fine, self.cells + self.keep + arch.memory, 1)
        self.end = EndHead(fine + self.cells)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)  # pyright: ignore[reportArgumentType]  # has a bias

    def inner_matrices(self) -> list[nn.Parameter]:
        """The weights of the inner 3x3 convolutions, which the Muon optimizer takes."""
        blocks = [*self.down, *self.middle, *self.up]
        convs = [conv for block in blocks for conv in (block.conv1, block.conv2)]  # pyright: ignore
        return [conv.weight for conv in (*convs, self.end.conv1, self.end.conv2)]  # pyright: ignore

    def start_memory(self, num: int) -> Float32[Tensor, "b m h w"]:
        """The empty memory of a fresh dream."""
        return self.position.new_zeros(num, self.arch.memory, *self.grid)

    def scrolled(self, cells: Float[Tensor, "b cells h w"]) -> Float[Tensor, "b cells h w"]:
        """The foreground moved by the usual scroll; what comes in is empty."""
        down, right = self.arch.scroll
        if down == right == 0:
            return cells
        obs = depth_to_space(cells, self.arch.block)
        obs = functional.pad(obs, (right, -right, down, -down))
        return space_to_depth(obs, self.arch.block)

    def kept(
        self, cells: Float[Tensor, "b cells h w"], keep: Float[Tensor, "b keep h w"]
    ) -> Float[Tensor, "b cells h w"]:
        """What stays of the scrolled foreground: one share a pixel, near 1 at the start of training.

        An additive correction alone would have to cancel whatever moved otherwise exactly; it left noise
        trails.
        """
        share = torch.sigmoid(4.0 + 4.0 * keep)
        scrolled = self.scrolled(cells).unflatten(1, (self.keep, 3))
        return (scrolled * share[:, :, None]).flatten(1, 2)

    def forward(
        self,
        context: list[Tensor],
        act: Int64[Tensor, "b t"],
        chance: Float32[Tensor, "b z"],
        memory: Float[Tensor, "b m h w"],
    ) -> StepOutput:
        """Predict the next frame's cells; act[:, -1] causes it.

        `context` holds t = `num_context_frames` tensors (b, cells, h, w), oldest first.
        """
        hot = functional.one_hot(act, self.num_actions).flatten(1).to(chance.dtype)
        condition = self.condition(torch.cat([hot, chance], dim=1))
        chance_map = self.chance_map(chance).unflatten(1, self.map_shape)
        chance_map = functional.pad(chance_map, (self.grid[1] - self.map_shape[2], 0))
        x = self.input(torch.cat([*context, memory, chance_map], dim=1)) + self.position
        for block in self.down:
            x = block(x, condition)
        coarse = self.shrink(x)
        for block in self.middle:
            coarse = block(coarse, condition)
        x = x + functional.pixel_shuffle(self.grow(coarse), 2)
        for block in self.up:
            x = block(x, condition)
        features = functional.silu(x)
        cells, keep, memory = self.output(features).split([self.cells, self.keep, self.arch.memory], dim=1)
        cells = cells + self.kept(context[-1], keep)
        return StepOutput(cells, self.end(torch.cat([features, cells], dim=1)), torch.tanh(memory))
