"""Decoders trained apart from the world model: they learn, resume exactly, and meet it in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.errors import StorageError
from tests.direct_data import HEIGHT, WIDTH, make_dataset
from tests.latent_data import (
    TINY_LOOP,
    autoencoder_settings,
    diamond_vae_settings,
    latent_space,
    make_latents,
)
from tests.unit.test_autoencoder_models import write_taesd
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.card import CARD_FILE, WEIGHTS_FILE
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.latent_space import (
    AUTOENCODER_CARD_FILE,
    AUTOENCODER_WEIGHTS_FILE,
    TaesdArchitecture,
    load_latent_space,
    save_latent_space,
)
from worldgen_core.models.light_decoder import LightDecoderSettings
from worldgen_core.models.load import load_world_model
from worldgen_core.models.reward_head import REWARD_WEIGHTS_FILE
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent, silent
from worldgen_core.rows import Part, part_generator
from worldgen_core.training.attach_decoder import attach_decoder
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.autoencoder_settings import AutoencoderSettings
from worldgen_core.training.decoder_objective import DecoderObjective, Foreground, FrameLatents, Teacher
from worldgen_core.training.decoder_settings import (
    AttachDecoderSettings,
    DistilDecoderSettings,
    FinetuneDecoderSettings,
)
from worldgen_core.training.diamond_vae import train_diamond_vae
from worldgen_core.training.distil_decoder import distil_decoder
from worldgen_core.training.finetune_decoder import finetune_decoder

ANY = AttachDecoderSettings(max_loss_db=60.0)
TINY = LightDecoderSettings(width=8, num_blocks=1, fine_width=4, num_fine_blocks=0)
STAGES = {"finetune": finetune_decoder, "distil": distil_decoder}


class _Interrupted(Exception):
    pass


def stop_at(num_frames: int) -> Progress:
    def progress(event: ProgressEvent) -> None:
        if event.done == num_frames:
            raise _Interrupted

    return progress


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def settings(stage: str, num_steps: int = 6) -> Any:
    shared = {"num_steps": num_steps, "batch_size": 4, "num_validation_frames": 16, "loop": TINY_LOOP}
    if stage == "finetune":
        return FinetuneDecoderSettings.model_validate(shared)
    return DistilDecoderSettings.model_validate({**shared, "architecture": TINY})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, an autoencoder that has learned something, its latents, and a world model of them."""
    root = tmp_path_factory.mktemp("decoders")
    dataset = make_dataset(root / "dataset")
    for name in ("autoencoder", "model"):
        (root / name).mkdir()
    train_autoencoder(
        autoencoder_settings(80), dataset, out=root / "autoencoder", resume=root / "r1", progress=silent
    )
    latents = make_latents(dataset, root / "autoencoder", root / "latents")
    train_diamond_vae(
        diamond_vae_settings(),
        *(dataset, latents, root / "autoencoder", None),
        out=root / "model",
        resume=root / "r2",
        progress=silent,
    )
    return root


def run(stage: str, folder: Path, out: Path, progress: Progress = silent, num_steps: int = 6) -> Outcome:
    (out / "out").mkdir(parents=True, exist_ok=True)
    return STAGES[stage](
        settings(stage, num_steps),
        *(folder / name for name in ("dataset", "latents", "autoencoder")),
        out=out / "out",
        resume=out / "resume",
        progress=progress,
    )


@pytest.mark.parametrize("stage", STAGES)
def test_two_interruptions_change_no_byte(stage: str, folder: Path, tmp_path: Path) -> None:
    outcome = run(stage, folder, tmp_path / "whole")
    for stop in (12, 20):  # frames: after the third step, and after the fifth
        with pytest.raises(_Interrupted):
            run(stage, folder, tmp_path / "parts", stop_at(stop))
    run(stage, folder, tmp_path / "parts")
    whole = contents(tmp_path / "whole" / "out")
    assert whole == contents(tmp_path / "parts" / "out")
    assert {
        *outcome.figures,
        AUTOENCODER_CARD_FILE,
        AUTOENCODER_WEIGHTS_FILE,
        "metrics.jsonl",
    } == whole.keys()


def test_a_light_decoder_comes_close_to_the_full_one(folder: Path, tmp_path: Path) -> None:
    outcome = run("distil", folder, tmp_path, num_steps=150)
    space = load_latent_space(tmp_path / "out")
    assert outcome.metrics["loss_db"] < 1
    assert outcome.metrics["full_psnr_db"] - outcome.metrics["psnr_db"] == outcome.metrics["loss_db"]
    assert space.card.light_decoder is not None
    assert space.card.light_decoder.psnr_db == outcome.metrics["psnr_db"]
    assert space.light_decoder is not None
    median = space.light_decoder.background[:, -1, -1]
    torch.testing.assert_close(median, torch.tensor([80, 180, 220]) / 127.5 - 1)
    share = outcome.metrics["full_flops"] / outcome.metrics["flops"]
    assert outcome.headline.endswith(f"below the full decoder, 1/{share:.0f} of its operations")


