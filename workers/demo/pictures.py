"""The gifts' pictures, drawn by rule: `python -m workers.demo.pictures FOLDER` writes one PNG for each."""

from __future__ import annotations

import colorsys
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from workers.demo.catalogue import PRODUCTS, Product

SIZE = 160  # pixels; a mail shows 64
FINE = 2  # samples of a pixel, each way
GROUND = 0.0  # the lightness that stands for the background: a part that cuts away
Inside = Callable[[float, float], bool]
Colour = tuple[float, float, float]


def _oval(x: float, y: float, wide: float, high: float) -> Inside:
    return lambda px, py: ((px - x) / wide) ** 2 + ((py - y) / high) ** 2 <= 1


def _block(left: float, top: float, right: float, bottom: float, slant: float = 0.0) -> Inside:
    """A rectangle whose lower edge is narrower (or wider) by `slant` each side."""
    return lambda px, py: top <= py <= bottom and left + slant * (py - top) / (bottom - top) <= px <= right - slant * (py - top) / (bottom - top)


def _ring(x: float, y: float, radius: float, thick: float) -> Inside:
    return lambda px, py: radius - thick <= ((px - x) ** 2 + (py - y) ** 2) ** 0.5 <= radius


# shape -> parts from back to front, each with its lightness; coordinates from 0 to 100
SHAPES: dict[str, list[tuple[Inside, float]]] = {
    "finjan": [(_block(60, 30, 96, 35), 0.28), (_block(26, 38, 64, 78, -6), 0.45), (_block(28, 28, 62, 38, 3), 0.52), (_oval(45, 28, 17, 4), 0.2)],
    "cup": [(_ring(72, 52, 16, 5), 0.38), (_block(26, 32, 72, 76, 5), 0.5), (_oval(49, 32, 23, 6), 0.25), (_oval(49, 82, 34, 5), 0.62)],
    "jar": [(_block(30, 34, 70, 82), 0.55), (_oval(50, 82, 20, 5), 0.55), (_block(28, 22, 72, 34), 0.3), (_block(35, 46, 65, 68), 0.88)],
    "bottle": [(_block(42, 14, 58, 44), 0.34), (_block(33, 40, 67, 86), 0.42), (_block(41, 10, 59, 19), 0.22), (_block(37, 52, 63, 74), 0.88)],
    "box": [
        (_block(20, 38, 80, 82), 0.5),
        (_block(16, 28, 84, 42), 0.4),
        (_block(46, 28, 54, 82), 0.75),
        (_oval(40, 24, 10, 6), 0.75),
        (_oval(60, 24, 10, 6), 0.75),
    ],
    "bowl": [(_oval(50, 46, 38, 36), 0.45), (_block(8, 6, 92, 46), GROUND), (_oval(50, 46, 38, 9), 0.3), (_block(36, 79, 64, 86), 0.36)],
    "plate": [(_oval(50, 50, 40, 40), 0.5), (_oval(50, 50, 33, 33), 0.72), (_oval(50, 50, 25, 25), 0.6), (_oval(50, 50, 9, 9), 0.4)],
    "vase": [(_oval(50, 60, 25, 26), 0.46), (_block(42, 16, 58, 44), 0.46), (_block(38, 13, 62, 18), 0.36), (_oval(50, 60, 25, 5), 0.66)],
    "cloth": [
        (_block(18, 18, 82, 82), 0.55),
        (_block(18, 28, 82, 34), 0.8),
        (_block(18, 66, 82, 72), 0.8),
        (_oval(50, 50, 11, 11), 0.35),
        (_oval(50, 50, 5, 5), 0.8),
    ],
    "candle": [
        (_block(36, 38, 64, 84), 0.62),
        (_oval(50, 38, 14, 4), 0.72),
        (_block(49, 28, 51, 38), 0.2),
        (_oval(50, 22, 5, 9), 0.7),
        (_oval(50, 86, 26, 5), 0.4),
    ],
    "plant": [
        (_oval(38, 32, 9, 20), 0.4),
        (_oval(62, 32, 9, 20), 0.46),
        (_oval(50, 28, 9, 22), 0.5),
        (_block(32, 50, 68, 84, 6), 0.66),
        (_block(29, 48, 71, 56), 0.58),
    ],
    "soap": [(_oval(50, 56, 34, 22), 0.5), (_oval(50, 50, 34, 22), 0.68), (_oval(50, 50, 22, 12), 0.6)],
    "card": [
        (_block(24, 16, 80, 84), 0.4),
        (_block(20, 12, 76, 80), 0.8),
        (_oval(48, 40, 14, 14), 0.5),
        (_block(32, 62, 64, 65), 0.5),
        (_block(38, 70, 58, 72), 0.5),
    ],
    "book": [(_block(24, 14, 80, 86), 0.9), (_block(20, 12, 74, 84), 0.42), (_block(20, 12, 28, 84), 0.3), (_block(36, 28, 66, 46), 0.78)],
}


def draw(product: Product) -> bytes:
    """A PNG of 160 by 160."""
    hue = product.hue / 360
    ground = colorsys.hls_to_rgb(hue, 0.93, 0.35)
    parts = [(inside, colorsys.hls_to_rgb(hue, light, 0.5) if light else ground) for inside, light in SHAPES[product.shape]]
    rows = (b"\0" + b"".join(_pixel(x, y, parts, ground) for x in range(SIZE)) for y in range(SIZE))
    return _png(b"".join(rows))


def _pixel(x: int, y: int, parts: list[tuple[Inside, Colour]], ground: Colour) -> bytes:
    samples = [_seen((x + (i + 0.5) / FINE) * 100 / SIZE, (y + (j + 0.5) / FINE) * 100 / SIZE, parts, ground) for i in range(FINE) for j in range(FINE)]
    return bytes(round(sum(channel) / len(samples) * 255) for channel in zip(*samples, strict=True))


def _seen(x: float, y: float, parts: list[tuple[Inside, Colour]], ground: Colour) -> Colour:
    return next((colour for inside, colour in reversed(parts) if inside(x, y)), ground)


def _png(rows: bytes) -> bytes:
    """Eight-bit RGB without filters (PNG specification, W3C, third edition)."""
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


def main(folder: Path) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for product in PRODUCTS:
        (folder / f"{product.sku.lower()}.png").write_bytes(draw(product))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
