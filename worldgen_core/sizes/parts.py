"""Takes each model apart into the networks that a frame runs, at the size that a configuration gives it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from worldgen_core.config import Config
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.autoencoder import KlAutoencoder
from worldgen_core.models.chance import ChanceGuide, ChanceSettings, no_guides
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.models.gamengen_network import GamengenContext, GamengenNetwork
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser
from worldgen_core.models.latent_space import build_autoencoder
from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_mover import MoverNetwork
from worldgen_core.models.layered_network import TileNetwork
from worldgen_core.models.layered_state import MoverState, Sight
from worldgen_core.models.light_decoder import LightDecoder
from worldgen_core.models.pixel_denoiser import PixelContext, PixelDenoiser
from worldgen_core.models.sd_vae import SdVae
from worldgen_core.models.taesd import Taesd
from worldgen_core.models.upsampler import Upsampler
from worldgen_core.names import ModelName
from worldgen_core.sizes.measure import Part
from worldgen_core.tracking.settings import FACINGS, TrackingSettings
from worldgen_core.training.chance_loss import chance_of_game
from worldgen_core.training.diamond_settings import DiamondSettings
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.gamengen_settings import GamengenSettings

PartsOf = Callable[[Config, int, int, int], list[Part]]


def direct_parts(config: Config, num_actions: int, height: int, width: int) -> list[Part]:
    """The regressor, and the two small networks around the chance of the game."""
    arch, assumptions = config.direct.architecture, get_facts(config.direct.game).assumptions
    if assumptions.new_content == "right":
        arch = arch.with_new_content_right(assumptions.new_content_columns)
    network = DirectNetwork(arch, num_actions=num_actions, height=height, width=width)
    cells = torch.zeros(1, 3 * arch.block**2, height // arch.block, width // arch.block)
    act = torch.zeros(1, arch.num_context_frames, dtype=torch.int64)
    chance, memory = torch.zeros(1, arch.chance), network.start_memory(1)
    around = (network.encoder, network.prior)
    rest = tuple(part for part in network.children() if part not in around)
    own = nn.ParameterList(network.parameters(recurse=False))
    return [
        Part("chance prior", (network.prior,), lambda: network.prior(cells), 1),
        Part(
            "regressor",
            (*rest, own),
            lambda: network([cells] * arch.num_context_frames, act, chance, memory),
            1,
        ),
        Part("chance encoder", (network.get_submodule("encoder"),), lambda: network.encoder(cells, cells), 0),
    ]


def layered_parts(config: Config, num_actions: int, height: int, width: int) -> list[Part]:
    """The mover, and the tile network with as full a book as the settings allow, once for each round.

    Player, keys and tiles are those of a usual tile game where the footage would have to tell them.
    """
    settings, num_ways = config.layered, len(FACINGS)
    tracking = settings.tracking or TrackingSettings(scrolls=True, tile_px=8)
    game = MoverGame(
        height=height,
        width=width,
        tile_px=tracking.tile_px,
        speed_px=2,
        home=(height // 2, width // 2),
        box=(12, 10),
        anchor=(0, 0),
        pose_facing=tuple(range(num_ways)) * tracking.patches_per_facing,
        key_facing=tuple(action - 1 if 0 < action <= num_ways else -1 for action in range(num_actions)),
    )
    mover = MoverNetwork(settings.architecture.mover, game)
    arch = settings.architecture.tiles
    tiles = TileNetwork(arch, settings.atlas.max_tiles)
    side, block = mover.arch.window_tiles * game.tile_px, mover.arch.overview_block
    sight = Sight(
        torch.zeros(1, 4, side, side, dtype=torch.uint8),
        torch.zeros(1, 4, height // block, width // block, dtype=torch.uint8),
    )
    pair, past = torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, mover.arch.past, dtype=torch.int64)
    told = MoverState(pair, pair, pair, past, past, torch.zeros(1, dtype=torch.int64))
    ids = torch.zeros(1, arch.rows, arch.columns, dtype=torch.int64)
    return [
        Part("mover", (mover,), lambda: mover(sight, told), 1),
        Part("tile network", (tiles,), lambda: tiles(ids), arch.num_rounds),
    ]


def diamond_vae_parts(config: Config, num_actions: int, height: int, width: int) -> list[Part]:
    """The denoiser with its head over latents, and the two halves of the autoencoder."""
    settings, own = config.train, config.train_autoencoder
    assert isinstance(settings, DiamondVaeSettings)
    assert own is not None
    network = build_autoencoder(own.architecture, height=height, width=width)
    obs = torch.zeros(1, 3, height, width)
    z = torch.zeros(1, network.num_latent_channels, height // network.factor, width // network.factor)
    arch = settings.architecture.model_copy(
        update={"chance": latent_chance(config, settings.architecture.chance)}
    )
    denoiser = LatentDenoiser(
        arch, latent_shape=(z.shape[1], z.shape[2], z.shape[3]), num_actions=num_actions
    )
    num_context = denoiser.num_context_frames
    one = torch.ones(1)
    act = torch.zeros(1, num_context, dtype=torch.int64)
    past = z[:, None].expand(-1, num_context, -1, -1, -1)
    context = LatentContext(past, act, one, _blank_guides(denoiser.chance, past))
    num_steps = settings.sampler.num_evaluations
    return [
        Part("denoiser", (denoiser.unet,), lambda: denoiser(z, one, context), num_steps),
        Part("end head", (denoiser.end_head,), lambda: denoiser.end_logit(context, z), 1),
        *chance_parts(denoiser.chance, z),
        *decoder_parts(config, network, z, height=height, width=width),
        Part("encoder", (network.encoder,), lambda: network.encode(obs), 0),
    ]


def latent_chance(config: Config, settings: ChanceSettings | None) -> ChanceSettings | None:
    """The chance of a latent model as the configured game has it."""
    assert config.train_autoencoder is not None
    with torch.device("meta"):
        own = build_autoencoder(config.train_autoencoder.architecture, height=64, width=64)
    return chance_at(config, settings, own.factor)


def chance_at(config: Config, settings: ChanceSettings | None, factor: int) -> ChanceSettings | None:
    """The chance of a model that sees the configured game at 1/factor of its size."""
    return chance_of_game(settings, get_facts(config.train.game).assumptions, factor)


def chance_parts(chance: ChanceGuide | None, z: Tensor) -> list[Part]:
    """The small networks around the chance of the game, of which a frame runs the prior and the map."""
    if chance is None:
        return []
    drawn = z.new_zeros(1, chance.prior.shape[1])
    return [
        Part("chance prior", (chance.prior,), lambda: chance.prior(z), 1),
        Part("chance map", (chance.map,), lambda: chance.guides(drawn), 1),
        Part("chance encoder", (chance.encoder,), lambda: chance.encoder(z, z), 0),
    ]


def _blank_guides(chance: ChanceGuide | None, past: Tensor) -> Tensor:
    return no_guides(past) if chance is None else torch.zeros_like(past[:, :1])


def decoder_parts(
    config: Config, network: KlAutoencoder | Taesd | SdVae, z: Tensor, *, height: int, width: int
) -> list[Part]:
    """What shows a model's latents; a full decoder beside a light one is there, but no frame runs it."""
    is_light = config.distil_decoder.is_on
    full = Part("decoder", (network.decoder,), lambda: network.decode(z), 0 if is_light else 1)
    if not is_light:
        return [full]
    light = LightDecoder(
        config.distil_decoder.architecture,
        num_latent_channels=network.num_latent_channels,
        factor=network.factor,
        height=height,
        width=width,
    )
    return [Part("light decoder", (light,), lambda: light.decode(z), 1), full]


