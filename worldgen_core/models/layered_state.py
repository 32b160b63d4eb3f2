"""The mover's state in a dream, and the arithmetic of a step: what is seen, what is possible, what follows.

Everything here is a pure function over a batch of dreams, without weights. Two rules of games with a grid and
a camera that follows make the motion exact where a network would only be nearly right:

- A walk that has left the grid goes on along its axis at full speed to the next edge. There it may stop, go
  on, or turn.
- Away from its home on the screen the player moves and the camera stays, until the player is home again. At
  home a network says, for either axis, whether the camera follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from worldgen_core.models.layered_game import MoverGame

UNKNOWN = -1
"""In histories: an action or a motion that is not known."""


@dataclass(frozen=True, slots=True)
class MoverState:
    """Where the players of b dreams are, and what led there; the newest entry of a history comes last."""

    place: Int64[Tensor, "b 2"]
    """(y, x) of the upper left corner of the player's box on the screen."""
    camera: Int64[Tensor, "b 2"]
    """World (y, x) of the screen's upper left pixel."""
    grid: Int64[Tensor, "b 2"]
    """World (y, x) of the tiles' corners, modulo `tile_px`."""
    act: Int64[Tensor, "b past"]
    """Actions that led to the frames of `motion`; the newest led to the frame on the screen."""
    motion: Int64[Tensor, "b past"]
    """Indices into `MoverGame.motions`, the newest led to the frame on the screen."""
    pose: Int64[Tensor, " b"]
    """Index into the bank of sprites."""


class Move(NamedTuple):
    """What happens to the players in a step."""

    motion: Int64[Tensor, " b"]
    """Index into `MoverGame.motions`."""
    follows: Bool[Tensor, "b 4"]
    """Whether the camera can go each way of FACINGS: it does when the player, at home, goes that way."""
    pose: Int64[Tensor, " b"]
    """Index into the bank of sprites."""


class Sight(NamedTuple):
    """What the network is shown of the player-free world."""

    window: UInt8[Tensor, "b 4 n n"]
    """Red, green, blue around the tile of `stand_of`, and 255 where that is known."""
    overview: UInt8[Tensor, "b 4 rows columns"]
    """The same of the whole screen, averaged over blocks."""


def phase_of(state: MoverState, game: MoverGame) -> Int64[Tensor, "b 2"]:
    """Pixels by which the players are past a tile's edge; (0, 0) at rest."""
    return (state.camera + state.place - torch.tensor(game.anchor) - state.grid) % game.tile_px


def last_way(state: MoverState, game: MoverGame) -> Int64[Tensor, "b 2"]:
    """Sign of the last known motion along either axis; 0 where none is remembered."""
    signs = torch.tensor(game.motions).sign()[state.motion.clamp(min=0)]
    moved = (signs != 0) & (state.motion != UNKNOWN)[..., None]
    newest = state.motion.shape[1] - 1 - moved.long().flip(1).argmax(dim=1)
    return torch.gather(signs * moved, 1, newest[:, None])[:, 0]


def stand_of(state: MoverState, game: MoverGame) -> Int64[Tensor, "b 2"]:
    """Screen (y, x) of the corner of the tile on which the player stands, or which its walk reaches next.

    Where the walk's way is not known it is the nearer tile.
    """
    phase, way = phase_of(state, game), last_way(state, game)
    up_or_left = phase * ((way < 0) | ((way == 0) & (2 * phase < game.tile_px)))
    left = torch.where(phase == up_or_left, -phase, game.tile_px - phase)
    return state.place + torch.tensor(game.foot) + left * (phase != 0)


