"""``cascade-segment``: every bad input is one line, others are still done, and nothing half-done stays."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from cascade.cli.segment import main
from cascade.io.nifti import write_volume
from cascade.labels import CASCADE, rank
from cascade.networks.checkpoint import packaged_weights
from cascade.volume import LabelMap, Volume
from tests.synthetic import save_oracles

Coded = tuple[Volume, LabelMap]
ERROR = re.compile(r"^cascade: error: (?P<file>[^:]+): (?P<text>.+)$")
#: What is said at the end.
LAST = re.compile(r"^cascade: (also found: .+; --extended writes them|\d+ scans: .+)$")
WARNING = re.compile(r"^cascade: (?:warning|alarm): (?P<file>[^:]+): (?P<code>[a-z0-9-]+): (?P<text>.+)$")


@pytest.fixture(scope="session")
def scan_file(coded: Coded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "t2.nii.gz"
    write_volume(coded[0], path)
    return path


@pytest.fixture
def good(scan_file: Path, tmp_path: Path) -> Path:
    """A scan in this test's own folder."""
    return Path(shutil.copy(scan_file, tmp_path / "good.nii.gz"))


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 2.0, 2.0, 1.0]) if affine is None else affine), path)
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(300, 40, shape).astype(np.float32)


def write_missing(path: Path) -> None:
    """There is no such file."""


def write_text(path: Path) -> None:
    path.write_text("hello", encoding="utf-8")


def write_truncated(path: Path) -> None:
    save(path, noise(9, 30, 40))
    path.write_bytes(path.read_bytes()[:9000])


def write_2d(path: Path) -> None:
    save(path, noise(30, 40))


def write_volumes(path: Path) -> None:
    save(path, noise(9, 30, 40, 2))


