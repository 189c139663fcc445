"""Where a webhook may lead, as far as the file says it: with another address it does not load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from approvals.config.load import load
from approvals.errors import ConfigurationInvalid
from tests.e2e.world import configured
from tests.webhooks.hostile_urls import INNER, NEVER, PUBLIC, PUBLIC6, SPELLED, TRICKS
from tests.webhooks.receiver import OPS, SECRET


def loaded(folder: Path, url: object, *, allow_private: bool = False) -> str:
    """The URL as the file that has it is read."""
    declared: dict[str, Any] = {"url": url, "secret": SECRET}
    if allow_private:
        declared["allow_private"] = True
    path = configured(folder, "http://127.0.0.1:9/mcp", more={"channels": {OPS: declared}})
    return load(path, starting_person=None).webhooks[OPS].url


def is_refused(folder: Path, url: object, *, allow_private: bool = False) -> None:
    with pytest.raises(ConfigurationInvalid, match="/channels/webhook:ops/url: "):
        loaded(folder, url, allow_private=allow_private)


def test_a_public_address_over_tls_loads_and_plain_http_does_not(tmp_path: Path) -> None:
    for host in ("ops.example.com", PUBLIC, f"[{PUBLIC6}]"):
        url = f"https://{host}:8443/hook?a=b"
        assert loaded(tmp_path, url) == url
        is_refused(tmp_path, url.replace("https", "http"))


def loads(folder: Path, url: str) -> bool:
    """Whether the file with this URL is read; if not, it is for the URL."""
    try:
        return loaded(folder, url) == url
    except ConfigurationInvalid as error:
        return "/channels/webhook:ops/url: " not in str(error)


@pytest.mark.parametrize("host", [*NEVER.values(), *INNER.values()], ids=[*NEVER, *INNER])
def test_an_inner_address_is_refused_when_the_file_is_read(tmp_path: Path, host: str) -> None:
    for port in ("", ":8443"):
        is_refused(tmp_path, f"https://{host}{port}/hook")


def test_a_number_that_spells_an_inner_address_is_refused_when_the_file_is_read(
    tmp_path: Path,
) -> None:
    """Decimal, octal, hex and short addresses, at registration too (SECURITY.md, 23): no resolver
    is needed to see where they lead, and no letter could ever go there."""
    assert [host for host in SPELLED.values() if loads(tmp_path, f"https://{host}/hook")] == []


@pytest.mark.parametrize("url", TRICKS.values(), ids=TRICKS)
def test_a_url_that_says_two_things_at_once_is_refused_when_the_file_is_read(
    tmp_path: Path, url: str
) -> None:
    is_refused(tmp_path, url.replace("PORT", "8443"))


@pytest.mark.parametrize("url", [None, 7, True, ["https://ops.example.com"], {}, "", " "])
def test_what_is_no_text_is_no_url(tmp_path: Path, url: object) -> None:
    is_refused(tmp_path, url)


@pytest.mark.parametrize("host", NEVER.values(), ids=NEVER)
def test_what_is_never_reached_is_refused_when_read_also_where_private_is_allowed(
    tmp_path: Path, host: str
) -> None:
    for scheme in ("http", "https"):
        is_refused(tmp_path, f"{scheme}://{host}:8080/hook", allow_private=True)
