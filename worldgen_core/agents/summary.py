"""What a recorded dataset holds: counts for its metrics, and a picture of some frames for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from storage.atomic import write_bytes
from storage.records import Episode

_NUM_SAMPLES = 12
_ZOOM = 2


class Summary:
    """Counts episodes as they pass by, and keeps a few frames."""

    def __init__(self, num_episodes: int) -> None:
        self._every = max(num_episodes // _NUM_SAMPLES, 1)
        self._frames_by_player: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._samples: list[UInt8[np.ndarray, "h w 3"]] = []

    def watch(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Hand on every episode, and remember what it held."""
        for index, episode in enumerate(episodes):
            self._count(episode)
            if index % self._every == 0 and len(self._samples) < _NUM_SAMPLES:
                self._samples.append(episode.frames[(index + 1) * 97 % episode.num_frames])
            yield episode

    def _count(self, episode: Episode) -> None:
        source = json.loads(episode.source)
        turns = [*source["players"], (episode.num_frames, "")]
        for (start, name), (end, _) in pairwise(turns):
            self._frames_by_player[name] += end - start
        self._counts.update(
            num_episodes=1,
            num_frames=episode.num_frames,
            num_lives=len(source["lives"]),
            num_deaths=int(episode.terminated.sum()),
            num_presses=int((episode.action > 0).sum()),
        )

    def metrics(self) -> dict[str, Any]:
        """Reproducible figures of the dataset."""
        frames = max(self._counts["num_frames"], 1)
        shares = {name: round(count / frames, 4) for name, count in sorted(self._frames_by_player.items())}
        return {**self._counts, "share_by_player": shares}

    def headline(self) -> str:
        """The one line that the summary shows."""
        counts = self._counts
        episodes, frames = counts["num_episodes"], counts["num_frames"]
        return f"{episodes} episodes, {frames:,} frames, {counts['num_deaths']} deaths"

    def write_samples(self, path: Path) -> None:
        """Write the kept frames side by side as a PNG."""
        strip = np.concatenate(self._samples, axis=1).repeat(_ZOOM, 0).repeat(_ZOOM, 1)
        write_bytes(path, cv2.imencode(".png", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))[1].tobytes())
