"""Other people's programs as clients of a running house."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.doors.conftest import door, shared_door, shared_upstream, upstream

__all__ = ["door", "shared_door", "shared_upstream", "upstream"]

_VENDORS = ("OPENAI_", "GEMINI_", "GOOGLE_")


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """No key, no address and no proxy of whoever runs the tests: a client finds the house, or nobody."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_VENDORS) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield
