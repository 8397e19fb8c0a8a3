"""How a product is cut into tiles for the kernels of gemm.cuh."""

from __future__ import annotations

from dataclasses import dataclass

from ..cuda.dtypes import REAL
from ..cuda.launch import Defines

# Blocks that a large GPU has at work at a time, about: with fewer of them, smaller tiles are better.
BUSY = 256
STAGES = {True: 4, False: 3}  # by whether tensor cores multiply; as in tiles.cuh
SLICE_BYTES = 64


@dataclass(frozen=True)
class Tile:
    """What one block computes: `rows` x `columns` elements of the product (TILE_M, TILE_N)."""

    rows: int
    columns: int

    @property
    def threads(self) -> int:
        return 2 * self.columns

    def shared_bytes(self, tensor_core: bool) -> int:
        return STAGES[tensor_core] * (self.rows + self.columns) * SLICE_BYTES

    def number(self, rows: int, columns: int) -> int:
        """How many tiles cover a product."""
        return -(-rows // self.rows) * -(-columns // self.columns)


TILES = (Tile(128, 128), Tile(128, 64), Tile(64, 64), Tile(64, 32))


def lanes_of(dtype: str) -> int:
    """Elements of 16 bytes."""
    return {"float32": 4, "float64": 2}.get(dtype, 8)


def fits(tile: Tile, vector: int, dtype: str) -> bool:
    """Whether kernels are compiled for tiles of that size and fetches of so many elements.

    Large tiles are for what is fetched by 16 bytes; single elements are for channels that are few and odd, and
    half of that (in 16 bits) for a network's first layer.
    """
    if vector == 1:
        return tile == TILES[-1]
    if vector < lanes_of(dtype):
        return tile.columns == 64
    return tile.rows == 64 or dtype != "float64"


def choose_tile(rows: int, columns: int, products: int, vector: int, dtype: str) -> Tile:
    """The tile for `products` products of that size: large where that leaves blocks enough, and little padding."""
    able = [tile for tile in TILES if fits(tile, vector, dtype)]
    width = 32 if columns <= 32 else 64 if -(-columns // 64) % 2 else 128
    for tile in able:
        if tile.columns <= width and (tile.rows == 64 or products * tile.number(rows, columns) >= BUSY):
            return tile
    return able[-1]


def defines(dtype: str, tile: Tile, vector: int, tensor_core: bool) -> Defines:
    """The definitions of tiles.cuh."""
    return {
        "REAL": REAL[dtype],
        "TILE_M": str(tile.rows),
        "TILE_N": str(tile.columns),
        "TENSOR_CORE": str(int(tensor_core)),
        "VECTOR": str(vector),
    }


def never_compiled(given: Defines) -> bool:
    """Combinations of the definitions that no launch asks for."""
    dtype = next(dtype for dtype, real in REAL.items() if real == given["REAL"])
    tile, vector = Tile(int(given["TILE_M"]), int(given["TILE_N"])), int(given["VECTOR"])
    vectors = {1, lanes_of(dtype), min(4, lanes_of(dtype))}
    cores = {"float64": "0", "float32": "01"}.get(dtype, "1")
    return (
        tile not in TILES
        or vector not in vectors
        or given["TENSOR_CORE"] not in cores
        or not fits(tile, vector, dtype)
    )


DEFINITIONS = {
    "REAL": tuple(REAL.values()),
    "TILE_M": ("64", "128"),
    "TILE_N": ("32", "64", "128"),
    "TENSOR_CORE": ("0", "1"),
    "VECTOR": ("1", "2", "4", "8"),
}
