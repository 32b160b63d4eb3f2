"""The path of `diamond-vae` on a tiny scrolling world: autoencoder, latents, denoiser, dream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from storage.clips import ClipReader
from storage.errors import StorageError
from storage.latents import LatentReader
from tests.direct_data import HEIGHT, INFO, WIDTH, make_dataset, make_episode
from tests.latent_data import (
    TINY_LOOP,
    autoencoder_settings,
    diamond_vae_settings,
    latent_space,
    make_autoencoder,
    make_latents,
)
from tests.unit.test_autoencoder_models import write_taesd
from worldgen_core.errors import CheckpointError, ConfigError, ContextLengthError
from worldgen_core.models.autoencoder import KlAutoencoder
from worldgen_core.models.card import WEIGHTS_FILE
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import (
    AUTOENCODER_WEIGHTS_FILE,
    TaesdArchitecture,
    load_latent_space,
    save_latent_space,
)
from worldgen_core.models.load import load_world_model
from worldgen_core.models.reward_head import REWARD_WEIGHTS_FILE
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.outcome import Outcome
from worldgen_core.progress import EventList, Progress, ProgressEvent, silent
from worldgen_core.training import autoencoder_settings as autoencoder_sizes
from worldgen_core.training import diamond_vae_settings as sizes
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.autoencoder_settings import AutoencoderSettings, LatentSettings
from worldgen_core.training.diamond_vae import train_diamond_vae
from worldgen_core.training.frame_batches import FrameSampler
from worldgen_core.training.latents import encode_latents
from worldgen_core.training.phases import make_phases, phase_at, warm


class _Interrupted(Exception):
    pass


def stop_at(num_frames: int) -> Progress:
    def progress(event: ProgressEvent) -> None:
        if event.done == num_frames:
            raise _Interrupted

    return progress


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="module")
def autoencoder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_autoencoder(dataset, tmp_path_factory.mktemp("tiny") / "autoencoder")


@pytest.fixture(scope="module")
def latents(dataset: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_latents(dataset, autoencoder, tmp_path_factory.mktemp("tiny") / "latents")


@pytest.fixture(scope="module")
def train(dataset: Path, autoencoder: Path, latents: Path) -> Callable[..., Outcome]:
    def run(folder: Path, *, start: Path | None = None, progress: Progress = silent) -> Outcome:
        out = folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        return train_diamond_vae(
            diamond_vae_settings(),
            dataset,
            latents,
            autoencoder,
            start,
            out=out,
            resume=folder / "resume",
            progress=progress,
        )

    return run


def run_autoencoder(
    settings: AutoencoderSettings, dataset: Path, folder: Path, progress: Progress = silent
) -> Outcome:
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    return train_autoencoder(settings, dataset, out=out, resume=folder / "resume", progress=progress)


def test_autoencoder_ends_with_the_same_bytes_after_two_interruptions(dataset: Path, tmp_path: Path) -> None:
    events = EventList()
    outcome = run_autoencoder(autoencoder_settings(), dataset, tmp_path / "whole", events)
    for stop in (12, 20):  # frames: after the third step, and after the fifth
        with pytest.raises(_Interrupted):
            run_autoencoder(autoencoder_settings(), dataset, tmp_path / "parts", stop_at(stop))
    run_autoencoder(autoencoder_settings(), dataset, tmp_path / "parts")
    whole = contents(tmp_path / "whole" / "out")
    assert whole == contents(tmp_path / "parts" / "out")
    assert set(outcome.figures) < whole.keys()
    assert outcome.headline == f"PSNR {outcome.metrics['psnr_db']:.1f} dB"
    assert [event.done for event in events.events] == [4, 8, 12, 16, 20, 24]
    assert len(whole["metrics.jsonl"].splitlines()) == 2


def test_autoencoder_learns_and_measures_its_latents(dataset: Path, tmp_path: Path) -> None:
    outcome = run_autoencoder(autoencoder_settings(60), dataset, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["picture"] < 0.75 * rows[0]["picture"]
    space = load_latent_space(tmp_path / "out")
    assert space.card.psnr_db == outcome.metrics["psnr_db"] > 14
    latents = make_latents(dataset, tmp_path / "out", tmp_path / "latents")
    z = torch.from_numpy(LatentReader(latents).map_shard(0).copy())
    assert z.mean().abs() < 0.2
    assert (z.std() - 1).abs() < 0.2


def test_background_is_the_median_frame_where_the_game_says_so(autoencoder: Path) -> None:
    network = load_latent_space(autoencoder).network
    assert isinstance(network, KlAutoencoder)
    sky = torch.tensor([80, 180, 220]) / 127.5 - 1
    torch.testing.assert_close(network.background[:, -1, -1], sky)


def test_frames_that_do_not_fit_the_factor_are_refused(dataset: Path, tmp_path: Path) -> None:
    settings = autoencoder_settings()
    kl = settings.architecture.settings.model_copy(update={"factor": 5})
    settings = settings.model_copy(
        update={"architecture": settings.architecture.model_copy(update={"settings": kl})}
    )
    with pytest.raises(ConfigError, match="multiples of 5"):
        run_autoencoder(settings, dataset, tmp_path)


def taesd_settings(folder: Path | None, num_steps: int, **changes: object) -> AutoencoderSettings:
    return AutoencoderSettings.model_validate(
        {
            "seed": 0,
            "architecture": TaesdArchitecture(settings=TaesdSettings(width=8)),
            "weights_folder": folder,
            "num_steps": num_steps,
            "batch_size": 2,
            "loop": TINY_LOOP,
            **changes,
        }
    )


def test_taesd_is_imported_as_it_is_or_only_its_decoder_tuned(dataset: Path, tmp_path: Path) -> None:
    network = Taesd(TaesdSettings(width=8)).half().float()
    write_taesd(tmp_path / "taesd", network)
    run_autoencoder(taesd_settings(tmp_path / "taesd", 0), dataset, tmp_path / "plain")
    plain = load_latent_space(tmp_path / "plain" / "out").network.state_dict()
    assert all(torch.equal(plain[name], value) for name, value in network.state_dict().items())
    settings = taesd_settings(tmp_path / "taesd", 2, trains_encoder=False)
    run_autoencoder(settings, dataset, tmp_path / "tuned")
    tuned = load_latent_space(tmp_path / "tuned" / "out").network.state_dict()
    changed = {name for name, value in tuned.items() if not torch.equal(value, plain[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_weights_of_another_size_or_kind_are_refused(dataset: Path, tmp_path: Path) -> None:
    write_taesd(tmp_path / "taesd", Taesd(TaesdSettings(width=16)))
    with pytest.raises(ConfigError, match="width=16"):
        run_autoencoder(taesd_settings(tmp_path / "taesd", 0), dataset, tmp_path)
    with pytest.raises(ValidationError, match="weights_folder"):
        autoencoder_settings().model_validate(
            {**autoencoder_settings().model_dump(), "weights_folder": tmp_path}
        )


def test_latents_are_those_of_the_encoder_in_the_datasets_order(
    dataset: Path, autoencoder: Path, tmp_path: Path
) -> None:
    events = EventList()
    settings = LatentSettings(num_threads=1, device="cpu")
    outcome = encode_latents(
        settings, dataset, autoencoder, out=tmp_path, resume=tmp_path / "resume", progress=events
    )
    reader, latents, space = ClipReader(dataset), LatentReader(tmp_path), load_latent_space(autoencoder)
    assert list(latents.episodes) == [row.episode_id for row in reader.episodes()]
    frames = torch.from_numpy(reader.read("e2", 30, 5).frames).permute(0, 3, 1, 2) / 127.5 - 1
    read = torch.from_numpy(latents.read("e2", 30, 5))
    torch.testing.assert_close(read, space.encode(frames), rtol=2e-3, atol=2e-3)
    assert outcome.headline == "360 latents of 4x8x6"
    assert events.events[-1].done == events.events[-1].total == 360


def test_an_autoencoder_of_another_frame_size_is_refused(dataset: Path, tmp_path: Path) -> None:
    save_latent_space(latent_space(height=16, width=8), tmp_path)
    with pytest.raises(ConfigError, match=f"{HEIGHT} x {WIDTH}"):
        encode_latents(
            LatentSettings(), dataset, tmp_path, out=tmp_path / "out", resume=tmp_path, progress=silent
        )


def test_training_ends_with_the_same_bytes_after_two_interruptions(
    train: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = train(tmp_path / "whole")
    for stop in (9, 25):  # frames: after the third step, and after the fifth
        with pytest.raises(_Interrupted):
            train(tmp_path / "parts", progress=stop_at(stop))
    train(tmp_path / "parts")
    whole = contents(tmp_path / "whole" / "out")
    assert whole == contents(tmp_path / "parts" / "out")
    names = {"model.json", WEIGHTS_FILE, "autoencoder.json", AUTOENCODER_WEIGHTS_FILE, "metrics.jsonl"}
    assert whole.keys() == names | {REWARD_WEIGHTS_FILE, "curves.png"}
    card = json.loads(whole["model.json"])
    assert card["model"] == "diamond-vae"
    assert outcome.metrics["num_parameters"] == card["num_parameters"]["total"]
    assert outcome.headline.startswith("loss ")


def dream(model: DiamondVaeWorldModel, dataset: Path, *, rows: int, seed: int = 0) -> torch.Tensor:
    clip = torch.from_numpy(ClipReader(dataset).read("e0", 0, 2).frames)
    model.reset(clip[None].expand(rows, -1, -1, -1, -1), torch.zeros(rows, 1, dtype=torch.int64), seed=seed)
    steps = [model.step(torch.full((rows,), t % 2, dtype=torch.int64)) for t in range(3)]
    ends = [step.terminated for step in steps]
    assert all(end is not None and end.shape == (rows,) and ((end >= 0) & (end <= 1)).all() for end in ends)
    return torch.stack([step.frame for step in steps], dim=1)


def test_the_folder_dreams(train: Callable[..., Outcome], dataset: Path, tmp_path: Path) -> None:
    train(tmp_path)
    model = load_world_model(tmp_path / "out")
    assert isinstance(model, DiamondVaeWorldModel)
    assert model.takes_chance_from_truth
    assert (model.num_context_frames, model.num_actions, model.frame_shape) == (2, 2, (HEIGHT, WIDTH))
    frames = dream(model, dataset, rows=2)
    assert frames.shape == (2, 3, HEIGHT, WIDTH, 3)
    assert torch.equal(frames, dream(model, dataset, rows=2))
    assert not torch.equal(frames[0], frames[1]), "each row has its own noise"
    assert not torch.equal(frames, dream(model, dataset, rows=2, seed=1))
    alone = dream(model, dataset, rows=1)[0].int()
    assert (alone - frames[0].int()).abs().max() <= 1, "a row does not depend on the others"
    with pytest.raises(ContextLengthError, match="2 context frames"):
        model.reset(torch.zeros(1, 3, HEIGHT, WIDTH, 3, dtype=torch.uint8), torch.zeros(1, 2).long(), seed=0)


def test_training_goes_on_from_a_model_whose_folder_is_its_autoencoder(
    train: Callable[..., Outcome], dataset: Path, latents: Path, tmp_path: Path
) -> None:
    train(tmp_path / "first")
    first = tmp_path / "first" / "out"
    (tmp_path / "second").mkdir()
    train_diamond_vae(
        diamond_vae_settings(),
        dataset,
        latents,
        first,
        first,
        out=tmp_path / "second",
        resume=tmp_path / "resume",
        progress=silent,
    )
    assert json.loads((tmp_path / "second" / "model.json").read_text())["training"]["num_steps"] == 3


def test_a_start_of_another_kind_or_with_other_latents_is_refused(
    train: Callable[..., Outcome], tmp_path: Path
) -> None:
    train(tmp_path / "first")
    first = tmp_path / "first" / "out"
    card, space = first / "model.json", first / "autoencoder.json"
    changed = json.loads(space.read_text())
    changed["statistics"]["mean"][0] += 1
    space.write_text(json.dumps(changed))
    with pytest.raises(ConfigError, match="its latents are all that the model knows"):
        train(tmp_path / "second", start=first)
    card.write_text(card.read_text().replace('"model": "diamond-vae"', '"model": "direct"'))
    with pytest.raises(ConfigError, match="expected a diamond-vae model; found direct"):
        train(tmp_path / "third", start=first)


def test_latents_of_other_episodes_are_refused(autoencoder: Path, latents: Path, tmp_path: Path) -> None:
    fewer = make_dataset(tmp_path / "fewer", num_episodes=5)
    with pytest.raises(StorageError, match="5 episodes"):
        train_diamond_vae(
            diamond_vae_settings(),
            fewer,
            latents,
            autoencoder,
            None,
            out=tmp_path,
            resume=tmp_path / "resume",
            progress=silent,
        )


def test_damaged_model_files_are_named(train: Callable[..., Outcome], tmp_path: Path) -> None:
    train(tmp_path)
    out = tmp_path / "out"
    good = (out / AUTOENCODER_WEIGHTS_FILE).read_bytes()
    save_file({"other": torch.zeros(1)}, out / AUTOENCODER_WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=AUTOENCODER_WEIGHTS_FILE):
        load_world_model(out)
    (out / AUTOENCODER_WEIGHTS_FILE).write_bytes(good)
    card = json.loads((out / "model.json").read_text())
    card["settings"]["sampler"] = {"method": "guess"}
    (out / "model.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="those of a diamond-vae model"):
        load_world_model(out)


def test_frames_come_once_an_epoch_and_from_their_own_split(dataset: Path) -> None:
    reader = ClipReader(dataset)
    sampler = FrameSampler(reader, "train")
    assert sampler.num_frames == 240
    seen = torch.cat([sampler.batch(step, batch_size=40, seed=3) for step in range(6)])
    everything = torch.cat([torch.from_numpy(make_episode(seed).frames) for seed in (1, 2, 3, 5)])
    assert torch.equal(seen.flatten(1).sum(1).sort().values, everything.flatten(1).sum(1).sort().values)
    assert torch.equal(
        FrameSampler(reader, "validation").spread(1)[0], torch.from_numpy(make_episode(0).frames[0])
    )
    assert len(sampler.spread(1000)) == 240


def test_a_split_without_frames_is_refused(tmp_path: Path) -> None:
    from storage.shards import write_dataset

    write_dataset(tmp_path, INFO, [make_episode(1)])
    with pytest.raises(ConfigError, match="validation frames"):
        FrameSampler(ClipReader(tmp_path), "validation")


def test_phases_follow_each_other() -> None:
    phases = make_phases((1, 8, 2), (4, 2, 3))
    assert [phase_at(phases, train_step).unroll for train_step in range(7)] == [1, 1, 4, 4, 4, 4, 4]


def test_training_on_keeps_the_long_dreams_at_lower_rates() -> None:
    settings = sizes.laptop()
    changed = warm(settings)
    assert all(phase.unroll >= settings.warm_min_unroll for phase in changed.phases)
    assert changed.loop.optimizer.rate == pytest.approx(0.3 * settings.loop.optimizer.rate)
    short = settings.model_copy(update={"phases": make_phases((1, 8, 5))})
    assert warm(short).phases == short.phases


def test_paper_is_the_published_size() -> None:
    architecture = sizes.paper().architecture
    with torch.device("meta"):
        network = LatentDenoiser(architecture, latent_shape=(4, 40, 30), num_actions=2)
    assert sum(weight.numel() for weight in network.unet.parameters()) == 73_830_788
    assert autoencoder_sizes.paper().architecture == TaesdArchitecture()


def test_profiles_grow() -> None:
    smoke, laptop, paper = sizes.smoke(), sizes.laptop(), sizes.paper()
    assert smoke.num_steps < laptop.num_steps < paper.num_steps
    steps = [make().num_steps for make in (autoencoder_sizes.smoke, autoencoder_sizes.laptop)]
    assert steps[0] < steps[1] < autoencoder_sizes.paper().num_steps
    assert {
        make().dtype
        for make in (
            autoencoder_sizes.latent_smoke,
            autoencoder_sizes.latent_laptop,
            autoencoder_sizes.latent_paper,
        )
    } == {"float16"}
