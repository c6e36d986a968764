import pytest

from pictura.sandbox.palettes import NIGHT, PALETTES, Palette, mix, rgb


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [c / 255 for c in rgb(color)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_mixing_goes_from_the_first_to_the_second() -> None:
    assert [mix("#000000", "#ff8040", share) for share in (0, 0.5, 1)] == ["#000000", "#804020", "#ff8040"]


@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: palette.words.split()[0])
def test_the_nearest_land_carries_writing_and_the_sun_stands_out(palette: Palette) -> None:
    """The card writes in the colour of the near land, or white upon it."""
    assert contrast(palette.land[1], "#ffffff") > 7
    assert contrast(*palette.land) > 2
    assert palette.night == (luminance(palette.sky[0]) < 0.02)


def test_the_night_is_dark() -> None:
    assert luminance(NIGHT.sky[1]) < luminance("#333366")
