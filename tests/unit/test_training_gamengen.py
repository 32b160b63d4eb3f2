"""The path of `gamengen` on a tiny scrolling world: latents, training, dream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from storage.clips import ClipReader
from storage.latents import LatentReader
from tests.direct_data import HEIGHT, WIDTH, make_dataset
from tests.gamengen_data import SHAPE, gamengen_settings, network
from tests.latent_data import make_autoencoder, make_latents
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.card import WEIGHTS_FILE
from worldgen_core.models.gamengen import GamengenWorldModel
from worldgen_core.models.gamengen_network import GamengenNetwork
from worldgen_core.models.latent_space import AUTOENCODER_WEIGHTS_FILE
from worldgen_core.models.load import load_world_model
from worldgen_core.models.reward_head import REWARD_WEIGHTS_FILE
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent, silent
from worldgen_core.training import gamengen_settings as sizes
from worldgen_core.training.gamengen import train_gamengen
from worldgen_core.training.gamengen_objective import GamengenObjective
from worldgen_core.training.gamengen_settings import GamengenLossSettings
from worldgen_core.training.latent_windows import LatentBatch, latent_batches
from worldgen_core.training.phases import make_phases


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
        return train_gamengen(
            gamengen_settings(),
            dataset,
            latents,
            start or autoencoder,
            start,
            out=out,
            resume=folder / "resume",
            progress=progress,
        )

    return run


@pytest.fixture(scope="module")
def trained(train: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(folder)
    return folder / "out"


def test_training_ends_with_the_same_bytes_after_two_interruptions(
    train: Callable[..., Outcome], trained: Path, tmp_path: Path
) -> None:
    for stop in (9, 25):  # frames: after the third step, and after the fifth
        with pytest.raises(_Interrupted):
            train(tmp_path, progress=stop_at(stop))
    outcome = train(tmp_path)
    whole = contents(trained)
    assert whole == contents(tmp_path / "out")
    names = {"model.json", WEIGHTS_FILE, "autoencoder.json", AUTOENCODER_WEIGHTS_FILE, "metrics.jsonl"}
    assert whole.keys() == names | {REWARD_WEIGHTS_FILE, "curves.png"}
    card = json.loads(whole["model.json"])
    assert card["model"] == "gamengen"
    assert outcome.metrics["num_parameters"] == card["num_parameters"]["total"]
    assert outcome.headline.startswith("loss ")


def dream(model: GamengenWorldModel, dataset: Path, actions: Tensor, *, seed: int = 0) -> Tensor:
    """Frames (b, t, h, w, c) under actions (b, t), from one start."""
    rows = len(actions)
    clip = torch.from_numpy(ClipReader(dataset).read("e0", 0, 2).frames)
    model.reset(clip[None].expand(rows, -1, -1, -1, -1), torch.zeros(rows, 1, dtype=torch.int64), seed=seed)
    steps = [model.step(action) for action in actions.unbind(dim=1)]
    ends = [step.terminated for step in steps]
    assert all(end is not None and end.shape == (rows,) and ((end >= 0) & (end <= 1)).all() for end in ends)
    return torch.stack([step.frame for step in steps], dim=1)


def test_the_folder_dreams(trained: Path, dataset: Path) -> None:
    model = load_world_model(trained)
    assert isinstance(model, GamengenWorldModel)
    assert model.takes_chance_from_truth
    assert (model.num_context_frames, model.num_actions, model.frame_shape) == (2, 2, (HEIGHT, WIDTH))
    actions = torch.tensor([[0, 1, 0], [0, 1, 0]])
    frames = dream(model, dataset, actions)
    assert frames.shape == (2, 3, HEIGHT, WIDTH, 3)
    assert torch.equal(frames, dream(model, dataset, actions))
    assert not torch.equal(frames[0], frames[1]), "each row has its own noise"
    assert not torch.equal(frames, dream(model, dataset, actions, seed=1))
    alone = dream(model, dataset, actions[:1])[0].int()
    assert (alone - frames[0].int()).abs().max() <= 1, "a row does not depend on the others"


def test_a_rollout_gives_as_many_actions_as_training_and_the_newest_last(
    trained: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Tensor] = []
    forward = GamengenNetwork.forward

    def keep(self: GamengenNetwork, x: Tensor, level: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        told.append(context[1].clone())
        return forward(self, x, level, context)  # pyright: ignore[reportArgumentType]  # a GamengenContext

    monkeypatch.setattr(GamengenNetwork, "forward", keep)
    model = load_world_model(trained)
    assert isinstance(model, GamengenWorldModel)
    dream(model, dataset, torch.tensor([[1, 0, 1]]))
    # Two DDIM steps a frame, each with a row for guidance; the start's only action is 0.
    assert [act.tolist() for act in told[::2]] == [[[0, 1]] * 2, [[1, 0]] * 2, [[0, 1]] * 2]
    told.clear()
    windows = batch(unroll=2)
    losses(windows)
    assert [torch.equal(act[:6], windows.act[:, t : t + 2]) for t, act in enumerate(told)] == [True, True]


def test_a_window_never_crosses_the_end_of_a_life(dataset: Path, latents: Path) -> None:
    settings = gamengen_settings().model_copy(update={"phases": make_phases((3, 8, 40))})
    produce = latent_batches(settings, 2, ClipReader(dataset), LatentReader(latents))
    ends = torch.cat([produce(train_step).end for train_step in range(40)])
    assert ends[:, -1].any(), "windows may end in the last frame of a life"
    assert not ends[:, :-1].any()


def test_training_goes_on_from_a_model_whose_folder_is_its_autoencoder(
    train: Callable[..., Outcome], trained: Path, tmp_path: Path
) -> None:
    train(tmp_path, start=trained)
    assert json.loads((tmp_path / "out" / "model.json").read_text())["training"]["num_steps"] == 3


def test_what_is_no_gamengen_is_refused(train: Callable[..., Outcome], trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, content in contents(trained).items():
        (other / name).write_bytes(content)
    card = json.loads((trained / "model.json").read_text())
    (other / "model.json").write_text(json.dumps({**card, "model": "diamond-vae"}))
    with pytest.raises(ConfigError, match="expected a gamengen model; found diamond-vae"):
        train(tmp_path / "second", start=other)
    card["settings"]["sampler"] = {"num_steps": 0}
    (other / "model.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="those of a gamengen model"):
        load_world_model(other)


def batch(unroll: int = 3, b: int = 6) -> LatentBatch:
    generator = torch.Generator().manual_seed(2)
    length = 2 + unroll
    end = torch.zeros(b, length, dtype=torch.bool)
    end[::2, -1] = True
    return LatentBatch(
        torch.randn(b, length, *SHAPE, generator=generator),
        torch.randint(0, 2, (b, length), generator=generator),
        end,
    )


def losses(
    windows: LatentBatch, made: GamengenNetwork | None = None, *, seed: int = 3, **settings: object
) -> dict[str, Tensor]:
    chosen = GamengenLossSettings.model_validate(settings)
    objective = GamengenObjective(made or network(), chosen, lambda _: windows)
    return objective.loss(0, torch.Generator().manual_seed(seed))


def seen_by(made: GamengenNetwork) -> list[Tensor]:
    """The channels that the U-Net is given from now on."""
    seen: list[Tensor] = []
    made.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


@pytest.mark.parametrize("dreams", [False, True])
def test_loss_is_reproducible_and_finite(dreams: bool) -> None:
    first, again = (losses(batch(), dreams=dreams, change_weight=2.0) for _ in range(2))
    assert {name: value.item() for name, value in first.items()} == {
        name: value.item() for name, value in again.items()
    }
    assert all(torch.isfinite(value) for value in first.values())
    assert first.keys() == {"loss", "level", "end", *(["dream"] if dreams else [])}


def test_the_loss_is_that_of_v_alone_where_nothing_else_weighs() -> None:
    """A network whose last layer is zero says v = 0, so the error is v's mean square: 1 for unit data."""
    made = network()
    torch.nn.init.zeros_(made.unet.conv_out.weight)
    assert made.unet.conv_out.bias is not None
    torch.nn.init.zeros_(made.unet.conv_out.bias)
    found = losses(batch(unroll=1, b=4000), made, end_weight=0.0)
    assert found["loss"].item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_share_of_the_contexts_is_dropped_whole(share: float) -> None:
    made = network()
    seen = seen_by(made)
    losses(batch(unroll=1, b=2000), made, drop_share=share)
    [channels] = seen
    num = SHAPE[0]
    is_zero = (channels[:, num : num * 3] == 0).flatten(1)
    dropped = is_zero.all(dim=1)
    assert torch.equal(dropped, is_zero.any(dim=1)), "all of a context or nothing"
    assert dropped.float().mean().item() == pytest.approx(share, abs=0.02)
    assert (channels[:, :num] != 0).all()


