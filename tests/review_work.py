"""Scans to review: coded ones, which stand-ins for the networks segment at once, and a page that is really served."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cascade.io.nifti import write_volume
from cascade.pipeline import Segmenter
from cascade.review.desk import Desk
from cascade.review.items import Item
from cascade.review.server import served
from cascade.volume import Volume

NAMES = ("one", "sub/two", "three")


def write_scans(scan: Volume, folder: Path, names: Sequence[str] = NAMES) -> list[Item]:
    for name in names:
        write_volume(scan, folder / f"{name}.nii.gz")
    return [Item(f"s{n}", name, folder / f"{name}.nii.gz", None, ".nii.gz") for n, name in enumerate(names, start=1)]


def desk_of(items: Sequence[Item], folder: Path, weights: Path, **options: Any) -> Desk:
    return Desk(items, folder, lambda: Segmenter.from_pretrained("cpu", weights), who=options.pop("who", "tester"), **options)


class Client:
    """Asks a page's server as the page does."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.port, self.prefix = str(parts.hostname), int(parts.port or 0), parts.path
        self.token = parts.path.strip("/")
        self.origin = f"http://{self.host}:{self.port}"

    def raw(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
        """One request, exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return self.raw("GET", f"{self.prefix}{path}", {"Host": f"{self.host}:{self.port}"})

    def post(self, path: str, said: Any) -> tuple[int, Any]:
        headers = {"Host": f"{self.host}:{self.port}", "Origin": self.origin, "Content-Type": "application/json"}
        status, _, body = self.raw("POST", f"{self.prefix}{path}", headers, json.dumps(said).encode())
        return status, json.loads(body)

    def upload(self, path: str, content: bytes) -> tuple[int, Any]:
        headers = {"Host": f"{self.host}:{self.port}", "Origin": self.origin, "Content-Type": "application/octet-stream"}
        status, _, body = self.raw("POST", f"{self.prefix}{path}", headers, content)
        return status, json.loads(body)

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[2])


@contextlib.contextmanager
def client_of(desk: Desk) -> Iterator[Client]:
    with served(desk) as page:
        yield Client(page.address)
