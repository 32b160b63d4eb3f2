"""What a person sees who mistypes, damages or interrupts something: one message, one status, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def worldgen(*words: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from flows.cli.app import run; run()", *words],
        env={**os.environ, "WORLDGEN_STORE": str(store), "TERM": "dumb", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("plan", "flappy", "--profile", "desktop"), 2, ("'desktop'", "'smoke', 'laptop', 'paper'")),
        (("plan", "tetris"), 2, ("'tetris'", "flappy")),
        (
            ("plan", "flappy", "--set", "evaluate.num_start=9"),
            1,
            ("setting evaluate.num_start", "found     no setting of that name", "evaluate.num_starts?"),
        ),
        (
            ("plan", "flappy", "--set", "direct.loop.warmup_steps=-1"),
            1,
            ("setting direct.loop.warmup_steps", "expected  greater than or equal to 0", "found     -1"),
        ),
        (("plan", "flappy", "--set", "direct"), 1, ("--set direct", "expected  section.name=value")),
        (("plan", "flappy", "--force", "dream"), 1, ("dream", "train_model")),
        (("plan", "flappy", "--device", "cuda"), 1, ("cuda", "cpu")),
        (("sample", "flappy"), 1, ("no model of flappy", "worldgen build flappy")),
        (("artifacts", "show", "model/nothing"), 1, ("model/nothing", "worldgen artifacts ls")),
    ],
)
def test_a_mistake_ends_in_one_clear_message(
    tmp_path: Path, words: tuple[str, ...], status: int, said: tuple[str, ...]
) -> None:
    done = worldgen(*words, store=tmp_path / "store")
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for text in said:
        assert text in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_plan_as_json_names_every_stage_with_its_reasons(tmp_path: Path) -> None:
    done = worldgen("plan", "flappy", "--profile", "paper", "--json", store=tmp_path / "store")
    plan = json.loads(done.stdout)
    assert plan["recipe"] == "build-flappy"
    states = {line["stage"]: line["state"] for line in plan["stages"]}
    assert list(states) == [
        *("train_agent", "capture", "train_upsampler", "train_autoencoder", "encode_latents"),
        *("finetune_decoder", "distil_decoder", "train_model", "attach_decoder"),
        *("evaluate", "benchmark", "publish"),
    ]
    assert set(states.values()) == {"stale", "not needed"}
    assert all(line["reasons"] for line in plan["stages"])


def test_settings_are_printed_as_they_can_be_set(tmp_path: Path) -> None:
    done = worldgen("settings", "flappy", "--set", "evaluate.num_starts=9", store=tmp_path / "store")
    assert json.loads(done.stdout)["evaluate"]["num_starts"] == 9
