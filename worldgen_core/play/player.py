"""One connected player: takes messages, keeps time, sends the newest frame; nothing queues anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from worldgen_core.errors import ConfigError
from worldgen_core.play.casting import Casting, one_line
from worldgen_core.play.choices import Choice
from worldgen_core.play.crew import Crew
from worldgen_core.play.pace import Meter, Pacer, TokenBucket
from worldgen_core.play.protocol import (
    ENDED,
    PAUSED,
    RECORDING,
    Begin,
    Do,
    Hold,
    Message,
    Show,
    Shown,
    Speed,
    Switch,
    pack,
    parse,
)
from worldgen_core.play.recording import Recorder, Recording
from worldgen_core.play.session import Moment, PlaySession
from worldgen_core.play.settings import ServerSettings
from worldgen_core.play.theatre import Role, Theatre

log = logging.getLogger(__name__)

Keep = Callable[[Recording], dict[str, Any]]
"""Keeps a finished recording for download and says where."""

IDLE_CODE, RUDE_CODE, BAD_CODE, BROKEN_CODE = 4000, 4001, 4002, 4003
"""WebSocket close codes of our own: idle too long, too many messages, a message that is none, a model that
failed."""
_AGAIN_S = 0.1
"""Least time between two pictures of one moment: turning the view of a paused game asks for little."""


class Player:
    """Runs a session for one WebSocket until either side ends it."""

    def __init__(
        self,
        socket: WebSocket,
        session: PlaySession,
        casting: Casting,
        theatre: Theatre,
        crew: Crew,
        *,
        settings: ServerSettings,
        keep: Keep,
    ) -> None:
        self._socket = socket
        self._session = session
        self._casting = casting
        self._theatre = theatre
        self._crew = crew
        self._fps = fps = float(theatre.facts.fps)
        self._settings = settings
        self._keep = keep
        self._pacer = Pacer(fps)
        self._meter = Meter()
        self._is_paused = False
        self._steps_wanted = 0
        self._wants_context = False
        self._begin: Begin | None = None
        self._wants_next_life = False
        self._recorder: Recorder | None = None
        self._serial = self._shown = 0
        self._last_touch = time.monotonic()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._has_news = False
        self._sent: tuple[Moment | None, float] = None, 0.0
        self._again: asyncio.TimerHandle | None = None
        self._notes: dict[str, dict[str, Any]] = {}

    async def run(self, first: str | bytes) -> None:
        """Play until the player leaves, idles too long or misbehaves; `first` is what was said already."""
        parts = (
            self._listen(first),
            self._play(),
            self._send(),
            self._casting.run(self._note, self._wake.set),
        )
        tasks = [asyncio.create_task(part) for part in parts]
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            # Whatever was being sent, the player is gone.
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                task.result()

    async def _listen(self, first: str | bytes) -> None:
        bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst, time.monotonic())
        data: str | bytes | None = first
        while data is not None:
            if not bucket.take(time.monotonic()):
                await self._leave(RUDE_CODE, "too many messages")
                return
            try:
                self._take(parse(data))
            except ConfigError as error:
                await self._leave(BAD_CODE, f"{error.what}: {error.found}")
                return
            data = await hear(self._socket)

    def _take(self, message: Message) -> None:
        if isinstance(message, Shown):
            self._shown = max(self._shown, min(message.serial, self._serial))
            self._news.set()
            return
        self._last_touch = time.monotonic()
        if isinstance(message, Hold):
            self._session.hold(message.action, press=message.press)
            return
        match message:
            case Begin():
                self._begin = message
            case Show():
                has_changed = self._session.view != message.view
                self._session.view = message.view
                self._session.takes_chance_from_game = message.same_chance
                self._wants_context = message.context
                if has_changed and self._recorder is not None:
                    self._stop_recording()
            case Speed():
                self._pacer.frames_per_s = self._fps * message.factor
                self._meter.restart()
            case Switch():
                num_steps = message.num_steps
                choice = Choice(message.model, message.device, message.backend, num_steps)
                self._casting.wish(choice)
            case Do():
                self._do(message.what)
        self._wake.set()
        self._tell()

    def _note(self, kind: str, note: dict[str, Any]) -> None:
        """There is something to be told; of each kind the newest."""
        self._notes[kind] = note
        self._news.set()

    def _tell(self) -> None:
        """There is something new to be seen."""
        self._has_news = True
        self._news.set()

    def _do(self, what: str) -> None:
        if what == "pause":
            self._is_paused = True
        elif what == "resume":
            self._is_paused = False
            self._pacer.restart()
            self._meter.restart()
        elif what == "step":
            self._is_paused, self._steps_wanted = True, 1
        elif what == "reset":
            self._begin, self._wants_next_life = None, True
        elif what == "record":
            session = self._session
            self._recorder = Recorder(
                session.view, session.moment, max_frames=self._settings.max_recorded_frames
            )
        else:
            self._stop_recording()

    def _stop_recording(self) -> None:
        if self._recorder is not None:
            self._note("recorded", self._keep(self._recorder.finish()))
            self._recorder = None

    async def _play(self) -> None:
        self._tell()
        while True:
            now = time.monotonic()
            if now - self._last_touch > self._settings.idle_s:
                await self._leave(IDLE_CODE, "idle")
                return
            wait_s = 1.0 if self._rests() else self._pacer.wait_s(now)
            if wait_s > 0:
                if self._rests():
                    with contextlib.suppress(TimeoutError):
                        # Not wait_for, which before Python 3.12 may keep a cancellation to itself: the
                        # session of a player who is gone would hold its place until it is idle.
                        async with asyncio.timeout(wait_s):
                            await self._wake.wait()
                else:
                    await asyncio.sleep(wait_s)
            self._wake.clear()
            if self._rests():
                continue
            try:
                await self._frame()
            except Exception:  # the model's own, whatever it is: it ends this session and nobody else's
                log.exception("a model failed while it was played")
                await self._leave(BROKEN_CODE, "the model failed")
                return

    def _rests(self) -> bool:
        is_asked = self._begin is not None or self._wants_next_life or self._steps_wanted
        is_asked = is_asked or self._casting.has_arrival
        return self._is_paused and not is_asked

    async def _frame(self) -> None:
        self._pacer.begin_frame(time.monotonic())
        session = self._session
        before = session.moment
        if (role := self._casting.take()) is not None:
            await self._change_to(role)
            moment = session.moment
        else:
            moment = await self._crew.step(self._advance)
        if moment is not before:
            is_cut = moment.frame_number == 0
            if is_cut:
                self._meter.restart()
            else:
                self._meter.frame(time.monotonic(), moment.step_ms)
            if self._recorder is not None:
                (self._recorder.cut if is_cut else self._recorder.add)(moment)
                if self._recorder.is_full:
                    self._stop_recording()
        self._tell()

    async def _change_to(self, role: Role) -> None:
        starts = self._theatre.starts(role.model.num_context_frames)
        try:
            await self._crew.step(lambda: self._session.change_model(role.model, starts))
        except Exception as error:  # the session is as it was, with the old model
            self._casting.settle(self._casting.role)
            self._note("refused", {"text": one_line(error)})
            return
        self._casting.settle(role)
        self._meter = Meter()
        self._note("model", self._theatre.describe_role(role))

    def _advance(self) -> Moment:
        begin, self._begin = self._begin, None
        is_next, self._wants_next_life = self._wants_next_life, False
        if begin is not None:
            try:
                return self._session.begin(seed=begin.seed, start_id=begin.start)
            except ConfigError as error:
                self._notes["error"] = {"text": f"{error.what}: {error.found}"}
                return self._session.moment
        if is_next:
            return self._session.next_life()
        self._steps_wanted = 0
        return self._session.tick()

    async def _send(self) -> None:
        """Send notes, and the newest frame as soon as the browser has room for it."""
        while True:
            await self._news.wait()
            self._news.clear()
            notes, self._notes = self._notes, {}
            for kind, note in notes.items():
                await self._socket.send_json({"type": kind, **note})
            if not self._has_news or self._serial - self._shown >= self._settings.max_frames_in_flight:
                continue
            now = time.monotonic()
            if (wait_s := self._wait_again_s(now)) > 0:
                self._again = self._again or asyncio.get_running_loop().call_later(wait_s, self._send_again)
                continue
            self._has_news, self._sent = False, (self._session.moment, now)
            self._serial += 1
            await self._socket.send_bytes(self._packed())

    def _send_again(self) -> None:
        self._again = None
        self._news.set()

    def _wait_again_s(self, now: float) -> float:
        """Seconds until the current moment may be sent; 0 for one that was not sent before."""
        moment, sent_at = self._sent
        return sent_at + _AGAIN_S - now if moment is self._session.moment else 0.0

    def _packed(self) -> bytes:
        session = self._session
        flags = PAUSED * self._is_paused | RECORDING * (self._recorder is not None) | ENDED * session.is_over
        return pack(
            session.moment,
            view=session.view,
            flags=flags,
            serial=self._serial,
            rates=self._meter.rates(),
            context=session.context if self._wants_context else [],
        )

    async def _leave(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason[:120])


async def hear(socket: WebSocket) -> str | bytes | None:
    """What a player says next; None: it has left."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    return message.get("text") or message.get("bytes") or ""
