"""Several players on one play server, then an honest one under attack, then (if asked) a long soak.

    python benchmarks/bench_serve.py flappy [--seconds 15] [--soak 600] [--json FILE]

The server is `worldgen play` in a process of its own, with the champion (or newest model) of the store; the
players are WebSocket clients here that tap at random times and confirm every frame, as the page does.
Figures: frames a second that each player gets (the slowest one's mean), and milliseconds from sending a press
to receiving the first frame that it took part in (p50, p95 over all players).

Attack: one honest player while 1,000 bare connections that never say anything, idle WebSockets in every place
and in line, pages of other origins, and up to 100,000 fuzzed messages come in (`play_attack.py`), from the
honest player's first frame to its last. Its p95 may grow by a quarter. Honest player and attackers are
processes apart, and the attackers give way to the others, so that their work is not taken for the server's;
each is measured three times in turn, alone and under attack, and the medians are compared. The server ends
whoever says what is no message, so of those 100,000 it parses few; `messages_parsed` says how many it did,
counted in the server.
Soak: two players for so many seconds; the server's resident memory may grow by 50 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import statistics
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from machine import describe_machine
from play_client import Played, figures, play

from worldgen_core.play import protocol

NUM_PLAYERS = (1, 2, 4, 8)
NUM_PAIRS = 3
MAX_P95_GROWTH = 1.25
MAX_SOAK_MB = 50.0
CLIENT = str(Path(__file__).with_name("play_client.py"))
ATTACKERS = str(Path(__file__).with_name("play_attack.py"))


async def measure_players(address: str, seconds: float) -> list[dict[str, float]]:
    """Rows for 1, 2, 4 and 8 players at once."""
    rows: list[dict[str, float]] = []
    print("players   frames/s   in the slowest second   press to picture p50   p95 (ms)", flush=True)
    for number in NUM_PLAYERS:
        row = figures(list(await asyncio.gather(*(play(address, seconds) for _ in range(number)))))
        rows.append(row)
        rate, slowest = row["frames_per_s"], row["frames_in_slowest_second"]
        latency = f"{row['press_p50_ms']:20.1f} {row['press_p95_ms']:10.1f}"
        print(f"{number:7d} {rate:10.1f} {slowest:23.0f} {latency}", flush=True)
    return rows


# Attack


async def measure_attack(address: str, seconds: float, parsed: Path) -> dict[str, Any]:
    """An honest player's latency alone, and under attack, three times in turn."""
    alone: list[dict[str, float]] = []
    attacked: list[dict[str, float]] = []
    attacks: list[dict[str, int]] = []
    for _ in range(NUM_PAIRS):
        alone.append(figures([await (await _honest(address, seconds))]))
        before = _count(parsed)
        played, done = await _attacked(address, seconds)
        attacked.append(figures([played]))
        attacks.append({**done, "messages_parsed": _count(parsed) - before - played.num_said})
        print({"alone": alone[-1], "attacked": attacked[-1], "attack": attacks[-1]}, flush=True)
    p95 = [statistics.median(row["press_p95_ms"] for row in rows) for rows in (alone, attacked)]
    return {"alone": alone, "attacked": attacked, "attacks": attacks, "p95_growth": round(p95[1] / p95[0], 2)}


async def _honest(address: str, seconds: float) -> Awaitable[Played]:
    """Start a player in a process of its own; once it plays, return what it will have seen."""
    player = await _python(CLIENT, address, seconds)
    if (await _line(player)).strip() != b"plays":
        raise SystemExit("the honest player could not play; see above")

    async def played() -> Played:
        if not (line := await _line(player)):
            raise SystemExit("the honest player was thrown out; see above")
        await player.wait()
        return Played(**json.loads(line))

    return played()


async def _attacked(address: str, seconds: float) -> tuple[Played, dict[str, int]]:
    """What an honest player sees who is attacked all the time, and what the attackers did."""
    attackers = await _python(ATTACKERS, address, seconds)
    assert attackers.stdin is not None
    await _line(attackers)
    honest = await _honest(address, seconds)
    attackers.stdin.write(b"go\n")
    played = await honest
    attackers.stdin.close()
    if not (line := await _line(attackers)):
        raise SystemExit("the attackers failed; see above")
    await attackers.wait()
    return played, json.loads(line)


async def _python(script: str, address: str, seconds: float) -> Process:
    command = [sys.executable, script, address, "--seconds", str(seconds)]
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**24)


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


def _count(parsed: Path) -> int:
    return int.from_bytes(parsed.read_bytes(), "little")


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
    parser.add_argument("--serve", type=Path, help="only serve, counting parsed messages in this file")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    if options.serve:
        serve_counting(options.game, options.serve)
        return
    with TemporaryDirectory() as folder:
        parsed = Path(folder, "parsed")
        parsed.write_bytes(bytes(8))
        found = _measure_server(options.game, options.seconds, options.soak, parsed)
    found = {"machine": describe_machine("worldgen_core"), "game": options.game, **found}
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(not _is_met(found))


def _measure_server(game: str, seconds: float, soak: float, parsed: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, game, "--serve", str(parsed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = _address(process)
            return asyncio.run(_measure(address, seconds, soak, psutil.Process(process.pid), parsed))
        finally:
            process.terminate()


def serve_counting(game: str, parsed: Path) -> None:
    """`worldgen play`, with the number of messages that were parsed in the file's first 8 bytes."""
    from flows.cli import main as cli

    with parsed.open("r+b") as file, mmap(file.fileno(), 8) as shared:
        count, parse = itertools.count(1), protocol.parse

        def counted(text: str | bytes) -> protocol.Message:
            shared[:] = next(count).to_bytes(8, "little")
            return parse(text)

        protocol.parse = counted  # before the server's modules take it by name
        sys.argv = [
            "worldgen",
            "play",
            game,
            "--port",
            "0",
            "--no-browser",
            "--players",
            str(max(NUM_PLAYERS)),
        ]
        cli()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"play at http://([0-9.]+:\d+)/", line):
            return match.group(1)
    raise SystemExit("the server did not start: is there a model? `worldgen build` makes one")


async def _measure(
    address: str, seconds: float, soak: float, server: psutil.Process, parsed: Path
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "load": await measure_players(address, seconds),
        "attack": await measure_attack(address, seconds, parsed),
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
