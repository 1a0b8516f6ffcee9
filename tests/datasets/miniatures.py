"""Faithful miniatures of the public data sets, written from the phantom, with the faults that downloads have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from cascade.datasets.masks import DRAFT_SCHEME
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CANAL, CASCADE, MRSPINESEG, SPIDER, is_disc
from cascade.phantom import PhantomSpec, render
from cascade.volume import Grid, LabelMap, Volume

SPEC = PhantomSpec(shape=(11, 60, 94), spacing_mm=(5.0, 3.2, 3.1), thoracic=2, noise=0.01)
NINE = tuple(CASCADE.ids)
BODIES = ("L1", "L2", "L3", "L4", "L5")
Edit = Callable[[np.ndarray], np.ndarray]


@cache
def phantom(seed: int = 0) -> tuple[Volume, LabelMap]:
    """A small lumbar spine; another seed is another patient."""
    image, labels = render(PhantomSpec(SPEC.shape, SPEC.spacing_mm, 5, SPEC.thoracic, scoliosis_mm=2.0 + seed, noise=SPEC.noise, seed=seed))
    image.data.setflags(write=False)
    labels.data.setflags(write=False)
    return image, labels


def write(data: np.ndarray, grid: Grid, path: Path) -> None:
    """Write an array in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        write_volume(Volume(np.asarray(data, dtype=np.float32), grid), path)
        return
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.vox2world
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(data).T))
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((lps[:3, :3] / np.asarray(grid.spacing_mm)).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))


def write_dicom(volume: Volume, folder: Path) -> None:
    """Write an image as a DICOM series, one file a sagittal slice."""
    folder.mkdir(parents=True, exist_ok=True)
    asl = volume.reoriented("PIR")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ asl.grid.vox2world
    axes = lps[:3, :3] / np.asarray(asl.grid.spacing_mm)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(asl.grid.shape[2]):
        image = sitk.GetImageFromArray(np.ascontiguousarray(asl.data[:, :, k : k + 1].T).astype(np.int16))
        image.SetSpacing(asl.grid.spacing_mm)
        at = (lps @ [0, 0, k, 1])[:3]
        tags = {
            "0008|0060": "MR",
            "0008|103e": "T2 TSE sag",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.7",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.6",
            "0020|0037": "\\".join(f"{v:.6f}" for v in (*axes[:, 0], *axes[:, 1])),
            "0020|0032": "\\".join(f"{v:.6f}" for v in at),
            "0020|0013": str(k + 1),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"slice{k:03}.dcm"))
        writer.Execute(image)


def chu(folder: Path, cases: Mapping[str, int], *, lying: bool = True, edit: Edit | None = None) -> None:
    """One tag for seven bodies; with `lying` the stored second axis points to the back and the header denies it."""
    for number, seed in cases.items():
        image, labels = phantom(seed)
        mask = np.isin(labels.data, [labels.scheme[n] for n in ("T11", "T12", *BODIES)]).astype(np.uint8)
        step = -1 if lying else 1
        grid = Grid(image.grid.shape, np.diag([*image.grid.spacing_mm, 1.0]))
        write(image.data[:, ::step], grid, folder / f"Img_{number}.nii")
        write((edit(mask) if edit else mask)[:, ::step], grid, folder / f"Img_{number}_Labels.nii")


def alkhalil(folder: Path, patient: str, seed: int = 0, names: Mapping[str, str] | None = None) -> None:
    """Nine masks and three volumes of one patient; `names` gives file names of masks."""
    image, labels = phantom(seed)
    for sequence in ("T1", "T2", "Dixon"):
        write(image.data if sequence == "T2" else 700 - image.data, image.grid, folder / patient / f"{sequence}.nii.gz")
    for name in NINE:
        stem = (names or {}).get(name, name.replace("-", "_"))
        write(labels[name].astype(np.uint8), image.grid, folder / patient / f"{stem}.nii.gz")


def spider(folder: Path, name: str, seed: int = 0, *, partly: bool = False) -> None:
    """MetaImage, tags counted from the bottom, whole vertebrae (the phantom's bodies grown to behind the canal)."""
    image, labels = phantom(seed)
    tags = np.zeros(labels.grid.shape, dtype=np.uint8)
    for structure in (n for n in labels.structures if n in SPIDER and n != CANAL):
        tags[labels[structure]] = SPIDER[structure]
        if not is_disc(structure):
            voxels = np.argwhere(labels[structure])
            x, y, z = voxels.mean(axis=0).round().astype(int)
            tags[x - 1 : x + 2, max(0, y - 18) : y, z - 1 : z + 2] = SPIDER[structure]
    tags[labels[CANAL]] = SPIDER[CANAL]
    if partly:
        tags[tags == SPIDER["T11"]] = 100 + SPIDER["T11"]
    write(image.data, image.grid, folder / "images" / f"{name}.mha")
    write(tags, image.grid, folder / "masks" / f"{name}.mha")


def mrspineseg(folder: Path, number: int, seed: int = 0) -> None:
    """``CaseN`` and ``mask_caseN`` in the challenge's numbers."""
    image, labels = phantom(seed)
    write(image.data, image.grid, folder / f"Case{number}.nii.gz")
    write(labels.to_scheme(MRSPINESEG, lost="drop").data, image.grid, folder / f"mask_case{number}.nii.gz")


def myosegmentum(folder: Path, subject: str, seed: int = 0) -> None:
    """Water and fat volumes and five masks in ``NN/NN/vertebrae``, other organs in ``muscle``."""
    image, labels = phantom(seed)
    place = folder / subject / subject / "vertebrae"
    for contrast in ("WATER", "FAT"):
        write(image.data if contrast == "WATER" else 700 - image.data, image.grid, place / f"{contrast}.mha")
    for name in BODIES:
        write(labels[name].astype(np.uint8), image.grid, place / f"{name}_{subject}.mha")
    write(labels["L1"].astype(np.uint8), image.grid, place.parent / "muscle" / f"psoas_left_{subject}.mha")


def pair(folder: Path, case: str, structures: tuple[str, ...] = NINE, seed: int = 0) -> None:
    """``<case>_image`` and ``<case>_labels`` with some of the nine tags."""
    image, labels = phantom(seed)
    data = np.zeros(labels.grid.shape, dtype=np.uint8)
    for name in structures:
        data[labels[name]] = CASCADE[name]
    write(image.data, image.grid, folder / f"{case}_image.nii.gz")
    write_labels(LabelMap(data, image.grid, CASCADE), folder / f"{case}_labels.nii.gz")


def volumes_ml(labels: LabelMap) -> dict[str, float]:
    """Millilitres of each structure."""
    return {name: float(labels[name].sum()) * labels.grid.voxel_mm3 / 1000 for name in labels.structures}


__all__ = [
    "BODIES",
    "DRAFT_SCHEME",
    "NINE",
    "alkhalil",
    "chu",
    "mrspineseg",
    "myosegmentum",
    "pair",
    "phantom",
    "spider",
    "write",
    "write_dicom",
]
