"""Labelled scans, prepared once and held in memory, from which random patches are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cascade.errors import CascadeError, InputError
from cascade.io.cases import Case
from cascade.io.scan import finite
from cascade.io.schemes import doubt
from cascade.networks.preprocess import detailed_input
from cascade.networks.spec import StageSpec
from cascade.notices import Notice
from cascade.points import NamedPoints, near_points, read_points
from cascade.training.augmentation import bent_grid, sample_patch
from cascade.training.recipe import PatchChoice, Recipe
from cascade.training.remnant import Junction, find_junction
from cascade.training.sampling import Source
from cascade.volume import Grid

#: Turns labels on the working grid, and named points if there are any, into bit masks of allowed classes, same shape, uint8.
Target = Callable[..., NDArray[np.uint8]]


@dataclass(frozen=True)
class Example:
    """A prepared case.

    Parameters
    ----------
    case : Case
    image : Tensor of float16, (x, y, z)
        On a grid of its own, so that patches and their labels are interpolated once, as a scan is in use.
    allowed : Tensor of uint8, (x, y, z)
    grid : Grid
        Of both.
    centres : (n, 3) array of int16
        Voxels of labelled structures, or near the named points, around which patches are taken.
    points : mapping of str to (3,) array
        What is known of names beside the labels, in RAS+ mm.
    notices : tuple of Notice
        What was noticed, for the user.
    junction : Junction, optional
        Where S1 ends below; measured by `with_junctions`.
    """

    case: Case
    image: Tensor
    allowed: Tensor
    grid: Grid
    centres: NDArray[np.int16]
    notices: tuple[Notice, ...] = ()
    points: NamedPoints = field(default_factory=dict)
    junction: Junction | None = None

    @property
    def is_slice(self) -> bool:
        """Whether the scan is a single slice, which is taken to go on unchanged as far as a patch reaches."""
        return min(self.grid.shape) == 1


def prepare_examples(cases: Sequence[Case], spec: StageSpec, target: Target) -> tuple[list[Example], list[str]]:
    """Load and prepare all cases; return the examples and one line about each case that could not be used.

    Raises
    ------
    InputError
        No case can be used.
    """

    def attempt(case: Case) -> Example | str:
        try:
            return _prepare(case, spec, target)
        except CascadeError as error:
            return f"{case.dataset} {case.name}: {error}"

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(attempt, cases))
    examples = [result for result in results if isinstance(result, Example)]
    problems = [result for result in results if isinstance(result, str)]
    if not examples:
        raise InputError(f"expected at least one usable training case; {'; '.join(problems[:3])}")
    return examples, problems


def _prepare(case: Case, spec: StageSpec, target: Target) -> Example:
    scan, labels = case.load()
    scan, notices = finite(scan)
    if words := doubt(labels.data, labels.grid, case.scheme):
        notices = (*notices, Notice("scheme-doubtful", None, words))
    volume = detailed_input(scan, spec)
    points = read_points(case.points, case.scheme) if case.points else {}
    on_grid = labels.reoriented(spec.axcodes).resampled(volume.grid)
    allowed = _as_known(target(on_grid, points) if points else target(on_grid), len(spec.classes))
    centres = np.argwhere((allowed & (allowed - 1) == 0) & (allowed > 1)) if case.has_labels else near_points(points, volume.grid)
    if not len(centres):
        raise InputError("expected labelled structures or points in the scan; none is left at the working spacing")
    keep = np.random.default_rng(0).permutation(len(centres))[:20_000]
    image = torch.from_numpy(volume.data).half()
    return Example(case, image, torch.from_numpy(allowed), volume.grid, centres[keep].astype(np.int16), notices, points)


def with_junctions(examples: Sequence[Example], recipe: Recipe) -> list[Example]:
    """Measure where S1 ends, once, if the recipe draws remnants there and the network knows sacrum and discs."""
    classes = recipe.spec.classes
    if not recipe.augmentation.remnant_probability or not {"sacrum", "disc"} <= set(classes):
        return list(examples)
    sacrum, disc = (1 << classes.index(name) for name in ("sacrum", "disc"))
    return [replace(one, junction=find_junction(one.allowed.numpy(), sacrum, disc, one.grid.spacing_mm)) for one in examples]


def _as_known(allowed: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Take for background what a network with fewer classes does not know."""
    known = np.uint8((1 << classes) - 1)
    return np.where(allowed > known, (allowed & known) | 1, allowed).astype(np.uint8)


def draw_batch(examples: Sequence[Example], recipe: Recipe, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
    """Draw the patches of one step; the same step of the same recipe is always the same batch.

    Where several ranks train together, each draws other patches of the same size. How often the cases of a small
    data set are drawn is the recipe's `balance`.

    Returns
    -------
    images : Tensor of float32, (batch, 1, x, y, z)
    allowed : Tensor of uint8, (batch, x, y, z)
    """
    rng = np.random.default_rng((recipe.seed, step))
    choice = recipe.patches[rng.integers(len(recipe.patches))]
    if rank:
        rng = np.random.default_rng((recipe.seed, step, rank))
    chosen = rng.choice(len(examples), choice.batch, p=_probabilities(examples, recipe.balance))
    pairs = [_patch(examples[i], choice, recipe, rng) for i in chosen]
    images, masks = zip(*pairs, strict=True)
    return torch.stack(images), torch.stack(masks)


def _probabilities(examples: Sequence[Example], balance: float) -> NDArray[np.float64]:
    names = [example.case.dataset for example in examples]
    weights = np.array([names.count(name) ** -balance for name in names])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _patch(example: Example, choice: PatchChoice, recipe: Recipe, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    size, spacing = np.array(example.image.shape), np.asarray(example.grid.spacing_mm)
    centre = example.centres[rng.integers(len(example.centres))].astype(float)
    centre += rng.uniform(-1, 1, 3) * recipe.jitter_mm / spacing
    patch_mm = np.asarray(choice.shape) * recipe.spec.spacing_mm
    room = np.maximum((size - patch_mm / spacing) / 2, 2.0)
    centre = np.clip(centre, (size - 1) / 2 - room, (size - 1) / 2 + room)
    offsets_mm = bent_grid(choice.shape, recipe.spec.spacing_mm, recipe.augmentation, rng)
    voxels = offsets_mm / torch.tensor(example.grid.spacing_mm) + torch.from_numpy(centre.astype(np.float32))
    classes = recipe.spec.classes
    disc = 1 << classes.index("disc") if "disc" in classes else 0
    return sample_patch(Source(example.image.float(), example.allowed, disc), voxels, recipe.augmentation, rng, example.junction)
