"""The mover of the `layered` model: a small network that decides what the player does next.

It sees the player-free world on the screen and the recent past, and says which motion follows, whether the
camera follows, in which pose the player is then, and whether the scene ends (a door, a fade). What the motion
does to places is arithmetic and not learnt: worldgen_core/models/layered_state.py.

How a world model uses it: keep one `MoverState` for all dreams. In every step show `decide` the player-free
screen at `state.camera` with the mask of what is known of it (behind the player a canvas may not know), and
the actions. It returns the next state, whose camera says which part of the canvas to show and whose place and
pose say where to paint the player, and how likely the scene ends instead. `start_state` makes the first state
from a tracked context.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.models.layered_facts import (
    NUM_WAYS,
    heading_of,
    num_pose_facts,
    num_turned_facts,
    pose_facts,
    turned_facts,
    turned_motions,
    turned_ways,
    way_index,
)
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_state import (
    UNKNOWN,
    Move,
    MoverState,
    Sight,
    advance,
    look,
    possible_motions,
    stand_of,
)
from worldgen_core.tracking.settings import STEPS

_CELL = 4
"""Pixels of a window that become one cell."""

_FOLLOWS = -1.5
"""Logit from which on the camera follows: at home it mostly does, and one that stays by mistake leaves the
player beside its home for long."""


class MoverArchitecture(BaseModel):
    """Size of the mover."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    past: int = Field(default=12, ge=1)
    """Actions and motions that are remembered."""
    window_tiles: int = Field(default=5, ge=5)
    """Side of the window around the player, in tiles; odd."""
    overview_block: int = Field(default=4, ge=1)
    """Pixels that become one in the view of the whole screen; a divisor of height and width."""
    channels: int = Field(default=48, ge=1)
    """Of the convolutions over the window."""
    overview_channels: int = Field(default=24, ge=1)
    """Of the convolutions over the whole screen."""
    mood: int = Field(default=4, ge=0)
    """Numbers by which the whole screen may sway the motion (a dialogue is open, say)."""
    width: int = Field(default=128, ge=1)
    """Of the hidden layers."""
    is_grid_locked: bool = True
    """Whether a walk that is off the grid must go on to a tile's edge."""


class MoverOutput(NamedTuple):
    """Logits."""

    motion: Float32[Tensor, "b m"]
    """Of `MoverGame.motions`."""
    follows: Float32[Tensor, "b 4"]
    """That the camera can go each way, by FACINGS."""
    leaves: Float32[Tensor, " b"]
    """That a cut or a fade follows instead of the next frame."""
    is_free: Float32[Tensor, "b 4"]
    """That the neighbours of the tile of `stand_of` can be walked on, by FACINGS."""


class Decision(NamedTuple):
    """What `decide` returns."""

    state: MoverState
    leaves: Float32[Tensor, " b"]
    """Probability that a cut or a fade follows instead."""


