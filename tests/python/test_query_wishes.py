"""What a search is told beside its question: filters, groups, pages, reranking, stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument
from gapless.query import arrange
from gapless.stages.stages import Filter, GroupBy, Limit, VectorSearch
from gapless.stages.text import stages_from_json, stages_to_json

N, DIM = 300, 12
Rows = npt.NDArray[np.float64]


@pytest.fixture
def rows() -> dict[str, Rows]:
    rng = np.random.default_rng(5)
    image = rng.normal(size=(N, DIM))
    noise = rng.normal(size=(N, DIM))
    return {"image": image, "caption": image + 0.5 * noise, "frame": noise}


@pytest.fixture
def col(tmp_path: Path, rows: dict[str, Rows]) -> Iterator[Collection]:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "frame": gl.Field("clip", "image", index="flat", several=True),
        },
    )
    metadata = [{"year": 2000 + i % 30, "doc": f"d{i // 6}", "text": f"word{i}"} for i in range(N)]
    with gl.open(tmp_path / "c", schema) as made:
        made.upsert(range(N), {f: rows[f] for f in ("image", "caption")}, metadata)
        made.upsert(
            range(0, N, 3),
            {"frame": [rows["frame"][i : i + 3] for i in range(0, N, 3)]},
            spans={"frame": [[(j, j + 1.0) for j in range(3)] for _ in range(0, N, 3)]},
        )
        yield made


def asked(rows: dict[str, Rows], i: int = 7) -> dict[str, Any]:
    return {"vectors": {"clip": rows["image"][i]}, "fields": ["image", "caption"]}


def test_a_filter_is_part_of_the_search(col: Collection, rows: dict[str, Rows]) -> None:
    wanted = {i for i in range(N) if 2000 + i % 30 >= 2027}
    for given in (
        {"year": {"$gte": 2027}},
        gl.F("year") >= 2027,
        {"field": "meta.year", "operator": ">=", "value": 2027},
    ):
        hits = col.search(**asked(rows), filter=given, limit=N)
        assert set(hits.ids) == wanted
    everything = col.search(**asked(rows), limit=N, fusion="combmax").ids
    some = col.search(**asked(rows), filter={"year": {"$gte": 2027}}, limit=5, fusion="combmax").ids
    assert some == [i for i in everything if i in wanted][:5]
    frames = col.search(vectors={"clip": rows["frame"][9]}, fields=["frame"], filter={"doc": "d1"})
    assert set(frames.ids) == {6, 9}
    assert len(col.search(**asked(rows), filter={"year": 1900})) == 0


def test_a_filter_sees_what_was_written_before_it(col: Collection, rows: dict[str, Rows]) -> None:
    new = {"year": 1999}
    assert len(col.search(**asked(rows), filter=new)) == 0
    col.upsert([3], metadata=[new])
    col.upsert(["fresh"], {"image": rows["image"][:1]}, [new])
    assert set(col.search(**asked(rows), filter=new).ids) == {3, "fresh"}
    col.remove(3)
    assert col.search(**asked(rows), filter=new).ids == ["fresh"]


def test_frames_bring_their_spans(col: Collection, rows: dict[str, Rows]) -> None:
    hits = col.search(vectors={"clip": rows["frame"][31]}, fields=["frame"], limit=3)
    assert (hits[0].id, hits[0].row, hits[0].span) == (30, 1, (1.0, 2.0))
    assert [row.ordinal for row in col.neighbours(hits[0])] == [0, 1, 2]
    tokens = rows["frame"][30:33]
    late = col.search(vectors={"clip": tokens}, fields=["frame"], limit=N)
    unit = {f: r / np.linalg.norm(r, axis=1, keepdims=True) for f, r in rows.items()}
    scores = [
        (unit["frame"][i : i + 3] @ unit["frame"][30:33].T).max(axis=0).mean()
        for i in range(0, N, 3)
    ]
    assert late.ids == (3 * np.argsort(-np.array(scores))).tolist()
    mean = col.search(vectors={"clip": tokens[0]}, fields=["frame"], rows="mean", fusion="combmax")
    means = [(unit["frame"][i : i + 3] @ unit["frame"][30]).mean() for i in range(0, N, 3)]
    assert mean.ids == (3 * np.argsort(-np.array(means))[:10]).tolist()
    with pytest.raises(InvalidArgument, match="rows is 'median'"):
        col.search(**asked(rows), rows="median")


def test_groups_hold_the_best_of_each_document(col: Collection, rows: dict[str, Rows]) -> None:
    whole = col.search(**asked(rows), limit=N)
    order = list(dict.fromkeys(i // 6 for i in whole.ids))  # type: ignore[operator]
    hits = col.search(**asked(rows), group_by="doc", group_size=3, limit=40)
    assert [hit.group for hit in hits] == [f"d{doc}" for doc in order[:40]]
    for hit in hits:
        members = [i for i in whole.ids if f"d{i // 6}" == hit.group]  # type: ignore[operator]
        assert [hit.id, *hit.others.ids] == members[:3]
    second = col.search(**asked(rows), group_by="doc", limit=5, offset=5)
    assert [hit.group for hit in second] == [f"d{doc}" for doc in order[5:10]]
    # Far more groups than the first look finds.
    assert len(col.search(**asked(rows), group_by="text", limit=N, window=10)) == N


def test_pages_of_a_frozen_ranking(col: Collection, rows: dict[str, Rows]) -> None:
    whole = col.search(**asked(rows), limit=N).ids
    page = col.search(**asked(rows), limit=7, freeze=True, window=N)
    seen = list(page.ids)
    col.upsert(["new"], {"image": rows["image"][7:8]})
    col.remove(whole[20])
    while page.cursor is not None:
        page = col.search(cursor=page.cursor, limit=7)
        seen += page.ids
    assert seen == [i for i in whole if i != whole[20]]
    with pytest.raises(InvalidArgument, match="cursor"):
        col.search(cursor="nonsense")


def test_reranking_orders_what_was_found(col: Collection, rows: dict[str, Rows]) -> None:
    def last_digit(query: str, documents: Any) -> list[float]:
        return [float(document["text"][-1]) for document in documents]

    found = col.search(**asked(rows), limit=30)
    hits = col.search(**asked(rows), rerank=gl.Rerank(last_digit, top_k=30, query="x"), limit=30)
    assert hits.ids == sorted(found.ids, key=lambda i: -(i % 10))  # type: ignore[operator]
    assert (hits.fusion, hits[0].confidence) == ("rerank", None)
    assert hits[0].contributions == found[found.ids.index(hits[0].id)].contributions


def test_diversity_spreads_what_is_alike(col: Collection, rows: dict[str, Rows]) -> None:
    col.upsert(["copy"], {"image": rows["image"][7:8], "caption": rows["caption"][7:8]})
    plain = col.search(**asked(rows), limit=10)
    assert set(plain.ids[:2]) == {7, "copy"}
    spread = col.search(**asked(rows), limit=10, diversity=0.7)
    assert spread.ids[0] in (7, "copy")
    assert not {7, "copy"} <= set(spread.ids[:5])
    assert col.search(**asked(rows), limit=10, diversity=0.0) == plain
    with pytest.raises(InvalidArgument, match="diversity is 2"):
        col.search(**asked(rows), diversity=2)


def test_what_scores_too_low_makes_room_for_others(col: Collection, rows: dict[str, Rows]) -> None:
    wishes = asked(rows) | {"fusion": "minmax", "weights": {"image": 0.1, "caption": 9.0}}
    cosines = rows["image"] @ rows["image"][7]
    cosines /= np.linalg.norm(rows["image"], axis=1) * np.linalg.norm(rows["image"][7])
    order = col.search(**wishes, limit=N, window=N).ids
    lowest = cosines[order[:5]].min() + 1e-4  # one of the first five does not reach it
    good = [item for item in order if cosines[item] >= lowest]
    assert len(good) > 5
    least = {"image": lowest, "caption": 2.0}  # by the image, which hardly counts for the order
    assert col.search(**wishes, window=N, limit=5, min_score=least).ids == good[:5]
    assert col.search(**wishes, window=N, limit=2, offset=4, min_score=least).ids == good[4:6]


def test_diversity_leaves_nothing_out(
    col: Collection, rows: dict[str, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are wanted beyond those that are compared with each other."""
    monkeypatch.setattr(arrange, "MOST_SPREAD", 40)
    plain = col.search(**asked(rows), limit=150)
    spread = col.search(**asked(rows), limit=150, diversity=0.5)
    assert set(spread.ids[:40]) == set(plain.ids[:40])
    assert spread.ids[40:] == plain.ids[40:]


