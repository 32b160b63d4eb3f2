"""The dream as a gymnasium environment: any agent plays and trains inside a world model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from storage.clips import ClipReader
from worldgen_core.games.base import Frame
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import read_card
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import tell_rewards
from worldgen_core.names import BackendChoice, DeviceName
from worldgen_core.play.scenes import scene_of_dataset
from worldgen_core.play.session import Moment, PlaySession
from worldgen_core.play.starts import held_out_starts
from worldgen_core.runtime.open import open_fast


class DreamEnv(gymnasium.Env[Frame, np.int64]):
    """Observations are the dream's frames (h, w, 3) uint8, actions those of the game.

    The reward is the one that the model learnt from its dataset, in the dataset's units, or 0 where that had
    none; `info["reward_is_learned"]` says which. With `survival_reward` it is that instead, for every frame
    that does not end the life. A life ends where the model gives it more than even odds; a model that does
    not learn ends never terminates, so give `max_episode_steps` to `make`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  # gymnasium's own convention

    def __init__(
        self,
        model: str | Path | WorldModel,
        *,
        game: str | None = None,
        dataset: str | Path | None = None,
        device: DeviceName = "auto",
        backend: BackendChoice = "eager",
        num_starts: int = 64,
        survival_reward: float | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Open a model folder; `dataset` is a folder whose held-out episodes are starts besides fresh lives.

        `backend` is what computes the frames; "auto" takes the fastest, measured at the model's first start.
        Give `game` with a model that is no folder.
        Raises: CheckpointError; StorageError; ConfigError for a backend or device that is not there and for
        a game that can begin nowhere: one without a simulator needs `dataset`.
        """
        if isinstance(model, str | Path):
            game = game or read_card(Path(model)).game
            scene_of = scene_of_dataset(None if dataset is None else Path(dataset))
            folder = Path(model)
            model = open_fast(folder, device, backend=backend, scene_of=scene_of).model
            if survival_reward is None:
                tell_rewards(model, folder)
        facts = get_facts(game or "")
        k = model.num_context_frames
        reader = None if dataset is None else ClipReader(Path(dataset))
        self._starts = (
            held_out_starts(reader, facts, num_frames=k, num_starts=num_starts) if reader is not None else []
        )
        self._session = PlaySession(model, facts, self._starts)
        self._survival_reward = survival_reward
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": facts.fps}
        self.action_space = spaces.Discrete(model.num_actions)
        self.observation_space = spaces.Box(0, 255, (*model.frame_shape, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Begin a life: at `options["start"]`, else at a held-out start or, without any, a fresh life.

        Raises: ConfigError for an unknown start.
        """
        super().reset(seed=seed)
        own_seed = int(self.np_random.integers(2**31))
        start_id = (options or {}).get("start")
        if start_id is None and self._starts:
            start_id = self._starts[own_seed % len(self._starts)].start_id
        return self._session.begin(seed=own_seed, start_id=start_id).dream, {
            "start": self._session.start.start_id
        }

    def step(self, action: int | np.integer) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Dream one frame; raises ConfigError for an unknown action."""
        moment = self._session.step(int(action))
        is_learned = self._survival_reward is None and moment.reward is not None
        info = {"reward_is_learned": is_learned, "terminated_probability": moment.terminated}
        return moment.dream, self._reward(moment), moment.dream_over, False, info

    def render(self) -> Frame:  # pyright: ignore[reportIncompatibleMethodOverride]  # one mode only
        """The current frame."""
        return self._session.moment.dream

    def _reward(self, moment: Moment) -> float:
        if self._survival_reward is None:
            return moment.reward or 0.0
        return 0.0 if moment.dream_over else self._survival_reward
