"""The page's server: addresses and their answers. What may be seen and said is decided at the desk."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from cascade.errors import CascadeError, InputError, NotAtHandError, ReviewConflictError
from cascade.io.files import replacing
from cascade.io.formats import NIFTI, find_suffix, format_of, stem
from cascade.labels import CASCADE
from cascade.review import wire
from cascade.review.desk import Desk
from cascade.review.items import Item, unique
from cascade.review.records import State
from cascade.review.words import Word
from cascade.review.worker import Worker
from cascade.segmentation import Segmentation

#: The files of the page, and what they are.
STATIC = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "niivue.umd.js": "text/javascript; charset=utf-8",
    "niivue.LICENSES.txt": "text/plain; charset=utf-8",
}
#: Bytes of what is said, and of a scan that is dropped.
MAX_SAID, MAX_DROPPED = 1 << 16, 2 << 30
_DROPPED = (".nii", ".nii.gz", ".nrrd", ".mha", ".zip", ".dcm")
_NIFTI = "application/octet-stream"


def make_app(desk: Desk, worker: Worker, max_dropped: int = MAX_DROPPED) -> Starlette:
    """The application, without the guard in front of it."""
    pages = Pages(desk, worker, max_dropped)
    scan = "/api/scans/{key}"
    routes = [
        Route("/", pages.page),
        Route("/static/{name}", pages.static),
        Route("/api/scans", pages.overview),
        Route("/api/words", pages.words),
        Route("/api/drop", pages.drop, methods=["POST"]),
        Route(scan, pages.scan),
        Route(f"{scan}/look", pages.look, methods=["POST"]),
        Route(f"{scan}/scan.nii", pages.voxels),
        Route(f"{scan}/labels.nii", pages.labels),
        Route(f"{scan}/labels.bin", pages.label_box),
        Route(f"{scan}/measurements", pages.measurements),
        Route(f"{scan}/thumbnail.jpg", pages.thumbnail),
        Route(f"{scan}/say", pages.say, methods=["POST"]),
        Route(f"{scan}/preview", pages.preview, methods=["POST"]),
        Route(f"{scan}/move", pages.move, methods=["POST"]),
        Route(f"{scan}/decide", pages.decide, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={CascadeError: _problem})


def _problem(request: Request, error: Exception) -> Response:
    """An error that is no bug, as the page shows it."""
    del request
    status, kind = 422, "problem"
    if isinstance(error, NotAtHandError):
        status, kind = 202, "wait"
    elif isinstance(error, ReviewConflictError):
        status, kind = 409, "conflict"
    return JSONResponse({"kind": kind, "text": " ".join(str(error).split())}, status)


class Pages:
    """What each address answers."""

    def __init__(self, desk: Desk, worker: Worker, max_dropped: int) -> None:
        self.desk, self.worker, self.max_dropped = desk, worker, max_dropped
        self._previews: dict[str, Segmentation] = {}

    # ------------------------------------------------------------------------------------------ the page

    async def page(self, _: Request) -> Response:
        """The page itself."""
        return _asset("index.html")

    async def static(self, request: Request) -> Response:
        """One of its files, by name."""
        name = request.path_params["name"]
        return _asset(name) if name in STATIC else Response(status_code=404)

    async def words(self, _: Request) -> Response:
        """Names and colours."""
        return JSONResponse(wire.vocabulary())

    async def overview(self, request: Request) -> Response:
        """The list; without content if it is as it was."""
        if request.query_params.get("version") == str(self.desk.version) and not self.worker.busy:
            return Response(status_code=204)
        return JSONResponse(await run_in_threadpool(wire.overview, self.desk, self.worker))

    # ------------------------------------------------------------------------------------------ one scan

    async def look(self, request: Request) -> Response:
        """A person looks at this scan."""
        self.worker.look_at(self._key(request))
        return JSONResponse({})

    async def scan(self, request: Request) -> Response:
        """What holds now."""
        return JSONResponse(await self._run(request, wire.scan_state, self.desk))

    async def voxels(self, request: Request) -> Response:
        """The scan."""
        return Response(await self._run(request, lambda key: wire.scan_bytes(self.desk.shown(key))), media_type=_NIFTI)

    async def labels(self, request: Request) -> Response:
        """All labels."""
        return Response(await self._run(request, lambda key: wire.label_bytes(self.desk.shown(key))), media_type=_NIFTI)

    async def label_box(self, request: Request) -> Response:
        """The labels, or those of the preview, in the box that holds them."""
        key = self._key(request)
        preview = self._previews.get(key) if request.query_params.get("preview") else None
        box, voxels = await run_in_threadpool(lambda: wire.label_box(preview or self.desk.shown(key)))
        return Response(voxels, media_type=_NIFTI, headers={"x-box": ",".join(map(str, box))})

    async def measurements(self, request: Request) -> Response:
        """The table."""
        return JSONResponse(await self._run(request, lambda key: wire.measurements(self.desk.shown(key))))

    async def thumbnail(self, request: Request) -> Response:
        """The small picture."""
        path = self.desk.files(self._key(request)).thumbnail
        return FileResponse(path, media_type="image/jpeg") if path.is_file() else Response(status_code=404)

    # ------------------------------------------------------------------------------------------ what is said

    async def say(self, request: Request) -> Response:
        """Correct."""
        key, said = self._key(request), await _said(request)
        return await self._changed(key, lambda: self.desk.say(key, Word.from_json(said), _revision(said)))

    async def move(self, request: Request) -> Response:
        """Undo or redo."""
        key, said = self._key(request), await _said(request)
        by = 1 if said.get("by") == 1 else -1
        return await self._changed(key, lambda: self.desk.move(key, by, _revision(said)))

    async def decide(self, request: Request) -> Response:
        """Accept, reject, or take that back; or note something."""
        key, said = self._key(request), await _said(request)
        state: State | None = next((one for one in get_args(State) if one == said.get("state")), None)
        if state is None:
            raise InputError(f"expected one of {', '.join(get_args(State))}")
        record = await run_in_threadpool(lambda: self.desk.decide(key, state, str(said.get("note", "")), _revision(said)))
        return JSONResponse({"revision": record.revision, "state": record.state, "who": record.who, "when": record.when})

    async def preview(self, request: Request) -> Response:
        """What a word would change."""
        key, said = self._key(request), await _said(request)
        try:
            edit, result = await run_in_threadpool(lambda: self.desk.preview(key, Word.from_json(said)))
        except NotAtHandError:
            self.worker.want(key)
            raise
        self._previews = {key: result}
        before = await run_in_threadpool(self.desk.shown, key)
        return JSONResponse(wire.preview_state(self.desk, key, before, result, edit))

    async def _changed(self, key: str, work: Callable[[], Any]) -> Response:
        try:
            await run_in_threadpool(work)
            return JSONResponse(await run_in_threadpool(wire.scan_state, self.desk, key))
        except NotAtHandError:
            self.worker.want(key)
            raise

    # ------------------------------------------------------------------------------------------ one more scan

    async def drop(self, request: Request) -> Response:
        """Take a file that was dropped on the page."""
        name = wire.name_of(request.query_params.get("name", ""))
        if find_suffix(name, _DROPPED) == "":
            raise InputError(f"expected a scan that ends in {', '.join(_DROPPED)}; found {name[-20:]!r}")
        folder = self.desk.folder / "dropped"
        taken = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        suffix = find_suffix(name, _DROPPED)
        path = folder / f"{unique(name[: -len(suffix)], [stem(one) for one in taken])}{suffix}"
        with replacing(path) as temporary:
            with temporary.open("wb") as target:
                async for chunk in _bounded(request, self.max_dropped):
                    await run_in_threadpool(target.write, chunk)
            if format_of(temporary) is None:
                raise InputError("expected a scan (NIfTI, DICOM, NRRD, MetaImage); the content of this file is none of these")
        known = [item.name for item in self.desk.items.values()]
        scheme = next((item.scheme for item in self.desk.items.values()), CASCADE)
        suffix = suffix if suffix in NIFTI.outputs else ".nii.gz"
        item = Item(f"s{len(known) + 1}", unique(f"dropped/{stem(path.name)}", known), path, None, suffix, scheme)
        self.desk.add(item)
        return JSONResponse({"id": item.id})

    # ------------------------------------------------------------------------------------------ helpers

    def _key(self, request: Request) -> str:
        return self.desk.item(request.path_params["key"]).id

    async def _run(self, request: Request, work: Callable[..., Any], *first: Any) -> Any:
        key = self._key(request)
        return await run_in_threadpool(work, *first, key)


def _revision(said: dict[str, Any]) -> int:
    revision = said.get("revision")
    if not isinstance(revision, int):
        raise InputError("expected the revision that was seen")
    return revision


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body, as long as it is no longer than it may be."""
    total = 0
    try:
        async for chunk in request.stream():
            total += len(chunk)
            if total > most:
                raise InputError(f"expected at most {most} bytes; found more")
            yield chunk
    except ClientDisconnect as error:
        raise InputError("expected a whole file; the page went away") from error


async def _said(request: Request) -> dict[str, Any]:
    """What the page says, in JSON."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise InputError("expected JSON")
    text = b"".join([chunk async for chunk in _bounded(request, MAX_SAID)])
    try:
        content = json.loads(text, parse_constant=lambda _: math.nan)
    except (ValueError, RecursionError) as error:
        raise InputError("expected JSON") from error
    if not isinstance(content, dict):
        raise InputError("expected JSON with names")
    return content


def _asset(name: str) -> Response:
    content = importlib.resources.files("cascade.review").joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"cache-control": "no-cache"})


def dropped_items(folder: Path, known: list[Item]) -> list[Item]:
    """What was dropped on the page in an earlier session."""
    place, result = folder / "dropped", list(known)
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.is_file() and not path.name.startswith("."):
            suffix = find_suffix(path.name, NIFTI.outputs) or ".nii.gz"
            scheme = known[0].scheme if known else CASCADE
            result.append(Item(f"s{len(result) + 1}", f"dropped/{stem(path.name)}", path, None, suffix, scheme))
    return result
