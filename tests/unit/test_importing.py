"""Published weights taken in: the layouts, and what is refused unread or by the child that reads."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from tests.closed_form import wave_weights
from tests.unit.test_autoencoder_models import write_taesd
from tests.unit.test_pixel_denoiser import CASES, assert_close, drawn, network
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.importing.diamond import DiamondFacts, import_diamond
from worldgen_core.importing.diamond_layout import renamed
from worldgen_core.importing.pickle_child import named_tensors
from worldgen_core.importing.restricted import read_foreign_weights
from worldgen_core.importing.taesd import import_taesd
from worldgen_core.models.card import read_card
from worldgen_core.models.load import load_world_model
from worldgen_core.models.taesd import Taesd, TaesdSettings, load_taesd

FACTS = DiamondFacts(game="tiny", height=35, width=45)


def published_name(name: str) -> str:
    """DIAMOND's name of one of our weights, worked out the other way round than the import does."""
    pairs = (
        ("unet.", "inner_model."), (".frequency", ".weight"), ("context_noise_features", "noise_cond_emb"),
        ("noise_features", "noise_emb"), ("action_embedding", "act_emb.0"), ("cond_mlp", "cond_proj"),
        ("unet.down.", "unet.d_blocks."), ("unet.up.", "unet.u_blocks."),
        ("unet.middle.", "unet.mid_blocks."),
        (".blocks.", ".resblocks."), (".project.", ".proj."), ("modulate", "norm"),
        ("attention.norm.", "attn.norm.norm."), ("attention.query_key_value", "attn.qkv_proj"),
        ("attention.out", "attn.out_proj"), ("norm_out.", "norm_out.norm."),
        ("shrink.0", "downsamples.1.conv"), ("grow.0", "upsamples.1.conv"),
    )  # fmt: skip
    for ours, theirs in pairs:
        name = name.replace(ours, theirs, 1) if ours == "unet." else name.replace(ours, theirs)
    return name


def published_weights() -> dict[str, Tensor]:
    """A small checkpoint in the published layout, with the weights of the reference."""
    tensors: dict[str, Tensor] = {}
    for part in ("denoiser", "upsampler"):
        for name, value in network(part).state_dict().items():
            shaped = value[None] if name.endswith("frequency") else value
            tensors[f"{part}.{published_name(name)}"] = shaped
    return tensors


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "agent.pt"
    torch.save(published_weights(), path)
    return path


@pytest.fixture(scope="module")
def imported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    import_diamond(checkpoint, folder, FACTS)
    return folder


def test_names_go_both_ways() -> None:
    for name in network("denoiser").state_dict():
        assert renamed(published_name(name)) == name
    assert "inner_model.unet.mid_blocks.resblocks.0.attn.norm.norm.bias" in map(
        published_name, network("denoiser").state_dict()
    )


def test_an_imported_checkpoint_draws_what_the_authors_code_draws(imported: Path) -> None:
    model = load_world_model(imported)
    denoiser = model._denoiser  # pyright: ignore[reportAttributeAccessIssue]  # the network is what is compared
    assert denoiser.settings.compat == "diamond"
    assert denoiser.settings.unet == network("denoiser").settings.unet
    case = "denoiser/heun churn 5 steps 3"
    assert case in CASES
    assert_close(drawn(denoiser, case), case)


def test_an_imported_model_plays(imported: Path) -> None:
    model = load_world_model(imported)
    card = read_card(imported)
    assert (card.game, card.action_names, model.frame_shape) == ("tiny", ("0", "1", "2"), (35, 45))
    model.reset(torch.zeros(1, 2, 35, 45, 3, dtype=torch.uint8), torch.zeros(1, 1).long(), seed=0)
    step = model.step(torch.tensor([2]))
    assert step.frame.shape == (1, 35, 45, 3)
    assert step.terminated is None, "the published weights have no such head"


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    path, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
    torch.save({"denoiser.x": torch.zeros(1), "more": _Trap(sprung)}, path)
    with pytest.raises(CheckpointError, match=r"not tensors alone: .*mkdir") as refused:
        read_foreign_weights(path)
    assert "False" not in str(refused.value), "torch's advice to unpickle everything is not passed on"
    path.write_bytes(pickle.dumps(_Trap(sprung)))
    with pytest.raises(CheckpointError, match="not a zip file"):
        read_foreign_weights(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.zeros(1)], "list"),
        ({"a": torch.zeros(1), "b": {"c": torch.zeros(1)}}, "dict"),
        ({1: torch.zeros(1)}, "no named dense tensor"),
        ({"a": torch.eye(2).to_sparse()}, "no named dense tensor"),
    ],
)
def test_other_contents_are_refused(content: object, found: str) -> None:
    with pytest.raises(TypeError, match=found):
        named_tensors(content)


