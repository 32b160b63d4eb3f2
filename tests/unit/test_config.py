"""The tree of settings: profiles, overrides, what is filled in, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from worldgen_core.config import make_config
from worldgen_core.errors import ConfigError
from worldgen_core.names import GameName, ModelName, ProfileName


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("model", get_args(ModelName))
def test_every_profile_has_a_size_for_every_model(profile: ProfileName, model: ModelName) -> None:
    config = make_config("flappy", profile, model=model, seed=3, device="cpu")
    assert config.train.seed == config.agent.seed == config.autoencoder.seed == 3
    assert {config.train.loop.device, config.autoencoder.loop.device, config.evaluate.device} == {"cpu"}
    assert config.evaluate.model == config.benchmark.model == model
    assert (config.train_autoencoder is not None) == (model in ("diamond-vae", "diamond-ae", "gamengen"))
    assert (config.train_upsampler is not None) == (model in ("diamond", "diamond-small"))


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx512_f": True}, "float32")],
)
def test_precision_goes_by_the_device_and_is_part_of_the_settings(
    features: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    config = make_config("flappy", "laptop", device="cpu")
    assert config.direct.loop.precision == config.autoencoder.loop.precision == expected
    asked = {"direct": {"loop": {"precision": "float32"}}}
    assert make_config("flappy", "laptop", device="cpu", overrides=asked).direct.loop.precision == "float32"
    assert make_config("flappy", "smoke", device="cpu").direct.loop.precision == "float32"


def test_an_override_changes_one_value_and_wins_over_what_is_filled_in() -> None:
    plain = make_config("flappy", "laptop", device="cpu")
    changed = make_config("flappy", "laptop", device="cpu", overrides={"direct": {"seed": 7}})
    assert changed.direct.seed == 7
    assert changed.direct.model_copy(update={"seed": 0}) == plain.direct
    assert changed.agent == plain.agent


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"capture": {"num_episode": 3}}, r"capture\.num_episode.*did you mean capture\.num_episodes"),
        ({"capture": {"num_episodes": 0}}, r"capture\.num_episodes.*greater than or equal to 1"),
        ({"dream": {}}, r"setting dream"),
    ],
)
def test_unknown_names_and_impossible_values_are_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        make_config("flappy", "smoke", device="cpu", overrides=overrides)


def test_imported_weights_count_by_their_content(tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        changes = {"autoencoder": {"weights_folder": str(folder)}}
        return make_config("flappy", "paper", device="cpu", overrides=changes).autoencoder.weights_digest

    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"1")
    assert digest(first) == digest(second) != ""
    (second / "weights.safetensors").write_bytes(b"2")
    assert digest(first) != digest(second)
    with pytest.raises(ConfigError, match="which is no folder"):
        digest(tmp_path / "nowhere")


def test_another_variant_of_a_union_takes_nothing_over_from_the_old_one(tmp_path: Path) -> None:
    changes = {"autoencoder": {"architecture": {"name": "taesd"}, "weights_folder": str(tmp_path)}}
    config = make_config("flappy", "laptop", device="cpu", overrides=changes)
    assert config.autoencoder.architecture.name == "taesd"
    narrower = {"autoencoder": {"architecture": {"settings": {"width": 24}}}}
    merged = make_config("flappy", "laptop", device="cpu", overrides=narrower).autoencoder.architecture
    plain = make_config("flappy", "laptop", device="cpu").autoencoder.architecture
    assert merged.model_dump() != plain.model_dump()
    assert merged.name == plain.name


def test_only_a_recording_of_our_own_names_the_world_that_it_shows(tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(b"")
    own = make_config("pokemon", "laptop", device="cpu", overrides={"sample": {"seed": 5}})
    assert own.evaluate.game == "overworld"
    assert own.evaluate.world_seed == 5
    assert make_config("pokemon", "laptop", device="cpu", data=str(tmp_path)).evaluate.world_seed is None
    assert make_config("flappy", "laptop", device="cpu").evaluate.world_seed is None


@pytest.mark.parametrize(("game", "least", "better"), [("flappy", 100, None), ("pokemon", 30, 60)])
@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_how_fast_a_dream_must_be_depends_on_the_game(
    game: GameName, least: float, better: float | None, profile: ProfileName
) -> None:
    benchmark = make_config(game, profile, device="cpu").benchmark
    assert (benchmark.min_frames_per_s, benchmark.stretch_frames_per_s) == (least, better)


def test_footage_for_a_game_that_is_played_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flappy is played here"):
        make_config("flappy", "smoke", device="cpu", data=str(tmp_path))
