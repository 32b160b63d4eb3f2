"""The dream as a gymnasium environment, made in a process of its own as the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import torch

from tests.direct_data import write_direct_model
from worldgen_core.games.flappy import GAME
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork

PLAYS = """
frame, _ = env.reset(seed=0)
_, reward, *_ = env.step(0)
print(frame.shape, reward)
from worldgen_core.errors import ConfigError
try:
    gymnasium.make(name, model=FOLDER, backend="nope")
except ConfigError as error:
    print(error.found)
"""


def test_the_environment_is_made_with_the_words_of_the_readme(tmp_path: Path) -> None:
    torch.manual_seed(0)
    arch = DirectArchitecture(channels=(8, 16), num_blocks=(1, 1, 1), condition=8, memory=2)
    network = DirectNetwork(arch, num_actions=2, height=GAME.height, width=GAME.width)
    folder = repr(str(write_direct_model(tmp_path, network)))
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    words = dedent("    import gymnasium\n" + readme.split("    import gymnasium\n")[1].split("\n\n")[0])
    words = words.replace('".worldgen/artifacts/train_model/KEY"', folder)
    script = words + PLAYS.replace("FOLDER", folder)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == f"({GAME.height}, {GAME.width}, 3) 0.0\n'nope'\n", done.stderr
