"""The three bundles: what each is for, which networks it holds, what its inferer writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, eq=False)
class BundlePlan:
    """One of the bundles.

    Parameters
    ----------
    name : str
        Of its folder.
    title, task, description, result : str
        For people.
    stage : str
        Whose network is ``models/model.pt``, ``network_def`` of the configs.
    inferer : mapping
        Config of the inferer; the stage's spec comes with it.
    ending : str
        Of the label files, before their suffix.
    scorer : str
        Class in `cascade.bundle` that scores them.
    settings : mapping
        Entries of the inference config that a user may want to override.
    evaluation_settings : mapping
        The same of the evaluation config, where they differ.
    second_stage : str
        Whose network is ``models/spine.pt``; empty if there is one network only.
    """

    name: str
    title: str
    task: str
    description: str
    result: str
    stage: str
    inferer: Mapping[str, Any]
    scorer: str
    ending: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation_settings: Mapping[str, Any] = field(default_factory=dict)
    second_stage: str = ""

    @property
    def models(self) -> Mapping[str, str]:
        """Name of each file in ``models/`` (without suffix), and the stage that it holds."""
        return MappingProxyType({"model": self.stage} | ({"spine": self.second_stage} if self.second_stage else {}))


SPINE = BundlePlan(
    name="cascade_spine_localization",
    title="Spine localization in lumbar MR",
    task="Find the column of vertebral bodies and discs in MR scans of the lumbar spine",
    description="A small U-Net that sees the whole scan at 2 x 1.5 x 1.5 mm and gives one tag to the column; stage 1 of cascade.",
    result="`<scan>_spine_seg.nii.gz`: the column (1) on the scan's grid; `<scan>_spine_seg.json`: its centreline, from head to foot",
    stage="stage1_spine",
    inferer={"_target_": "cascade.bundle.LocateSpine", "spec": "@spec"},
    ending="_spine_seg",
    scorer="ScoreClasses",
)
LEVELS = BundlePlan(
    name="cascade_lumbar_segmentation",
    title="Vertebral bodies and discs in lumbar MR",
    task="Tell vertebral bodies, discs and sacrum in MR scans of the lumbar spine, along a spine that has been located",
    description="A U-Net in patches of at most 80 x 160 x 160 voxels at 2 x 0.8 x 0.8 mm along the spine's centreline; stage 2 of cascade.",
    result="`<scan>_tissues_seg.nii.gz`: body (1), disc (2), sacrum (3) on the scan's grid",
    stage="stage2_levels",
    inferer={"_target_": "cascade.bundle.ClassifyTissues", "spec": "@spec", "spine_dir": "@spine_dir"},
    ending="_tissues_seg",
    scorer="ScoreClasses",
    settings={"spine_dir": f"$@bundle_root + '/../{SPINE.name}/eval'"},
)
CASCADE = BundlePlan(
    name="cascade_lumbar_spine",
    title="Named lumbar levels in MR",
    task="Segment and name the vertebral bodies and discs in MR scans of the lumbar spine",
    description="The whole cascade as a workflow: a U-Net finds the spine, a second one tells bodies from discs along it, and the ordered "
    "chain of both gives every level its name. The same as the command cascade-segment.",
    result="`<scan>.nii.gz`: L1-L5 (1-5) and the discs L1/L2-L4/L5 (6-9) on the scan's grid; `<scan>.json`: levels, measurements, warnings",
    stage="stage2_levels",
    second_stage="stage1_spine",
    inferer={
        "_target_": "cascade.bundle.SegmentLevels",
        "spec": "@spec",
        "spine_spec": "@spine_spec",
        "spine_network": "@spine_network",
        "scheme": "@scheme",
    },
    scorer="ScoreLevels",
    settings={"scheme": "cascade"},
    evaluation_settings={"scheme": "verse"},
)
PLANS = (SPINE, LEVELS, CASCADE)
