"""What the sandbox paints: a prompt and a seed become a palette, a subject and at last an SVG.

A prompt that names a subject or a mood this house knows gets it ("a harbour at night", 「雪山」); any other gets one
by hash. The same words, seed and model always paint the same picture.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from pictura.sandbox.canvas import SHORT_SIDE, Canvas, Point, noise, trace
from pictura.sandbox.palettes import PALETTES, Palette, mix


def paint(prompt: str, seed: int, model: str, width: int, height: int) -> tuple[str, Palette]:
    """An SVG of `width` x `height` pixels, and the palette it was painted in."""
    digest = hashlib.sha256(f"{model}\0{seed}\0{prompt}".encode("utf-8", "replace")).digest()
    rng = random.Random(int.from_bytes(digest[:8], "big"))
    palette, subject = rng.choice(called_for(prompt, PALETTES)), rng.choice(called_for(prompt, SUBJECTS))
    canvas = Canvas(width, height, palette, rng)
    subject.paint(canvas)
    return canvas.svg(), palette


class Subject(msgspec.Struct, frozen=True):
    """Something to paint. `words` are those of a prompt that call for it, between spaces."""

    words: str
    paint: Callable[[Canvas], None]


Choice = TypeVar("Choice", Palette, Subject)


def called_for(prompt: str, choices: Sequence[Choice]) -> list[Choice]:
    """Those with the most of their words in the prompt; so all of them where it has none.

    Latin words count whole or in a plain plural, Chinese ones wherever they stand.
    """
    said = set(re.findall(r"[a-z]+", prompt.lower()))
    said |= {word[:-1] for word in said if word.endswith("s")}
    hits = [
        sum(word in said if word.isascii() else word in prompt for word in choice.words.split()) for choice in choices
    ]
    return [choice for choice, count in zip(choices, hits, strict=True) if count == max(hits)]


# -- pieces that several subjects share --


def sky(canvas: Canvas) -> None:
    top, middle, horizon = canvas.palette.sky
    canvas.fill((0, top), (0.45, middle), (0.8, horizon), (1, horizon))
    if canvas.palette.night:
        stars(canvas, 0.55, 150)


def stars(canvas: Canvas, depth: float, count: int) -> None:
    """Stars over the upper `depth` (0-1) of the picture, `count` to a square, fainter as they go down."""
    for _ in range(round(count * canvas.area * depth)):
        x, fall = canvas.between(0, canvas.width), canvas.between(0, depth)
        size, strength = 0.8 + 2.4 * canvas.rng.random() ** 4, canvas.between(0.35, 0.95) * (1 - 0.8 * fall)
        canvas.circle(x, canvas.height * fall, size, canvas.palette.light, strength)


def sun(canvas: Canvas, x: float, y: float, radius: float) -> None:
    light = canvas.palette.light
    canvas.glow(x, y, radius * 6, light, 0.55)
    canvas.circle(x, y, radius, canvas.fade((0, light, 1), (1, mix(light, canvas.palette.sky[2], 0.18), 1)))


def clouds(canvas: Canvas, low: float, high: float, count: int) -> None:
    """Long flat streaks between two heights."""
    color = mix(canvas.palette.sky[2], canvas.palette.light, 0.6)
    for _ in range(count):
        x, y, length = canvas.between(-100, canvas.width), canvas.between(low, high), canvas.between(160, 420)
        streaks = [
            f"M{x + canvas.between(-90, 90):.1f} {y + row * 11:.1f}h{length * canvas.between(0.35, 1):.1f}"
            for row in range(canvas.rng.randint(2, 4))
        ]
        canvas.line("".join(streaks), color, 13, canvas.between(0.22, 0.45))


def birds(canvas: Canvas, x: float, y: float) -> None:
    for _ in range(canvas.rng.randint(3, 6)):
        left, top, span = x + canvas.between(-110, 110), y + canvas.between(-50, 50), canvas.between(9, 19)
        bend, lift, sink = span * 0.6, span * 0.15, span * 0.35
        wings = (
            f"q{bend:.1f} {-lift:.1f} {span:.1f} {sink:.1f}q{span - bend:.1f} {-sink - lift:.1f} {span:.1f} {-sink:.1f}"
        )
        canvas.line(f"M{left - span:.1f} {top - sink:.1f}{wings}", canvas.palette.land[1], 2.6, 0.75)


def fir(rng: random.Random, x: float, foot: float, height: float) -> str:
    """The outline of one fir standing at (x, foot)."""
    spread, tiers = height * rng.uniform(0.17, 0.23), 7
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(1, tiers + 1):
        y = foot - height * (1 - tier / (tiers + 0.6))
        reach = spread * (tier / tiers) ** 0.9
        left += [(x - reach * rng.uniform(0.85, 1.1), y), (x - reach * 0.45, y - height * 0.02)]
        right += [(x + reach * rng.uniform(0.85, 1.1), y), (x + reach * 0.45, y - height * 0.02)]
    stem, hem = spread * 0.12, foot - height * 0.08
    trunk = [(x - stem, hem), (x - stem, foot), (x + stem, foot), (x + stem, hem)]
    return trace([(x, foot - height), *left, *trunk, *reversed(right)]) + "Z"


# -- mountains --


def mountains(canvas: Canvas) -> None:
    sky(canvas)
    x = canvas.width * canvas.between(0.2, 0.8)
    sun(canvas, x, canvas.height * canvas.between(0.2, 0.36), canvas.between(52, 84))
    clouds(canvas, canvas.height * 0.1, canvas.height * 0.42, canvas.rng.randint(2, 4))
    birds(canvas, canvas.width - x, canvas.height * 0.24)
    far, near = canvas.palette.land
    for layer in range(6):
        depth = layer / 5
        profile = noise(canvas.rng, 6, 0.47, ridged=layer < 4)
        ridge = canvas.ridge(profile, canvas.height * (0.62 + 0.33 * depth), 330 - 170 * depth, 520 - 160 * depth)
        color = mix(far, near, depth**1.15)
        canvas.below(ridge, color, mix(color, canvas.palette.sky[2], 0.5 * (1 - depth)))
    groves(canvas, ridge)


def groves(canvas: Canvas, ridge: Sequence[Point]) -> None:
    """Firs in groups along the nearest ridge."""
    density = noise(canvas.rng, 2, 0.5)
    firs = [
        fir(canvas.rng, x, y + 12, canvas.between(46, 110))
        for x, y in ridge
        if density(x / 260) > 0.52 and canvas.rng.random() < 0.4
    ]
    canvas.path(" ".join(firs), canvas.palette.land[1])


# -- forest --


def forest(canvas: Canvas) -> None:
    sky(canvas)
    canvas.glow(canvas.width * canvas.between(0.3, 0.7), canvas.height * 0.36, 620, canvas.palette.light, 0.8)
    (far, near), horizon = canvas.palette.land, canvas.palette.sky[2]
    for layer in range(5):
        depth = layer / 4
        ridge = canvas.ridge(noise(canvas.rng, 3, 0.5), canvas.height * (0.56 + 0.42 * depth), 150, 700)
        color = mix(mix(far, horizon, 0.35), near, depth**1.2)
        tall, density = 150 + 330 * depth, 0.27 - 0.17 * depth
        firs = [
            fir(canvas.rng, x, y + 20, tall * canvas.between(0.6, 1.15))
            for x, y in ridge
            if canvas.rng.random() < density
        ]
        canvas.path(" ".join(firs), canvas.fade((0, color, 1), (1, mix(color, horizon, 0.35 * (1 - depth)), 1)))
        canvas.below(ridge, color, mix(color, horizon, 0.55 * (1 - depth)))
    birds(canvas, canvas.width * canvas.between(0.25, 0.75), canvas.height * 0.2)


# -- sea --


def sea(canvas: Canvas) -> None:
    sky(canvas)
    line = canvas.height * canvas.between(0.54, 0.6)
    x, radius = canvas.width * canvas.between(0.25, 0.75), canvas.between(70, 115)
    sun(canvas, x, line - radius * canvas.between(0.4, 2.0), radius)
    clouds(canvas, canvas.height * 0.1, line - 120, canvas.rng.randint(3, 5))
    far, near = canvas.palette.land
    for share, wave in ((0.12, 420), (0.32, 300)):
        profile = noise(canvas.rng, 5, 0.5)
        coast = [(x, min(y, line + 2)) for x, y in canvas.ridge(profile, line + 107, 255, wave)]
        canvas.below(coast, mix(far, near, share), mix(far, near, share))
    shore = mix(far, canvas.palette.sky[2], 0.35)
    canvas.below([(0, line), (canvas.width, line)], mix(shore, near, 0.08), mix(near, far, 0.05))
    glints(canvas, x, line, radius)
    ripples(canvas, line)
    berth = canvas.width * (0.72 if x < canvas.width / 2 else 0.26)
    boat(canvas, berth, line + canvas.between(50, 95), canvas.between(60, 95))


def glints(canvas: Canvas, x: float, line: float, radius: float) -> None:
    """The sun's path on the water."""
    for step in range(64):
        depth = (step / 64) ** 1.6
        y, reach = line + 5 + (canvas.height - line) * depth, radius * (0.9 + 2.2 * depth)
        middle, half = x + canvas.between(-0.5, 0.5) * reach, reach * canvas.between(0.15, 0.65)
        streak = f"M{middle - half:.1f} {y:.1f}H{middle + half:.1f}"
        canvas.line(streak, canvas.palette.light, 2 + 6 * depth, 0.6 - 0.38 * depth)


