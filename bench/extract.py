"""How long it takes to get a picture out of a JSON answer, in milliseconds: streamed, and read whole.

    python bench/extract.py [--megabytes 8] [--rounds 15] [--folder DIR]

Streamed is Pictura's extractor, with the base64 as it is and with every slash escaped as PHP does it. Read whole is
what a gateway does that waits for the body, parses it with json and decodes one string with base64. Both end with the
picture in a file.
Every round measures all of them one after the other, so that a busy machine is unfair to none; the best round counts,
and the ratios mean more than the milliseconds.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pictura.infra.extract import Extractor
from pictura.infra.spool import Spool

CHUNK_SIZES = (4 << 10, 16 << 10, 64 << 10, 256 << 10)


def streamed(chunks: Sequence[bytes], folder: Path, size: int) -> None:
    extractor = Extractor(lambda: Spool(folder), text_cap=1 << 20, picture_cap=size, picture_count_cap=1)
    for chunk in chunks:
        extractor.feed(chunk)
    json.loads(extractor.finish())
    assert extractor.cuts[0].spool.size == size
    extractor.close()


def read_whole(chunks: Sequence[bytes], folder: Path, size: int) -> None:
    picture = base64.b64decode(json.loads(b"".join(chunks))["data"][0]["b64_json"])
    assert len(picture) == size
    spool = Spool(folder)
    spool.write(picture)
    spool.close()


def body(picture_base64: bytes) -> bytes:
    return b'{"created":1750000000,"data":[{"b64_json":"%b"}],"usage":{"total_tokens":1}}' % picture_base64


def in_chunks(whole: bytes, size: int) -> list[bytes]:
    return [whole[position : position + size] for position in range(0, len(whole), size)]


def best_ms(runs: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for index, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[index] = min(best[index], (time.perf_counter() - start) * 1000)
    return best


def measure(chunk_size: int, plain: bytes, escaped: bytes, size: int, folder: Path, rounds: int) -> None:
    plain_chunks, escaped_chunks = in_chunks(plain, chunk_size), in_chunks(escaped, chunk_size)
    runs = (
        lambda: streamed(plain_chunks, folder, size),
        lambda: read_whole(plain_chunks, folder, size),
        lambda: streamed(escaped_chunks, folder, size),
        lambda: read_whole(escaped_chunks, folder, size),
    )
    ours, theirs, ours_escaped, theirs_escaped = best_ms(runs, rounds)
    print(
        f"{chunk_size >> 10:4} KB"
        f"{ours:11.2f} {theirs:11.2f} {theirs / ours:6.1f}x"
        f"{ours_escaped:13.2f} {theirs_escaped:11.2f} {theirs_escaped / ours_escaped:6.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=8, help="size of the picture (MiB)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where the pictures are written; a temporary folder otherwise")
    options = parser.parse_args()
    size = int(options.megabytes * (1 << 20))
    encoded = base64.b64encode(random.Random(1).randbytes(size))
    plain, escaped = body(encoded), body(encoded.replace(b"/", rb"\/"))
    print(f"ms per picture of {size:,} bytes, the best of {options.rounds} rounds")
    print("  chunk   streamed  read whole   ratio  streamed \\/  read whole   ratio")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for chunk_size in CHUNK_SIZES:
            measure(chunk_size, plain, escaped, size, Path(folder), options.rounds)


if __name__ == "__main__":
    main()
