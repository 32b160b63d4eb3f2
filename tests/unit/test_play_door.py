"""The door before strangers: a rate whatever they ask, few who wait, and nobody who plays behind it."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.unit.test_play_server import enter, frames, play_at, served
from worldgen_core.play.door import BURST, MAX_WAITING, REQUESTS_PER_S, Door


def test_a_burst_enters_at_once_the_rest_in_turn_and_too_many_not_at_all() -> None:
    entered: list[int] = []

    async def knock() -> None:
        door = Door(rate_per_s=100.0, burst=2, max_waiting=2)
        assert [door.enter() for _ in range(3)] == [True, True, False]
        assert [door.wait(lambda turn=turn: entered.append(turn)) for turn in range(3)] == [True, True, False]
        await asyncio.sleep(0.002)
        assert not door.enter(), "nobody overtakes those who wait"
        assert entered == []
        await asyncio.sleep(0.5)
        assert entered == [0, 1]
        assert door.enter()

    asyncio.run(knock())


def test_many_requests_are_answered_at_the_doors_rate_while_somebody_plays() -> None:
    number = BURST + 20

    async def ask(address: str) -> list[int]:
        limits = httpx.Limits(max_connections=8)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            replies = await asyncio.gather(
                *(client.get(f"http://{address}/page/icon.svg") for _ in range(number))
            )
        return [reply.status_code for reply in replies]

    with served() as address, play_at(address) as socket:
        enter(socket)
        frames(socket, 3)
        began = time.monotonic()
        assert asyncio.run(ask(address)) == [200] * number
        assert time.monotonic() - began > 10 / REQUESTS_PER_S
        frames(socket, 3)
    assert MAX_WAITING > 8
