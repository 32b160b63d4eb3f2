"""What of a video no episode may hold: stretches with a reason, and one picture of each for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from storage.atomic import write_bytes
from worldgen_core.video.decoding import decode
from worldgen_core.video.inspection import Inspection
from worldgen_core.video.worker import DecodeWorker

QUARANTINE_FILE = "quarantine.png"
_MAX_PICTURES = 12
_PICTURE_HEIGHT = 96


def quarantine(found: Inspection) -> list[dict[str, Any]]:
    """Stretches of the video's frames that were noticed, ascending; `first` and `last` are both included."""
    noticed = [
        {"reason": stretch.kind, "first": stretch.first, "last": stretch.last}
        for stretch in (found.scenes.stretches if found.scenes else ())
        if stretch.kind in found.dropped
    ]
    damaged = found.decoded.damaged if found.decoded else ()
    noticed += [{"reason": "damaged", "first": first, "last": last} for first, last in damaged]
    return sorted(noticed, key=lambda stretch: stretch["first"])


def draw_quarantine(found: Inspection, worker: DecodeWorker, out: Path) -> bool:
    """Write the first frames of these stretches side by side; False if there is nothing to show."""
    facts, noticed = found.facts, quarantine(found)
    if facts is None or not noticed:
        return False
    firsts = np.unique([stretch["first"] for stretch in noticed])[:_MAX_PICTURES]
    size = (_PICTURE_HEIGHT, max(round(_PICTURE_HEIGHT * facts.width / facts.height), 1))
    pictures = [picture.frame for picture in decode(facts, firsts, size, worker=worker)]
    if not pictures:
        return False
    strip = cv2.cvtColor(np.concatenate(pictures, axis=1), cv2.COLOR_RGB2BGR)
    write_bytes(out / QUARANTINE_FILE, cv2.imencode(".png", strip)[1].tobytes())
    return True
