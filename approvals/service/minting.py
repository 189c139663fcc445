"""Ids and tokens: random, so that nobody guesses them and a short prefix tells them apart."""

from __future__ import annotations

import secrets

_ALPHABET = b"0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS = _ALPHABET * (256 // len(_ALPHABET))
"""A letter for each byte, each letter for as many."""


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
    return secrets.token_bytes(16).translate(_LETTERS).decode()
