"""Ids and tokens: random, so that nobody guesses them and a short prefix tells them apart."""

from __future__ import annotations

import base64
import secrets

_ALPHABET = b"0123456789abcdefghjkmnpqrstvwxyz"
_OURS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET)


class RandomIds:
    """Ids of 80 random bits, tokens of 256."""

    def approval(self) -> str:
        return f"apr_{_word()}"

    def event(self) -> str:
        return f"evt_{_word()}"

    def freeze(self) -> str:
        return f"frz_{_word()}"

    def token(self) -> str:
        return secrets.token_hex(32)


def new_key(prefix: str) -> str:
    """A key of 256 random bits, shown once."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def _word() -> str:
    return base64.b32encode(secrets.token_bytes(10)).translate(_OURS).decode()
