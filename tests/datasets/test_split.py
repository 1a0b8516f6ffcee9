from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cascade.datasets.split import assign_splits, join_patients

NAMES = st.sets(st.text("abcdef0123", min_size=1, max_size=6), min_size=2, max_size=40)


@given(NAMES, st.floats(0.05, 0.9), st.integers(0, 99))
def test_the_share_is_kept_and_both_splits_are_there(patients: set[str], share: float, seed: int) -> None:
    splits = assign_splits(patients, share, seed)
    count = sum(split == "val" for split in splits.values())
    assert 1 <= count < len(patients)
    assert abs(count - share * len(patients)) <= 1


@given(NAMES, st.randoms())
def test_the_order_of_the_patients_has_no_part_in_it(patients: set[str], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = sorted(patients)
    random.shuffle(shuffled)
    assert assign_splits(shuffled, 0.3, 7) == assign_splits(sorted(patients), 0.3, 7)


def test_another_seed_gives_another_split() -> None:
    patients = [f"p{i}" for i in range(30)]
    assert assign_splits(patients, 0.5, 0) != assign_splits(patients, 0.5, 1)


@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(st.sampled_from("xyz"), st.sampled_from("123456")), max_size=12))
def test_cases_with_one_image_or_one_patient_end_in_one_patient(cases: dict[str, tuple[str, str]]) -> None:
    joined = join_patients({c: p for c, (p, _) in cases.items()}, {c: i for c, (_, i) in cases.items()})
    alike = [(a, b) for a in cases for b in cases if cases[a][0] == cases[b][0] or cases[a][1] == cases[b][1]]
    assert [pair for pair in alike if joined[pair[0]] != joined[pair[1]]] == []
