"""A transform for pipelines of MONAI: an item of a dictionary in, its labels beside it."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from cascade.labels import CASCADE, LabelScheme
from cascade.pipeline import Segmenter
from cascade.postproc.naming import Numbering


class Loading(TypedDict, total=False):
    """What is loaded: keywords of `cascade.Segmenter.from_pretrained`."""

    device: str
    weights: str | os.PathLike[str] | None
    backend: str


class CascadeSegmentd(MapTransform):
    """Segment the images of an item, and put labels on exactly their grids beside them.

    Parameters
    ----------
    keys : str or sequence of str
        Of images: a path, or a MetaTensor as ``LoadImaged`` gives it, in its own orientation, with or without one channel first. Do not
        resample or scale it before: the networks do that themselves.
    postfix : str
        The labels of ``"image"`` go to ``"image_levels"`` with the default: a MetaTensor of uint8 (uint16 where the scheme needs it), with
        as many channels as the image.
    result_postfix : str, optional
        Where the whole `cascade.Segmentation` goes, e.g. ``"result"``; by default nowhere.
    scheme : str or LabelScheme
    numbering : Numbering, optional
    allow_missing_keys : bool
    device, weights, backend : optional
        As for `cascade.Segmenter.from_pretrained`; the networks are loaded with the first item.

    Raises
    ------
    CascadeError
        From a call, as for `cascade.Segmenter.segment`.

    Examples
    --------
    >>> from monai.transforms import Compose, LoadImaged
    >>> pipeline = Compose([LoadImaged("image"), CascadeSegmentd("image", scheme="verse", device="cpu")])
    >>> pipeline.transforms[1].keys
    ('image',)
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        postfix: str = "levels",
        *,
        result_postfix: str | None = None,
        scheme: str | LabelScheme = CASCADE,
        numbering: Numbering | None = None,
        allow_missing_keys: bool = False,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.postfix, self.result_postfix = postfix, result_postfix
        self.scheme, self.numbering, self.loading = scheme, numbering, loading
        self._segmenter: Segmenter | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with labels; nothing in it is changed."""
        self._segmenter = self._segmenter or Segmenter.from_pretrained(**self.loading)
        item = dict(data)
        for key in self.key_iterator(item):
            result = self._segmenter.segment(item[key], scheme=self.scheme, numbering=self.numbering)
            labels = result.labels.data if getattr(item[key], "ndim", 3) == 3 else result.labels.data[np.newaxis]
            affine = torch.as_tensor(np.array(result.labels.grid.vox2world))
            item[f"{key}_{self.postfix}"] = MetaTensor(torch.as_tensor(np.ascontiguousarray(labels)), affine=affine)
            if self.result_postfix:
                item[f"{key}_{self.result_postfix}"] = result
        return item
