"""`worldgen sample`: a GIF or MP4 of the game and its dream side by side under the same actions."""

from __future__ import annotations

from pathlib import Path

from storage.atomic import replacing_path
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.animation import compose, write_gif
from worldgen_core.evaluation.mp4 import write_mp4
from worldgen_core.evaluation.sample_play import play_sample
from worldgen_core.games.catalogue import get_game
from worldgen_core.models.card import read_card
from worldgen_core.models.load import load_world_model
from worldgen_core.threads import cpu_threads

_SCALE = 3
"""Factor by which pictures are enlarged."""


def write_sample(
    model_folder: Path,
    out_path: Path,
    *,
    num_frames: int = 300,
    seed: int = 0,
    player: str = "rule",
) -> Path:
    """Write the animation and return its path; the file's ending decides the format.

    Raises: ConfigError for an unknown format, game or player; CheckpointError for a damaged model folder.
    """
    chosen = out_path.suffix.removeprefix(".")
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
    with cpu_threads(1):
        sample = play_sample(model, game, player=player, num_frames=num_frames, seed=seed)
    pictures = compose(sample, action_names=game.action_names, scale=_SCALE)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_path(out_path) as partial:
        (write_gif if chosen == "gif" else write_mp4)(pictures, partial, fps=game.fps)
    return out_path
