from __future__ import annotations

import json
import math

import numpy as np

from gapless.catalog import ItemRow
from gapless.results.hits import Hits
from gapless.results.ranking import Ranking, SearchedList
from hits_kit import NONE, hits, ranking

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


def test_nothing_found_is_explained_too() -> None:
    empty = Hits(Ranking.empty(), [], "rrf", "asked for")
    assert empty.explain() == "fusion: rrf (asked for)"
    assert empty.explanation == {"fusion": "rrf", "reason": "asked for", "lists": [], "hits": []}
