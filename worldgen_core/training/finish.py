"""The end that all trainings of world models share: a model folder of weights, card, metrics and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from storage.records import DatasetInfo
from worldgen_core.models.card import ModelCard, write_card, write_weights
from worldgen_core.outcome import Outcome
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.loop import TrainingRun


def write_model(
    out: Path,
    *,
    model: str,
    info: DatasetInfo,
    settings: Mapping[str, Any],
    num_parameters: Mapping[str, int],
    weights: Mapping[str, Mapping[str, Tensor]],
    digests: Mapping[str, str] | None = None,
    run: TrainingRun,
    num_steps: int,
    seed: int,
    curves: Sequence[str],
    result: str = "",
) -> Outcome:
    """Write a model folder into `out`, the card last, and say how the training went.

    `weights` are the files to write, by name, with their tensors; `digests` those of weights files that are
    there already. `curves` names the losses to draw, of which those that were logged are. `result` says in
    words what came out, beside the loss.
    """
    last = run.rows[-1] if run.rows else {}
    write_metrics(out, run.rows)
    if run.rows:
        shown = [name for name in curves if name in run.rows[0]]
        write_curves(out, run.rows, names=shown, title=f"{model} on {info.name}")
    written = {name: write_weights(out, tensors, file_name=name) for name, tensors in weights.items()}
    card = ModelCard(
        model=model,
        game=info.game,
        action_names=info.action_names,
        height=info.height,
        width=info.width,
        fps=info.fps,
        settings=dict(settings),
        num_parameters=dict(num_parameters),
        dataset={"name": info.name, "num_episodes": info.num_episodes, "num_frames": info.num_frames},
        training={"num_steps": num_steps, "seed": seed, **last},
        weights_sha256={**written, **(digests or {})},
    )
    write_card(out, card)
    return Outcome(
        metrics={"num_parameters": num_parameters["total"], **last},
        notes={"steps_per_s": run.steps_per_s},
        headline=_headline(last, num_steps, result),
        figures=(CURVES_FILE,) if run.rows else (),
    )


def _headline(last: Mapping[str, Any], num_steps: int, result: str) -> str:
    if not last:
        return "no step was logged"
    loss = f"loss {last['loss']:.4f}"
    return f"{result}, {loss}" if result else f"{loss} after {num_steps} steps"
