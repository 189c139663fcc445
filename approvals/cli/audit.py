"""`audit verify`, `audit export`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from approvals.cli.connection import connect
from approvals.cli.say import say_lines
from approvals.domain.display import visible

if TYPE_CHECKING:
    from approvals.config.settings import Settings


def verify(*, as_json: bool, url: str | None, key: str | None) -> None:
    """Ask the service; fails when anything is not what was written."""
    with connect(url, key) as client:
        found = client.verify_audit()
    _tell(found, as_json=as_json)


def verify_database(database: str, *, as_json: bool) -> None:
    """Read the database itself, whether or not a service uses it; nothing is written."""
    from approvals.config.settings import environment, read_settings
    from approvals.storage.opening import check_schema

    settings = read_settings({**environment(), "APPROVALS_DATABASE_URL": database})
    check_schema(settings.database_url)
    _tell(asyncio.run(_verified(settings)), as_json=as_json)


def export(*, since: str | None, until: str | None, url: str | None, key: str | None) -> None:
    """Write every event, one a line, to standard output."""
    with connect(url, key) as client:
        for part in client.export_audit(since=since, until=until):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


async def _verified(settings: Settings) -> dict[str, Any]:
    from approvals.api.audit import verified_resource
    from approvals.app import keys_of_audit
    from approvals.service.verification import verified
    from approvals.storage.opening import looked_at

    keys = keys_of_audit(settings)
    async with looked_at(settings.database_url) as store:
        return verified_resource(await verified(store, keys))


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    say_lines(json.dumps(found) if as_json else "\n".join(_lines(found)))
    if not found["ok"]:
        raise typer.Exit(1)


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [_finding(finding) for finding in found["findings"]]
    if found["found"] > len(lines):
        lines.append(f"… {found['found'] - len(lines)} more")
    said = "as it was written" if found["ok"] else f"{found['found']} findings"
    lines.append(
        f"{said}: {found['events']} events ({found['unsealed']} not sealed yet),"
        f" {found['approvals']} approvals, {found['seals']} seals"
    )
    if newest := found["newest_seal"]:
        lines.append(
            f"newest seal: number {newest['number']} of {newest['at']} under root"
            f" {visible(newest['root'])}"
        )
    return lines


def _finding(finding: dict[str, Any]) -> str:
    place = ""
    if finding["stream"] is not None and finding["stream"] != finding["row"]:
        place = f" ({visible(finding['stream'])}, event {finding['seq']})"
    at = f"{finding['at']}  " if finding["at"] else ""
    return f"{at}{finding['table']} {visible(finding['row'])}{place}: {visible(finding['what'])}"
