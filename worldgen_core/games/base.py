"""What the core may know of a game: names, sizes, a simulator, a state reader, and what models may assume.

A game's own file builds one record; nothing outside `worldgen_core/games` imports a particular game, but
finds it by name (`worldgen_core.games.catalogue`). What can be said of any game, even of one known from
footage alone, is `GameFacts`; a `Game` is one of lives and heights (Flappy Bird), a `TileGame` one in which
somebody walks on tiles. Heights and distances are in native pixels, y grows downwards, frames are RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.tracking.settings import TrackingSettings

Frame = UInt8[np.ndarray, "h w c"]
Facing = Literal["up", "down", "left", "right"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A gap the player has to pass: left edge, top and bottom of the hole."""

    x: float
    top: float
    bottom: float

    @property
    def centre(self) -> float:
        """Height of the hole's middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class State:
    """What one frame shows.

    `found` claims that exactly one player is visible; `height` is the top edge of its unrotated box (NaN
    where not found). `openings` are those in sight, from left to right.
    """

    found: bool
    height: float
    openings: tuple[Opening, ...]


@dataclass(frozen=True, slots=True)
class TrueState(State):
    """What the simulator knows: the visible state, and what one frame cannot show.

    `speed` is in pixels a frame (downwards positive), `rotation` in degrees. `found` is False while the
    player is out of the picture; `height` is exact even then.
    """

    speed: float
    rotation: float
    is_alive: bool


@dataclass(frozen=True, slots=True)
class TileState:
    """What one frame of a tile game shows of the player.

    `x` and `y` are the left and top edge, on the screen, of the tile-sized square that the player stands in
    or walks through (NaN where not found, and `facing` None).
    """

    found: bool
    x: float
    y: float
    facing: Facing | None


@dataclass(frozen=True, slots=True)
class TrueTileState(TileState):
    """What the simulator of a tile game knows.

    The player stands on `tile_x`, `tile_y` of the map `map_id`, or has walked `offset` native pixels from
    there the way it faces. `camera_x` and `camera_y` are the screen's left and top edge on the map. `found`
    is False during a fade; position and facing are exact even then.
    """

    map_id: int
    tile_x: int
    tile_y: int
    offset: int
    camera_x: int
    camera_y: int
    is_dialog: bool
    is_fading: bool


class Transition(NamedTuple):
    """What follows an action: the next frame, the reward of the way, whether that frame ended the life."""

    frame: Frame
    reward: float
    terminated: bool


@runtime_checkable
class Playable(Protocol):
    """A game being played; deterministic in the seed and the actions."""

    def reset(self, seed: int) -> Frame:
        """Start a new life and return its first frame."""
        ...

    def step(self, action: int) -> Transition:
        """Play one action; raises ConfigError once the life is over."""
        ...

    def advance(self, action: int) -> tuple[float, bool]:
        """The same without drawing: reward, and whether that ended the life."""
        ...

    @property
    def frame(self) -> Frame:
        """The current frame (a fresh array)."""
        ...


@runtime_checkable
class Simulator(Playable, Protocol):
    """A game of lives and heights being played."""

    @property
    def state(self) -> TrueState:
        """The current true state."""
        ...


@runtime_checkable
class TileSimulator(Playable, Protocol):
    """A tile game being played."""

    @property
    def state(self) -> TrueTileState:
        """The current true state."""
        ...


@runtime_checkable
class PixelPlayer(Protocol):
    """Plays from frames alone, so that it can play a dream as well as the game."""

    def reset(self) -> None:
        """Forget the life before."""
        ...

    def act(self, frame: Frame) -> int:
        """Choose the action that follows this frame."""
        ...

    def act_on(self, state: State) -> int:
        """Choose the action that follows a frame in which this was read; spares a second reading."""
        ...


@dataclass(frozen=True)
class EventWindow:
    """Frames near a kind of event that are worth showing to a model more often than chance would.

    An event happens at frame e where `terminated[e]` ("terminated"), where the transition into e paid at
    least `value` ("reward_at_least": reward[e - 1] >= value), or where a life starts ("life_start"). The
    interesting frames are e + offset for each of `offsets`, and with `period` also e + offset + period, + 2
    periods and so on as long as the life lasts. `share` is the part of the training windows that should
    predict such a frame.
    """

    event: Literal["terminated", "reward_at_least", "life_start"]
    share: float
    offsets: tuple[int, ...] = (0,)
    value: float = 0.0
    period: int | None = None

    def frames(
        self, reward: Float32[np.ndarray, " t"], terminated: Bool[np.ndarray, " t"]
    ) -> Int64[np.ndarray, " n"]:
        """Indices of the interesting frames of one episode, ascending, each in the same life as its event."""
        starts = np.concatenate([[0], np.flatnonzero(terminated[:-1]) + 1])
        ends = np.concatenate([starts[1:], [len(terminated)]])
        if self.event == "terminated":
            events = np.flatnonzero(terminated)
        elif self.event == "reward_at_least":
            events = np.flatnonzero(reward[:-1] >= self.value) + 1
        else:
            events = starts
        found: set[int] = set()
        for event in events.tolist():
            life = int(np.searchsorted(starts, event, side="right")) - 1
            for first in (event + offset for offset in self.offsets):
                hits = range(first, int(ends[life]), self.period) if self.period else (first,)
                found.update(frame for frame in hits if starts[life] <= frame < ends[life])
        return np.array(sorted(found), np.int64)


@dataclass(frozen=True)
class ModelAssumptions:
    """What a model may assume of a game; the defaults assume nothing.

    `new_content` is the border at which the game draws things at random, `new_content_columns` how many
    columns (or rows) of the recorded frame they need to be told apart. `has_static_background` says that
    every pixel has one value that it shows most of the time. `tracking` is how a player who walks on tiles is
    found in recorded frames, whoever recorded them; None: nothing of that kind is known.
    """

    new_content: Literal["anywhere", "right", "left", "top", "bottom"] = "anywhere"
    new_content_columns: int = 0
    has_static_background: bool = False
    oversample: tuple[EventWindow, ...] = ()
    tracking: TrackingSettings | None = None


@dataclass(frozen=True, kw_only=True)
class GameFacts:
    """What is known of any game, even of one that only footage exists of.

    `keymap` maps key names as browsers report them (`KeyboardEvent.code`) to action ids; action 0 is what
    happens when nothing is pressed. `height`, `width` and `fps` are those of the recorded frames.
    """

    name: str
    action_names: tuple[str, ...]
    keymap: Mapping[str, int]
    fps: int
    native_height: int
    native_width: int
    height: int
    width: int
    assumptions: ModelAssumptions = ModelAssumptions()


@dataclass(frozen=True, kw_only=True)
class Game(GameFacts):
    """A game of lives and heights: its facts, simulator, reader.

    `make_simulator(seed)` returns a simulator on the first frame of that seed's life. `make_pixel_player()`
    returns a capable player for evaluations: what it survives in a dream is compared with what it survives in
    the game.

    For agents: `features` is what they see of a true state, `rule` a player by rule that keeps `margin`
    native pixels of distance.
    """

    make_simulator: Callable[[int], Simulator]
    read_state: Callable[[Frame], State]
    make_pixel_player: Callable[[], PixelPlayer]
    features: Callable[[TrueState], Float32[np.ndarray, " f"]]
    num_features: int
    rule: Callable[[TrueState, float], int]


@dataclass(frozen=True, kw_only=True)
class TileGame(GameFacts):
    """A game in which somebody walks on tiles: its facts, simulator, reader.

    `tile_size` is in native pixels. `make_simulator(seed)` returns a simulator that stands where the seed
    says; a life never ends. `read_state` reads recorded frames, true ones and dreamt ones.
    `locate(frame, world_seed)` is a simulator that stands as a recorded or dreamt frame shows, in the world
    of that seed; None where nobody is found in it.
    """

    tile_size: int
    make_simulator: Callable[[int], TileSimulator]
    read_state: Callable[[Frame], TileState]
    locate: Callable[[Frame, int], TileSimulator | None]
