"""Calibrating a collection: where pairs come from, what searches do with it, and what is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.calibration.calibrate import calibrate
from gapless.catalog import FILE_NAME
from gapless.collection import Collection
from gapless.errors import (
    CorruptFile,
    InvalidArgument,
    InvalidVector,
    SpaceMismatch,
    UnknownField,
    UnknownId,
)

SIZE = 24
Rows = NDArray[np.float64]
POOLS: dict[str, Callable[[Rows], float]] = {
    "mean_logit": lambda p: float(1 / (1 + np.exp(-np.mean(np.log(p / (1 - p)))))),
    "max": lambda p: float(p.max()),
    "noisy_or": lambda p: float(1 - np.prod(1 - p)),
}
CROSS = [("text", "image"), ("image", "caption")]
EVERY = [*CROSS, ("text", "caption"), ("image", "image")]


def schema() -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(SIZE)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )


def world(count: int, seed: int = 0) -> dict[str, Rows]:
    """Images and captions of the same meanings in two cones, and another view and wording."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(count, SIZE))
    cone = {"image": 5 * np.eye(SIZE)[0], "text": 5 * np.eye(SIZE)[1]}
    return {
        name: meaning + noise * rng.normal(size=meaning.shape) + cone[side]
        for name, side, noise in (
            ("image", "image", 0.3), ("caption", "text", 0.6), ("view", "image", 0.2),
            ("wording", "text", 0.2),
        )
    }  # fmt: skip


def filled(path: Path, rows: dict[str, Rows], both: int, alone: int = 0) -> Collection:
    """`both` items with image and caption, then `alone` of either."""
    col = gl.open(path, schema())
    col.upsert(range(both), {"image": rows["image"][:both], "caption": rows["caption"][:both]})
    for name, start in (("image", both), ("caption", both + alone)):
        ids = range(start, start + alone)
        if alone:
            col.upsert(ids, {name: rows[name][start : start + alone]})
    return col


def given(rows: dict[str, Rows], count: int) -> dict[tuple[str, str], tuple[Rows, list[int]]]:
    return {
        ("text", "caption"): (rows["wording"][:count], list(range(count))),
        ("image", "image"): (rows["view"][:count], list(range(count))),
    }


def test_items_of_two_fields_are_pairs_across_them(tmp_path: Path) -> None:
    rows = world(160)
    with filled(tmp_path, rows, 120, 20) as col:
        found = col.calibrate(prior=0.05, background=False, method="platt")
        assert set(found.types) == set(CROSS)
        assert [each.matches for each in found.types.values()] == [120, 120]
        assert [finding.code for finding in found.findings] == ["UNCALIBRATED"] * 2
        assert "('text', 'caption')" in found.findings[1].remedy
        alone = calibrate(
            {("text", "image"): (rows["caption"][:120], rows["image"][:120])},
            prior=0.05,
            background=False,
            method="platt",
            documents={"image": rows["image"][:140]},
            negatives=found["text", "image"].negatives,
        )
        assert found["text", "image"].map.a == pytest.approx(alone["text", "image"].map.a, rel=0.05)
        assert col.calibration == found
        assert col.stats()["calibration"]["pairs"] == {
            "text -> image": 120,
            "image -> caption": 120,
        }
        col.align("center", tolerance=1.0)
        assert col.stats()["calibration"] is None


def test_auto_is_calibrated_once_every_pair_type_is(tmp_path: Path) -> None:
    rows = world(160)
    with filled(tmp_path, rows, 80, 40) as col:
        ask: dict[str, Any] = {"vectors": {"clip": rows["wording"][150]}, "modality": "text"}
        before = col.search(**ask)
        assert before.fusion == "cohort"
        assert before[0].confidence is None
        assert before[0].contributions[0].calibrated is None
        col.calibrate()
        hits = col.search(**ask)
        assert (hits.fusion, hits.reason) == (
            "cohort",
            "auto: text -> caption is not calibrated on 50 pairs",
        )
        assert col.search(**ask, fields=["image"]).fusion == "calibrated"
        found = col.calibrate(positives=given(rows, 80))
        assert set(found.types) == set(EVERY)
        assert found.findings == ()
        hits = col.search(**ask)
        assert (hits.fusion, hits.reason) == (
            "calibrated",
            "auto: every pair type of the search is calibrated",
        )
        assert "probability" in hits.explain()
        for combine, pool in POOLS.items():
            for hit in col.search(**ask, combine=combine):
                assert hit.confidence == hit.score
                told = np.array([part.calibrated for part in hit.contributions], np.float64)
                assert hit.score == pytest.approx(pool(told), rel=1e-9)
        assert hits == col.search(**ask, combine="mean_logit")
        with pytest.raises(InvalidArgument, match="combine is 'min'; use one of max"):
            col.search(**ask, combine="min")
        # Vectors without a modality are of no calibrated pair type.
        assert col.search(vectors={"clip": rows["wording"][0]}).fusion == "cohort"