def test_fine_tuning_changes_the_decoder_alone_and_for_the_better(folder: Path, tmp_path: Path) -> None:
    outcome = run("finetune", folder, tmp_path, num_steps=60)
    assert outcome.metrics["psnr_db"] > outcome.metrics["psnr_before_db"] + 0.2
    before, after = load_latent_space(folder / "autoencoder"), load_latent_space(tmp_path / "out")
    assert after.card.psnr_db == outcome.metrics["psnr_db"]
    assert after.card.model_copy(update={"psnr_db": before.card.psnr_db}) == before.card
    tuned, old = after.network.state_dict(), before.network.state_dict()
    changed = {name for name, value in old.items() if not torch.equal(value, tuned[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_the_teacher_is_asked_about_latents_a_little_off() -> None:
    asked: list[torch.Tensor] = []

    def teach(z: torch.Tensor) -> torch.Tensor:
        asked.append(z)
        return torch.full((len(z), 3, 4, 4), 2.0)

    frames, z = torch.full((3, 4, 4, 3), 255, dtype=torch.uint8), torch.zeros(3, 2, 1, 1)
    module = torch.nn.Conv2d(2, 2, 1)
    objective = DecoderObjective(
        module,
        lambda z: module(z).mean() * 0 + torch.zeros(len(z), 3, 4, 4),
        Foreground(torch.ones(3, 4, 4), weight=4.0, level=0.1),
        lambda _train_step: FrameLatents(frames, z),
        Teacher(teach, 0.25, 2, torch.tensor([1.0, 0.0])[:, None, None]),
    )
    losses = objective.loss(0, torch.Generator().manual_seed(0))
    # Truth and median are white: no foreground, and grey is 1 away. So is what the teacher says, clamped.
    assert float(losses["picture"]) == float(losses["teacher"]) == float(losses["loss"].detach()) == 1.0
    assert asked[0].shape == (2, 2, 1, 1)
    assert (asked[0][:, 0] != 0).all()
    assert (asked[0][:, 1] == 0).all()


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    torch.manual_seed(0)
    decoder, full = (torch.nn.ConvTranspose2d(2, 3, 2, stride=2) for _ in range(2))
    frames = torch.randint(0, 256, (5, 4, 6, 3), dtype=torch.uint8)
    batch = FrameLatents(frames, torch.randn(5, 2, 2, 3))
    teacher = Teacher(full, 0.5, 2, torch.full((2, 1, 1), 0.1))
    foreground = Foreground(torch.zeros(3, 4, 6), 4.0, 0.1)
    objective = DecoderObjective(decoder, decoder, foreground, lambda _: batch, teacher)
    whole = objective.loss(0, part_generator(1, Part()))
    parts = [objective.loss(0, part_generator(1, Part(index, 4))) for index in range(4)]
    for name, value in whole.items():
        torch.testing.assert_close(torch.stack([part[name] for part in parts]).sum(), value)


def test_foreground_counts_more() -> None:
    foreground = Foreground(torch.zeros(3, 1, 2), weight=4.0, level=0.1)
    wanted = torch.tensor([0.0, 0.5]).expand(1, 3, 1, 2)
    assert float(foreground.error(wanted + 0.1, wanted)) == pytest.approx((0.1 + 5 * 0.1) / 2)


def test_imported_weights_of_taesd_can_be_tuned_and_distilled(folder: Path, tmp_path: Path) -> None:
    write_taesd(tmp_path / "taesd", Taesd(TaesdSettings(width=8)))
    imported = {**autoencoder_settings(0).model_dump(), "weights_folder": tmp_path / "taesd"}
    imported["architecture"] = TaesdArchitecture(settings=TaesdSettings(width=8))
    for name in ("autoencoder", "tuned", "light"):
        (tmp_path / name).mkdir()
    train_autoencoder(
        AutoencoderSettings.model_validate(imported),
        folder / "dataset",
        out=tmp_path / "autoencoder",
        resume=tmp_path / "r",
        progress=silent,
    )
    latents = make_latents(folder / "dataset", tmp_path / "autoencoder", tmp_path / "latents")
    start = tmp_path / "autoencoder"
    for stage, name in (("finetune", "tuned"), ("distil", "light")):
        STAGES[stage](
            settings(stage, 2),
            *(folder / "dataset", latents, start),
            out=tmp_path / name,
            resume=tmp_path / f"r {name}",
            progress=silent,
        )
        start = tmp_path / name
    space = load_latent_space(start)
    assert space.decode(torch.zeros(1, *space.latent_shape)).shape == (1, 3, HEIGHT, WIDTH)
    tuned = load_latent_space(tmp_path / "tuned").network.state_dict()
    assert all(torch.equal(value, tuned[name]) for name, value in space.network.state_dict().items())


@pytest.mark.parametrize("stage", STAGES)
def test_latents_of_another_dataset_are_refused(stage: str, folder: Path, tmp_path: Path) -> None:
    fewer = make_dataset(tmp_path / "fewer", num_episodes=5)
    with pytest.raises(StorageError, match="5 episodes"):
        STAGES[stage](
            settings(stage),
            *(fewer, folder / "latents", folder / "autoencoder"),
            out=tmp_path,
            resume=tmp_path / "resume",
            progress=silent,
        )


def test_a_model_is_shown_by_the_decoder_it_is_given(folder: Path, tmp_path: Path) -> None:
    run("distil", folder, tmp_path)
    light, out = tmp_path / "out", tmp_path / "model"
    out.mkdir()
    outcome = attach_decoder(ANY, folder / "model", light, out=out)
    own = {CARD_FILE, WEIGHTS_FILE, REWARD_WEIGHTS_FILE}
    assert contents(out).keys() == own | {AUTOENCODER_CARD_FILE, AUTOENCODER_WEIGHTS_FILE}
    assert contents(out)[REWARD_WEIGHTS_FILE] == contents(folder / "model")[REWARD_WEIGHTS_FILE]
    frames = torch.randint(0, 256, (2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    space, before, after = load_latent_space(light), load_world_model(folder / "model"), load_world_model(out)
    assert isinstance(before, DiamondVaeWorldModel)
    assert isinstance(after, DiamondVaeWorldModel)
    shown = after.round_trip(frames)
    obs = frames.permute(0, 3, 1, 2) / 127.5 - 1
    wanted = ((space.decode(space.encode(obs)) + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert (shown - wanted).abs().max() <= 1
    assert not torch.equal(shown, before.round_trip(frames))
    old, new = (json.loads((at / CARD_FILE).read_text()) for at in (folder / "model", out))
    assert new["reward_head"] == old["reward_head"]
    added = space.card.num_parameters["light_decoder"]
    assert new["num_parameters"]["autoencoder_light_decoder"] == added
    assert new["num_parameters"]["total"] == old["num_parameters"]["total"] + added
    assert outcome.metrics["num_parameters"] == new["num_parameters"]["total"]
    assert outcome.metrics["is_light"]
    assert outcome.headline.startswith("light decoder, PSNR ")


def test_a_light_decoder_that_loses_too_much_is_left_out(folder: Path, tmp_path: Path) -> None:
    run("distil", folder, tmp_path)
    card = load_latent_space(tmp_path / "out").card
    assert card.light_decoder is not None
    loss_db = card.psnr_db - card.light_decoder.psnr_db
    assert loss_db > 1
    for limit, is_light in ((loss_db + 0.01, True), (loss_db - 0.01, False)):
        out = tmp_path / f"light {is_light}"
        out.mkdir()
        settings = AttachDecoderSettings(max_loss_db=limit)
        outcome = attach_decoder(settings, folder / "model", tmp_path / "out", out=out)
        assert outcome.metrics["is_light"] == is_light
        assert (load_latent_space(out).light_decoder is not None) == is_light
        assert ("attach_decoder.max_loss_db" in outcome.headline) == (not is_light)
    plain = (folder / "model" / AUTOENCODER_WEIGHTS_FILE).read_bytes()
    assert (out / AUTOENCODER_WEIGHTS_FILE).read_bytes() == plain
    assert json.loads((out / CARD_FILE).read_text()) == json.loads((folder / "model" / CARD_FILE).read_text())


def test_a_training_that_goes_on_keeps_the_light_decoder(folder: Path, tmp_path: Path) -> None:
    run("distil", folder, tmp_path)
    start, out = tmp_path / "model", tmp_path / "next"
    start.mkdir()
    out.mkdir()
    attach_decoder(ANY, folder / "model", tmp_path / "out", out=start)
    train_diamond_vae(
        diamond_vae_settings(),
        *(folder / "dataset", folder / "latents", start, start),
        out=out,
        resume=tmp_path / "r",
        progress=silent,
    )
    assert (out / AUTOENCODER_WEIGHTS_FILE).read_bytes() == (start / AUTOENCODER_WEIGHTS_FILE).read_bytes()
    assert load_world_model(out).frame_shape == (HEIGHT, WIDTH)


def other_statistics(folder: Path) -> None:
    path = folder / AUTOENCODER_CARD_FILE
    card = json.loads(path.read_text())
    card["statistics"]["mean"][0] += 1
    path.write_text(json.dumps(card))


def other_encoder(folder: Path) -> None:
    space = load_latent_space(folder)
    next(space.network.get_submodule("encoder").parameters()).add_(1)
    save_latent_space(space, folder)


def other_network(folder: Path) -> None:
    save_latent_space(latent_space(HEIGHT, WIDTH), folder)


@pytest.mark.parametrize("change", [other_statistics, other_encoder, other_network])
def test_a_decoder_of_other_latents_is_refused(
    change: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    run("finetune", folder, tmp_path)
    change(tmp_path / "out")
    with pytest.raises(ConfigError, match="encoder and statistics"):
        attach_decoder(ANY, folder / "model", tmp_path / "out", out=tmp_path / "model")


@pytest.mark.parametrize("file_name", [WEIGHTS_FILE, AUTOENCODER_WEIGHTS_FILE])
def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path, file_name: str) -> None:
    run("finetune", folder, tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name, data in contents(folder / "model").items():
        (damaged / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if name == file_name else data)
    with pytest.raises(CheckpointError, match=file_name):
        attach_decoder(ANY, damaged, tmp_path / "out", out=tmp_path / "model")
