"""What the mover learns from: one sample a frame of the recorded scenes, and the loss of a batch of them.

Most frames of footage tell little (somebody stands, or walks straight on), so a batch is drawn by groups:
presses from rest, blocked presses, turns, stops and ends of scenes come far more often than they happened.
The histories get noise, because a dream's are its own: they begin with the dream's context, and a pose may be
another of the same facing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from worldgen_core.batch import array_to_tensor
from worldgen_core.models.layered_facts import way_index
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_mover import MoverNetwork, motion_index
from worldgen_core.models.layered_state import UNKNOWN, MoverState, Sight, phase_of, stand_of
from worldgen_core.tracking.settings import STEPS
from worldgen_core.training.layered_ground import CLOSED, FREE, SHUNNED, mark_shunned
from worldgen_core.training.layered_moves_settings import GROUPS, MoverLossSettings
from worldgen_core.training.layered_scenes import Scene

_HALO = 1
"""Pixels around the player's box that its removal leaves unknown too."""


@dataclass(frozen=True, slots=True)
class MoveSamples:
    """Frames with what was to be known, and what followed; -1 where a target is not known."""

    window: UInt8[Tensor, "n 4 side side"]
    overview: UInt8[Tensor, "n 4 rows columns"]
    place: Int64[Tensor, "n 2"]
    camera: Int64[Tensor, "n 2"]
    grid: Int64[Tensor, "n 2"]
    act: Int64[Tensor, "n past"]
    """The newest is the action whose effect is the target."""
    motion: Int64[Tensor, "n past"]
    pose: Int64[Tensor, " n"]
    next_motion: Int64[Tensor, " n"]
    next_pose: Int64[Tensor, " n"]
    follows: Int64[Tensor, "n 4"]
    """Whether the camera can go each way of FACINGS."""
    leaves: Int64[Tensor, " n"]
    is_free: Int64[Tensor, "n 4"]
    """Of the neighbouring tiles: FREE, CLOSED, SHUNNED or UNKNOWN."""
    group: Int64[Tensor, " n"]
    """Index into GROUPS."""

    def take(self, chosen: Int64[Tensor, " b"]) -> MoveSamples:
        """Some of the samples, in the order given."""
        return MoveSamples(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def state(self) -> MoverState:
        """The state of the mover, as `facts_of` takes it."""
        return MoverState(self.place, self.camera, self.grid, self.act, self.motion, self.pose)

    @property
    def sight(self) -> Sight:
        """What the mover is shown."""
        return Sight(self.window, self.overview)


def gather_moves(scenes: Iterable[Scene], network: MoverNetwork, settings: MoverLossSettings) -> MoveSamples:
    """Make a sample of every frame in which the player is found and something is known of the next.

    Cost: about 9 kB of memory a frame, and a millisecond.
    """
    parts = [_samples(scene, network) for scene in scenes]
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(MoveSamples)}
    samples = MoveSamples(**{name: torch.cat(values) for name, values in columns.items()})
    if not settings.shunned_weight:
        return samples
    is_free = mark_shunned(
        samples.window, samples.is_free, network.game, tolerance=settings.shunned_tolerance
    )
    return replace(samples, is_free=is_free)


def gather_last(scene: Scene, network: MoverNetwork) -> tuple[Sight, MoverState]:
    """What the mover is shown and told in a scene's last frame, in which the player is found."""
    samples = _samples(scene, network)
    last = samples.take(torch.tensor([len(samples.group) - 1]))
    return last.sight, last.state


def _samples(scene: Scene, network: MoverNetwork) -> MoveSamples:
    game, past = network.game, network.arch.past
    targets = _Targets(scene, game)
    chosen = np.flatnonzero(targets.is_useful)
    index = array_to_tensor(chosen)
    state = MoverState(
        place=array_to_tensor(scene.place[chosen]),
        camera=array_to_tensor(scene.camera[chosen]),
        grid=targets.grid[index],
        act=_history(array_to_tensor(scene.action), past)[index],
        motion=_history(targets.motion, past)[index],
        pose=targets.pose[index],
    )
    sight = network.sight(
        state, array_to_tensor(scene.frames[chosen]), array_to_tensor(scene.is_known[chosen])
    )
    return MoveSamples(
        *sight,
        **{field.name: getattr(state, field.name) for field in fields(MoverState)},
        next_motion=targets.next_motion[index],
        next_pose=targets.next_pose[index],
        follows=targets.follows[index],
        leaves=targets.leaves[index],
        is_free=targets.is_free[index],
        group=targets.group[index],
    )


