"""Windows of tiles: what is shown, what is asked, and that a network learns a map from them."""

from __future__ import annotations

import torch

from worldgen_core.models.layered_network import TileArchitecture, TileNetwork
from worldgen_core.models.layered_tiles import NO_TILE
from worldgen_core.training.layered_atlas import TileMap
from worldgen_core.training.layered_windows import Windows, WindowSampler, WindowSettings, tile_loss

SHAPE, SCREEN, NUM_TILES = (9, 11), (5, 7), 12


def make_map() -> TileMap:
    ids = torch.randint(0, NUM_TILES, (14, 18), generator=torch.Generator().manual_seed(0))
    ids[0, :3] = NO_TILE
    return TileMap(ids, (0, 0))


def make_sampler(**changes: float) -> WindowSampler:
    settings = WindowSettings(batch_size=32).model_copy(update=changes)
    return WindowSampler(
        [make_map()], shape=SHAPE, screen=SCREEN, num_tiles=NUM_TILES, settings=settings, seed=0
    )


def test_windows_are_pure_in_the_step() -> None:
    first, again, other = make_sampler().batch(3), make_sampler().batch(3), make_sampler().batch(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.truth, other.truth)


def test_what_is_asked_is_true_on_the_screen_and_not_shown() -> None:
    windows = make_sampler(strange_share=0.0).batch(0)
    asked, shown = windows.is_asked, windows.shown != NO_TILE
    assert asked.any(dim=(1, 2)).float().mean() > 0.8  # beyond the map's edge there is nothing to ask
    assert not (asked & shown).any()
    assert (windows.truth[asked] != NO_TILE).all()
    assert torch.equal(windows.shown[shown], windows.truth[shown])
    rows, columns = torch.nonzero(asked.any(dim=0), as_tuple=True)
    assert rows.min() >= 2
    assert rows.max() < 7
    assert columns.min() >= 2
    assert columns.max() < 9


def test_strange_tiles_are_shown_as_often_as_asked_for() -> None:
    windows = make_sampler(strange_share=0.3).batch(0)
    shown = windows.shown != NO_TILE
    share = float((windows.shown != windows.truth)[shown].float().mean())
    assert 0.2 < share < 0.34  # one in twelve strange tiles is the true one


def test_the_loss_is_the_cross_entropy_of_asked_cells_alone() -> None:
    network = TileNetwork(TileArchitecture(rows=9, columns=11, embedding=4, channels=8), NUM_TILES)
    torch.nn.init.zeros_(network.output.weight)
    torch.nn.init.zeros_(network.output.bias)  # pyright: ignore[reportArgumentType]  # has a bias
    windows = make_sampler().batch(0)
    even = tile_loss(network, windows)
    torch.testing.assert_close(even, torch.tensor(float(NUM_TILES)).log())
    nothing = Windows(windows.shown, windows.truth, torch.zeros_like(windows.is_asked))
    assert float(tile_loss(network, nothing).detach()) == 0.0


def test_the_losses_of_a_batch_in_parts_add_up() -> None:
    network = TileNetwork(TileArchitecture(rows=9, columns=11, embedding=4, channels=8), NUM_TILES)
    windows = make_sampler().batch(0)
    parts = [torch.arange(index, len(windows.shown), 3) for index in range(3)]
    total = torch.stack([tile_loss(network, windows, rows) for rows in parts]).sum()
    torch.testing.assert_close(total, tile_loss(network, windows))


def test_a_network_learns_the_map() -> None:
    torch.manual_seed(0)
    network = TileNetwork(TileArchitecture(rows=9, columns=11, embedding=16, channels=48), NUM_TILES)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    sampler = make_sampler()
    for step in range(150):
        optimizer.zero_grad()
        tile_loss(network, sampler.batch(step)).backward()
        optimizer.step()
    windows = sampler.batch(10_000)
    with torch.inference_mode():
        guess = network(windows.shown).argmax(dim=1)
    assert float((guess == windows.truth)[windows.is_asked].float().mean()) > 0.8
