"""`worldgen sample`: a GIF or MP4 of the game and its dream side by side under the same actions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.animation import compose, write_gif
from worldgen_core.evaluation.jobs import one_torch_thread
from worldgen_core.evaluation.mp4 import write_mp4
from worldgen_core.evaluation.sample_play import play_sample
from worldgen_core.games.catalogue import get_game
from worldgen_core.models.card import read_card
from worldgen_core.models.load import load_world_model

SampleFormat = Literal["gif", "mp4"]


def write_sample(
    model_folder: Path,
    out_path: Path,
    *,
    num_frames: int = 300,
    seed: int = 0,
    player: str = "rule",
    format: SampleFormat | None = None,
    scale: int = 3,
) -> Path:
    """Write the animation and return its path; the file's ending decides the format unless one is given.

    Raises: ConfigError for an unknown format, game or player; CheckpointError for a damaged model folder.
    """
    chosen = format or out_path.suffix.removeprefix(".")
    if chosen not in ("gif", "mp4"):
        raise ConfigError(
            f"format of {out_path}",
            expected="gif or mp4",
            found=repr(chosen),
            next_step="name the file *.gif",
        )
    card = read_card(model_folder)
    game = get_game(card.game)
    model = load_world_model(model_folder)
    with one_torch_thread():
        sample = play_sample(model, game, player=player, num_frames=num_frames, seed=seed)
    pictures = compose(sample, action_names=game.action_names, scale=scale)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = out_path.with_name(f".{out_path.stem}.part.{chosen}")
    try:
        (write_gif if chosen == "gif" else write_mp4)(pictures, temporary, fps=game.fps)
        temporary.replace(out_path)
    finally:
        temporary.unlink(missing_ok=True)
    return out_path
