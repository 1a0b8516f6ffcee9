"""How far the networks are is told patch by patch, and only to whoever listens."""

from __future__ import annotations

from pathlib import Path

from cascade.networks.progress import heard_by
from cascade.networks.spec import CASCADE_STAGES
from cascade.pipeline import Segmenter
from cascade.volume import LabelMap, Volume


def test_both_stages_tell_every_patch_up_to_the_last(coded: tuple[Volume, LabelMap], oracle_weights: Path) -> None:
    segmenter, heard = Segmenter.from_pretrained("cpu", oracle_weights), []
    with heard_by(lambda stage, share: heard.append((CASCADE_STAGES.index(stage), share))):
        segmenter.perceive(coded[0])
    told = len(heard)
    assert heard == sorted(heard)
    assert [stage for stage, share in heard if share == 1.0] == [0, 1]
    segmenter.perceive(coded[0])
    assert len(heard) == told
