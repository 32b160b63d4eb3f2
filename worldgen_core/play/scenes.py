"""What a model's backends are measured with before it is played: a held-out start of its dataset."""

from __future__ import annotations

from pathlib import Path

from storage.clips import ClipReader
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.play.starts import held_out_starts
from worldgen_core.runtime.open import SceneOf
from worldgen_core.runtime.scene import Scene, noise_scene, recorded_scene


def scene_of_dataset(dataset: Path | None) -> SceneOf:
    """A held-out start of the dataset; noise where the dataset is gone or holds nothing out."""

    def scene_of(model: TensorDreams) -> Scene:
        if dataset is None:
            return noise_scene(model)
        reader = ClipReader(dataset)
        facts, length = get_facts(reader.info.game), model.num_context_frames
        starts = held_out_starts(reader, facts, num_frames=length, num_starts=1)
        if not starts:
            return noise_scene(model)
        return recorded_scene(starts[0].frames, starts[0].actions, model.num_actions)

    return scene_of