def ripples(canvas: Canvas, line: float) -> None:
    for _ in range(round(46 * canvas.width / SHORT_SIDE)):
        depth = canvas.rng.random() ** 1.3
        x, y = canvas.between(0, canvas.width), line + 8 + (canvas.height - line) * depth
        length = (20 + 90 * depth) * canvas.between(0.5, 1.4)
        canvas.line(f"M{x:.1f} {y:.1f}h{length:.1f}", canvas.palette.sky[2], 1.4 + 3 * depth, 0.2)


def boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    near, light = canvas.palette.land[1], canvas.palette.light
    canvas.line(f"M{x - size * 0.5:.1f} {y + size * 0.1:.1f}h{size * 1.1:.1f}", near, 5, 0.3)
    hull = ((-0.5, -0.16), (0.5, -0.16), (0.3, 0.04), (-0.32, 0.04))
    main = ((0, -1.25), (0.42, -0.24), (0, -0.24))
    jib = ((-0.05, -1.05), (-0.38, -0.24), (-0.05, -0.24))
    colors = (mix(near, "#000000", 0.2), mix(light, "#ffffff", 0.4), canvas.palette.accent)
    for outline, color in zip((hull, main, jib), colors, strict=True):
        canvas.path(trace([(x + size * right, y + size * down) for right, down in outline]) + "Z", color)


