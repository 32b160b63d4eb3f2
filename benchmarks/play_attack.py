"""Attackers of a play server: idle sockets, foreign origins, fuzzed messages; they go on until cancelled.

    python benchmarks/play_attack.py 127.0.0.1:8765 --seconds 15

waits for a line on its standard input, attacks until that ends, and prints what it did, as JSON. It gives way
to whatever else runs here: attackers are other machines, and their own work is not to be taken for the
server's.

What they may cost an honest player is what a server does for strangers and rude guests. Guests who dream are
players like others, measured as such: the attackers' sessions are paused, and never ask for a step.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Origin

NUM_BARE = 1_000
"""TCP connections that ask for nothing; the server cuts them, and they come again."""
NUM_SITTING = 32
"""WebSockets that say nothing: more than places and waiting line hold."""
NUM_LIVE = 3
"""Fuzzers with a session of their own."""
NUM_FUZZERS = 32
"""Strangers that send what is no message, one connection after another; every second one only short ones."""
NUM_FUZZED = 100_000
"""Messages that they send together at most."""
_AT_ONCE = 256
"""Messages that a stranger sends before it looks whether anybody still listens."""
_LIVE_PER_S = 100.0
"""Messages a second of a live fuzzer: a few more, and the server ends its session as rude."""
_LIVE_BAD = 1 / 300
"""Share of a live fuzzer's messages that are none; the first ends its session."""
_MAX_BYTES = 4096
_FAILURES = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, TimeoutError)


@dataclass
class Tally:
    """What the attackers did: sockets open at once at most, messages sent, origins refused."""

    bare_open: int = 0
    bare_most: int = 0
    sitting_open: int = 0
    sitting_most: int = 0
    fuzzed_by_strangers: int = 0
    fuzzed_in_sessions: int = 0
    sessions: int = 0
    foreign_origins_refused: int = 0

    def figures(self) -> dict[str, int]:
        """The totals, for a report."""
        return {
            "bare_idle_sockets": self.bare_most,
            "idle_web_sockets": self.sitting_most,
            "fuzzed_messages_by_strangers": self.fuzzed_by_strangers,
            "fuzzed_messages_in_sessions": self.fuzzed_in_sessions,
            "fuzzed_sessions": self.sessions,
            "foreign_origins_refused": self.foreign_origins_refused,
        }


async def _attack(address: str, seconds: float, tally: Tally) -> None:
    """All attackers at once. From half of `seconds` on places and line are full; before, strangers get in."""
    async with asyncio.TaskGroup() as group:
        for _ in range(NUM_LIVE):
            group.create_task(_fuzz_live(address, tally))
        for seed in range(NUM_FUZZERS):
            group.create_task(_fuzz(address, seconds, seed, tally))
        group.create_task(_knock(address, tally))
        for _ in range(NUM_BARE):
            group.create_task(_keep_silent(address, tally))
        for _ in range(NUM_SITTING):
            group.create_task(_sit(address, seconds / 2, tally))


def _connect(address: str, origin: str | None = None) -> connect:
    return connect(f"ws://{address}/play", origin=Origin(origin or f"http://{address}"), close_timeout=1)


async def _keep_silent(address: str, tally: Tally) -> None:
    host, port = address.split(":")
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            tally.bare_open += 1
            tally.bare_most = max(tally.bare_most, tally.bare_open)
            try:
                await reader.read(1)
            finally:
                tally.bare_open -= 1
                writer.close()
        await asyncio.sleep(1)


async def _sit(address: str, after_s: float, tally: Tally) -> None:
    await asyncio.sleep(after_s)
    while True:
        with contextlib.suppress(*_FAILURES):
            async with _connect(address) as socket:
                tally.sitting_open += 1
                tally.sitting_most = max(tally.sitting_most, tally.sitting_open)
                try:
                    async for _ in socket:
                        pass
                finally:
                    tally.sitting_open -= 1
        await asyncio.sleep(1)


async def _knock(address: str, tally: Tally) -> None:
    while True:
        try:
            async with _connect(address, "http://example.org"):
                raise RuntimeError("a foreign origin came in")
        except InvalidStatus as error:
            tally.foreign_origins_refused += error.response.status_code == 403
        except _FAILURES:
            pass  # not even refused: the server takes its time for strangers
        await asyncio.sleep(0.05)


# Fuzz


async def _fuzz(address: str, seconds: float, seed: int, tally: Tally) -> None:
    """Send what is no message, spread over the time, on connections that the server ends at the first."""
    rng, began, make = random.Random(seed), _now(), _short if seed % 2 else _bad
    while True:
        with contextlib.suppress(*_FAILURES):
            async with _connect(address) as socket:
                while True:
                    for _ in range(_AT_ONCE):
                        await socket.send(make(rng))
                        tally.fuzzed_by_strangers += 1
                    await asyncio.sleep(0)  # the other attackers' turn
        due = began + seconds * tally.fuzzed_by_strangers / NUM_FUZZED
        await asyncio.sleep(max(0.05, due - _now()))


