"""One player's game without a screen: a dream and, where there is one, the true game under the same keys.

Nothing here sleeps, draws or talks to a network. Whoever has the clock calls `tick` once a frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from worldgen_core.batch import array_to_tensor
from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Frame, GameFacts, Playable
from worldgen_core.games.controls import controls_of
from worldgen_core.models.interface import Prediction, WorldModel
from worldgen_core.play.keys import Keys
from worldgen_core.play.starts import Start, fresh_start, has_simulator, play_to
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads

View = Literal["dream", "game", "both"]

_OVER = 0.5
_REST_TICKS = 12
"""After the end of a life so many ticks pass before a press starts the next: it may be meant for the last."""
_HISTORY = 64
"""Frames that are kept for a model that needs more of them than the one that plays."""


@dataclass(frozen=True, eq=False)
class Moment:
    """What there is to see now. `action` led to it; `press` is the newest key press that took part in it.

    `reward` and `terminated` are the model's, None where it does not learn them; `game` is None without a
    true game. A world that is over keeps its last frame.
    """

    frame_number: int
    action: int
    press: int
    dream: UInt8[np.ndarray, "h w c"]
    game: UInt8[np.ndarray, "h w c"] | None
    dream_over: bool
    game_over: bool
    reward: float | None
    terminated: float | None
    step_ms: float


class PlaySession:
    """Steps a world model under a player's keys, from any of the starts that it is given."""

    def __init__(
        self, model: WorldModel, facts: GameFacts, starts: Sequence[Start], *, seed: int = 0, threads: int = 1
    ) -> None:
        if not starts and not has_simulator(facts):
            raise ConfigError(
                f"play {facts.name}: starts",
                expected="held-out frames to begin from, as this game has no simulator",
                found="none",
                next_step="name a dataset that holds episodes out, or build one from longer recordings",
            )
        self._model = model
        self._facts = facts
        self._starts = _by_id(starts)
        self._keys = Keys(controls_of(facts.name).taps)
        self._threads = threads
        self.view: View = "dream"
        self.takes_chance_from_game = True
        """In view "both" only: whether the dream is told what the true game draws at random."""
        self._num_changes = 0
        self.begin(seed=seed)

    # Models

    def change_model(self, model: WorldModel, starts: Sequence[Start]) -> Moment:
        """Dream on with another model of the same game, from the frames that are there.

        Where it needs more frames than there have been, the life begins again at its start. If the model
        fails, the session is as it was. `starts` are the new model's.
        """
        self._num_changes += 1
        before = self._model, self._starts
        k = model.num_context_frames
        if len(self._history) >= k:
            frames, led_to = zip(*list(self._history)[-k:], strict=True)
            seed = derive_seed(self._seed, "dream", self._num_lives, "model", self._num_changes)
            self._reset(model, np.stack(frames), np.array(led_to[1:], np.int64), seed)
            self._model, self._starts = model, _by_id(starts)
            return self._moment
        self._model, self._starts = model, _by_id(starts)
        try:
            wanted = self._wanted_start if self._wanted_start in self._starts else None
            self._start = self._choose(self._life_seed, wanted)
            return self._enter()
        except BaseException:
            self._model, self._starts = before
            raise

    # Keys

    def hold(self, action: int, *, press: int = 0) -> None:
        """A player now holds `action` (0: nothing); `press` numbers presses, to measure what they take.

        The newest wins. A press shorter than a frame still counts for the next one.
        Raises: ConfigError for an unknown action.
        """
        if not 0 <= action < self._model.num_actions:
            raise ConfigError(
                "action",
                expected=f"0 to {self._model.num_actions - 1}",
                found=str(action),
                next_step="press a key of this game",
            )
        self._keys.hold(action, press)

    def release_all(self) -> None:
        """Nothing is held any more, and no press waits."""
        self._keys.release_all()

    # Starts

    def begin(self, *, seed: int, start_id: str | None = None) -> Moment:
        """Begin anew; without a start, at a fresh life of the seed, or at a held-out start that it chooses.

        Raises: ConfigError for an unknown start.
        """
        self._start = self._choose(seed, start_id)
        self._seed, self._life_seed, self._wanted_start, self._num_lives = seed, seed, start_id, 1
        return self._enter()

    def next_life(self) -> Moment:
        """Begin the next life: another seed if lives are fresh, the same start again if one was chosen."""
        self._num_lives += 1
        self._life_seed = derive_seed(self._seed, "life", self._num_lives)
        self._start = self._choose(self._life_seed, self._wanted_start)
        return self._enter()

    @property
    def start(self) -> Start:
        """Where the current life began."""
        return self._start

    @property
    def seed(self) -> int:
        """The seed it was begun with."""
        return self._seed

    @property
    def has_game(self) -> bool:
        """Whether there is a true game to compare with."""
        return self._game is not None

    # Time

    @property
    def moment(self) -> Moment:
        """What there is to see."""
        return self._moment

    @property
    def context(self) -> list[tuple[Frame, int]]:
        """The frames that the model goes on from, oldest first, and the action that led to each."""
        return list(self._history)[-self._model.num_context_frames :]

    @property
    def is_over(self) -> bool:
        """Whether every world that is shown has ended its life."""
        moment = self._moment
        game_over = moment.game_over or moment.game is None
        if self.view == "dream":
            return moment.dream_over
        return game_over if self.view == "game" else moment.dream_over and game_over

    def tick(self) -> Moment:
        """Play one frame with what is pressed; after the end of a life, a press begins the next."""
        if not self.is_over:
            return self._play(*self._keys.take())
        self._rested += 1
        if self._keys.take_press() and self._rested >= _REST_TICKS:
            return self.next_life()
        return self._moment

    def step(self, action: int) -> Moment:
        """Play one frame with exactly this action, whatever is held.

        Raises: ConfigError for an unknown action.
        """
        self.hold(action)
        self.release_all()
        return self._play(action, press=0)

    def _choose(self, seed: int, start_id: str | None) -> Start:
        k = self._model.num_context_frames
        if start_id is not None and start_id not in self._starts:
            raise ConfigError(
                f"start {start_id!r}",
                expected=f"one of the {len(self._starts)} held-out starts",
                found="no such start",
                next_step="take one from the list",
            )
        if start_id is not None:
            return self._starts[start_id]
        if has_simulator(self._facts):
            return fresh_start(self._facts, seed=seed, num_frames=k)
        return list(self._starts.values())[seed % len(self._starts)]

    def _enter(self) -> Moment:
        start, k = self._start, self._model.num_context_frames
        seed = derive_seed(self._seed, "dream", self._num_lives)
        self._reset(self._model, start.frames[-k:], start.actions[len(start.actions) + 1 - k :], seed)
        self._game: Playable | None = None if start.life is None else play_to(self._facts, start.life)
        led_to = [0, *start.actions.tolist()]
        pairs = zip(start.frames, led_to, strict=True)
        # Longer than the model's context: another model may need more.
        self._history: deque[tuple[Frame, int]] = deque(pairs, maxlen=max(_HISTORY, k))
        self._keys.forget()
        self._rested = 0
        last = start.frames[-1]
        game = last if self._game else None
        self._moment = Moment(0, led_to[-1], 0, last, game, False, False, None, None, 0.0)
        return self._moment

    def _reset(
        self,
        model: WorldModel,
        frames: UInt8[np.ndarray, "t h w c"],
        actions: Int64[np.ndarray, " past"],
        seed: int,
    ) -> None:
        with torch.inference_mode(), cpu_threads(self._threads):
            model.reset(array_to_tensor(frames[None]), array_to_tensor(actions[None]), seed=seed)

    def _play(self, action: int, press: int) -> Moment:
        began, before = time.perf_counter(), self._moment
        game, game_over = self._play_game(action)
        dream, terminated, reward = before.dream, before.terminated, None
        if not before.dream_over:
            prediction = self._dream(action, game if game is not None and not before.game_over else None)
            dream = prediction.frame[0].cpu().numpy()
            terminated, reward = _only(prediction.terminated), _only(prediction.reward)
            self._history.append((dream, action))
        self._moment = Moment(
            frame_number=before.frame_number + 1,
            action=action,
            press=press,
            dream=dream,
            game=game,
            dream_over=before.dream_over or (terminated is not None and terminated > _OVER),
            game_over=game_over,
            reward=reward,
            terminated=terminated,
            step_ms=(time.perf_counter() - began) * 1000,
        )
        return self._moment

    def _play_game(self, action: int) -> tuple[Frame | None, bool]:
        if self._game is None or self._moment.game_over:
            return self._moment.game, self._moment.game_over
        _, is_over = self._game.advance(action)
        return self._game.frame, is_over

    def _dream(self, action: int, truth: Frame | None) -> Prediction:
        is_told = self.view == "both" and self.takes_chance_from_game and self._model.takes_chance_from_truth
        hint = array_to_tensor(truth[None]) if truth is not None and is_told else None
        with torch.inference_mode(), cpu_threads(self._threads):
            return self._model.step(array_to_tensor(np.array([action], np.int64)), truth=hint)


def _only(value: Float32[torch.Tensor, " b"] | None) -> float | None:
    return None if value is None else float(value[0])


def _by_id(starts: Sequence[Start]) -> dict[str, Start]:
    return {start.start_id: start for start in starts}
