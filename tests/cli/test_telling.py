"""What the command says, to whom, and what it does where nobody listens."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import cascade
from cascade.cli import segment as command
from cascade.cli.options import SegmentOptions
from cascade.errors import NoSpineError
from cascade.io.extras import EXTRAS
from cascade.io.nifti import write_volume
from cascade.labels import CASCADE, SCHEMES
from cascade.notices import Notice
from cascade.segmentation import Segmentation
from cascade.volume import Volume
from tests.conftest import AnswerWith
from tests.phantom_result import phantom_result

FOUND = phantom_result()
RESULT = dataclasses.replace(FOUND, labels=FOUND.labels.to_scheme(CASCADE, lost="drop"), also_found=("T12", "L5-S1", "sacrum"))
DOUBT = Notice("numbering-uncertain", None, "two numberings are about as likely")
NOTE = Notice("few-slices", None, "only 6")


class Answers:
    """Stands in for `Segmenter`: doubtful scans have a warning, bad ones no spine."""

    checkpoint_sha256: ClassVar = {"stage1_spine": "0" * 64, "stage2_levels": "1" * 64}
    backend: ClassVar = "torch"
    device = "cpu"

    def segment(self, image: Path, **_: Any) -> Segmentation:
        if "bad" in image.name:
            raise NoSpineError(f"{image}: no spine found")
        return dataclasses.replace(RESULT, warnings=(DOUBT,)) if "doubtful" in image.name else RESULT


@pytest.fixture
def folder(tmp_path: Path, answer_with: AnswerWith) -> Path:
    """Four scans, of which one has a warning and one cannot be segmented."""
    answer_with(Answers())
    part = (slice(0, 6),) * 3
    for name in ("a", "b", "bad", "doubtful"):
        write_volume(Volume(RESULT.scan.data[part].copy(), RESULT.scan.grid.cropped(part)), tmp_path / "in" / f"{name}.nii")
    return tmp_path / "in"


def strict_of(*words: str) -> tuple[frozenset[str] | None, tuple[Path, ...]]:
    options = SegmentOptions.parse(words)
    return options.strict, options.request.inputs


class TestTheEnd:
    def test_several_scans_are_summed_up_in_one_line_that_says_where_to_look(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([str(folder), "-o", str(tmp_path / "out")]) == 1
        *_, found, last = capsys.readouterr().err.splitlines()
        assert last == f"cascade: 4 scans: 3 done, 1 failed, 1 with warnings; see {tmp_path / 'out' / 'manifest.jsonl'}"
        assert found == "cascade: also found: T12, L5-S1, sacrum; --extended writes them"

    def test_with_reports_it_is_their_index_that_is_looked_at(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command.main([str(folder), "-o", str(tmp_path / "out"), "--report", str(tmp_path / "pages")])
        assert capsys.readouterr().err.splitlines()[-1].endswith(f"; see {tmp_path / 'pages' / 'index.html'}")

    def test_a_single_scan_is_not_counted(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main([str(folder / "a.nii"), "-o", str(tmp_path / "l.nii")]) == 0
        assert capsys.readouterr().err == "cascade: also found: T12, L5-S1, sacrum; --extended writes them\n"

    def test_with_every_structure_nothing_is_left_to_be_named(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([str(folder / "a.nii"), "-o", str(tmp_path / "l.nii"), "--extended"]) == 0
        assert capsys.readouterr().err == ""

    def test_what_was_found_besides_is_in_the_json_and_the_manifest(self, folder: Path, tmp_path: Path) -> None:
        command.main([str(folder), "-o", str(tmp_path / "out"), "--json", str(tmp_path / "json")])
        assert json.loads((tmp_path / "json" / "a.json").read_text(encoding="utf-8"))["also_found"] == ["T12", "L5-S1", "sacrum"]
        lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {line["output"]: len(line["also_found"]) for line in lines} == {"a.nii": 3, "b.nii": 3, "bad.nii": 0, "doubtful.nii": 3}


class TestLoudness:
    def test_quiet_prints_errors_only(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main([str(folder), "-o", str(tmp_path / "out"), "--quiet"]) == 1
        out, err = capsys.readouterr()
        assert (out, err) == ("", f"cascade: error: {folder / 'bad.nii'}: no spine found\n")

    def test_verbose_says_what_runs_where_and_how_long_it_takes(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([str(folder / "a.nii"), "-o", str(tmp_path / "l.nii"), "-v"]) == 0
        first, seconds, _ = capsys.readouterr().err.splitlines()
        assert first == f"cascade: {cascade.__version__} in torch on cpu, stage1_spine {'0' * 12}, stage2_levels {'1' * 12}"
        assert seconds.startswith(f"cascade: {folder / 'a.nii'}: ")
        assert seconds.endswith(" s")


class TestRanks:
    @pytest.fixture
    def scan(self, folder: Path, answer_with: AnswerWith) -> Path:
        """A scan with a note and an alarm."""
        segmenter = Answers()
        segmenter.segment = lambda *_, **__: dataclasses.replace(RESULT, warnings=(NOTE, DOUBT))  # type: ignore[method-assign]
        answer_with(segmenter)
        return folder / "a.nii"

    def test_notes_are_printed_only_when_asked_for(self, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = [str(scan), "-o", str(tmp_path / "l.nii"), "--extended"]
        command.main(words)
        assert capsys.readouterr().err == f"cascade: alarm: {scan}: numbering-uncertain: two numberings are about as likely\n"
        command.main([*words, "-v"])
        assert f"cascade: note: {scan}: few-slices: only 6\n" in capsys.readouterr().err

    def test_the_json_holds_them_all_with_their_ranks(self, scan: Path, tmp_path: Path) -> None:
        command.main([str(scan), "-o", str(tmp_path / "l.nii"), "--json", str(tmp_path / "l.json")])
        written = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))["warnings"]
        assert [(each["code"], each["rank"]) for each in written] == [("few-slices", "note"), ("numbering-uncertain", "alarm")]

    @pytest.mark.parametrize(
        ("warnings", "codes", "status"), [((NOTE,), "", 0), ((NOTE,), "=few-slices", 1), ((DOUBT,), "", 1), ((DOUBT,), "=few-slices", 0)]
    )
    def test_strict_goes_by_rank_unless_codes_are_named(
        self, warnings: tuple[Notice, ...], codes: str, status: int, folder: Path, tmp_path: Path, answer_with: AnswerWith
    ) -> None:
        segmenter = Answers()
        segmenter.segment = lambda *_, **__: dataclasses.replace(RESULT, warnings=warnings)  # type: ignore[method-assign]
        answer_with(segmenter)
        assert command.main([str(folder / "a.nii"), "-o", str(tmp_path / "l.nii"), f"--strict{codes}"]) == status


class TestStrict:
    def test_alone_it_does_not_swallow_the_scan(self) -> None:
        assert strict_of("--strict", "scan.nii.gz", "-o", "l.nii.gz") == (frozenset(), (Path("scan.nii.gz"),))

    @pytest.mark.parametrize("words", [["--strict=few-slices,not-finite"], ["--strict", "few-slices,not-finite"]])
    def test_codes_come_with_or_without_an_equals_sign(self, words: list[str]) -> None:
        assert strict_of(*words, "scan.nii.gz", "-o", "l.nii.gz") == (frozenset({"few-slices", "not-finite"}), (Path("scan.nii.gz"),))


class TestOutput:
    def test_a_folder_may_have_a_suffix_if_it_is_there_or_ends_in_a_slash(self, tmp_path: Path) -> None:
        (tmp_path / "trial.two").mkdir()
        for output in (f"{tmp_path}/trial.one/", f"{tmp_path}/trial.two", f"{tmp_path}/2026.07", f"{tmp_path}/.hidden"):
            assert SegmentOptions.parse(["scan.nii", "-o", output]).request.output == Path(output)

    @pytest.mark.parametrize(
        ("name", "way"),
        [("l.mhd", ".mha holds"), ("l.stl", "--mesh DIR"), ("l.png", "--picture FILE"), ("l.tif", "end the name of a folder")],
    )
    def test_a_file_of_another_kind_is_refused_with_the_way_out(self, name: str, way: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            SegmentOptions.parse(["scan.nii", "-o", name])
        assert way in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "module"),
        [(["-o", "l.mha"], "SimpleITK"), (["-o", "l.dcm"], "highdicom"), (["-o", "l", "--scheduler", "tcp://x:1"], "distributed")],
    )
    def test_a_package_that_is_missing_is_told_before_anything_is_loaded(
        self, words: list[str], module: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(folder.parent)
        monkeypatch.setitem(sys.modules, module, None)
        assert command.main([str(folder / "a.nii"), *words, "--weights", "nowhere"]) == 1
        assert (
            f'expected the package {module}; it is not installed; in the clone of cascade: pip install -c constraints.txt ".['
            in capsys.readouterr().err
        )


class TestInfo:
    def test_people_read_what_is_installed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--info"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"cascade {cascade.__version__}; Python {sys.version_info.major}.")
        assert "L1=1 L2=2" in text
        assert all(f"\n  {name} " in text for name in [*EXTRAS, *SCHEMES])

    def test_programs_read_the_same(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--info", "--json"]) == 0
        known = json.loads(capsys.readouterr().out)
        assert known["schemes"] == {name: dict(scheme.ids) for name, scheme in SCHEMES.items()}
        assert set(known["extras"]) == set(EXTRAS)
        assert {"title": "MetaImage", "reads": [".mha", ".mhd"], "writes": [".mha"], "extra": "itk"} in known["formats"]

    def test_it_names_the_checkpoints_as_they_are_loaded(self, oracle_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--info", "--json", "--weights", str(oracle_weights)]) == 0
        told = json.loads(capsys.readouterr().out)["weights"]
        assert told == {
            "folder": str(oracle_weights),
            "checkpoint_sha256": cascade.Segmenter.from_pretrained("cpu", oracle_weights).checkpoint_sha256,
        }

    def test_weights_that_are_not_there_are_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--info", "--weights", str(tmp_path)]) == 1
        assert capsys.readouterr().err.startswith(f"cascade: error: {tmp_path / 'stage1_spine.json'}: expected the spec of a checkpoint")


class TestNobodyListens:
    """In a process of its own, whose stdout is what a shell makes of it."""

    def run(self, scan: Path, out: Path, weights: Path, stdout: Any) -> tuple[int, str]:
        words = [sys.executable, "-m", "cascade.cli.segment", str(scan), "-o", str(out), "--weights", str(weights), "--device", "cpu"]
        with subprocess.Popen(words, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
            if process.stdout:
                process.stdout.close()
            assert process.stderr is not None
            text = process.stderr.read()
        return process.returncode, text

    @pytest.mark.parametrize("where", ["closed pipe", "/dev/full"])
    def test_the_labels_are_written_and_the_end_is_quiet(self, where: str, labelled: Path, oracle_weights: Path, tmp_path: Path) -> None:
        if where == "/dev/full" and not Path(where).exists():
            pytest.skip("there is no /dev/full here")
        scan = Path(shutil.copy(labelled / "a_image.nii.gz", tmp_path / "t2.nii.gz"))
        if where == "closed pipe":
            status, err = self.run(scan, tmp_path / "l.nii.gz", oracle_weights, subprocess.PIPE)
        else:
            with Path(where).open("wb") as full:
                status, err = self.run(scan, tmp_path / "l.nii.gz", oracle_weights, full)
        assert status == 0
        assert (tmp_path / "l.nii.gz").is_file()
        assert [line for line in err.splitlines() if not line.startswith("cascade: ")] == []