def _history(values: Int64[Tensor, " t"], past: int) -> Int64[Tensor, "t past"]:
    """For each frame the last values up to its own."""
    return functional.pad(values, (past - 1, 0), value=UNKNOWN).unfold(0, past, 1)


class _Targets:
    """What followed each frame of a scene; -1 where it is not known."""

    def __init__(self, scene: Scene, game: MoverGame) -> None:
        self.scene, self.game = scene, game
        self.steps = torch.tensor(game.motions)
        self.motion = motion_index(array_to_tensor(scene.motion), array_to_tensor(scene.motion_known), game)
        self.key = torch.tensor(game.key_facing)[array_to_tensor(scene.action)]
        self.next_motion = torch.where(self._is_early(), UNKNOWN, _next(self.motion))
        found = array_to_tensor(scene.found)
        self.pose, turns = self._pose()
        is_seen = (_next(found.long()) == 1) & ~_next(turns.long()).bool()
        self.next_pose = torch.where(is_seen, _next(array_to_tensor(scene.pose)), UNKNOWN)
        self.leaves = torch.zeros(len(found), dtype=torch.int64)
        self.leaves[-1] = 1 if scene.ends_in_cut else UNKNOWN
        self.grid = array_to_tensor(scene.grid)[None].expand(len(found), 2)
        place, camera = array_to_tensor(scene.place), array_to_tensor(scene.camera)
        self.state = MoverState(
            place, camera, self.grid, self.motion[:, None], self.motion[:, None], place[:, 0]
        )
        self.phase = phase_of(self.state, game)
        self.follows = self._follows()
        self.is_free = self._is_free()
        self.group = self._group()
        is_useful = found & ((self.next_motion != UNKNOWN) | (self.leaves == 1))
        self.is_useful: Bool[np.ndarray, " t"] = is_useful.numpy()

    def _pose(self) -> tuple[Int64[Tensor, " t"], Bool[Tensor, " t"]]:
        """Poses without early turns, and where those are: a new key's facing before it can have shown."""
        pose, facing = array_to_tensor(self.scene.pose), array_to_tensor(self.scene.facing)
        before = torch.cat([facing[:1], facing[:-1]])
        is_new = self.key != torch.cat([self.key[:1], self.key[:-1]])
        turns = is_new & (facing == self.key) & (before != self.key) & (before >= 0)
        return torch.where(turns, torch.cat([pose[:1], pose[:-1]]), pose), turns

    def _is_early(self) -> Bool[Tensor, " t"]:
        """Frames whose motion already obeys the next frame's key, not their own: it was pressed between them.

        No model can know, and one that must guess starts and stops by itself.
        """
        key, next_key = self.key, _next(self.key)
        was, then = (
            way_index(self.steps[motion.clamp(min=0)]) for motion in (self.motion, _next(self.motion))
        )
        obeys = (then == next_key) & (then != key) & (then >= 0)
        stops = (then < 0) & (was == key) & (key >= 0)
        return (key != next_key) & (obeys | stops)

    def _follows(self) -> Int64[Tensor, "t 4"]:
        """It can go where it goes next; not where the player is off home that way, or goes without it."""
        scene = self.scene
        offset = array_to_tensor(scene.place) - torch.tensor(self.game.home)
        offset = offset * array_to_tensor(scene.found)[:, None]
        shift = _next(array_to_tensor(np.diff(scene.camera, axis=0, prepend=scene.camera[:1])), fill=0)
        step = self.steps[self.next_motion.clamp(min=0)] * (self.next_motion != UNKNOWN)[:, None]
        rows = torch.full((len(offset), len(STEPS)), UNKNOWN)
        for way, (dy, dx) in enumerate(STEPS.values()):
            axis, sign = (0, dy) if dy else (1, dx)
            goes = shift[:, axis] * sign > 0
            is_left = (offset[:, axis] == 0) & (step[:, axis] * sign > 0) & (shift[:, axis] == 0)
            rows[:, way] = torch.where(
                goes, 1, torch.where(is_left | (offset[:, axis] * sign > 0), 0, UNKNOWN)
            )
        return rows

    def _is_free(self) -> Int64[Tensor, "t 4"]:
        """Of the tiles beside that of `stand_of`: was the player ever there, or stopped on the way there?"""
        scene, game = self.scene, self.game
        stand = stand_of(self.state, game).numpy() + scene.camera - scene.grid
        tile = (stand - np.array(game.anchor) - np.array(game.foot)) // game.tile_px
        on_edge = scene.found & (self.phase == 0).all(dim=1).numpy()
        entered = {(y, x) for y, x in tile[on_edge].tolist()}
        stopped = {
            (*tile[t].tolist(), int(self.key[t]))
            for t in np.flatnonzero(on_edge & self._is_stopped()).tolist()
        }
        rows = np.full((len(tile), len(STEPS)), UNKNOWN, np.int64)
        for t in np.flatnonzero(scene.found).tolist():
            y, x = tile[t].tolist()
            for way, (dy, dx) in enumerate(STEPS.values()):
                if (y + dy, x + dx) in entered:
                    rows[t, way] = FREE
                elif (y, x, way) in stopped:
                    rows[t, way] = CLOSED
        return array_to_tensor(rows)

    def _is_stopped(self) -> Bool[np.ndarray, " t"]:
        """Frames in which a walking key is held for two frames and the player only looks that way.

        One that does not even turn is held by something else: a dialogue, a fight that begins.
        """
        still = self.motion == 0
        looks = _next(_next(array_to_tensor(self.scene.facing))) == self.key
        held = self.key == _next(self.key)
        return (
            still & (self.next_motion == 0) & held & (_next(self.next_motion) == 0) & looks & (self.key >= 0)
        ).numpy()

    def _group(self) -> Int64[Tensor, " t"]:
        was, then = (self.steps[index.clamp(min=0)].sign() for index in (self.motion, self.next_motion))
        moved, moves = (was != 0).any(dim=1), (then != 0).any(dim=1)
        has_key = self.key >= 0
        rules = {
            "idle": ~moves & ~moved & ~has_key,
            "blocked": ~moves & ~moved & has_key,
            "stop": moved & ~moves,
            "start": ~moved & moves,
            "walk": moved & moves & (was == then).all(dim=1),
            "turn": moved & moves & (was != then).any(dim=1),
            "leave": self.leaves == 1,
        }
        group = torch.full_like(self.key, UNKNOWN)
        for name, is_so in rules.items():
            group[is_so] = GROUPS.index(name)
        return group


