"""The one tree of settings, assembled from settings that live beside their parts.

A profile says how big everything is, a model which architecture; both have a size for every combination.
`overrides` change single values on top. Derived values (device, seeds) are filled in here, so that a stage's
settings are resolved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from worldgen_core.agents import settings as agents
from worldgen_core.agents.settings import AgentSettings, CaptureSettings
from worldgen_core.device import choose_device, choose_precision
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation import settings as evaluation
from worldgen_core.evaluation.settings import BenchmarkSettings, EvaluateSettings, PublishSettings
from worldgen_core.names import DeviceName, GameName, ModelName, ProfileName, default_model
from worldgen_core.overrides import merge, partial_model
from worldgen_core.training import (
    autoencoder_settings,
    decoder_settings,
    diamond_settings,
    diamond_vae_settings,
    direct_settings,
    gamengen_settings,
    layered_settings,
)
from worldgen_core.training.autoencoder_settings import AutoencoderSettings, LatentSettings
from worldgen_core.training.decoder_settings import (
    AttachDecoderSettings,
    DistilDecoderSettings,
    FinetuneDecoderSettings,
)
from worldgen_core.training.diamond_settings import DiamondSettings, UpsamplerSettings
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.gamengen_settings import GamengenSettings
from worldgen_core.training.layered_settings import LayeredSettings
from worldgen_core.video import sample_settings
from worldgen_core.video import settings as slice_settings
from worldgen_core.video.footage import AUTO, SAMPLE_GAME, Footage, choose_footage, resolve_sources
from worldgen_core.video.sample_settings import SampleSettings
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.source_settings import SourceSettings

FOOTAGE_GAMES = ("pokemon",)
"""Games that are known from videos."""


def games_of(game: str) -> tuple[str, ...]:
    """The games that models of a recipe may be of: where it is known from videos, the sample's too."""
    return (game, SAMPLE_GAME) if game in FOOTAGE_GAMES else (game,)


class Sections(BaseModel):
    """The settings of every stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: AgentSettings
    """Stage train_agent."""
    capture: CaptureSettings
    """Stage capture."""
    sample: SampleSettings
    """Stage make_sample."""
    slices: SliceSettings
    """Stages slice_video and slice_videos."""
    autoencoder: AutoencoderSettings
    """Stage train_autoencoder."""
    plain_autoencoder: AutoencoderSettings
    """Stage train_autoencoder, model `diamond-ae`."""
    gamengen_autoencoder: AutoencoderSettings
    """Stage train_autoencoder, model `gamengen`."""
    latents: LatentSettings
    """Stage encode_latents."""
    finetune_decoder: FinetuneDecoderSettings
    """Stage finetune_decoder."""
    distil_decoder: DistilDecoderSettings
    """Stage distil_decoder."""
    attach_decoder: AttachDecoderSettings
    """Stage attach_decoder."""
    direct: DirectSettings
    """Stage train_model, model `direct`."""
    layered: LayeredSettings
    """Stage train_model, model `layered`."""
    diamond_vae: DiamondVaeSettings
    """Stage train_model, model `diamond-vae`."""
    diamond_ae: DiamondVaeSettings
    """Stage train_model, model `diamond-ae`."""
    diamond: DiamondSettings
    """Stage train_model, model `diamond`."""
    diamond_small: DiamondSettings
    """Stage train_model, model `diamond-small`."""
    gamengen: GamengenSettings
    """Stage train_model, model `gamengen`."""
    upsampler: UpsamplerSettings
    """Stage train_upsampler, model `diamond`."""
    upsampler_small: UpsamplerSettings
    """Stage train_upsampler, model `diamond-small`."""
    evaluate: EvaluateSettings
    """Stage evaluate."""
    benchmark: BenchmarkSettings
    """Stage benchmark."""
    publish: PublishSettings
    """Stage publish."""


class Overrides(partial_model(Sections)):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues]
    """Any part of the settings; what is left out keeps the profile's value."""


class Config(Sections):
    """One resolved configuration of a recipe."""

    game: GameName
    profile: ProfileName
    model: ModelName
    seed: int
    """The seed that every stage's randomness derives from by name."""
    data: str = AUTO
    """The folder of footage that was asked for."""
    footage: str = ""
    """Which footage, in words; empty for games that are played here."""
    sources: tuple[SourceSettings, ...] = ()
    """The videos, resolved."""

    @property
    def train(
        self,
    ) -> DirectSettings | LayeredSettings | DiamondVaeSettings | DiamondSettings | GamengenSettings:
        """The settings of the chosen model's training."""
        return {
            "direct": self.direct,
            "layered": self.layered,
            "diamond-vae": self.diamond_vae,
            "diamond-ae": self.diamond_ae,
            "diamond": self.diamond,
            "diamond-small": self.diamond_small,
            "gamengen": self.gamengen,
        }[self.model]

    @property
    def train_autoencoder(self) -> AutoencoderSettings | None:
        """The settings of the training of the chosen model's autoencoder; None: it works on pixels."""
        return {
            "diamond-vae": self.autoencoder,
            "diamond-ae": self.plain_autoencoder,
            "gamengen": self.gamengen_autoencoder,
        }.get(self.model)

    @property
    def train_upsampler(self) -> UpsamplerSettings | None:
        """The settings of the training of the chosen model's upsampler; None: it has none."""
        return {"diamond": self.upsampler, "diamond-small": self.upsampler_small}.get(self.model)

    @property
    def dataset_name(self) -> str:
        """Champions are kept by game and dataset."""
        return self.slices.dataset_name if self.sources else self.capture.dataset_name

    @property
    def variant(self) -> str:
        """What tells builds of one recipe apart."""
        return f"{self.profile}/{self.model}"


