"""Backends: what they compute, which one is taken, and that a bad one harms nobody."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tests import dying_probe
from tests.direct_data import HEIGHT, WIDTH
from tests.runtime_models import direct_folder, latent_model
from worldgen_core.errors import ConfigError
from worldgen_core.models.card import read_card
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.load import load_world_model
from worldgen_core.names import BackendName
from worldgen_core.runtime import backends, choose
from worldgen_core.runtime import open as opening
from worldgen_core.runtime.backends import BACKENDS, builder, require, why_not
from worldgen_core.runtime.choose import measure_backends, table
from worldgen_core.runtime.examples import watch_inputs
from worldgen_core.runtime.measure import Measured, measure, relative_error
from worldgen_core.runtime.open import open_fast
from worldgen_core.runtime.openvino_engine import OpenvinoNetwork
from worldgen_core.runtime.records import BackendReport, Refused, read_report, report_path
from worldgen_core.runtime.scene import load_scene, noise_scene, recorded_scene, save_scene
from worldgen_core.runtime.torch_engine import Bf16Network

CPU = torch.device("cpu")


class Two(nn.Module):
    """Two inputs, one of them integer, and two outputs; a buffer that bf16 would round."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("background", torch.full((3, 1, 1), 1.001))

    def forward(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x) + level[:, None, None, None]
        return y.float() + self.background, y.mean((1, 2, 3))


def two(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 3, 5, 4, generator=generator), torch.arange(batch)


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_engines_compute_the_same_for_any_batch(name: BackendName) -> None:
    network = Two().requires_grad_(False).eval()
    made = builder(BACKENDS[name])(network, two(1), 1)
    for batch in (1, 3, 1, 2):
        for found, expected in zip(made(*two(batch)), network(*two(batch)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_results_of_a_frame_outlive_the_next() -> None:
    network = Two().requires_grad_(False).eval()
    made = OpenvinoNetwork(network, two(1), 1, is_bf16=False)
    first = made(*two(1))[0]
    kept = first.clone()
    made(two(1)[0] + 1, two(1)[1])
    assert torch.equal(first, kept)


def test_bf16_keeps_buffers_and_the_original() -> None:
    network = Two().requires_grad_(False)
    made = Bf16Network(network)
    assert network.conv.weight.dtype == torch.float32
    picture, mean = made(*two(1))
    assert picture.dtype == mean.dtype == torch.float32
    assert float(made.network.get_buffer("background")[0]) == pytest.approx(1.001)
    assert 0 < relative_error(picture, network(*two(1))[0]) < 1e-2


@pytest.mark.parametrize(
    "name", ["eager", "eager-bf16", "openvino", pytest.param("onnx", marks=pytest.mark.slow)]
)
def test_a_backend_dreams_what_eager_dreams(name: BackendName) -> None:
    reference, model = latent_model(), latent_model()
    found = measure(reference, model, BACKENDS[name], noise_scene(model), threads=1)
    assert found.error <= (3e-2 if BACKENDS[name].is_bf16 else 1e-5)
    assert (found.error == 0) == (name == "eager")
    assert found.times_eager > 0
    model.reset(torch.zeros(3, 2, HEIGHT, WIDTH, 3, dtype=torch.uint8), torch.zeros(3, 1).long(), seed=1)
    frame = model.step(torch.tensor([0, 1, 1])).frame
    assert frame.shape == (3, HEIGHT, WIDTH, 3)


def test_examples_are_what_the_networks_get() -> None:
    model = latent_model()
    seen = watch_inputs(model, noise_scene(model))
    assert seen.keys() == {"unet", "decoder"}
    assert [tuple(value.shape) for value in seen["decoder"]] == [(1, 4, HEIGHT // 4, WIDTH // 4)]
    assert not any(value.is_inference() for values in seen.values() for value in values)


def test_scenes_travel(tmp_path: Path) -> None:
    model = latent_model()
    scene = recorded_scene(noise_scene(model).frames[0].numpy(), torch.ones(1).long().numpy(), 2)
    save_scene(scene, tmp_path / "scene.npz")
    again = load_scene(tmp_path / "scene.npz")
    assert torch.equal(again.frames, scene.frames)
    assert torch.equal(again.past, scene.past)
    assert {int(again.action(frame)) for frame in range(60)} == {0, 1}


# Choosing


def entry(backend: BackendName, times_eager: float, *, build_s: float = 0.0) -> Measured:
    return Measured(
        backend=backend, frames_per_s=10, times_eager=times_eager, error=0.0, drift=0.0, build_s=build_s
    )


def report(*measured: Measured, refused: tuple[Refused, ...] = ()) -> BackendReport:
    return BackendReport(device="cpu", threads=1, measured=measured, refused=refused)


def test_the_fastest_is_taken_unless_an_earlier_one_is_as_fast() -> None:
    assert report(entry("eager", 10), entry("openvino", 20), entry("onnx", 20.5)).best == "openvino"
    assert report(entry("eager", 10), entry("openvino", 20), entry("onnx", 25)).best == "onnx"
    assert report().best == "eager"


def test_one_that_is_ready_much_sooner_is_taken_if_it_is_nearly_as_fast() -> None:
    def best(onnx: float, build_s: float) -> BackendName:
        late = entry("onnx", onnx, build_s=build_s)
        return report(entry("eager", 1), entry("openvino", 1.65, build_s=3), late).best

    assert best(1.94, build_s=17) == "openvino"
    assert best(1.94, build_s=7) == "onnx"
    assert best(2.5, build_s=17) == "onnx"


def test_one_that_is_wrong_is_not_taken_however_fast() -> None:
    wrong = Refused(backend="openvino", reason="error 1e-01, more than 1e-05")
    assert report(entry("eager", 10), entry("openvino", 90), refused=(wrong,)).best == "eager"


def test_frames_that_are_too_far_off_refuse_a_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(_folder: Path, backend: backends.Backend, *_: object) -> Measured:
        found = entry(backend.name, 99)
        return found.model_copy(update={"error": 2e-5}) if backend.name == "onnx" else found

    monkeypatch.setattr(choose, "_probe", probe)
    said: list[str] = []
    found = measure_backends(
        tmp_path,
        noise_scene(latent_model()),
        device=CPU,
        threads=1,
        is_thorough=False,
        say=said.append,
    )
    reasons = {one.backend: one.reason for one in found.refused}
    assert reasons["onnx"] == "error 2.0e-05, more than 1e-05"
    assert "  measuring onnx …" in said
    assert "  measuring compile …" not in said
    assert any("taken" in line and "eager" in line for line in table(found, "eager"))


def test_a_backend_that_kills_its_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "probe", SimpleNamespace(__name__=dying_probe.__name__))
    monkeypatch.setattr(choose, "BACKENDS", {name: BACKENDS[name] for name in ("eager", "openvino")})
    found = measure_backends(
        tmp_path, noise_scene(latent_model()), device=CPU, threads=1, is_thorough=True, say=lambda _line: None
    )
    reasons = {one.backend: one.reason for one in found.refused}
    assert reasons == {
        "eager": "its process died of SIGSEGV",
        "openvino": "ValueError: this backend cannot take such a network",
    }
    assert found.best == "eager"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDGEN_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.mark.usefixtures("store")
def test_what_was_measured_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = direct_folder(tmp_path / "model")
    monkeypatch.setattr(choose, "BACKENDS", {name: BACKENDS[name] for name in ("eager", "openvino")})
    said: list[str] = []
    first = open_fast(folder, "cpu", say=said.append)
    assert first.report is not None
    assert [one.backend for one in first.report.measured] == ["eager", "openvino"]
    assert first.report.measured[1].error < 1e-5
    assert first.backend == first.report.best
    assert said[0].startswith("first start of this model here")
    said.clear()
    assert open_fast(folder, "cpu", say=said.append).report == first.report
    assert said == []
    path = report_path(read_card(folder), "cpu", 1)
    path.write_text("{")
    assert read_report(path) is None
    assert open_fast(folder, "cpu", say=said.append).report is not None
    assert said, "a report that cannot be read is made again"
    assert report_path(read_card(folder), "cpu", 2) != path


@pytest.mark.usefixtures("store")
def test_a_backend_by_name_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "measure_backends", None)
    folder = direct_folder(tmp_path / "model")
    fast = open_fast(folder, "cpu", backend="openvino")
    assert (fast.backend, fast.report) == ("openvino", None)
    assert isinstance(fast.model, TensorDreams)
    assert isinstance(fast.model.slots["predictor"].network, OpenvinoNetwork)
    plain = load_world_model(folder)
    context = torch.randint(0, 256, (2, plain.num_context_frames, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    for model in (plain, fast.model):
        model.reset(context, torch.zeros(2, plain.num_context_frames - 1).long(), seed=0)
    for action in (torch.tensor([0, 1]), torch.tensor([1, 1])):
        apart = fast.model.step(action).frame.int() - plain.step(action).frame.int()
        assert apart.abs().max() <= 1


def test_what_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "choose_precision", lambda *_: "float32")
    with pytest.raises(ConfigError, match="this device has no fast bf16"):
        require(BACKENDS["openvino-bf16"], CPU)
    assert why_not(BACKENDS["onnx"], torch.device("cuda")) == "only on the CPU"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="openvino is not installed: pip install"):
        require(BACKENDS["openvino"], CPU)
    assert why_not(BACKENDS["eager"], CPU) is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of inductor's own imports
def test_compiled_networks_compute_the_same() -> None:
    if why_not(BACKENDS["compile"], CPU) is not None:
        pytest.skip("no C++ compiler here")
    network = Two().requires_grad_(False).eval()
    made = builder(BACKENDS["compile"])(network, two(1), 1)
    for found, expected in zip(made(*two(1)), network(*two(1)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
