"""What goes over the pipes between the process that asks and the one that decodes.

A request is a length, JSON, and the wanted indices as raw int64. An answer is a row of messages: a header of
fixed size and a payload. Pixels travel raw, everything else as JSON; nothing is ever unpickled.
"""

from __future__ import annotations

import struct

REQUEST = struct.Struct("<II")
"""Bytes of JSON, number of indices."""

MESSAGE = struct.Struct("<cqQ")
"""Kind, presentation index, bytes of payload."""

PICTURE = b"P"
"""One picture's raw pixels."""
BEAT = b"."
"""A sign of life without payload, at most twice a second."""
TICKS = b"T"
"""Presentation ticks as raw int64, before the facts."""
RESULT = b"R"
"""The end of a good answer: JSON."""
REFUSAL = b"X"
"""The end of a bad one: JSON with expected, found and next_step."""

CELL = struct.Struct("<q")
"""Frames decoded so far, in a page that both processes map: it outlives a crash."""

MAX_JSON_BYTES = 64 << 20
"""A longer result is not believed."""
