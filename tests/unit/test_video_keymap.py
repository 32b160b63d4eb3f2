"""Names of keys and labels become actions; held keys become one action."""

from __future__ import annotations

import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.video.keymap import HeldKeysNow, KeyMap, make_keymap

NAMES = ("none", "up", "down", "left", "right", "a", "b", "start")
CODES = {"ArrowUp": 1, "ArrowDown": 2, "ArrowLeft": 3, "ArrowRight": 4, "KeyX": 5, "KeyZ": 6, "Enter": 7}


def keymap(**setting: str | int) -> KeyMap:
    return make_keymap(NAMES, CODES, setting)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("left", 3),
        (" LEFT ", 3),
        ("ArrowLeft", 3),
        ("Key.left", 3),
        ("'a'", 5),
        ("keyx", 5),
        ("3", 3),
        ("7", 7),
        ("none", 0),
        ("noop", 0),
        ("8", None),
        ("-1", None),
        ("lef", None),
        ("", None),
        ("NaN", None),
    ],
)
def test_names_ids_and_codes(name, action):
    assert keymap().find(name) == action


def test_the_setting_wins_over_the_game():
    found = make_keymap(NAMES, CODES, {"a": "b", "W": "up", "jump": 5, "ArrowUp": "down"})
    assert [found.find(name) for name in ("a", "w", "Jump", "ArrowUp")] == [6, 1, 5, 2]


@pytest.mark.parametrize("value", ["lefft", 8, -1, "", "99"])
def test_a_setting_that_names_no_action(value):
    with pytest.raises(ConfigError, match=r"keymap\.w: expected an action: none, up"):
        make_keymap(NAMES, CODES, {"w": value})


def held(found: KeyMap, *events: str) -> int:
    now = HeldKeysNow(found)
    for event in events:
        keys = found.keys(event[1:])
        assert keys is not None
        (now.press if event[0] == "+" else now.release)(keys)
    return now.action


def test_the_key_pressed_last_counts():
    found = keymap()
    assert held(found) == 0
    assert held(found, "+left", "+a") == 5
    assert held(found, "+a", "+left") == 3
    assert held(found, "+left", "+a", "-a") == 3
    assert held(found, "+left", "+a", "-left") == 5
    assert held(found, "+left", "+a", "+left") == 5, "a repeated down does not make a key newer"
    assert held(found, "-left") == 0
    assert held(found, "+left+a") == 5, "of keys that go down at once the last one counts"


def test_combinations_win_over_single_keys():
    found = make_keymap(NAMES, CODES, {"left+a": "start", "left+a+b": "up", "shift+left": "down"})
    assert held(found, "+left", "+a") == 7
    assert held(found, "+a", "+ArrowLeft") == 7, "the order does not matter, nor what the key is called"
    assert held(found, "+a", "+b", "+left") == 1, "the one with the most keys"
    assert held(found, "+left", "+a", "+right") == 7, "other keys do not matter"
    assert held(found, "+shift") == 0
    assert held(found, "+shift", "+left") == 2
    assert held(found, "+left", "+a", "+shift") == 2, "of equal ones that whose newest key is newer"
    assert found.keys("Shift") == ("shift",)


def test_keys_that_mean_nothing_do_not_hide_others():
    found = make_keymap(NAMES, CODES, {"f5": "none"})
    assert held(found, "+left", "+F5") == 3


def test_near_names():
    assert keymap().nearest("lef") == "left"
    assert keymap().nearest("arrowleftt") == "arrowleft"
    assert keymap().nearest("zzzz") is None
