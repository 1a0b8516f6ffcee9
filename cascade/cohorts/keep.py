"""Write all that a job asks for."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.cohorts.answers import Answer, answer_path
from cascade.cohorts.job import Job
from cascade.io.bids import write_sidecars
from cascade.io.files import together
from cascade.io.formats import SegType
from cascade.segmentation import Segmentation


@dataclass(frozen=True)
class Keep:
    """Writes everything that a job asks for.

    Parameters
    ----------
    seg_type : {"binary", "labelmap"}
        Kind of DICOM SEG.
    probabilities : bool
        Whether the networks' answer is kept beside the labels.
    """

    seg_type: SegType = "binary"
    probabilities: bool = False

    def __call__(self, result: Segmentation, job: Job, answer: Answer | None = None) -> None:
        """Write the labels, and what goes beside them, all or nothing."""
        with together():
            result.save(job.output, seg_type=self.seg_type)
            if answer:
                answer.save(answer_path(job.output))
            if job.dataset:
                write_sidecars(job.output, job.image, job.dataset, result.labels.scheme, result.to_dict())
            if job.json:
                result.save_json(job.json, **job.names)
            if job.picture:
                result.save_picture(job.picture)
            if job.table:
                result.save_table(job.table)
            if job.sr:
                result.save_sr(job.sr, job.output)
            if job.mesh:
                result.save_meshes(job.mesh)
            if job.report:
                from cascade.report import save_report

                save_report(result, job.report, job.title)
