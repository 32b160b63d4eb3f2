"""The overworld's rules, tick by tick, as a pure function; and a simulator that plays and draws them.

A tick is a thirtieth of a second. A step goes two native pixels a tick, eight ticks to the next tile, and
runs on to that tile's edge whatever is pressed meanwhile. At rest a pressed direction turns the player and,
if the way is free, begins the step in the same tick; a blocked way only turns. Standing on a door starts a
fade: eight ticks to black, the other side, eight ticks back. `a`, newly pressed before somebody, opens a
dialogue which `a` or `b`, newly pressed, closes; nothing else is heard while a dialogue or a fade lasts.
`start` does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from worldgen_core.games.base import Facing, Frame, Transition, TrueTileState
from worldgen_core.games.overworld_map import OPPOSITE, Talker, Tile, World, next_tile
from worldgen_core.games.overworld_pixels import TILE
from worldgen_core.games.overworld_render import NATIVE_HEIGHT, NUM_FADE_LEVELS, Figure, camera_of, draw
from worldgen_core.games.overworld_town import make_world
from worldgen_core.seeds import derive_seed

ACTION_NAMES = ("none", "up", "down", "left", "right", "a", "b", "start")
NONE, UP, DOWN, LEFT, RIGHT, A, B, START = range(len(ACTION_NAMES))
FACING_OF: dict[int, Facing] = {UP: "up", DOWN: "down", LEFT: "left", RIGHT: "right"}
ACTION_OF: dict[Facing, int] = {facing: action for action, facing in FACING_OF.items()}
TICKS_PER_SECOND = 30
SPEED = 2
"""Native pixels a tick."""
DEFAULT_WORLD_SEED = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the future depends on, besides world and actions.

    The player is `offset` native pixels on the way from its tile to the next one it faces. `fade` counts the
    ticks of a fade, 0 without one. `last_action` is what was pressed in the tick before.
    """

    area: int
    x: int
    y: int
    facing: Facing
    offset: int = 0
    fade: int = 0
    is_talking: bool = False
    last_action: int = NONE

    @property
    def tile(self) -> Tile:
        """The tile it stands on, or left last."""
        return self.x, self.y

    @property
    def is_at_rest(self) -> bool:
        """Whether a direction pressed now would count."""
        return not (self.offset or self.fade or self.is_talking)


def tick(world: World, now: Situation, action: int) -> Situation:
    """What follows a tick in which this action was pressed."""
    area = world.areas[now.area]
    is_new = action != now.last_action
    then = replace(now, last_action=action)
    if now.fade or (now.offset == 0 and now.tile in area.doors):
        return _fade_on(world, then)
    if now.is_talking:
        return replace(then, is_talking=not (is_new and action in (A, B)))
    if now.offset:
        return _walk_on(then)
    if action in FACING_OF:
        facing = FACING_OF[action]
        is_free = area.is_free(next_tile(now.tile, facing))
        return replace(then, facing=facing, offset=SPEED if is_free else 0)
    if action == A and is_new and talker_before(world, now):
        return replace(then, is_talking=True)
    return then


def _walk_on(then: Situation) -> Situation:
    offset = then.offset + SPEED
    if offset < TILE:
        return replace(then, offset=offset)
    x, y = next_tile(then.tile, then.facing)
    return replace(then, x=x, y=y, offset=0)


def _fade_on(world: World, then: Situation) -> Situation:
    """One tick further; at full black the player is put to the other side of the door."""
    fade = then.fade + 1
    if fade == NUM_FADE_LEVELS:
        place = world.areas[then.area].doors[then.tile]
        there = replace(then, area=place.area, x=place.x, y=place.y, facing=place.facing)
        return replace(there, fade=fade)
    return replace(then, fade=fade if fade < 2 * NUM_FADE_LEVELS else 0)


def talker_before(world: World, now: Situation) -> Talker | None:
    """Who is on the tile that the player faces."""
    return world.areas[now.area].talker_at(next_tile(now.tile, now.facing))


