"""What browser and server say to each other: JSON from the player, binary frames and JSON to the player.

A frame message, little endian, is a header of 36 bytes, the actions that led to each context frame (one byte
each), then RGB pictures: the dream, the game, the context frames at half size, whichever the header says.

    2s magic "WG" | u8 version | u8 flags | u16 width | u16 height | u8 pictures | u8 context frames
    u16 action | u32 frame number | u32 serial | u32 press | f32 frames/s | f32 step p50 ms | f32 step p95 ms
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Frame
from worldgen_core.play.choices import MAX_STEPS
from worldgen_core.play.pace import Rates
from worldgen_core.play.session import Moment, View

VERSION = 1
HEADER = struct.Struct("<2sBBHHBBHIIIfff")
MAX_CONTEXT = 8
"""Context frames sent at most: the newest."""

DREAM, GAME = 1, 2
"""Bits of `pictures`."""
DREAM_OVER, GAME_OVER, PAUSED, RECORDING, ENDED = 1, 2, 4, 8, 16
"""Bits of `flags`; ENDED: a press begins the next life."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Hold(_Message):
    """The action now held; `press` counts presses from 1."""

    type: Literal["hold"]
    action: int = Field(ge=0, le=255)
    press: int = Field(ge=0, lt=2**32)


class Shown(_Message):
    """The browser has shown the frame of this serial number, and everything before it."""

    type: Literal["shown"]
    serial: int = Field(ge=0, lt=2**32)


class Do(_Message):
    """A button without a value."""

    type: Literal["do"]
    what: Literal["pause", "resume", "step", "reset", "record", "stop"]


class Begin(_Message):
    """Begin anew at a start; None: a fresh life, or whichever the seed chooses."""

    type: Literal["begin"]
    seed: int = Field(ge=0, lt=2**31)
    start: str | None = Field(max_length=200)


class Show(_Message):
    """What to show: the worlds, the context, and whether the dream is told the game's chance."""

    type: Literal["show"]
    view: View
    context: bool
    same_chance: bool


class Speed(_Message):
    """Frames a second at most, as a share of the game's own rate."""

    type: Literal["speed"]
    factor: float = Field(ge=0.1, le=4.0)


class Switch(_Message):
    """Play on with another model, device, backend, or other sampler steps (by part; {}: the model's own)."""

    type: Literal["switch"]
    model: str = Field(max_length=200)
    device: str = Field(max_length=20)
    backend: str = Field(max_length=40)
    num_steps: dict[Annotated[str, Field(max_length=20)], Annotated[int, Field(ge=1, le=MAX_STEPS)]] = Field(
        max_length=4
    )


Message = Hold | Shown | Do | Begin | Show | Speed | Switch
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(text: str | bytes) -> Message:
    """Read a player's message.

    Raises: ConfigError if it is none.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            "message of a player",
            expected="one of hold, shown, do, begin, show, speed, switch with its fields",
            found=error.errors(include_url=False, include_input=False)[0]["msg"][:120],
            next_step="reload the page",
        ) from error


def pack(
    moment: Moment,
    *,
    view: View,
    flags: int,
    serial: int,
    rates: Rates,
    context: list[tuple[Frame, int]],
) -> bytes:
    """One frame message; in view "game" or "both" a game that is not there is left out."""
    pictures: list[Frame] = []
    mask = 0
    if view != "game" or moment.game is None:
        pictures.append(moment.dream)
        mask |= DREAM
    if view != "dream" and moment.game is not None:
        pictures.append(moment.game)
        mask |= GAME
    flags |= DREAM_OVER * moment.dream_over | GAME_OVER * moment.game_over
    strip = context[-MAX_CONTEXT:]
    height, width = moment.dream.shape[:2]
    header = HEADER.pack(
        b"WG", VERSION, flags, width, height, mask, len(strip), moment.action, moment.frame_number,
        serial, moment.press, rates.frames_per_s, rates.step_p50_ms, rates.step_p95_ms,
    )  # fmt: skip
    small = [frame[::2, ::2] for frame, _ in strip]
    actions = bytes(action for _, action in strip)
    return b"".join([header, actions, *(np.ascontiguousarray(p).tobytes() for p in [*pictures, *small])])
