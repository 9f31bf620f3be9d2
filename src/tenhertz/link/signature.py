"""Commands are signed: a site obeys a key that it was given, whatever the broker carries.

Ed25519 (RFC 8032) over a fixed prefix and the exact bytes of the command. The prefix keeps a
signature that was made for something else from being taken for one of a command.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError

from tenhertz.errors import UserError
from tenhertz.link.schema_pb2 import Command, SignedCommand

_PREFIX = b"tenhertz command 1\0"
LARGEST_COMMAND_BYTES = 64 * 1024


class NotGenuine(Exception):  # noqa: N818 - a verdict on a message, not a fault of the program
    """A command that was not signed by a key which this site trusts, or is none at all."""


def sign(command: Command, key_name: str, key: Ed25519PrivateKey) -> SignedCommand:
    """A command with its signature."""
    body = command.SerializeToString()
    return SignedCommand(command=body, key=key_name, signature=key.sign(_PREFIX + body))


def verify(signed: SignedCommand, trusted: dict[str, Ed25519PublicKey]) -> Command:
    """The command, if it was signed by a trusted key.

    Raises:
        NotGenuine: it was not; the text says why.
    """
    key = trusted.get(signed.key)
    if key is None:
        raise NotGenuine(f"key '{signed.key[:40]}' is not among the trusted ones")
    if len(signed.command) > LARGEST_COMMAND_BYTES:
        raise NotGenuine(f"{len(signed.command)} bytes are too many for a command")
    try:
        key.verify(signed.signature, _PREFIX + signed.command)
    except InvalidSignature:
        raise NotGenuine(f"the signature is not one of key '{signed.key[:40]}'") from None
    try:
        return Command.FromString(signed.command)
    except DecodeError:
        raise NotGenuine("the signed bytes are not a command") from None


def new_key(path: Path) -> str:
    """Make a private key in a file that only its owner can read; returns the public key as text.

    Raises:
        UserError: the file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(base64.b64encode(key.private_bytes_raw()).decode() + "\n")
    except OSError as error:
        raise UserError(f"{path}: no key can be written there: {error.strerror}") from error
    return public_text(key)


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file.

    Raises:
        UserError: it cannot be read or holds none.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except OSError as error:
        raise UserError(f"{path}: the key cannot be read: {error.strerror}") from error
    except (ValueError, binascii.Error) as error:
        raise UserError(
            f"{path} holds no Ed25519 key; make one with 'tenhertz fleet key'"
        ) from error


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half of a key, as it stands in a site's configuration."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def parse_public(text: str) -> Ed25519PublicKey:
    """A public key from a site's configuration.

    Raises:
        ValueError: it is none.
    """
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