# -- waves --


def waves(canvas: Canvas) -> None:
    """Cut paper: flowing sheets, each throwing a soft shadow on the one behind."""
    top, middle, horizon = canvas.palette.sky
    (far, near), accent = canvas.palette.land, canvas.palette.accent
    canvas.fill((0, middle), (0.5, horizon))
    x, y = canvas.width * canvas.between(0.25, 0.75), canvas.height * canvas.between(0.14, 0.24)
    sun(canvas, x, y, canvas.between(70, 110))
    sheets = (mix(horizon, accent, 0.35), accent, middle, far, mix(far, top, 0.6), top, mix(top, near, 0.6), near)
    tilt = canvas.between(-160, 160)
    for index, color in enumerate(sheets):
        base = canvas.height * (0.34 + 0.66 * (index + 0.4) / len(sheets)) + 70
        level = canvas.ridge(noise(canvas.rng, 2, 0.35), base, 210, canvas.between(300, 520))
        edge = [(x, y + tilt * (x / canvas.width - 0.5)) for x, y in level]
        for step in range(12):
            canvas.line(trace(edge), near, 4 + 5 * step, 0.03)
        canvas.below(edge, mix(color, "#ffffff", 0.12), color)


# -- city --


def city(canvas: Canvas) -> None:
    sky(canvas)
    x, y = canvas.width * canvas.between(0.2, 0.8), canvas.height * canvas.between(0.18, 0.3)
    sun(canvas, x, y, canvas.between(60, 90))
    clouds(canvas, canvas.height * 0.12, canvas.height * 0.4, 3)
    (far, near), horizon = canvas.palette.land, canvas.palette.sky[2]
    for depth in (0.0, 0.33, 0.67, 1.0):
        color = mix(mix(far, horizon, 0.3), near, depth**1.2)
        street(canvas, depth, canvas.fade((0, color, 1), (1, mix(color, horizon, 0.4 * (1 - depth)), 1)))


