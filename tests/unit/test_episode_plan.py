"""Where episodes lie in a video."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worldgen_core.video.episode_plan import Span, plan_episodes
from worldgen_core.video.settings import SliceSettings


def settings(**changes: object) -> SliceSettings:
    return SliceSettings.model_validate({"game": "pokemon", "episode_frames": 10, "gap_frames": 3, **changes})


def test_episodes_fill_a_stretch_and_the_remainder_is_dropped() -> None:
    spans = plan_episodes(np.ones(47, bool), settings(validation_share=0), source="town")
    assert spans == [Span(first, first + 10, "train") for first in (0, 10, 20, 30)]


def test_a_remainder_that_is_long_enough_is_kept_on_demand() -> None:
    kept = settings(validation_share=0, remainder="keep", remainder_frames=5)
    assert plan_episodes(np.ones(27, bool), kept, source="town")[-1] == Span(20, 27, "train")
    assert len(plan_episodes(np.ones(24, bool), kept, source="town")) == 2


def test_unusable_frames_are_in_no_episode() -> None:
    usable = np.ones(40, bool)
    usable[12:15] = False
    spans = plan_episodes(usable, settings(validation_share=0), source="town")
    assert [(span.first, span.end) for span in spans] == [(0, 10), (15, 25), (25, 35)]


def test_a_single_episode_is_for_training() -> None:
    assert plan_episodes(np.ones(12, bool), settings(), source="town") == [Span(0, 10, "train")]


def test_every_video_of_two_episodes_holds_one_out() -> None:
    spans = plan_episodes(np.ones(24, bool), settings(), source="town")
    assert sorted(span.split for span in spans) == ["train", "validation"]


@given(
    usable=st.lists(st.booleans(), max_size=12).map(lambda bits: np.repeat(np.array(bits, bool), 7)),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 5),
)
def test_splits_keep_their_distance(usable: np.ndarray, share: float, seed: int) -> None:
    plan = settings(validation_share=share, seed=seed)
    spans = plan_episodes(usable, plan, source="town")
    owner = np.zeros(len(usable), np.int8)
    for span in spans:
        assert usable[span.first : span.end].all()
        assert not owner[span.first : span.end].any()
        owner[span.first : span.end] = 1 if span.split == "train" else 2
    for frame in np.flatnonzero(owner == 2):
        assert not (owner[max(frame - 3, 0) : frame + 4] == 1).any()
