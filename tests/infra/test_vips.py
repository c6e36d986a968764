"""libvips is set up once, for converting and for drawing alike."""

import pytest

from pictura.infra.vips import vips


def test_decoders_not_made_for_hostile_input_are_closed() -> None:
    with pytest.raises(vips().Error):
        vips().Image.ppmload_buffer(b"P6 1 1 255\nabc")


def test_the_sandbox_can_draw_its_shapes_after_a_conversion_was_made() -> None:
    shape = vips().Image.svgload_buffer(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"/>')
    assert (shape.width, shape.height) == (9, 7)
