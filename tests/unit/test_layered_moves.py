"""What the mover learns from, on walks through a drawn world whose truth is known; and that it learns it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tracking_world import RISE, SPEED, SPRITE, TILE, VIEW, draw_map, long_script, take_walk
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_mover import MoverArchitecture, MoverNetwork
from worldgen_core.models.layered_state import UNKNOWN, phase_of
from worldgen_core.training.layered_ground import CLOSED, FREE, SHUNNED, mark_shunned
from worldgen_core.training.layered_moves import MoveSamples, draw_moves, gather_moves, mover_loss
from worldgen_core.training.layered_moves_settings import GROUPS, MoverLossSettings
from worldgen_core.training.layered_scenes import Scene

GAME = MoverGame(
    height=VIEW[0],
    width=VIEW[1],
    tile_px=TILE,
    speed_px=SPEED,
    home=(VIEW[0] // 2 - TILE // 2 - RISE, VIEW[1] // 2 - TILE // 2),
    box=SPRITE,
    anchor=(TILE - RISE, 0),
    pose_facing=(0, 1, 2, 3),
    key_facing=(-1, 0, 1, 2, 3),
)
UP, DOWN, LEFT, RIGHT = 1, 2, 3, 4
ARCH = MoverArchitecture(past=6, window_tiles=5, channels=8, overview_channels=4, width=24)
SETTINGS = MoverLossSettings(batch=32)


def scene_of(script: list[tuple[int, int]], start: tuple[int, int] = (10, 13)) -> Scene:
    """A walk with its truth, the player taken out of it."""
    walk = take_walk(script, start=start)
    ground = draw_map()
    frames = np.stack([ground[y : y + VIEW[0], x : x + VIEW[1]] for y, x in walk.camera.tolist()])
    world = walk.place + walk.camera
    num = len(frames)
    return Scene(
        episode_id="walk",
        first=0,
        frames=frames,
        is_known=np.ones((num, *VIEW), np.bool_),
        camera=walk.camera - walk.camera[0],
        grid=-walk.camera[0] % TILE,
        found=np.ones(num, np.bool_),
        place=walk.place,
        facing=walk.facing,
        pose=walk.facing,
        motion=np.diff(world, axis=0, prepend=world[:1]),
        motion_known=np.arange(num) > 0,
        action=walk.actions,
        ends_in_cut=False,
    )


def network() -> MoverNetwork:
    torch.manual_seed(0)
    return MoverNetwork(ARCH, GAME)


def samples_of(*scenes: Scene, weight: float = 0.0) -> MoveSamples:
    return gather_moves(scenes, network(), SETTINGS.model_copy(update={"shunned_weight": weight}))


def test_every_frame_but_the_last_is_a_sample_on_the_grid_at_rest() -> None:
    scene = scene_of([(0, 4), (RIGHT, 8), (0, 5)])
    samples = samples_of(scene)
    assert len(samples.group) == len(scene.frames) - 1
    resting = samples.motion[:, -1] == 0
    assert (phase_of(samples.state, GAME)[resting] == 0).all()


def test_groups_tell_starts_walks_stops_and_blocked_presses() -> None:
    samples = samples_of(scene_of([(0, 4), (UP, 4), (0, 3), (UP, 5), (0, 2)], start=(1, 3)))
    names = [GROUPS[index] if index >= 0 else None for index in samples.group.tolist()]
    assert names[4:8] == ["start", "walk", "walk", "walk"]
    assert names[8] == "stop"
    assert names[11:16] == ["blocked"] * 5
    assert names[16] == "idle"


def test_tiles_that_were_entered_are_free_and_those_that_stopped_the_player_closed() -> None:
    samples = samples_of(scene_of([(0, 4), (UP, 4), (0, 3), (UP, 5), (0, 2)], start=(1, 3)))
    assert samples.is_free[2].tolist() == [FREE, UNKNOWN, UNKNOWN, UNKNOWN]
    assert samples.is_free[12].tolist() == [CLOSED, FREE, UNKNOWN, UNKNOWN]


def test_a_player_that_does_not_even_turn_was_stopped_by_something_else() -> None:
    scene = scene_of([(0, 4), (UP, 6), (0, 3)], start=(0, 3))
    frozen = replace(scene, facing=np.ones_like(scene.facing))
    assert samples_of(scene).is_free[5, 0] == CLOSED
    assert samples_of(frozen).is_free[5, 0] == UNKNOWN


def test_the_camera_cannot_follow_over_the_maps_edge() -> None:
    samples = samples_of(scene_of([(0, 4), (UP, 40), (0, 3)], start=(8, 13)))
    goes = samples.follows[:, 0]
    assert goes[5] == 1
    assert goes[-2] == 0


def test_what_obeys_a_key_before_it_shows_is_not_learnt() -> None:
    """The key came between two frames: its motion is seen before its label."""
    scene = scene_of([(0, 6), (RIGHT, 8), (0, 5)])
    late = np.concatenate([scene.action[:1], scene.action[:-1]])
    early = replace(scene, action=late)
    start = 6
    assert samples_of(scene).next_motion[start] > 0
    assert samples_of(early).next_motion.shape[0] == len(scene.frames) - 3, "start and stop are left out"


def test_only_looks_that_were_never_entered_are_shunned() -> None:
    window = torch.full((2, 4, 3 * TILE, 3 * TILE), 255, dtype=torch.uint8)
    window[:, :3] = 90
    window[0, :3, :TILE, TILE : 2 * TILE] = 200
    window[1, 3, :TILE] = 0
    is_free = torch.tensor([[UNKNOWN, FREE, UNKNOWN, CLOSED], [UNKNOWN, FREE, UNKNOWN, UNKNOWN]])
    marked = mark_shunned(window, is_free, GAME, tolerance=20.0)
    assert marked.tolist() == [
        [SHUNNED, FREE, UNKNOWN, CLOSED],
        [UNKNOWN, FREE, UNKNOWN, UNKNOWN],
    ]
    assert (mark_shunned(window, is_free, GAME, tolerance=150.0) != SHUNNED).all()


def test_a_batch_is_balanced_and_a_function_of_its_seed() -> None:
    samples = samples_of(scene_of([(0, 60), (RIGHT, 8), (0, 60)]))
    many = SETTINGS.model_copy(update={"batch": 400})
    first, again, other = (
        draw_moves(samples, GAME, many, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.motion, again.motion)
    assert not torch.equal(first.motion, other.motion)
    starts = (first.group == GROUPS.index("start")).float().mean()
    assert starts > 0.2
    assert (first.motion == UNKNOWN).any(), "some histories are cut short"
    side = first.window.shape[-1]
    behind = first.window[:, 3, side // 2, side // 2]
    assert 0.3 < (behind == 0).float().mean() < 0.5, "in some the world behind the player is not known"
    assert (first.window[:, 3, side // 2, 0] == 255).all()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_loss_is_finite_where_hardly_anything_is_known(weight: float) -> None:
    samples = samples_of(scene_of([(0, 20)]), weight=weight)
    losses = mover_loss(network(), samples.take(torch.arange(8)), SETTINGS)
    assert all(torch.isfinite(value) for value in losses.values())


def test_the_losses_of_a_batch_in_parts_add_up() -> None:
    samples = samples_of(scene_of([(0, 60), (RIGHT, 8), (0, 60)]))
    batch = draw_moves(samples, GAME, SETTINGS, torch.Generator().manual_seed(1))
    mover, num = network(), len(batch.group)
    whole = mover_loss(mover, batch, SETTINGS)
    parts = [mover_loss(mover, batch, SETTINGS, torch.arange(index, num, 3)) for index in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(torch.stack([part[name] for part in parts]).sum(), value, msg=name)


def test_the_mover_learns_to_walk_and_to_stop() -> None:
    samples = samples_of(scene_of(long_script(12)))
    mover = network()
    optimizer = torch.optim.Adam(mover.parameters(), lr=5e-3)
    for step in range(60):
        batch = draw_moves(samples, GAME, SETTINGS, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        mover_loss(mover, batch, SETTINGS)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        out = mover(samples.sight, samples.state)
    is_right = (out.motion.argmax(1) == samples.next_motion).float()
    assert is_right[samples.group == GROUPS.index("start")].mean() > 0.8
    assert is_right[samples.group == GROUPS.index("stop")].mean() > 0.8