def look(
    stand: Int64[Tensor, "b 2"],
    screen: UInt8[Tensor, "b h w 3"],
    is_known: Bool[Tensor, "b h w"],
    game: MoverGame,
    *,
    window_tiles: int,
    block: int,
) -> Sight:
    """What is on the screen without the player, around a tile and over all; beyond it nothing is known.

    `window_tiles` is odd; `block` divides height and width of the frame.
    """
    planes = torch.cat([screen * is_known[..., None], 255 * is_known[..., None].to(torch.uint8)], dim=3)
    reach = torch.arange(window_tiles * game.tile_px) - window_tiles // 2 * game.tile_px
    rows, columns = stand[:, :1] + reach, stand[:, 1:] + reach
    inside = _inside(rows, game.height)[:, :, None] & _inside(columns, game.width)[:, None, :]
    batch = torch.arange(len(stand))[:, None, None]
    window = planes[
        batch, rows.clamp(0, game.height - 1)[:, :, None], columns.clamp(0, game.width - 1)[:, None, :]
    ]
    window = window * inside[..., None]
    overview = functional.avg_pool2d(planes.permute(0, 3, 1, 2).float(), block)
    return Sight(window.permute(0, 3, 1, 2).contiguous(), overview.round().to(torch.uint8))


def _inside(index: Int64[Tensor, "b n"], length: int) -> Bool[Tensor, "b n"]:
    return (index >= 0) & (index < length)


def possible_motions(state: MoverState, game: MoverGame) -> Bool[Tensor, "b m"]:
    """Which motions the grid allows; all of them where the player's way is not known.

    Footage shows the first frame of a walk shorter where the key came between two frames; a dream's keys come
    with its frames, so from an edge on it is full speed.
    """
    steps = torch.tensor(game.motions)
    phase = phase_of(state, game)
    way = last_way(state, game)
    on_edge = (phase == 0).all(dim=1)
    length = steps.abs().sum(dim=1)
    allowed = ((steps == 0).any(dim=1) & ((length == 0) | (length == game.speed_px))).expand(len(phase), -1)
    for axis in (0, 1):
        is_off = (phase[:, axis] != 0) & (phase[:, 1 - axis] == 0) & (way[:, axis] != 0)
        left = torch.where(way[:, axis] > 0, game.tile_px - phase[:, axis], phase[:, axis])
        goes_on = _goes_on(steps[:, axis], steps[:, 1 - axis], way[:, axis], left, game.speed_px)
        allowed = torch.where(is_off[:, None], goes_on, allowed)
        on_edge = on_edge | is_off
    return torch.where(on_edge[:, None], allowed, torch.ones_like(allowed))


def _goes_on(
    along: Int64[Tensor, " m"],
    across: Int64[Tensor, " m"],
    way: Int64[Tensor, " b"],
    left: Int64[Tensor, " b"],
    speed: int,
) -> Bool[Tensor, "b m"]:
    """Motions of a walk with `left` pixels to go to the edge: full speed, or to the edge, or round it."""
    ahead = along[None] * way[:, None]
    is_full = (ahead == speed) & (across == 0)[None]
    reaches = (ahead == left[:, None]) & (left < speed)[:, None]
    turns = (ahead.abs() + across.abs()[None] == speed) | (across == 0)[None]
    return is_full | (reaches & turns)


def advance(state: MoverState, action: Int64[Tensor, " b"], move: Move, game: MoverGame) -> MoverState:
    """The state after a step: player and camera have moved, the histories know it."""
    step = torch.tensor(game.motions)[move.motion]
    follows = torch.where(step > 0, move.follows[:, [1, 3]], move.follows[:, [0, 2]])
    shift = camera_shift(state.place - torch.tensor(game.home), step, follows)
    return replace(
        state,
        place=state.place + step - shift,
        camera=state.camera + shift,
        act=torch.cat([state.act[:, 1:], action[:, None]], dim=1),
        motion=torch.cat([state.motion[:, 1:], move.motion[:, None]], dim=1),
        pose=move.pose,
    )


def camera_shift(
    offset: Int64[Tensor, "b 2"], step: Int64[Tensor, "b 2"], follows: Bool[Tensor, "b 2"]
) -> Int64[Tensor, "b 2"]:
    """How far the camera goes with a step of players that are `offset` away from home.

    Motion away from home, and back as far as home, is the player's own; the rest is the camera's if it
    follows.
    """
    homewards = torch.minimum(step.abs(), offset.abs()) * (offset.sign() == -step.sign())
    is_free = (offset == 0) | (offset.sign() == -step.sign())
    return (step - step.sign() * homewards) * (is_free & follows)
