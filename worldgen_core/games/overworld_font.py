"""Capital letters for the dialogue box, 5 by 7 dots of two native pixels each, so that half size reads."""

from __future__ import annotations

from functools import cache

import numpy as np

from worldgen_core.games.overworld_pixels import Colour, Sprite, blank

BOX_HEIGHT = 48
"""Native pixels of the dialogue box."""
_DOT = 2
_INK: Colour = (56, 56, 80)

_GLYPHS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "G": "01110 10001 10000 10111 10001 10001 01110",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10011 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "Q": "01110 10001 10001 10001 10101 10010 01101",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "X": "10001 10001 01010 00100 01010 10001 10001",
    "Y": "10001 10001 01010 00100 00100 00100 00100",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
    " ": "00000 00000 00000 00000 00000 00000 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    ",": "00000 00000 00000 00000 01100 00100 01000",
    "!": "00100 00100 00100 00100 00100 00000 00100",
    "?": "01110 10001 00001 00110 00100 00000 00100",
}


@cache
def dialogue_box(text: str, width: int) -> Sprite:
    """A box with up to two lines of capital letters."""
    box = blank(width, BOX_HEIGHT)
    box.fill(2, 2, width - 4, BOX_HEIGHT - 4, (80, 88, 144))
    box.fill(4, 2, width - 8, BOX_HEIGHT - 4, (80, 88, 144))
    box.fill(4, 4, width - 8, BOX_HEIGHT - 8, (168, 176, 224))
    box.fill(6, 6, width - 12, BOX_HEIGHT - 12, (250, 250, 246))
    for row, line in enumerate(text.split("\n")):
        for column, letter in enumerate(line):
            _write(box, letter, 12 + column * 6 * _DOT, 8 + row * 9 * _DOT)
    return box


def _write(box: Sprite, letter: str, x: int, y: int) -> None:
    dots = np.array([[dot == "1" for dot in row] for row in _GLYPHS[letter].split()])
    ink = dots.repeat(_DOT, axis=0).repeat(_DOT, axis=1)
    box.pixels[y : y + ink.shape[0], x : x + ink.shape[1]][ink] = _INK