def make_config(
    game: GameName,
    profile: ProfileName,
    *,
    model: ModelName | None = None,
    seed: int = 0,
    device: DeviceName = "auto",
    data: str = AUTO,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Assemble a profile's settings, resolve device and seed, and merge `overrides` (section → name → value).

    `model` is by default `default_model`.
    `data` is a folder of videos and action files, for games that are known from footage; `auto` takes the
    usual folder, or else the sample.
    Raises: ConfigError for a device that is missing, an unknown name, or a value out of range.
    """
    model = model or default_model(game, profile)
    footage = _footage(game, data)
    played = footage.game if footage else game
    sections = _profile(profile, played)
    shared = {"game": played, "seed": seed, "device": choose_device(device).type, "model": model}
    changed = merge(sections, _shared_values(sections, shared))
    if footage is not None:
        named = {"slices": {"dataset_name": footage.dataset_name}, "evaluate": {"truth": "recording"}}
        changed = merge(changed, named)
    changed = merge(changed, overrides or {})
    changed = merge(changed, _digests_of_imports(changed))
    changed = merge(changed, _precisions(changed.model_dump()))
    if footage is not None and footage.folder is None:
        # What worldgen recorded itself can be simulated again.
        changed = merge(changed, {"evaluate": {"world_seed": changed.sample.seed}})
    config = Config(**dict(changed), game=game, profile=profile, model=model, seed=seed)
    if footage is None:
        return config
    sources = resolve_sources(footage, config.slices, config.sample)
    return config.model_copy(update={"data": data, "footage": footage.description, "sources": sources})


def _footage(game: GameName, data: str) -> Footage | None:
    """Where the game's videos are; None for a game that is played here."""
    if game in FOOTAGE_GAMES:
        return choose_footage(game, data)
    if data != AUTO:
        raise ConfigError(
            "data",
            expected=f"nothing, since {game} is played here; footage is for {', '.join(FOOTAGE_GAMES)}",
            found=data,
            next_step="leave it out",
        )
    return None


def _digests_of_imports(sections: Sections) -> dict[str, Any]:
    """The content of what settings name by path: a path alone says nothing about staleness."""
    folders = {
        "autoencoder": sections.autoencoder.weights_folder,
        "plain_autoencoder": sections.plain_autoencoder.weights_folder,
        "gamengen_autoencoder": sections.gamengen_autoencoder.weights_folder,
    }
    return {
        name: {"weights_digest": _folder_digest(folder, f"setting {name}.weights_folder")}
        for name, folder in folders.items()
        if folder is not None
    }


def _folder_digest(folder: Path, what: str) -> str:
    if not folder.is_dir():
        raise ConfigError(
            what,
            expected="a folder with config.json and safetensors, as diffusers' autoencoders save them",
            found=f"{folder}, which is no folder",
            next_step="correct the path; it is taken from where the command is typed",
        )
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _precisions(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Changes that resolve `precision` wherever it is left to the device beside it."""
    changes: dict[str, Any] = {}
    if tree.get("precision") == "auto":
        changes["precision"] = choose_precision("auto", choose_device(tree["device"]))
    nested = {name: _precisions(value) for name, value in tree.items() if isinstance(value, Mapping)}
    return changes | {name: value for name, value in nested.items() if value}


def _profile(profile: ProfileName, game: str) -> Sections:
    makers = {"smoke": _smoke, "laptop": _laptop, "paper": _paper}
    return makers[profile](game)


def _smoke(game: str) -> Sections:
    """The whole recipe in under two minutes; proves that everything runs."""
    return Sections(
        agent=agents.agent_smoke(game),
        capture=agents.capture_smoke(game),
        sample=sample_settings.smoke(),
        slices=slice_settings.smoke(game),
        autoencoder=autoencoder_settings.smoke(),
        plain_autoencoder=autoencoder_settings.plain(autoencoder_settings.smoke()),
        gamengen_autoencoder=autoencoder_settings.smoke(),
        latents=autoencoder_settings.latent_smoke(),
        finetune_decoder=decoder_settings.finetune_smoke(),
        distil_decoder=decoder_settings.distil_smoke(),
        attach_decoder=decoder_settings.attach_smoke(),
        direct=direct_settings.smoke(),
        layered=layered_settings.smoke(),
        diamond_vae=diamond_vae_settings.smoke(),
        diamond_ae=diamond_vae_settings.smoke(),
        diamond=diamond_settings.smoke(),
        diamond_small=diamond_settings.smoke_small(),
        gamengen=gamengen_settings.smoke(),
        upsampler=diamond_settings.upsampler_smoke(),
        upsampler_small=diamond_settings.upsampler_smoke_small(),
        evaluate=evaluation.smoke(game),
        benchmark=evaluation.benchmark_smoke(game),
        publish=evaluation.publish_smoke(),
    )


def _laptop(game: str) -> Sections:
    """A playable dream in about a quarter of an hour on two cores."""
    return Sections(
        agent=agents.agent_laptop(game),
        capture=agents.capture_laptop(game),
        sample=sample_settings.laptop(),
        slices=slice_settings.laptop(game),
        autoencoder=autoencoder_settings.laptop(),
        plain_autoencoder=autoencoder_settings.plain(autoencoder_settings.laptop()),
        gamengen_autoencoder=autoencoder_settings.laptop(),
        latents=autoencoder_settings.latent_laptop(),
        finetune_decoder=decoder_settings.finetune_laptop(),
        distil_decoder=decoder_settings.distil_laptop(),
        attach_decoder=decoder_settings.attach_laptop(),
        direct=direct_settings.laptop(),
        layered=layered_settings.laptop(),
        diamond_vae=diamond_vae_settings.laptop(),
        diamond_ae=diamond_vae_settings.laptop(),
        diamond=diamond_settings.laptop(),
        diamond_small=diamond_settings.laptop_small(),
        gamengen=gamengen_settings.laptop(),
        upsampler=diamond_settings.upsampler_laptop(),
        upsampler_small=diamond_settings.upsampler_laptop_small(),
        evaluate=evaluation.laptop(game),
        benchmark=evaluation.benchmark_laptop(game),
        publish=evaluation.publish_laptop(),
    )


def _paper(game: str) -> Sections:
    """The published sizes and step counts, for a GPU."""
    return Sections(
        agent=agents.agent_paper(game),
        capture=agents.capture_paper(game),
        sample=sample_settings.paper(),
        slices=slice_settings.paper(game),
        autoencoder=autoencoder_settings.paper(),
        plain_autoencoder=autoencoder_settings.plain(autoencoder_settings.paper()),
        gamengen_autoencoder=autoencoder_settings.stable_diffusion(autoencoder_settings.paper()),
        latents=autoencoder_settings.latent_paper(),
        finetune_decoder=decoder_settings.finetune_paper(),
        distil_decoder=decoder_settings.distil_paper(),
        attach_decoder=decoder_settings.attach_paper(),
        direct=direct_settings.paper(),
        layered=layered_settings.paper(),
        diamond_vae=diamond_vae_settings.paper(),
        diamond_ae=diamond_vae_settings.paper(),
        diamond=diamond_settings.paper(),
        diamond_small=diamond_settings.paper_small(),
        gamengen=gamengen_settings.paper(),
        upsampler=diamond_settings.upsampler_paper(),
        upsampler_small=diamond_settings.upsampler_paper_small(),
        evaluate=evaluation.paper(game),
        benchmark=evaluation.benchmark_paper(game),
        publish=evaluation.publish_paper(),
    )


def _shared_values(sections: Sections, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Changes that set `seed`, `device` and `model` wherever a section has a setting of that name."""

    def fill(tree: Mapping[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {name: value for name, value in shared.items() if name in tree}
        nested = {name: fill(value) for name, value in tree.items() if isinstance(value, Mapping)}
        return changes | {name: value for name, value in nested.items() if value}

    return fill(sections.model_dump())
