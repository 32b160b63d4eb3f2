"""Settings of the play server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine for itself: with them no token is needed."""


class ServerSettings(BaseModel):
    """Who may play, how many at once, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own needs a token."""
    port: int = Field(default=8765, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    token: str | None = Field(default=None, min_length=16)
    """Secret that every request must bring; None: nobody but this machine can reach the server."""
    max_players: int = Field(default=2, ge=1, le=64)
    """Sessions at once; others wait."""
    max_models: int = Field(default=3, ge=2, le=64)
    """Models in memory at once: the first, which stays, and what players switch to."""
    max_waiting: int = Field(default=16, ge=0, le=1000)
    """People who may wait for a free session; others are sent away at once."""
    max_message_bytes: int = Field(default=4096, ge=256, le=65536)
    """Longest message a player may send."""
    messages_per_s: float = Field(default=120.0, gt=0)
    """Messages a second that a player may send for long: one a frame shown, and the keys."""
    message_burst: int = Field(default=240, ge=1)
    """Messages that may come at once."""
    idle_s: float = Field(default=300.0, gt=0)
    """Seconds without a key or a button after which a session ends."""
    max_frames_in_flight: int = Field(default=8, ge=1, le=120)
    """Frames sent and not yet shown by the browser; beyond it frames are dropped, not queued."""
    max_recorded_frames: int = Field(default=3600, ge=2, le=36000)
    """Frames of one recording; it ends by itself there."""
    max_recordings: int = Field(default=4, ge=1, le=64)
    """Finished recordings that are kept for download; the oldest goes first."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOCAL_HOSTS
