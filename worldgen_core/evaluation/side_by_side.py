"""The stage side_by_side: the game and several models, from one start under the same actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.clips import ClipReader
from worldgen_core.evaluation.dream import blank_dream, dream_along
from worldgen_core.evaluation.pictures import STRIP_FRAMES, Strip, write_strips
from worldgen_core.evaluation.recorded import recorded_starts
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.evaluation.starts import Starts, draw_starts
from worldgen_core.games.catalogue import get_facts, get_game
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.seeds import derive_seed

PICTURE_FILE = "side_by_side.png"
_NUM_STARTS = 8
_HORIZON = 64


def side_by_side(
    settings: EvaluateSettings,
    dataset: Path,
    models: Mapping[str, Path],
    *,
    out: Path,
    progress: Progress,
) -> Outcome:
    """Write a row a model below the game's own, a column a horizon, for two starts that live long.

    Every model gets the same true frames and actions, as many as it looks back on.
    Raises: CheckpointError for a damaged model.
    """
    opened = {name: load_world_model(folder, settings.device) for name, folder in models.items()}
    starts = _starts(settings, ClipReader(dataset), max(one.num_context_frames for one in opened.values()))
    afters = [after for after in STRIP_FRAMES if after <= starts.action.shape[1]]
    strips: list[Strip] = []
    dreams: dict[str, np.ndarray] = {}
    for done, (name, model) in enumerate(opened.items()):
        progress(ProgressEvent("models dreamt", done, len(opened)))
        dreams[name] = _dream(settings, model, starts)
    progress(ProgressEvent("models dreamt", len(opened), len(opened)))
    for row in range(len(starts.action)):
        rows = {"game": starts.truth, **dreams}
        begin = starts.context[row, -1]
        strips += [
            (name, [begin if after == 0 else frames[row, after - 1] for after in afters])
            for name, frames in rows.items()
        ]
    write_strips(strips, [str(after) for after in afters], out / PICTURE_FILE, scale=2)
    return Outcome(
        metrics={"models": list(models), "afters": afters},
        headline=f"{len(models)} models from the same {len(starts.action)} starts",
        figures=(PICTURE_FILE,),
    )


def _starts(settings: EvaluateSettings, reader: ClipReader, num_context_frames: int) -> Starts:
    """The two of a few held-out starts that live longest, the first of equals."""
    seed = derive_seed(settings.seed, "side by side")
    if settings.truth == "simulator":
        found = draw_starts(
            get_game(settings.game),
            seed=seed,
            num_starts=_NUM_STARTS,
            horizon=_HORIZON,
            num_context_frames=num_context_frames,
        )
    else:
        found = recorded_starts(
            reader,
            seed=seed,
            num_starts=_NUM_STARTS,
            horizon=_HORIZON,
            num_context_frames=num_context_frames,
        )
    rows = np.sort(np.argsort(-found.death, kind="stable")[:2])
    return Starts(*(value[rows] for value in vars(found).values()))


def _dream(settings: EvaluateSettings, model: WorldModel, starts: Starts) -> np.ndarray:
    num = model.num_context_frames
    own = replace(
        starts,
        context=starts.context[:, -num:],
        context_action=starts.context_action[:, starts.context_action.shape[1] - num + 1 :],
    )
    dream = blank_dream(own)
    dream_along(
        model,
        own,
        np.arange(len(own.action)),
        dream,
        gives_truth=get_facts(settings.game).assumptions.new_content != "anywhere",
        seed=derive_seed(settings.seed, "side by side", "dream"),
        count=lambda _: None,
    )
    return dream.frames
