"""The fit of the chance's prior at the end of a training."""

from __future__ import annotations

from pathlib import Path

import torch

from storage.clips import ClipReader
from tests.direct_data import make_dataset, tiny_settings
from worldgen_core.models.card import read_card, read_weights
from worldgen_core.models.direct import build
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.progress import silent
from worldgen_core.training.chance_prior import (
    PriorExamples,
    PriorObjective,
    collect_examples,
)
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.direct import train_direct
from worldgen_core.training.direct_chance import direct_dreams
from worldgen_core.training.prior_settings import PriorFitSettings

NUM_CONTEXT = 4


def tiny_network(seed: int = 0) -> DirectNetwork:
    settings = tiny_settings()
    torch.manual_seed(seed)
    return DirectNetwork(settings.architecture, num_actions=2, height=32, width=24)


def sampler_of(folder: Path) -> ClipSampler:
    reader = ClipReader(make_dataset(folder))
    return ClipSampler(reader, num_context=NUM_CONTEXT, oversample=(), seed=0, beyond_ends=True)


def collected(network: DirectNetwork, sampler: ClipSampler, **changes: int) -> PriorExamples:
    settings = PriorFitSettings(num_examples=30, unroll=3, num_windows=4).model_copy(update=changes)
    dreams = direct_dreams(network, sampler, settings)
    return collect_examples(dreams, settings, tiny_settings().loop, device=torch.device("cpu"), seed=5)


def test_examples_are_as_many_as_asked_and_pure_in_the_seed(tmp_path: Path) -> None:
    network, sampler = tiny_network(), sampler_of(tmp_path)
    first, again = collected(network, sampler), collected(network, sampler)
    assert len(first.seen) == len(first.mean) == len(first.log_std) == 30
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.mean.std(dim=0).min() > 0  # different dreams, not one again and again


def test_frames_after_the_end_of_a_life_do_not_count(tmp_path: Path) -> None:
    network, sampler = tiny_network(), sampler_of(tmp_path)
    batch = sampler.batch(0, unroll=3, batch_size=64)
    num_real = int(batch.mask[:, NUM_CONTEXT:].sum())
    assert num_real < 3 * 64
    kept = collected(network, sampler, num_windows=64, num_examples=num_real)
    more = collected(network, sampler, num_windows=64, num_examples=num_real + 1)
    assert torch.equal(more.mean[:num_real], kept.mean)  # the next one comes from the second batch


def test_the_loss_is_the_density_of_the_encoded_chance(tmp_path: Path) -> None:
    network, sampler = tiny_network(), sampler_of(tmp_path)
    examples = collected(network, sampler)
    certain = examples._replace(log_std=torch.full_like(examples.log_std, -30.0))
    objective = PriorObjective(network.prior, PriorFitSettings(batch_size=16), certain)
    loss = objective.loss(0, torch.Generator().manual_seed(3))["loss"]
    rows = torch.randint(30, (16,), generator=torch.Generator().manual_seed(3))
    expected = -network.prior.mixture(certain.seen[rows].float()).log_prob(certain.mean[rows]).mean()
    torch.testing.assert_close(loss, expected)


def test_only_the_prior_changes_and_it_expects_more_of_what_comes(tmp_path: Path) -> None:
    networks = []
    for num_steps in (0, 150):
        settings = tiny_settings()
        fit = settings.prior.model_copy(update={"num_steps": num_steps, "num_examples": 200})
        out = tmp_path / str(num_steps)
        out.mkdir()
        train_direct(
            settings.model_copy(update={"prior": fit}),
            make_dataset(tmp_path / f"data-{num_steps}"),
            None,
            out=out,
            resume=tmp_path / f"resume-{num_steps}",
            progress=silent,
        )
        card = read_card(out)
        network = build(card)
        network.load_state_dict(read_weights(out, card))
        networks.append(network)
    before, after = (network.state_dict() for network in networks)
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"prior"}
    examples = collected(networks[0], sampler_of(tmp_path / "more"), num_examples=200)
    with torch.no_grad():
        surprise = [
            float(-net.prior.mixture(examples.seen.float()).log_prob(examples.mean).mean())
            for net in networks
        ]
    assert surprise[1] < surprise[0] - 0.1
