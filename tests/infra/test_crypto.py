"""The house's secret, and what hangs on it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.errors import HouseError
from pictura.infra.crypto import Vault, new_key, open_vault

VAULT = Vault(b"a secret")
SAME = Vault(b"a secret")
OTHER = Vault(b"another secret")
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_what_is_sealed_is_opened_by_the_same_secret_alone(plain: str) -> None:
    sealed = VAULT.seal(plain)
    assert SAME.unseal(sealed) == plain
    with pytest.raises(HouseError, match="sealed with another secret"):
        OTHER.unseal(sealed)


def test_a_seal_tells_nothing() -> None:
    assert VAULT.seal("sk-live") != VAULT.seal("sk-live")
    assert "sk-live" not in base64.b64decode(VAULT.seal("sk-live")).decode("latin-1")


@pytest.mark.parametrize("spoilt", ["", "AAAA", "not base64!", "ü", VAULT.seal("a")[:-8] + "AAAAAAA="], ids=range(5))
def test_what_was_spoilt_is_not_opened(spoilt: str) -> None:
    with pytest.raises(HouseError, match="enter the channel's key again") as caught:
        VAULT.unseal(spoilt)
    assert caught.value.__suppress_context__


@given(texts, texts)
def test_a_signature_is_for_one_text_and_one_secret(text: str, other: str) -> None:
    signature = VAULT.sign(text)
    assert SAME.verify(text, signature)
    assert VAULT.verify(other, signature) == (text == other)
    assert not OTHER.verify(text, signature)


def test_a_signature_fits_into_a_url() -> None:
    signature = VAULT.sign("a")
    assert len(signature) == 32
    assert not set(signature) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("forged", ["", "é", VAULT.sign("a")[:-1], VAULT.sign("a") + "="])
def test_a_forged_signature_is_none(forged: str) -> None:
    assert not VAULT.verify("a", forged)


def test_hashes_of_keys_depend_on_the_secret() -> None:
    assert VAULT.hash_key("k") == SAME.hash_key("k")
    assert VAULT.hash_key("k") != OTHER.hash_key("k")
    assert VAULT.hash_key("k") != VAULT.hash_key("l")


def test_what_is_derived_for_one_purpose_is_of_no_use_for_another() -> None:
    raw = base64.urlsafe_b64decode(VAULT.sign("k")).hex()
    assert not VAULT.hash_key("k").startswith(raw)


def test_a_made_secret_stays_and_is_the_owners_alone(tmp_path: Path) -> None:
    made = open_vault("", tmp_path)
    path = tmp_path / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) == 64
    assert open_vault("", tmp_path).sign("a") == made.sign("a")
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_two_folders_have_two_secrets(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert open_vault("", tmp_path / "one").sign("a") != open_vault("", tmp_path / "two").sign("a")


def test_a_given_secret_goes_before_the_file(tmp_path: Path) -> None:
    assert open_vault("given", tmp_path).sign("a") == Vault(b"given").sign("a")
    assert not list(tmp_path.iterdir())


def test_a_secret_is_the_same_with_and_without_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("given\n")
    assert open_vault("", tmp_path).sign("a") == open_vault(" given\n", tmp_path).sign("a")


def test_a_secret_that_was_never_written_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(HouseError, match="is empty"):
        open_vault("", tmp_path)


def test_a_crash_while_a_secret_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        open_vault("", tmp_path)
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize("prefix", ["sk-pic-", "sk-test-"])
def test_a_new_key_has_64_plain_characters(prefix: str) -> None:
    made = {new_key(prefix) for _ in range(100)}
    assert len(made) == 100
    for key in made:
        assert len(key) == 64
        assert key.startswith(prefix)
        assert key.removeprefix(prefix).isalnum()
