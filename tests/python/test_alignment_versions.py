"""Alignments of a collection: versions, rollback, comparison, drift, and maps between spaces."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from alignment_kit import Rows, cones, schema_of, unit
from gapless.alignment.align import align_rows, read_pairs
from gapless.alignment.maps import METHODS, fit
from gapless.alignment.samples import sum_up
from gapless.collection import Collection
from gapless.errors import AlignmentRefused, CorruptFile, InvalidArgument, UnknownId

MODALITY = {"image": "image", "caption": "text"}


def told(col: Collection, q: Rows, **ask: Any) -> list[Any]:
    """All that a search of everything says."""
    hits = col.search(
        vectors={"clip": q}, modality="text", limit=200, fusion=ask.pop("fusion", "cohort"), **ask
    )
    return [
        (h.id, pytest.approx(h.score, abs=1e-5), [(c.field, c.rank) for c in h.contributions])
        for h in hits
    ]


def raws(hits: gl.Hits) -> dict[Any, Any]:
    """Score of every item in every field."""
    return {
        (h.id, c.field): pytest.approx(c.aligned, abs=1e-6) for h in hits for c in h.contributions
    }


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_items_that_fill_two_fields_judge_it(
    tmp_path: Path, rng: np.random.Generator, index: str
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of(index)) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        active = col.align("center")
        assert active is not None
        assert active.validation is not None
        found = gl.align(
            {"image": image, "caption": text}, MODALITY, pairs={"image": image, "caption": text}
        )
        assert found.validation is not None
        for ours, theirs in zip(
            active.validation.directions, found.validation.directions, strict=True
        ):
            assert (ours.query, ours.document, ours.pairs) == (theirs.query, theirs.document, 60)
            assert ours.mrr == pytest.approx(theirs.mrr, abs=0.02)  # float32 rows
        assert [finding.code for finding in active.findings] == ["QUERY_MEAN_ASSUMED"] * 2
        assert "image queries" in active.findings[0].sentence


def test_a_search_compares_any_version_without_touching_the_active_one(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, text = cones(rng)
    q = text[3] + 0.1
    said = {}
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert([f"i{i}" for i in range(60)], {"image": image})
        col.upsert([f"t{i}" for i in range(50)], {"caption": text[:50]})
        col.upsert([f"b{i}" for i in range(10)], {"image": image[:10], "caption": text[:10]})
        said["raw"] = {f: told(col, q, fusion=f) for f in ("cohort", "rrf", "combmax")}
        for method in ("center", "project", "whiten"):
            version = col.align(method)
            assert version is not None
            said[version.version] = {f: told(col, q, fusion=f) for f in ("cohort", "rrf")}
        assert said["raw"] != said[1] != said[2]
        for active in (3, 1, "raw"):
            col.rollback(active)
            for version, by_fusion in said.items():
                for fusion, wanted in by_fusion.items():
                    assert told(col, q, fusion=fusion, alignment=version) == wanted
            assert (col.alignment.version if col.alignment else "raw") == active
            assert told(col, q) == said[active]["cohort"]
        # The query's modality need not be told to a raw search.
        col.rollback(1)
        hits = col.search(vectors={"clip": q}, alignment="raw", fusion="combmax", limit=5)
        assert [h.id for h in hits] == [name for name, *_ in said["raw"]["combmax"][:5]]


def test_comparing_reads_a_graph_field_exactly(tmp_path: Path, rng: np.random.Generator) -> None:
    image, _ = cones(rng, 400)
    asked = cones(rng, 20)[1]
    with gl.open(tmp_path / "c", schema_of("hnsw")) as col:
        col.upsert(list(range(400)), {"image": image})
        col.upsert([f"t{i}" for i in range(20)], {"caption": asked})
        col.align("center")
        for q in asked[:5]:
            hits = col.search(vectors={"clip": q}, fields=["image"], alignment="raw", limit=30)
            order = np.argsort(-(unit(image) @ unit(q)))[:30]
            assert hits.ids == order.tolist()
            assert [h.contributions[0].aligned for h in hits] == pytest.approx(
                (unit(image) @ unit(q))[order].tolist(), abs=1e-6
            )


def test_the_chunks_of_a_comparison_agree(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        col.upsert(["twin"], {"image": image[:1], "caption": text[:1]})
        col.align("center")
        whole = told(col, text[0], alignment="raw")
        monkeypatch.setattr("gapless.alignment.view.CHUNK", 7)
        assert told(col, text[0], alignment="raw") == whole
        col.align("raw")
        assert told(col, text[0]) == whole


def test_versions_are_listed_and_rolled_back_also_after_reopening(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        assert col.alignments() == []
        first = col.align("center")
        before = told(col, text[0])
        col.upsert(list(range(60, 90)), {"image": image[:30] + 1})
        second = col.align("project")
        assert [(v.version, v.method, v.active) for v in col.alignments()] == [
            (1, "center", False),
            (2, "project", True),
        ]
        assert col.alignments()[1] == second
        assert second is not None
        assert second.rows == {"image": 90, "caption": 60}
        col.remove(list(range(60, 90)))
    with gl.open(tmp_path / "c") as col:
        assert col.rollback(1) == first == col.alignment
        assert [v.active for v in col.alignments()] == [True, False]
        assert told(col, text[0]) == before
    with gl.open(tmp_path / "c") as col:
        assert col.alignment == first
        assert col.rollback("raw") is None
        assert [v.active for v in col.alignments()] == [False, False]
        assert col.align("center").version == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("version", [0, 7, True, "center", 1.5, [1], None])
def test_unknown_versions_are_refused(
    tmp_path: Path, rng: np.random.Generator, version: Any
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        active = col.align("center")
        with pytest.raises(InvalidArgument, match=r"versions are 1 \(and 'raw'\)"):
            col.rollback(version)
        if version is not None:
            with pytest.raises(InvalidArgument, match=r"versions are 1 \(and 'raw'\)"):
                col.search(vectors={"clip": text[0]}, modality="text", alignment=version)
        assert col.alignment == active


def test_a_refused_alignment_leaves_no_version(tmp_path: Path, rng: np.random.Generator) -> None:
    image, text = cones(rng, 200)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(200)), {"image": image, "caption": text})
        active = col.align("center")
        with pytest.raises(AlignmentRefused, match="loses held-out cross-modal quality"):
            col.align("whiten", components=1)
        assert col.alignments() == [active]
        assert col.alignment == active
        accepted = col.align("whiten", components=1, tolerance=1.0)
        assert accepted is not None
        assert accepted.validation is not None
        assert accepted.validation.losing == ()


def test_pairs_may_be_ids(tmp_path: Path, rng: np.random.Generator) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert([f"i{i}" for i in range(60)], {"image": image})
        col.upsert([f"t{i}" for i in range(60)], {"caption": text})
        plain = col.align("center")
        assert plain is not None
        assert plain.validation is None
        assert [f.code for f in plain.findings][-1] == "UNVALIDATED"
        with pytest.raises(InvalidArgument, match="0 pairs of image and text"):
            col.align("ridge")
        given = [(f"i{i}", f"t{i}") if i % 2 else (f"t{i}", f"i{i}") for i in range(60)]
        judged = col.align("center", pairs=given)
        assert judged is not None
        assert judged.validation is not None
        wanted = gl.align(
            {"image": image, "caption": text}, MODALITY, pairs={"image": image, "caption": text}
        ).validation
        assert wanted is not None
        assert [d.pairs for d in judged.validation.directions] == [60, 60]
        assert judged.validation.directions[0].mrr == pytest.approx(
            wanted.directions[0].mrr, abs=0.1
        )  # other folds
        ridge = col.align("ridge", pairs=given, tolerance=1.0)
        assert ridge is not None
        assert ridge.method == "ridge"
        with pytest.raises(UnknownId, match="no item 'i99'"):
            col.align("center", pairs=[("i99", "t1")])
        for bad in (5, "ab", [1], [("i1", "t1", "t2")]):
            with pytest.raises(InvalidArgument, match="pairs"):
                col.align("center", pairs=bad)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scores_rows_as_numpy_moves_them(
    tmp_path: Path, rng: np.random.Generator, method: str
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        assert col.align(method, tolerance=1.0) is not None
        maps = fit(
            method,
            sum_up(
                {"image": image, "caption": text},
                MODALITY,
                pairs=read_pairs({"image": image, "caption": text}, MODALITY),
                moments=True,
            ),
        )
        for modality, q in (("text", text[7]), ("image", image[7])):
            hits = col.search(vectors={"clip": q}, modality=modality, limit=60)
            for field, rows in (("image", image), ("caption", text)):
                asked = align_rows(q[None], maps[field], modality)[0]
                wanted = dict(enumerate(align_rows(rows, maps[field]) @ asked))
                found = {h.id: c.aligned for h in hits for c in h.contributions if c.field == field}
                assert found == pytest.approx(wanted, abs=2e-5)


def test_only_some_fields_are_aligned(tmp_path: Path, rng: np.random.Generator) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        active = col.align("center", fields=["image"])
        assert active is not None
        assert active.rows == {"image": 60}
        hits = col.search(vectors={"clip": text[0]}, modality="image", limit=60)
        found = {h.id: c.aligned for h in hits for c in h.contributions if c.field == "caption"}
        assert found == pytest.approx(dict(enumerate(unit(text) @ unit(text[0]))), abs=1e-5)
        for bad, what in (("image", "give a list"), ([], "fields is empty")):
            with pytest.raises(InvalidArgument, match=what):
                col.align("center", fields=bad)


def test_an_alignment_of_the_first_release_is_read(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        col.align("center")
        before = told(col, text[0])
    db = sqlite3.connect(tmp_path / "c" / "catalog.sqlite")
    db.execute(
        """UPDATE alignments SET details = '{"rows": {"image": 60, "caption": 60}, """
        """"query_rows": {}}'"""
    )
    db.commit()
    db.close()
    with gl.open(tmp_path / "c") as col:
        assert col.alignment is not None
        assert (col.alignment.validation, col.alignment.findings) == (None, ())
        assert told(col, text[0]) == before
        assert [(d.distance, d.added) for d in col.drift()] == [(None, None)] * 2


@pytest.mark.parametrize("details", ["{", "[]", '{"rows": 3, "query_rows": {}}', "{}"])
def test_damaged_details_are_a_corrupt_file(
    tmp_path: Path, rng: np.random.Generator, details: str
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        col.align("center")
    db = sqlite3.connect(tmp_path / "c" / "catalog.sqlite")
    db.execute("UPDATE alignments SET details = ?", (details,))
    db.commit()
    db.close()
    with pytest.raises(CorruptFile, match="alignment 1 is damaged"):
        gl.open(tmp_path / "c")
