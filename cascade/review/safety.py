"""Who may ask the page's server, and what the page may ask for: only this machine, only with the token, nothing foreign."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
#: Everything from this server; styles of elements are set by the viewer; pictures that it draws are blobs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' data:; "
    "font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
_METHODS = ("GET", "POST")


def new_token() -> str:
    """What an address has to start with: 256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Guard:
    """Lets through what this page asks; everything else is refused before anything looks at it.

    Parameters
    ----------
    app : ASGI application
    token : str
    port : int
    """

    app: ASGIApp
    token: str
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or not self._is_ours(scope):
            if scope["type"] == "http":
                await _refuse(send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_raw(_HEADERS.items())]}
            await send(message)

        prefix = f"/{self.token}"
        await self.app({**scope, "path": scope["path"].removeprefix(prefix), "raw_path": None, "root_path": ""}, receive, guarded)

    def _is_ours(self, scope: Scope) -> bool:
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        known = (f"{HOST}:{self.port}", f"localhost:{self.port}")
        from_page = [f"http://{host}" for host in known]
        first = str(scope["path"]).split("/", 2)[1:2] or [""]
        return (
            len(hosts) == 1
            and hosts[0] in known
            and all(origin in from_page for origin in origins)
            and scope["method"] in _METHODS
            and (scope["method"] == "GET" or len(origins) == 1)
            and ".." not in scope["path"].split("/")
            and secrets.compare_digest(first[0].encode("utf-8", "replace"), self.token.encode())
        )


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


async def _refuse(send: Send) -> None:
    """Say no, and nothing about why."""
    await send({"type": "http.response.start", "status": 403, "headers": _raw([("content-type", "text/plain"), *_HEADERS.items()])})
    await send({"type": "http.response.body", "body": b"refused"})