def street(canvas: Canvas, depth: float, paint: str) -> None:
    """One row of houses; the nearer, the lower, the wider and the more of their windows lit."""
    houses: list[str] = []
    lamps: list[str] = []
    left = -30.0
    while left < canvas.width:
        wide = canvas.between(44, 92) * (1 + 0.7 * depth)
        top = canvas.height * (1 - (0.5 - 0.26 * depth) * canvas.between(0.62, 1.12))
        houses.append(f"M{left:.1f} {canvas.height:.1f}V{top:.1f}h{wide:.1f}V{canvas.height:.1f}Z")
        if canvas.rng.random() < 0.4:
            houses.append(roof(left, top, wide, wide * canvas.between(0.2, 0.3)))
        if depth > 0.2:
            lamps += windows(canvas, left, top, wide, depth)
        left += wide * canvas.between(0.94, 1.3)
    canvas.path("".join(houses), paint)
    canvas.path("".join(lamps), mix(canvas.palette.light, canvas.palette.accent, 0.45), 0.35 + 0.5 * depth)


def roof(left: float, top: float, wide: float, step: float) -> str:
    """A smaller storey and a mast."""
    storey = f"M{left + step:.1f} {top:.1f}v{-step:.1f}h{wide - 2 * step:.1f}v{step:.1f}Z"
    mast = f"M{left + wide / 2 - 2:.1f} {top - step:.1f}v{-step * 2.2:.1f}h4v{step * 2.2:.1f}Z"
    return storey + mast


def windows(canvas: Canvas, left: float, top: float, wide: float, depth: float) -> list[str]:
    columns = max(2, round(wide / 19))
    pitch = wide / (columns + 0.6)
    rows = min(24, int((canvas.height - top) / (pitch * 1.5)))
    pane = f"h{pitch * 0.5:.1f}v{pitch * 0.72:.1f}h{-pitch * 0.5:.1f}Z"
    return [
        f"M{left + pitch * (column + 0.55):.1f} {top + pitch * (1 + row * 1.5):.1f}{pane}"
        for row in range(rows)
        for column in range(columns)
        if canvas.rng.random() < 0.2 + 0.18 * depth
    ]


# -- cosmos --


