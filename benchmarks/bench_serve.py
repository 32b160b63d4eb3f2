"""Several players on one play server, then an honest one under attack, then (if asked) a long soak.

    python benchmarks/bench_serve.py flappy [--seconds 15] [--soak 600] [--json FILE]

The server is `worldgen play` in a process of its own, with the champion (or newest model) of the store; the
players are WebSocket clients here that press a key twice a second and confirm every frame, as the page does.
Figures: frames a second that each player gets (the slowest one's mean), and milliseconds from sending a press
to receiving the first frame that it took part in (p50, p95 over all players).

Attack: one honest player while 1,000 sockets are open that never say anything, pages of other origins knock,
and 100,000 fuzzed messages come in on connections of their own. Its p95 may grow by a quarter. The honest
player is a process of its own, so that the attackers' work is not taken for the server's; each is measured
three times in turn, alone and under attack, and the medians are compared.
Soak: two players for so many seconds; the server's resident memory may grow by 50 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from machine import describe_machine
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from worldgen_core.play.protocol import HEADER

NUM_PLAYERS = (1, 2, 4, 8)
NUM_IDLE = 1_000
NUM_FUZZED = 100_000
NUM_PAIRS = 3
MAX_P95_GROWTH = 1.25
MAX_SOAK_MB = 50.0
_PRESS_EVERY_S = 0.5
_SERIAL, _PRESS = 9, 10
"""Fields of a frame's header."""


@dataclass
class Played:
    """What one player saw."""

    frames_at: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    latency_ms: list[float] = field(default_factory=list[float])


async def play(address: str, seconds: float) -> Played:
    """Play for so long: a press every half second, released at once."""
    played, sent_at = Played(), 0.0
    async with connect(f"ws://{address}/play", origin=f"http://{address}") as socket:  # pyright: ignore[reportArgumentType]  # NewType of str
        began = asyncio.get_running_loop().time()
        press, waiting = 0, False
        while (now := asyncio.get_running_loop().time()) - began < seconds:
            if not waiting and now - sent_at > _PRESS_EVERY_S:
                press, sent_at, waiting = press + 1, now, True
                await _say(socket, type="hold", action=1, press=press)
                await _say(socket, type="hold", action=0, press=press)
            data = await asyncio.wait_for(socket.recv(), 30)
            if not isinstance(data, bytes):
                if json.loads(data)["type"] == "hello":  # a session begins for those who speak
                    await _say(socket, type="shown", serial=0)
                continue
            header = HEADER.unpack_from(data)
            await _say(socket, type="shown", serial=header[_SERIAL])
            played.frames_at.append(asyncio.get_running_loop().time() - began)
            if waiting and header[_PRESS] >= press:
                waiting = False
                played.latency_ms.append((asyncio.get_running_loop().time() - sent_at) * 1000)
            if waiting and asyncio.get_running_loop().time() - sent_at > 2:
                waiting = False  # the life was over: the press began the next one or was let pass
        played.seconds = asyncio.get_running_loop().time() - began
    return played


async def _say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


def figures(players: list[Played]) -> dict[str, float]:
    """The slowest player's rate, and what a press takes."""
    latencies = sorted(value for player in players for value in player.latency_ms)
    cuts = statistics.quantiles(latencies, n=20)
    return {
        "players": len(players),
        "frames_per_s": round(min(len(player.frames_at) / player.seconds for player in players), 1),
        "frames_in_slowest_second": min(_slowest_second(player) for player in players),
        "press_p50_ms": round(cuts[9], 1),
        "press_p95_ms": round(cuts[18], 1),
    }


def _slowest_second(player: Played) -> int:
    """Frames of the poorest whole second after the first, in which the model is begun."""
    counts = Counter(int(at) for at in player.frames_at)
    return min((counts[second] for second in range(1, int(player.seconds))), default=0)


async def measure_players(address: str, seconds: float) -> list[dict[str, float]]:
    """Rows for 1, 2, 4 and 8 players at once."""
    rows: list[dict[str, float]] = []
    for number in NUM_PLAYERS:
        rows.append(figures(list(await asyncio.gather(*(play(address, seconds) for _ in range(number))))))
        print(rows[-1], flush=True)
    return rows


# Attack