def test_probabilities_are_those_of_the_map(tmp_path: Path) -> None:
    rows = world(160)
    with filled(tmp_path, rows, 80, 40) as col:
        found = col.calibrate(positives=given(rows, 80), method="platt", background=False)
        hits = col.search(vectors={"clip": rows["wording"][3]}, modality="text")
        for hit in hits:
            for part in hit.contributions:
                assert part.aligned is not None
                wanted = found["text", part.field].probability(part.aligned)
                assert part.calibrated == pytest.approx(wanted, rel=1e-6)
        with_level = col.calibrate(positives=given(rows, 80), method="platt", background=True)
        assert with_level["text", "image"].map.background != 0
        (first,) = col.search(vectors={"clip": rows["wording"][3]}, modality="text", limit=1)
        index = col._storage.indexes
        for part in first.contributions:
            pair = with_level["text", part.field]
            assert part.aligned is not None
            sample = col._storage.cohorts.of(part.field, index[part.field])
            scores = index[part.field].score(rows["wording"][3], sample).astype(np.float64)
            level = float(np.quantile(scores, pair.map.quantile))
            assert part.calibrated == pytest.approx(pair.probability(part.aligned, level), 1e-6)


def test_right_items_are_found_whatever_they_are_filled_with(tmp_path: Path) -> None:
    """Half of what texts ask for are images: raw scores never show one, probabilities do."""
    rows = world(200)
    with filled(tmp_path, rows, 80, 60) as col:
        col.calibrate(positives=given(rows, 80))
        first = {
            fusion: np.mean(
                [
                    col.search(
                        vectors={"clip": rows["wording"][i]}, modality="text", fusion=fusion
                    ).ids[0]
                    == i
                    for i in range(80, 200)
                ]
            )
            for fusion in ("calibrated", "combmax")
        }
        assert first["combmax"] <= 0.5
        assert first["calibrated"] > 0.85


def test_composed_queries_want_every_part_met(tmp_path: Path) -> None:
    rows = world(100)
    with filled(tmp_path, rows, 100) as col:
        col.calibrate(positives=given(rows, 100), background=False)
        parts = [
            gl.Part(vector=rows["wording"][7], space="clip", modality="text"),
            gl.Part(vector=rows["view"][7], space="clip", modality="image"),
        ]
        hits = col.search(parts=parts, fields=["image"], limit=5)
        assert (hits[0].id, hits.fusion) == (7, "calibrated")
        found = np.array([part.calibrated for part in hits[0].contributions])
        odds = np.log(found / (1 - found))
        assert hits[0].score == pytest.approx(1 / (1 + np.exp(-np.mean(odds))), rel=1e-6)


def test_few_pairs_do_not_decide_a_ranking(tmp_path: Path) -> None:
    rows = world(120)
    with filled(tmp_path, rows, 60, 20) as col:
        positives = {("text", "caption"): (rows["wording"][:49], list(range(49)))}
        found = col.calibrate(positives=positives)
        assert [f.code for f in found.findings] == ["FEW_PAIRS", "UNCALIBRATED"]
        ask: dict[str, Any] = {"vectors": {"clip": rows["wording"][99]}, "modality": "text"}
        assert col.search(**ask).fusion == "cohort"
        with pytest.raises(InvalidArgument, match=r"50 pairs .* text -> caption \(49 pairs\)"):
            col.search(**ask, fusion="calibrated")


