"""Trains the `layered` model: takes episodes apart, then teaches both networks side by side."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from storage.clips import ClipReader
from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import (
    WEIGHTS_FILE,
    count_parameters,
    fill,
    read_weights,
    settings_of,
)
from worldgen_core.models.layered_game import make_game
from worldgen_core.models.layered_mover import MoverNetwork
from worldgen_core.models.layered_network import LayeredNetwork, LayeredShape
from worldgen_core.models.layered_tiles import distances
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.rows import split_rows
from worldgen_core.seeds import derive_seed
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.finish import write_model
from worldgen_core.training.launch import in_processes
from worldgen_core.training.layered_atlas import Atlas, make_atlas
from worldgen_core.training.layered_doors import find_passages
from worldgen_core.training.layered_moves import MoveSamples, draw_moves, gather_moves, mover_loss
from worldgen_core.training.layered_scenes import find_scenes, track_episodes, usual_speed
from worldgen_core.training.layered_settings import LayeredSettings
from worldgen_core.training.layered_windows import Windows, WindowSampler, tile_loss
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.phases import slowed
from worldgen_core.training.starting import read_start


class LayeredObjective:
    """The tile network's cross-entropy and the mover's, added up; they share no weights."""

    def __init__(
        self,
        network: LayeredNetwork,
        settings: LayeredSettings,
        windows: Prefetcher[Windows],
        moves: MoveSamples,
    ) -> None:
        self.module: nn.Module = network
        self.matrices = [*network.tiles.inner_matrices(), *network.mover.inner_matrices()]
        self._network, self._settings = network, settings
        self._windows, self._moves = windows, moves

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of this step's windows and moves, and its parts."""
        windows, mover = self._windows(train_step), self._network.mover
        tiles = tile_loss(self._network.tiles, windows, split_rows(len(windows.shown), generator))
        batch = draw_moves(self._moves, mover.game, self._settings.moves, generator)
        rows = split_rows(len(batch.group), generator)
        moves = mover_loss(mover, batch, self._settings.moves, rows)
        return {"tiles": tiles.detach(), **moves, "loss": tiles + moves["loss"]}


