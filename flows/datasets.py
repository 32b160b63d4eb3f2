"""The first stages of a recipe: from play or from footage to a dataset."""

from __future__ import annotations

from storage.manifest import ArtifactRef
from tasks.capture import capture
from tasks.make_sample import make_sample
from tasks.slice_video import slice_video
from tasks.slice_videos import slice_videos
from tasks.steps import Steps
from tasks.train_agent import train_agent
from worldgen_core.config import Config


def dataset_of(config: Config, call: Steps) -> ArtifactRef:
    """The dataset of a game: of its footage where it is known from videos, else of play recorded here."""
    return sliced(config, call) if config.sources else played(config, call)


def played(config: Config, call: Steps) -> ArtifactRef:
    """Train an agent, and record its play."""
    policies = call(train_agent, config.agent)
    return call(capture, config.capture, policies=policies)


def sliced(config: Config, call: Steps) -> ArtifactRef:
    """Cut videos into episodes; a video is a unit of its own. Without footage a sample is recorded first."""
    sample = None
    if all(source.folder is None for source in config.sources):
        sample = call(make_sample, config.sample)
    else:
        call.not_needed(make_sample, config.footage)
    parts = call.each(slice_video, {source.source: source for source in config.sources}, sample=sample)
    return call(slice_videos, config.slices, **parts)