def cosmos(canvas: Canvas) -> None:
    near, deep, accent = canvas.palette.land[1], canvas.palette.sky[0], canvas.palette.accent
    canvas.fill((0, mix(near, "#03040c", 0.55)), (0.6, mix(near, deep, 0.35)), (1, mix(near, deep, 0.7)))
    for color in (canvas.palette.sky[1], accent, canvas.palette.sky[1], canvas.palette.land[0]):
        x, y = canvas.between(0, canvas.width), canvas.between(0, canvas.height)
        canvas.glow(x, y, canvas.between(380, 760), color, canvas.between(0.25, 0.5))
    stars(canvas, 1.0, 260)
    x, y = canvas.width * canvas.between(0.35, 0.65), canvas.height * canvas.between(0.34, 0.44)
    radius, tilt = canvas.between(165, 225), canvas.between(-28, 28)
    turn = f'transform="rotate({tilt:.1f} {x:.1f} {y:.1f})" fill="none"'
    for orbit in (1.9, 2.5, 3.2):
        canvas.add(
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{radius * orbit:.1f}" ry="{radius * orbit * 0.3:.1f}" {turn} '
            f'stroke="{canvas.palette.light}" stroke-width="1.4" stroke-opacity="0.22"/>'
        )
    half_ring(canvas, x, y, radius, turn, sweep=1)
    planet(canvas, x, y, radius)
    half_ring(canvas, x, y, radius, turn, sweep=0)
    angle = canvas.between(0, math.tau)
    planet(canvas, x + radius * 2 * math.cos(angle), y + radius * 1.25 * math.sin(angle), canvas.between(26, 44))


