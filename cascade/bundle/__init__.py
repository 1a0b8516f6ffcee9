"""What the configs of the MONAI bundles name: scans in a folder, stages as inferers, an evaluator, training and scoring.

A data set's item is a dictionary, as everywhere in MONAI: ``image`` (Path), ``name`` (relative path without suffix) and, where there
are labels, ``case``. An inferer takes an item and the network; what it returns is stored under ``pred`` and written by `SaveResult`.
"""

from cascade.bundle.data import list_labelled, list_scans
from cascade.bundle.engine import Evaluator, SaveResult
from cascade.bundle.scoring import ScoreClasses, ScoreLevels
from cascade.bundle.stages import ClassifyTissues, LocateSpine, SegmentLevels
from cascade.bundle.training import Trainer, training_examples, training_recipe
from cascade.bundle.weights import load_weights, read_spec

__all__ = [
    "ClassifyTissues",
    "Evaluator",
    "LocateSpine",
    "SaveResult",
    "ScoreClasses",
    "ScoreLevels",
    "SegmentLevels",
    "Trainer",
    "list_labelled",
    "list_scans",
    "load_weights",
    "read_spec",
    "training_examples",
    "training_recipe",
]
