"""/healthz and /readyz, without a key and without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api.routes import Operation, answer
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def healthz(request: Request) -> Response:
    """The process answers."""
    del request
    return answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers; also what an operator should know: solo mode, rules that let owners
    decide, a configuration file that does not load or that other processes have another of, records
    that cannot be read."""
    use = services(request)
    await use.store.ping()
    rulebook = use.rules.current
    directory = rulebook.directory
    processes = await use.store.processes(now=use.clock.now())
    hashes = {process.config_hash for process in processes}
    return answer(
        {
            "status": "ready",
            "solo": directory.solo,
            "people": len(directory.people),
            "servers": len(rulebook.servers),
            "owner_may_decide": directory.solo or rulebook.lets_owners_decide,
            "configuration": {
                "hash": rulebook.hash,
                "file": "loaded" if not use.rules.problems else "does not load, the older is used",
                "problems": len(use.rules.problems),
                "of_all": sorted(hashes),
            },
            "processes": len(processes),
            "hints": use.hints.state,
            "unreadable": use.store.unreadable,
        }
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        summary="Is the process there",
        handler=healthz,
        answers={200: "it is"},
        secured=False,
        tags=("health",),
    ),
    Operation(
        method="GET",
        path="/readyz",
        summary="Can it work",
        handler=readyz,
        answers={200: "it can", 503: "the database does not answer"},
        secured=False,
        tags=("health",),
    ),
)