def write_rgb(path: Path) -> None:
    save(path, np.zeros((9, 30, 40), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def write_constant(path: Path) -> None:
    save(path, np.full((9, 30, 40), 7.0, np.float32))


def write_nan(path: Path) -> None:
    save(path, np.full((9, 30, 40), np.nan, np.float32))


def write_thin(path: Path) -> None:
    save(path, noise(4, 30, 40))


def write_header(path: Path, offset: int, values: list[float]) -> None:
    plain = path.with_name("plain.nii")
    image = nib.Nifti1Image(noise(9, 30, 40), np.eye(4))
    image.set_sform(np.eye(4), 1)
    nib.save(image, plain)
    content = bytearray(plain.read_bytes())
    content[offset : offset + 4 * len(values)] = np.array(values, "<f4").tobytes()
    plain.write_bytes(content)
    nib.openers.Opener(str(path), "wb").write(bytes(content))
    plain.unlink()


def write_zero_spacing(path: Path) -> None:
    write_header(path, 84, [0.0])


def write_negative_spacing(path: Path) -> None:
    write_header(path, 80, [-2.0])


def write_singular(path: Path) -> None:
    write_header(path, 280, [0.0, 0.0, 0.0])


def write_noise(path: Path) -> None:
    save(path, noise(11, 60, 80))


def write_sphere(path: Path) -> None:
    x, y, z = np.ogrid[-11:12, -30:31, -40:41]
    save(path, np.where((2 * x) ** 2 + y**2 + z**2 < 25**2, 200.0, 10.0).astype(np.float32))


BEFORE = {
    write_missing: "there is no such file",
    write_text: "expected a NIfTI file",
    write_truncated: "truncated",
    write_2d: "2-D",
    write_volumes: "2 volumes",
    write_rgb: "colours",
    write_constant: "every voxel has the value 7",
    write_nan: "no voxel holds a finite number",
    write_thin: "at least 5 voxels along each axis",
    write_singular: "invertible affine",
}
#: Of these the sform places the voxels, whatever the spacing says.
MENDED = {write_zero_spacing: "no spine found", write_negative_spacing: "no spine found"}
WITHOUT_SPINE = {write_noise: "no spine found", write_sphere: "no spine found"}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def errors(stderr: str) -> list[re.Match[str]]:
    """The error lines; every line must be one that the command is allowed to write."""
    lines = stderr.splitlines()
    matches = [ERROR.match(line) or WARNING.match(line) or LAST.match(line) for line in lines]
    assert all(matches), stderr
    return [match for match in matches if match and match.re is ERROR]


@pytest.mark.parametrize(("write", "said"), (BEFORE | MENDED | WITHOUT_SPINE).items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_bad_scan_is_one_line_and_leaves_nothing(
    write: object, said: str, tmp_path: Path, blind_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.nii.gz"
    write(bad)  # type: ignore[operator]
    before = files_in(tmp_path)
    outputs = ["-o", str(tmp_path / "out.nii.gz"), "--json", str(tmp_path / "run.json"), "--picture", str(tmp_path / "qc.png")]
    assert main([str(bad), *outputs, "--weights", str(blind_weights), "--device", "cpu"]) == 1
    stdout, stderr = capfd.readouterr()
    (error,) = errors(stderr)
    assert error["file"] == str(bad)
    assert said in error["text"]
    assert stdout == ""
    assert files_in(tmp_path) == before


def test_other_inputs_are_still_done(tmp_path: Path, good: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = []
    for write in (write_missing, write_text, write_constant, write_thin):
        bad.append(tmp_path / f"{write.__name__}.nii.gz")
        write(bad[-1])
    command = [str(bad[0]), str(bad[1]), str(good), *map(str, bad[2:]), "-o", str(tmp_path / "out"), "--weights", str(oracle_weights)]
    assert main(command) == 1
    stdout, stderr = capfd.readouterr()
    assert {error["file"] for error in errors(stderr)} == set(map(str, bad))
    assert files_in(tmp_path / "out") == {"good.nii.gz", "manifest.jsonl"}
    assert stdout.startswith(f"{tmp_path / 'out' / 'good.nii.gz'}\t")


def test_an_output_equal_to_the_input_is_refused(good: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = good.read_bytes()
    assert main([str(good), "-o", str(good), "--weights", str(oracle_weights)]) == 1
    (error,) = errors(capfd.readouterr().err)
    assert "other than the input" in error["text"]
    assert good.read_bytes() == content


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_no_other_output_overwrites_the_input(
    option: str, good: Path, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = good.read_bytes()
    assert main([str(good), "-o", str(tmp_path / "out.nii.gz"), option, str(good), "--weights", str(oracle_weights)]) == 1
    (error,) = errors(capfd.readouterr().err)
    assert "other than the input" in error["text"]
    assert good.read_bytes() == content
    assert files_in(tmp_path) == {"good.nii.gz"}


def test_an_output_that_cannot_be_written_is_one_line(
    good: Path, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(good), "-o", str(tmp_path / "file" / "out.nii.gz"), "--weights", str(oracle_weights)]) == 1
    (error,) = errors(capfd.readouterr().err)
    assert "cannot write here" in error["text"]
    assert "choose another output" in error["text"]
    assert files_in(tmp_path) == {"good.nii.gz", "file"}


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
@pytest.mark.parametrize("name", ["stage1_spine.safetensors", "stage2_levels.safetensors", "stage2_levels.json"])
def test_bad_weights_are_one_line_that_names_them(
    damage: str, name: str, good: Path, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(oracle_weights, tmp_path / "weights"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    assert main([str(good), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(folder)]) == 1
    (error,) = errors(capfd.readouterr().err)
    assert error["file"] == str(folder / name)
    assert not (tmp_path / "out.nii.gz").exists()


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["scan.nii.gz"],
            ["-o", "out.nii.gz"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--colour"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--scheme", "verso"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--device", "abacus"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--count", "7"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--lowest", "X9"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--anchor", "L5"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--anchor", "L5=1,2"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--anchor", "Q5=1,2,3"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--anchor", "L5=nan,2,3"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--anchor", "L5=1,2,3", "--anchor", "L5=1,2,4"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--strict="],
            ["scan.nii.gz", "-o", "out.nii.gz", "--strict=few-slices,numbering-unsure"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--strict=bodies-cut"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--threads", "many"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--threads", "0"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--threads", "-2"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--json"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--quiet", "-v"],
            ["scan.nii.gz", "-o", "out.nii.gz", "--repeat", "1"],
            ["scan.nii.gz", "-o", "out.stl"],
            ["scan.nii.gz", "-o", "levels.mhd"],
            ["scan.nii.gz", "-o", "levels.nrrd.gz"],
            ["scan.nii.gz", "-o", ""],
            ["scan.nii.gz", "-o", "out", "--json="],
            ["", "-o", "out.nii.gz"],
        ],
    )
    def test_an_unknown_option_or_value_exits_with_2(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: cascade-segment" in capfd.readouterr().err

    def test_a_missing_scan_is_told_before_a_missing_output(
        self, scan_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for scan, told in (
            (tmp_path / "none.nii.gz", "none.nii.gz: expected a file or folder; there is no"),
            (scan_file, "expected scans and -o"),
        ):
            with pytest.raises(SystemExit) as caught:
                main([str(scan)])
            assert caught.value.code == 2
            assert told in capfd.readouterr().err

    def test_the_real_command_exits_with_its_status(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "cascade.cli.segment"]
        missing = [*command, str(tmp_path / "none.nii.gz"), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(tmp_path)]
        failed = subprocess.run(missing, capture_output=True, text=True, check=False)
        wrong = subprocess.run([*command, "--colour"], capture_output=True, text=True, check=False)
        assert (failed.returncode, wrong.returncode) == (1, 2)
        assert len(errors(failed.stderr)) == 1
        assert "Traceback" not in failed.stderr + wrong.stderr


class TestWarnings:
    def run(self, path: Path, tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, set[str]]:
        status = main([str(path), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(weights), *more])
        lines = [line for line in capfd.readouterr().err.splitlines() if not LAST.match(line)]
        matches = [WARNING.match(line) for line in lines]
        assert all(matches), lines
        assert {match["file"] for match in matches if match} <= {str(path)}
        return status, {match["code"] for match in matches if match}

    def test_some_nan_and_inf_are_done_with_a_warning(
        self, coded: Coded, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        data = coded[0].data.copy()
        data[0, 0, 1:4] = np.nan, np.inf, -np.inf
        write_volume(Volume(data, coded[0].grid), tmp_path / "a.nii.gz")
        status, codes = self.run(tmp_path / "a.nii.gz", tmp_path, oracle_weights, capfd)
        assert status == 0
        assert "not-finite" in codes
        assert (tmp_path / "out.nii.gz").is_file()

    def test_few_slices_are_done_with_a_note(self, coded: Coded, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        box = (slice(3, 11), slice(0, 113), slice(0, 163))
        thin = Volume(coded[0].data[box].copy(), coded[0].grid.cropped(box))
        thin.data[0, 0, 0] = 0.0
        write_volume(thin, tmp_path / "a.nii.gz")
        save_oracles(tmp_path / "weights", thin)
        status, codes = self.run(tmp_path / "a.nii.gz", tmp_path, tmp_path / "weights", capfd, "--json", str(tmp_path / "a.json"))
        assert (status, codes) == (0, set())
        notes = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["warnings"]
        assert [(note["code"], note["rank"]) for note in notes] == [("few-slices", "note")]

    def test_disagreeing_forms_are_done_with_a_warning(
        self, coded: Coded, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        image = nib.Nifti1Image(coded[0].data, coded[0].grid.vox2world)
        moved = coded[0].grid.vox2world.copy()
        moved[:3, 3] += 20
        image.set_sform(coded[0].grid.vox2world, 1)
        image.set_qform(moved, 1)
        nib.save(image, tmp_path / "a.nii.gz")
        status, codes = self.run(tmp_path / "a.nii.gz", tmp_path, oracle_weights, capfd)
        assert status == 0
        assert "forms-disagree" in codes


class TestResults:
    def test_one_scan_gives_labels_json_and_picture(
        self, good: Path, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        outputs = [tmp_path / "new" / name for name in ("l.nii.gz", "run.json", "qc.png")]
        options = ["-o", str(outputs[0]), "--json", str(outputs[1]), "--picture", str(outputs[2])]
        assert main([str(good), *options, "--weights", str(oracle_weights)]) == 0
        labels = nib.load(outputs[0])
        assert np.array_equal(labels.affine, nib.load(good).affine)
        assert set(np.unique(np.asarray(labels.dataobj))) == {0, *CASCADE.ids.values()}
        content = json.loads(outputs[1].read_text(encoding="utf-8"))
        assert content["input"] == str(good)
        assert content["levels"][0]["name"] == "L1"
        with Image.open(outputs[2]) as picture:
            assert picture.format == "PNG"
        assert capfd.readouterr().out == f"{outputs[0]}\tL1 L1-L2 L2 L2-L3 L3 L3-L4 L4 L4-L5 L5\n"

    @pytest.mark.parametrize(
        ("options", "values"),
        [
            (["--extended"], {1, 5, 6, 10, 11, 12, 21}),
            (["--scheme", "verse"], {20, 24, 120, 124, 26}),
            (["--scheme", "spider"], {1, 5, 201}),
        ],
    )
    def test_the_scheme_decides_the_numbers(
        self, options: list[str], values: set[int], good: Path, tmp_path: Path, oracle_weights: Path
    ) -> None:
        assert main([str(good), "-o", str(tmp_path / "l.nii"), *options, "--weights", str(oracle_weights)]) == 0
        assert values <= set(np.unique(np.asarray(nib.load(tmp_path / "l.nii").dataobj)).tolist())

    def test_a_folder_is_mirrored_and_labels_and_outputs_are_skipped(
        self, scan_file: Path, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        scans = tmp_path / "scans"
        for name in ("a.nii.gz", "sub/b.nii.gz"):
            (scans / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scan_file, scans / name)
        for name in ("a_labels.nii.gz", "a_seg.nii.gz", "sub/b_mask.nii.gz", "sub/b_dseg.nii", ".hidden.nii.gz", "notes.txt"):
            (scans / name).write_text("no scan")
        out = scans / "out"
        command = [
            str(scans),
            "-o",
            str(out),
            "--json",
            str(tmp_path / "j"),
            "--picture",
            str(tmp_path / "p"),
            "--mesh",
            str(tmp_path / "m"),
            "--weights",
            str(oracle_weights),
        ]
        assert main(command) == 0
        assert files_in(out) == {"a.nii.gz", "sub/b.nii.gz", "manifest.jsonl"}
        assert files_in(tmp_path / "j") == {"a.json", "sub/b.json"}
        assert files_in(tmp_path / "p") == {"a.png", "sub/b.png"}
        assert files_in(tmp_path / "m") == {f"{scan}/{name}.stl" for scan in ("a", "sub/b") for name in CASCADE.ids}
        first = (out / "a.nii.gz").read_bytes()
        assert main([*command[:3], *command[-2:]]) == 0
        assert files_in(out) == {"a.nii.gz", "sub/b.nii.gz", "manifest.jsonl"}
        assert (out / "a.nii.gz").read_bytes() == first

    def test_an_empty_folder_is_one_line(self, tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "scans").mkdir()
        assert main([str(tmp_path / "scans"), "-o", str(tmp_path / "out"), "--weights", str(oracle_weights)]) == 1
        (error,) = errors(capfd.readouterr().err)
        assert "expected scans" in error["text"]
        assert not (tmp_path / "out").exists()

    def test_two_scans_of_one_name_do_not_overwrite_one_another(self, scan_file: Path, tmp_path: Path, oracle_weights: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            shutil.copy(scan_file, tmp_path / name / "t2.nii.gz")
        scans = [str(tmp_path / name / "t2.nii.gz") for name in ("a", "b")]
        assert main([*scans, "-o", str(tmp_path / "out"), "--weights", str(oracle_weights)]) == 0
        assert {"a/t2.nii.gz", "b/t2.nii.gz"} <= files_in(tmp_path / "out")

    def test_several_scans_need_a_folder(self, good: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main([str(good), str(good), "-o", str(tmp_path / "out.nii.gz")]) != 0
        assert "folder" in capfd.readouterr().err
        assert not (tmp_path / "out.nii.gz").exists()


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
class TestPackagedWeights:
    def test_the_demo_segments_a_scan_and_a_phantom_and_says_what_to_open(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["--demo", str(tmp_path), "--device", "cpu"]) == 0
        ends = (".nii.gz", "_levels.nii.gz", ".json", ".png", ".tsv", ".html")
        assert files_in(tmp_path) == {f"{name}{end}" for name in ("scan", "phantom") for end in ends} | {"phantom_reference.nii.gz"}
        scan, phantom, last = capfd.readouterr().out.split("\n\n")
        assert "there is no reference" in scan
        assert [line.split()[0] for line in scan.splitlines()[2:]] == sorted(CASCADE.ids, key=rank)
        dice = {line.split()[0]: float(line.split()[1]) for line in phantom.splitlines()[2:-1]}
        assert set(dice) == {*CASCADE.ids, "mean"}
        assert dice["mean"] >= 0.75
        assert last == f"open first: {tmp_path / 'scan.html'}\n"

    @pytest.mark.parametrize("write", [write_noise, write_sphere])
    def test_what_is_no_spine_is_not_taken_for_one(self, write: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        write(tmp_path / "a.nii.gz")  # type: ignore[operator]
        assert main([str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out.nii.gz"), "--device", "cpu"]) == 1
        (error,) = errors(capfd.readouterr().err)
        assert "no spine found" in error["text"]
        assert not (tmp_path / "out.nii.gz").exists()

    def test_without_a_spine_it_is_told_that_nobody_knew_how_the_axes_run(
        self, coded: Coded, tmp_path: Path, blind_weights: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        nib.save(nib.Nifti1Image(coded[0].data, None), tmp_path / "a.nii.gz")
        assert main([str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(blind_weights)]) == 1
        (error,) = errors(capfd.readouterr().err)
        assert re.search(r"no spine found: .*; the codes of both forms are 0; .* how they run \(docs/formats\.md\)", error["text"])

    @pytest.mark.data
    def test_a_clinical_scan_shows_five_bodies_and_four_discs(self, data_folder: Path, tmp_path: Path) -> None:
        scan = data_folder / "unlabelled" / "fastmonai_t2_sagittal.nii.gz"
        assert main([str(scan), "-o", str(tmp_path / "l.nii.gz")]) == 0
        labels = nib.load(tmp_path / "l.nii.gz")
        assert set(np.unique(np.asarray(labels.dataobj))) == {0, *CASCADE.ids.values()}
        assert np.array_equal(labels.affine, nib.load(scan).affine)

    @pytest.mark.data
    def test_a_scan_that_ends_above_the_sacrum_says_so(self, data_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        scan = data_folder / "unlabelled" / "sct_t2_thoracolumbar.nii.gz"
        assert main([str(scan), "-o", str(tmp_path / "l.nii.gz")]) == 0
        assert ": no-sacrum-in-view: " in capfd.readouterr().err


class TestClicks:
    @pytest.fixture
    def clicks(self, tmp_path: Path, coded: Coded) -> Path:
        """A point in L4 that says L3, as 3D Slicer saves it."""
        x, y, z = coded[1].grid.to_world(np.argwhere(coded[1]["L4"]).mean(axis=0))
        point = {"label": "L3", "position": [-x, -y, z], "positionStatus": "defined"}
        path = tmp_path / "clicks.mrk.json"
        path.write_text(json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": [point]}]}), encoding="utf-8")
        return path

    def test_clicks_correct_the_result_and_are_noted(self, good: Path, clicks: Path, oracle_weights: Path, tmp_path: Path) -> None:
        words = [str(good), "--weights", str(oracle_weights), "--device", "cpu", "--extended"]
        assert main([*words, "-o", str(tmp_path / "plain.nii.gz"), "--json", str(tmp_path / "plain.json")]) == 0
        assert main([*words, "-o", str(tmp_path / "out.nii.gz"), "--json", str(tmp_path / "out.json"), "--clicks", str(clicks)]) == 0
        plain, out = (np.asarray(nib.load(tmp_path / f"{name}.nii.gz").dataobj) for name in ("plain", "out"))
        assert np.array_equal(out == CASCADE["L3"], plain == CASCADE["L4"])
        notes = [json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["provenance"] for name in ("plain", "out")]
        assert "clicks" not in notes[0]
        assert notes[1]["clicks"][0]["structure"] == "L3"

    def test_clicks_are_not_overwritten(
        self, good: Path, clicks: Path, oracle_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = clicks.read_bytes()
        words = [str(good), "--weights", str(oracle_weights), "-o", str(tmp_path / "out.nii.gz"), "--json", str(clicks)]
        assert main([*words, "--clicks", str(clicks)]) == 1
        assert "would be overwritten" in capsys.readouterr().err
        assert clicks.read_bytes() == before

    def test_clicks_are_for_one_scan(
        self, good: Path, clicks: Path, oracle_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copy(good, tmp_path / "other.nii.gz")
        words = [str(good), str(tmp_path / "other.nii.gz"), "-o", str(tmp_path / "out"), "--weights", str(oracle_weights)]
        assert main([*words, "--clicks", str(clicks)]) == 1
        assert re.search(r"clicks for one scan; found 2 scans", capsys.readouterr().err)
        assert not (tmp_path / "out").exists()

    def test_a_click_that_contradicts_the_scan_is_one_line(
        self, good: Path, oracle_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "clicks.json"
        path.write_text('[{"position_mm": [900, 0, 0], "structure": "L3"}]', encoding="utf-8")
        assert main([str(good), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(oracle_weights), "--clicks", str(path)]) == 1
        (error,) = [line for line in capsys.readouterr().err.splitlines() if ERROR.match(line)]
        assert "good.nii.gz: expected the click L3 at (900.0, 0.0, 0.0) mm" in error

    def test_a_file_without_clicks_is_told(
        self, good: Path, oracle_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "clicks.json"
        path.write_text('{"markups": [{"controlPoints": [{"label": "L3", "positionStatus": "undefined"}]}]}', encoding="utf-8")
        assert main([str(good), "-o", str(tmp_path / "out.nii.gz"), "--weights", str(oracle_weights), "--clicks", str(path)]) == 0
        assert f"cascade: warning: {path}: click-without-effect: there is no click in the file" in capsys.readouterr().err
