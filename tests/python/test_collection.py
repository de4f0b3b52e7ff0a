from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM, eye, two_space_schema
from gapless.collection import Collection
from gapless.errors import (
    InvalidArgument,
    NotACollection,
    SchemaMismatch,
)

# -- writing and reading back -------------------------------------------------------------------


def test_upsert_and_get(col: Collection) -> None:
    col.upsert(
        ["a", 7],
        {"image": eye(0, 1) * 3, "caption": eye(2, 3)},
        metadata=[{"year": 2020, "tags": ["x", None, 1.5, True]}, None],
        uris=[Path("pictures/ä.jpg"), "a\u00a0b\n.png"],
    )
    col.upsert([7000], {"caption": eye(4)})
    assert len(col) == 3
    assert col.ids() == ["a", 7, 7000]
    assert "a" in col
    assert 7 in col
    assert "7" not in col
    assert 7.0 not in col
    assert True not in col
    first, last = col.get(["a", 7000], vectors=True)
    assert first.metadata == {"year": 2020, "tags": ["x", None, 1.5, True]}
    assert first.uri == "pictures/ä.jpg"
    assert col.get(7).uri == "a\u00a0b\n.png"
    assert first.fields == ("image", "caption")
    np.testing.assert_array_equal(first.vectors["image"], eye(0)[0])  # stored as a unit row
    np.testing.assert_array_equal(last.vectors["caption"], eye(4)[0])
    assert (last.metadata, last.uri, last.fields) == (None, None, ("caption",))
    assert col.get("a").vectors == {}
    assert col.get(7).id == 7
    assert np.int64(7) in col
    assert col.get(np.int64(7)).id == 7
    for stranger in (2**70, "\ud800", None, ["a"]):
        assert stranger not in col
    assert col.get([]) == []


def test_upsert_takes_arrays_lists_float16_float64_and_integers(col: Collection) -> None:
    wide = np.zeros((2, 2 * DIM))
    wide[:, ::2] = eye(0, 1)
    col.upsert(np.array([1, 2]), {"image": wide[:, ::2]})
    col.upsert(np.array(["x", "y"]), {"image": eye(2, 3).astype(np.float16)})
    col.upsert(("z",), {"image": [[0, 0, 0, 0, 2, 0, 0, 0]]})
    col.upsert((name for name in ["g"]), {"image": np.asfortranarray(eye(5))})
    assert col.ids() == [1, 2, "x", "y", "z", "g"]
    rows = np.stack([item.vectors["image"] for item in col.get(col.ids(), vectors=True)])
    np.testing.assert_array_equal(rows, eye(0, 1, 2, 3, 4, 5))
    assert all(type(name) in (int, str) for name in col.ids())


def test_upsert_of_a_present_id_replaces_what_is_given_and_keeps_the_rest(col: Collection) -> None:
    col.upsert(["a", "b"], {"image": eye(0, 1)}, [{"n": 1}, {"n": 2}], ["u1", "u2"])
    col.upsert(["a"], {"caption": eye(2)})
    assert col.get("a").fields == ("image", "caption")
    assert col.get("a").metadata == {"n": 1}
    col.upsert(["b", "a"], {"image": eye(3, 4)}, [None, {"m": 9}], ["u3", None])
    a, b = col.get(["a", "b"], vectors=True)
    np.testing.assert_array_equal(a.vectors["image"], eye(4)[0])
    np.testing.assert_array_equal(a.vectors["caption"], eye(2)[0])
    np.testing.assert_array_equal(b.vectors["image"], eye(3)[0])
    assert (a.metadata, a.uri) == ({"m": 9}, "u1")  # replaced, not merged
    assert (b.metadata, b.uri) == ({"n": 2}, "u3")
    assert len(col) == 2
    assert col.ids() == ["a", "b"]


def test_metadata_alone_can_be_changed(col: Collection) -> None:
    col.upsert(["a"], {"image": eye(0)}, [{"n": 1}])
    col.upsert(["a"], metadata=[{}], uris=["there"])
    assert (col.get("a").metadata, col.get("a").uri) == ({}, "there")
    assert col.get("a").fields == ("image",)
    col.upsert([])
    assert len(col) == 1


