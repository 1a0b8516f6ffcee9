"""The page's server over real HTTP: who is let in, and what may be asked."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade.io.nifti import write_volume
from cascade.labels import VERSE
from cascade.review import app
from cascade.review.desk import Desk
from cascade.review.server import served
from cascade.volume import LabelMap, Volume
from tests.review_work import Client, client_of, desk_of, write_scans

SECRETS = ("one", "two", "three", "scans")


@pytest.fixture(scope="module")
def desk(coded: tuple[Volume, LabelMap], oracle_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("served")
    desk = desk_of(write_scans(coded[0], folder / "scans"), folder / "out", oracle_weights)
    desk.segment("s1")
    desk.progress["s1"].phase = "ready"
    for key in ("s2", "s3"):
        desk.progress[key].phase = "failed"  # not to be segmented meanwhile
    return desk


@pytest.fixture(scope="module")
def client(desk: Desk) -> Iterator[Client]:
    with client_of(desk) as client:
        yield client


def until(ask: Callable[[], Any], seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return answer


def test_only_this_machine_with_the_token_is_let_in(client: Client) -> None:
    mine = {"Host": f"127.0.0.1:{client.port}"}
    target = f"{client.prefix}api/scans"
    assert client.raw("GET", target, mine)[0] == 200
    assert client.raw("GET", target, {"Host": f"localhost:{client.port}"})[0] == 200
    assert client.raw("GET", target, {**mine, "Origin": client.origin})[0] == 200
    wrong = [
        (target, {"Host": "evil.example"}),
        (target, {"Host": f"evil.example:{client.port}"}),
        (target, {"Host": f"127.0.0.1:{client.port + 1}"}),
        (target, {**mine, "Origin": "http://evil.example"}),
        (target, {**mine, "Origin": "null"}),
        ("/api/scans", mine),
        ("/", mine),
        (f"/{'x' * len(client.token)}/api/scans", mine),
        (f"/{client.token[:-1]}/api/scans", mine),
        (f"{client.prefix}../{client.token}/api/scans", mine),
        (f"{client.prefix}static/../../setup.cfg", mine),
        (f"{client.prefix}static/%2e%2e/%2e%2e/records.py", mine),
    ]
    assert client.raw("GET", target, {})[0] == 400, "without a Host it is no request"
    for path, headers in wrong:
        status, _, body = client.raw("GET", path, headers)
        assert (status, body) == (403, b"refused"), (path, headers)


def test_nothing_listens_but_on_the_loopback_address(client: Client) -> None:
    socket.create_connection((client.host, client.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):  # 127.0.0.2 is this machine, too: a server that listens everywhere would answer
        socket.create_connection(("127.0.0.2", client.port), timeout=5)


@pytest.mark.parametrize("name", ["..%2f..%2frecords.py", "records.py", "%2fetc%2fpasswd", "niivue.umd.js%00", "page.css/../page.js"])
def test_no_path_from_a_request_reaches_the_disk(client: Client, name: str) -> None:
    assert client.get(f"static/{name}")[0] in (403, 404)
    assert client.get(f"api/scans/{name}/thumbnail.jpg")[0] in (403, 404, 422)


def test_what_changes_something_needs_the_origin_of_the_page_and_json(client: Client) -> None:
    target, body = f"{client.prefix}api/scans/s1/decide", b'{"state": "accepted", "revision": 0}'
    mine = {"Host": f"127.0.0.1:{client.port}", "Content-Type": "application/json"}
    assert client.raw("POST", target, mine, body)[0] == 403
    assert client.raw("POST", target, {**mine, "Origin": "http://evil.example"}, body)[0] == 403
    assert client.raw("POST", target, {**mine, "Origin": client.origin, "Content-Type": "text/plain"}, body)[0] == 422
    assert client.raw("PUT", target, {**mine, "Origin": client.origin}, body)[0] == 403
    assert client.raw("DELETE", target, {**mine, "Origin": client.origin})[0] == 403


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"state": "accepted"},
        {"state": "elsewhere", "revision": 0},
        {"state": "accepted", "revision": "0"},
        [],
        {"revision": 0, "state": ["accepted"]},
        {"x": "y" * app.MAX_SAID},
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(client: Client, desk: Desk, said: Any) -> None:
    status, answer = client.post("api/scans/s1/decide", said)
    assert (status, answer["kind"]) == (422, "problem")
    assert desk.record("s1").state == "new"


@pytest.mark.parametrize(
    "said",
    [
        {"verb": "name", "points_mm": [["a", 0, 0]], "structure": "L4"},
        {"verb": "name", "points_mm": [[1e400, 0, 0]], "structure": "L4"},
        {"verb": "name", "points_mm": [], "structure": "L4"},
        {"verb": "name", "points_mm": [[0, 0, 0]], "structure": "<script>"},
        {"verb": "erase", "points_mm": [[0, 0, 0]]},
        {"verb": "number", "lowest": "../x"},
        {"verb": "number", "count": 9},
        {"points_mm": 3},
    ],
)
def test_what_cannot_be_said_is_a_problem_of_one_line(client: Client, said: Any) -> None:
    status, answer = client.post("api/scans/s1/say", {**said, "revision": 0})
    assert (status, answer["kind"]) in ((422, "problem"), (202, "wait"))
    assert "\n" not in answer["text"]


def test_the_page_may_load_nothing_foreign_and_tells_nothing(client: Client) -> None:
    status, headers, body = client.get("")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http:" not in policy
    assert "*" not in policy
    assert "unsafe-eval" not in policy
    assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert b"http://" not in body
    assert b"https://" not in body
    assert "server" not in headers


def test_addresses_and_logs_hold_no_name_of_a_scan(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    with served(desk) as page:
        client = Client(page.address)
        keys = [row["id"] for row in client.json("api/scans")["scans"]]
        client.get(f"api/scans/{keys[0]}")
        client.get("api/scans/../x")
    told = capfd.readouterr()
    assert not [word for word in SECRETS if word in f"{page.address} {keys} {told.out} {told.err}"]


def test_one_scan_is_told_with_its_voxels_names_and_places(client: Client, desk: Desk) -> None:
    state = client.json("api/scans/s1")
    assert [one["name"] for one in state["structures"]] == [level.name for level in desk.shown("s1").levels]
    image, labels = client.get("api/scans/s1/scan.nii")[2], client.get("api/scans/s1/labels.nii")[2]
    assert image[344:347] == labels[344:347] == b"n+1"
    status, headers, voxels = client.get("api/scans/s1/labels.bin")
    box = [int(number) for number in headers["x-box"].split(",")]
    assert status == 200
    assert len(voxels) == box[3] * box[4] * box[5]
    assert set(voxels) - {0} == {VERSE[one["name"]] for one in state["structures"]}
    assert client.json("api/scans/s1/measurements")[0]["structure"] == state["structures"][0]["name"]


def test_a_preview_changes_nothing_until_it_is_kept(client: Client, desk: Desk) -> None:
    disc = next(level.centroid_mm for level in desk.shown("s1").levels if level.name == "L2-L3")
    said = {"verb": "delete", "points_mm": [list(disc)]}
    status, preview = client.post("api/scans/s1/preview", said)
    assert status == 200
    assert "L2/L3 goes" in preview["changes"]
    assert VERSE["L2-L3"] not in client.get("api/scans/s1/labels.bin?preview=1")[2]
    assert VERSE["L2-L3"] in client.get("api/scans/s1/labels.bin")[2]
    assert client.json("api/scans/s1")["revision"] == desk.record("s1").revision
    revision = desk.record("s1").revision
    status, kept = client.post("api/scans/s1/say", {**said, "revision": revision})
    assert (status, kept["revision"]) == (200, revision + 1)
    assert VERSE["L2-L3"] not in client.get("api/scans/s1/labels.bin")[2]
    assert until(lambda: desk.record("s1").kept == revision + 1)
    assert client.post("api/scans/s1/say", {**said, "revision": revision})[1]["kind"] == "conflict"
    assert client.post("api/scans/s1/move", {"by": -1, "revision": revision + 1})[0] == 200


def test_a_dropped_scan_is_segmented_and_stays_in_its_place(
    client: Client, desk: Desk, coded: tuple[Volume, LabelMap], tmp_path: Path
) -> None:
    write_volume(coded[0], tmp_path / "new.nii.gz")
    content = (tmp_path / "new.nii.gz").read_bytes()
    status, answer = client.upload("api/drop?name=..%2f..%2fa%20b%2fnew%20scan.nii.gz", content)
    assert status == 200
    assert [path.name for path in (desk.folder / "dropped").iterdir()] == ["new_scan.nii.gz"]
    assert until(lambda: desk.progress[answer["id"]].phase == "ready")
    assert client.json(f"api/scans/{answer['id']}")["title"] == "dropped/new_scan"
    assert client.upload("api/drop?name=new%20scan.nii.gz", content)[0] == 200
    assert len(list((desk.folder / "dropped").iterdir())) == 2


@pytest.mark.parametrize("name", ["a.exe", "..", "", "a.nii.gz/", "a.json"])
def test_what_is_no_scan_is_not_taken(client: Client, desk: Desk, name: str) -> None:
    before = sorted((desk.folder / "dropped").iterdir()) if (desk.folder / "dropped").is_dir() else []
    assert client.upload(f"api/drop?name={name}", b"no scan at all")[0] == 422
    assert (sorted((desk.folder / "dropped").iterdir()) if (desk.folder / "dropped").is_dir() else []) == before


def test_a_dropped_file_that_is_too_large_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cascade.review.server.make_app", lambda desk, worker: app.make_app(desk, worker, max_dropped=1000))
    with client_of(desk) as client:
        status, answer = client.upload("api/drop?name=large.nii", bytes(2000))
    assert (status, answer["text"]) == (422, "expected at most 1000 bytes; found more")
    assert not list((desk.folder / "dropped").glob("*large*"))


def test_a_correction_is_answered_before_anything_is_measured_or_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    disc = next(level.centroid_mm for level in desk.shown("s1").levels if level.name == "L1-L2")
    with monkeypatch.context() as slow:
        slow.setattr("cascade.segmentation.measure", None)
        slow.setattr("cascade.review.worker._QUIET_S", 600.0)
        with client_of(desk) as other:
            revision = desk.record("s1").revision
            said = {"verb": "delete", "points_mm": [list(disc)], "revision": revision}
            assert other.post("api/scans/s1/say", said)[0] == 200
            assert desk.record("s1").kept == revision
            slow.undo()
    assert desk.record("s1").kept == revision + 1, "what was said last is written before the server ends"
    desk.move("s1", -1, revision + 1)
