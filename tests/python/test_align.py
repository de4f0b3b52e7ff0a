from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import two_space_schema
from gapless.alignment.align import align_rows, center, mean_direction
from gapless.alignment.versions import dump_alignment, load_alignment
from gapless.errors import (
    CorruptFile,
    InvalidArgument,
    InvalidVector,
    SpaceMismatch,
    UnknownField,
)

DIM = 8
MODALITY = {"image": "image", "caption": "text", "title": "text"}


def unit(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cones(
    rng: np.random.Generator, n: int = 60
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Images and texts of the same n meanings, in two cones far apart."""
    meaning = rng.normal(size=(n, DIM))
    away = np.eye(DIM)[:2] * 6
    return meaning + away[0], meaning + 0.2 * rng.normal(size=(n, DIM)) + away[1]


# -- the functions ------------------------------------------------------------------------------


def test_mean_direction_is_the_float64_mean_of_unit_rows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, DIM)) * rng.uniform(0.1, 9, size=(40, 1))
    np.testing.assert_allclose(mean_direction(x), unit(x).mean(axis=0), atol=1e-15)
    assert mean_direction(x.astype(np.float32)).dtype == np.float64


def test_center_subtracts_each_fields_mean_and_each_query_modalitys_mean(
    rng: np.random.Generator,
) -> None:
    image, text = cones(rng)
    title = rng.normal(size=(20, DIM)) + 2
    asked = rng.normal(size=(30, DIM)) + np.eye(DIM)[3]
    maps = center({"image": image, "caption": text, "title": title}, MODALITY, {"text": asked})
    for field, rows in (("image", image), ("caption", text), ("title", title)):
        np.testing.assert_allclose(maps[field].offset, -unit(rows).mean(axis=0), atol=1e-6)
        assert maps[field].linear is None
        # queries: the sample for text, and for images (no sample) their documents
        assert sorted(maps[field].query) == ["image", "text"]
        np.testing.assert_allclose(
            maps[field].query["text"][0], -unit(asked).mean(axis=0), atol=1e-6
        )
        np.testing.assert_allclose(
            maps[field].query["image"][0], -unit(image).mean(axis=0), atol=1e-6
        )


def test_without_queries_a_modality_pools_all_its_fields(rng: np.random.Generator) -> None:
    text, title = rng.normal(size=(50, DIM)), rng.normal(size=(10, DIM)) + 3
    maps = center({"caption": text, "title": title}, MODALITY)
    pooled = unit(np.concatenate([text, title])).mean(axis=0)
    np.testing.assert_allclose(maps["caption"].query["text"][0], -pooled, atol=1e-6)
    np.testing.assert_allclose(maps["title"].query["text"][0], -pooled, atol=1e-6)


def test_a_query_modality_without_documents_gets_its_own_mean(rng: np.random.Generator) -> None:
    image, asked = rng.normal(size=(9, DIM)), rng.normal(size=(9, DIM))
    maps = center({"image": image}, MODALITY, {"audio": asked})
    np.testing.assert_allclose(
        maps["image"].query["audio"][0], -unit(asked).mean(axis=0), atol=1e-6
    )


def test_chunks_give_the_same_means_as_one_array(rng: np.random.Generator) -> None:
    image, _ = cones(rng)

    def chunks() -> Iterator[npt.NDArray[np.float32]]:
        yield np.empty((0, DIM), np.float32)
        yield image[:7].astype(np.float32)
        yield image[7:].astype(np.float32)

    streamed = center({"image": chunks()}, MODALITY)["image"]
    whole = center({"image": image.astype(np.float32)}, MODALITY)["image"]
    np.testing.assert_allclose(streamed.offset, whole.offset, atol=1e-7)


def test_center_closes_the_gap_of_real_clip_vectors(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    maps = center({"image": image, "caption": text}, MODALITY)
    before = np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))
    after = np.linalg.norm(
        align_rows(image, maps["image"]).mean(axis=0)
        - align_rows(text, maps["caption"]).mean(axis=0)
    )
    assert before == pytest.approx(0.851, abs=0.002)
    assert after < 0.05


def test_center_keeps_the_cross_modal_ranking_of_real_clip_vectors(
    clip_pairs: npt.NDArray[np.float32],
) -> None:
    image, text = clip_pairs
    maps = center({"image": image, "caption": text}, MODALITY)

    def recall(q: npt.NDArray[np.float64], d: npt.NDArray[np.float64], k: int) -> float:
        scores = q @ d.T
        better = (scores > np.diag(scores)[:, None]).sum(axis=1)
        return float((better < k).mean())

    raw = recall(text.astype(np.float64), image.astype(np.float64), 10)
    centred = recall(align_rows(text, maps["image"], "text"), align_rows(image, maps["image"]), 10)
    assert raw == pytest.approx(0.862, abs=0.002)
    assert centred >= raw - 0.01


def test_align_rows_is_the_formula_written_out(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, DIM)) * 3
    offset, linear = rng.normal(size=4), rng.normal(size=(4, DIM))
    asked_offset = rng.normal(size=4)
    alignment = gl.Alignment(
        offset=offset.astype(np.float32),
        linear=linear.astype(np.float32),
        query={"text": (asked_offset.astype(np.float32), linear.astype(np.float32))},
    )
    np.testing.assert_allclose(
        align_rows(x, alignment), unit(unit(x) @ linear.T + offset), atol=1e-6
    )
    np.testing.assert_allclose(
        align_rows(x, alignment, "text"), unit(unit(x) @ linear.T + asked_offset), atol=1e-6
    )
    np.testing.assert_allclose(align_rows(x, None), unit(x), atol=1e-15)
    with pytest.raises(InvalidArgument, match=r"no query map for 'audio': it has \['text'\]"):
        align_rows(x, alignment, "audio")


def test_align_rows_gives_zero_where_nothing_is_left() -> None:
    x = np.eye(DIM)[:2]
    alignment = gl.Alignment(offset=(-np.eye(DIM)[0]).astype(np.float32))
    aligned = align_rows(x, alignment)
    assert not aligned[0].any()
    assert np.linalg.norm(aligned[1]) == pytest.approx(1)


@pytest.mark.parametrize("rows", [[], np.empty((0, DIM)), np.ones((1, DIM))])
def test_center_needs_two_rows_of_every_field(rows: npt.ArrayLike) -> None:
    with pytest.raises(InvalidArgument, match=r"field 'image' has [01] rows .* at least 2"):
        center({"image": rows}, MODALITY)


def test_center_refuses_bad_input(rng: np.random.Generator) -> None:
    image = rng.normal(size=(9, DIM))
    with pytest.raises(InvalidArgument, match="documents is empty"):
        center({}, {})
    with pytest.raises(InvalidArgument, match="modality_of lacks the field 'photo'"):
        center({"photo": image}, MODALITY)
    with pytest.raises(InvalidArgument, match="the 'text' queries has 1 rows"):
        center({"image": image}, MODALITY, {"text": image[:1]})
    with pytest.raises(SpaceMismatch, match=r"dims \[7, 8\]"):
        center({"image": image, "caption": image[:, :7]}, MODALITY)
    with pytest.raises(SpaceMismatch, match=r"dims \[7, 8\]"):
        center({"image": image}, MODALITY, {"text": image[:, :7]})
    with pytest.raises(InvalidVector, match=r"shape \(9,\)"):
        center({"image": image[:, 0]}, MODALITY)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_center_names_a_row_without_direction(rng: np.random.Generator, bad: float) -> None:
    image = rng.normal(size=(9, DIM))
    image[4] = bad
    with pytest.raises(InvalidVector, match="row 4 of field 'image'"):
        center({"image": image}, MODALITY)


def test_an_alignment_survives_packing(rng: np.random.Generator) -> None:
    alignment = gl.Alignment(
        offset=rng.normal(size=4).astype(np.float32),
        linear=rng.normal(size=(4, DIM)).astype(np.float32),
        query={
            "text": (rng.normal(size=4).astype(np.float32), None),
            "Bild/é": (None, rng.normal(size=(4, DIM)).astype(np.float32)),
        },
    )
    again = load_alignment(dump_alignment(alignment))
    np.testing.assert_array_equal(again.offset, alignment.offset)
    np.testing.assert_array_equal(again.linear, alignment.linear)
    assert sorted(again.query) == ["Bild/é", "text"]
    np.testing.assert_array_equal(again.query["text"][0], alignment.query["text"][0])
    assert again.query["text"][1] is None
    assert again.query["Bild/é"][0] is None
    np.testing.assert_array_equal(again.query["Bild/é"][1], alignment.query["Bild/é"][1])


def test_damaged_packing_is_refused() -> None:
    blob = dump_alignment(gl.Alignment(offset=np.ones(DIM, np.float32)))
    for damaged in (b"", b"junk", blob[: len(blob) // 2], blob[:200] + b"\x00" * 40 + blob[240:]):
        with pytest.raises(InvalidArgument, match="not a stored alignment"):
            load_alignment(damaged)


# -- on a collection ----------------------------------------------------------------------------


def filled(
    path: Path, rng: np.random.Generator, index: str = "flat"
) -> tuple[gl.Collection, dict[str, npt.NDArray[np.float64]]]:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index=index),
            "caption": gl.Field("clip", "text", index=index),
        },
    )
    image, text = cones(rng)
    col = gl.open(path, schema)
    col.upsert([f"i{i}" for i in range(60)], {"image": image})
    col.upsert([f"t{i}" for i in range(60)], {"caption": text})
    return col, {"image": image, "caption": text}


def raws(hits: object) -> dict[str, float]:
    return {hit.id: hit.contributions[0].aligned for hit in hits}  # type: ignore[attr-defined]


def expected(
    rows: dict[str, npt.NDArray[np.float64]],
    q: npt.NDArray[np.float64],
    means: dict[str, npt.NDArray[np.float64]] | None = None,
    asked: npt.NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """What plain numpy gives when the rows themselves are shifted and normalised again."""
    found = {}
    for field, letter in (("image", "i"), ("caption", "t")):
        d = unit(rows[field]) if means is None else unit(unit(rows[field]) - means[field])
        p = unit(q) if asked is None else unit(unit(q) - asked)
        found |= {f"{letter}{i}": score for i, score in enumerate(d @ p)}
    return found


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_align_changes_the_scores_by_the_formula_and_raw_takes_it_back(
    tmp_path: Path, rng: np.random.Generator, index: str
) -> None:
    col, rows = filled(tmp_path / "c", rng, index)
    q = rows["caption"][3] + 0.1
    ask = {"vectors": {"clip": q}, "modality": "text", "limit": 120, "ef": 120}
    means = {field: unit(x).mean(axis=0) for field, x in rows.items()}
    before = raws(col.search(**ask))
    assert before == pytest.approx(expected(rows, q), abs=1e-5)
    active = col.align("center")
    assert active is not None
    assert (active.version, active.method) == (1, "center")
    assert active.rows == {"image": 60, "caption": 60}
    assert active.query_rows == {}
    assert col.alignment == active
    after = raws(col.search(**ask))
    assert after == pytest.approx(expected(rows, q, means, means["caption"]), abs=1e-5)
    queries = rng.normal(size=(25, DIM)) + 1
    active = col.align("center", queries={"text": queries})
    assert active is not None
    assert (active.version, active.query_rows) == (2, {"clip/text": 25})
    asked = unit(queries).mean(axis=0)
    assert raws(col.search(**ask)) == pytest.approx(expected(rows, q, means, asked), abs=1e-5)
    assert col.align("raw") is None
    assert col.alignment is None
    assert raws(col.search(**ask)) == before
    col.align("center")
    assert col.align(None) is None
    assert raws(col.search(**ask)) == before
    col.close()


def test_the_active_alignment_survives_reopening(tmp_path: Path, rng: np.random.Generator) -> None:
    col, rows = filled(tmp_path / "c", rng)
    ask = {"vectors": {"clip": rows["caption"][3]}, "modality": "text", "limit": 120}
    col.align("center", queries={"text": rows["caption"][:30]})
    before, active = col.search(**ask), col.alignment
    col.close()
    with gl.open(tmp_path / "c") as col:
        assert col.alignment == active
        assert col.search(**ask) == before
        col.align("raw")
        plain = col.search(**ask)
        assert plain != before
    with gl.open(tmp_path / "c") as col:
        assert col.alignment is None
        assert col.search(**ask) == plain


def test_rows_added_later_are_aligned_too(tmp_path: Path, rng: np.random.Generator) -> None:
    col, rows = filled(tmp_path / "c", rng)
    col.align("center")
    means = {field: unit(x).mean(axis=0) for field, x in rows.items()}
    late = rng.normal(size=DIM)
    col.upsert(["late"], {"image": late[None]})
    q = rows["caption"][0]
    found = raws(col.search(vectors={"clip": q}, modality="text", limit=200))
    wanted = unit(unit(late) - means["image"]) @ unit(unit(q) - means["caption"])
    assert found["late"] == pytest.approx(wanted, abs=1e-5)
    col.close()


def test_centring_puts_images_among_the_answers_to_a_text(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    col, rows = filled(tmp_path / "c", rng)

    def share_of_images() -> float:
        found = [
            hit.id
            for q in rows["caption"]
            for hit in col.search(vectors={"clip": q}, modality="text", fusion="combmax")
        ]
        return sum(str(name).startswith("i") for name in found) / len(found)

    before = share_of_images()
    col.align("center")
    assert before < 0.1
    assert 0.35 < share_of_images() < 0.65
    col.close()


def test_align_refuses_and_keeps_what_was_active(tmp_path: Path, rng: np.random.Generator) -> None:
    col, _ = filled(tmp_path / "c", rng)
    active = col.align("center")
    good = rng.normal(size=(9, DIM))
    with pytest.raises(InvalidArgument, match="method is 'rotate': choose one of center, shift"):
        col.align("rotate")
    with pytest.raises(InvalidArgument, match="queries is a list"):
        col.align("center", queries=[good])  # type: ignore[arg-type]
    with pytest.raises(InvalidVector, match=r"'text' queries of space 'clip' have shape \(9, 7\)"):
        col.align("center", queries={"text": good[:, :7]})
    with pytest.raises(UnknownField, match="queries names the space 'clap'"):
        col.align("center", queries={"clap": {"text": good}})
    with pytest.raises(InvalidArgument, match="'text' queries has 1 rows"):
        col.align("center", queries={"text": good[:1]})
    with pytest.raises(InvalidArgument, match="queries is a ndarray"):
        col.align("center", queries=good)  # type: ignore[arg-type]
    with pytest.raises(InvalidVector, match="queries of space 'clip' has dtype <U1"):
        col.align("center", queries={"text": [["a"]]})
    with pytest.raises(InvalidVector, match="queries of space 'clip' is no array"):
        col.align("center", queries={"text": [[1.0, 2.0], [3.0]]})
    with pytest.raises(InvalidArgument, match=r"both rows and dicts under \['text', 'clip'\]"):
        col.align("center", queries={"text": good, "clip": {"text": good}})
    with pytest.raises(InvalidArgument, match="queries names the modality 3: give a string"):
        col.align("center", queries={3: good})  # type: ignore[dict-item]
    with pytest.raises(InvalidVector, match="row 2 of the 'text' queries"):
        col.align("center", queries={"text": np.where(np.arange(9)[:, None] == 2, 0, good)})
    assert col.alignment == active
    col.close()
    with gl.open(tmp_path / "c") as col:
        assert col.alignment == active


def test_align_refuses_an_empty_field(tmp_path: Path, schema: gl.Schema) -> None:
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(["a", "b"], {"image": np.eye(2, DIM)})
        with pytest.raises(InvalidArgument, match="field 'caption' has 0 rows"):
            col.align("center")
        assert col.alignment is None


def test_several_spaces_are_centred_apart_and_ask_for_queries_by_space(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, body = rng.normal(size=(20, DIM)) + 1, rng.normal(size=(20, 4)) + 1
    with gl.open(tmp_path / "c", two_space_schema()) as col:
        col.upsert(list(range(20)), {"image": image, "body": body})
        with pytest.raises(InvalidArgument, match="give queries as"):
            col.align("center", queries={"text": body})
        active = col.align("center", queries={"bge": {"text": body[:5]}})
        assert active is not None
        assert active.query_rows == {"bge/text": 5}
        hit = col.search(vectors={"bge": body[2]}, modality="text", limit=20)
        found = {h.id: h.contributions[0].aligned for h in hit}
        q = unit(unit(body[2]) - unit(body[:5]).mean(axis=0))
        wanted = unit(unit(body) - unit(body).mean(axis=0)) @ q
        assert found == pytest.approx(dict(enumerate(wanted)), abs=1e-5)


def test_a_damaged_alignment_is_a_corrupt_file(tmp_path: Path, rng: np.random.Generator) -> None:
    col, _ = filled(tmp_path / "c", rng)
    col.align("center")
    col.close()
    db = sqlite3.connect(tmp_path / "c" / "catalog.sqlite")
    db.execute("UPDATE alignment_fields SET map = x'00' WHERE field = 'image'")
    db.commit()
    db.close()
    with pytest.raises(CorruptFile, match="alignment 1 is damaged"):
        gl.open(tmp_path / "c")


def test_large_arrays_are_summed_in_chunks(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(20_000, DIM)).astype(np.float32)
    np.testing.assert_allclose(
        mean_direction(rows), unit(rows.astype(np.float64)).mean(axis=0), atol=1e-12
    )
    rows[19_000] = 0
    with pytest.raises(InvalidVector, match="row 19000 of field 'image' has norm 0"):
        center({"image": rows}, MODALITY)
