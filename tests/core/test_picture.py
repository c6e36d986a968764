"""A picture's place in JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pictura.core.picture import Inline, InMemory, data_url
from pictura.infra.spool import Spool


def test_a_data_url_names_its_media_type(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    inline = data_url(spool, "image/png")
    assert inline.source is spool
    assert inline.prefix == "data:image/png;base64,"
    spool.close()


def test_msgspec_does_not_encode_it_by_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(TypeError, match="Inline"):
        msgspec.json.encode({"b64_json": Inline(spool)})
    assert msgspec.json.encode(Inline(spool, "x"), enc_hook=lambda found: found.prefix) == b'"x"'
    spool.close()


def test_bytes_in_memory_read_like_a_spool(tmp_path: Path) -> None:
    data = bytes(range(200))
    held, spool = InMemory(data), Spool(tmp_path)
    spool.write(data)
    assert held.size == spool.size == 200
    for offset, size in ((0, -1), (5, 7), (190, 20), (200, 1), (-5, 2), (-5, -1)):
        assert held.read(offset, size) == spool.read(offset, size)
    assert list(held.chunks(64)) == list(spool.chunks(64)) and b"".join(held.chunks()) == data
    spool.close()