async def measure_attack(address: str, seconds: float) -> dict[str, Any]:
    """An honest player's latency alone, and under attack, three times in turn."""
    alone: list[dict[str, float]] = []
    attacked: list[dict[str, float]] = []
    for _ in range(NUM_PAIRS):
        alone.append(await _honest(address, seconds))
        async with asyncio.TaskGroup() as group:
            honest = group.create_task(_honest(address, seconds))
            idle = group.create_task(_idle(address, seconds))
            fuzzed = group.create_task(_fuzz(address, seconds))
            strangers = group.create_task(_knock(address, seconds))
        attacked.append(honest.result())
        print({"alone": alone[-1], "attacked": attacked[-1]}, flush=True)
    p95 = [statistics.median(row["press_p95_ms"] for row in rows) for rows in (alone, attacked)]
    return {
        "alone": alone,
        "attacked": attacked,
        "idle_sockets": idle.result(),
        "fuzzed_messages": fuzzed.result(),
        "foreign_origins_refused": strangers.result(),
        "p95_growth": round(p95[1] / p95[0], 2),
    }


async def _honest(address: str, seconds: float) -> dict[str, float]:
    """The figures of a player in a process of its own."""
    command = [sys.executable, __file__, "--honest", address, "--seconds", str(seconds)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    return json.loads(out)


async def _idle(address: str, seconds: float) -> int:
    host, port = address.split(":")
    pairs = [await asyncio.open_connection(host, int(port)) for _ in range(NUM_IDLE)]
    await asyncio.sleep(seconds)
    for _, writer in pairs:
        writer.close()
    return len(pairs)


async def _fuzz(address: str, seconds: float) -> int:
    """Random bytes and broken JSON, spread over the time, on connections that the server ends."""
    rng, sent = random.Random(0), 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    while sent < NUM_FUZZED and loop.time() - began < 10 * seconds:
        with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
            async with connect(f"ws://{address}/play", origin=f"http://{address}") as socket:  # pyright: ignore[reportArgumentType]  # NewType of str
                while sent < NUM_FUZZED:
                    sent += 1
                    await socket.send(rng.randbytes(rng.randint(0, 64)))
                    await asyncio.sleep(0)  # the other attackers' turn
        await asyncio.sleep(max(0.0, began + seconds * sent / NUM_FUZZED - loop.time()))
    return sent


async def _knock(address: str, seconds: float) -> int:
    refused, until = 0, asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        try:
            async with connect(f"ws://{address}/play", origin="http://example.org"):  # pyright: ignore[reportArgumentType]  # NewType of str
                pass
        except (InvalidHandshake, ConnectionClosed):
            refused += 1
        except (OSError, TimeoutError):
            pass  # not even refused: the server takes its time for strangers
        await asyncio.sleep(0.05)
    return refused


# Soak


async def measure_soak(address: str, seconds: float, server: psutil.Process) -> dict[str, float]:
    """Memory of the server after a tenth of the time and at the end, with two players."""
    playing = asyncio.gather(*(play(address, seconds) for _ in range(2)))
    await asyncio.sleep(seconds / 10)
    early = server.memory_info().rss
    players = list(await playing)
    grown = (server.memory_info().rss - early) / 2**20
    return {**figures(players), "seconds": seconds, "memory_growth_mb": round(grown, 1)}


# All of it


def main() -> None:
    """Start a server, measure, print what was met."""
    parser = argparse.ArgumentParser(description="Load, attack and soak of the play server.")
    parser.add_argument("game", nargs="?", default="flappy")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of soak; 0 leaves it out")
    parser.add_argument("--honest", default="", help="only play at this address and print the figures")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    if options.honest:
        print(json.dumps(figures([asyncio.run(play(options.honest, options.seconds))])))
        return
    command = [sys.executable, "-c", "from flows.cli import main; main()", "play", options.game]
    command += ["--port", "0", "--no-browser", "--players", str(max(NUM_PLAYERS))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = _address(process)
            found = asyncio.run(_measure(address, options.seconds, options.soak, psutil.Process(process.pid)))
        finally:
            process.terminate()
    found = {"machine": describe_machine("worldgen_core"), "game": options.game, **found}
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(not _is_met(found))


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"play at http://([0-9.]+:\d+)/", line):
            return match.group(1)
    raise SystemExit("the server did not start: is there a model? `worldgen build` makes one")


async def _measure(address: str, seconds: float, soak: float, server: psutil.Process) -> dict[str, Any]:
    found: dict[str, Any] = {
        "load": await measure_players(address, seconds),
        "attack": await measure_attack(address, seconds),
    }
    if soak:
        found["soak"] = await measure_soak(address, soak, server)
    return found


def _is_met(found: dict[str, Any]) -> bool:
    growth = found["attack"]["p95_growth"]
    print(f"p95 under attack: {growth} of alone, limit {MAX_P95_GROWTH}")
    met = growth <= MAX_P95_GROWTH
    if "soak" in found:
        memory = found["soak"]["memory_growth_mb"]
        print(f"memory after {found['soak']['seconds']:.0f} s: {memory:+} MB, limit {MAX_SOAK_MB}")
        met = met and memory < MAX_SOAK_MB
    return met


if __name__ == "__main__":
    main()
