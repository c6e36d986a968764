"""One secret of the house, and what is derived from it: sealed channel keys, signed URLs, hashes of client keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pictura.core.errors import HouseError

_NONCE_BYTES = 12


class Vault:
    """Everything that needs the secret. Replicas that share the secret understand each other."""

    def __init__(self, secret: bytes) -> None:
        self._hash_key = _derive(secret, b"key hashes")
        self._sign_key = _derive(secret, b"signed urls")
        self._seal = AESGCM(_derive(secret, b"sealed secrets"))

    def hash_key(self, key: str) -> str:
        """What is stored of a client's key. Keyed, so that an imported weak key cannot be guessed from the database."""
        return hmac.new(self._hash_key, key.encode(), hashlib.sha256).hexdigest()

    def sign(self, text: str) -> str:
        """32 URL-safe characters that only this house can make for `text`."""
        return base64.urlsafe_b64encode(hmac.digest(self._sign_key, text.encode(), "sha256")[:24]).decode()

    def verify(self, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.sign(text).encode(), signature.encode())

    def seal(self, plain: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._seal.encrypt(nonce, plain.encode(), None)).decode()

    def unseal(self, sealed: str) -> str:
        """Raises HouseError where another secret sealed it."""
        try:
            raw = base64.b64decode(sealed)
            return self._seal.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
        except (InvalidTag, ValueError):
            raise HouseError(
                "a stored channel key was sealed with another secret; start with the PICTURA_SECRET it was made with, "
                "or enter the channel's key again"
            ) from None


def open_vault(given: str, folder: Path) -> Vault:
    """The vault of `PICTURA_SECRET`, else of `folder/secret`, which is made (mode 0600) where there is none."""
    if given.strip():
        return Vault(given.strip().encode())
    path = folder / "secret"
    if not path.exists():
        _write_secret(path)
    kept = path.read_bytes().strip()
    if not kept:
        raise HouseError(f"{path} is empty; put the secret back that stood there, or set PICTURA_SECRET to it")
    return Vault(kept)


def new_key(prefix: str) -> str:
    """A fresh client key: `sk-pic-…` or `sk-test-…`, 64 characters in all (some clients check that)."""
    return prefix + secrets.token_urlsafe(64).replace("-", "x").replace("_", "y")[: 64 - len(prefix)]


def _write_secret(path: Path) -> None:
    """Whole or not at all: half a secret would be believed by every later start."""
    handle, name = tempfile.mkstemp(prefix="secret-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    Path(name).rename(path)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(hashlib.sha256(secret).digest(), b"pictura " + purpose, "sha256")
