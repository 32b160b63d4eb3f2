"""The errors of the core; `WorldgenError` itself lives in storage, the lowest layer."""

from __future__ import annotations

from storage.errors import WorldgenError


class ConfigError(WorldgenError):
    """A setting, a profile, a device or a name that cannot be used."""


class AlignmentError(WorldgenError):
    """Actions and frames do not belong together as claimed."""


class LabelError(WorldgenError):
    """A label file that cannot be read, or a line of it that says nothing sensible."""


class ContextLengthError(WorldgenError):
    """A model was given another number of context frames than it was built for."""


class DivergenceError(WorldgenError):
    """Training produced a loss that is not finite or that ran away."""


class VideoError(WorldgenError):
    """A video that cannot be used: no video at all, unsafe, too large, damaged or in no known format."""


class CheckpointError(WorldgenError):
    """A checkpoint or a weights file is truncated, damaged or of another architecture."""


class TrackingError(WorldgenError):
    """Footage in which the camera, the player or its motion cannot be found."""
