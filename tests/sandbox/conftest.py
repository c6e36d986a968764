from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientSession
from PIL import Image

from pictura.core.media import Media, flaw, sniff
from pictura.core.picture import InMemory
from pictura.sandbox.server import Sandbox

KEY = "sk-test-sandbox"


def look(data: bytes) -> Media:
    """What kind of picture it is, a whole one."""
    source = InMemory(data)
    media = sniff(source.read, source.size)
    assert flaw(source.read, source.size, media) == ""
    return media


def data_url(data: bytes, format: str = "png") -> str:
    return f"data:image/{format};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A sandbox that one key opens."""
    sandbox = Sandbox(accepts=lambda key: key == KEY)
    try:
        yield await sandbox.start()
    finally:
        await sandbox.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """A client that holds the key."""
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        yield session


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes an encoded picture: `picture(64, 48)`, `picture(64, 64, "jpeg", "RGB")`."""

    def make(width: int, height: int, format: str = "png", mode: str = "RGBA") -> bytes:
        encoded = io.BytesIO()
        Image.new(mode, (width, height)).save(encoded, format)
        return encoded.getvalue()

    return make
