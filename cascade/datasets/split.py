"""Training and validation cases, parted by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

TRAIN, VAL = "train", "val"


def assign_splits(patients: Iterable[str], val_share: float, seed: int) -> dict[str, str]:
    """Give every patient a split.

    Patients are ordered by a hash of seed and name, so that the order of the files has no part in it. Of two patients or more at
    least one is in each split, unless `val_share` is 0.

    >>> assign_splits(["a", "b", "c", "d"], 0.25, seed=1)
    {'a': 'train', 'b': 'train', 'c': 'train', 'd': 'val'}
    """
    names = sorted(set(patients))
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest())
    count = round(val_share * len(names))
    if val_share > 0 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    val = set(order[:count])
    return {name: VAL if name in val else TRAIN for name in names}


def join_patients(patients: Mapping[str, str], contents: Mapping[str, str]) -> dict[str, str]:
    """Take patients with an image in common for one, the first by name.

    Parameters
    ----------
    patients, contents : mapping of str to str
        Patient of each case, and a hash of its image.

    Returns
    -------
    dict of str to str
        The patient of each case.

    >>> join_patients({"1": "ann", "2": "bob", "3": "bob", "4": "eve"}, {"1": "x", "2": "x", "3": "y", "4": "z"})
    {'1': 'ann', '2': 'ann', '3': 'ann', '4': 'eve'}
    """
    parent = {patient: patient for patient in patients.values()}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    seen: dict[str, str] = {}
    for case in sorted(patients):
        other = seen.setdefault(contents[case], patients[case])
        first, second = sorted((root(other), root(patients[case])))
        parent[second] = first
    return {case: root(patient) for case, patient in patients.items()}
