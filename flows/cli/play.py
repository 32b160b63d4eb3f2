"""`worldgen play`: open a browser tab and the network is the game."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.build import Device, Game
from flows.cli.studio import Dataset

if TYPE_CHECKING:
    from storage.artifacts import ArtifactStore
    from storage.manifest import Manifest

_TOKEN_BYTES = 18


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("play")(play)


def play(
    game: Game = "flappy",
    model: Annotated[
        str, typer.Option("--model", help="A model's artifact; default: the champion, else the newest.")
    ] = "",
    dataset: Dataset = "default",
    device: Device = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a phone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser tab.")] = True,
    players: Annotated[int, typer.Option(min=1, max=64, help="Players at once; others wait.")] = 2,
    threads: Annotated[int, typer.Option(min=1, max=64, help="CPU threads of a step.")] = 1,
) -> None:
    """Play a world model in the browser, with the true game one key away where there is one."""
    from worldgen_core.play.serve import listen, serve
    from worldgen_core.play.server import make_app
    from worldgen_core.play.settings import LOCAL_HOSTS, ServerSettings
    from worldgen_core.play.theatre import open_theatre

    token = None if host in LOCAL_HOSTS else secrets.token_urlsafe(_TOKEN_BYTES)
    settings = ServerSettings(host=host, port=port, token=token, max_players=players)
    listener = listen(settings)
    model_folder, dataset_folder, standing = find_playable(game, dataset, model)
    typer.echo(f"loading {standing}: {model_folder}")
    began = time.monotonic()
    theatre = open_theatre(model_folder, dataset_folder, device=device, threads=threads)
    facts = theatre.model_facts
    typer.echo(
        f"  {facts['name']}, {facts['parameters'] / 1e6:.1f}M parameters, {len(theatre.starts)} held-out "
        f"starts, {time.monotonic() - began:.1f} s"
    )
    url = address(host, listener.getsockname()[1], token)

    def ready() -> None:
        typer.echo(f"play at {url}   (Ctrl-C ends it)")
        if browser:
            typer.launch(url)

    serve(make_app(theatre, settings), listener, settings, on_ready=ready)


def address(host: str, port: int, token: str | None) -> str:
    """The URL to open; for all addresses of this machine, the one by which others reach it."""
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def find_playable(game: str, dataset_name: str, artifact: str) -> tuple[Path, Path | None, str]:
    """Folders of a model and of its dataset (None if that is gone), and what the model is.

    The named artifact, else the champion, else the newest model of the game.
    Raises: StorageError that says what to build.
    """
    from storage.champions import read_champion
    from storage.errors import StorageError
    from storage.location import open_store
    from worldgen_core.models.card import read_card

    store = open_store()
    champion = read_champion(store.root, game, dataset_name)
    if artifact:
        manifest, standing = store.resolve(artifact), "the model"
    elif champion is not None:
        manifest, standing = store.manifest(champion.model), f"the champion of {game}"
    else:
        found = [m for m in store.manifests("train_model") if read_card(store.path(m.ref)).game == game]
        if not found:
            raise StorageError(
                f"no model of {game} to play",
                expected="a trained model",
                found=f"none in {store.root}",
                next_step=f"worldgen build {game}",
            )
        manifest, standing = found[-1], f"the newest model of {game}, which is no champion"
    made_of = _ancestors(store, manifest)
    datasets = [
        store.path(m.ref)
        for stage in ("capture", "slice_videos")
        for m in store.manifests(stage)
        if m.digest in made_of
    ]
    return store.path(manifest.ref), datasets[-1] if datasets else None, standing


def _ancestors(store: ArtifactStore, manifest: Manifest) -> set[str]:
    """Digests of everything that went into an artifact, through latents and the like too."""
    known = {other.digest: other for other in store.manifests()}
    found: set[str] = set()
    waiting = list(manifest.key_parts.inputs.values())
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting += known[digest].key_parts.inputs.values() if digest in known else ()
    return found


def _own_address() -> str:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only asks which of this machine's addresses faces the others.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