def test_thresholds(tmp_path: Path) -> None:
    rows = world(160)
    with filled(tmp_path, rows, 80, 40) as col:
        ask: dict[str, Any] = {"vectors": {"clip": rows["wording"][20]}, "modality": "text"}
        with pytest.raises(InvalidArgument, match=r"fuses by 'rrf' .* call calibrate\(\)"):
            col.search(**ask, fusion="rrf", min_confidence=0.5)
        with pytest.raises(InvalidArgument, match=r"min_score=0.28 .* text -> image and text -> c"):
            col.search(**ask, min_score=0.28)
        found = col.calibrate(positives=given(rows, 80))
        everything = col.search(**ask, limit=200)
        sure = col.search(**ask, limit=200, min_confidence=0.2)
        assert 0 < len(sure) < len(everything)
        assert sure.ids == [hit.id for hit in everything if (hit.confidence or 0) >= 0.2]
        card = found["text", "caption"].card
        with pytest.raises(InvalidArgument, match=f"matches {card.matched_mean:.2f} ± "):
            col.search(**ask, min_score=0.28)
        alone = col.search(**ask, fields=["caption"], limit=200, min_score=0.8)
        raws = [hit.contributions[0].aligned for hit in alone]
        assert raws
        assert min(r for r in raws if r is not None) >= 0.8
        each = {"image": 0.55, "caption": 0.85}
        for hit in col.search(**ask, limit=200, min_score=each):
            assert any((p.aligned or 0) >= each[p.field] for p in hit.contributions)
        for wrong in (-0.1, 1.5, "high", True, float("nan")):
            with pytest.raises(InvalidArgument, match="min_confidence is"):
                col.search(**ask, min_confidence=wrong)  # type: ignore[arg-type]
        for odd in ("high", float("nan"), {"image": "high", "caption": 0.1}):
            with pytest.raises(InvalidArgument, match="min_score is"):
                col.search(**ask, min_score=odd)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="min_score names"):
            col.search(**ask, min_score={"image": 0.3})


def test_a_calibration_belongs_to_its_alignment(tmp_path: Path) -> None:
    rows = world(160)
    ask: dict[str, Any] = {"vectors": {"clip": rows["wording"][20]}, "modality": "text"}
    with filled(tmp_path, rows, 80, 40) as col:
        raw = col.calibrate(positives=given(rows, 80))
        kept = col.search(**ask)
        col.align("center", tolerance=1.0)
        assert col.calibration is None
        assert col.search(**ask).fusion == "cohort"
        with pytest.raises(InvalidArgument, match="of this alignment have none"):
            col.search(**ask, fusion="calibrated")
        assert col.search(**ask, alignment="raw") == kept
        centred = col.calibrate(positives=given(rows, 80))
        assert centred["text", "image"].card.random_mean < raw["text", "image"].card.random_mean
        there = col.search(**ask)
        assert there.fusion == "calibrated"
    with gl.open(tmp_path) as col:
        assert col.calibration == centred
        assert col.search(**ask) == there
        col.align("raw")
        assert col.calibration == raw
        assert col.search(**ask) == kept
        col.rollback(1)
        assert col.calibration == centred


def test_pairs_of_ids_and_of_rows(tmp_path: Path) -> None:
    rows = world(120)
    with gl.open(tmp_path, schema()) as col:
        col.upsert([f"i{n}" for n in range(60)], {"image": rows["image"][:60]})
        col.upsert([f"c{n}" for n in range(60)], {"caption": rows["caption"][:60]})
        col.upsert([f"w{n}" for n in range(60)], {"caption": rows["wording"][:60]})
        with pytest.raises(InvalidArgument, match="nothing to calibrate on"):
            col.calibrate()
        across = [(f"c{n}", f"i{n}") for n in range(60)]
        within = [(f"c{n}", f"w{n}") for n in range(60)]
        found = col.calibrate(across + within)
        assert {kind: each.matches for kind, each in found.types.items()} == {
            ("image", "caption"): 60,
            ("text", "image"): 60,
            ("text", "caption"): 120,
        }
        assert found["text", "caption"].card.auc > 0.95
        named = {"image": rows["image"][60:], "caption": rows["caption"][60:]}
        assert set(col.calibrate(named).types) == set(CROSS)
        assert col.calibrate([named, named])["text", "image"].matches == 60