def diamond_parts(config: Config, num_actions: int, height: int, width: int) -> list[Part]:
    """The low-resolution denoiser with its head, and the upsampler."""
    settings, upsampler_settings = config.train, config.train_upsampler
    assert isinstance(settings, DiamondSettings)
    assert upsampler_settings is not None
    upsampler = Upsampler(upsampler_settings.upsampler, height=height, width=width)
    own = settings.stage.denoiser
    own = own.model_copy(update={"chance": chance_at(config, own.chance, upsampler.settings.factor)})
    denoiser = PixelDenoiser(own, num_actions=num_actions, size=upsampler.low_size)
    low, full, one = torch.zeros(1, 3, *upsampler.low_size), torch.zeros(1, 3, height, width), torch.ones(1)
    act = torch.zeros(1, denoiser.num_context_frames, dtype=torch.int64)
    lows = low[:, None].expand(-1, denoiser.num_context_frames, -1, -1, -1)
    past = PixelContext(torch.cat([lows, _blank_guides(denoiser.chance, lows)], dim=1), act, one)
    seen = torch.zeros(1, upsampler.denoiser.num_context_frames + 1, 3, height, width)
    guided = PixelContext(seen, None, None)
    parts = [
        Part(
            "denoiser",
            (denoiser.unet,),
            lambda: denoiser(low, one, past),
            settings.stage.sampler.num_evaluations,
        ),
        Part(
            "upsampler",
            (upsampler.denoiser.unet,),
            lambda: upsampler.denoiser(full, one, guided),
            upsampler.settings.stage.sampler.num_evaluations,
        ),
    ]
    parts += chance_parts(denoiser.chance, low)
    if denoiser.end_head is not None:
        parts.insert(1, Part("end head", (denoiser.end_head,), lambda: denoiser.end_logit(lows, low), 1))
    return parts


