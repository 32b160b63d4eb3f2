"""The layered model from recorded walks to a dream, on a small drawn world whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from tests.tracking_world import ACTION_NAMES, SETTINGS, SPEED, TILE, VIEW, Walk, long_script, take_walk
from worldgen_core.errors import ConfigError, ContextLengthError
from worldgen_core.models.card import read_card
from worldgen_core.models.interface import CanRestart, WorldModel
from worldgen_core.models.layered import LayeredWorldModel
from worldgen_core.models.layered_mover import MoverArchitecture
from worldgen_core.models.layered_network import LayeredArchitecture, TileArchitecture
from worldgen_core.models.load import load_world_model
from worldgen_core.outcome import Outcome
from worldgen_core.progress import ProgressEvent, silent
from worldgen_core.training.layered import train_layered
from worldgen_core.training.layered_atlas import AtlasSettings, make_atlas
from worldgen_core.training.layered_moves_settings import MoverLossSettings
from worldgen_core.training.layered_scenes import Scene, find_scenes, track_episodes, usual_speed
from worldgen_core.training.layered_settings import LayeredSettings
from worldgen_core.training.layered_windows import WindowSettings
from worldgen_core.training.loop_settings import LoopSettings

NUM_CONTEXT = 6
FILES = ["curves.png", "metrics.jsonl", "model.json", "model.safetensors"]


class _Interrupted(Exception):
    pass


def tiny_settings(num_steps: int = 4, **changes: object) -> LayeredSettings:
    settings = LayeredSettings(
        tracking=SETTINGS,
        architecture=LayeredArchitecture(
            tiles=TileArchitecture(rows=13, columns=15, embedding=8, channels=24, temperature=0.0),
            mover=MoverArchitecture(channels=16, overview_channels=8, width=48),
            num_context_frames=NUM_CONTEXT,
        ),
        atlas=AtlasSettings(look_every=2),
        windows=WindowSettings(batch_size=4),
        moves=MoverLossSettings(batch=32),
        num_steps=num_steps,
        loop=LoopSettings(
            warmup_steps=10, checkpoint_every=2, log_every=2, num_threads=1, device="cpu", ema_decay=0.9
        ),
    )
    return settings.model_copy(update=changes)


def episode_of(walk: Walk, episode_id: str) -> Episode:
    num = len(walk.frames)
    return Episode(
        episode_id=episode_id,
        source="{}",
        split="train",
        frames=walk.frames,
        action=walk.actions.astype(np.int64),
        reward=np.zeros(num, np.float32),
        terminated=np.zeros(num, bool),
        truncated=np.zeros(num, bool),
        pts=np.arange(num),
        source_frame=np.arange(num),
    )


@pytest.fixture(scope="module")
def walks() -> list[Walk]:
    return [take_walk(long_script(24, seed=seed)) for seed in range(2)]


@pytest.fixture(scope="module")
def dataset(walks: list[Walk], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walks(tmp_path_factory.mktemp("layered") / "dataset", walks)


@pytest.fixture(scope="module")
def short_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walks(tmp_path_factory.mktemp("short") / "dataset", [take_walk(long_script(14, seed=0))])


def write_walks(folder: Path, walks: list[Walk]) -> Path:
    info = DatasetInfo("overworld", "drawn", *VIEW, 15.0, ACTION_NAMES)
    write_dataset(folder, info, (episode_of(walk, f"walk-{i}") for i, walk in enumerate(walks)))
    return folder


@pytest.fixture(scope="module")
def scenes(dataset: Path) -> list[Scene]:
    tracked, bank = track_episodes(ClipReader(dataset), "train", SETTINGS, num_threads=1, progress=silent)
    return find_scenes(tracked, bank, SETTINGS)


def train(
    dataset: Path, folder: Path, settings: LayeredSettings, *, start: Path | None = None, stop: int = 0
) -> Outcome:
    def progress(event: ProgressEvent) -> None:
        if event.label == "windows and moves" and event.done == stop:
            raise _Interrupted

    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    return train_layered(settings, dataset, start, out=out, resume=folder / "resume", progress=progress)


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    loop = tiny_settings().loop.model_copy(update={"checkpoint_every": 500, "log_every": 50})
    train(dataset, folder, tiny_settings(250, loop=loop))
    return folder / "out"


def test_scenes_know_camera_motion_and_grid(scenes: list[Scene], walks: list[Walk]) -> None:
    assert [len(scene.frames) for scene in scenes] == [len(walk.frames) for walk in walks]
    for scene, walk in zip(scenes, walks, strict=True):
        assert (scene.camera == walk.camera - walk.camera[0]).all()
        truth = np.diff(walk.place + walk.camera, axis=0, prepend=(walk.place + walk.camera)[:1])
        assert (scene.motion == truth)[scene.motion_known].mean() > 0.99
        assert scene.motion_known.mean() > 0.9
        assert scene.is_on_grid
    assert usual_speed(scenes) == SPEED


def test_the_atlas_finds_the_drawn_grid_and_few_tiles(scenes: list[Scene], walks: list[Walk]) -> None:
    atlas = make_atlas(scenes, TILE, AtlasSettings(look_every=2), seed=0)
    for scene, walk in zip(atlas.scenes, walks, strict=True):
        assert ((scene.grid + walk.camera[0]) % TILE == 0).all()
    assert 8 <= len(atlas.book) <= 12  # the world has eight kinds of tiles
    counts = torch.bincount(torch.cat([own.ids[own.ids >= 0] for own in atlas.maps]))
    assert counts.sort(descending=True).values[:8].sum() / counts.sum() > 0.98


def test_the_dream_follows_the_game(trained: Path, walks: list[Walk]) -> None:
    model, walk = load_world_model(trained), walks[0]
    assert isinstance(model, WorldModel)
    assert isinstance(model, CanRestart)
    frames, actions = torch.tensor(walk.frames), torch.tensor(walk.actions)
    model.reset(frames[None, :NUM_CONTEXT], actions[None, : NUM_CONTEXT - 1], seed=0)
    errors, still = [], []
    last = frames[NUM_CONTEXT - 1].float()
    for index in range(NUM_CONTEXT, NUM_CONTEXT + 24):
        prediction = model.step(actions[index - 1][None])
        assert prediction.reward is None
        assert prediction.terminated is None
        errors.append(float((prediction.frame[0].float() - frames[index].float()).square().mean()))
        still.append(float((last - frames[index].float()).square().mean()))
    assert np.mean(errors[:8]) < 60
    assert np.mean(errors) < np.mean(still) / 3, (errors, still)


def test_the_same_seed_gives_the_same_dream_and_restarts_leave_others_alone(
    trained: Path, walks: list[Walk]
) -> None:
    walk = walks[1]
    clips = torch.tensor(np.stack([walk.frames[at : at + NUM_CONTEXT] for at in (0, 40)]))
    actions = torch.tensor(np.stack([walk.actions[at : at + NUM_CONTEXT - 1] for at in (0, 40)]))
    action = torch.tensor([1, 4])

    def dream(num_frames: int, restart_at: int = -1) -> list[torch.Tensor]:
        model = load_world_model(trained)
        model.reset(clips, actions, seed=3)
        seen = []
        for index in range(num_frames):
            if index == restart_at:
                assert isinstance(model, CanRestart)
                model.restart(torch.tensor([1]), clips[:1], actions[:1], seed=4)
            seen.append(model.step(action).frame)
        return seen

    plain, again, restarted = dream(12), dream(12), dream(12, restart_at=6)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(plain, restarted, strict=True))
    assert not torch.equal(plain[-1][1], restarted[-1][1])


def test_twins_share_what_is_learnt_and_dream_apart(trained: Path, walks: list[Walk]) -> None:
    model = load_world_model(trained)
    assert isinstance(model, LayeredWorldModel)
    twins = [model.twin(), model.twin()]
    seen: list[list[torch.Tensor]] = []
    for at in (0, 40):
        begin(model, walks[1], at)
        seen.append([model.step(torch.tensor([1])).frame for _ in range(6)])
    for at, twin in zip((0, 40), twins, strict=True):
        begin(twin, walks[1], at)
    for index in range(6):
        for frames, twin in zip(seen, twins, strict=True):
            assert torch.equal(twin.step(torch.tensor([1])).frame, frames[index])


def begin(model: LayeredWorldModel, walk: Walk, at: int) -> None:
    clip = torch.tensor(walk.frames[None, at : at + NUM_CONTEXT])
    model.reset(clip, torch.tensor(walk.actions[None, at : at + NUM_CONTEXT - 1]), seed=3)


def test_a_context_of_another_length_is_refused(trained: Path, walks: list[Walk]) -> None:
    model = load_world_model(trained)
    with pytest.raises(ContextLengthError, match=f"expected {NUM_CONTEXT} context frames; found 3"):
        model.reset(torch.tensor(walks[0].frames[None, :3]), torch.zeros(1, 2, dtype=torch.int64), seed=0)


def test_two_interruptions_leave_the_same_bytes_as_none(short_dataset: Path, tmp_path: Path) -> None:
    outcome = train(short_dataset, tmp_path / "whole", tiny_settings())
    for stop in (36 * 2, 36 * 3):
        with pytest.raises(_Interrupted):
            train(short_dataset, tmp_path / "parts", tiny_settings(), stop=stop)
    train(short_dataset, tmp_path / "parts", tiny_settings())
    whole, parts = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "out").iterdir()}
        for name in ("whole", "parts")
    )
    assert sorted(whole) == FILES
    assert whole == parts
    card = json.loads(whole["model.json"])
    assert f"{card['settings']['num_tiles']} tiles" in outcome.headline


@pytest.mark.slow
def test_training_on_keeps_what_was_learnt(dataset: Path, trained: Path, tmp_path: Path) -> None:
    outcome = train(dataset, tmp_path, tiny_settings(2), start=trained)
    fresh = train(dataset, tmp_path / "fresh", tiny_settings(2))
    assert outcome.metrics["tiles"] < fresh.metrics["tiles"] / 2
    assert outcome.metrics["motion"] < fresh.metrics["motion"] / 2


def test_a_start_of_another_kind_or_size_is_refused(dataset: Path, trained: Path, tmp_path: Path) -> None:
    larger = tiny_settings().architecture.model_copy(update={"mover": MoverArchitecture(channels=24)})
    with pytest.raises(ConfigError, match="size of the model has changed"):
        train(dataset, tmp_path, tiny_settings(architecture=larger), start=trained)
    other = tmp_path / "other"
    other.mkdir()
    text = (trained / "model.json").read_text().replace('"model": "layered"', '"model": "direct"')
    (other / "model.json").write_text(text)
    assert read_card(other).model == "direct"
    with pytest.raises(ConfigError, match="expected a layered model; found direct"):
        train(dataset, tmp_path, tiny_settings(), start=other)


def test_a_game_without_a_scrolling_camera_is_refused(dataset: Path, tmp_path: Path) -> None:
    still = SETTINGS.model_copy(update={"scrolls": False})
    with pytest.raises(ConfigError, match=r"train `--model direct`.*layered\.tracking\.scrolls"):
        train(dataset, tmp_path, tiny_settings(tracking=still))