def planet(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A ball lit from the upper left."""
    color = canvas.palette.accent
    bright, dark = mix(color, canvas.palette.light, 0.6), mix(color, canvas.palette.land[1], 0.85)
    canvas.glow(x, y, radius * 1.7, bright, 0.4)
    lit = 'cx="0.32" cy="0.3" r="0.8"'
    canvas.circle(x, y, radius, canvas.fade((0, bright, 1), (0.45, color, 1), (1, dark, 1), kind="radial", vector=lit))


def half_ring(canvas: Canvas, x: float, y: float, radius: float, turn: str, sweep: int) -> None:
    """The half of a ring that passes behind a planet (`sweep` 1) or in front of it (0)."""
    wide, flat = radius * 1.62, radius * 0.4
    arc = f"M{x - wide:.1f} {y:.1f}A{wide:.1f} {flat:.1f} 0 0 {sweep} {x + wide:.1f} {y:.1f}"
    bands = ((0.19, canvas.palette.accent, 0.45), (0.1, canvas.palette.light, 0.6), (0.02, "#ffffff", 0.7))
    for share, color, opacity in bands:
        look = f'stroke="{color}" stroke-width="{radius * share:.1f}" stroke-opacity="{opacity}"'
        canvas.add(f'<path d="{arc}" {turn} {look}/>')


# -- mosaic --

#: One tile of 100 x 100 each, on a ground of its own.
TILES = (
    '<path d="M0 0H100A100 100 0 0 1 0 100Z" fill="{front}"/>',
    '<path d="M0 0H100A100 100 0 0 1 0 100Z" fill="{front}"/><path d="M0 0H50A50 50 0 0 1 0 50Z" fill="{spark}"/>',
    '<path d="M0 0A50 50 0 0 0 100 0Z" fill="{front}"/><path d="M0 100A50 50 0 0 1 100 100Z" fill="{spark}"/>',
    '<circle cx="50" cy="50" r="38" fill="{front}"/><circle cx="50" cy="50" r="16" fill="{spark}"/>',
    '<path d="M0 0A100 100 0 0 1 100 100A100 100 0 0 1 0 0Z" fill="{front}"/>',
    '<path d="M0 0H100L0 100Z" fill="{front}"/>',
    '<path d="M0 0H20V100H0ZM40 0H60V100H40ZM80 0H100V100H80Z" fill="{front}"/>',
    '<path d="M0 50A50 50 0 0 1 100 50Z" fill="{front}"/><path d="M25 50A25 25 0 0 1 75 50Z" fill="{spark}"/>',
)


def mosaic(canvas: Canvas) -> None:
    colors = (*canvas.palette.sky, *canvas.palette.land, canvas.palette.accent)
    count = canvas.rng.choice((4, 5, 6))
    columns, rows = (max(1, round(side / SHORT_SIDE * count)) for side in (canvas.width, canvas.height))
    lefts = [canvas.snap(canvas.width * column / columns) for column in range(columns + 1)]
    tops = [canvas.snap(canvas.height * row / rows) for row in range(rows + 1)]
    for (top, bottom), (left, right) in itertools.product(itertools.pairwise(tops), itertools.pairwise(lefts)):
        back, front, spark = canvas.rng.sample(colors, 3)
        shape = canvas.rng.choice(TILES).format(front=front, spark=spark)
        place = f"translate({left:.4f} {top:.4f}) scale({(right - left) / 100:.6f} {(bottom - top) / 100:.6f})"
        turn = f"rotate({canvas.rng.randrange(4) * 90} 50 50)"
        canvas.add(f'<g transform="{place}"><rect width="100" height="100" fill="{back}"/>')
        canvas.add(f'<g transform="{turn}">{shape}</g></g>')


# -- blossoms --


def blossoms(canvas: Canvas) -> None:
    _, middle, horizon = canvas.palette.sky
    canvas.fill((0, mix(horizon, "#ffffff", 0.3)), (1, mix(horizon, middle, 0.55)))
    canvas.glow(canvas.width * canvas.between(0.2, 0.8), canvas.height * 0.3, 640, canvas.palette.light, 0.7)
    for layer in range(3):
        stems = round((9 - 2 * layer) * canvas.width / SHORT_SIDE)
        for index in range(stems):
            x = canvas.width * (index + canvas.between(0.1, 0.9)) / stems
            flower(canvas, x, canvas.height * canvas.between(0.34, 0.8 - 0.12 * layer), layer / 2)


def flower(canvas: Canvas, x: float, tall: float, depth: float) -> None:
    """A stem from the lower edge with leaves and one bloom; `depth` 0 is far and pale, 1 near and full."""
    size = 46 + 44 * depth
    green = mix(canvas.palette.sky[2], canvas.palette.land[1], 0.25 + 0.6 * depth)
    foot, top = x + canvas.between(-70, 70), canvas.height - tall
    stem = f"M{foot:.1f} {canvas.height:.1f}Q{foot:.1f} {top + tall * 0.5:.1f} {x:.1f} {top:.1f}"
    canvas.line(stem, green, 3 + 3.5 * depth)
    for side in (-1, 1, -1, 1):
        rise = canvas.between(0.2, 0.75)
        at = (foot + (x - foot) * rise * rise, canvas.height - tall * rise)
        leaf(canvas, at, size * canvas.between(1.5, 2.4), side * canvas.between(25, 60), green)
    bloom(canvas, x, top, size, depth)


def leaf(canvas: Canvas, at: Point, length: float, angle: float, color: str) -> None:
    side, low, high = length * 0.2, -length * 0.3, -length * 0.7
    right = f"C{side:.1f} {low:.1f} {side:.1f} {high:.1f} 0 {-length:.1f}"
    left = f"C{-side:.1f} {high:.1f} {-side:.1f} {low:.1f} 0 0Z"
    place = f'transform="translate({at[0]:.1f} {at[1]:.1f}) rotate({angle:.1f})"'
    canvas.add(f'<path d="M0 0{right}{left}" fill="{color}" {place}/>')


def bloom(canvas: Canvas, x: float, y: float, size: float, depth: float) -> None:
    top, middle, pale = canvas.palette.sky
    near, accent = canvas.palette.land[1], canvas.palette.accent
    color = mix(pale, canvas.rng.choice((accent, mix(accent, middle, 0.55), middle, top)), 0.35 + 0.65 * depth)
    petals, start = canvas.rng.choice((5, 6, 8, 11)), canvas.between(0, 360)
    petal = f'<ellipse cx="{x:.1f}" cy="{y - size * 0.62:.1f}" rx="{size * 2.1 / petals:.1f}" ry="{size * 0.6:.1f}" '
    for index in range(petals):
        turn = f"rotate({start + index * 360 / petals:.1f} {x:.1f} {y:.1f})"
        shade = mix(color, "#ffffff", 0.16 * (index % 2))
        canvas.add(f'{petal} fill="{shade}" fill-opacity="0.92" transform="{turn}"/>')
    canvas.circle(x, y, size * 0.27, mix(canvas.palette.light, accent, 0.25))
    canvas.circle(x, y, size * 0.15, mix(near, accent, 0.4), 0.8)


# -- lights --


def lights(canvas: Canvas) -> None:
    """Strings of lamps, and lamps out of focus behind them, on a dark ground."""
    accent, deep = canvas.palette.accent, mix(canvas.palette.land[1], "#06070f", 0.5)
    canvas.fill((0, deep), (1, mix(deep, canvas.palette.sky[0], 0.35)))
    warm = mix(canvas.palette.light, "#ffab4a", 0.55)
    colors = (accent, warm, canvas.palette.sky[1], mix(accent, "#ffffff", 0.35), canvas.palette.sky[2])
    for color in colors[:4]:
        x, y = canvas.between(0, canvas.width), canvas.height * canvas.between(0.1, 0.9)
        canvas.glow(x, y, canvas.between(300, 560), color, 0.35)
    drift = noise(canvas.rng, 2, 0.5)
    for _ in range(round(60 * canvas.area)):
        x = canvas.between(0, canvas.width)
        y = canvas.height * (0.2 + 0.6 * drift(x / 500) + canvas.rng.gauss(0, 0.13))
        blur(canvas, x, y, 16 + 84 * canvas.rng.random() ** 2.2, canvas.rng.choice(colors))
    for _ in range(3):
        garland(canvas, canvas.height * canvas.between(0.02, 0.3), canvas.between(70, 190), warm)


def blur(canvas: Canvas, x: float, y: float, radius: float, color: str) -> None:
    """A lamp out of focus: a disc, brightest at its rim; the wider, the fainter."""
    soft = canvas.between(0.3, 0.75) * (1 - radius / 150)
    rim = (0.95, mix(color, "#ffffff", 0.4), soft * 1.3)
    canvas.circle(
        x, y, radius, canvas.fade((0, color, soft * 0.7), (0.86, color, soft), rim, (1, color, 0), kind="radial")
    )


def garland(canvas: Canvas, top: float, sag: float, color: str) -> None:
    """A string of lamps across the picture, hanging in bows."""
    bow, phase, step = canvas.between(620, 1000), canvas.rng.random(), 12.0
    xs = [step * index for index in range(math.ceil(canvas.width / step) + 1)]
    string = [(x, top + sag * (1 - (2 * ((x / bow + phase) % 1) - 1) ** 2)) for x in xs]
    canvas.line(trace(string), mix(canvas.palette.land[1], "#000000", 0.4), 2.5, 0.9)
    for x, y in string[2::6]:
        canvas.glow(x, y + 9, 62, color, 0.6)
        canvas.circle(x, y + 9, 7.5, mix(color, "#ffffff", 0.6))


SUBJECTS = (
    Subject("mountain hill valley peak landscape snow canyon 山 峰 谷 雪 风景", mountains),
    Subject("forest tree wood jungle fox bear deer pine 树 林 竹 狐 鹿 熊", forest),
    Subject("sea ocean beach lake boat ship island harbor harbour 海 湖 港 船 岛", sea),
    Subject("abstract wave paper flow dune desert wind 抽象 波 浪 沙漠 剪纸", waves),
    Subject("city street building skyline tower town car robot 城 街 楼 机器人", city),
    Subject("space planet galaxy star astronaut universe rocket 宇宙 星 太空 银河", cosmos),
    Subject("pattern geometric logo icon poster bauhaus tile 图案 几何 标志 海报", mosaic),
    Subject("flower garden rose plant leaf butterfly bouquet 花 园 叶 蝶 玫瑰", blossoms),
    Subject("lights lamp party portrait bokeh candle lantern festival 灯 烛 人像", lights),
)
