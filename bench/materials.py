"""What must exist before anything is measured: the two C programs, the upstream's answers, the request bodies."""

import base64
import json
import os
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BOUNDARY = "----pictura-bench"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
USAGE = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


class BenchError(Exception):
    """The measurement cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Tools:
    """The compiled programs."""

    mock: Path
    load: Path


def compile_tools(folder: Path) -> Tools:
    """Compile `mock.c` and `load.c` into `folder`."""
    wanted = os.environ.get("CC", "cc")
    compiler = shutil.which(wanted)
    if compiler is None:
        raise BenchError(
            f"no C compiler: {wanted} is not on the PATH. Install one (Debian: apt-get install gcc) or set CC."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mock", "load"):
        command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(folder / name)]
        subprocess.run([*command, str(HERE / f"{name}.c")], check=True)
    return Tools(folder / "mock", folder / "load")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _row(side: int, y: int, levels: int) -> bytes:
    base = 40 + y * 128 // side
    tone = bytes(base + value * levels // 256 * (30 // levels) for value in range(256))
    return b"\0" + os.urandom(side * 3).translate(tone)


def picture(side: int, levels: int) -> bytes:
    """An RGB PNG of side x side pixels: a gradient under grain of `levels` steps, which sets its size in bytes.

    Pixels and bytes stand in the relation real pictures have (1024 x 1024 in 1 MB), so that transcoding costs what it
    costs on real ones; plain noise would be a third of the pixels at the same size.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    pixels = packer.compress(b"".join(_row(side, y, levels) for y in range(side))) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def write_upstream(folder: Path, port: int) -> None:
    """Write what the mock serves from `folder`, for a mock that will listen on `port`."""
    (folder / "models").mkdir(parents=True)
    (folder / "img").mkdir()
    for model, side, levels in (("b64-1m", 1024, 3), ("b64-8m", 2048, 12)):
        data = picture(side, levels)
        (folder / "img" / f"{model}.png").write_bytes(data)
        _write_answer(folder, model, {"b64_json": base64.b64encode(data).decode()})
    _write_answer(folder, "url", {"url": f"http://127.0.0.1:{port}/img/b64-1m.png"})


def _write_answer(folder: Path, model: str, image: dict[str, str]) -> None:
    answer = {"created": 1_700_000_000, "data": [image], "usage": USAGE}
    (folder / "models" / f"{model}.json").write_text(json.dumps(answer))


def write_requests(folder: Path) -> None:
    """Write the request bodies, one file each, named as the phases name them."""
    folder.mkdir(parents=True)
    for model in ("url", "url-hosted", "b64-1m", "slow5-b64-1m"):
        _write_request(folder, model, model)
    _write_request(folder, "b64-8m", "b64-8m", size="2048x2048")
    _write_request(folder, "b64-1m-to-url", "b64-1m", response_format="url")
    _write_request(folder, "b64-8m-to-url", "b64-8m", size="2048x2048", response_format="url")
    (folder / "edit").write_bytes(_edit("url", picture(2048, 5)))


def _write_request(folder: Path, name: str, model: str, size: str = "1024x1024", **more: str) -> None:
    body = {"model": model, "prompt": "a red fox in the snow", "n": 1, "size": size, **more}
    (folder / name).write_text(json.dumps(body))


def _edit(model: str, image: bytes) -> bytes:
    fields = {"model": model, "prompt": "make it blue", "n": "1", "size": "1024x1024"}
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
    head = 'Content-Disposition: form-data; name="image"; filename="in.png"\r\nContent-Type: image/png\r\n\r\n'
    parts.append(head.encode() + image)
    edge = f"--{BOUNDARY}".encode()
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"
