import itertools
import random

import pytest

from pictura.sandbox.canvas import Canvas, noise, trace
from pictura.sandbox.palettes import DAY


def canvas(width_px: int, height_px: int) -> Canvas:
    return Canvas(width_px, height_px, DAY, random.Random(1))


@pytest.mark.parametrize(
    ("pixels", "units"),
    [((512, 512), (1000, 1000)), ((1024, 512), (2000, 1000)), ((512, 1024), (1000, 2000)), ((8192, 64), (8000, 1000))],
)
def test_the_short_side_has_a_thousand_units_and_the_long_one_eight_at_most(
    pixels: tuple[int, int], units: tuple[float, float]
) -> None:
    made = canvas(*pixels)
    assert (made.width, made.height) == units
    assert f'width="{pixels[0]}" height="{pixels[1]}"' in made.svg()


def test_snapping_lands_between_pixels() -> None:
    made = canvas(300, 300)
    assert made.snap(500) == 500
    assert made.snap(334) * made.unit_px == pytest.approx(100)


def test_every_gradient_gets_its_own_name() -> None:
    made = canvas(10, 10)
    assert made.fade((0, "#000000", 1)) == "url(#g0)"
    assert made.fade((0, "#ffffff", 1), kind="radial") == "url(#g1)"
    assert made.svg().count("Gradient id=") == 2


@pytest.mark.parametrize("ridged", [True, False])
def test_noise_is_smooth_between_nothing_and_one(ridged: bool) -> None:
    profile = noise(random.Random(4), 6, 0.5, ridged)
    heights = [profile(step / 100) for step in range(-500, 5000)]
    assert 0 <= min(heights) < 0.3 and 0.7 < max(heights) <= 1
    assert max(abs(b - a) for a, b in itertools.pairwise(heights)) < 0.25


def test_a_ridge_runs_from_edge_to_edge() -> None:
    ridge = canvas(400, 100).ridge(lambda x: 0.5, base=600, rise=200, wave=300)
    assert (ridge[0], ridge[-1]) == ((0, 500), (4000, 500))
    assert trace(ridge[:1]) == "M0.0 500.0"
