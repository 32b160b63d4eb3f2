"""The doctor's report as one HTML page that needs nothing else: pictures and strips are inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from worldgen_core.video.doctor import Examined

_STRIP_WIDTH = 960
_STRIP_HEIGHT = 18
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1000px }
h2 { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
td:first-child { color: #666; white-space: nowrap }
img { image-rendering: pixelated; margin: 2px } img.strip { width: 100%; height: 18px; display: block }
.problem { color: #a00; font-weight: 600 } .fine { color: #070; font-weight: 600 }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .8em; vertical-align: -.05em }
.bars { display: flex; align-items: flex-end; height: 70px; gap: 1px } .bars div { background: #47a; flex: 1 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } }
"""
_ROWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("file", {"container": "{}", "codec": "{}", "size_bytes": "{} bytes"}),
    (
        "picture",
        {
            "width": "{} wide",
            "height": "{} high",
            "rotation": "turned by {} degrees",
            "crop": "cropped to left; top; width; height {}",
        },
    ),
    ("rate", {"fps": "{} frames a second", "is_constant_rate": "{}"}),
    ("duration", {"duration_s": "{} s"}),
    ("frames", {"frames_demuxed": "{} in the file", "frames_decoded": "{} decoded"}),
    ("actions", {"actions": "{} labels", "action_counts": "used: {}"}),
    ("offset", {"offset": "{}"}),
    (
        "scenes",
        {
            "duplicates": "{} duplicate frames",
            "frozen": "{} frozen stretches",
            "black": "{} black stretches",
            "cuts": "{} cuts",
        },
    ),
    ("pictures", {"pictures": "{} at the target rate", "kept": "{} kept", "dropped": "dropped: {}"}),
    ("episodes", {"episodes": "{}"}),
    ("notes", {"notes": "{}"}),
)
"""Rows of a video's table: values of the report, and how each is said; what is not known is left out."""


def page(report: dict[str, Any], examined: Sequence[Examined], *, title: str) -> str:
    """The whole page."""
    num_bad = sum(bool(video["problems"]) for video in report["videos"])
    verdict = f"{report['episodes']} episodes from {len(examined)} videos"
    verdict += f"; {num_bad} with problems" if num_bad else ""
    sections = [_section(video, one) for video, one in zip(report["videos"], examined, strict=True)]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f'<p class="{"problem" if num_bad else "fine"}">{escape(verdict)}</p>{"".join(sections)}</html>\n'
    )


def _section(video: dict[str, Any], one: Examined) -> str:
    problems = "".join(f'<p class="problem">{escape(problem)}</p>' for problem in video["problems"])
    pictures = "".join(f'<img alt="" src="{_png(picture)}">' for picture in one.thumbnails)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(_show(video, said))}</td></tr>" for name, said in _ROWS
    )
    return (
        f"<h2>{escape(video['name'])}</h2>{problems}<div>{pictures}</div>"
        f"{_strip(one.action, one.action_names)}<table>{rows}</table>{_histogram(one)}"
    )


def _show(video: dict[str, Any], said: dict[str, str]) -> str:
    known = {key: words for key, words in said.items() if video[key] not in (None, [], {})}
    known = {key: words for key, words in known.items() if key != "rotation" or video[key]}
    return ", ".join(words.format(_text(video[key])) for key, words in known.items()) or "-"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())  # pyright: ignore[reportUnknownVariableType]  # JSON
    if isinstance(value, list):
        return "; ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]  # JSON
    if isinstance(value, bool):
        return "constant" if value else "variable"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _strip(action: Int64[np.ndarray, " t"], names: tuple[str, ...]) -> str:
    """The actions over time, one colour each, and their legend."""
    if not len(action):
        return ""
    colours = _colours(len(names))
    shown = action[np.linspace(0, len(action) - 1, min(_STRIP_WIDTH, len(action))).astype(np.int64)]
    strip = np.repeat(colours[shown][None], _STRIP_HEIGHT, axis=0)
    legend = "".join(
        f'<span class="key" style="background: rgb{tuple(colour.tolist())}"></span>{escape(name)}'
        for name, colour in zip(names, colours, strict=True)
    )
    return f'<img class="strip" alt="actions over time" src="{_png(strip)}"><p>{legend}</p>'


def _colours(count: int) -> UInt8[np.ndarray, "n 3"]:
    """Gray for action 0, then hues as far apart as may be."""
    hues = np.array([[[180 * i // max(count - 1, 1), 170, 215] for i in range(count - 1)]], np.uint8)
    rest = cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[0] if count > 1 else np.empty((0, 3), np.uint8)
    return np.concatenate([np.array([[215, 215, 215]], np.uint8), rest])


def _histogram(one: Examined) -> str:
    """Evidence for the offset: how many frames after a key-down motion sets in."""
    offset = one.found.offset
    if offset is None or not offset.histogram.sum():
        return ""
    counts, window = offset.histogram, offset.window
    bars = "".join(
        f'<div style="height: {100 * count / max(counts.max(), 1):.0f}%" title="{lag}: {count}"></div>'
        for lag, count in zip(range(-window, window + 1), counts.tolist(), strict=True)
    )
    return (
        f"<p>Key-downs out of rest and onsets of motion, by the frames between them, from {-window} to "
        f'{window}:</p><div class="bars">{bars}</div>'
    )


def _png(picture: UInt8[np.ndarray, "h w c"]) -> str:
    data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return "data:image/png;base64," + base64.b64encode(data).decode()
