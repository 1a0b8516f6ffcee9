"""The cascade: scan -> spine -> tissues -> named levels -> labels on the scan's grid."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Unpack

from numpy.typing import ArrayLike

from cascade.cohorts.find import jobs_for
from cascade.cohorts.job import MANIFEST
from cascade.cohorts.keep import Keep
from cascade.cohorts.manifest import Outcome
from cascade.cohorts.run import Task, run_cohort
from cascade.cohorts.workers import Workers
from cascade.errors import NoSpineError, NumberingError, WorkersError
from cascade.io.scan import naming_the_file, read_scan
from cascade.labels import CASCADE, LabelScheme, get_scheme
from cascade.measure import Measurement
from cascade.networks.backends import load_networks
from cascade.networks.patches import Network
from cascade.networks.threads import usable_cores
from cascade.networks.views import less_sure, view
from cascade.notices import Notice
from cascade.postproc.clicks.click import Click, Clicks, clicks_to_json, given_clicks
from cascade.postproc.identify import Evidence, identify
from cascade.postproc.naming import Numbering, given_numbering
from cascade.postproc.told import about_labels, not_in_scheme
from cascade.segmentation import NumberingResult, Perception, Segmentation, Wishes, levels_of
from cascade.stage1_spine.locate import locate
from cascade.stage2_levels.follow import classify_whole
from cascade.volume import LabelMap

#: The process whose networks have started threads; one that is forked from it has none of them, and would wait for them for ever.
_processes: set[int] = set()
#: The networks take all cores for one scan; threads that segment others read, name and write meanwhile.
_NETWORKS = threading.Lock()


@dataclass(frozen=True)
class Segmenter:
    """Both networks, loaded once and used for many scans.

    Parameters
    ----------
    stage1, stage2 : Network
        Both of one backend.
    device : str

    Examples
    --------
    >>> segmenter = Segmenter.from_pretrained("cpu")
    >>> sorted(segmenter.checkpoint_sha256)
    ['stage1_spine', 'stage2_levels']
    """

    stage1: Network
    stage2: Network
    device: str = "cpu"

    @classmethod
    def from_pretrained(cls, device: str = "auto", weights: str | os.PathLike[str] | None = None, *, backend: str = "auto") -> Segmenter:
        """Load the packaged weights, or those of a folder.

        Parameters
        ----------
        device : {"auto", "cpu", "cuda", "mps"}
            ``"auto"`` takes a GPU if there is one.
        weights : path, optional
            Folder with ``stage1_spine`` and ``stage2_levels`` as .json and .safetensors.
        backend : {"auto", "torch", "onnx"}
            What runs the networks; ``"auto"`` as `cascade.networks.backends.choose_backend` does for one scan.

        Raises
        ------
        CheckpointError
            A file is missing or altered.
        CascadeError
            The device is not there, or not for this backend.
        MissingExtraError
            The backend is not installed.
        """
        return cls(*load_networks(device, Path(weights) if weights is not None else None, backend))

    def segment(
        self,
        image: Any,
        *,
        affine: ArrayLike | None = None,
        scheme: str | LabelScheme = CASCADE,
        numbering: Numbering | None = None,
        series: str | None = None,
        clicks: Clicks = (),
        repeat: int = 0,
    ) -> Segmentation:
        """Segment one scan.

        Parameters
        ----------
        image : path, Volume, nibabel image, SimpleITK image, MetaTensor, Dataset, sequence of Dataset, or array
            A NIfTI, NRRD or MetaImage file, DICOM folder, zip or multi-frame file, or a scan in memory: a 3-D image of another library,
            the pydicom data sets of one series, or an array with `affine`.
        affine : (4, 4) array, optional
            With an array only: from voxel indices to RAS+ mm.
        scheme : str or LabelScheme
            Numbers of the result. ``"cascade"`` holds L1-L5 and the four discs between them; every other scheme gets
            every structure that was found and that it can number.
        numbering : Numbering, optional
            What is known about the levels.
        series : str, optional
            DICOM series number or SeriesInstanceUID; by default the only series, or the only sagittal T2.
        clicks : sequence of Click, or path
            Corrections, or a file that `cascade.postproc.clicks.click.read_clicks` reads. Without any the result is the automatic one.
        repeat : int
            So often the networks see the scan again, a little changed; measurements have standard deviations then.

        Raises
        ------
        InputError
            The scan or the file of clicks cannot be used.
        NoSpineError
            There is no spine in it.
        NumberingError
            `numbering` or `clicks` contradict themselves or what was found.
        """
        return self.see(image, affine=affine, scheme=scheme, numbering=numbering, series=series, clicks=clicks, repeat=repeat)[1]

    def see(self, image: Any, **wishes: Unpack[Wishes]) -> tuple[Perception, Segmentation]:
        """`segment`, and the networks' answer that the result follows from."""
        target, numbering = get_scheme(wishes.get("scheme", CASCADE)), given_numbering(wishes.get("numbering"))
        given = given_clicks(wishes.get("clicks", ()))
        with naming_the_file(image):
            seen = self.perceive(image, wishes.get("series"), wishes.get("affine"))
            result = self.name(seen, scheme=target, numbering=numbering, clicks=given)
            if repeat := wishes.get("repeat", 0):
                anchored = result.anchoring(numbering or Numbering())
                again = tuple(self._again(seen, range(repeat), scheme=target, numbering=anchored, clicks=given))
                result = dataclasses.replace(result, again=again, provenance=result.provenance | {"repeats": len(again)})
        return seen, result

    def _again(self, seen: Perception, views: Iterable[int], **said: Any) -> Iterator[tuple[Measurement, ...]]:
        """Measure what the networks see in views of a scan, on its own grid; nothing of views without a spine or with other names."""
        for number in views:
            with contextlib.suppress(NoSpineError, NumberingError):
                other = self.perceive(view(seen.scan, number))
                unsure = less_sure(other.evidence.probabilities, number)
                evidence = dataclasses.replace(other.evidence, probabilities=unsure, scan_grid=seen.evidence.scan_grid)
                yield self.name(dataclasses.replace(other, scan=seen.scan, evidence=evidence), **said).measurements

    def map(
        self,
        images: Iterable[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        *,
        executor: Executor | Workers | None = None,
        resume: bool = False,
        root: str | os.PathLike[str] | None = None,
        scheme: str | LabelScheme = CASCADE,
        numbering: Numbering | None = None,
    ) -> Iterator[tuple[Path, Outcome]]:
        """Segment many scans; one that fails does not stop the others.

        Parameters
        ----------
        images : iterable of path
        output : path, optional
            Folder for the labels and ``manifest.jsonl``. Without it the results come back in memory, as `Outcome.result`.
        executor : Executor or Workers, optional
            Any of `concurrent.futures` whose processes start afresh: threads read and write while the networks work; worker processes
            load the weights once each (`cascade.cohorts.workers.WorkerProcesses` survives the death of one);
            ``Client.get_executor()`` of Dask reaches other machines. By default one scan after the other. At most twice as many scans as
            there are cores are submitted and not done, which bounds the memory; `cascade.cohorts.workers.Workers` says another number.
        resume : bool
            Leave out what the manifest says is done, with the same scan, weights and options.
        root : path, optional
            Folder of the images, below which theirs are mirrored in `output`.
        scheme, numbering
            As for `segment`.

        Yields
        ------
        image : Path
        outcome : Outcome
            In the order of `images`; with `output`, as soon as it is in the manifest.

        Raises
        ------
        InputError
            Two scans would have one output.
        OutputError
            The manifest cannot be written.
        WorkersError
            The executor forks (a ProcessPoolExecutor does by default on Linux, up to Python 3.13), or cannot be used any more.
        """
        jobs = jobs_for(map(Path, images), Path(output or ""), Path(root) if root else None)
        task = Task(self, Keep() if output else None, scheme, given_numbering(numbering))
        workers = Workers(executor, lambda: 2 * usable_cores()) if isinstance(executor, Executor) else executor
        for job, outcome in run_cohort(jobs, task, workers, manifest=Path(output) / MANIFEST if output else None, resume=resume):
            yield job.image, outcome

    @property
    def checkpoint_sha256(self) -> dict[str, str]:
        """The identity of each stage's checkpoint."""
        return {c.spec.stage: c.spec.checkpoint_sha256 for c in (self.stage1, self.stage2)}

    @property
    def backend(self) -> str:
        """What runs the networks."""
        return self.stage1.backend

    def perceive(self, image: Any, series: str | None = None, affine: ArrayLike | None = None) -> Perception:
        """Run both networks on one scan; the parameters and errors are those of `segment`."""
        _check_not_forked()
        clock = _Clock()
        scan, source, notices = read_scan(image, series, affine)
        clock.lap("read")
        with _NETWORKS:
            clock.restart()
            _processes.add(os.getpid())
            with _telling_of_the_axes(notices):
                spine = locate(scan, self.stage1)
            clock.lap("stage1_spine")
            tissues, centreline_mm = classify_whole(scan, spine.centreline_mm, self.stage2)
            spine = dataclasses.replace(spine, centreline_mm=centreline_mm)
            clock.lap("stage2_levels")
        grid, naming = scan.grid.reoriented(self.stage2.spec.axcodes), self.stage2.spec.naming_parameters
        evidence = Evidence(tissues.probabilities, tissues.classes, tissues.grid, spine.centreline_mm, grid, naming)
        return Perception(scan, spine, evidence, notices, clock.seconds, source, self.backend)

    def name(
        self, seen: Perception, *, scheme: str | LabelScheme = CASCADE, numbering: Numbering | None = None, clicks: Clicks = ()
    ) -> Segmentation:
        """Name what the networks see, as often as a person says something new about it.

        The parameters and errors are those of `segment`.
        """
        clock, given = _Clock(), given_clicks(clicks)
        evidence = seen.evidence
        with _telling_of_the_axes(seen.notices):
            if given:
                from cascade.postproc.clicks.apply import identify_with_clicks

                found, evidence = identify_with_clicks(evidence, seen.scan.reoriented(self.stage2.spec.axcodes), given, numbering)
            else:
                found = identify(evidence, numbering)
        cut = [name for name, instance in found.structures.items() if instance.touches_border]
        target = get_scheme(scheme).for_chain(found.structures, cut)
        labels = seen.painted(found, evidence, target).reoriented(seen.scan.grid.axcodes)
        clock.lap("postproc")
        return Segmentation(
            labels=LabelMap(labels.data, seen.scan.grid, target),
            scan=seen.scan,
            spine=seen.spine,
            levels=tuple(levels_of(labels, found)),
            numbering=NumberingResult(found.naming.confidence, found.naming.second_best, found.naming.margin),
            warnings=(*seen.notices, *seen.spine.notices(), *about_labels(found.notices, found.structures, target)),
            provenance=self._provenance(seen, clock, given),
            also_found=not_in_scheme(found.structures, target),
            _source=seen.source,
        )

    def _provenance(self, seen: Perception, clock: _Clock, clicks: Sequence[Click]) -> dict[str, Any]:
        from cascade._version import __version__

        grid = seen.scan.grid
        return {
            "version": __version__,
            "checkpoint_sha256": self.checkpoint_sha256,
            "grid": {"shape": grid.shape, "spacing_mm": grid.spacing_mm, "axcodes": grid.axcodes},
            "backend": seen.backend or self.backend,
            "device": self.device,
            "seconds": {**seen.seconds, **clock.seconds},
        } | ({"clicks": clicks_to_json(clicks)} if clicks else {})


def segment(
    image: Any,
    *,
    affine: ArrayLike | None = None,
    scheme: str | LabelScheme = CASCADE,
    device: str = "auto",
    numbering: Numbering | None = None,
    series: str | None = None,
    clicks: Clicks = (),
    repeat: int = 0,
) -> Segmentation:
    """Segment one scan with the packaged weights, which stay loaded for the next call.

    See `Segmenter.segment` for the parameters and errors, `Segmenter.from_pretrained` for `device`.

    Examples
    --------
    >>> from cascade.phantom import render
    >>> scan, _ = render()
    >>> print(*(level.name for level in segment(scan, device="cpu").levels))
    L1 L1-L2 L2 L2-L3 L3 L3-L4 L4 L4-L5 L5
    """
    return _segmenter(device).segment(image, affine=affine, scheme=scheme, numbering=numbering, series=series, clicks=clicks, repeat=repeat)


@cache
def _segmenter(device: str) -> Segmenter:
    return Segmenter.from_pretrained(device)


def _check_not_forked() -> None:
    if _processes and os.getpid() not in _processes:
        raise WorkersError(
            "expected a process that was started afresh; this one was forked after a segmentation, and its networks would never answer; "
            "start it with multiprocessing.get_context('spawn'), or use cascade.cohorts.workers.WorkerProcesses"
        )


@contextlib.contextmanager
def _telling_of_the_axes(notices: Sequence[Notice]) -> Iterator[None]:
    """Where no spine is found, say that nobody knew how the axes run."""
    try:
        yield
    except NoSpineError as error:
        unknown = [notice.text for notice in notices if notice.code == "no-orientation"]
        raise NoSpineError("; ".join([str(error), *unknown])) from error


class _Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = round(now - self._last, 3)
        self._last = now