def test_stages_are_another_spelling(col: Collection, rows: dict[str, Rows]) -> None:
    stages = [
        VectorSearch("image", top_k=200),
        VectorSearch("caption", top_k=200),
        Filter({"year": {"$lt": 2020}}),
        gl.Fuse("rrf", rrf_k=20),
        GroupBy("doc"),
        Limit(4),
    ]
    query: dict[str, Any] = {"vectors": {"clip": rows["image"][7]}}
    said: dict[str, Any] = {
        "fields": ["image", "caption"],
        "quotas": {"image": 200, "caption": 200},
        "filter": {"year": {"$lt": 2020}},
        "fusion": gl.Fuse("rrf", rrf_k=20),
        "group_by": "doc",
        "limit": 4,
    }
    wanted = col.search(**query, **said)
    assert col.search(**query, stages=stages) == wanted
    assert col.search(**query, stages=stages_from_json(stages_to_json(stages))) == wanted
    with pytest.raises(InvalidArgument, match="limit= is given beside"):
        col.search(**query, stages=stages, limit=5)


def test_learnt_weights_leave_noise_out(col: Collection, rows: dict[str, Rows]) -> None:
    rng = np.random.default_rng(0)
    col.upsert(range(N), {"caption": rng.normal(size=(N, DIM))})  # says nothing of the image
    queries = {i: {"vectors": {"clip": rows["image"][i] + rng.normal(size=DIM)}} for i in range(60)}
    learnt = col.tune({i: {i} for i in range(60)}, queries, fields=["image", "caption"])
    assert learnt.gain > 0.05
    assert learnt.weights["image"] > 3 * learnt.weights["caption"]
    col.search(**asked(rows), weights=learnt.weights)