def test_remove(col: Collection) -> None:
    col.upsert(["a", "b", 3], {"image": eye(0, 1, 2)})
    col.upsert(["a"], {"caption": eye(0)})
    col.remove("a")
    col.remove(np.int64(3))
    assert col.ids() == ["b"]
    assert len(col) == 1
    assert col.search(vectors={"clip": eye(0)[0]}, limit=9).ids == ["b"]
    assert [row["rows"] for row in col.stats()["fields"].values()] == [1, 0]
    col.remove([])
    col.upsert(["a"], {"caption": eye(5)})
    assert col.get("a").fields == ("caption",)  # nothing of the removed item comes back
    assert col.ids() == ["b", "a"]


# -- searching ----------------------------------------------------------------------------------


def mixed(col: Collection, rng: np.random.Generator) -> dict[str, dict[Any, npt.NDArray[Any]]]:
    """30 image items, 30 caption items and 10 of both; returns the unit rows by field and id."""
    image, caption = rng.normal(size=(40, DIM)), rng.normal(size=(40, DIM))
    col.upsert([f"i{i}" for i in range(30)], {"image": image[:30]})
    col.upsert([f"c{i}" for i in range(30)], {"caption": caption[:30]})
    col.upsert([f"b{i}" for i in range(10)], {"image": image[30:], "caption": caption[30:]})
    both = [f"b{i}" for i in range(10)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, caption)]
    return {
        "image": dict(zip([f"i{i}" for i in range(30)] + both, unit[0], strict=True)),
        "caption": dict(zip([f"c{i}" for i in range(30)] + both, unit[1], strict=True)),
    }


def ranked(scores: dict[Any, float], order: list[Any]) -> list[Any]:
    return sorted(scores, key=lambda name: (-scores[name], order.index(name)))


def test_rrf_is_the_formula_over_all_fields(col: Collection, rng: np.random.Generator) -> None:
    rows, q = mixed(col, rng), rng.normal(size=DIM)
    weights = {"image": 1.0, "caption": 0.5}
    scores: dict[Any, float] = {}
    for field, vectors in rows.items():
        cosine = {name: float(row @ q) for name, row in vectors.items()}
        for rank, name in enumerate(ranked(cosine, col.ids()), 1):
            scores[name] = scores.get(name, 0.0) + weights[field] / (60 + rank)
    hits = col.search(vectors={"clip": q}, fusion="rrf", weights={"caption": 0.5}, limit=70)
    assert hits.ids == ranked(scores, col.ids())
    assert hits.scores == pytest.approx([scores[name] for name in hits.ids])
    assert {hit.score_kind for hit in hits} == {"rrf"}
    assert (hits.fusion, hits.reason) == ("rrf", "asked for")


def test_cohort_is_a_z_score_against_the_fields_background(
    col: Collection, rng: np.random.Generator
) -> None:
    rows, q = mixed(col, rng), rng.normal(size=DIM)
    q /= np.linalg.norm(q)
    parts: dict[Any, list[float]] = {}
    for vectors in rows.values():  # fewer than 1,000 rows: the background is the whole field
        cosine = {name: float(row @ q) for name, row in vectors.items()}
        mean, deviation = np.mean(list(cosine.values())), np.std(list(cosine.values()))
        for name, score in cosine.items():
            parts.setdefault(name, []).append((score - mean) / deviation)
    scores = {name: float(np.mean(of)) for name, of in parts.items()}
    hits = col.search(vectors={"clip": q}, fusion="cohort", limit=5)
    assert hits.ids == ranked(scores, col.ids())[:5]
    assert hits.scores == pytest.approx([scores[name] for name in hits.ids], abs=1e-4)