def test_archives_that_torch_never_writes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match="FileNotFoundError"):
        read_foreign_weights(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"0" * 1000)
    with pytest.raises(CheckpointError, match="compressed"):
        read_foreign_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"")
        archive.writestr("x/other.pkl", b"")
    with pytest.raises(CheckpointError, match="the pickles"):
        read_foreign_weights(path)
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="not a zip file"):
        read_foreign_weights(path)


def test_another_networks_weights_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path, out = tmp_path / "x.safetensors", tmp_path / "out"
    save_file({"denoiser.inner_model.conv_in.weight": torch.zeros(3, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match="as its branch csgo saves them"):
        import_diamond(path, out, FACTS)
    weights = published_weights()
    del weights["upsampler.inner_model.norm_out.norm.weight"]
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=r"upsampler: unet\.norm_out\.weight"):
        import_diamond(path, out, FACTS)
    assert not out.exists()


def tiny_taesd() -> Taesd:
    taesd = Taesd(TaesdSettings(width=8))
    taesd.load_state_dict(wave_weights({k: tuple(v.shape) for k, v in taesd.state_dict().items()}))
    return taesd.half().float()


def assert_same_taesd(folder: Path) -> None:
    found = load_taesd(folder).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in tiny_taesd().state_dict().items())


def test_taesd_comes_in_from_the_authors_files(tmp_path: Path) -> None:
    for part, shift in (("encoder", 0), ("decoder", 1)):
        tensors = {}
        for name, value in tiny_taesd().state_dict().items():
            owner, _, number, rest = name.split(".", 3)
            if owner == part:
                tensors[f"{int(number) + shift}.{rest}"] = value
        if part == "encoder":
            save_file(tensors, tmp_path / "taesd_encoder.safetensors")
        else:
            torch.save(tensors, tmp_path / "taesd_decoder.pth")
    card = import_taesd(str(tmp_path), tmp_path / "out")
    assert_same_taesd(tmp_path / "out")
    assert (
        card["num_parameters"] == json.loads((tmp_path / "out" / "import.json").read_text())["num_parameters"]
    )
    (tmp_path / "taesd_decoder.pth").unlink()
    with pytest.raises(CheckpointError, match="TAESD's decoder"):
        import_taesd(str(tmp_path), tmp_path / "other")


def test_taesd_comes_in_from_the_hub_as_safetensors_only(tmp_path: Path) -> None:
    write_taesd(tmp_path / "hub", tiny_taesd())
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        path = tmp_path / "hub" / request.url.path.rpartition("/")[2]
        return httpx.Response(200, content=path.read_bytes()) if path.is_file() else httpx.Response(404)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    import_taesd("someone/taesd", tmp_path / "out", client=client)
    assert_same_taesd(tmp_path / "out")
    assert asked[0] == "https://huggingface.co/someone/taesd/resolve/main/config.json"
    assert all(url.endswith((".json", ".safetensors")) for url in asked)
    (tmp_path / "hub" / "config.json").unlink()
    with pytest.raises(ConfigError, match="404"):
        import_taesd("someone/taesd", tmp_path / "out", client=client)
    with pytest.raises(ConfigError, match="neither"):
        import_taesd("no/such/folder", tmp_path / "out", client=client)


def test_commands_say_what_came_in(tmp_path: Path) -> None:
    from flows.cli.app import app

    write_taesd(tmp_path / "taesd", tiny_taesd())
    done = CliRunner().invoke(
        app, ["import", "taesd", str(tmp_path / "taesd"), "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "autoencoder.weights_folder" in done.stdout
    save_file(published_weights(), tmp_path / "agent.safetensors")
    done = CliRunner().invoke(
        app, ["import", "diamond", str(tmp_path / "agent.safetensors"), "--out", str(tmp_path / "model")]
    )
    assert "3 actions" in done.stdout
    assert "next: worldgen_core.models.load.load_world_model" in done.stdout
    assert "cannot play it" in done.stdout
    assert read_card(tmp_path / "model").game == "csgo"