def gamengen_parts(config: Config, num_actions: int, height: int, width: int) -> list[Part]:
    """The U-Net, of which guidance runs two rows, what it is told beside pictures, and the autoencoder."""
    settings, own = config.train, config.train_autoencoder
    assert isinstance(settings, GamengenSettings)
    assert own is not None
    autoencoder = build_autoencoder(own.architecture, height=height, width=width)
    obs = torch.zeros(1, 3, height, width)
    z = torch.zeros(
        1, autoencoder.num_latent_channels, height // autoencoder.factor, width // autoencoder.factor
    )
    arch = settings.architecture.model_copy(
        update={"chance": latent_chance(config, settings.architecture.chance)}
    )
    network = GamengenNetwork(
        arch, latent_shape=(z.shape[1], z.shape[2], z.shape[3]), num_actions=num_actions
    )
    num_context, level = network.num_context_frames, torch.zeros(1, dtype=torch.int64)
    act = torch.zeros(1, num_context, dtype=torch.int64)
    past = z[:, None].expand(-1, num_context, -1, -1, -1)
    context = GamengenContext(past, act, level, _blank_guides(network.chance, past))
    told = nn.ParameterList([*network.action_tokens.parameters(), *network.parameters(recurse=False)])
    return [
        Part(
            "u-net",
            (network.unet,),
            lambda: network.guided(z, level, context, settings.sampler.guidance),
            settings.sampler.num_steps,
        ),
        Part("actions, places", (told,), lambda: network.action_tokens(act) + network.token_places, 1),
        Part("end head", (network.end_head,), lambda: network.end_logit(context, z), 1),
        *chance_parts(network.chance, z),
        *decoder_parts(config, autoencoder, z, height=height, width=width),
        Part("encoder", (autoencoder.encoder,), lambda: autoencoder.encode(obs), 0),
    ]


PARTS_OF: dict[ModelName, PartsOf] = {
    "direct": direct_parts,
    "layered": layered_parts,
    "diamond-vae": diamond_vae_parts,
    "diamond-ae": diamond_vae_parts,
    "diamond": diamond_parts,
    "diamond-small": diamond_parts,
    "gamengen": gamengen_parts,
}
"""How to take each model apart: (configuration, number of actions, height, width) → parts."""
