"""The mover's arithmetic on states written down by hand: grid, camera, windows, headings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from worldgen_core.models.layered_facts import (
    heading_of,
    num_pose_facts,
    num_turned_facts,
    pose_facts,
    turned_facts,
    turned_motions,
    turned_ways,
    way_index,
)
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_mover import (
    MoverArchitecture,
    MoverNetwork,
    decide,
    motion_index,
    start_state,
)
from worldgen_core.models.layered_state import (
    UNKNOWN,
    Move,
    MoverState,
    advance,
    camera_shift,
    look,
    phase_of,
    possible_motions,
    stand_of,
)
from worldgen_core.tracking.settings import FACINGS, STEPS

GAME = MoverGame(
    height=40,
    width=48,
    tile_px=8,
    speed_px=2,
    home=(14, 20),
    box=(11, 8),
    anchor=(5, 0),
    pose_facing=(0, 1, 2, 3),
    key_facing=(-1, 0, 1, 2, 3, -1),
)
UP, DOWN, LEFT, RIGHT = 1, 2, 3, 4
ARCH = MoverArchitecture(past=4, window_tiles=5, overview_block=4, channels=8, overview_channels=4, width=16)
INDEX = {step: index for index, step in enumerate(GAME.motions)}


def state_of(
    place: tuple[int, int] = (14, 20), motions: tuple[tuple[int, int] | None, ...] = ((0, 0),) * 4
) -> MoverState:
    """A player whose tile is on the grid when `place` is its home."""
    indices = [UNKNOWN if step is None else INDEX[step] for step in motions]
    return MoverState(
        place=torch.tensor([place]),
        camera=torch.tensor([[0, 0]]),
        grid=torch.tensor([[1, 4]]),
        act=torch.zeros(1, len(motions), dtype=torch.int64),
        motion=torch.tensor([indices]),
        pose=torch.tensor([1]),
    )


def allowed(state: MoverState) -> set[tuple[int, int]]:
    return {
        step
        for step, is_so in zip(GAME.motions, possible_motions(state, GAME)[0].tolist(), strict=True)
        if is_so
    }


def test_the_table_of_motions_holds_every_step_of_the_speed_and_none_first() -> None:
    assert GAME.motions[0] == (0, 0)
    assert len(GAME.motions) == 13
    assert {abs(dy) + abs(dx) for dy, dx in GAME.motions} == {0, 1, 2}


def test_the_player_stands_on_the_tile_under_the_bottom_of_its_box() -> None:
    assert GAME.foot == (3, 0)
    assert (GAME.foot[0] + GAME.anchor[0]) % GAME.tile_px == 0


def test_at_rest_on_the_grid_any_way_is_open_at_full_speed() -> None:
    state = state_of()
    assert phase_of(state, GAME).tolist() == [[0, 0]]
    assert allowed(state) == {(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)}


def test_a_walk_off_the_grid_goes_on() -> None:
    assert allowed(state_of((14, 22), ((0, 2),) * 4)) == {(0, 2)}
    assert allowed(state_of((14, 18), ((0, -2),) * 4)) == {(0, -2)}


def test_a_walk_that_would_pass_the_edge_may_stop_there_go_on_or_turn() -> None:
    state = state_of((14, 27), ((0, 2),) * 4)
    assert allowed(state) == {(0, 2), (0, 1), (1, 1), (-1, 1)}


def test_a_walk_of_which_nothing_is_known_may_go_anywhere() -> None:
    assert len(allowed(state_of((14, 22), (None,) * 4))) == len(GAME.motions)


@pytest.mark.parametrize(
    ("offset", "step", "follows", "shift"),
    [
        ((0, 0), (2, 0), True, (2, 0)),
        ((0, 0), (2, 0), False, (0, 0)),
        ((4, 0), (2, 0), True, (0, 0)),
        ((4, 0), (-2, 0), True, (0, 0)),
        ((1, 0), (-2, 0), True, (-1, 0)),
        ((1, 0), (-2, 0), False, (0, 0)),
        ((0, 9), (2, 0), True, (2, 0)),
    ],
)
def test_the_camera_waits_until_the_player_is_home(
    offset: tuple[int, int], step: tuple[int, int], follows: bool, shift: tuple[int, int]
) -> None:
    result = camera_shift(torch.tensor([offset]), torch.tensor([step]), torch.full((1, 2), follows))
    assert result.tolist() == [list(shift)]


def test_a_step_moves_player_or_camera_and_is_remembered() -> None:
    follows = torch.tensor([[False, False, False, True]])
    move = Move(torch.tensor([INDEX[0, 2]]), follows, torch.tensor([3]))
    state = advance(state_of(), torch.tensor([RIGHT]), move, GAME)
    assert state.camera.tolist() == [[0, 2]]
    assert state.place.tolist() == [[14, 20]]
    assert state.act[0, -1] == RIGHT
    assert state.motion[0, -1] == INDEX[0, 2]
    back = advance(state, torch.tensor([LEFT]), move._replace(motion=torch.tensor([INDEX[0, -2]])), GAME)
    assert back.camera.tolist() == [[0, 2]]
    assert back.place.tolist() == [[14, 18]]


def test_the_window_is_about_the_tile_that_the_walk_reaches() -> None:
    assert stand_of(state_of(), GAME).tolist() == [[17, 20]]
    assert stand_of(state_of((14, 22), ((0, 2),) * 4), GAME).tolist() == [[17, 28]]
    assert stand_of(state_of((14, 26), ((0, -2),) * 4), GAME).tolist() == [[17, 20]]
    assert stand_of(state_of((14, 26), (None,) * 4), GAME).tolist() == [[17, 28]]


def test_what_is_beyond_the_screen_or_unknown_is_not_shown() -> None:
    screen = torch.full((1, 40, 48, 3), 200, dtype=torch.uint8)
    is_known = torch.ones(1, 40, 48, dtype=torch.bool)
    is_known[0, 2, 3] = False
    sight = look(torch.tensor([[0, 0]]), screen, is_known, GAME, window_tiles=3, block=4)
    assert sight.window.shape == (1, 4, 24, 24)
    assert sight.window[0, :, 7, 12].tolist() == [0, 0, 0, 0]
    assert sight.window[0, :, 8, 8].tolist() == [200, 200, 200, 255]
    assert sight.window[0, :, 10, 11].tolist() == [0, 0, 0, 0]
    assert sight.overview[0, 3, 0, 0] == round(255 * 15 / 16)


def test_the_heading_is_the_key_or_the_last_motion_or_the_look() -> None:
    resting = state_of()
    walking = state_of((14, 22), ((0, 0), (0, 2), (0, 2), (0, 2)))
    pressed = replace(walking, act=torch.tensor([[0, 0, 0, UP]]))
    headings = [heading_of(state, GAME).item() for state in (resting, walking, pressed)]
    assert [FACINGS[int(heading)] for heading in headings] == ["down", "right", "up"]


def test_turned_ways_and_motions_agree() -> None:
    """The way that is ahead is the motion that is turned upwards, whichever the heading."""
    headings = torch.arange(4)
    ways, motions = turned_ways(headings), turned_motions(headings, GAME)
    for heading, facing in enumerate(FACINGS):
        assert ways[heading, 0] == heading
        dy, dx = STEPS[facing]
        assert GAME.motions[int(motions[heading, INDEX[2 * dy, 2 * dx]])] == (-2, 0)
        left = STEPS[FACINGS[int(ways[heading, 2])]]
        assert GAME.motions[int(motions[heading, INDEX[2 * left[0], 2 * left[1]]])] == (0, -2)


def test_a_walk_looks_the_same_whichever_way_it_goes() -> None:
    rows = []
    for facing, key in zip(FACINGS, (UP, DOWN, LEFT, RIGHT), strict=True):
        dy, dx = STEPS[facing]
        state = state_of((14 + 2 * dy, 20 + 2 * dx), ((0, 0), (0, 0), (0, 0), (2 * dy, 2 * dx)))
        told = replace(
            state, act=torch.tensor([[0, 0, key, key]]), pose=torch.tensor([FACINGS.index(facing)])
        )
        rows.append(turned_facts(told, heading_of(told, GAME), GAME))
        assert rows[-1].shape == (1, num_turned_facts(GAME, 4))
        assert pose_facts(told, told.motion[:, -1], GAME).shape == (1, num_pose_facts(GAME))
    for row in rows[1:]:
        assert torch.equal(row, rows[0])


def test_steps_have_ways_and_places_in_the_table() -> None:
    steps = torch.tensor([[0, 0], [-2, 0], [1, -1], [0, 1], [0, 5]])
    assert way_index(steps).tolist() == [-1, 0, 1, 3, 3]
    known = torch.tensor([True, True, True, False, True])
    assert motion_index(steps, known, GAME).tolist() == [0, INDEX[-2, 0], INDEX[1, -1], UNKNOWN, UNKNOWN]


def test_dreams_of_a_batch_do_not_mind_each_other() -> None:
    torch.manual_seed(0)
    network = MoverNetwork(ARCH, GAME).eval()
    screen = torch.randint(0, 256, (3, 40, 48, 3), dtype=torch.uint8)
    is_known = torch.ones(3, 40, 48, dtype=torch.bool)
    state = start_state(
        network,
        place=torch.tensor([[[14, 20]] * 3] * 3),
        camera=torch.tensor([[[0, 0]] * 3] * 3),
        is_found=torch.ones(3, 3, dtype=torch.bool),
        grid=torch.tensor([[1, 4]] * 3),
        act=torch.zeros(3, 2, dtype=torch.int64),
        pose=torch.tensor([0, 1, 2]),
    )
    assert state.motion.tolist() == [[UNKNOWN, UNKNOWN, 0, 0]] * 3
    action = torch.tensor([UP, RIGHT, 0])
    together = decide(network, state, action, screen, is_known)
    for row in range(3):
        own = MoverState(*(getattr(state, name)[row : row + 1] for name in state.__slots__))
        alone = decide(network, own, action[row : row + 1], screen[row : row + 1], is_known[row : row + 1])
        assert torch.equal(alone.state.place[0], together.state.place[row])
        assert torch.equal(alone.state.camera[0], together.state.camera[row])
        assert torch.allclose(alone.leaves[0], together.leaves[row], atol=1e-5)
