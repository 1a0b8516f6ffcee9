"""Segment a study: each series is perceived once, one numbering is chosen, all are named by it, axial slices are told by the sagittal."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade.cohorts.job import Job
from cascade.errors import CascadeError, InputError, NumberingError
from cascade.labels import CASCADE, SACRUM, LabelScheme, get_scheme
from cascade.notices import Notice, count_of, rounded_down
from cascade.pipeline import Segmenter
from cascade.postproc.clicks.apply import identify_with_clicks
from cascade.postproc.clicks.click import Click, Clicks, given_clicks
from cascade.postproc.identify import identify
from cascade.postproc.naming import Numbering, given_numbering
from cascade.segmentation import NumberingResult, Perception, Segmentation
from cascade.study.find import Part, Stack, StudyFiles, across_slices, find_study
from cascade.study.numbering import KNOWN_BETTER, Agreement, Witness, agree, shared_numbering
from cascade.study.result import AxialStack, Study, StudySeries
from cascade.study.slices import Guide, Slice


@dataclass(eq=False)
class _Read:
    """A series as far as it was read, perceived and named."""

    part: Part
    clicks: tuple[Click, ...] = ()
    stacks: list[Stack] = field(default_factory=list)
    seen: Perception | None = None
    witness: Witness | None = None
    numbering: Numbering = field(default_factory=Numbering)
    result: Segmentation | None = None
    axial: list[AxialStack] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def leave_out(self, why: str) -> None:
        """Note why it was not segmented."""
        text = _without_folders(why, self.part.origin).removeprefix(f"{self.part.origin.name} ({self.part.name}): ")
        self.notices.append(Notice("series-not-segmented", None, f"{self.part.name}: {text}"))


def segment_study(
    study: Any,
    *,
    scheme: str | LabelScheme = CASCADE,
    device: str = "auto",
    numbering: Numbering | None = None,
    clicks: Mapping[str, Clicks] | None = None,
    segmenter: Segmenter | None = None,
) -> Study:
    """Segment all series of one patient, with one numbering.

    Parameters
    ----------
    study : path or StudyFiles
        The DICOM of one study (folder or zip), or a folder of NIfTI, NRRD or MetaImage files of one patient. What
        `cascade.study.find.find_studies` finds, `cascade.study.find.limited` to some series.
    scheme : str or LabelScheme
        As for `cascade.segment`.
    device : {"auto", "cpu", "cuda", "mps"}
    numbering : Numbering, optional
        What is known about the levels: the count, and anchors, which count for every series.
    clicks : mapping of str to clicks, optional
        Corrections by the name of the series they were made in. A level that one names counts as an anchor for all.
    segmenter : Segmenter, optional
        Networks that are loaded already; `device` is of no use then.

    Raises
    ------
    InputError
        There is not exactly one study, or no series of it can be segmented.
    NumberingError
        `numbering` contradicts itself or what was found.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from cascade.io.nifti import write_volume
    >>> from cascade.phantom import PhantomSpec, render
    >>> with TemporaryDirectory() as folder:
    ...     write_volume(render(PhantomSpec((13, 152, 186), (5.0, 1.6, 1.6)))[0], Path(folder, "t2.nii.gz"))
    ...     study = segment_study(folder, device="cpu")
    >>> print(*(level.name for level in study["t2"].result.levels))
    L1 L1-L2 L2 L2-L3 L3 L3-L4 L4 L4-L5 L5
    """
    told = given_numbering(numbering) or Numbering()
    files = study if isinstance(study, StudyFiles) else find_study(Path(study))
    given = {name: given_clicks(each) for name, each in (clicks or {}).items()}
    if strangers := sorted(set(given) - {part.name for part in files.parts}):
        names = ", ".join(part.name for part in files.parts)
        raise InputError(f"{files.origin}: expected clicks for a series of the study ({names}); found {strangers[0]}")
    networks = segmenter or Segmenter.from_pretrained(device)
    reads = [_perceived(part, networks, given.get(part.name, ())) for part in sorted(files.parts, key=lambda part: part.name)]
    return _segmented(files, reads, networks, get_scheme(scheme), told)


def _without_folders(text: str, origin: Path) -> str:
    """An error as the results of a study tell it: folders above a file may be named after patients."""
    return Job(origin, Path()).without_folders(text)


def _segmented(files: StudyFiles, reads: Sequence[_Read], segmenter: Segmenter, scheme: LabelScheme, numbering: Numbering) -> Study:
    sagittal = [read for read in reads if read.witness is not None]
    _check_anchors(files, sagittal, numbering)
    groups = _by_frame(sagittal)
    agreements = [agree([read.witness for read in group if read.witness], _with_clicks(numbering, group)) for group in groups]
    for read in (read for group in groups[1:] for read in group):
        text = f"{read.part.name} is named by itself: it has other coordinates (frame of reference) than the other series"
        read.notices.append(Notice("series-not-matched", None, text))
    for agreed, group in zip(agreements, groups, strict=True):
        for read in group:
            _name(read, agreed, segmenter, scheme)
    for frame, axial in itertools.groupby(sorted(reads, key=lambda read: read.part.frame), key=lambda read: read.part.frame):
        _tell_all_slices(list(axial), [read for read in sagittal if read.part.frame == frame], segmenter, scheme)
    if not any(read.result or read.axial for read in reads):
        raise InputError(
            f"{files.origin}: expected a series that shows a spine; found none: {'; '.join(n.text for r in reads for n in r.notices)}"
        )
    return _study(files, reads, agreements[0] if agreements else None)


def _perceived(part: Part, segmenter: Segmenter, clicks: tuple[Click, ...]) -> _Read:
    """Read a series, and run the networks if it is one for them."""
    read = _Read(part, clicks, notices=list(part.notices))
    try:
        read.stacks = part.read()
        mine = [stack for stack in read.stacks if stack.plane in ("sagittal", "any")]
        if mine:
            stack = max(mine, key=lambda s: s.scan.data.size)
            read.seen = _seen(stack, segmenter)
            read.witness = Witness(part.name, read.seen.evidence, across_slices(stack.scan.grid))
            read.witness.laid  # noqa: B018  a spine without vertebrae is none
        elif not any(stack.plane == "axial" for stack in read.stacks):
            read.leave_out("its slices are neither sagittal nor axial")
    except CascadeError as problem:
        read.witness = None
        read.leave_out(str(problem).removeprefix("image: "))
    return read


def _seen(stack: Stack, segmenter: Segmenter) -> Perception:
    seen = segmenter.perceive(stack.scan)
    notices = stack.source.notices if stack.source else ()
    return dataclasses.replace(seen, source=stack.source, notices=(*notices, *seen.notices))


def _check_anchors(files: StudyFiles, reads: Sequence[_Read], numbering: Numbering) -> None:
    hit = {name for read in reads if read.witness for name in read.witness.hits(numbering).anchors}
    for name, (x, y, z) in numbering.anchors.items():
        if name not in hit:
            raise NumberingError(
                f"{files.origin}: expected the anchor {name}=({x:g}, {y:g}, {z:g}) mm in a vertebra or disc of a series; "
                "it lies in none; move the point"
            )


def _with_clicks(numbering: Numbering, reads: Iterable[_Read]) -> Numbering:
    """What a person knows, with the levels that clicks in these series name."""
    named = (click for read in reads for click in read.clicks if click.is_level and click.structure != SACRUM)
    return dataclasses.replace(numbering, anchors={**{click.structure: click.position_mm for click in named}, **numbering.anchors})


def _by_frame(reads: Iterable[_Read]) -> list[list[_Read]]:
    """Series that share their coordinates; the largest group first."""
    groups: dict[str, list[_Read]] = {}
    for read in reads:
        groups.setdefault(read.part.frame, []).append(read)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].part.name))


def _name(read: _Read, agreed: Agreement, segmenter: Segmenter, scheme: LabelScheme) -> None:
    """Name one series by what all agreed upon; alone, where it has no part in it."""
    if read.seen is None or read.witness is None:
        return
    name = read.part.name
    shared = name in agreed.column.places and len(agreed.column.places) > 1
    read.numbering = shared_numbering(read.witness, agreed, read.clicks) if shared else read.witness.hits(agreed.known)
    read.notices += _notices(name, agreed)
    try:
        result = segmenter.name(read.seen, scheme=scheme, numbering=read.numbering, clicks=read.clicks)
    except NumberingError as problem:
        if not shared:
            raise
        read.numbering, shared = Numbering(count=agreed.known.count), False
        read.notices.append(Notice("series-disagree", None, f"{name} is named by itself, as it does not fit the others: {problem}"))
        result = segmenter.name(read.seen, scheme=scheme, numbering=read.numbering, clicks=read.clicks)
    result = _as_agreed(result, agreed) if shared else result
    read.result = dataclasses.replace(result, warnings=(*result.warnings, *read.notices))


def _as_agreed(result: Segmentation, agreed: Agreement) -> Segmentation:
    """A result that was named by anchors, with what the study knows of the names: how sure they are, and what to know about them."""
    sure = NumberingResult(agreed.confidence, agreed.naming.second_best, agreed.naming.margin)
    levels = tuple(
        dataclasses.replace(each, confidence=float(rounded_down(each.confidence * agreed.confidence, 4))) for each in result.levels
    )
    own = [notice for notice in result.warnings if notice.code not in KNOWN_BETTER]
    return dataclasses.replace(result, numbering=sure, levels=levels, warnings=(*own, *agreed.notices))


def _notices(name: str, agreed: Agreement) -> Iterator[Notice]:
    column = agreed.column
    if name in column.strangers:
        yield Notice("series-not-matched", None, f"{name} is named by itself: {column.strangers[name]}")
    if name in column.moved_mm:
        yield Notice("series-moved", None, f"in {name} the patient lies {column.moved_mm[name]:.0f} mm from where the other series show it")
    if name in agreed.disagreeing:
        names = ", ".join(each or "?" for each in agreed.disagreeing[name])
        yield Notice("series-disagree", None, f"{name} alone would be named otherwise, from the top down: {names}")


# ---------------------------------------------------------------------------------------------- axial slices


def _tell_all_slices(reads: Iterable[_Read], sagittal: Sequence[_Read], segmenter: Segmenter, scheme: LabelScheme) -> None:
    """Tell what the axial slices of all series show by the sagittal ones that have the same coordinates."""
    axial = [read for read in reads if any(stack.plane == "axial" for stack in read.stacks)]
    guides = [guide for read in _best_first(sagittal) if (guide := _guide(read))] if axial else []
    for read in axial:
        _tell_slices(read, guides, segmenter, scheme)


def _tell_slices(read: _Read, guides: Sequence[Guide], segmenter: Segmenter, scheme: LabelScheme) -> None:
    """Tell what the axial slices of a series show, by the sagittal result that reaches most of each stack."""
    beyond = 0
    for number, stack in enumerate((stack for stack in read.stacks if stack.plane == "axial"), start=1):
        told = _told(stack, guides or _own_guide(read, stack, segmenter))
        if told is None:
            continue
        guide, rows = told
        instances = stack.instances or ("",) * len(rows)
        rows = [
            dataclasses.replace(row, series=read.part.name, stack=number, instance=instance)
            for row, instance in zip(rows, instances, strict=True)
        ]
        beyond += sum(row.structure is None for row in rows)
        labels = guide.labels(stack.scan.grid, scheme.for_chain(guide.found.structures))
        read.axial.append(AxialStack(number, labels, stack.source, tuple(rows), guide.series))
    if beyond:
        text = f"{read.part.name}: no sagittal result reaches {count_of(beyond, 'slice')}; what is shown there is not told"
        read.notices.append(Notice("slices-not-reached", None, text))


def _told(stack: Stack, guides: Sequence[Guide]) -> tuple[Guide, list[Slice]] | None:
    """The guide that reaches most slices of a stack, of several the widest, and what it tells of them; None without guides."""
    told = [(guide, list(guide.where(stack.scan.grid))) for guide in guides]
    return max(told, key=lambda pair: (sum(row.structure is not None for row in pair[1]), pair[0].width_mm), default=None)


def _own_guide(read: _Read, stack: Stack, segmenter: Segmenter) -> list[Guide]:
    """What the networks make of axial slices alone, which they were not trained on; none if that is nothing."""
    try:
        seen = _seen(stack, segmenter)
        found = identify(seen.evidence)
    except CascadeError as problem:
        if not any(notice.code == "series-not-segmented" for notice in read.notices):
            read.leave_out(f"axial slices without a sagittal series in the same coordinates; alone, {str(problem).removeprefix('image: ')}")
        return []
    text = f"{read.part.name} is axial, and no sagittal series has its coordinates: names and labels are a guess from axial slices alone"
    read.notices.append(Notice("axial-alone", None, text))
    read.notices += (dataclasses.replace(notice, text=f"{read.part.name}: {notice.text}") for notice in found.notices)
    return [Guide(read.part.name, found, seen.evidence)] if len(found.structures) > 1 else []


def _best_first(reads: Iterable[_Read]) -> list[_Read]:
    """Named series; those that show most whole structures first, then those of finer voxels."""

    def rank(read: _Read) -> tuple[Any, ...]:
        whole = sum(not level.touches_border for level in read.result.levels) if read.result else 0
        voxel = read.result.scan.grid.voxel_mm3 if read.result else 0.0
        return -whole, round(voxel, 3), read.part.name

    return sorted((read for read in reads if read.result), key=rank)


def _guide(read: _Read) -> Guide | None:
    if read.seen is None:
        return None
    evidence = read.seen.evidence
    if read.clicks:
        scan = read.seen.scan.reoriented("RAS")
        found, evidence = identify_with_clicks(evidence, scan, read.clicks, read.numbering)
    else:
        found = identify(evidence, read.numbering)
    return Guide(read.part.name, found, evidence) if len(found.structures) > 1 else None


def _study(files: StudyFiles, reads: Sequence[_Read], agreed: Agreement | None) -> Study:
    problems = [Notice("series-not-segmented", None, _without_folders(str(problem), files.origin)) for problem in files.problems]
    numbering = NumberingResult(agreed.confidence, agreed.naming.second_best, agreed.naming.margin) if agreed else None
    series = tuple(StudySeries(read.part.name, read.part.title, read.result, tuple(read.axial), tuple(read.notices)) for read in reads)
    return Study(series, numbering, (*(agreed.notices if agreed else ()), *problems))
