"""A site obeys what was signed with a key it was given, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.errors import UserError
from tenhertz.link.schema_pb2 import Command, SignedCommand, Stop
from tenhertz.link.signature import (
    LARGEST_COMMAND_BYTES,
    NotGenuine,
    load_key,
    new_key,
    parse_public,
    public_text,
    sign,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = {"fleet": KEY.public_key()}
COMMAND = Command(version=2, source="site-1", sequence=9, expires_ns=5, stop=Stop())


def test_a_signed_command_comes_out_as_it_went_in() -> None:
    assert verify(sign(COMMAND, "fleet", KEY), TRUSTED) == COMMAND


def test_a_key_that_nobody_trusts_is_refused() -> None:
    with pytest.raises(NotGenuine, match="'other' is not among the trusted"):
        verify(sign(COMMAND, "other", KEY), TRUSTED)


def test_another_key_under_a_trusted_name_is_refused() -> None:
    with pytest.raises(NotGenuine, match="signature"):
        verify(sign(COMMAND, "fleet", OTHER), TRUSTED)


@given(st.integers(0, len(COMMAND.SerializeToString()) * 8 - 1))
def test_one_changed_bit_of_the_command_is_refused(bit: int) -> None:
    signed = sign(COMMAND, "fleet", KEY)
    body = bytearray(signed.command)
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(NotGenuine, match="signature"):
        verify(SignedCommand(command=bytes(body), key="fleet", signature=signed.signature), TRUSTED)


@given(st.binary(max_size=80))
def test_any_other_signature_is_refused(signature: bytes) -> None:
    forged = SignedCommand(command=COMMAND.SerializeToString(), key="fleet", signature=signature)
    with pytest.raises(NotGenuine, match="signature"):
        verify(forged, TRUSTED)


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_truncated_signature_or_command_is_refused(length: int) -> None:
    signed = sign(COMMAND, "fleet", KEY)
    for short in (
        SignedCommand(command=signed.command, key="fleet", signature=signed.signature[:length]),
        SignedCommand(command=signed.command[:-1], key="fleet", signature=signed.signature),
    ):
        with pytest.raises(NotGenuine, match="signature"):
            verify(short, TRUSTED)


def test_a_signature_made_for_something_else_is_no_command() -> None:
    body = COMMAND.SerializeToString()
    for said in (body, b"tenhertz update 1\0" + body, b"tenhertz command 1" + body):
        signed = SignedCommand(command=body, key="fleet", signature=KEY.sign(said))
        with pytest.raises(NotGenuine, match="signature"):
            verify(signed, TRUSTED)


def test_a_command_that_is_too_large_is_refused_before_it_is_looked_at() -> None:
    large = SignedCommand(command=bytes(LARGEST_COMMAND_BYTES + 1), key="fleet", signature=b"")
    with pytest.raises(NotGenuine, match="65537 bytes"):
        verify(large, TRUSTED)


def test_signed_bytes_that_are_no_command_are_refused() -> None:
    body = b"\xff\xff\xff"
    signed = SignedCommand(
        command=body, key="fleet", signature=KEY.sign(b"tenhertz command 1\0" + body)
    )
    with pytest.raises(NotGenuine, match="not a command"):
        verify(signed, TRUSTED)


def test_a_key_file_is_for_its_owner_alone_and_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    public = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = load_key(path)
    assert public_text(key) == public
    verify(sign(COMMAND, "fleet", key), {"fleet": parse_public(public)})
    before = path.read_bytes()
    with pytest.raises(UserError, match="no key can be written there"):
        new_key(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not base64!", b"AAAA", b"\xff\xfe"])
def test_a_file_without_a_key_is_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fleet.key"
    path.write_bytes(content)
    with pytest.raises(UserError, match="holds no Ed25519 key"):
        load_key(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_key(tmp_path / "absent")


def test_a_public_key_that_is_none_is_refused() -> None:
    for text in ("", "AAAA", "ä"):
        with pytest.raises(ValueError, match=r".+"):
            parse_public(text)
