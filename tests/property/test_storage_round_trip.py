"""Whatever is written comes back, in both formats, and no clip crosses a border between lives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from storage.clips import ClipReader
from storage.records import CodecInfo, DatasetFormat, DatasetInfo, Episode
from storage.shards import write_dataset
from storage.splits import assign_splits
from storage.verify import verify_dataset
from tests.episodes import INFO, assert_same_episode, make_episode

RUNS = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def episodes(draw: st.DrawFn) -> list[Episode]:
    """Up to four episodes of 1 to 40 frames with any values the format allows."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    ids = draw(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=4, unique=True)
    )
    return [_episode(draw, name, draw(st.integers(1, 40)), height, width) for name in ids]


def _episode(draw: st.DrawFn, name: str, count: int, height: int, width: int) -> Episode:
    ticks = hnp.arrays(np.int64, count, elements=st.integers(-(2**63), 2**63 - 1))
    flags = hnp.arrays(np.bool_, count)
    return Episode(
        episode_id=name,
        source=draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
        split=draw(st.sampled_from(("train", "validation"))),
        frames=draw(hnp.arrays(np.uint8, (count, height, width, 3))),
        action=draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2))),
        reward=draw(hnp.arrays(np.float32, count, elements=st.floats(width=32, allow_nan=False))),
        terminated=draw(flags),
        truncated=draw(flags),
        pts=draw(ticks),
        source_frame=draw(ticks),
    )


@RUNS
@given(
    episodes(),
    st.sampled_from(("parquet", "npz")),
    st.integers(1, 9),
    st.sampled_from(("zstd", "raw")),
    st.integers(1, 3000),
)
def test_write_then_read_is_identity(
    written: list[Episode], format: DatasetFormat, frames_per_chunk: int, codec: str, max_shard_bytes: int
) -> None:
    height, width = written[0].frames.shape[1:3] if written else (1, 1)
    info = DatasetInfo(
        "any", "any", height, width, 29.97, ("a", "b", "c"),
        codec=CodecInfo(codec, 1), frames_per_chunk=frames_per_chunk,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        returned = write_dataset(folder, info, iter(written), format=format, max_shard_bytes=max_shard_bytes)
        reader = ClipReader(folder)
        assert reader.info == returned
        assert [row.episode_id for row in reader.episodes()] == [episode.episode_id for episode in written]
        for episode in written:
            assert_same_episode(reader.read_episode(episode.episode_id), episode)
            middle = episode.num_frames // 2
            clip = reader.read(episode.episode_id, middle, episode.num_frames - middle)
            np.testing.assert_array_equal(clip.frames, episode.frames[middle:])
        assert not any(error for _, error in verify_dataset(folder))


@RUNS
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=30), min_size=1, max_size=3), st.integers(1, 12))
def test_clips_never_cross_a_border_and_none_is_missed(ends: list[list[bool]], length: int) -> None:
    written = [
        make_episode(i, len(dead), terminated=np.flatnonzero(dead).tolist()) for i, dead in enumerate(ends)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        write_dataset(Path(temporary), INFO, written)
        indices, starts = ClipReader(Path(temporary)).clip_starts(length)
    found = set(zip(indices.tolist(), starts.tolist(), strict=True))
    expected = {
        (index, start)
        for index, dead in enumerate(ends)
        for start in range(len(dead) - length + 1)
        if not any(dead[start : start + length - 1])
    }
    assert found == expected


@RUNS
@given(
    st.lists(st.text(), unique=True, max_size=30),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
    st.integers(0, 2**31),
)
def test_splits_are_whole_stable_and_never_leave_a_side_empty(
    ids: list[str], share: float, seed: int
) -> None:
    splits = assign_splits(ids, validation_share=share, seed=seed)
    assert list(splits) == ids
    assert splits == assign_splits(ids[::-1], validation_share=share, seed=seed)
    if len(ids) > 1:
        assert set(splits.values()) == {"train", "validation"}