@pytest.mark.parametrize("fusion", ["rrf", "convex", "minmax", "zscore", "cohort", "combmax"])
def test_every_fusion_gives_each_item_once_and_explains_itself(
    col: Collection, rng: np.random.Generator, fusion: str
) -> None:
    rows, q = mixed(col, rng), rng.normal(size=DIM)
    unit = q / np.linalg.norm(q)
    hits = col.search(vectors={"clip": q}, fusion=fusion, limit=70)
    assert len(hits) == len(set(hits.ids)) == 70
    assert hits.scores == sorted(hits.scores, reverse=True)
    assert hits.fusion == fusion
    for hit in hits:
        had = [field for field in rows if hit.id in rows[field]]
        assert [part.field for part in hit.contributions] == had
        for part in hit.contributions:
            assert part.raw == pytest.approx(float(rows[part.field][hit.id] @ unit), abs=1e-5)
            assert part.weight == 1.0
            assert part.query_modality is None
        if fusion != "combmax":
            total = sum(part.weight * (part.normalised or 0.0) for part in hit.contributions)
            if fusion == "convex":  # a weighted mean over all the fields searched
                total /= 2.0
            if fusion == "cohort":  # over those that the item has
                total /= len(had)
            assert hit.score == pytest.approx(total, abs=1e-6)
        assert hit.field in had
    assert fusion in hits.explain()


def test_the_limit_and_short_lists(col: Collection, rng: np.random.Generator) -> None:
    q = eye(0)[0]
    assert len(col.search(vectors={"clip": q})) == 0
    assert col.search(vectors={"clip": q}).ids == []
    mixed(col, rng)
    assert len(col.search(vectors={"clip": q})) == 10
    assert len(col.search(vectors={"clip": q}, limit=np.int64(3))) == 3
    assert len(col.search(vectors={"clip": q}, limit=1000)) == 70
    assert len(col.search(vectors={"clip": q}, limit=2**80, ef=2**80)) == 70
    whole = col.search(vectors={"clip": q}, limit=1000, fusion="cohort")
    assert col.search(vectors={"clip": q}, limit=7, fusion="cohort").ids == whole.ids[:7]


def test_fields_and_weights_choose_what_is_searched(
    col: Collection, rng: np.random.Generator
) -> None:
    mixed(col, rng)
    ask: dict[str, Any] = {"vectors": {"clip": rng.normal(size=DIM)}, "limit": 100}
    only = col.search(fields=["caption"], **ask)
    assert sorted(only.ids) == sorted([f"c{i}" for i in range(30)] + [f"b{i}" for i in range(10)])
    assert {part.field for hit in only for part in hit.contributions} == {"caption"}
    assert col.search(weights={"image": 0}, **ask).ids == only.ids
    assert col.search(fields=("caption", "caption"), **ask).ids == only.ids
    assert col.search(vectors={"clip": rng.normal(size=(1, DIM))}, limit=1).ids


def test_metadata_and_uri_come_with_the_hit(col: Collection) -> None:
    col.upsert(["a"], {"image": eye(0)}, [{"n": [1]}], ["file:///a"])
    hit = col.search(vectors={"clip": eye(0)[0]})[0]
    assert (hit.id, hit.metadata, hit.uri, hit.field) == ("a", {"n": [1]}, "file:///a", "image")


def test_auto_takes_cohort_for_single_modality_items_and_rrf_for_the_others(
    col: Collection, rng: np.random.Generator
) -> None:
    ask = {"vectors": {"clip": rng.normal(size=DIM)}}
    mixed(col, rng)  # 10 of 70 items fill both
    hits = col.search(**ask)
    assert hits.fusion == "cohort"
    assert hits.reason == "auto: 14% of the items fill more than one searched field"
    names = [f"x{i}" for i in range(100)]
    col.upsert(
        names, {"image": rng.normal(size=(100, DIM)), "caption": rng.normal(size=(100, DIM))}
    )
    hits = col.search(**ask)
    assert hits.fusion == "rrf"
    assert hits.reason == "auto: 65% of the items fill more than one searched field"
    assert col.search(fields=["image"], **ask).fusion == "cohort"