def test_labels_are_positives_within_a_modality(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = world(200)
    label = np.arange(200) % 20
    topic = 3 * rng.normal(size=(20, SIZE))
    for name in ("image", "caption", "wording", "view"):
        rows[name] = rows[name] + topic[label]
    with filled(tmp_path, rows, 150, 10) as col:
        labels = {item: int(label[item]) for item in range(0, 150, 2)}
        found = col.calibrate(labels=labels)
        assert set(found.types) == set(EVERY)
        assert found["text", "caption"].matches == 75
        assert found["text", "image"].matches == 150
        assert len({each.negatives for each in found.types.values()}) == 1
        ask: dict[str, Any] = {"vectors": {"clip": rows["wording"][3]}, "modality": "text"}
        assert col.search(**ask).fusion == "calibrated"
        given_ones = given(rows, 60)
        assert col.calibrate(positives=given_ones, labels=labels)["text", "caption"].matches == 60
        refused: list[Any] = [[1, 2], {"gone": 1}, {1: []}]
        for wrong in refused:
            with pytest.raises(InvalidArgument, match=r"labels|there is no item"):
                col.calibrate(labels=wrong)


def test_a_collection_made_before_calibration_gains_the_table(tmp_path: Path) -> None:
    rows = world(60)
    filled(tmp_path, rows, 60).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("DROP TABLE calibrations")
    with gl.open(tmp_path) as col:
        assert col.calibration is None
        col.calibrate()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("UPDATE calibrations SET details = '{\"method\": 1}'")
    db.close()
    with gl.open(tmp_path) as col:
        with pytest.raises(CorruptFile, match=r"under alignment raw is damaged .* calibrate again"):
            col.calibration  # noqa: B018
        assert col.calibrate() == col.calibration


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (InvalidArgument, "prior is 2", {"prior": 2}),
        (InvalidArgument, "method is 'magic'", {"method": "magic"}),
        (InvalidArgument, "positives is a list", {"positives": [1]}),
        (InvalidArgument, "has the key 'caption'", {"positives": {"caption": ([], [])}}),
        (UnknownField, "names the field 'sound'", {"positives": {("text", "sound"): ([], [])}}),
        (InvalidArgument, "is a str: give", {"positives": {("text", "image"): "all"}}),
        (
            UnknownId,
            "no item 'gone'",
            {"positives": {("text", "image"): (np.eye(1, SIZE), ["gone"])}},
        ),
        (
            InvalidArgument,
            "which has no row in that field",
            {"positives": {("text", "image"): (np.eye(1, SIZE), [70])}},
        ),
        (
            InvalidVector,
            "queries of positives",
            {"positives": {("text", "image"): (np.eye(20, 3), list(range(20)))}},
        ),
        (
            InvalidArgument,
            "20 queries and 3 documents",
            {"positives": {("text", "image"): (np.eye(20, SIZE), [1, 2, 3])}},
        ),
        (UnknownId, "no item", {"pairs": [("a", "b")]}),
        (InvalidArgument, "pairs has .* rows", {"pairs": {"image": np.eye(3, SIZE), "caption":
                                                          np.eye(4, SIZE)}}),
    ],
)  # fmt: skip
def test_bad_input_changes_nothing(
    tmp_path: Path, kind: type[Exception], message: str, arguments: dict[str, Any]
) -> None:
    rows = world(80)
    with filled(tmp_path, rows, 60, 10) as col:
        before = col.calibrate()
        with pytest.raises(kind, match=message):
            col.calibrate(**arguments)
        assert col.calibration == before


def test_degenerate_collections(tmp_path: Path) -> None:
    same = np.tile(np.eye(1, SIZE), (60, 1))
    with gl.open(tmp_path, schema()) as col:
        with pytest.raises(InvalidArgument, match="nothing to calibrate on"):
            col.calibrate()
        assert col.calibration is None
        col.upsert(range(60), {"image": same, "caption": same})
        with pytest.raises(InvalidArgument, match="1 distinct pairs and a calibration needs"):
            col.calibrate()
        hits = col.search(vectors={"clip": same[0]}, modality="text")
        assert np.isfinite(hits.scores).all()


def test_spaces_are_calibrated_apart(tmp_path: Path) -> None:
    rows = world(60)
    two = gl.Schema(
        {"clip": gl.Space(SIZE), "bge": gl.Space(SIZE)},
        {"image": gl.Field("clip", "image"), "body": gl.Field("bge", "text")},
    )
    with gl.open(tmp_path, two) as col:
        col.upsert(range(60), {"image": rows["image"], "body": rows["caption"]})
        with pytest.raises(InvalidArgument, match="nothing to calibrate on"):
            col.calibrate()
        with pytest.raises((SpaceMismatch, InvalidArgument)):
            col.calibrate({"image": rows["image"], "body": rows["caption"]})
