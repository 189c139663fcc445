"""Ids and tokens: random, so that nobody guesses them and a short prefix tells them apart."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


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
    number = secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(0, 80, 5))
