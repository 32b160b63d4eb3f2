"""What a game draws at random, as an input of the latent models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.latent_data import TINY_CHANCE, TINY_WITH_CHANCE
from worldgen_core.games.base import ModelAssumptions
from worldgen_core.models.chance import ChanceEncoder, ChanceGuide, ChancePrior
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser
from worldgen_core.training.chance_loss import chance_of_game, tell, tell_guides
from worldgen_core.training.diamond_vae_objective import DiamondVaeLossSettings, DiamondVaeObjective
from worldgen_core.training.latent_windows import LatentBatch

SHAPE = (4, 6, 5)


def pictures(b: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(b, *SHAPE, generator=torch.Generator().manual_seed(seed))


def chance(columns: int = 2) -> ChanceGuide:
    torch.manual_seed(0)
    return ChanceGuide(TINY_CHANCE.model_copy(update={"columns": columns}), SHAPE)


def test_guides_are_empty_but_at_the_border() -> None:
    guides = chance().guides(torch.randn(3, TINY_CHANCE.size))
    assert guides.shape == (3, 1, *SHAPE)
    assert not guides[..., :-2].any()
    assert guides[..., -2:].all()


def test_the_encoder_sees_the_border_alone() -> None:
    encoder, last, target = chance().encoder, pictures(), pictures(seed=1)
    elsewhere = target.clone()
    elsewhere[..., :-2] += 1.0
    there = target.clone()
    there[..., -1] += 1.0
    mean, log_std = encoder(last, target)
    assert all(torch.equal(a, b) for a, b in zip((mean, log_std), encoder(last, elsewhere), strict=True))
    assert not torch.equal(mean, encoder(last, there)[0])


def test_products_in_bf16_come_back_as_float32() -> None:
    made = chance()
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_std = made.encoder(pictures(), pictures(seed=1))
        mixture, guides = made.prior(pictures()), made.guides(mean)
    assert {part.dtype for part in (mean, log_std, guides, *mixture)} == {torch.float32}


def test_each_row_draws_from_its_own_generator() -> None:
    mixture = chance().prior(pictures(1).expand(3, -1, -1, -1))
    drawn = mixture.sample([torch.Generator().manual_seed(seed) for seed in (1, 2, 1)])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def standard_normal(num: int) -> tuple[ChanceEncoder, ChancePrior]:
    """An encoder and a prior that say a standard normal of `num` dimensions whatever they see."""
    encoder = ChanceEncoder(1, 1, columns=1, size=num)
    prior = ChancePrior(1, 1, 1, columns=0, size=num, num_mixture=1)
    for network, offset in ((encoder, 2.0), (prior, 1.0)):  # what the networks take off a fresh log std
        torch.nn.init.zeros_(network.output.weight)
        torch.nn.init.zeros_(network.output.bias)
        with torch.no_grad():
            network.output.bias[-num:] = offset
    return encoder, prior


def test_chance_that_the_prior_expects_is_free() -> None:
    last = torch.zeros(8, 1, 1, 1)
    told = tell(*standard_normal(2), last, last, torch.Generator().manual_seed(0))
    torch.testing.assert_close(told.price, torch.zeros(8), atol=1e-5, rtol=0)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(told.chance).sum(dim=1)
    torch.testing.assert_close(told.surprise, -expected)


def test_a_price_has_a_known_mean() -> None:
    encoder, prior = standard_normal(1)
    with torch.no_grad():
        encoder.output.bias[:] = torch.tensor([1.5, 1.0])  # mean 1.5, std 1/e
    last = torch.zeros(20_000, 1, 1, 1)
    told = tell(encoder, prior, last, last, torch.Generator().manual_seed(0))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(1.5, torch.tensor(-1.0).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert float(told.price.mean().detach()) == pytest.approx(float(kl), abs=0.02)


def test_price_teaches_the_encoder_and_surprise_the_prior() -> None:
    told_by = chance()
    last, target = pictures(), pictures(seed=1)
    told = tell(told_by.encoder, told_by.prior, last, target, torch.Generator().manual_seed(0))
    told.price.sum().backward(retain_graph=True)
    assert told_by.encoder.output.weight.grad is not None
    assert told_by.prior.output.weight.grad is None
    told_by.zero_grad()
    told.surprise.sum().backward()
    assert told_by.encoder.output.weight.grad is None
    assert told_by.prior.output.weight.grad is not None


def test_without_chance_there_are_no_guides_and_nothing_to_pay() -> None:
    parts: dict[str, list[Tensor]] = {}
    guides = tell_guides(None, pictures(), pictures(), torch.Generator(), parts)
    assert guides.shape == (3, 0, *SHAPE)
    assert parts == {}


def test_a_game_has_chance_where_its_border_is_known() -> None:
    at_right = ModelAssumptions(new_content="right", new_content_columns=4)
    assert chance_of_game(TINY_CHANCE, at_right, 4) == TINY_CHANCE.model_copy(update={"columns": 2})
    assert chance_of_game(TINY_CHANCE, at_right, 2) == TINY_CHANCE.model_copy(update={"columns": 3})
    assert chance_of_game(TINY_CHANCE, ModelAssumptions(), 4) is None
    assert chance_of_game(None, at_right, 4) is None


def coins(b: int, generator: torch.Generator) -> LatentBatch:
    """Windows of three latents: nothing twice, then at the border a column of 1 or of -1."""
    z = torch.zeros(b, 3, *SHAPE)
    side = torch.randint(0, 2, (b, 1, 1), generator=generator).float() * 2 - 1
    z[:, 2, ..., -1] = side
    return LatentBatch(z, torch.zeros(b, 3, dtype=torch.int64), torch.zeros(b, 3, dtype=torch.bool))


def test_one_step_draws_one_of_two_futures_and_not_their_mean() -> None:
    torch.manual_seed(0)
    network = LatentDenoiser(TINY_WITH_CHANCE, latent_shape=SHAPE, num_actions=2)
    settings = DiamondVaeLossSettings(dreams=True, level_share=0.25, prior_weight=0.1)
    objective = DiamondVaeObjective(
        network,
        settings,
        lambda step: coins(16, torch.Generator().manual_seed(step)),
        sigma_start=20.0,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(100):
        optimizer.zero_grad()
        objective.loss(step, torch.Generator().manual_seed(step))["loss"].backward()
        optimizer.step()
    z = torch.zeros(200, 2, *SHAPE)
    generators = [torch.Generator().manual_seed(row) for row in range(len(z))]
    assert network.chance is not None
    with torch.no_grad():
        guides = network.chance.guides(network.chance.prior(z[:, -1]).sample(generators))
        context = LatentContext(z, torch.zeros(200, 2, dtype=torch.int64), torch.zeros(200), guides)
        noise = 20 * torch.randn(z[:, 0].shape, generator=torch.Generator().manual_seed(0))
        drawn = network(noise, torch.full((200,), 20.0), context)[..., -1].mean(dim=(1, 2))
    assert (drawn.abs() - 1).abs().median() < 0.2
    assert 0.3 < (drawn > 0).float().mean() < 0.7
