"""People, drawn by code: the player and those to talk to, in four facings and three phases of a step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from worldgen_core.games.overworld_pixels import Colour, Sprite, mirrored, stamp

PERSON_HEIGHT = 24
"""Native pixels; a tile wide, the head reaches half a tile into the one above."""
PHASES = ("stand", "left foot", "right foot")

_FRONT = (
    "................",
    ".....oooooo.....",
    "...oohhhhhhoo...",
    "..ohhHHHHhhhho..",
    "..ohHHhhhhhhho..",
    ".ohhhhhhhhhhhho.",
    ".ohhhhhhhhhhhho.",
    ".obbbbbbbbbbbbo.",
    ".orrbbbbbbbbrro.",
    ".orsssssssssSro.",
    ".osseesssseesso.",
    "..oseesssseeso..",
    "..osssssssssSo..",
    "...oossssssoo...",
    "...occooooocco..",
    "..occccccccccCo.",
    "..osccccwwcccso.",
    "..osoccccccCoso.",
    "...ooccccccCoo..",
)
_BACK = (
    "................",
    ".....oooooo.....",
    "...oohhhhhhoo...",
    "..ohhHHHHhhhho..",
    "..ohHHhhhhhhho..",
    ".ohhHhhhhhhhhho.",
    ".ohhhhhhhhhhhho.",
    ".ohhhhhhhhhhhho.",
    ".obhhhhhhhhhhbo.",
    ".orbbbbbbbbbbro.",
    ".orrrrrrrrrrrro.",
    "..orrrrrrrrrro..",
    "..orrrrrrrrrro..",
    "...oorrrrrroo...",
    "...occooooocco..",
    "..occkkkkkkccCo.",
    "..osckkkkkkccso.",
    "..osokkkkkkCoso.",
    "...ookkkkkkCoo..",
)
_SIDE = (
    "................",
    ".....oooooo.....",
    "...oohhhhhhoo...",
    "..ohhHHHhhhhho..",
    "..ohHHhhhhhhhho.",
    ".ohhhhhhhhhhhho.",
    ".ohhhhhhhhhhhho.",
    "obbbbbbbbhhhhho.",
    "obbbbbbbbrrrrro.",
    "..osssssssrrrro.",
    "..oseessssrrrro.",
    "..oseesssSrrro..",
    "..ossssssSrro...",
    "...oossssooo....",
    ".....occccko....",
    "....occccckko...",
    "....ocsccckko...",
    "....ocsccckko...",
    "....oocccCoo....",
)
_LEGS = {
    "front": (
        (
            "....oppppppo....",
            "....oppooppo....",
            "....oppooppo....",
            "....obboobbo....",
            ".....oo..oo.....",
        ),
        (
            "....oppppppo....",
            "...opppooppo....",
            "...oppo.obbo....",
            "...obbo..oo.....",
            "....oo..........",
        ),
        (
            "....oppppppo....",
            "....oppooppp....",
            "....obbo.oppo...",
            ".....oo..obbo...",
            "..........oo....",
        ),
    ),
    "side": (
        (
            "....oppppppo....",
            ".....oppppo.....",
            ".....oppppo.....",
            "....obbbbbo.....",
            ".....ooooo......",
        ),
        (
            "....oppppppo....",
            "...opppopppo....",
            "..obbo..oppo....",
            "..obbo...obbo...",
            "...oo....ooo....",
        ),
        (
            "....oppppppo....",
            "....oppppppo....",
            "...oppooppo.....",
            "..obbbo.obbo....",
            "...ooo...oo.....",
        ),
    ),
}

PLAYER_COLOURS: Mapping[str, Colour] = {
    "o": (48, 40, 56),
    "h": (228, 68, 72),
    "H": (252, 128, 116),
    "b": (168, 40, 64),
    "r": (110, 66, 44),
    "s": (252, 212, 172),
    "S": (228, 172, 136),
    "e": (48, 40, 56),
    "c": (64, 104, 208),
    "C": (48, 76, 160),
    "w": (250, 224, 110),
    "k": (250, 190, 70),
    "p": (72, 68, 110),
}
"""The player's own colours: nobody else wears a red cap."""

_CLOTHES: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((122, 84, 58), (158, 116, 82), (96, 168, 116), (70, 130, 92)),
    ((242, 206, 104), (252, 232, 160), (214, 122, 172), (170, 88, 138)),
    ((90, 92, 116), (128, 132, 158), (236, 232, 220), (190, 184, 178)),
    ((206, 206, 214), (238, 238, 244), (140, 108, 190), (104, 78, 148)),
    ((70, 52, 60), (104, 80, 88), (240, 158, 82), (200, 116, 62)),
    ((84, 116, 176), (124, 156, 210), (244, 214, 110), (206, 170, 74)),
)
"""Hair, its shine, shirt and its shade of the others."""
NUM_LOOKS = len(_CLOTHES)


def _colours(look: int) -> dict[str, Colour]:
    hair, shine, shirt, shade = _CLOTHES[look % NUM_LOOKS]
    own = {"h": hair, "H": shine, "b": hair, "r": hair, "c": shirt, "C": shade, "k": shirt, "w": shade}
    return {**PLAYER_COLOURS, **own, "p": (110, 88, 84)}


@cache
def person(look: int | None, facing: str, phase: int) -> Sprite:
    """The player (look None) or one of the others, 16 pixels wide and 24 high.

    Phase 0 stands, 1 and 2 have one foot forward. The sprite's feet lie on the lower edge of its tile.
    """
    view = {"down": _FRONT, "up": _BACK}.get(facing, _SIDE)
    legs = _LEGS["front" if facing in ("down", "up") else "side"][phase]
    palette = PLAYER_COLOURS if look is None else _colours(look)
    sprite = stamp((*view, *legs), {**palette})
    # Shoes share the letter of the cap's brim.
    shoes = (120, 60, 48) if look is None else (86, 64, 62)
    letters = [[letter == "b" for letter in row] for row in legs]
    sprite.pixels[-len(legs) :][letters] = shoes
    return mirrored(sprite) if facing == "right" else sprite