def test_noise_on_the_context_goes_up_to_its_limit_and_is_told() -> None:
    made = network()
    told: list[Tensor] = []
    made.unet.register_forward_pre_hook(lambda _, args: told.append(args[3]))
    seen, windows = seen_by(made), batch(unroll=1, b=3000)
    losses(windows, made, drop_share=0.0)
    num = SHAPE[0]
    noise = seen[0][:, num : num * 3].reshape(3000, 2, *SHAPE) - windows.z[:, :2]
    deviation = noise.flatten(1).std(dim=1)
    for bucket in range(10):
        found = deviation[told[0] == bucket]
        assert len(found) / 3000 == pytest.approx(0.1, abs=0.03)
        assert found.mean().item() == pytest.approx((bucket + 0.5) * 0.07, abs=0.01)


def test_as_published_contexts_are_true_and_in_a_dream_they_are_its_own() -> None:
    windows = batch()
    other = windows._replace(z=torch.cat([windows.z[:, :2], windows.z[:, 2:] + 5], dim=1))
    for dreams in (False, True):
        pasts: list[list[Tensor]] = []
        for one in (windows, other):
            made = network()
            seen = seen_by(made)
            losses(one, made, dreams=dreams, drop_share=0.0)
            pasts.append([channels[:6, : SHAPE[0] * 3 if dreams else None] for channels in seen])
        same = [torch.equal(*pair) for pair in zip(*pasts, strict=True)]
        assert len(same) == 3
        assert all(same) is dreams, "from noise alone, a dream depends on its start and its actions only"


