"""Rule players for Flappy Bird: one with the true state and one that sees only pixels."""

from __future__ import annotations

from collections.abc import Callable

from worldgen_core.games.base import Frame, Opening, State, TrueState
from worldgen_core.games.flappy_render import BIRD_HEIGHT, BIRD_X, PIPE_WIDTH

IDLE, FLAP = 0, 1
START_SPEED, GRAVITY, MAX_SPEED = -9.0, 1.0, 10.0
CRUISING_BOTTOM = 270.0
"""Where the bird's bottom is kept while no opening is in sight: the middle of all holes."""
DEFAULT_MARGIN = 8.0
"""Native pixels kept free above the lower pipe."""


def next_opening(openings: tuple[Opening, ...]) -> Opening | None:
    """The first opening that the bird has not left behind, if any is in sight."""
    return next((opening for opening in openings if opening.x + PIPE_WIDTH > BIRD_X), None)


def rule_action(height: float, speed: float, openings: tuple[Opening, ...], margin: float) -> int:
    """Flap when the bird's bottom would otherwise sink into the margin above the lower pipe's edge."""
    opening = next_opening(openings)
    floor = CRUISING_BOTTOM if opening is None else opening.bottom
    next_bottom = height + BIRD_HEIGHT + min(speed + GRAVITY, MAX_SPEED)
    return FLAP if next_bottom > floor - margin else IDLE


def rule(state: TrueState, margin: float) -> int:
    """The rule on a true state."""
    return rule_action(state.height, state.speed, state.openings, margin)


class PixelRulePlayer:
    """The rule on what a state reader finds in each frame, with a memory of one height.

    Two heights give the speed, whoever chose the action between them. While the bird is lost the player
    idles, as a person would have nothing to act on.
    """

    def __init__(self, read_state: Callable[[Frame], State], margin: float = DEFAULT_MARGIN) -> None:
        self._read_state = read_state
        self._margin = margin
        self.reset()

    def reset(self) -> None:
        """Forget the life before."""
        self._last_height: float | None = None

    def act(self, frame: Frame) -> int:
        """Choose the action that follows this frame."""
        return self.act_on(self._read_state(frame))

    def act_on(self, state: State) -> int:
        """Choose the action that follows a frame in which this was read."""
        last_height, self._last_height = self._last_height, state.height if state.found else None
        if not state.found:
            return IDLE
        speed = START_SPEED if last_height is None else state.height - last_height
        return rule_action(state.height, speed, state.openings, self._margin)
