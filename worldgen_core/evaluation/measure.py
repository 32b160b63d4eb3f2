"""Takes all panels: which rollouts they need, and which panels a game can offer.

A game of lives gets every panel (`measure_simulated`). A recording gets pictures, distribution and stability
(`measure_recorded`), and where its player can be tracked what keys do and long walks (measure_tiles.py).
Panel 6, play, is the benchmark's: timings have no place in a reproducible report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from storage.clips import ClipReader
from worldgen_core.evaluation.action_panel import action_panel, counterfactual_starts
from worldgen_core.evaluation.distribution_panel import distribution_panel
from worldgen_core.evaluation.dream import frames_wanted, rows_by_length
from worldgen_core.evaluation.image_panel import image_panel, round_trips
from worldgen_core.evaluation.jobs import JobPool, Meter
from worldgen_core.evaluation.measure_tiles import TileJobs, TileMeasured, plan_for
from worldgen_core.evaluation.own_play import Play
from worldgen_core.evaluation.players_panel import BLIND_PLAYERS, players_panel
from worldgen_core.evaluation.recorded import recorded_starts, training_frames
from worldgen_core.evaluation.rollouts import Along, AlongJobs, OwnPlayJobs, recorded_play, recorded_reference
from worldgen_core.evaluation.sample_play import Sample, play_sample, sample_of, walk_sample
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.evaluation.stability_panel import segment_series, stability_panel
from worldgen_core.evaluation.starts import Starts, draw_starts
from worldgen_core.evaluation.state_panel import curves, state_panel
from worldgen_core.evaluation.tile_plan import TilePlan
from worldgen_core.evaluation.walks_panel import Walk
from worldgen_core.games.base import Game
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.interface import WorldModel
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed

MakeModel = Callable[[], WorldModel]
_SAMPLE_PLAYER = "clumsy"


@dataclass(frozen=True)
class Measured:
    """The panels by name, curves to plot, and what pictures are made of."""

    panels: dict[str, dict[str, Any]]
    series: dict[str, dict[str, list[Any]]]
    along: Along
    own: Play
    sample: Sample
    walks: tuple[Walk, ...] = ()


def measure_simulated(
    settings: EvaluateSettings, game: Game, make_model: MakeModel, reader: ClipReader, progress: Progress
) -> Measured:
    """Take every panel of a game with a simulator."""
    seed = derive_seed(settings.seed, "evaluate")
    pool = JobPool(make_model, settings.num_threads)
    starts = draw_starts(
        game,
        seed=seed,
        num_starts=settings.num_starts,
        horizon=settings.horizon,
        num_context_frames=pool.num_context_frames,
    )
    pairs = counterfactual_starts(
        game, seed=seed, num_pairs=settings.num_counterfactuals, num_context_frames=pool.num_context_frames
    )
    names = ["rule"] * settings.num_games + [
        name for name in BLIND_PLAYERS for _ in range(settings.num_blind_slots)
    ]
    num_own = len(names) * (settings.num_own_frames + settings.game_frames)
    total = (
        _frames_along(starts, settings) + _frames_along(pairs, settings) + num_own + settings.sample_frames
    )
    meter = Meter(total, progress)
    with pool.working(meter):
        own_jobs = OwnPlayJobs(
            pool,
            game,
            names,
            num_frames=settings.num_own_frames,
            game_frames=settings.game_frames,
            seed=derive_seed(seed, "own"),
            meter=meter,
        )
        along_jobs = _along_jobs(pool, starts, settings, game, meter)
        pair_jobs = _along_jobs(pool, pairs, settings, game, meter)
        sampling = pool.submit(
            partial(
                play_sample,
                game=game,
                player=_SAMPLE_PLAYER,
                num_frames=settings.sample_frames,
                seed=seed,
                count=meter,
            )
        )
        passing = pool.submit(partial(round_trips, starts=starts))
        candidates = _candidates(settings, reader)
        along, pair, (own, true_play) = along_jobs.result(), pair_jobs.result(), own_jobs.result()
        sample, passed = sampling.result(), passing.result()
    heights = {"dream_height": along.dream_height, "truth_height": along.truth_height}
    panels = {
        "state": state_panel(starts, along.dream, **heights),
        "actions": action_panel(pair, along),
        "players": players_panel(own, true_play, game_frames=settings.game_frames),
        "images": image_panel(starts, along.dream, training_frames=candidates, round_trips=passed),
        "distribution": distribution_panel(starts, along.dream, seed=seed),
        "stability": stability_panel(own, true_play, segment_frames=settings.stability_segment_frames),
    }
    series = {
        "state": curves(starts, **heights),
        "stability": segment_series(own, true_play, segment_frames=settings.stability_segment_frames),
    }
    return Measured(panels, series, along, own, sample)


def measure_recorded(
    settings: EvaluateSettings, make_model: MakeModel, reader: ClipReader, progress: Progress
) -> Measured:
    """Take the panels that need no simulator of lives, on the validation split of a recording."""
    seed = derive_seed(settings.seed, "evaluate")
    pool = JobPool(make_model, settings.num_threads)
    starts = recorded_starts(
        reader,
        seed=derive_seed(seed, "recorded"),
        num_starts=settings.num_starts,
        horizon=settings.horizon,
        num_context_frames=pool.num_context_frames,
    )
    plan = plan_for(settings, reader, pool.num_context_frames)
    num_slots = len(starts.death)
    num_own = max(settings.horizon, -(-settings.num_stability_frames // num_slots))
    num_tiles = plan.num_frames(settings.batch_size) if isinstance(plan, TilePlan) else 0
    meter = Meter(_frames_along(starts, settings) + num_slots * num_own + num_tiles, progress)
    with pool.working(meter):
        playing = pool.submit(
            partial(recorded_play, starts=starts, num_frames=num_own, seed=seed, count=meter)
        )
        tile_jobs = _tile_jobs(pool, plan, settings, meter)
        along_jobs = _along_jobs(pool, starts, settings, None, meter)
        passing = pool.submit(partial(round_trips, starts=starts))
        candidates = _candidates(settings, reader)
        along, own, passed = along_jobs.result(), playing.result(), passing.result()
        tiles = tile_jobs()
    reference = recorded_reference(starts)
    panels = tiles.panels | {
        "images": image_panel(starts, along.dream, training_frames=candidates, round_trips=passed),
        "distribution": distribution_panel(starts, along.dream, seed=seed),
        "stability": stability_panel(
            own, reference, segment_frames=settings.stability_segment_frames, is_varied=True
        ),
    }
    series = tiles.series | {
        "stability": segment_series(own, reference, segment_frames=settings.stability_segment_frames)
    }
    sample = sample_of(starts, along.dream, int(starts.death.argmax()))
    if tiles.walks:
        sample = walk_sample(tiles.walks[0], settings.sample_frames)
    return Measured(panels, series, along, own, sample, tiles.walks)


def _tile_jobs(
    pool: JobPool, plan: TilePlan | TileMeasured, settings: EvaluateSettings, meter: Meter
) -> Callable[[], TileMeasured]:
    """Start what a plan asks for; called, the result waits for it."""
    if isinstance(plan, TileMeasured):
        return lambda: plan
    seed = derive_seed(settings.seed, "evaluate", "tiles")
    jobs = TileJobs(pool, plan, batch_size=settings.batch_size, seed=seed, meter=meter)
    return partial(jobs.result, settings.tiles)


def _along_jobs(
    pool: JobPool, starts: Starts, settings: EvaluateSettings, game: Game | None, meter: Meter
) -> AlongJobs:
    read = None if game is None else game.read_state
    seed = derive_seed(settings.seed, "evaluate", "along")
    # Where new things may enter anywhere, a true frame would also tell where the player went.
    gives_truth = get_facts(settings.game).assumptions.new_content != "anywhere"
    return AlongJobs(
        pool,
        starts,
        read=read,
        gives_truth=gives_truth,
        seed=seed,
        batch_size=settings.batch_size,
        meter=meter,
    )


def _candidates(settings: EvaluateSettings, reader: ClipReader) -> UInt8[np.ndarray, "n h w c"] | None:
    seed = derive_seed(settings.seed, "evaluate", "nearest")
    return training_frames(reader, seed=seed, num_frames=settings.num_nearest_frames)


def _frames_along(starts: Starts, settings: EvaluateSettings) -> int:
    wanted = frames_wanted(starts)
    return sum(len(rows) * int(wanted[rows].max()) for rows in rows_by_length(starts, settings.batch_size))
