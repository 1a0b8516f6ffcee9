"""The cascade as a MONAI Label app.

    monailabel start_server --app integrations/monailabel/app --studies FOLDER [--conf scheme verse] [--conf device cpu]

See docs/monailabel.md.
"""

from __future__ import annotations

from pathlib import Path

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random

import cascade

from lib.infers import CascadeInfer, EditInfer, SpineInfer
from lib.learning import ConfidenceScoring, LeastConfident
from lib.service import Service
from lib.trainers import StageTrainer


class CascadeApp(MONAILabelApp):
    """Lumbar vertebrae and discs: segmented, corrected by clicks, trained further."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        conf = conf or {}
        weights = conf.get("weights")
        self.cascade = Service(
            published=Path(app_dir) / "model",
            weights=Path(weights) if weights else None,
            scheme=conf.get("scheme", "cascade-extended"),
            device=conf.get("device", "auto"),
        )
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"cascade {cascade.__version__}",
            description="Lumbar-spine MR: vertebral bodies and discs by name. Research use only.",
            version=cascade.__version__,
            labels=["background", *self.cascade.labels],
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The whole cascade, stage 1 alone, and the cascade with clicks."""
        return {"cascade": CascadeInfer(self.cascade), "spine": SpineInfer(self.cascade), "cascade_edit": EditInfer(self.cascade)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One trainer a stage."""
        return {"spine": StageTrainer("stage1", self.cascade), "cascade": StageTrainer("stage2", self.cascade)}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """How sure the cascade is of every scan."""
        return {"confidence": ConfidenceScoring(self.cascade)}

    def init_strategies(self) -> dict[str, Strategy]:
        """The scan whose least confident level is the least confident of all; or any."""
        return {"least_confident": LeastConfident(), "random": Random()}
