"""`worldgen import diamond|taesd`: take in weights that others published, as safetensors with a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Take in published weights, as safetensors with a card.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Folder to write.")]


@app.command("diamond")
def diamond(
    path: Annotated[Path, typer.Argument(help="The checkpoint (.pt or .safetensors).")],
    out: Out = Path("diamond-import"),
    game: Annotated[str, typer.Option(help="What it dreams.")] = "csgo",
    height: Annotated[int, typer.Option(min=1, help="Rows of a full frame.")] = 150,
    width: Annotated[int, typer.Option(min=1, help="Columns of a full frame.")] = 280,
    factor: Annotated[int, typer.Option(min=1, help="Full size over low resolution.")] = 5,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second.")] = 16.0,
) -> None:
    """Convert a DIAMOND checkpoint, denoiser and upsampler, into a model folder.

    Python loads it; `worldgen play` does not: it takes models of the store, of games that it knows.
    """
    from worldgen_core.importing.diamond import DiamondFacts, import_diamond

    facts = DiamondFacts(game=game, height=height, width=width, factor=factor, fps=fps)
    card = import_diamond(path, out, facts)
    typer.echo(f"{out}: a diamond model of {len(card.action_names)} actions")
    _print_parameters(card.num_parameters)
    typer.echo(f"next: worldgen_core.models.load.load_world_model(Path({str(out)!r})) in Python")
    typer.echo("      `worldgen play` cannot play it: it takes models of the store, of games that it knows")


@app.command("taesd")
def taesd(
    source: Annotated[str, typer.Argument(help="A folder, or an id on the hub such as madebyollin/taesd.")],
    out: Out = Path("taesd-import"),
) -> None:
    """Convert TAESD's weights into a folder for `--set autoencoder.weights_folder=…`."""
    from worldgen_core.importing.taesd import import_taesd

    card = import_taesd(source, out)
    typer.echo(f"{out}: TAESD")
    _print_parameters(card["num_parameters"])
    typer.echo(f"next: worldgen build flappy --model diamond-vae --set autoencoder.weights_folder={out}")


def _print_parameters(counts: Any) -> None:
    for name, count in counts.items():
        typer.echo(f"  {name:<10} {count:>12,} parameters")