def test_the_cohort_is_a_fixed_sample_that_follows_growth_and_removal(
    col: Collection, rng: np.random.Generator
) -> None:
    q = rng.normal(size=DIM)

    def draw() -> list[int]:
        col.search(vectors={"clip": q}, fusion="cohort", limit=1)
        return col._storage.cohorts._drawn["image"][1].tolist()

    def grow(n: int) -> None:
        start = len(col)
        col.upsert(list(range(start, start + n)), {"image": rng.normal(size=(n, DIM))})

    grow(1500)
    first = draw()
    assert len(first) == len(set(first)) == 1000
    assert draw() == first
    grow(1000)
    assert draw() == first  # not yet twice as many
    grow(1000)
    second = draw()
    assert second != first
    assert max(second) > 2500  # drawn from the new rows as well
    col.remove(list(range(1200)))
    left = draw()
    assert set(left) < set(second)
    assert not set(left) & set(range(1, 1201))
    col.remove(list(range(1200, 2400)))
    third = draw()
    assert not set(third) & set(range(1, 2401))
    assert len(third) == 1000


def test_composed_queries_add_up_over_the_same_fields(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Two parts in one space need an encoder; two spaces show that each part keeps to its own."""
    image, body = rng.normal(size=(20, DIM)), rng.normal(size=(20, 4))
    with gl.open(tmp_path / "two", two_space_schema()) as col:
        col.upsert(list(range(20)), {"image": image, "body": body})
        hits = col.search(vectors={"clip": image[4], "bge": body[4]}, fusion="rrf")
        assert hits[0].id == 4
        assert [part.field for part in hits[0].contributions] == ["image", "body"]
        assert hits[0].score == pytest.approx(2 / 61)
        alone = col.search(vectors={"bge": body[4]}, fusion="rrf")
        assert [part.field for part in alone[0].contributions] == ["body"]


# -- opening ------------------------------------------------------------------------------------


def test_open_makes_parents_and_needs_a_schema_once(tmp_path: Path, schema: gl.Schema) -> None:
    path = tmp_path / "deep" / "er"
    gl.open(path, schema).close()
    with gl.open(str(path)) as col:
        assert col.schema == schema
        assert col.path == path
    gl.open(path, schema).close()
    with pytest.raises(SchemaMismatch, match="space 'clip' has dim 8 on disk, 9 given"):
        gl.open(path, gl.Schema({"clip": gl.Space(9)}, dict(schema.fields)))
    gl.open(path).close()  # the refused open left no lock behind


HOW_TO_MAKE = (
    r"does not exist: correct the path, or make one with gl\.open\(path, schema\) or "
    "`gapless index DIR --collection PATH`"
)


def test_open_refuses_what_is_no_collection(tmp_path: Path, schema: gl.Schema) -> None:
    with pytest.raises(NotACollection, match=HOW_TO_MAKE):
        gl.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotACollection, match="holds no collection: correct the path"):
        gl.open(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    for given in (None, schema):
        with pytest.raises(NotACollection, match="holds no collection"):
            gl.open(tmp_path / "photos", given)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["a.jpg"]
    with pytest.raises(NotACollection, match="is a file"):
        gl.open(tmp_path / "photos" / "a.jpg", schema)
    with pytest.raises(InvalidArgument, match="schema is a dict"):
        gl.open(tmp_path / "new", {"clip": 4})  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_stats_count_what_is_there(col: Collection) -> None:
    col.upsert(["a", "b"], {"image": eye(0, 1)})
    stats = col.stats()
    assert stats["items"] == 2
    assert stats["fields"]["image"] | {"memory_bytes": 0} == {
        "space": "clip",
        "modality": "image",
        "index": "flat",
        "dim": 8,
        "rows": 2,
        "memory_bytes": 0,
        "segment": None,
    }
    assert stats["fields"]["image"]["memory_bytes"] > 0
    assert (stats["pending_rows"], stats["pending_bytes"]) == (2, 64)
    assert stats["alignment"] is None
    col.checkpoint()
    assert col.stats()["pending_rows"] == 0
    assert col.stats()["fields"]["image"]["segment"].startswith("00-image-")
