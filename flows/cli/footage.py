"""`worldgen doctor` and `worldgen make-sample`: folders of videos and action files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.cli.build import AsJson, Set, resolve

if TYPE_CHECKING:
    from worldgen_core.video.doctor import Examined
    from worldgen_core.video.source_settings import SourceSettings

HAS_PROBLEMS = 1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("doctor")(doctor)
    app.command("make-sample")(make_sample)


def doctor(
    folder: Annotated[Path, typer.Argument(help="The folder of videos and action files.")],
    set_: Set = [],  # noqa: B006  # typer copies it
    html: Annotated[Path | None, typer.Option(help="Also write a page with pictures to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a folder of videos and action files is usable; writes nothing into it.

    Status 0: every video gives episodes. Status 1: some video has a problem.
    """
    from worldgen_core.video.doctor import is_usable, report

    config = resolve("pokemon", "laptop", "direct", 0, "auto", set_, data=str(folder))
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    examined = [_examine(source, errors) for source in config.sources]
    found = report(examined)
    if html is not None:
        from storage.atomic import write_bytes
        from worldgen_core.video.doctor_page import page

        write_bytes(html, page(found, examined, title=f"worldgen doctor: {folder.resolve().name}").encode())
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found, folder, html)
    if not is_usable(found):
        raise typer.Exit(HAS_PROBLEMS)


def _examine(source: SourceSettings, errors: Console) -> Examined:
    from worldgen_core.video.doctor import examine

    errors.print(f"looking at {source.source}", markup=False)
    return examine(source)


def _print(found: dict[str, Any], folder: Path, html: Path | None) -> None:
    console = Console(soft_wrap=True, highlight=False)
    table = Table(
        *("video", "picture", "fps", "frames", "actions", "kept", "episodes", "offset"),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for video in found["videos"]:
        table.add_row(*_row(video), style="red" if video["problems"] else None)
    console.print(table)
    for video in found["videos"]:
        for line in [*video["problems"], *video["notes"]]:
            console.print(_named(video["name"], line), markup=False)
        for reason, count in video["dropped"].items():
            console.print(f"{video['name']}: {_counted(count, 'picture')} left out: {reason}", markup=False)
    console.print(_counted(found["episodes"], "episode"))
    if html is not None:
        console.print(f"page: {html}", markup=False)
    if found["episodes"]:
        console.print(f"next: worldgen build pokemon --data {folder}", markup=False)


def _named(name: str, line: str) -> str:
    """The line with the video's name before it, where it does not begin with it."""
    return line if line.startswith((f"{name}:", f"{name}.")) else f"{name}: {line}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _row(video: dict[str, Any]) -> tuple[str, ...]:
    """A video's line of the table, short enough for 80 columns."""
    rate = "-" if video["fps"] is None else f"{video['fps']:.4g}"
    decoded, demuxed = video["frames_decoded"], video["frames_demuxed"]
    lag = video["offset_lag_frames"]
    return (
        video["name"],
        f"{video['width']}x{video['height']} {video['codec']}" if video["codec"] else "-",
        rate if video["is_constant_rate"] in (True, None) else f"{rate} variable",
        str(decoded) if decoded == demuxed else f"{decoded} of {demuxed}",
        str(video["actions"]),
        f"{video['kept']} of {video['pictures']}",
        str(video["episodes"]),
        "-" if lag is None else f"{lag} ({video['offset_confidence']:.0%})",
    )


def make_sample(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world and its players.")] = 0,
    videos: Annotated[int, typer.Option(min=1, max=100, help="How many videos.")] = 3,
    frames: Annotated[int, typer.Option(min=60, help="Frames of each, at 30 a second.")] = 11_240,
) -> None:
    """Record the overworld as videos with action files, in the form that build-pokemon reads."""
    from worldgen_core.video.samples import make_sample as record

    paths = record(folder, seed=seed, num_videos=videos, num_frames=frames)
    for path in paths:
        typer.echo(f"{path} and {path.with_suffix('.txt').name}")
    typer.echo(f"next: worldgen doctor {folder}")
