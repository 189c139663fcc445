"""A session belongs to the agent it was given to."""

from __future__ import annotations

from approvals.gateway.sessions import Sessions
from approvals.service.keyring import Keyring

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_sealed_session_opens_for_its_agent_and_server_only() -> None:
    sessions = Sessions(Keyring([NEW]))
    sealed = sessions.seal("a.b.c", agent="bot", server="up")
    assert sessions.open(sealed, agent="bot", server="up") == "a.b.c"
    assert sessions.open(sealed, agent="other", server="up") is None
    assert sessions.open(sealed, agent="bot", server="down") is None


def test_what_was_not_sealed_here_does_not_open() -> None:
    sessions = Sessions(Keyring([NEW]))
    sealed = sessions.seal("abc", agent="bot", server="up")
    for odd in (
        "",
        "abc",
        "abc.x",
        "abc.x.y",
        ".x.y",
        sealed[:-1],
        sealed + "0",
        "é.é.é",
        "x" * 99,
    ):
        assert sessions.open(odd, agent="bot", server="up") is None, odd


def test_a_session_sealed_with_the_key_before_still_opens_while_keys_rotate() -> None:
    sealed = Sessions(Keyring([OLD])).seal("abc", agent="bot", server="up")
    assert Sessions(Keyring([NEW, OLD])).open(sealed, agent="bot", server="up") == "abc"
    assert Sessions(Keyring([NEW])).open(sealed, agent="bot", server="up") is None
