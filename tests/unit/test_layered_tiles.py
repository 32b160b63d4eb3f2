"""The book of tiles, and the canvas that draws with it."""

from __future__ import annotations

import torch

from worldgen_core.models.layered_canvas import Canvas, fill
from worldgen_core.models.layered_network import TileArchitecture, TileNetwork
from worldgen_core.models.layered_tiles import NO_TILE, cut_tiles, distances, grid_costs, tile_ids

SIDE = 4
SCREEN = (12, 16)


def make_book(num_tiles: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (num_tiles, SIDE * SIDE * 3), generator=generator).float()


def paint_map(ids: torch.Tensor, book: torch.Tensor) -> torch.Tensor:
    tiles = book[ids].unflatten(2, (SIDE, SIDE, 3)).permute(0, 2, 1, 3, 4)
    return tiles.flatten(2, 3).flatten(0, 1).to(torch.uint8)


def certain_network(num_tiles: int, tile: int) -> TileNetwork:
    """A network that is sure of one tile everywhere."""
    network = TileNetwork(TileArchitecture(rows=7, columns=9, embedding=4, channels=8), num_tiles)
    torch.nn.init.zeros_(network.output.weight)
    network.output.bias = torch.nn.Parameter(torch.eye(num_tiles)[tile] * 200.0)
    return network.eval()


def test_distances_count_known_values_only() -> None:
    book = make_book()
    patch = book[2:3].clone()
    is_known = torch.ones_like(patch, dtype=torch.bool)
    patch[0, :12] += 50.0
    is_known[0, :12] = False
    squares = distances(patch, is_known, book)
    assert squares.argmin() == 2
    assert squares[0, 2] < 1e-2
    expected = (patch[0, 12:] - book[1, 12:]).square().mean()
    torch.testing.assert_close(squares[0, 1], expected, rtol=1e-4, atol=1e-2)
    assert torch.isinf(distances(patch, torch.zeros_like(is_known), book)).all()


def test_a_tile_of_which_too_little_is_known_has_no_id() -> None:
    book = make_book()
    is_known = torch.zeros(2, book.shape[1], dtype=torch.bool)
    is_known[0, :24] = True
    is_known[1, :23] = True
    assert tile_ids(book[[3, 3]], is_known, book).tolist() == [3, NO_TILE]


def test_cutting_keeps_rows_and_columns_apart() -> None:
    book = make_book()
    ids = torch.tensor([[0, 1, 2], [3, 4, 0]])
    tiles = cut_tiles(paint_map(ids, book).float(), SIDE)
    assert tiles.shape == (2, 3, SIDE * SIDE * 3)
    assert tile_ids(tiles.flatten(0, 1), torch.ones(6, 48, dtype=torch.bool), book).tolist() == [
        0,
        1,
        2,
        3,
        4,
        0,
    ]


def test_the_grid_is_where_the_book_fits() -> None:
    book = make_book()
    ids = torch.randint(0, 5, (6, 7), generator=torch.Generator().manual_seed(1))
    picture = paint_map(ids, book)[3:, 1:]
    costs = grid_costs(picture, torch.ones(picture.shape[:2], dtype=torch.bool), book, SIDE)
    assert divmod(int(costs.argmin()), SIDE) == (1, 3)
    assert costs.min() < 0.1 < costs.flatten().sort().values[1]


def canvas_with(screen: torch.Tensor, is_known: torch.Tensor, camera: tuple[int, int]) -> Canvas:
    canvas = Canvas(torch.tensor([1, 2]), SIDE, make_book())
    canvas.put(torch.tensor(camera), screen, is_known)
    return canvas


def test_what_was_put_is_shown_again_wherever_the_camera_goes() -> None:
    screen = torch.randint(0, 256, (*SCREEN, 3), dtype=torch.uint8)
    known = torch.ones(SCREEN, dtype=torch.bool)
    known[2:5, 3:6] = False
    canvas = canvas_with(screen, known, (7, -30))
    far = torch.tensor([400, -600])
    assert not canvas.show(far, SCREEN)[1].any()  # the canvas has grown on two sides
    shown, is_known = canvas.show(torch.tensor([7, -30]), SCREEN)
    assert torch.equal(is_known, known)
    assert torch.equal(shown[known], screen[known])
    moved, _ = canvas.show(torch.tensor([9, -29]), SCREEN)
    assert torch.equal(moved[:-2, :-1][known[2:, 1:]], screen[2:, 1:][known[2:, 1:]])


def test_new_land_is_drawn_in_whole_tiles_and_what_is_known_stays() -> None:
    book = make_book()
    screen = torch.randint(0, 256, (*SCREEN, 3), dtype=torch.uint8)
    canvas = canvas_with(screen, torch.ones(SCREEN, dtype=torch.bool), (1, 2))
    camera = torch.tensor([1, 6])  # one tile to the right, on the grid
    assert canvas.lacks(camera, SCREEN)
    fill([canvas], camera[None], SCREEN, certain_network(5, 3), [torch.Generator().manual_seed(0)])
    shown, is_known = canvas.show(camera, SCREEN)
    assert is_known.all()
    assert torch.equal(shown[:, :-4], screen[:, 4:])
    column = shown[:, -4:].unflatten(0, (3, SIDE)).flatten(1).float()
    torch.testing.assert_close(column, book[[3, 3, 3]].round())


def test_known_pixels_decide_against_the_network() -> None:
    book = make_book()
    screen = torch.zeros(*SCREEN, 3, dtype=torch.uint8)
    tile = book[1].to(torch.uint8).unflatten(0, (SIDE, SIDE, 3))
    screen[:SIDE, :SIDE] = tile
    known = torch.ones(SCREEN, dtype=torch.bool)
    known[0, 0] = False  # one pixel behind somebody
    canvas = canvas_with(screen, known, (1, 2))
    fill([canvas], torch.tensor([[1, 2]]), SCREEN, certain_network(5, 3), [torch.Generator()])
    assert torch.equal(canvas.show(torch.tensor([1, 2]), SCREEN)[0][0, 0], tile[0, 0])


def test_each_canvas_draws_from_its_own_generator() -> None:
    network = TileNetwork(
        TileArchitecture(rows=7, columns=9, embedding=4, channels=8, temperature=2.0), 5
    ).eval()
    blank, unknown = torch.zeros(*SCREEN, 3, dtype=torch.uint8), torch.zeros(SCREEN, dtype=torch.bool)
    cameras = torch.tensor([[1, 2], [1, 2]])
    pair = [canvas_with(blank, unknown, (1, 2)) for _ in range(2)]
    with torch.inference_mode():
        fill(pair, cameras, SCREEN, network, [torch.Generator().manual_seed(seed) for seed in (1, 2)])
        alone = canvas_with(blank, unknown, (1, 2))
        fill([alone], cameras[:1], SCREEN, network, [torch.Generator().manual_seed(2)])
    first, second, single = (canvas.show(cameras[0], SCREEN)[0] for canvas in (*pair, alone))
    assert not torch.equal(first, second)
    assert torch.equal(second, single)
