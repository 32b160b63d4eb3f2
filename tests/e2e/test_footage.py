"""The recipe for footage at its smallest: from a folder of videos, or none, to a model; and nights after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from flows.building import BuildResult
from flows.cli.finding import find_model
from storage.artifacts import ArtifactStore
from storage.champions import read_champion
from storage.clips import ClipReader
from storage.errors import StorageError
from storage.manifest import Manifest
from tests.e2e.fingerprints import unseen_modules
from worldgen_core.config import Config, Overrides, make_config
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.sample import write_sample
from worldgen_core.games.base import Frame
from worldgen_core.models.load import load_world_model
from worldgen_core.names import ModelName
from worldgen_core.video.samples import make_sample

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MODELS: tuple[ModelName, ...] = ("direct", "layered")
SMALL: dict[str, Any] = {
    "sample": {"num_videos": 1, "num_frames": 2_400},
    "direct": {
        "architecture": {"channels": [8, 16]},
        "phases": [{"unroll": 2, "batch_size": 2, "num_steps": 4}],
        "loop": {"checkpoint_every": 4, "log_every": 1},
    },
    "layered": {
        "architecture": {
            "tiles": {"embedding": 4, "channels": 8},
            "mover": {"channels": 8, "overview_channels": 4, "width": 16},
        },
        "atlas": {"look_every": 20, "num_iterations": 1},
        "windows": {"batch_size": 2},
        "moves": {"batch": 8},
        "num_steps": 2,
        "loop": {"checkpoint_every": 2, "log_every": 1},
    },
    "evaluate": {
        **{"num_starts": 2, "horizon": 16, "sample_frames": 16, "num_stability_frames": 50},
        **{"num_games": 1, "game_frames": 10, "num_nearest_frames": 10},
    },
    "benchmark": {"num_warmup_frames": 1, "num_frames": 10, "num_repeats": 1},
}
"""Far below the sizes of profile smoke. A new model: a word in MODELS, a section here, two lines in CORES."""

CORES = {
    "make_sample": "tests.e2e.audit:record_sample",
    "slice_video": "worldgen_core.video.slicing:slice_video",
    "slice_videos": "tests.e2e.audit:join_slices",
    "train_model/direct": "worldgen_core.training.direct:train_direct",
    "train_model/layered": "worldgen_core.training.layered:train_layered",
    "evaluate/layered": "worldgen_core.evaluation.evaluate:evaluate",
    "evaluate/direct": "worldgen_core.evaluation.evaluate:evaluate",
}


def build(data: str, model: ModelName) -> BuildResult:
    from flows.pokemon import build_pokemon

    return build_pokemon(profile="smoke", model=model, data=data, device="cpu", overrides=Overrides(**SMALL))


def config_of(data: str, model: ModelName = "direct") -> Config:
    return make_config("pokemon", "smoke", model=model, data=data, device="cpu", overrides=SMALL)


@pytest.fixture(scope="module")
def site(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store, a folder `city` of one video, two more videos, and no data/pokemon."""
    root = tmp_path_factory.mktemp("footage")
    make_sample(root / "more", seed=1, num_videos=3, num_frames=800)
    (root / "city").mkdir()
    add_video(root, "town-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldgen_core.video.footage.project_root", lambda: root)
        patch.setenv("WORLDGEN_STORE", str(root / "store"))
        yield root


def add_video(root: Path, name: str) -> None:
    for ending in (".mp4", ".txt"):
        shutil.copy(root / "more" / f"{name}{ending}", root / "city")


@pytest.fixture(scope="module")
def sampled(site: Path) -> dict[str, BuildResult]:
    """What `auto` builds where there is no footage."""
    return {model: build("auto", model) for model in MODELS}


@pytest.fixture(scope="module")
def filmed(site: Path, sampled: dict[str, BuildResult]) -> BuildResult:
    """The folder's build, beside the sample's."""
    return build(str(site / "city"), "direct")


