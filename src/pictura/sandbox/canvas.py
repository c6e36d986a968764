"""What a painting is made on: SVG elements, measured in units of which the short side has 1000.

Vectors, because one composition is then sharp at every size and costs little Python.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from pictura.sandbox.palettes import Palette

SHORT_SIDE = 1000.0
#: Beyond this ratio a composition is stretched rather than continued, which bounds the work.
LONGEST_RATIO = 8.0

Point = tuple[float, float]


class Canvas:
    """Collects SVG elements. `width` and `height` are units, `rng` is the only source of chance."""

    def __init__(self, width_px: int, height_px: int, palette: Palette, rng: random.Random) -> None:
        self.width_px = width_px
        self.height_px = height_px
        self.unit_px = min(width_px, height_px) / SHORT_SIDE
        self.width = min(width_px / self.unit_px, SHORT_SIDE * LONGEST_RATIO)
        self.height = min(height_px / self.unit_px, SHORT_SIDE * LONGEST_RATIO)
        self.area = self.width * self.height / SHORT_SIDE**2
        self.palette = palette
        self.rng = rng
        self._defs: list[str] = []
        self._body: list[str] = []

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width_px}" height="{self.height_px}" '
            f'viewBox="0 0 {self.width:.4f} {self.height:.4f}" preserveAspectRatio="none">'
            f"<defs>{''.join(self._defs)}</defs>{''.join(self._body)}</svg>"
        )

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def snap(self, length: float) -> float:
        """The nearest edge between two pixels, where a straight line stays sharp."""
        return round(length * self.unit_px) / self.unit_px

    def add(self, element: str) -> None:
        self._body.append(element)

    def fade(self, *stops: tuple[float, str, float], kind: str = "linear", vector: str = "") -> str:
        """Declares a gradient of (offset, colour, opacity), down or outward; returns the paint that names it."""
        name = f"g{len(self._defs)}"
        vector = vector or ('x1="0" y1="0" x2="0" y2="1"' if kind == "linear" else "")
        marks = "".join(
            f'<stop offset="{offset:.3f}" stop-color="{color}" stop-opacity="{opacity:.3f}"/>'
            for offset, color, opacity in stops
        )
        self._defs.append(f'<{kind}Gradient id="{name}" {vector}>{marks}</{kind}Gradient>')
        return f"url(#{name})"

    def fill(self, *colors: tuple[float, str]) -> None:
        """The whole ground, from top to bottom."""
        paint = self.fade(*((offset, color, 1.0) for offset, color in colors))
        self.add(f'<rect width="100%" height="100%" fill="{paint}"/>')

    def circle(self, x: float, y: float, radius: float, paint: str, opacity: float = 1.0) -> None:
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{paint}" fill-opacity="{opacity:.3f}"/>')

    def glow(self, x: float, y: float, radius: float, color: str, strength: float) -> None:
        """A soft light without an edge."""
        fall = ((0.0, 1.0), (0.3, 0.45), (0.65, 0.11), (1.0, 0.0))
        self.circle(x, y, radius, self.fade(*((at, color, strength * left) for at, left in fall), kind="radial"))

    def path(self, data: str, paint: str, opacity: float = 1.0) -> None:
        self.add(f'<path d="{data}" fill="{paint}" fill-opacity="{opacity:.3f}"/>')

    def line(self, data: str, color: str, thickness: float, opacity: float = 1.0) -> None:
        self.add(
            f'<path d="{data}" fill="none" stroke="{color}" stroke-width="{thickness:.2f}" '
            f'stroke-opacity="{opacity:.3f}" stroke-linecap="round"/>'
        )

    def ridge(self, profile: Callable[[float], float], base: float, rise: float, wave: float) -> list[Point]:
        """A line from edge to edge: `base` is its lowest height, `rise` its swing, `wave` the length of one swing."""
        steps = max(2, math.ceil(self.width / 9))
        xs = [self.width * step / steps for step in range(steps + 1)]
        return [(x, base - rise * profile(x / wave)) for x in xs]

    def below(self, ridge: Sequence[Point], top: str, bottom: str) -> None:
        """Fills what lies under a ridge, from one colour to another."""
        self.path(f"{trace(ridge)} V{self.height:.1f} H0 Z", self.fade((0, top, 1), (1, bottom, 1)))


def trace(points: Sequence[Point]) -> str:
    """The path data of a line through points."""
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def noise(rng: random.Random, octaves: int, roughness: float, ridged: bool = False) -> Callable[[float], float]:
    """One-dimensional value noise between 0 and 1: smooth hills, or with `ridged` sharp peaks."""
    lattice = [rng.random() for _ in range(256)]

    def once(x: float) -> float:
        cell = math.floor(x)
        ease = (x - cell) * (x - cell) * (3 - 2 * (x - cell))
        first, second = lattice[cell % 256], lattice[(cell + 1) % 256]
        value = first + (second - first) * ease
        return 1 - abs(2 * value - 1) if ridged else value

    total = sum(roughness**octave for octave in range(octaves))
    return lambda x: sum(roughness**octave * once(x * 2**octave + octave * 37) for octave in range(octaves)) / total
