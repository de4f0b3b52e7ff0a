from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import gapless as gl
from gapless.catalog import ItemRow
from gapless.results.groups import group, grouped
from gapless.results.hits import Hits
from gapless.results.probabilities import probabilities
from gapless.results.ranking import Ranking, SearchedList
from hits_kit import NONE, hits, ranked, ranking

SPANS = {("caption", 2 << 40 | 11): (4.0, 6.5)}
PLAIN = np.array([[0.25, 0.5], [0.0625, NONE], [NONE, NONE]], np.float32)


def cells(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_explain_names_method_reason_and_every_contribution() -> None:
    lines = cells(hits().explain())
    assert lines == [
        "fusion: cohort (auto: because)",
        "rank id score query → field place aligned normalised weight row",
        "1 'a' 5.5000 text → image 1 0.3125 2.5000 1 -",
        "text → caption 4 0.7500 1.5000 2 2",
        "2 7 1.2500 text → image - 0.1250 - 1 -",
        "3 'c' 0.0000",
    ]


def test_explain_tells_plain_cosines_spans_and_probabilities_where_known() -> None:
    lines = cells(hits(spans=SPANS, plain=PLAIN, fusion="calibrated").explain())
    assert lines[1] == "rank id score query → field place raw aligned probability weight row span"
    assert lines[2] == "1 'a' 5.5000 text → image 1 0.2500 0.3125 2.5000 1 - -"
    assert lines[3] == "text → caption 4 0.5000 0.7500 1.5000 2 2 4 to 6.5"


def test_probabilities_stand_beside_what_another_fusion_took() -> None:
    told = np.array([[0.75, NONE], [0.25, NONE], [NONE, NONE]])
    found = hits(calibrated=told)
    lines = cells(found.explain())
    assert lines[1].endswith("place aligned normalised probability weight row")
    assert lines[2] == "1 'a' 5.5000 text → image 1 0.3125 2.5000 0.7500 1 -"
    assert lines[3] == "text → caption 4 0.7500 1.5000 - 2 2"
    assert [part.calibrated for part in found[0].contributions] == [0.75, None]
    assert [part.calibrated for part in found[1:][0].contributions] == [0.25]
    assert found != hits()
    assert found == hits(calibrated=told.copy())


def test_lists_of_negative_weight_read_as_not_like() -> None:
    against = ranking(
        [SearchedList(None, "image", 1.0), SearchedList("text", "image", -0.5)],
        [1], [0.0], [[3, 1]], [[0.25, 0.75]], [[0.1, 5.0]],
    )  # fmt: skip
    found = Hits(against, [ItemRow(1, "a", None, None)], "zscore", "asked for")
    lines = cells(found.explain())
    assert lines[2] == "1 'a' 0.0000 vector → image 3 0.2500 0.1000 1"
    assert lines[3] == "not like text → image 1 0.7500 5.0000 -0.5"


def test_the_explanation_is_the_same_as_data_for_json() -> None:
    told = hits(spans=SPANS, plain=PLAIN).explanation
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["fusion"], told["reason"]) == ("cohort", "auto: because")
    assert told["lists"][1] == {"query_modality": "text", "field": "caption", "weight": 2.0}
    first = told["hits"][0]
    assert {name: first[name] for name in ("rank", "id", "score", "field", "row", "span")} == {
        "rank": 1, "id": "a", "score": 5.5, "field": "caption", "row": 2, "span": [4.0, 6.5],
    }  # fmt: skip
    assert first["contributions"][1] == {
        "query_modality": "text", "field": "caption", "rank": 4, "raw": 0.5, "aligned": 0.75,
        "normalised": 1.5, "weight": 2.0, "calibrated": None, "row": 2, "span": [4.0, 6.5],
    }  # fmt: skip
    assert [len(hit["contributions"]) for hit in told["hits"]] == [2, 1, 0]


def test_a_fused_score_can_be_added_up_from_its_explanation() -> None:
    told = hits().explanation["hits"][0]
    total = sum(part["weight"] * part["normalised"] for part in told["contributions"])
    assert math.isclose(total, told["score"])


def test_an_item_without_a_score_has_none_in_json() -> None:
    unscored = Hits(
        ranked([0.5, -math.inf]), [ItemRow(i, i, None, None) for i in (0, 1)], "rerank", ""
    )
    assert [hit["score"] for hit in unscored.explanation["hits"]] == [0.5, None]
    assert [hit["score"] for hit in unscored.to_list()] == [0.5, None]
    assert unscored[1].score == -math.inf


def test_the_explanation_of_groups_names_the_others() -> None:
    found = hits()
    told = grouped(found, group(["x", "y", "x"], 2, 2)).explanation["hits"]
    assert [(hit["id"], hit["group"], hit["others"]) for hit in told] == [
        ("a", "x", ["c"]), (7, "y", []),
    ]  # fmt: skip


def test_probabilities_are_the_calibrations_own(tmp_path: Path, rng: np.random.Generator) -> None:
    """By the lists of another fusion they are what the fusion "calibrated" is made of."""
    schema = gl.Schema(
        {"clip": gl.Space(16)},
        {"image": gl.Field("clip", "image"), "caption": gl.Field("clip", "text")},
    )
    things, cones = rng.normal(size=(120, 16)), 2 * rng.normal(size=(2, 16))
    rows = {
        name: things + cones[m] + 0.3 * rng.normal(size=things.shape)
        for m, name in enumerate(schema.fields)
    }
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(120)), rows)
        col.align("center")
        wording = things + cones[1] + 0.3 * rng.normal(size=things.shape)
        col.calibrate(positives={("text", "caption"): (wording, list(range(120)))})
        ask = {"vectors": {"clip": wording[5]}, "modality": "text", "limit": 40}
        wanted = col.search(**ask, fusion="calibrated")
        other = col.search(**ask, fusion="cohort")
        storage = col._storage
        told = probabilities(
            other.ranking,
            [wording[5]] * 2,
            storage.indexes,
            storage.maps,
            col.calibration,
            {name: storage.cohorts.of(name, index) for name, index in storage.indexes.items()},
        )
        by_id = {hit.id: [part.calibrated for part in hit.contributions] for hit in wanted}
        both = [i for i, id_ in enumerate(other.ids) if id_ in by_id]
        assert len(both) > 10
        for i in both:
            assert told[i] == pytest.approx(by_id[other.ids[i]], rel=1e-4)
        assert col.calibration["text", "image"].map.background != 0
        nothing = probabilities(other.ranking, [], storage.indexes, storage.maps, None, {})
        assert np.isnan(nothing).all()


def test_nothing_found_is_explained_too() -> None:
    empty = Hits(Ranking.empty(), [], "rrf", "asked for")
    assert empty.explain() == "fusion: rrf (asked for)"
    assert empty.explanation == {"fusion": "rrf", "reason": "asked for", "lists": [], "hits": []}