def test_errors_are_charged_to_the_frames_that_led_to_them() -> None:
    gradients: list[Tensor] = []

    def keep(_: object, args: tuple[Tensor, ...]) -> None:
        if args[0].requires_grad:
            args[0].register_hook(gradients.append)

    made = network()
    made.unet.register_forward_pre_hook(keep)
    losses(batch(), made, dreams=True)["loss"].backward()
    assert any(gradient[:, SHAPE[0] : SHAPE[0] * 3].any() for gradient in gradients)


def test_ends_are_learned_without_bending_the_dream() -> None:
    made, plain = network(), network()
    losses(batch(), made, dreams=True, end_weight=1.0)["loss"].backward()
    losses(batch(), plain, dreams=True, end_weight=0.0)["loss"].backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in made.end_head.parameters())
    for one, other in zip(made.unet.parameters(), plain.unet.parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None
        else:
            assert other.grad is not None
            torch.testing.assert_close(one.grad, other.grad)


def test_change_weight_raises_the_loss_where_something_moves() -> None:
    still = batch()
    still = still._replace(z=still.z[:, :1].expand_as(still.z))
    for windows, rises in ((batch(), True), (still, False)):
        plain, heavy = (losses(windows, change_weight=weight)["level"] for weight in (0.0, 5.0))
        assert bool(heavy > plain * 1.5) is rises


def test_profiles_grow_and_paper_is_as_published() -> None:
    smoke, laptop, paper = sizes.smoke(), sizes.laptop(), sizes.paper()
    assert smoke.num_steps < laptop.num_steps < paper.num_steps
    assert (paper.architecture.num_context_frames, paper.architecture.max_context_noise) == (64, 0.7)
    assert (paper.architecture.num_noise_buckets, paper.loss.drop_share) == (10, 0.1)
    assert (paper.sampler.num_steps, paper.sampler.guidance, paper.loss.dreams) == (4, 1.5, False)
