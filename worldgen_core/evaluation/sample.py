"""`worldgen sample`: a GIF or MP4 of the game and its dream side by side under the same actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.atomic import replacing_path
from storage.clips import ClipReader
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.animation import compose, write_gif
from worldgen_core.evaluation.dream import blank_dream, dream_along
from worldgen_core.evaluation.mp4 import write_mp4
from worldgen_core.evaluation.recorded import recorded_starts
from worldgen_core.evaluation.sample_play import Sample, play_sample, sample_of
from worldgen_core.games.base import Game
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import ModelCard, read_card
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads

_SCALE = 3
"""Factor by which pictures are enlarged."""


def write_sample(
    model_folder: Path,
    out_path: Path,
    *,
    dataset: Path | None = None,
    num_frames: int = 300,
    seed: int = 0,
    player: str | None = None,
) -> Path:
    """Write the animation and return its path; the file's ending decides the format.

    The game is played by `player` (by default its rule) where it is one of lives and heights; otherwise a
    held-out moment of `dataset`, the folder that the model was trained on, goes on as it was recorded.
    Raises: ConfigError for an unknown format, game or player, for a player where there is only a recording,
    and for recordings that are gone or too short; CheckpointError for a damaged model folder.
    """
    chosen = out_path.suffix.removeprefix(".")
    if chosen not in ("gif", "mp4"):
        raise ConfigError(
            f"format of {out_path}",
            expected="gif or mp4",
            found=repr(chosen),
            next_step="name the file *.gif",
        )
    card = read_card(model_folder)
    facts = get_facts(card.game)
    model = load_world_model(model_folder)
    with cpu_threads(1):
        if isinstance(facts, Game):
            sample = play_sample(model, facts, player=player or "rule", num_frames=num_frames, seed=seed)
        else:
            reader = _recording(card, dataset, player)
            sample = _recorded_sample(model, reader, num_frames=num_frames, seed=seed)
    pictures = compose(sample, action_names=card.action_names, scale=_SCALE)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_path(out_path) as partial:
        (write_gif if chosen == "gif" else write_mp4)(pictures, partial, fps=card.fps)
    return out_path


def _recording(card: ModelCard, dataset: Path | None, player: str | None) -> ClipReader:
    if player is not None:
        raise ConfigError(
            f"player of {card.game}",
            expected="none: a recording goes on with the keys that were pressed in it",
            found=repr(player),
            next_step="leave --player out",
        )
    if dataset is None:
        raise ConfigError(
            f"the recording that a model of {card.game} was trained on",
            expected="its dataset in the store",
            found="none",
            next_step="build it again: `worldgen build` with the data of this model",
        )
    return ClipReader(dataset)


def _recorded_sample(model: WorldModel, reader: ClipReader, *, num_frames: int, seed: int) -> Sample:
    starts = recorded_starts(
        reader,
        seed=derive_seed(seed, "sample"),
        num_starts=1,
        horizon=num_frames,
        num_context_frames=model.num_context_frames,
    )
    dream = blank_dream(starts)
    dream_along(
        model, starts, np.zeros(1, np.int64), dream, gives_truth=False, seed=seed, count=lambda _: None
    )
    return sample_of(starts, dream, 0)