async def _fuzz_live(address: str, tally: Tally) -> None:
    """Take a place, pause, and misuse the session until the server ends it."""
    rng = random.Random()
    while True:
        with contextlib.suppress(*_FAILURES):
            async with _connect(address) as socket:
                await _misuse(socket, rng, tally)
        await asyncio.sleep(0.1)


async def _misuse(socket: ClientConnection, rng: random.Random, tally: Tally) -> None:
    """Send odd but valid messages to a session, as fast as it bears, until one is none."""
    async for data in socket:
        kind = json.loads(data)["type"] if isinstance(data, str) else ""
        if kind == "hello":
            await socket.send(_PAUSE)
        if kind == "model":
            break
    tally.sessions += 1
    reading = asyncio.create_task(_read(socket))
    while not reading.done():
        await asyncio.sleep(1 / _LIVE_PER_S)
        await socket.send(_almost(rng) if rng.random() < _LIVE_BAD else _odd(rng))
        tally.fuzzed_in_sessions += 1


async def _read(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


_PAUSE = '{"type":"do","what":"pause"}'


def _valid(rng: random.Random) -> dict[str, Any]:
    """A message that the server takes, and that lets a paused session rest."""
    return rng.choice(
        [
            {"type": "hold", "action": rng.randint(0, 1), "press": rng.randrange(2**32)},
            {"type": "shown", "serial": rng.randrange(2**32)},
            {"type": "speed", "factor": rng.uniform(0.1, 4.0)},
            {"type": "do", "what": rng.choice(["pause", "stop"])},
            {
                "type": "show",
                "view": rng.choice(["dream", "game", "both"]),
                "context": rng.random() < 0.5,
                "same_chance": rng.random() < 0.5,
            },
        ]
    )


def _odd(rng: random.Random) -> str:
    """A valid message in an odd form: other order, escapes, blanks up to the limit of a message."""
    items = list(_valid(rng).items())
    rng.shuffle(items)
    text = json.dumps(dict(items), indent=rng.choice([None, 0, 40]))
    if rng.random() < 0.5:
        text = text.replace("o", "\\u006f")  # no o stands outside of strings
    if rng.random() < 0.5:
        text += " " * (_MAX_BYTES - rng.randint(0, 8) - len(text))
    return text


def _almost(rng: random.Random) -> str | bytes:
    """Nearly a message: a byte flipped, cut off, a field too many or of another kind, depth, long numbers."""
    message = _valid(rng)
    text = json.dumps(message)
    at, field = rng.randrange(len(text)), rng.choice(list(message))
    flipped = bytearray(text.encode())
    flipped[at] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            bytes(flipped),
            text[:at],
            text + text,
            json.dumps({**message, field: [message[field]]}),
            json.dumps({**message, field: float("nan")}),
            json.dumps({**message, "more": "x" * rng.randint(0, _MAX_BYTES - 200)}),
            json.dumps({**message, field: "9"})[:-2] + "9" * (_MAX_BYTES - 200) + '"}',
            "[" * (_MAX_BYTES - rng.randint(0, 8)),
            '{"type":"hold","action":1,"press":' + "1" * (_MAX_BYTES - 60) + "}",
        ]
    )


def _bad(rng: random.Random) -> str | bytes:
    """What no session begins with: noise, short or as long as a message may be, or almost a message."""
    kind = rng.randrange(4)
    if kind < 2:
        return rng.randbytes(rng.randint(0, 64) if kind else rng.randint(_MAX_BYTES - 16, _MAX_BYTES))
    return _almost(rng)


def _short(rng: random.Random) -> str | bytes:
    """What no session begins with, short enough for many to be under way before the server ends it."""
    return rng.randbytes(rng.randint(0, 64)) if rng.random() < 0.5 else json.dumps(_valid(rng))[:-1]


def _now() -> float:
    return asyncio.get_running_loop().time()


# A process of its own


async def _attack_when_told(address: str, seconds: float) -> Tally:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    tally = Tally()
    attacking = asyncio.create_task(_attack(address, seconds, tally))
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([attacking, told], return_when=asyncio.FIRST_COMPLETED)
    if attacking.done():
        attacking.result()
    attacking.cancel()
    await asyncio.gather(attacking, return_exceptions=True)
    return tally


def main() -> None:
    """Attack, and print what was done."""
    parser = argparse.ArgumentParser(description="Attackers.")
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    os.nice(19)
    tally = asyncio.run(_attack_when_told(options.address, options.seconds))
    print(json.dumps(tally.figures()))


if __name__ == "__main__":
    main()
