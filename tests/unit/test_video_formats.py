"""Label formats: found by content, read as documented; bad lines are one clear error."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldgen_core.errors import LabelError
from worldgen_core.video.formats.read import FORMATS, read_labels
from worldgen_core.video.keymap import make_keymap
from worldgen_core.video.labels import FrameChanges, FrameLabels, HeldKeys, Labels

NAMES = ("none", "up", "down", "left", "right", "a", "b", "start")
CODES = {"ArrowUp": 1, "ArrowDown": 2, "ArrowLeft": 3, "ArrowRight": 4, "KeyX": 5, "KeyZ": 6, "Enter": 7}
KEYMAP = make_keymap(NAMES, CODES)
MS = 10**6


def read(folder: Path, text: str | bytes, **options: Any) -> Labels:
    path = folder / "town.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, options.pop("keymap", KEYMAP), **options)


def frames(labels: Labels) -> list[int]:
    assert isinstance(labels, FrameLabels)
    return labels.action.tolist()


def changes(labels: Labels) -> list[tuple[int, int]]:
    assert isinstance(labels, FrameChanges)
    return list(zip(labels.frame.tolist(), labels.action.tolist(), strict=True))


def held(labels: Labels) -> list[tuple[int, int]]:
    assert isinstance(labels, HeldKeys)
    return [(t // MS, a) for t, a in zip(labels.time_ns.tolist(), labels.action.tolist(), strict=True)]


# One name a line


@pytest.mark.parametrize(
    "content",
    [
        b"left\nleft\nnone\na\n",
        b"left\r\nleft\r\nnone\r\na",
        b"left\rleft\rnone\ra",
        b"\xef\xbb\xbfleft\nleft\nnone\na\n",
        "left\nleft\nnone\na\n".encode("utf-16"),
        b"\xfe\xff" + "left\r\nleft\r\nnone\r\na\r\n".encode("utf-16-be"),
        b"# recorded by hand\n\nleft\n  \nleft\n#x\nnone\na\n\n\n",
        b"action\nLEFT\nLeft\n none \n\tA\n",
        b"3\n3\n0\n5\n",
        b"left,\nleft,\nnone,\na,\n",
        b"Key.left\nArrowLeft\nnoop\n'a'\n",
        b'{"action": "left"}\n{"action": 3}\n{"action": null}\n{"keys": ["a"]}\n',
        b'{"frame": 0, "action": "left"}\n{"frame": 1, "action": 3}\n{"frame": 2, "action": 0}\n'
        b'{"frame": 3, "keys": {"a": true, "b": false}}\n',
        b"frame,action\n0,left\n1,left\n2,none\n3,a\n",
        b"0 left\n1 left\n2 none\n3 a\n",
        b"action;frame\nleft;0\nleft;1\nnone;2\na;3\n",
    ],
)
def test_one_label_a_frame(tmp_path, content):
    assert frames(read(tmp_path, content)) == [3, 3, 0, 5]


def test_joined_names_and_combinations(tmp_path):
    assert frames(read(tmp_path, "left\nleft+a\na\nb+a\na+b\n")) == [3, 5, 5, 6, 6]
    found = make_keymap(NAMES, CODES, {"left+a": "start"})
    assert frames(read(tmp_path, "left\nleft+a\na+left\n", keymap=found)) == [3, 7, 7]


def test_skipped_blank_lines_are_counted(tmp_path):
    labels = read(tmp_path, "left\n\n\nright\n\n")
    assert isinstance(labels, FrameLabels)
    assert (labels.num_blank, labels.num_frames) == (2, 2)


def test_frames_that_count_from_1_are_noted(tmp_path):
    labels = read(tmp_path, "frame,action\n1,left\n2,left\n3,a\n")
    assert isinstance(labels, FrameLabels)
    assert (labels.first_frame, labels.num_frames) == (1, 4)
    assert "offset_frames: -1" in labels.origin.notes[0]


# Changes


def test_sparse_frames_hold(tmp_path):
    labels = read(tmp_path, "frame,action\n5,left\n9,none\n20,a\n24,a\n")
    assert changes(labels) == [(5, 3), (9, 0), (20, 5)]
    assert isinstance(labels, FrameChanges)
    assert labels.num_frames == 25


def test_consecutive_changes_are_not_one_label_a_frame(tmp_path):
    assert changes(read(tmp_path, "0,left\n1,right\n2,up\n")) == [(0, 3), (1, 4), (2, 1)]


@pytest.mark.parametrize(
    "text", ["10 19 left\n20 24 a\n30 30 b\n", "start,end,action\n30,30,b\n20,24,a\n10,19,left\n"]
)
def test_runs_include_both_ends(tmp_path, text):
    labels = read(tmp_path, text)
    assert changes(labels) == [(10, 3), (20, 5), (25, 0), (30, 6), (31, 0)]
    assert isinstance(labels, FrameChanges)
    assert labels.num_frames == 31


# Events

EVENTS = [(0, 3), (400, 5), (500, 3), (900, 0)]


@pytest.mark.parametrize(
    "text",
    [
        "time_ms,event,key\n0,down,left\n400,down,a\n500,up,a\n900,up,left\n",
        "0,down,left\n400,down,a\n500,up,a\n900,up,left\n",
        "timestamp,event_type,event_args\n0.0,KEY_DOWN,left\n0.4,KEY_DOWN,a\n0.5,KEY_UP,a\n0.9,KEY_UP,left\n",
        "timestamp,event_type,event_args\n0,press,left\n400,press,a\n500,release,a\n900,release,left\n",
        'timestamp,event_type,event_args\n0.0,press,"[""left""]"\n0.4,press,"{""key"": ""a""}"\n'
        '0.5,release,"""a"""\n0.9,release,37\n',
        "key;time_us;pressed\nleft;0;true\na;400000;true\na;500000;false\nleft;900000;false\n",
        '{"time_ms": 0, "keys": ["left"]}\n{"time_ms": 400, "keys": ["left", "a"]}\n'
        '{"time_ms": 500, "keys": ["left"]}\n{"time_ms": 900, "keys": []}\n',
        '{"timestamp": 0.0, "event": "keydown", "key": "ArrowLeft"}\n{"timestamp": 0.4, "event": "keydown", '
        '"key": "KeyX"}\n{"timestamp": 0.5, "event": "keyup", "key": "KeyX"}\n{"timestamp": 0.9, "event": '
        '"keyup", "key": "ArrowLeft"}\n',
        "time_ms,event,key\n400,down,a\n0,down,left\n500,up,a\n900,up,left\n950,up,b\n",
        # As screen recorders write them: times from 1970, virtual key codes, other devices in between.
        'timestamp,event_type,event_args\n1767633347.5,START,"{""inputs"":{""keyboard"":[37],""mouse"":[]}}"\n'
        '1767633347.75,VIDEO_START,"[]"\n1767633347.8,MOUSE_MOVE,"[0,1]"\n1767633347.9,HOOK_START,[]\n'
        '1767633348.15,KEYBOARD,"[88,true]"\n1767633348.2,KEYBOARD,"[88,true]"\n'
        '1767633348.25,KEYBOARD,"[88,false]"\n1767633348.65,KEYBOARD,"[37,false]"\n'
        '1767633349.0,VIDEO_END,"[]"\n1767633349.5,KEYBOARD,"[40,true]"\n',
    ],
)
def test_events_become_held_keys(tmp_path, text):
    assert held(read(tmp_path, text)) == EVENTS


def test_the_last_event_and_the_resolution_are_kept(tmp_path):
    labels = read(tmp_path, "time_ms,event,key\n0,down,left\n900,up,left\n1000,up,b\n")
    assert isinstance(labels, HeldKeys)
    assert (labels.last_ns, labels.resolution_ns) == (1000 * MS, MS)
    labels = read(tmp_path, "timestamp,event_type,event_args\n0.5,down,left\n0.9375,up,left\n")
    assert isinstance(labels, HeldKeys)
    assert labels.resolution_ns == 10**5


def test_the_unit_can_be_named(tmp_path):
    text = "timestamp,event_type,event_args\n0,press,left\n400000,press,a\n"
    assert held(read(tmp_path, text, time_unit="us")) == [(0, 3), (400, 5)]


def test_keys_without_an_action(tmp_path):
    text = "time_ms,event,key\n0,down,left\n5,down,f5\n7,down,f5\n9,up,left\n"
    with pytest.raises(LabelError, match=r"town.txt, line 3: .* found 'f5', 2 times.*unknown_keys=ignore"):
        read(tmp_path, text)
    labels = read(tmp_path, text, ignores_unknown=True)
    assert held(labels) == [(0, 3), (9, 0)]
    assert "'f5' (2)" in labels.origin.notes[0]
    assert held(read(tmp_path, text, keymap=make_keymap(NAMES, CODES, {"F5": "none"}))) == [(0, 3), (9, 0)]


# What is wrong

BAD: list[tuple[str, int | None, str]] = [
    ("left\nlef\nlef\nright\n", 2, "'lef', 2 times.*did you mean left"),
    ("left\nlef\njumpp\n", 2, "2 unknown names in all"),
    ("left\n8\n", 2, "'8', once"),
    ("left\n-1\n", 2, "'-1'"),
    ("left\nNaN\n", 2, "'NaN'"),
    ("left\nleft right\n", 2, "one action name or id"),
    ("left\n" + "x" * 70_000 + "\n", 2, "at most 65536 characters; found one of 70000"),
    ("left\n" + "x" * 10_000_000, 2, "at most 65536"),
    ("", None, "no line that says anything"),
    ("\n# only this\n\n", None, "no line that says anything"),
    ("a,b,c,d\n", 1, "one action a line; frame,action"),
    ("frame,action\n0,left\n-3,right\n", 3, "a frame number from 0"),
    ("frame,action\n0,left\nnan,right\n", 3, "a frame number from 0"),
    ("frame,action\n0,left\ninf,right\n", 3, "'inf'"),
    ("frame,action\n0,left\n1.5,right\n", 3, "'1.5'"),
    ("frame,action\n0,left\n99999999999,right\n", 3, "a frame number"),
    ("frame,action\n5,left\n5,right\n", 3, "5 a second time"),
    ("frame,action\n5,left\n4,right\n", 3, "more than 5; found 4"),
    ("frame,action\n5,left\n6\n", 3, "2 fields"),
    ("frame,action\n5,left\n6,\n", 3, "''"),
    ("0 9 left\n5 12 right\n", 2, "start after 9.*found start 5"),
    ("0 10 left\n10 20 right\n20 30 up\n", 2, "ends seem to be exclusive"),
    ("0 9 left\n20 12 right\n", 2, "not before the start, 20; found 12"),
    ("0 9 left\n-5 12 right\n", 2, "a frame number"),
    ("0 9 left\n10 12\n", 2, "start, end and action"),
    ("time_ms,event,key\n0,down,left\n-5,up,left\n", 3, "finite and 0 or more; found '-5'"),
    ("time_ms,event,key\n0,down,left\nnan,up,left\n", 3, "'nan'"),
    ("time_ms,event,key\n0,down,left\ninf,up,left\n", 3, "'inf'"),
    ("time_ms,event,key\n0,down,left\n1e999999999,up,left\n", 3, "a time, finite"),
    ("time_ms,event,key\n0,down,left\n9,sideways,left\n", 3, "'sideways'"),
    ("time_ms,event,key\n0,down,left\n9,up\n", 3, "3 fields"),
    ("time_ms,event,key\n0,down,left\n9,up,\n", 3, "the name of a key"),
    ('time_ms,event,key\n0,down,left\n9,up,"[1,"\n', 3, "a key, or JSON"),
    ("timestamp,event_type,event_args\n1767633347.5,press,left\n", 2, "VIDEO_START; found 1767633347.5"),
    ('timestamp,event_type,event_args\n1.5,KEYBOARD,"[37]"\n', 2, "arguments"),
    ('timestamp,event_type,event_args\n1.5,KEYBOARD,"[81,true]"\n', 2, "'KeyQ'"),
    ('{"action": "left"}\n{"action": \n', 2, "one JSON object"),
    ('{"action": "left"}\n[1]\n', 2, "one JSON object"),
    ('{"action": "left"}\n{"action": NaN}\n', 2, "NaN is no number"),
    ('{"action": "left"}\n{"action": 1.5}\n', 2, "the name or id"),
    ('{"action": "left"}\n{"action": true}\n', 2, "the name or id"),
    ('{"action": "left"}\n{"other": 1}\n', 2, "an object with action"),
    ('{"action": "left"}\n{"frame": 1, "action": "left"}\n', 2, "objects of one kind"),
    ('{"frame": -1, "action": "left"}\n', 1, "a frame number"),
    ('{"frame": "1", "action": "left"}\n', 1, "a frame number"),
    ('{"frame": 1e3, "action": "left"}\n', 1, "a frame number"),
    ('{"time_ms": -1, "keys": []}\n', 1, "a time, finite"),
    ('{"time_ms": Infinity, "keys": []}\n', 1, "Infinity is no number"),
    ('{"time_ms": "soon", "keys": []}\n', 1, "'soon'"),
    ('{"action": "left"}\n{"action": ' + "[" * 50_000 + "}\n", 2, "one JSON object"),
    ('{"action": ' + "9" * 60_000 + "}\n", 1, "one JSON object|unknown|an id from"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD, ids=range(len(BAD)))
def test_bad_lines_are_one_clear_error(tmp_path, text, line, message):
    with pytest.raises(LabelError, match=message) as caught:
        read(tmp_path, text)
    where = "town.txt" if line is None else f"town.txt, line {line}:"
    assert str(caught.value).startswith(where)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"left\nle\xffft\n", "line 2: .*no UTF-8"),
        (b"left\n\0\n", "line 2: .*a zero byte"),
        ("left\n".encode("utf-16")[:-1], "no UTF-16-LE"),
        ("left\n".encode("utf-16-le"), "a zero byte"),
        ("left\n".encode("utf-32"), "a zero byte"),
        (bytes(range(256)), "town.txt, line"),
    ],
)
def test_what_is_no_text(tmp_path, content, message):
    with pytest.raises(LabelError, match=message):
        read(tmp_path, content)


def test_a_format_can_be_named(tmp_path):
    assert frames(read(tmp_path, "1\n2\n", format="names")) == [1, 2]
    with pytest.raises(LabelError, match="line 1: expected 2 fields"):
        read(tmp_path, "1\n2\n", format="frames")


def test_files_that_are_too_long_are_not_read(tmp_path):
    with pytest.raises(LabelError, match="at most 1 MiB; found a longer one"):
        read(tmp_path, b"left\n" * 300_000, max_bytes=2**20)


@pytest.mark.parametrize("kind", ["folder", "pipe", "outside", "dangling", "loop", "missing", "device"])
def test_what_is_no_file_of_the_folder(tmp_path, kind):
    folder = tmp_path / "videos"
    folder.mkdir()
    path = folder / "town.txt"
    (tmp_path / "secret.txt").write_text("left\n")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        target = {
            "outside": "../secret.txt",
            "dangling": "gone.txt",
            "loop": "town.txt",
            "device": "/dev/zero",
        }
        path.symlink_to(target[kind])
    started = time.monotonic()
    with pytest.raises(LabelError, match=r"town\.txt: expected a"):
        read_labels(path, KEYMAP)
    assert time.monotonic() - started < 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "town.txt"
    path.write_text("left\n")
    path.chmod(0)
    with pytest.raises(LabelError, match="permission denied"):
        read_labels(path, KEYMAP)


def test_a_link_inside_the_folder_is_fine(tmp_path):
    (tmp_path / "real.txt").write_text("left\n")
    (tmp_path / "town.txt").symlink_to("real.txt")
    assert frames(read_labels(tmp_path / "town.txt", KEYMAP)) == [3]


GOOD = [
    b"left\nleft\nnone\na\n" * 20,
    b"frame,action\n" + b"".join(b"%d,left\n" % i for i in range(40)),
    b"0 9 left\n10 20 a\n30 40 b\n",
    b"time_ms,event,key\n0,down,left\n400,down,a\n500,up,a\n900,up,left\n",
    b'timestamp,event_type,event_args\n0.5,VIDEO_START,"[]"\n0.9,KEYBOARD,"[37,true]"\n1.5,KEYBOARD,"[37,false]"\n',
    b"".join(json.dumps({"time_ms": i, "keys": ["left", "a"]}).encode() + b"\n" for i in range(20)),
    "left\nright\n".encode("utf-16") * 1,
]


def test_damaged_files_are_read_or_refused_and_never_crash(tmp_path):
    rng = random.Random(0)
    num_read = 0
    for case in range(300):
        content = bytearray(GOOD[case % len(GOOD)])
        for _ in range(rng.randint(1, 2)):
            where = rng.randrange(len(content) or 1)
            if rng.random() < 0.3:
                del content[where:]
            elif rng.random() < 0.5:
                content[where : where + 1] = bytes([rng.randrange(256)])
            else:
                content[where:where] = rng.choice(
                    [b"NaN", b"-", b",", b"\n", b"#", b"\xff", b'"', b"{", b"9" * 30]
                )
            content = content or bytearray(b"\0")
        format_name = rng.choice([None, None, *FORMATS])
        with suppress(LabelError):
            read(tmp_path, bytes(content), format=format_name)
            num_read += 1
    assert 0 < num_read < 300


def test_long_files_are_read_fast(tmp_path):
    rng = np.random.default_rng(0)
    names = [NAMES[i] for i in rng.integers(0, 8, 50_000)]
    started = time.process_time()
    assert len(frames(read(tmp_path, "\n".join(names)))) == 50_000
    assert time.process_time() - started < 5
