"""The four recipes, each on data that has its cause and on data that has not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.diagnosis import conflicts, whole_index
from gapless.diagnosis.conflicts import near_duplicate_shares, with_neighbours
from gapless.diagnosis.diagnose import diagnose, sample_arrays
from gapless.diagnosis.doctor import SYMPTOMS, Prescription, examine
from gapless.diagnosis.result import Diagnosis
from gapless.diagnosis.sampling import Sample
from gapless.errors import InvalidArgument

Fields = Mapping[str, npt.NDArray[np.float64]]


def one(found: Diagnosis, symptom: str) -> Prescription:
    (prescription,) = examine(found, symptom)
    assert prescription.symptom == symptom
    assert prescription.cause.endswith(".") and prescription.fix.endswith(".")
    return prescription


def pairs_of(rng: np.random.Generator, count: int = 120, noise: float = 0.3) -> Fields:
    """Matched rows of two modalities, without a gap."""
    meaning = rng.normal(size=(count, 12))
    return {"image": meaning, "text": meaning + noise * rng.normal(size=(count, 12))}


def sample_of(fields: Fields, **given: Any) -> Sample:
    return sample_arrays(fields, **given)[0]


def test_all_recipes_in_order_and_in_words(rng: np.random.Generator) -> None:
    found = examine(diagnose(pairs_of(rng), paired=True))
    assert [p.symptom for p in found] == list(SYMPTOMS)
    for prescription in found:
        assert not prescription.present
        words = str(prescription)
        assert SYMPTOMS[prescription.symptom] in words and prescription.fix in words
        assert prescription.to_dict()["evidence"] == dict(prescription.evidence)
        assert all(np.isfinite(value) for value in prescription.evidence.values())


def test_same_scores_are_a_collapse_or_are_not(rng: np.random.Generator) -> None:
    point = np.ones(32)
    rows = point + 0.05 * rng.normal(size=(80, 32))
    collapsed = one(diagnose({"image": rows[:40], "text": rows[40:]}), "same_scores")
    assert collapsed.present and "collapse" in collapsed.cause
    assert min(v for n, v in collapsed.evidence.items() if n.startswith("std")) < 0.01
    healthy = one(diagnose(pairs_of(rng)), "same_scores")
    assert not healthy.present
    lone = one(diagnose({"text": np.eye(3)[:1]}), "same_scores")
    assert not lone.present and lone.evidence == {"lowest effective rank": 1.0}


def test_cross_modal_failure_is_told_from_encoders_that_disagree(rng: np.random.Generator) -> None:
    fields = pairs_of(rng)
    apart = {"image": fields["image"] + 9 * np.eye(12)[0], "text": fields["text"] - np.eye(12)[1]}
    gap = one(diagnose(apart, paired=True), "cross_modal")
    assert gap.present and "modality gap" in gap.cause and "col.align('center')" in gap.fix
    assert gap.evidence["highest bias lift"] > 0.5
    strangers = {"image": fields["image"], "text": rng.normal(size=(120, 12))}
    foreign = one(diagnose(strangers, paired=True), "cross_modal")
    assert foreign.present and "do not agree" in foreign.cause
    assert abs(foreign.evidence["stds between matched and random pairs"]) < 1
    assert not one(diagnose(fields, paired=True), "cross_modal").present
    alone = one(diagnose({"text": fields["text"]}), "cross_modal")
    assert not alone.present and "one modality per space" in alone.cause


def test_rare_queries_fail_where_the_model_knows_little(rng: np.random.Generator) -> None:
    count = 150
    known = rng.normal(size=(count, 16)) + 4 * np.eye(16)[0]  # common content, well matched
    rare = 3 * rng.normal(size=(count // 2, 16))  # scattered, and paired at random
    image = np.concatenate([known, rare])
    text = np.concatenate([known + 0.1 * rng.normal(size=known.shape), 3 * rng.permuted(rare)])
    found = one(diagnose({"image": image, "text": text}, paired=True), "rare_queries")
    assert found.present and "few neighbours" in found.cause
    assert found.evidence["recall image → text in sparse regions"] < 0.6
    assert found.evidence["recall image → text elsewhere"] > 0.9
    away = diagnose({"text": known}, queries={"text": rng.normal(size=(60, 16))})
    assert one(away, "rare_queries").present
    assert one(away, "rare_queries").evidence["outlying text queries"] > 0.5
    alike = diagnose({"text": known[:100]}, queries={"text": known[100:]})
    assert not one(alike, "rare_queries").present
    assert "neither queries" in one(diagnose({"text": known}), "rare_queries").cause


def test_near_duplicates_are_counted_as_a_loop_counts(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(50, 40))
    rows[40:46] = rows[:6] + 0.1 * rng.normal(size=(6, 40))
    labels = {i: i % 5 for i in range(50)} | {40: 0, 41: 1, 42: 4, 43: 4, 44: 0}
    sample = sample_of({"text": rows}, keys={"text": range(50)}, labels=labels)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = [[float(a @ b) for b in unit] for a in unit]
    random = [cosine[i][j] for i in range(50) for j in range(50) if i != j]
    limit = max(0.95, np.mean(random) + 4 * np.std(random))
    alike = [[j for j in range(50) if j != i and cosine[i][j] >= limit] for i in range(50)]
    copies = sum(bool(js) for js in alike) / 50
    wrong = sum(any(labels[j] != labels[i] for j in alike[i]) for i in range(50)) / 50
    assert copies == 12 / 50 and wrong == 6 / 50  # items 2, 3 and 4, and their copies
    assert near_duplicate_shares(sample) == {"text": (copies, wrong)}
    assert near_duplicate_shares(sample_of({"text": rows})) == {"text": (copies, None)}


def test_more_data_hurts_where_copies_contradict_each_other(rng: np.random.Generator) -> None:
    fields = {name: rows.copy() for name, rows in pairs_of(rng).items()}
    fields["image"][100:] = fields["image"][:20]
    copied = one(diagnose(fields, paired=True), "more_data")
    unit = fields["text"] / np.linalg.norm(fields["text"], axis=1, keepdims=True)
    random = (unit @ unit.T)[~np.eye(120, dtype=bool)]
    far = (unit[:20] * unit[100:]).sum(axis=1) < random.mean() + random.std()
    assert copied.present and f"{2 * far.sum() / 120:.1%} of the rows" in copied.cause
    assert copied.evidence["near-duplicates in image"] == pytest.approx(40 / 120)
    assert copied.evidence["conflicting ones in image"] == pytest.approx(2 * far.sum() / 120)
    # the same captions make them honest copies
    fields["text"][100:] = fields["text"][:20]
    honest = one(diagnose(fields, paired=True), "more_data")
    assert not honest.present and "rare" in honest.cause
    # one item with both rows is no copy of itself
    same = {name: rows[:100] for name, rows in fields.items()}
    keys = {"image": np.arange(100), "text": np.arange(100)}
    known = diagnose({**same, "thumb": same["image"]},
                     {"image": "image", "thumb": "image", "text": "text"},
                     keys={**keys, "thumb": keys["image"]})  # fmt: skip
    assert one(known, "more_data").evidence["near-duplicates in thumb"] == 0.0
    untold = one(diagnose({"text": same["text"]}), "more_data")
    assert not untold.present and "Give labels." in untold.fix


def test_copies_outside_the_sample_are_fetched(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    image, text = rng.normal(size=(2, 300, 8))
    image[150:] = image[:150]
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(300)), {"image": image, "caption": text})
        for method in ("raw", "center"):
            col.align(method)
            sample = col.diagnose(sample=60).samples[0]
            asked, wide = with_neighbours(sample, col._storage.indexes)
            assert {n: len(rows) for n, rows in asked.rows.items()} == {"image": 30, "caption": 30}
            assert len(sample.rows["image"]) == 30 < len(wide.rows["image"])
            for name, rows in wide.rows.items():
                assert len(np.unique(wide.keys[name])) == len(rows) == len(wide.keys[name])
                stored = {"image": image, "caption": text}[name][wide.keys[name] - 1]
                stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
                np.testing.assert_allclose(rows, stored, atol=1e-6)
            assert near_duplicate_shares(sample)["image"][0] < 0.6
            copies, conflicts = near_duplicate_shares(asked, wide)["image"]
            assert copies == 1.0 and conflicts is not None and conflicts > 0.5


def test_a_large_flat_index_is_asked_for_a_part_of_the_sample(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rng.normal(size=(80, 8))
    flat = gl.FlatIndex(8)
    flat.add(rows)
    sample = sample_of({"text": rows[:40]})
    monkeypatch.setattr(conflicts, "ASKED", 5)
    monkeypatch.setattr(whole_index, "COMPARED", 80 * 7)
    asked, wide = with_neighbours(sample, {"text": flat}, seed=3)
    assert len(asked.rows["text"]) == 7
    place = np.searchsorted(sample.keys["text"], asked.keys["text"])
    np.testing.assert_array_equal(asked.rows["text"], rows[:40][place])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = np.argsort(-(unit[place] @ unit.T), axis=1)[:, :5]
    assert set(wide.keys["text"].tolist()) == set(range(40)) | set(near.ravel().tolist())
    again, _ = with_neighbours(sample, {"text": flat}, seed=3)
    assert again.keys["text"].tolist() == asked.keys["text"].tolist()
    monkeypatch.setattr(whole_index, "COMPARED", 80)
    assert len(with_neighbours(sample, {"text": flat})[0].rows["text"]) == 5


def test_examine_refuses(rng: np.random.Generator) -> None:
    found = diagnose({"text": rng.normal(size=(9, 3))})
    with pytest.raises(InvalidArgument, match="symptom is 'slow': choose one of 'same_scores'"):
        examine(found, "slow")
    with pytest.raises(InvalidArgument, match="has no samples"):
        examine(Diagnosis((), (), ()))
