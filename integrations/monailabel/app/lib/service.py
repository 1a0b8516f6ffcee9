"""The cascade as the tasks use it: loaded once, looked again only at another scan, reloaded where training published weights."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from cascade import Click, Segmentation, Segmenter
from cascade.labels import get_scheme
from cascade.networks.checkpoint import packaged_weights
from cascade.networks.spec import CASCADE_STAGES
from cascade.pipeline import Perception
from cascade.terminology import colour_of


class Service:
    """A `Segmenter` that keeps what it saw of the last scan, so that a click costs no network.

    Parameters
    ----------
    published : Path
        Where training publishes weights.
    weights : Path, optional
        Weights to use as long as nothing is published (default: the packaged ones).
    scheme : str
        Of the results.
    device : str
    """

    def __init__(self, published: Path, weights: Path | None = None, scheme: str = "cascade-extended", device: str = "auto") -> None:
        self.published, self.scheme, self.device = published, get_scheme(scheme), device
        self._given = weights
        self._lock = threading.Lock()
        self._loaded: tuple[object, Segmenter] | None = None
        self._seen: tuple[object, Perception] | None = None

    @property
    def labels(self) -> Mapping[str, int]:
        """Names and numbers of all structures."""
        return dict(self.scheme.ids)

    @property
    def colours(self) -> Mapping[str, tuple[int, int, int]]:
        """Red, green and blue of all structures."""
        return {name: colour_of(name) for name in self.scheme.ids}

    @property
    def weights(self) -> Path:
        """The folder of the weights in use."""
        complete = all((self.published / f"{stage}.json").is_file() for stage in CASCADE_STAGES)
        return self.published if complete else self._given or packaged_weights()

    def segmenter(self) -> Segmenter:
        """The networks, loaded again if their files changed."""
        version = (self.weights, *((self.weights / f"{stage}.json").stat().st_mtime_ns for stage in CASCADE_STAGES))
        if self._loaded is None or self._loaded[0] != version:
            self._loaded = (version, Segmenter.from_pretrained(self.device, self.weights))
        return self._loaded[1]

    def perceive(self, image: Path) -> Perception:
        """What the networks see in a scan; that of the last scan is kept."""
        with self._lock:
            segmenter = self.segmenter()
            key = (image, image.stat().st_mtime_ns, id(segmenter))
            if self._seen is None or self._seen[0] != key:
                self._seen = (key, segmenter.perceive(image))
            return self._seen[1]

    def segment(self, image: Path, clicks: Sequence[Click] = ()) -> Segmentation:
        """Segment a scan, with clicks if there are any."""
        seen = self.perceive(image)
        return self.segmenter().name(seen, scheme=self.scheme, clicks=clicks)
