"""curl itself, for lines that a router's page prints: its hosts lead here, by way of a proxy that ends TLS.

DNS is what a client's operator would change, so nothing of a line is touched but its key and the paths of files.
"""

from __future__ import annotations

import asyncio
import datetime
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.doors.door import Answer

#: Where curl leaves the heads of the answers that it got.
_HEADS = "heads.txt"


def _knows_json() -> bool:
    curl = shutil.which("curl")
    if curl is None:
        return False
    told = subprocess.run([curl, "--help", "all"], capture_output=True, text=True, check=False)
    return "--json" in told.stdout


needs_curl = pytest.mark.skipif(not _knows_json(), reason="curl 7.82 or newer, which knows --json, is not installed")
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


class Shell:
    """A folder to run lines in, and a curl that finds `hosts` behind the proxy at `port`."""

    def __init__(self, folder: Path, hosts: Sequence[str], port: int) -> None:
        self.folder = folder
        lines = [f'connect-to = "{host}:443:127.0.0.1:{port}"' for host in hosts]
        lines += ["insecure", "silent", "show-error", 'noproxy = "*"', f'dump-header = "{_HEADS}"', ""]
        (folder / ".curlrc").write_text("\n".join(lines))

    def put(self, name: str, data: bytes) -> None:
        """A file that a line names."""
        (self.folder / name).write_bytes(data)

    async def run(self, line: str, variables: Mapping[str, str] | None = None) -> bytes:
        """What the line prints. `variables`: of its environment."""
        usual = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "CURL_HOME": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line, cwd=self.folder, env={**usual, **(variables or {})}, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told

    async def ask(self, line: str, variables: Mapping[str, str] | None = None) -> Answer:
        """What the line's one request is answered."""
        body = await self.run(line, variables)
        head = (self.folder / _HEADS).read_text("utf-8").strip().split("\n\n")[-1].splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in head[1:])}
        return Answer(int(head[0].split()[1]), headers, body)


@asynccontextmanager
async def open_shell(folder: Path, hosts: Sequence[str], port: int) -> AsyncIterator[Shell]:
    """A shell whose curl finds `hosts` at the gateway on `port`."""
    async with _proxy(port, _certificate(folder, hosts[0])) as proxy:
        yield Shell(folder, hosts, proxy)


def _certificate(folder: Path, host: str) -> ssl.SSLContext:
    """What a proxy in front of a router's hosts would show, signed by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = built.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    file = folder / "proxy.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain) + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def _proxy(target: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Ends TLS and says so, as nginx does; gives its port."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near, far = await asyncio.open_connection("127.0.0.1", target)
        with suppress(asyncio.IncompleteReadError):
            far.write(await reader.readuntil(b"\r\n") + b"X-Forwarded-Proto: https\r\n")
            await asyncio.gather(_carry(reader, far), _carry(near, writer))
        for end in (writer, far):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
