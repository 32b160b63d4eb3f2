"""One honest player of `worldgen play` without a browser: presses at random times, confirms every frame.

    python benchmarks/play_client.py 127.0.0.1:8765 --seconds 15

prints "plays" with the first frame and what it saw, as JSON, at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from worldgen_core.play.protocol import ENDED, HEADER

_GAP_S = 0.02, 0.12
"""Between a press that was seen and the next: three frames wide, so that no press keeps time with frames."""
_FLAGS, _NUMBER, _SERIAL, _PRESS = 2, 8, 9, 10
"""Fields of a frame's header."""


@dataclass
class Played:
    """What one player saw, from its first frame on; `num_said` counts its messages."""

    frames_at: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    latency_ms: list[float] = field(default_factory=list[float])
    num_said: int = 0


class Player:
    """Plays over one socket, with one press under way at a time."""

    def __init__(self, socket: ClientConnection, on_first_frame: Callable[[], None]) -> None:
        self.played = Played()
        self.began: float | None = None
        self._socket = socket
        self._on_first_frame = on_first_frame
        self._rng = random.Random()
        self._press = self._number = 0
        self._sent_at: float | None = None
        self._is_over = False

    async def watch(self) -> None:
        """See frames until cancelled."""
        async for data in self._socket:
            if isinstance(data, bytes):
                await self._see(data)
            elif json.loads(data)["type"] == "hello":  # a session begins for those who speak
                await self._say(type="shown", serial=0)
        raise SystemExit(f"the server ended the game: {self._socket.close_code} {self._socket.close_reason}")

    async def press(self) -> None:
        """Tap at random times until cancelled; after the end of a life, to begin the next."""
        while True:
            await asyncio.sleep(self._rng.uniform(*_GAP_S))
            if self.began is None or self._sent_at is not None:
                continue
            self._press += 1
            self._sent_at = None if self._is_over else _now()
            await self._say(type="hold", action=1, press=self._press)
            await self._say(type="hold", action=0, press=self._press)

    async def _see(self, data: bytes) -> None:
        now, header = _now(), HEADER.unpack_from(data)
        if self.began is None:
            self.began = now
            self._on_first_frame()
        self.played.frames_at.append(now - self.began)
        is_new_life = header[_NUMBER] < self._number
        self._number, self._is_over = header[_NUMBER], bool(header[_FLAGS] & ENDED)
        if self._sent_at is not None and header[_PRESS] >= self._press:
            self.played.latency_ms.append((now - self._sent_at) * 1000)
            self._sent_at = None
        elif self._is_over or is_new_life:
            self._sent_at = None  # it came after the end: it was let pass, or began the next life
        await self._say(type="shown", serial=header[_SERIAL])

    async def _say(self, **message: Any) -> None:
        self.played.num_said += 1
        await self._socket.send(json.dumps(message))

    def finish(self) -> Played:
        """What was seen; a press that nobody answered took at least as long as it has waited."""
        assert self.began is not None, "no frame came"
        self.played.seconds = _now() - self.began
        if self._sent_at is not None:
            self.played.latency_ms.append((_now() - self._sent_at) * 1000)
        return self.played


def _now() -> float:
    return asyncio.get_running_loop().time()


async def play(address: str, seconds: float, on_first_frame: Callable[[], None] = lambda: None) -> Played:
    """Play for so long after the first frame."""
    is_playing = asyncio.Event()

    def begin() -> None:
        is_playing.set()
        on_first_frame()

    async with connect(f"ws://{address}/play", origin=Origin(f"http://{address}"), open_timeout=30) as socket:
        player = Player(socket, begin)
        tasks = [asyncio.create_task(player.watch()), asyncio.create_task(player.press())]
        try:
            await asyncio.wait_for(is_playing.wait(), 60)
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            return player.finish()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def figures(players: list[Played]) -> dict[str, float]:
    """The slowest player's rate, and what a press takes."""
    latencies = [value for player in players for value in player.latency_ms]
    cuts = statistics.quantiles(latencies, n=20, method="inclusive")
    return {
        "players": len(players),
        "frames_per_s": round(min(len(player.frames_at) / player.seconds for player in players), 1),
        "frames_in_slowest_second": min(_slowest_second(player) for player in players),
        "presses": len(latencies),
        "press_p50_ms": round(cuts[9], 1),
        "press_p95_ms": round(cuts[18], 1),
    }


def _slowest_second(player: Played) -> int:
    """Frames of the poorest whole second after the first, in which the model is begun."""
    counts = Counter(int(at) for at in player.frames_at)
    return min((counts[second] for second in range(1, int(player.seconds))), default=0)


def main() -> None:
    """Play, and print what was seen."""
    parser = argparse.ArgumentParser(description="An honest player.")
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    played = asyncio.run(play(options.address, options.seconds, lambda: print("plays", flush=True)))
    print(json.dumps(asdict(played)))


if __name__ == "__main__":
    main()
