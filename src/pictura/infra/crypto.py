"""One secret of the house, and what is derived from it: sealed channel keys, signed URLs, hashes of client keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
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
        raw = base64.b64decode(sealed)
        try:
            return self._seal.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None).decode()
        except InvalidTag:
            raise HouseError(
                "a stored channel key was sealed with another secret; start with the PICTURA_SECRET it was made with, "
                "or enter the channel's key again"
            ) from None


def open_vault(given: str, folder: Path) -> Vault:
    """The vault of `PICTURA_SECRET`, else of `folder/secret`, which is made (mode 0600) where there is none."""
    if given:
        return Vault(given.encode())
    path = folder / "secret"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Vault(path.read_bytes())
    with os.fdopen(handle, "wb") as file:
        made = secrets.token_hex(32).encode()
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    return Vault(made)


def new_key(prefix: str) -> str:
    """A fresh client key: `sk-pic-…` or `sk-test-…`, 64 characters in all (some clients check that)."""
    return prefix + secrets.token_urlsafe(64).replace("-", "x").replace("_", "y")[: 64 - len(prefix)]


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(hashlib.sha256(secret).digest(), b"pictura " + purpose, "sha256")