@in_processes
def train_layered(
    settings: LayeredSettings,
    dataset: Path,
    start: Path | None,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train on `dataset`, from fresh weights or on from the model folder `start`, and write `out`.

    Writes model.json, model.safetensors (averaged weights, the book of tiles, the player's sprites),
    metrics.jsonl and curves.png. It trains on the CPU whatever the device is: its networks are small, and
    what they learn from is put together there.
    Raises: ConfigError if nothing is assumed of the game that this model needs, or if `start` is a model of
    another kind or world; TrackingError if camera or player cannot be told; CheckpointError, DivergenceError.
    """
    reader = ClipReader(dataset)
    tracking = _tracking(settings, reader)
    old = _finished(start, settings) if start is not None else None
    tracked, bank = track_episodes(
        reader,
        "train",
        tracking,
        bank=old.bank() if old is not None else None,
        num_threads=settings.loop.num_threads,
        progress=progress,
    )
    scenes = find_scenes(tracked, bank, tracking)
    del tracked
    seed = derive_seed(settings.seed, "atlas")
    atlas = make_atlas(scenes, tracking.tile_px, settings.atlas, seed=seed)
    network = _fresh_network(settings, reader, tracking, atlas, bank)
    if old is not None:
        settings = settings.model_copy(update={"loop": slowed(settings.loop, settings.warm_rate_share)})
        _check_same(start, "game", network.shape.game, old.shape.game)
        _continue_from(old, network, tolerance=settings.atlas.tolerance)
    run = _train(settings, network, atlas, resume, progress)
    return write_model(
        out,
        model="layered",
        info=reader.info,
        settings=network.shape.model_dump(mode="json"),
        num_parameters=count_parameters(network),
        weights={WEIGHTS_FILE: run.weights},
        run=run,
        num_steps=settings.num_steps,
        seed=settings.seed,
        curves=("loss", "tiles", "motion", "pose"),
        result=f"{network.shape.num_tiles} tiles",
    )


def _tracking(settings: LayeredSettings, reader: ClipReader) -> TrackingSettings:
    tracking = settings.tracking or get_facts(reader.info.game).assumptions.tracking
    if tracking is None or not tracking.scrolls:
        raise ConfigError(
            f"model layered: game {reader.info.game}",
            expected="a game whose camera follows a player over tiles, by whole pixels",
            found="nothing of that kind is known of it",
            next_step="train `--model direct`, or say it with --set layered.tracking.scrolls=true "
            "--set layered.tracking.tile_px=8 and the keys that walk",
        )
    return tracking


def _fresh_network(
    settings: LayeredSettings, reader: ClipReader, tracking: TrackingSettings, atlas: Atlas, bank: SpriteBank
) -> LayeredNetwork:
    info = reader.info
    game = make_game(
        bank,
        tracking,
        info.action_names,
        frame_shape=(info.height, info.width),
        anchor=atlas.anchor,
        speed_px=usual_speed(atlas.scenes),
    )
    with torch.random.fork_rng(devices=[]):
        passages = find_passages(atlas.scenes, MoverNetwork(settings.architecture.mover, game), reader)
    shape = LayeredShape(
        architecture=settings.architecture,
        game=game,
        tracking=tracking,
        num_tiles=len(atlas.book),
        num_passages=len(passages),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        network = LayeredNetwork(shape)
    network.book.copy_(atlas.book)
    network.set_bank(bank)
    network.set_passages(passages)
    return network


def _train(
    settings: LayeredSettings, network: LayeredNetwork, atlas: Atlas, resume: Path, progress: Progress
) -> TrainingRun:
    arch, side = settings.architecture.tiles, network.shape.tracking.tile_px
    game = network.shape.game
    sampler = WindowSampler(
        atlas.maps,
        shape=(arch.rows, arch.columns),
        screen=(game.height // side + 1, game.width // side + 1),
        num_tiles=len(atlas.book),
        settings=settings.windows,
        seed=settings.seed,
    )
    windows = Prefetcher(sampler.batch, settings.num_steps)
    moves = gather_moves(atlas.scenes, network.mover, settings.moves)
    try:
        run = run_training(
            LayeredObjective(network, settings, windows, moves),
            settings.loop,
            seed=settings.seed,
            num_steps=settings.num_steps,
            num_frames_at=lambda _: settings.windows.batch_size + settings.moves.batch,
            resume=resume,
            progress=progress,
            label="windows and moves",
        )
    finally:
        windows.close()
    return run


def _finished(start: Path, settings: LayeredSettings) -> LayeredNetwork:
    """The model to train on from; its mover means the player's looks by number, so they are kept.

    Raises: ConfigError for a model of another kind or size, before minutes of footage are tracked.
    """
    card = read_start(start, "layered")
    network = LayeredNetwork(settings_of(card, LayeredShape))
    _check_same(start, "architecture", settings.architecture, network.shape.architecture)
    fill(network, read_weights(start, card), source=str(start))
    return network


def _check_same(start: Path | None, what: str, wanted: BaseModel, found: BaseModel) -> None:
    if wanted != found:
        raise ConfigError(
            f"{start}: {what} of the model to train on from",
            expected=repr(wanted),
            found=repr(found),
            next_step="train without a start: the footage or the size of the model has changed",
        )


def _continue_from(old: LayeredNetwork, network: LayeredNetwork, *, tolerance: float) -> None:
    """Take over the networks of a finished model.

    The book is made afresh, so a tile takes over what was learnt of the old tile that looks like it; a tile
    that is new starts fresh.
    """
    network.mover.load_state_dict(old.mover.state_dict())
    squares = distances(network.book, torch.ones_like(network.book, dtype=torch.bool), old.book)
    nearest = squares.min(dim=1)
    is_old = nearest.values <= tolerance**2
    tiles, learnt = network.tiles.state_dict(), old.tiles.state_dict()
    by_tile = {"embed.weight", "output.weight", "output.bias"}
    for name in tiles.keys() - by_tile:
        tiles[name].copy_(learnt[name])
    for name in by_tile:
        tiles[name][: len(is_old)][is_old] = learnt[name][nearest.indices[is_old]]
    tiles["embed.weight"][-1] = learnt["embed.weight"][-1]
