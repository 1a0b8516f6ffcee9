"""Which scan next: the one in which the cascade is least sure of some level."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from cascade import CascadeError

from lib.service import Service

logger = logging.getLogger(__name__)
#: Keys under which the score of an image lies in the datastore.
CONFIDENCE, LEVEL, WEIGHTS = "cascade_confidence", "cascade_least_confident_level", "cascade_weights"


class ConfidenceScoring(ScoringMethod):
    """Confidence of the least confident level of every scan without a label; 0 where the cascade finds no spine."""

    def __init__(self, service: Service) -> None:
        super().__init__("Confidence of the least confident level")
        self._service = service

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, int]:
        """Score the scans that these weights have not scored; ``max_samples`` limits how many."""
        segmenter = self._service.segmenter()
        weights = "".join(sha256[:8] for sha256 in segmenter.checkpoint_sha256.values())
        images = datastore.get_unlabeled_images()
        fresh = [image for image in images if datastore.get_image_info(image).get(WEIGHTS) != weights]
        fresh = fresh[: int(request.get("max_samples") or len(fresh))]
        for image in fresh:
            confidence, level = self._score(Path(datastore.get_image_uri(image)))
            datastore.update_image_info(image, {CONFIDENCE: confidence, LEVEL: level, WEIGHTS: weights})
        return {"total": len(images), "executed": len(fresh), "skipped": len(images) - len(fresh)}

    def _score(self, image: Path) -> tuple[float, str]:
        try:
            levels = self._service.segment(image).levels
        except CascadeError as error:
            logger.info("%s: %s", image, error)
            return 0.0, ""
        least = min((level for level in levels if not level.touches_border), key=lambda level: level.confidence, default=levels[0])
        return least.confidence, least.name


class LeastConfident(Strategy):
    """The scan without a label whose least confident level is the least confident of all; scans without a score come last."""

    def __init__(self) -> None:
        super().__init__("The scan in which the cascade is least sure of some level")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose; None where every scan has a label."""
        del request
        images = {image: datastore.get_image_info(image) for image in datastore.get_unlabeled_images()}
        if not images:
            return None
        chosen = min(images, key=lambda image: (images[image].get(CONFIDENCE, 2.0), image))
        info = images[chosen]
        return {"id": chosen, "confidence": info.get(CONFIDENCE), "level": info.get(LEVEL)}
