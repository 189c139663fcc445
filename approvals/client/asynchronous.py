"""One request of the REST API after the other, without a thread for each that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from approvals.client import ApiError, Unreachable, error_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 70.0


class AsyncClient:
    """One server and one key. Bodies are bytes, so that numbers go and come as they are written."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            timeout=TIMEOUT,
            trust_env=False,
            limits=httpx2.Limits(max_connections=200, keepalive_expiry=2),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer's body. Raises ApiError, and Unreachable where no answer came."""
        try:
            response = await self._http.request(
                method, path, content=body, params=dict(query or {})
            )
        except httpx2.HTTPError as error:
            raise Unreachable(f"No approvals service answers at {self.url}.") from error
        if response.is_success:
            return response.content
        raise error_of(response)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()


__all__ = ["ApiError", "AsyncClient", "Unreachable"]
