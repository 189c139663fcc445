"""Two secret keys while rotating, and the older ones that only check what they once sealed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from approvals.app import open_services
from approvals.config.settings import Settings
from approvals.service.keyring import Keyring
from tests.contracts.suite import parking
from tests.e2e.world import ADMIN, configured

pytestmark = pytest.mark.anyio

OLDEST, OLD, NEW = b"o" * 32, b"p" * 32, b"n" * 32
SOON = timedelta(seconds=5)


def settings(folder: Path, *secrets: bytes) -> Settings:
    config = configured(folder, "http://127.0.0.1:9/mcp")
    return Settings(
        database_url=f"sqlite:///{folder}/test.db", config=config, secret_key=tuple(secrets)
    )


def test_a_hash_names_its_key_and_is_known_by_it() -> None:
    made = Keyring([OLD]).hash("seal", "text")
    rotating = Keyring([NEW, OLD])
    assert rotating.knows(made)
    assert rotating.verify("seal", "text", made)
    assert not rotating.verify("other", "text", made)
    assert not Keyring([NEW]).knows(made)
    assert rotating.hash("seal", "text") != made


async def test_a_seal_of_a_key_that_was_replaced_twice_is_checked_with_it(tmp_path: Path) -> None:
    asked = replace(parking(), max_pending=9)
    for keys in ([OLDEST], [OLD, OLDEST], [NEW, OLD, OLDEST]):
        async with open_services(settings(tmp_path, *keys)) as (services, _):
            await services.store.apply(asked, within=SOON)
            await services.audit.seal_due()
            found = await services.audit.verified(ADMIN)
            assert found.findings == ()
            asked = parking()
    assert found.seals == 3
    async with open_services(settings(tmp_path, NEW, OLD)) as (services, _):
        [finding] = (await services.audit.verified(ADMIN)).findings
        assert (finding.table, finding.row) == ("seals", "1")
        assert finding.what.endswith("which is not here")


async def test_a_key_that_was_replaced_twice_opens_nothing(tmp_path: Path) -> None:
    forged = Keyring([OLDEST]).hash("session", '["bot","up","abc"]').replace(":", ".")
    async with open_services(settings(tmp_path, NEW, OLD, OLDEST)) as (_, gateway):
        sessions = gateway._sessions
        assert sessions.open(f"abc.{forged}", agent="bot", server="up") is None
        accepted = Keyring([OLD]).hash("session", '["bot","up","abc"]').replace(":", ".")
        assert sessions.open(f"abc.{accepted}", agent="bot", server="up") == "abc"