class MoverNetwork(nn.Module):
    """Pictures tell which ways are free, and little else; the past and the free ways tell the motion.

    A network that sees everything at once learns the footage's pictures by heart and walks by them.
    """

    def __init__(self, arch: MoverArchitecture, game: MoverGame) -> None:
        super().__init__()
        self.arch, self.game = arch, game
        channels, width, thin = arch.channels, arch.width, arch.overview_channels
        self.stem = nn.Conv2d(4, 2 * channels, game.tile_px, stride=game.tile_px)
        self.near = nn.Conv2d(2 * channels, channels, 3)
        self.ground = nn.Linear(channels + NUM_WAYS, 64)
        self.ground_out = nn.Linear(64, 2)
        self.far = nn.ModuleList(
            [nn.Conv2d(4 if not i else thin, thin, 3, stride=2, padding=1) for i in range(2)]
        )
        rows, columns = (-(-length // arch.overview_block // 4) for length in (game.height, game.width))
        self.far_out = nn.Linear(thin * rows * columns, NUM_WAYS + arch.mood)
        num_past = num_turned_facts(game, arch.past)
        self.past = nn.Linear(num_past + 2 * NUM_WAYS + arch.mood, width)
        self.trunk = nn.Linear(width, width)
        self.motion_out = nn.Linear(width, len(game.motions) + 1)
        self.pose_in = nn.Linear(num_pose_facts(game), width)
        self.pose_out = nn.Linear(width, len(game.pose_facing))

    def inner_matrices(self) -> list[nn.Parameter]:
        """Weights that suit Muon: matrices between hidden layers."""
        layers = [self.near, self.far[1], self.trunk]
        return [layer.weight for layer in layers]  # pyright: ignore[reportReturnType]  # ModuleList forgets types

    def forward(self, sight: Sight, told: MoverState) -> MoverOutput:
        """Return logits of what follows; the newest of `told.act` is the action that causes it."""
        game = self.game
        ground = self._ground(sight.window)
        far = _unit(sight.overview)
        for layer in self.far:
            far = functional.silu(layer(far))
        follows, mood = self.far_out(far.flatten(1)).split([NUM_WAYS, self.arch.mood], dim=1)
        heading = heading_of(told, game)
        ways = turned_ways(heading)[..., None].expand(-1, -1, 2)
        around = torch.tanh(ground.gather(1, ways).flatten(1) / 2)
        facts = torch.cat([turned_facts(told, heading, game), around, torch.tanh(mood)], dim=1)
        hidden = self.past(facts)
        hidden = hidden + self.trunk(functional.silu(hidden))
        turned, leaves = self.motion_out(functional.silu(hidden)).split([len(game.motions), 1], dim=1)
        motion = turned.gather(1, turned_motions(heading, game))
        return MoverOutput(motion, follows, leaves[:, 0], ground[..., 0])

    def pose(self, told: MoverState, motion: Int64[Tensor, " b"]) -> Float32[Tensor, "b p"]:
        """Return logits of the bank's poses after a motion, an index of the game's table."""
        return self.pose_out(functional.silu(self.pose_in(pose_facts(told, motion, self.game))))

    def is_free(self, window: UInt8[Tensor, "b 4 n n"]) -> Float32[Tensor, "b 4"]:
        """Return the logits of `MoverOutput.is_free` alone."""
        return self._ground(window)[..., 0]

    def _ground(self, window: UInt8[Tensor, "b 4 n n"]) -> Float32[Tensor, "b 4 2"]:
        """What the neighbouring tiles are like: whether they can be walked on, and whether they lead away.

        One small network judges all ways, and is told which. It sees a tile with those around it: a roof's
        edge may look like a floor.
        """
        x = functional.silu(self.stem(_unit(window)))
        per_tile = functional.silu(self.near(x))
        middle = self.arch.window_tiles // 2 - 1
        ways = torch.eye(NUM_WAYS)
        rows = [
            torch.cat([per_tile[:, :, middle + dy, middle + dx], ways[i].expand(len(x), -1)], dim=1)
            for i, (dy, dx) in enumerate(STEPS.values())
        ]
        return self.ground_out(functional.silu(self.ground(torch.stack(rows, dim=1))))

    def sight(
        self, state: MoverState, screen: UInt8[Tensor, "b h w 3"], is_known: Bool[Tensor, "b h w"]
    ) -> Sight:
        """What this network is shown of a player-free screen."""
        arch, stand = self.arch, stand_of(state, self.game)
        return look(
            stand, screen, is_known, self.game, window_tiles=arch.window_tiles, block=arch.overview_block
        )


def _unit(planes: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b c h w"]:
    return planes.float() / 127.5 - 1.0


@torch.inference_mode()
def decide(
    network: MoverNetwork,
    state: MoverState,
    action: Int64[Tensor, " b"],
    screen: UInt8[Tensor, "b h w 3"],
    is_known: Bool[Tensor, "b h w"],
) -> Decision:
    """One step of b dreams: the likeliest motion that the grid allows, and the likeliest pose.

    Shapes: `screen` is the world at `state.camera` without the player, `is_known` where it is known.
    Determinism: no chance; the same inputs give the same step, whatever else is in the batch order.
    """
    told = with_action(state, action)
    out = network(network.sight(state, screen, is_known), told)
    logits = out.motion
    if network.arch.is_grid_locked:
        logits = logits.masked_fill(~possible_motions(state, network.game), float("-inf"))
    motion = _likeliest(logits, network.game)
    move = Move(motion, out.follows > _FOLLOWS, network.pose(told, motion).argmax(dim=1))
    return Decision(advance(state, action, move, network.game), torch.sigmoid(out.leaves))


def _likeliest(logits: Float32[Tensor, "b m"], game: MoverGame) -> Int64[Tensor, " b"]:
    """The likeliest way, however far it goes, and of its motions the likeliest."""
    of_way = way_index(torch.tensor(game.motions))[None] == torch.arange(-1, NUM_WAYS)[:, None]
    by_way = logits[:, None].masked_fill(~of_way, float("-inf"))
    way = by_way.logsumexp(dim=2).argmax(dim=1)
    return by_way[torch.arange(len(way)), way].argmax(dim=1)


def with_action(state: MoverState, action: Int64[Tensor, " b"]) -> MoverState:
    """The state as the network is told it: the newest action is the one whose effect is asked for."""
    return MoverState(
        state.place,
        state.camera,
        state.grid,
        torch.cat([state.act[:, 1:], action[:, None]], dim=1),
        state.motion,
        state.pose,
    )


def start_state(
    network: MoverNetwork,
    *,
    place: Int64[Tensor, "b t 2"],
    camera: Int64[Tensor, "b t 2"],
    is_found: Bool[Tensor, "b t"],
    grid: Int64[Tensor, "b 2"],
    act: Int64[Tensor, "b t-1"],
    pose: Int64[Tensor, " b"],
) -> MoverState:
    """The state after a tracked context of t frames; `act[:, i]` leads from frame i to frame i + 1.

    The place and the pose are those of the last frame; the caller gives the player's home and some pose where
    it was not found. Motions between frames in which it was not found, and before the context, are unknown.
    """
    past = network.arch.past
    motion = _motion_indices(place, camera, is_found, network.game)
    missing = max(past - motion.shape[1], 0)
    return MoverState(
        place[:, -1],
        camera[:, -1],
        grid,
        functional.pad(act, (missing, 0), value=UNKNOWN)[:, -past:],
        functional.pad(motion, (missing, 0), value=UNKNOWN)[:, -past:],
        pose,
    )


def _motion_indices(
    place: Int64[Tensor, "b t 2"],
    camera: Int64[Tensor, "b t 2"],
    is_found: Bool[Tensor, "b t"],
    game: MoverGame,
) -> Int64[Tensor, "b t-1"]:
    step = (place + camera).diff(dim=1)
    return motion_index(step, is_found[:, 1:] & is_found[:, :-1], game)


def motion_index(
    step: Int64[Tensor, "*b 2"], is_known: Bool[Tensor, "*b"], game: MoverGame
) -> Int64[Tensor, "*b"]:
    """Index of each step in `MoverGame.motions`; UNKNOWN where it is not known or none of them."""
    same = (step[..., None, :] == torch.tensor(game.motions)).all(dim=-1)
    return torch.where(is_known & same.any(dim=-1), same.long().argmax(dim=-1), UNKNOWN)