@pytest.fixture
def store(site: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    monkeypatch.setenv("WORLDGEN_STORE", str(site / "store"))
    return ArtifactStore(site / "store")


def states(result: BuildResult) -> dict[str, str]:
    return {line.unit or line.stage: line.state for line in result.stages}


def manifest_of(result: BuildResult, stage: str) -> Manifest:
    return next(line.manifest for line in result.stages if line.stage == stage and line.manifest)


@pytest.mark.parametrize("model", MODELS)
def test_the_sample_is_recorded_sliced_and_learned(
    sampled: dict[str, BuildResult], store: ArtifactStore, model: ModelName
) -> None:
    found = states(sampled[model])
    assert list(found) == [
        *("make_sample", "town-1", "slice_videos", "train_upsampler", "train_autoencoder", "encode_latents"),
        *("finetune_decoder", "distil_decoder", "train_model", "attach_decoder"),
        *("evaluate", "benchmark", "publish"),
    ]
    assert found["train_model"] == found["evaluate"] == "built"
    champion = read_champion(store.root, "pokemon", "sample")
    assert champion is not None
    assert champion.model in [result.learned.model for result in sampled.values()]
    report = store.path(sampled[model].learned.report)
    assert {"report.json", "report.md", "sample.gif", "filmstrip.png"} <= {
        path.name for path in report.iterdir()
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_second_build_saves_all_work(
    sampled: dict[str, BuildResult], store: ArtifactStore, model: ModelName
) -> None:
    assert set(states(build("auto", model)).values()) <= {"cached", "not needed"}


@pytest.mark.parametrize("model", MODELS)
def test_the_dream_goes_on_for_100_frames(
    sampled: dict[str, BuildResult], store: ArtifactStore, model: ModelName
) -> None:
    dream = load_world_model(store.path(sampled[model].learned.model))
    frames, action = held_out(store.path(manifest_of(sampled[model], "slice_videos").ref))
    num = dream.num_context_frames
    dream.reset(torch.from_numpy(frames[None, :num]), torch.from_numpy(action[None, : num - 1]), seed=0)
    shown = [dream.step(torch.tensor([t % 5])).frame for t in range(100)]
    assert all(frame.dtype == torch.uint8 for frame in shown)
    assert tuple(shown[-1].shape) == (1, 80, 120, 3)
    assert not torch.equal(shown[0], shown[-1])


def test_a_recording_and_its_dream_are_written_side_by_side(
    filmed: BuildResult, sampled: dict[str, BuildResult], store: ArtifactStore, tmp_path: Path
) -> None:
    newest = find_model("pokemon", None, "")
    assert newest.model == store.path(filmed.learned.model), "the champion that was promoted last"
    assert find_model("pokemon", "sample", "").model != newest.model
    gif = write_sample(newest.model, tmp_path / "dream.gif", dataset=newest.dataset, num_frames=20)
    with Image.open(gif) as pictures:
        assert pictures.width > 2 * 3 * 120
    with pytest.raises(ConfigError, match="player of pokemon"):
        write_sample(newest.model, tmp_path / "dream.gif", dataset=newest.dataset, player="idle")
    with pytest.raises(ConfigError, match="in the store"):
        write_sample(newest.model, tmp_path / "dream.gif")
    with pytest.raises(StorageError, match="dataset nowhere"):
        find_model("pokemon", "nowhere", "")


def held_out(dataset: Path) -> tuple[Frame, np.ndarray]:
    reader = ClipReader(dataset)
    row = next(row for row in reader.episodes() if row.split == "validation")
    episode = reader.read_episode(row.episode_id)
    return episode.frames, episode.action


def test_a_folder_gives_a_model_of_its_own_beside_the_sample(
    sampled: dict[str, BuildResult], filmed: BuildResult, store: ArtifactStore
) -> None:
    assert states(filmed)["make_sample"] == "not needed"
    city, sample = (read_champion(store.root, "pokemon", name) for name in ("city", "sample"))
    assert city is not None
    assert sample is not None
    assert city.model == filmed.learned.model != sample.model


def test_nights_train_on_where_there_is_a_new_video_and_only_there(
    site: Path, filmed: BuildResult, store: ArtifactStore
) -> None:
    first = night(str(site / "city"))
    assert set(states(first).values()) == {"cached", "not needed"}
    assert first.learned.model == filmed.learned.model

    add_video(site, "town-2")
    (site / "city" / "broken.mp4").write_bytes(b"no video")
    (site / "city" / "broken.txt").write_text("none\n")
    second = night(str(site / "city"))
    found = states(second)
    assert (found["town-1"], found["town-2"], found["broken"]) == ("cached", "built", "built")
    start = manifest_of(second, "train_model").key_parts.inputs["start"]
    assert start == filmed.learned.model.digest
    measured = [
        line.manifest.key_parts.inputs for line in second.stages if line.stage == "evaluate" and line.manifest
    ]
    assert len({inputs["dataset"] for inputs in measured}) == 1
    assert [inputs["model"] for inputs in measured] == [start, second.learned.model.digest]
    champion = read_champion(store.root, "pokemon", "city")
    assert champion is not None
    assert (champion.model == second.learned.model) == second.promoted

    third = night(str(site / "city"))
    assert set(states(third).values()) == {"cached", "not needed"}
    lines = (store.root / "refs" / "pokemon" / "city" / "nights.jsonl").read_text().splitlines()
    nights = [json.loads(line) for line in lines]
    assert [record["round"] for record in nights] == [1, 2, 3]
    assert (nights[0]["new"], nights[0]["reasons"]) == ([], ["nothing new since the champion was trained"])
    assert set(nights[1]["new"]) == {"input: new broken", "input: new town-2"}
    assert nights[1]["promoted"] == second.promoted
    assert nights[1]["reasons"]
    assert bool(nights[2]["new"]) != second.promoted
    assert not nights[0]["promoted"]
    assert not nights[2]["promoted"]


def test_nights_of_the_sample_have_nothing_to_learn(
    site: Path, sampled: dict[str, BuildResult], store: ArtifactStore
) -> None:
    """The sample never grows."""
    result = night("auto")
    assert states(result)["train_model"] == "not needed"
    assert set(states(result).values()) == {"cached", "not needed"}


def night(data: str) -> BuildResult:
    from flows.nightly import nightly_retrain

    return nightly_retrain(
        game="pokemon", profile="smoke", data=data, device="cpu", overrides=Overrides(**SMALL)
    )


@pytest.mark.parametrize("stage_name", sorted(CORES))
def test_fingerprint_sees_every_module_that_a_stage_loads(
    sampled: dict[str, BuildResult], store: ArtifactStore, tmp_path: Path, stage_name: str
) -> None:
    stage, _, name = stage_name.partition("/")
    model = MODELS[[*map(str, MODELS)].index(name)] if name else MODELS[0]
    config, manifest = config_of("auto", model), manifest_of(sampled[model], stage)
    settings = {
        "make_sample": config.sample,
        "slice_video": config.sources[0],
        "slice_videos": config.slices,
        "train_model": config.train,
        "evaluate": config.evaluate,
    }[stage]
    by_digest = {item.digest: item for item in store.manifests()}
    folders = {
        key: str(store.path(by_digest[digest].ref)) for key, digest in manifest.key_parts.inputs.items()
    }
    inputs = {
        "make_sample": [],
        "slice_video": [f"{folders.get('sample')}/videos"],
        "slice_videos": list(folders.values()),
        "train_model": [folders.get("dataset", ""), ""],
        "evaluate": [folders.get("model", ""), folders.get("dataset", "")],
    }[stage]
    assert unseen_modules(CORES[stage_name], settings, inputs, manifest, tmp_path) == []