def start_of(world: World, seed: int) -> Situation:
    """A seed's start: anywhere in the town, facing anywhere."""
    rng = np.random.default_rng(derive_seed(seed, "start"))
    tiles = [(x, y) for area, x, y in world.free_tiles() if area == 0]
    x, y = tiles[int(rng.integers(len(tiles)))]
    return Situation(0, x, y, list(ACTION_OF)[int(rng.integers(4))])


def position(now: Situation) -> tuple[int, int]:
    """Left and top native pixel, on the map, of the square that the player is in."""
    dx, dy = next_tile((0, 0), now.facing)
    return now.x * TILE + dx * now.offset, now.y * TILE + dy * now.offset


def true_state(world: World, now: Situation) -> TrueTileState:
    """The same as the evaluation speaks of it."""
    x, y = position(now)
    camera_x, camera_y = camera_of(world.areas[now.area], x, y)
    return TrueTileState(
        found=now.fade == 0,
        x=float(x - camera_x),
        y=float(y - camera_y),
        facing=now.facing,
        map_id=now.area,
        tile_x=now.x,
        tile_y=now.y,
        offset=now.offset,
        camera_x=camera_x,
        camera_y=camera_y,
        is_dialog=now.is_talking,
        is_fading=now.fade > 0,
    )


def render(world: World, now: Situation) -> Frame:
    """The native picture, 160 rows of 240 pixels."""
    area = world.areas[now.area]
    x, y = position(now)
    camera = camera_of(area, x, y)
    partner = talker_before(world, now) if now.is_talking else None
    figures = [
        Figure(t.x * TILE, t.y * TILE, t.look, OPPOSITE[now.facing] if t is partner else t.facing)
        for t in area.talkers
        if t.look is not None
    ]
    figures.append(Figure(x, y, None, now.facing, _phase(now.offset)))
    return draw(
        world,
        now.area,
        camera,
        figures,
        text=partner.text if partner else None,
        is_box_on_top=y - camera[1] > NATIVE_HEIGHT // 2,
        brightness=abs(NUM_FADE_LEVELS - now.fade),
    )


def _phase(offset: int) -> int:
    """Which foot is in front; it depends on the place within the step alone, so that a picture tells it."""
    if offset in (0, TILE // 2):
        return 0
    return 1 if offset < TILE // 2 else 2


def record_size(native: UInt8[np.ndarray, "160 240 3"]) -> UInt8[np.ndarray, "80 120 3"]:
    """A native picture shrunk to half by a box filter."""
    return cv2.resize(native, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


class OverworldSimulator:
    """Somebody walking through a world; deterministic in world, start and actions.

    One step of the simulator is `ticks_per_frame` ticks under the same action: two make the recorded 15
    frames a second. `frame` is the recorded size (80 rows of 120), `native_frame` twice that.
    """

    def __init__(self, world: World, situation: Situation, *, ticks_per_frame: int = 2) -> None:
        self.world = world
        self.situation = situation
        self._ticks_per_frame = ticks_per_frame

    def reset(self, seed: int) -> Frame:
        """Begin anew where the seed says, in the same world."""
        self.situation = start_of(self.world, seed)
        return self.frame

    def advance(self, action: int) -> tuple[float, bool]:
        """Play one action without drawing; there is no reward, and life never ends."""
        for _ in range(self._ticks_per_frame):
            self.situation = tick(self.world, self.situation, action)
        return 0.0, False

    def step(self, action: int) -> Transition:
        """Play one action."""
        reward, terminated = self.advance(action)
        return Transition(self.frame, reward, terminated)

    @property
    def frame(self) -> Frame:
        """The current frame at the recorded size, 80 rows of 120 pixels."""
        return record_size(self.native_frame)

    @property
    def native_frame(self) -> Frame:
        """The current frame, 160 rows of 240 pixels."""
        return render(self.world, self.situation)

    @property
    def state(self) -> TrueTileState:
        """The current true state."""
        return true_state(self.world, self.situation)


def make_simulator(
    seed: int, *, world_seed: int = DEFAULT_WORLD_SEED, ticks_per_frame: int = 2
) -> OverworldSimulator:
    """A simulator that stands where the seed says."""
    world = make_world(world_seed)
    return OverworldSimulator(world, start_of(world, seed), ticks_per_frame=ticks_per_frame)
