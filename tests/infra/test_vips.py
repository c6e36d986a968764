"""libvips is set up once, for converting and for drawing alike."""

from pictura.infra.vips import vips


def test_the_sandbox_can_draw_its_shapes_although_untrusted_loaders_are_closed() -> None:
    shape = vips().Image.svgload_buffer(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"/>')
    assert (shape.width, shape.height) == (9, 7)
