"""Settings of what counts as a cut, a frozen stretch or a black scene."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SceneSettings(BaseModel):
    """Thresholds of the scene detection."""

    model_config = ConfigDict(frozen=True, extra="forbid")
