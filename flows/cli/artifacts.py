"""`worldgen artifacts ls|show|lineage|verify|gc`: look into the store and keep it tidy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from storage.artifacts import ArtifactStore
from storage.builds import read_builds
from storage.champions import read_champions
from storage.errors import StorageError
from storage.garbage import (
    KEPT_BUILDS,
    KEPT_WORK_DAYS,
    collect_garbage,
    find_garbage,
    lineage,
    size_of,
)
from storage.location import open_store
from storage.manifest import Manifest

app = typer.Typer(help="Look into the store and keep it tidy.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="STAGE (its newest), STAGE/KEY, or the start of a key or digest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def ls(
    stage: Annotated[str, typer.Argument(help="Only this stage.")] = "",
    as_json: AsJson = False,
) -> None:
    """List all artifacts, oldest first within a stage."""
    store = open_store()
    manifests = list(store.manifests(stage or None))
    champions = {champion.model.digest for champion in read_champions(store.root)}
    if as_json:
        typer.echo(json.dumps([_row(manifest) for manifest in manifests], indent=2))
        return
    table = Table("stage", "key", "digest", "size", "made", "key figure")
    for manifest in manifests:
        star = " (champion)" if manifest.digest in champions else ""
        table.add_row(
            manifest.stage,
            manifest.key[:12],
            manifest.digest[:12],
            _megabytes(manifest.size_bytes),
            manifest.created_at,
            manifest.headline + star,
        )
    Console().print(table if manifests else f"no artifacts in {store.root}")


@app.command()
def show(name: Name) -> None:
    """Print an artifact's manifest: files, key parts, metrics, notes, machine."""
    manifest = open_store().resolve(name)
    typer.echo(json.dumps(manifest.model_dump(mode="json", exclude={"libraries"}), indent=2))


@app.command("lineage")
def show_lineage(name: Name) -> None:
    """Print what an artifact was made from, down to the first stage."""
    store = open_store()
    for depth, manifest in lineage(store, store.resolve(name)):
        where = f"{manifest.stage}/{manifest.key[:12]}"
        typer.echo(f"{'  ' * depth}{where}  commit {manifest.git_commit[:12]}  {manifest.headline}")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="An artifact; all of them by default.")] = "",
) -> None:
    """Hash every file, name what is damaged and mark it for the next build; exit status 1 if anything is."""
    from storage.verify import damaged_units

    store = open_store()
    folders = [store.path(store.resolve(name).ref)] if name else store.folders()
    damaged = {folder: problems for folder in folders if (problems := store.verify(folder))}
    for folder, problems in damaged.items():
        typer.echo(f"{folder}: {'; '.join(problems)}")
        for line in [*damaged_units(folder), f"part of: {_builds_of(store, folder)}"]:
            typer.echo(f"    {line}")
    typer.echo(f"{len(folders) - len(damaged)} of {len(folders)} artifacts are whole")
    if damaged:
        raise StorageError(
            f"{len(damaged)} artifacts",
            expected="files that hold what their manifests promise",
            found="the damage named above; it is marked, so that every build and plan sees it",
            next_step="run the same build again, with the same options: it makes damaged artifacts anew",
        )


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    keep: Annotated[int, typer.Option(min=1, help="Builds of each recipe to keep.")] = KEPT_BUILDS,
    work_days: Annotated[
        float, typer.Option(min=0, help="Days to keep checkpoints and units of a build that never went on.")
    ] = KEPT_WORK_DAYS,
) -> None:
    """Remove what no champion and no recent build needs, and old work of builds that were killed."""
    store = open_store()
    garbage = find_garbage(store, kept_builds=keep, kept_work_days=work_days)
    for manifest in garbage.artifacts:
        typer.echo(f"{manifest.stage}/{manifest.key[:12]}  {_megabytes(manifest.size_bytes)}")
    for path in (*garbage.work, *garbage.leftovers):
        typer.echo(f"{path.relative_to(store.root)}  {_megabytes(size_of(path))}")
    size_bytes = garbage.size_bytes
    if not dry_run:
        collect_garbage(store, garbage)
    freed = "would free" if dry_run else "freed"
    counts = f"{len(garbage.artifacts)} artifacts, work of {len(garbage.work)} unfinished builds"
    typer.echo(f"{freed} {_megabytes(size_bytes)}: {counts}")


def _builds_of(store: ArtifactStore, folder: Path) -> str:
    """The recipes and variants whose builds used an artifact."""
    used = {
        f"{build.recipe} {build.variant}"
        for build in read_builds(store.root)
        if any(store.folder(ref.stage, ref.key) == folder for ref in build.stages)
    }
    return ", ".join(sorted(used)) or "no build on record"


def _row(manifest: Manifest) -> dict[str, object]:
    return {
        "stage": manifest.stage,
        "key": manifest.key,
        "digest": manifest.digest,
        "size_bytes": manifest.size_bytes,
        "created_at": manifest.created_at,
        "headline": manifest.headline,
    }


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
