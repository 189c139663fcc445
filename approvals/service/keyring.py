"""Keyed hashes under APPROVALS_SECRET_KEY; every hash names its key, so keys can rotate."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from approvals.domain.seal import key_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIN_SECRET = 32


class Keyring:
    """One secret, or two while rotating: the first makes hashes, all of them verify.

    For checking old audit records there may be more: those that were replaced before.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets or any(len(secret) < MIN_SECRET for secret in secrets):
            raise ValueError(f"a secret key has at least {MIN_SECRET} bytes")
        self._secrets = [(hashlib.sha256(b"id:" + s).hexdigest()[:8], s) for s in secrets]

    def hash(self, purpose: str, text: str) -> str:
        """`keyid:hex` of `text`; the same text under another purpose has another hash."""
        return self.hashes(purpose, text)[0]

    def hashes(self, purpose: str, text: str) -> list[str]:
        """The hash under each key, the current one first: look up all of them."""
        message = f"{purpose}\0{text}".encode()
        return [f"{name}:{_mac(secret, message)}" for name, secret in self._secrets]

    def knows(self, claimed: str) -> bool:
        """Whether the key that `claimed` names is here."""
        return key_id(claimed) in {name for name, _ in self._secrets}

    def verify(self, purpose: str, text: str, claimed: str) -> bool:
        """Whether `claimed` is the hash of `text`, compared as bytes in constant time."""
        return _is_one_of(claimed, self.hashes(purpose, text))

    def verifies(self, purpose: str, text: str, given: str) -> bool:
        """The same for a hash that does not say by which key it was made."""
        made = (named.partition(":")[2] for named in self.hashes(purpose, text))
        return _is_one_of(given, made)


def _is_one_of(claimed: str, hashes: Iterable[str]) -> bool:
    given = claimed.encode("utf-8", "surrogateescape")
    return any(hmac.compare_digest(made.encode(), given) for made in hashes)


def _mac(secret: bytes, message: bytes) -> str:
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
