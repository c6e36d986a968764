"""libvips as this process uses it: loaded late, because it takes a tenth of a second, and set up once for everybody."""

from __future__ import annotations

import functools
from types import ModuleType


@functools.cache
def vips() -> ModuleType:
    """The pyvips module. It carries no types: its images are `Any`.

    Loaders that libvips itself does not trust with strangers' bytes stay closed, except SVG's: with that the sandbox
    draws its own shapes, and no stranger's picture gets there, since decoders are chosen by our own sniff.
    """
    import pyvips

    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoadSvg", False)
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)  # every picture is another one
    module: ModuleType = pyvips
    return module
