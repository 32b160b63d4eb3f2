"""What games promise independently of any game: event windows, the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import EventWindow
from worldgen_core.games.catalogue import GAME_NAMES, game_module, get_facts, get_game, get_tile_game


def steps(num_frames: int, *, deaths: tuple[int, ...] = (), rewards: dict[int, float] | None = None):
    reward, terminated = np.zeros(num_frames, np.float32), np.zeros(num_frames, bool)
    terminated[list(deaths)] = True
    for frame, value in (rewards or {}).items():
        reward[frame] = value
    return reward, terminated


def test_deaths_are_found_where_they_are():
    window = EventWindow("terminated", share=0.1)
    assert window.frames(*steps(20, deaths=(4, 19))).tolist() == [4, 19]


def test_offsets_stay_in_the_events_own_life():
    window = EventWindow("terminated", share=0.1, offsets=(-6, -1, 1))
    assert window.frames(*steps(20, deaths=(4, 12))).tolist() == [3, 6, 11]


def test_a_reward_belongs_to_the_frame_it_leads_to():
    window = EventWindow("reward_at_least", share=0.1, value=1.0, offsets=(0, 3))
    rewards = {2: 1.0, 5: 0.1, 7: 1.0}
    assert window.frames(*steps(20, deaths=(10,), rewards=rewards)).tolist() == [3, 6, 8]


def test_a_period_repeats_until_the_life_ends():
    window = EventWindow("life_start", share=0.1, offsets=(1, 3), period=5)
    assert window.frames(*steps(16, deaths=(8,))).tolist() == [1, 3, 6, 8, 10, 12, 15]


def test_every_game_of_the_catalogue_has_its_own_name():
    assert [get_facts(name).name for name in GAME_NAMES] == list(GAME_NAMES)


def test_a_game_of_another_kind_is_one_clear_error():
    assert get_game("flappy").num_features == 6
    assert get_tile_game("overworld").tile_size == 16
    with pytest.raises(ConfigError, match="overworld: expected a game of lives"):
        get_game("overworld")
    with pytest.raises(ConfigError, match="flappy: expected a tile game"):
        get_tile_game("flappy")


def test_an_unknown_game_is_one_clear_error():
    with pytest.raises(ConfigError, match="flappy"):
        game_module("flapy")
