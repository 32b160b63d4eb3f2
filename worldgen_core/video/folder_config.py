"""`worldgen.yaml`: what the videos of a folder need differently from the stage's settings.

    defaults:                # for every video of the folder
      fps: 30000/1001        # in place of the time stamps
      keymap: {z: a, left+a: b}
    videos:
      town:                  # the video's file name without its ending
        offset_frames: -3
      city:
        video: raw/city 1.mkv     # other names, inside the folder
        labels: keys/city.csv
        format: events
      cutscene: {ignore: true}

Everything may be left out. Values of a video win over defaults, those over the stage's settings; keymaps are
joined. The file is data: no links between parts of it (anchors), no tags, at most a mebibyte.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from worldgen_core.errors import ConfigError
from worldgen_core.video.exact import Exact
from worldgen_core.video.safe_files import read_bytes
from worldgen_core.video.scene_settings import LetterboxSettings
from worldgen_core.video.settings import FormatName, SliceSettings, TimeUnit

FILE_NAME = "worldgen.yaml"

_MAX_BYTES = 2**20
_MAX_DEPTH = 20


class VideoDefaults(BaseModel):
    """What may be set for all videos of a folder; None leaves the stage's setting. See SliceSettings."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: FormatName | None = None
    """Format of the label files."""
    time_unit: TimeUnit | None = None
    """Unit of time stamps in label files."""
    unknown_keys: str | None = Field(default=None, pattern="^(error|ignore)$")
    """Keys in event files that mean no action."""
    fps: Exact | None = None
    """Frames a second in place of the video's time stamps."""
    offset_frames: int | None = Field(default=None, validation_alias=AliasChoices("offset_frames", "offset"))
    """Frames by which the labels come too early."""
    clock_rate: Exact | None = None
    """Label ticks for each tick of the video."""
    tolerance_frames: int | None = Field(
        default=None, validation_alias=AliasChoices("tolerance_frames", "tolerance")
    )
    """Frames by which labels and video may differ in length."""
    onset_latency_frames: int | None = None
    """Frames from key-down to the first moving frame."""
    keymap: dict[str, str | int] = Field(default_factory=dict)
    """Names of keys or labels -> an action's name or id."""
    crop: LetterboxSettings | None = None
    """What is cut out of the picture."""
    deinterlace: str | None = Field(default=None, pattern="^(auto|off|always)$")
    """Whether to deinterlace."""


class VideoOverrides(VideoDefaults):
    """What may be set for one video."""

    video: str | None = None
    """The video's file, relative to the folder."""
    labels: str | None = None
    """Its label file, relative to the folder."""
    ignore: bool = False
    """Leave this video out."""


class FolderConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defaults: VideoDefaults = VideoDefaults()
    """For every video."""
    videos: dict[str, VideoOverrides] = Field(default_factory=dict)
    """For single ones, by name."""


_NAMES = {"format": "label_format", "fps": "source_fps"}
"""Names of this file that differ from those of SliceSettings."""


def apply(settings: SliceSettings, *parts: VideoDefaults) -> SliceSettings:
    """The stage's settings with what the parts set, later ones winning.

    Raises: ConfigError if a value is out of the stage's range.
    """
    changes: dict[str, Any] = {}
    keymap = dict(settings.keymap)
    for part in parts:
        keymap |= part.keymap
        given = part.model_dump(exclude_none=True, exclude={"keymap", "video", "labels", "ignore"})
        changes |= {_NAMES.get(name, name): value for name, value in given.items()}
    try:
        return SliceSettings.model_validate(settings.model_dump() | changes | {"keymap": keymap})
    except ValidationError as problem:
        raise _invalid(problem) from problem


def read_config(folder: Path) -> FolderConfig:
    """Read the folder's worldgen.yaml; one that is not there says nothing.

    Raises: ConfigError with the dotted path of what is wrong.
    """
    path = folder / FILE_NAME
    if not path.is_symlink() and not path.exists():
        return FolderConfig()
    content = read_bytes(folder, path, max_bytes=_MAX_BYTES)
    try:
        tree = _load(content)
        return FolderConfig.model_validate({} if tree is None else tree)
    except ValidationError as problem:
        raise _invalid(problem) from problem
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as problem:
        raise ConfigError(
            FILE_NAME,
            expected="a YAML file with defaults and videos",
            found=" ".join(str(problem).split())[:200],
            next_step="correct the file; docs show an example",
        ) from problem


class _Loader(yaml.SafeLoader):
    """Safe YAML whose keys are texts as written (`no`, `1`) and may not be repeated."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a name is expected before the colon", key_node.start_mark
                )
            if key_node.value in mapping:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value!r} is given twice", key_node.start_mark
                )
            mapping[key_node.value] = self.construct_object(value_node, deep=True)
        return mapping


def _load(content: bytes) -> Any:
    depth = 0
    for event in _events(content):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, "nested too deeply", event.start_mark)
    return yaml.load(content, _Loader)


def _events(content: bytes) -> Iterator[yaml.Event]:
    yield from yaml.parse(content, Loader=yaml.SafeLoader)


def _names_of_a_video() -> set[str]:
    """Every name a video's setting may have; `video` at the top is a misspelt `videos`."""
    fields = VideoOverrides.model_fields
    aliases = [field.validation_alias for field in fields.values()]
    short = {str(name) for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices}
    return {*fields, *short} - {"video"}


def _misplaced(name: str) -> ConfigError:
    """A video's setting at the top of the file, where the doctor's advice may be written first."""
    return ConfigError(
        f"{FILE_NAME}: {name}",
        expected="settings of videos below defaults or below a video's name",
        found="one at the top",
        next_step=f"write defaults: {{{name}: …}} for all videos, or videos: {{NAME: {{{name}: …}}}} for one",
    )


def _invalid(problem: ValidationError) -> ConfigError:
    first = problem.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    path = ".".join(part for part in parts if part not in ("CropBox", "int", "str", "float"))
    if first["type"] == "extra_forbidden":
        known = list((FolderConfig if len(parts) == 1 else VideoOverrides).model_fields)
        near = difflib.get_close_matches(parts[-1], known, n=1, cutoff=0.5)
        if len(parts) == 1 and parts[0] in _names_of_a_video():
            return _misplaced(parts[0])
        return ConfigError(
            f"{FILE_NAME}: {path}",
            expected="the name of a setting",
            found="no setting of that name",
            next_step=f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}",
        )
    return ConfigError(
        f"{FILE_NAME}: {path}" if path else FILE_NAME,
        expected=str(first["msg"]).removeprefix("Input should be ").removeprefix("Value error, "),
        found=repr(first["input"])[:80],
        next_step="correct it",
    )
