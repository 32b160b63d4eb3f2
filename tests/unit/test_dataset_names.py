"""A dataset's name is a folder's name, whoever gives it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from storage.errors import StorageError
from worldgen_core.config import make_config
from worldgen_core.errors import ConfigError

WRONG = ["", "..", ".hidden", "a/b", "a b", "-a", "a\n", "ä"]


@pytest.mark.parametrize("name", ["default", "night-1.2", "A_b", "7"])
def test_good_names(name: str) -> None:
    config = make_config("flappy", "smoke", overrides={"capture": {"dataset_name": name}})
    assert config.capture.dataset_name == name


@pytest.mark.parametrize("name", WRONG)
def test_settings_refuse_what_is_no_folder(name: str) -> None:
    with pytest.raises(ConfigError, match=r"capture\.dataset_name"):
        make_config("flappy", "smoke", overrides={"capture": {"dataset_name": name}})


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ["sample", "bench"])
def test_the_command_line_refuses_it_too(name: str, command: str) -> None:
    done = CliRunner().invoke(app, [command, "flappy", f"--dataset={name}"])
    assert done.exit_code == 2
    assert "is no name of a dataset" in done.output


@pytest.mark.parametrize("name", WRONG)
def test_flows_refuse_it_too(name: str) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.benchmark import benchmark_champion
    from flows.nightly import nightly_retrain

    for flow in (benchmark_champion, nightly_retrain):
        with pytest.raises(ParameterTypeError, match="dataset_name"):
            flow.validate_parameters({"game": "flappy", "profile": "smoke", "dataset_name": name})


def test_a_night_without_a_champion_says_what_builds_one(store_root: Path, tmp_path: Path) -> None:
    from flows.nightly import nightly_retrain

    (tmp_path / "my town").mkdir()
    (tmp_path / "my town" / "walk.mp4").write_bytes(b"")
    with pytest.raises(StorageError, match="no champion of pokemon, dataset my-town") as nobody:
        nightly_retrain.fn(game="pokemon", profile="smoke", data=str(tmp_path / "my town"))
    assert nobody.value.next_step == f"worldgen build pokemon --profile smoke --data '{tmp_path}/my town'"