def _next(values: Tensor, *, fill: int = UNKNOWN) -> Tensor:
    """Each frame's following value; `fill` for the last."""
    return torch.cat([values[1:], torch.full_like(values[:1], fill)])


# Batches


def draw_moves(
    samples: MoveSamples, game: MoverGame, settings: MoverLossSettings, generator: torch.Generator
) -> MoveSamples:
    """Draw a batch, balanced and spoilt as dreams spoil it; a pure function of the generator."""
    groups = [torch.nonzero(samples.group == index)[:, 0] for index in range(len(GROUPS))]
    share = torch.tensor(
        [settings.shares.get(name, 0.0) * bool(len(rows)) for name, rows in zip(GROUPS, groups, strict=True)]
    )
    picked = torch.multinomial(share, settings.batch, replacement=True, generator=generator)
    place = torch.rand(settings.batch, generator=generator)
    chosen = torch.stack(
        [
            groups[group][int(at * len(groups[group]))]
            for group, at in zip(picked.tolist(), place.tolist(), strict=True)
        ]
    )
    return _spoilt(samples.take(chosen), game, settings, generator)


def _spoilt(
    batch: MoveSamples, game: MoverGame, settings: MoverLossSettings, generator: torch.Generator
) -> MoveSamples:
    num, past = batch.motion.shape
    kept = torch.randint(1, past + 1, (num, 1), generator=generator)
    is_short = torch.rand(num, 1, generator=generator) < settings.short_share
    is_cut = is_short & (torch.arange(past)[None] < past - kept)
    is_strange = torch.rand(num, past, generator=generator) < settings.strange_share
    motion = torch.where(is_strange & (batch.motion != UNKNOWN), 0, batch.motion)
    facing = torch.tensor(game.pose_facing)
    same = (facing[batch.pose][:, None] == facing[None]).float()
    other = torch.multinomial(same, 1, generator=generator)[:, 0]
    is_other = torch.rand(num, generator=generator) < settings.pose_share
    is_hidden = torch.rand(num, generator=generator) < settings.hidden_share
    return replace(
        batch,
        window=torch.where(is_hidden[:, None, None, None], _hidden(batch.window, game), batch.window),
        motion=motion.masked_fill(is_cut, UNKNOWN),
        act=batch.act.masked_fill(is_cut, UNKNOWN),
        pose=torch.where(is_other, other, batch.pose),
    )


