"""The `layered` world model at play: a canvas of the world, and a player that a mover network walks over it.

Every dream has a canvas (worldgen_core/models/layered_canvas.py), which begins with what the context frames
show besides the player. A step asks the mover where player and camera go, has the tile network draw what
comes into view for the first time, and paints the player's pose on top.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from worldgen_core.batch import array_to_tensor
from worldgen_core.device import choose_device
from worldgen_core.errors import ContextLengthError
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.interface import Prediction
from worldgen_core.models.layered_canvas import Canvas
from worldgen_core.models.layered_canvas import fill as fill_canvases
from worldgen_core.models.layered_facts import heading_of
from worldgen_core.models.layered_mover import Decision, decide, start_state, with_action
from worldgen_core.models.layered_network import LayeredNetwork, LayeredShape
from worldgen_core.models.layered_passages import Journey, begin_journey, find_passage
from worldgen_core.models.layered_state import UNKNOWN, MoverState
from worldgen_core.models.layered_tiles import grid_costs
from worldgen_core.names import DeviceName
from worldgen_core.seeds import derive_seed
from worldgen_core.tracking.camera import track_camera
from worldgen_core.tracking.layers import erase_player, paint_player
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import FACINGS
from worldgen_core.tracking.track import PlayerTrack, track_player

_REST_FRAMES = 2
"""Frames at the end of a context in which the player must stand still to tell where the grid is."""
_LEAVES = 0.5
"""Probability from which on a scene ends."""


@dataclass(frozen=True)
class _Start:
    """What the context of one dream tells."""

    canvas: Canvas
    place: Int64[Tensor, "t 2"]
    camera: Int64[Tensor, "t 2"]
    is_found: Bool[Tensor, " t"]
    grid: Int64[Tensor, " 2"]
    pose: int
    is_visible: bool


class LayeredWorldModel:
    """Dreams with a `LayeredNetwork`, on the CPU: canvases, tracking and sprites live there.

    Where the context shows no player, it is taken to stand where it stands while the camera follows, and is
    painted from its first step on.
    """

    def __init__(self, network: LayeredNetwork, card: ModelCard) -> None:
        self._network = network.eval()
        self._bank = network.bank()
        self._tracking = network.shape.tracking
        self._passages = network.passages()
        self._reader = SpriteReader(self._bank, self._tracking)
        self.num_context_frames = network.shape.architecture.num_context_frames
        self.num_actions = len(card.action_names)
        self.frame_shape = (card.height, card.width)
        self.takes_chance_from_truth = False

    def twin(self) -> LayeredWorldModel:
        """Another with the same networks, book and sprites; see `CanTwin`."""
        return copy.copy(self)

    @torch.inference_mode()
    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b t-1"], *, seed: int
    ) -> None:
        """Start b dreams; see `WorldModel.reset`.

        Cost: about 0.1 s a dream; camera and player are tracked through its context.
        """
        if frames.shape[1] != self.num_context_frames:
            raise ContextLengthError(
                "reset of a layered model",
                expected=f"{self.num_context_frames} context frames",
                found=f"{frames.shape[1]}",
                next_step="give as many frames as the model's `num_context_frames`",
            )
        starts = [self._start(row.cpu().numpy()) for row in frames]
        self._canvases = [start.canvas for start in starts]
        self._journeys: list[Journey | None] = [None] * len(starts)
        self._is_visible = torch.tensor([start.is_visible for start in starts])
        self._generators = [
            torch.Generator().manual_seed(derive_seed(seed, "dream", row)) for row in range(len(frames))
        ]
        self._state = start_state(
            self._network.mover,
            place=torch.stack([start.place for start in starts]),
            camera=torch.stack([start.camera for start in starts]),
            is_found=torch.stack([start.is_found for start in starts]),
            grid=torch.stack([start.grid for start in starts]),
            act=actions.cpu(),
            pose=torch.tensor([start.pose for start in starts]),
        )
        self._draw_new_land()

    @torch.inference_mode()
    def restart(
        self,
        rows: Int64[Tensor, " r"],
        frames: UInt8[Tensor, "r t h w c"],
        actions: Int64[Tensor, "r past"],
        *,
        seed: int,
    ) -> None:
        """Start some dreams anew and leave the others as they are; see `CanRestart.restart`."""
        state, canvases = self._state, self._canvases
        is_visible, generators, journeys = self._is_visible, self._generators, self._journeys
        self.reset(frames, actions, seed=seed)
        for index, row in enumerate(rows.tolist()):
            canvases[row], generators[row] = self._canvases[index], self._generators[index]
            journeys[row] = None
        is_visible = is_visible.index_copy(0, rows.cpu(), self._is_visible)
        parts = {
            field.name: getattr(state, field.name).index_copy(0, rows.cpu(), getattr(self._state, field.name))
            for field in fields(MoverState)
        }
        self._state, self._canvases = MoverState(**parts), canvases
        self._is_visible, self._generators, self._journeys = is_visible, generators, journeys

    @torch.inference_mode()
    def step(
        self,
        action: Int64[Tensor, " b"],
        *,
        truth: UInt8[Tensor, "b h w c"] | None = None,  # noqa: ARG002  # nothing is taken from it
    ) -> Prediction:
        """Dream the next frame; see `WorldModel.step`. Nothing is taken from `truth`."""
        screens, known = self._show()
        before = self._state
        decision = decide(self._network.mover, before, action.cpu(), screens, known)
        self._begin_journeys(decision, action.cpu(), screens, known)
        self._state = decision.state
        fades = self._travel(before)
        moves = (self._state.place + self._state.camera != before.place + before.camera).any(dim=1)
        self._is_visible = self._is_visible | moves
        self._draw_new_land()
        frames = self._painted()
        for row, frame in fades.items():
            frames[row] = frame
        return Prediction(frames, reward=None, terminated=None)

    def _begin_journeys(
        self,
        decision: Decision,
        action: Int64[Tensor, " b"],
        screens: UInt8[Tensor, "b h w 3"],
        known: Bool[Tensor, "b h w"],
    ) -> None:
        """Send dreams whose scene is to end through the passage that they stand before, if it is one."""
        leaving = [
            row
            for row, chance in enumerate(decision.leaves.tolist())
            if chance > _LEAVES and self._journeys[row] is None
        ]
        if not leaving or not len(self._passages):
            return
        mover, painted = self._network.mover, self._painted()
        window = mover.sight(self._state, screens, known).window
        heading = heading_of(with_action(self._state, action), mover.game)
        for row in leaving:
            index = find_passage(self._passages, window[row], int(heading[row]))
            if index is not None:
                arrival = array_to_tensor(self._arrival(index))
                self._journeys[row] = begin_journey(self._passages, index, painted[row], arrival)

    def _travel(self, before: MoverState) -> dict[int, UInt8[Tensor, "h w 3"]]:
        """Let dreams on a journey stand still in a fading picture, and at its end begin on the other side."""
        fades: dict[int, UInt8[Tensor, "h w 3"]] = {}
        for row, journey in enumerate(self._journeys):
            if journey is None:
                continue
            parts = {field.name: getattr(self._state, field.name).clone() for field in fields(MoverState)}
            for name, part in parts.items():
                part[row] = getattr(before, name)[row]
            if journey.fade:
                fades[row] = journey.fade.pop(0)
            else:
                self._arrive(row, journey.passage, parts)
            self._state = MoverState(**parts)
        return fades

    def _arrive(self, row: int, index: int, parts: dict[str, Tensor]) -> None:
        passages = self._passages
        canvas = Canvas(passages.grid[index], self._tracking.tile_px, self._network.book.cpu())
        canvas.put(torch.zeros(2, dtype=torch.int64), passages.screen[index], passages.is_known[index])
        self._canvases[row], self._journeys[row], self._is_visible[row] = canvas, None, True
        for name in ("place", "grid", "pose"):
            parts[name][row] = getattr(passages, name)[index]
        parts["camera"][row] = 0
        parts["act"][row], parts["motion"][row] = UNKNOWN, UNKNOWN

    def _arrival(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        y, x = self._passages.place[index].tolist()
        screen, pose = self._passages.screen[index].numpy(), int(self._passages.pose[index])
        return paint_player(screen, self._bank, pose, (x, y))

    def _draw_new_land(self) -> None:
        rows = [
            row
            for row, canvas in enumerate(self._canvases)
            if canvas.lacks(self._state.camera[row], self.frame_shape)
        ]
        if rows:
            fill_canvases(
                [self._canvases[row] for row in rows],
                self._state.camera[rows],
                self.frame_shape,
                self._network.tiles,
                [self._generators[row] for row in rows],
            )

    def _show(self) -> tuple[UInt8[Tensor, "b h w 3"], Bool[Tensor, "b h w"]]:
        shown = [
            canvas.show(camera, self.frame_shape)
            for canvas, camera in zip(self._canvases, self._state.camera, strict=True)
        ]
        screens, known = zip(*shown, strict=True)
        return torch.stack(screens), torch.stack(known)

    def _painted(self) -> UInt8[Tensor, "b h w 3"]:
        screens, _ = self._show()
        frames: list[np.ndarray] = []
        rows = zip(
            screens.numpy(),
            self._is_visible.tolist(),
            self._state.pose.tolist(),
            self._state.place.tolist(),
            strict=True,
        )
        for screen, is_visible, pose, (y, x) in rows:
            frames.append(paint_player(screen, self._bank, pose, (x, y)) if is_visible else screen)
        return array_to_tensor(np.stack(frames))

    def _start(self, frames: UInt8[np.ndarray, "t h w 3"]) -> _Start:
        camera = track_camera(frames, self._tracking)
        player = track_player(frames, camera, self._reader)
        erased, is_known = erase_player(frames, camera, player, self._bank)
        borders = np.flatnonzero(camera.is_cut | camera.is_dark)
        first = int(borders[-1]) if len(borders) else 0
        is_found = player.found & (np.arange(len(frames)) >= first)
        place, pose = self._last_seen(player, is_found)
        grid = self._grid(place, camera.position, is_found, erased[-1], is_known[-1])
        canvas = Canvas(grid, self._tracking.tile_px, self._network.book)
        for index in range(first, len(frames)):
            canvas.put(
                array_to_tensor(camera.position[index]),
                array_to_tensor(erased[index]),
                array_to_tensor(is_known[index]),
            )
        return _Start(
            canvas,
            array_to_tensor(place),
            array_to_tensor(camera.position),
            array_to_tensor(is_found),
            grid,
            pose,
            bool(is_found.any()),
        )

    def _last_seen(
        self, player: PlayerTrack, is_found: Bool[np.ndarray, " t"]
    ) -> tuple[Int64[np.ndarray, "t 2"], int]:
        """Places, with the last known one in frames without any, and the last known pose."""
        place = player.place.copy()
        found = np.flatnonzero(is_found)
        if not len(found):
            facing_down = np.flatnonzero(self._bank.facing == FACINGS.index("down"))
            place[:] = self._bank.home
            return place, int(facing_down[self._bank.num_examples[facing_down].argmax()])
        place[~is_found] = player.place[found[-1]]
        return place, int(player.pose[found[-1]])

    def _grid(
        self,
        place: Int64[np.ndarray, "t 2"],
        camera: Int64[np.ndarray, "t 2"],
        is_found: Bool[np.ndarray, " t"],
        picture: UInt8[np.ndarray, "h w 3"],
        is_known: Bool[np.ndarray, "h w"],
    ) -> Int64[Tensor, " 2"]:
        """Where tiles' corners lie: as a resting player stands on them, else as the book fits the picture."""
        side, world = self._tracking.tile_px, place + camera
        last = slice(-_REST_FRAMES - 1, None)
        if is_found[last].all() and (world[last] == world[-1]).all():
            return array_to_tensor((world[-1] - np.array(self._network.shape.game.anchor)) % side)
        costs = grid_costs(array_to_tensor(picture), array_to_tensor(is_known), self._network.book, side)
        corner = torch.tensor(divmod(int(costs.argmin()), side))
        return (array_to_tensor(camera[-1]) + corner) % side


def build(card: ModelCard) -> LayeredNetwork:
    """Return the untrained network that a card describes.

    Raises: CheckpointError if the card is not that of a `layered` model of today.
    """
    return LayeredNetwork(settings_of(card, LayeredShape))


def load(folder: Path, card: ModelCard, device: DeviceName) -> LayeredWorldModel:
    """Open a model folder that `train_layered` wrote; it plays on the CPU whatever device is named.

    Raises: CheckpointError if the weights are damaged or do not fit; ConfigError for a missing device.
    """
    network = build(card)
    fill(network, read_weights(folder, card), source=str(folder))
    choose_device(device)
    return LayeredWorldModel(network, card)
