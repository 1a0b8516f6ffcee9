"""Public data sets, and folders of one's own, as training cases: one image, one label map, one table.

>>> sorted(DATASETS)
['alkhalil', 'chu', 'folder', 'mrspineseg', 'myosegmentum', 'spider']
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cascade.datasets.alkhalil import AlKhalil
from cascade.datasets.base import DataSet, Options, RawCase
from cascade.datasets.chu import Chu
from cascade.datasets.folder import Folder
from cascade.datasets.mrspineseg import MRSpineSeg
from cascade.datasets.myosegmentum import MyoSegmenTUM
from cascade.datasets.prepare import prepare
from cascade.datasets.problems import CODES, Problem
from cascade.datasets.spider import Spider

#: The data sets by the name used on the command line.
DATASETS: Mapping[str, DataSet] = MappingProxyType(
    {dataset.name: dataset for dataset in (Chu(), AlKhalil(), Spider(), MRSpineSeg(), MyoSegmenTUM(), Folder())}
)

__all__ = ["CODES", "DATASETS", "DataSet", "Options", "Problem", "RawCase", "prepare"]