def _hidden(window: UInt8[Tensor, "b 4 n n"], game: MoverGame) -> UInt8[Tensor, "b 4 n n"]:
    """Windows in which the world behind a resting player is not known, as when a dream begins."""
    margin = (window.shape[-1] - game.tile_px) // 2
    y, x = (margin - foot for foot in game.foot)
    hidden = window.clone()
    hidden[
        :,
        :,
        max(y - _HALO, 0) : y + game.box[0] + _HALO,
        max(x - _HALO, 0) : x + game.box[1] + _HALO,
    ] = 0
    return hidden


# Loss


def mover_loss(
    network: MoverNetwork,
    batch: MoveSamples,
    settings: MoverLossSettings,
    rows: Int64[Tensor, " own"] | None = None,
) -> dict[str, Float32[Tensor, ""]]:
    """The loss of a batch, "loss", and its parts, which carry no gradient.

    With `rows`, what these rows add to it: the losses of all parts of a batch add up to that of the whole.
    """
    rows = torch.arange(len(batch.group)) if rows is None else rows
    own = batch.take(rows)
    out, told = network(own.sight, own.state), own.state
    novel = functional.softplus(-network.is_free(_novel(batch.window)[rows]))
    parts = {
        "motion": _one_of(out.motion, batch.next_motion, rows),
        "pose": _one_of(network.pose(told, own.next_motion), batch.next_pose, rows),
        "follows": _binary(out.follows, batch.follows, rows),
        "leaves": _binary(out.leaves, batch.leaves, rows),
        "free": _ground_loss(out.is_free, batch.is_free, rows, settings.shunned_weight),
        "novel": novel.mean() * (len(rows) / len(batch.group)),
    }
    loss = (
        parts["motion"]
        + settings.pose_weight * parts["pose"]
        + settings.follows_weight * parts["follows"]
        + settings.leaves_weight * parts["leaves"]
        + settings.free_weight * (parts["free"] + settings.novel_weight * parts["novel"])
    )
    return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}


def _novel(window: UInt8[Tensor, "b 4 n n"]) -> UInt8[Tensor, "b 4 n n"]:
    """Windows of looks that the game does not have: its own in wrong colours, another for every sample."""
    orders = torch.tensor([[1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0]])
    index = torch.arange(len(window))
    colours = window[index[:, None], orders[index % 4]]
    colours = torch.where((index // 4 % 2 == 0)[:, None, None, None], colours, 255 - colours)
    return torch.cat([colours, window[:, 3:]], dim=1)


# Each loss is a mean over the whole batch's known targets, to which the logits of `rows` add their share.


def _one_of(
    logits: Float32[Tensor, "own n"], target: Int64[Tensor, " b"], rows: Int64[Tensor, " own"]
) -> Float32[Tensor, ""]:
    """Mean cross-entropy where the target is known; 0 where it never is."""
    each = functional.cross_entropy(logits, target[rows], ignore_index=UNKNOWN, reduction="sum")
    return each / (target != UNKNOWN).sum().clamp(min=1)


def _ground_loss(
    logit: Float32[Tensor, "own 4"],
    target: Int64[Tensor, "b 4"],
    rows: Int64[Tensor, " own"],
    shunned_weight: float,
) -> Float32[Tensor, ""]:
    """Mean cross-entropy where something is known, tiles never entered counting less."""
    weight = (target != UNKNOWN) * torch.where(target == SHUNNED, shunned_weight, 1.0)
    is_free = (target[rows] == FREE).float()
    each = functional.binary_cross_entropy_with_logits(logit, is_free, reduction="none")
    return (each * weight[rows]).sum() / weight.sum().clamp(min=1)


def _binary(
    logit: Float32[Tensor, "own ..."], target: Int64[Tensor, "b ..."], rows: Int64[Tensor, " own"]
) -> Float32[Tensor, ""]:
    """Mean cross-entropy where the target is known; 0 where it never is."""
    is_known = target != UNKNOWN
    is_true = (target[rows] == 1).float()
    each = functional.binary_cross_entropy_with_logits(logit, is_true, reduction="none")
    return (each * is_known[rows]).sum() / is_known.sum().clamp(min=1)
