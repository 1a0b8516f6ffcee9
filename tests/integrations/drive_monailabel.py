"""Drive a MONAI Label server with its own client, as 3D Slicer's plug-in does; runs in the server's environment.

    python drive_monailabel.py URL JOB.json OUT

The job names the image, clicks, and a training request; OUT gets the label files and answers.json.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path


def main(url: str, job_file: str, out: str) -> None:
    """Do the job and keep every answer."""
    from monailabel.client import MONAILabelClient  # of the environment that this runs in

    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    client = MONAILabelClient(url, tmpdir=out)
    answers = {"info": client.info(), "next": client.next_sample("least_confident", {})}
    requests = {
        "cascade": ("cascade", {}),
        "spine": ("spine", {}),
        "voxels": ("cascade_edit", job["voxel_clicks"]),
        "points": ("cascade_edit", {"clicks": job["clicks"]}),
    }
    for name, (model, parameters) in requests.items():
        file, answers[name] = client.infer(model, job["image"], parameters)
        shutil.move(file, Path(out) / f"{name}.nii.gz")
    try:
        client.infer("cascade_edit", job["image"], {"clicks": job["wrong_clicks"]})
    except Exception as error:  # noqa: BLE001
        answers["refused"] = f"{type(error).__name__} {getattr(error, 'msg', '')} {error}"
    answers["saved"] = client.save_label(job["image"], str(Path(out) / "voxels.nii.gz"), params={"label_info": job["label_info"]})
    answers["train_start"] = client.train_start("spine", job["training"])
    while client.train_status(check_if_running=True):
        time.sleep(2)
    while (status := client.train_status()).get("status") in ("SUBMITTED", "RUNNING"):  # begins, and is noted as ended, a moment later
        time.sleep(0.5)
    answers["train"] = status
    answers["info_after"] = client.info()
    (Path(out) / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
