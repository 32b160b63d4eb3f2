"""The words of dataset.json, the digest of an episode, codecs, splits, and what the format refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

from storage.codec import ChunkError, RawCodec, ZstdCodec, make_codec
from storage.errors import SchemaVersionError, ShardCorruptError, StorageError
from storage.records import SPLITS, CodecInfo, Episode, SplitStatistics
from storage.schema import check_episode, episode_digest, info_from_json, info_to_json
from storage.splits import assign_splits
from tests.episodes import INFO, make_episode

PATH = Path("dataset.json")


def spoilt(**fields: Any) -> Episode:
    """An episode whose fields did not pass through the checks that the tests switch on."""
    episode = make_episode()
    for name, value in fields.items():
        object.__setattr__(episode, name, value)
    return episode


def test_dataset_json_round_trip() -> None:
    counts = SplitStatistics(3, 600, 2, 1, (500, 100))
    info = dataclasses.replace(INFO, statistics=dict.fromkeys(SPLITS, counts), codec=CodecInfo("raw", 0))
    assert info_from_json(info_to_json(info), path=PATH) == info
    assert (info.num_episodes, info.num_frames) == (6, 1200)


def test_dataset_json_spells_whole_words() -> None:
    facts = json.loads(info_to_json(INFO))
    assert facts["schema_version"] == 1
    assert facts["action_names"] == ["idle", "flap"]
    assert (facts["codec"], facts["frames_per_chunk"]) == ({"name": "zstd", "level": 9}, 16)


def test_another_schema_version_is_an_error_of_its_own() -> None:
    facts = {**json.loads(info_to_json(INFO)), "schema_version": 2, "unheard_of": 1}
    with pytest.raises(SchemaVersionError, match="expected schema_version 1; found schema_version 2"):
        info_from_json(json.dumps(facts).encode(), path=PATH)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schema_version": 1}', b"\xff"])
def test_a_damaged_dataset_json_names_itself(data: bytes) -> None:
    with pytest.raises(ShardCorruptError, match=r"^dataset\.json: dataset description"):
        info_from_json(data, path=PATH)


@pytest.mark.parametrize(
    "fields",
    [
        {"frames": np.zeros((20, 4, 6, 3), np.uint8)},
        {"frames": np.zeros((0, 6, 4, 3), np.uint8)},
        {"frames": np.zeros((20, 6, 4, 3), np.float32)},
        {"action": np.full(20, 2)},
        {"action": np.full(20, -1)},
        {"action": np.zeros(19, np.int64)},
        {"reward": np.zeros(20)},
        {"pts": np.zeros(21, np.int64)},
        {"split": "test"},
    ],
)
def test_an_episode_that_does_not_fit_is_refused_by_field(fields: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match=rf"^episode 'episode 0', {next(iter(fields))}: expected"):
        check_episode(spoilt(**fields), INFO)


def test_the_annotations_are_checked_in_tests() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="Episode"):
        dataclasses.replace(make_episode(), action=np.zeros(19, np.int64))


def test_the_digest_depends_on_every_field_but_the_split() -> None:
    episode = make_episode()
    changes: dict[str, Any] = {
        "episode_id": "another",
        "source": "another",
        "frames": episode.frames ^ 1,
        "action": 1 - episode.action,
        "reward": -episode.reward,
        "terminated": ~episode.terminated,
        "truncated": ~episode.truncated,
        "pts": episode.pts + 1,
        "source_frame": episode.source_frame + 1,
    }
    digests = {
        episode_digest(dataclasses.replace(episode, **{name: value})) for name, value in changes.items()
    }
    assert len(digests) == len(changes)
    assert episode_digest(episode) not in digests
    assert episode_digest(dataclasses.replace(episode, split="validation")) == episode_digest(episode)
    strided = np.repeat(episode.frames, 2, axis=0)[::2]
    assert episode_digest(dataclasses.replace(episode, frames=strided)) == episode_digest(episode)


@pytest.mark.parametrize("codec", [ZstdCodec(), RawCodec()])
def test_a_codec_decodes_as_many_first_frames_as_asked_for(codec: ZstdCodec | RawCodec) -> None:
    frames = make_episode(num_frames=8).frames
    block = codec.encode(np.repeat(frames, 2, axis=2)[:, :, ::2])  # need not be contiguous
    for length in (1, 5, 8):
        out = np.empty_like(frames[:length])
        codec.decode(memoryview(block), out)
        np.testing.assert_array_equal(out, frames[:length])


@pytest.mark.parametrize("codec", [ZstdCodec(), RawCodec()])
@pytest.mark.parametrize("block", [b"", b"\x28\xb5\x2f\xfd", b"no block at all"])
def test_a_codec_refuses_what_it_did_not_write(codec: ZstdCodec | RawCodec, block: bytes) -> None:
    with pytest.raises(ChunkError):
        codec.decode(block, np.empty((2, 6, 4, 3), np.uint8))


def test_a_block_with_too_few_frames_is_refused() -> None:
    block = ZstdCodec().encode(make_episode(num_frames=4).frames)
    with pytest.raises(ChunkError, match="holds 288 bytes"):
        ZstdCodec().decode(block, np.empty((5, 6, 4, 3), np.uint8))


def test_codecs_are_found_by_name() -> None:
    assert isinstance(make_codec(CodecInfo("raw", 0)), RawCodec)
    with pytest.raises(StorageError, match="chunk codec: expected 'zstd' or 'raw'; found 'lz99'"):
        make_codec(CodecInfo("lz99", 0))


def test_splits_hold_out_whole_episodes_whatever_their_order() -> None:
    ids = [f"episode {i}" for i in range(30)]
    splits = assign_splits(ids, validation_share=0.1, seed=3)
    assert sorted(splits.values()) == ["train"] * 27 + ["validation"] * 3
    assert assign_splits(ids[::-1], validation_share=0.1, seed=3) == splits
    assert assign_splits(ids, validation_share=0.1, seed=4) != splits


@pytest.mark.parametrize(
    ("count", "share", "held_out"), [(5, 0.0, 0), (5, 0.01, 1), (5, 0.99, 4), (5, 1.0, 5), (1, 0.1, 0)]
)
def test_splits_leave_both_sides_something(count: int, share: float, held_out: int) -> None:
    splits = assign_splits([str(i) for i in range(count)], validation_share=share, seed=0)
    assert list(splits.values()).count("validation") == held_out


def test_splits_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="validation_share"):
        assign_splits(["a", "b"], validation_share=1.5, seed=0)
    with pytest.raises(ValueError, match="1/2 ids"):
        assign_splits(["a", "a"], validation_share=0.5, seed=0)
