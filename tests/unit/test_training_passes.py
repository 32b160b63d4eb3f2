"""Passes that run otherwise and compute the same: recomputed activations, compiled networks."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.diamond_data import diamond_settings
from tests.gamengen_data import network as gamengen_network
from tests.trainings import Interrupted, Trainings, interrupt_after
from tests.unit.test_training_everywhere import assert_same_but_for_rounding, contents
from worldgen_core.errors import ConfigError
from worldgen_core.models.pixel_denoiser import PixelDenoiser
from worldgen_core.progress import EventList, silent
from worldgen_core.rows import Part, part_generator
from worldgen_core.training.diamond_objective import DiamondLossSettings, DiamondObjective, PixelBatch
from worldgen_core.training.gamengen_objective import GamengenObjective
from worldgen_core.training.gamengen_settings import GamengenLossSettings
from worldgen_core.training.latent_windows import LatentBatch
from worldgen_core.training.loop import run_training
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.passes import COMPILING, compiled, recomputed

GAMENGEN_SHAPE = (4, 16, 16)

BATCH = PixelBatch(
    torch.rand(4, 5, 3, 32, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1,
    torch.zeros(4, 5, dtype=torch.int64),
    torch.zeros(4, 5, dtype=torch.bool),
    None,
)


class _Kept(TorchDispatchMode):
    """Counts the bytes of tensors that operations made and that are alive, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes, self._now, self._seen = 0, 0, set[int]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # pyright: ignore
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if address in self._seen or not size:
            return
        self._seen.add(address)
        self._now += size
        self.peak_bytes = max(self.peak_bytes, self._now)

        def gone() -> None:
            self._seen.discard(address)
            self._now -= size

        weakref.finalize(storage, gone)


def denoiser() -> PixelDenoiser:
    torch.manual_seed(0)
    unet = diamond_settings(dreams=False).stage.denoiser.unet.model_copy(
        update={"depths": (3, 3), "channels": (32, 32)}
    )
    network = PixelDenoiser(
        diamond_settings(dreams=False).stage.denoiser.model_copy(update={"unet": unet}), num_actions=2
    )
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.05)
    return network


def gradients_of(network: PixelDenoiser) -> tuple[list[Tensor], int]:
    """The gradient of one batch, and the most memory that it took."""
    objective = DiamondObjective(network, DiamondLossSettings(), lambda _: BATCH, sigma_start=5.0)
    with _Kept() as kept:
        objective.loss(0, part_generator(0, Part()))["loss"].backward()
    return [weight.grad for weight in network.parameters() if weight.grad is not None], kept.peak_bytes


def test_recomputed_activations_give_the_same_gradients_in_less_memory() -> None:
    plain, plain_bytes = gradients_of(denoiser())
    network = denoiser()
    with recomputed(network):
        again, fewer_bytes = gradients_of(network)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert fewer_bytes < 0.6 * plain_bytes
    assert not [name for module in network.modules() for name in vars(module) if name == "forward"]


def test_blocks_of_diffusers_are_recomputed_too() -> None:
    kept_bytes: list[int] = []
    gradients: list[list[Tensor]] = []
    for is_on in (False, True):
        network = gamengen_network(GAMENGEN_SHAPE).train()
        batch = LatentBatch(
            torch.randn(2, 4, *GAMENGEN_SHAPE, generator=torch.Generator().manual_seed(0)),
            torch.zeros(2, 4, dtype=torch.int64),
            torch.zeros(2, 4, dtype=torch.bool),
        )
        objective = GamengenObjective(network, GamengenLossSettings(dreams=True), lambda _, b=batch: b)
        with recomputed(network) if is_on else nullcontext(), _Kept() as kept:
            objective.loss(0, part_generator(0, Part()))["loss"].backward()
        kept_bytes.append(kept.peak_bytes)
        gradients.append([weight.grad for weight in network.parameters() if weight.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert kept_bytes[1] < 0.8 * kept_bytes[0]


def test_a_part_of_a_batch_takes_less_memory() -> None:
    _, whole_bytes = gradients_of(denoiser())
    objective = DiamondObjective(denoiser(), DiamondLossSettings(), lambda _: BATCH, sigma_start=5.0)
    with _Kept() as kept:
        objective.loss(0, part_generator(0, Part(0, 4)))["loss"].backward()
    assert kept.peak_bytes < 0.5 * whole_bytes


def test_the_setting_changes_no_byte_of_a_training(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    for name, is_on in (("plain", False), ("again", True)):
        trainings.run("autoencoder", tmp_path / name, checkpoint_activations=is_on)
    assert contents(tmp_path / "plain") == contents(tmp_path / "again")


def test_a_network_without_blocks_says_so() -> None:
    with pytest.raises(ConfigError, match="none in Linear"), recomputed(nn.Linear(2, 2)):
        pass


class _Fit:
    """Two layers, called one by one as objectives do, for batches of two sizes."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 1))
        self.matrices: list[nn.Parameter] = []

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(4 if train_step < 4 else 6, 3, generator=generator)
        hidden = self.module.get_submodule("0")(x).tanh()
        return {"loss": (self.module.get_submodule("1")(hidden)[:, 0] - x.sum(1)).square().mean()}


def fit(resume: Path, *, compile: bool, num_steps: int = 8, progress=silent):  # as the setting
    return run_training(
        _Fit(),
        LoopSettings(warmup_steps=1, checkpoint_every=3, log_every=2, num_threads=1, compile=compile),
        seed=0,
        num_steps=num_steps,
        num_frames_at=lambda _: 1,
        resume=resume,
        progress=progress,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of torch's compiler
def test_a_compiled_training_says_how_long_it_waits_and_learns_the_same(tmp_path: Path) -> None:
    torch.compiler.reset()
    plain, events = fit(tmp_path / "plain", compile=False), EventList()
    whole = fit(tmp_path / "whole", compile=True, progress=events)
    for a, b in zip(plain.rows, whole.rows, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    news = [event for event in events.events if event.label == COMPILING]
    assert (news[0].done, news[0].total) == (0, 1)
    assert events.events.index(news[0]) == 0
    assert news[1].metrics["seconds"] > 0
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", compile=True, progress=interrupt_after(5))
    parts = fit(tmp_path / "parts", compile=True)
    for a, b in zip(parts.rows, whole.rows, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_without_a_compiler_it_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="C\\+\\+ compiler no-such-compiler"):
        fit(tmp_path, compile=True)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of torch's compiler
def test_compiled_leaves_a_network_as_it_was() -> None:
    network = denoiser()
    names = list(network.state_dict())
    with compiled(network):
        assert list(network.state_dict()) == names
    assert not [name for module in network.modules() for name in vars(module) if name == "forward"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_real_network_compiles(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    trainings.run("autoencoder", tmp_path / "plain")
    trainings.run("autoencoder", tmp_path / "compiled", compile=True)
    assert_same_but_for_rounding(tmp_path / "compiled", tmp_path / "plain")
