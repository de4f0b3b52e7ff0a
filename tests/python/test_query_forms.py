"""Every way to ask: parts, weights, negatives, stored items, regions, routes, quotas, offsets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument, SchemaMismatch, SpaceMismatch, UnknownField, UnknownId

N, DIM = 200, 12
Rows = npt.NDArray[np.float64]


def unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def schema() -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(DIM), "dino": gl.Space(6)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "look": gl.Field("dino", "image", index="flat"),
        },
    )


@pytest.fixture
def rows() -> dict[str, Rows]:
    rng = np.random.default_rng(3)
    image = unit(rng.normal(size=(N, DIM)))
    return {
        "image": image,
        "caption": unit(image + 0.6 * rng.normal(size=(N, DIM)) / np.sqrt(DIM)),
        "look": unit(rng.normal(size=(N, 6))),
    }


@pytest.fixture
def col(tmp_path: Path, rows: dict[str, Rows]) -> Any:
    with gl.open(tmp_path / "c", schema()) as made:
        made.upsert(range(N), rows)
        yield made


class Toy:
    """An encoder of words, brightnesses and sounds: their number picks a direction."""

    def encode(self, items: Any) -> npt.NDArray[np.float32]:
        numbers = [len(item) if isinstance(item, str) else int(np.mean(item)) for item in items]
        return np.stack([np.roll(np.arange(DIM, 0, -1), n) for n in numbers]).astype(np.float32)


def z(query: Rows, rows: Rows) -> Rows:
    scores = rows @ query
    return (scores - scores.mean()) / scores.std()


def ranked(scores: Rows, k: int) -> list[int]:
    return np.lexsort((np.arange(len(scores)), -scores))[:k].tolist()


def test_weights_of_parts_weigh_their_lists(col: Collection, rows: dict[str, Rows]) -> None:
    a, b = rows["caption"][3], rows["image"][40]
    hits = col.search(
        parts=[
            gl.Part(vector=a, space="clip", modality="text", weight=3.0),
            gl.Part(vector=b, space="clip", modality="image"),
        ],
        fields=["image"],
        fusion="cohort",  # the sample is the whole field, as that has fewer rows than a sample
        window=N,
    )
    wanted = (3 * z(a, rows["image"]) + z(b, rows["image"])) / 4
    assert hits.ids == ranked(wanted, 10)
    np.testing.assert_allclose(hits.scores, wanted[hits.ids], rtol=1e-4)


def test_negatives_lower_what_they_resemble(col: Collection, rows: dict[str, Rows]) -> None:
    a, unlike = rows["image"][3], rows["image"][9]
    hits = col.search(
        vectors={"clip": a},
        negatives=gl.Part(vector=unlike, space="clip", weight=0.5),
        fields=["image"],
        window=N,
    )
    assert hits.fusion == "cohort"
    wanted = (z(a, rows["image"]) - 0.5 * z(unlike, rows["image"])) / 1.5
    assert hits.ids == ranked(wanted, 10)
    assert [part.weight for part in hits[0].contributions] == [1.0, -0.5]
    with pytest.raises(InvalidArgument, match="nothing to search for"):
        col.search(negatives=gl.Part(like=3))
    with pytest.raises(InvalidArgument, match="rrf"):
        col.search(vectors={"clip": a}, negatives=gl.Part(like=3), fusion="rrf")


def test_more_like_a_stored_item_leaves_it_out(col: Collection, rows: dict[str, Rows]) -> None:
    hits = col.search(like=17, fields=["image"], fusion="combmax", limit=N)
    # Asked with both its vectors in that space, as the one field holds what either may find.
    scores = np.maximum(rows["image"] @ rows["image"][17], rows["image"] @ rows["caption"][17])
    assert hits.ids == [i for i in ranked(scores, N) if i != 17]
    assert len(col.search(like=[17, 18], limit=N)) == N - 2
    with pytest.raises(UnknownId, match="no item 'x'"):
        col.search(like="x")


def test_routes_send_a_modality_to_its_fields(col: Collection, rows: dict[str, Rows]) -> None:
    asked: dict[str, Any] = {
        "parts": [
            gl.Part(vector=rows["image"][5], space="clip", modality="text"),
            gl.Part(vector=rows["look"][5], space="dino", modality="image"),
        ],
        "routes": {"text": ["caption"], "image": ["look"]},
    }
    hits = col.search(**asked)
    assert hits[0].id == 5
    told = {(c.query_modality, c.field) for hit in hits for c in hit.contributions}
    assert told == {("text", "caption"), ("image", "look")}
    with pytest.raises(InvalidArgument, match="routes sends 'text' queries to none"):
        col.search(**asked, fields=["look"])
    with pytest.raises(UnknownField, match="no field 'x'"):
        col.search(vectors={"clip": rows["image"][0]}, routes={"": ["x"]})


def test_a_schema_remembers_its_routes(tmp_path: Path, rows: dict[str, Rows]) -> None:
    plain = schema()
    routed = gl.Schema(plain.spaces, plain.fields, routes={"image": ["look"], "text": ["caption"]})
    assert gl.Schema.from_json(routed.to_json()) == routed != plain
    with gl.open(tmp_path / "c", routed) as col:
        col.upsert(range(N), rows)
    with gl.open(tmp_path / "c") as col:
        both = {"clip": rows["image"][5], "dino": rows["look"][5]}
        hits = col.search(vectors={"dino": rows["look"][5]}, modality="image")
        assert {c.field for hit in hits for c in hit.contributions} == {"look"}
        hits = col.search(vectors={"clip": rows["image"][5]}, modality="text")
        assert {c.field for hit in hits for c in hit.contributions} == {"caption"}
        hits = col.search(vectors={"clip": rows["image"][5]}, modality="text", routes={})
        assert {c.field for hit in hits for c in hit.contributions} == {"image", "caption"}
        with pytest.raises(SpaceMismatch, match="'clip'"):
            col.search(vectors=both, modality="image")
    with pytest.raises(SchemaMismatch, match="routes are"):
        gl.open(tmp_path / "c", plain)
    with pytest.raises(SchemaMismatch, match="'x'"):
        gl.Schema(plain.spaces, plain.fields, routes={"image": ["x"]})
    with pytest.raises(InvalidArgument, match="list of fields"):
        gl.Schema(plain.spaces, plain.fields, routes={"image": "look"})


def test_only_fields_of_the_modality_asked_for(col: Collection, rows: dict[str, Rows]) -> None:
    hits = col.search(vectors={"clip": rows["image"][5]}, filter_modality="text")
    assert {c.field for hit in hits for c in hit.contributions} == {"caption"}
    with pytest.raises(InvalidArgument, match=r"'audio'.*'image', 'text'"):
        col.search(vectors={"clip": rows["image"][5]}, filter_modality="audio")


def test_quotas_are_exact_before_the_lists_meet(col: Collection, rows: dict[str, Rows]) -> None:
    query = rows["image"][5]
    hits = col.search(vectors={"clip": query}, quotas={"image": 16, "caption": 7}, limit=N)
    for field, quota in (("image", 16), ("caption", 7)):
        ranks = {
            hit.id: c.rank for hit in hits for c in hit.contributions if c.field == field and c.rank
        }
        assert sorted(ranks.values()) == list(range(1, quota + 1))
        assert sorted(ranks, key=ranks.__getitem__) == ranked(rows[field] @ query, quota)
    assert len(hits) == len(
        set(ranked(rows["image"] @ query, 16)) | set(ranked(rows["caption"] @ query, 7))
    )
    by_modality = col.search(
        vectors={"clip": query}, quotas={"image": 16, "text": 7}, fields=["image", "caption"]
    )
    assert by_modality.ids == hits.ids[:10]
    with pytest.raises(InvalidArgument, match="quotas"):
        col.search(vectors={"clip": query}, quotas={"image": 0})
    with pytest.raises(InvalidArgument, match=r"quotas.*'song'"):
        col.search(vectors={"clip": query}, quotas={"song": 3})


def test_pages_by_offset_make_one_list(col: Collection, rows: dict[str, Rows]) -> None:
    asked: dict[str, Any] = {"vectors": {"clip": rows["image"][5]}, "fusion": "cohort"}
    whole = col.search(**asked, limit=100)
    pages = [col.search(**asked, limit=9, offset=start) for start in range(0, 99, 9)]
    assert [hit.id for page in pages for hit in page] == whole.ids[:99]
    assert len(col.search(**asked, offset=N + 5)) == 0
    with pytest.raises(InvalidArgument, match="offset is -1"):
        col.search(**asked, offset=-1)


def test_encoders_of_ones_own_take_any_modality(tmp_path: Path) -> None:
    toy = Toy()
    own = {"clip": {"text": toy, "image": toy, "audio": toy}}
    with gl.open(tmp_path / "c", schema(), encoders=own) as col:
        col.upsert(["a", "b"], {"image": toy.encode(["abc", "abcdef"])})
        assert col.search("abc").ids[0] == "a"
        assert col.search(audio="abcdef").ids[0] == "b"
        many = col.search_many(audios=["abcdef", "a"])
        assert many == [col.search(audio="abcdef"), col.search(audio="a")]
        with pytest.raises(InvalidArgument, match="texts and audios are 1 and 2 long"):
            col.search_many(["a"], audios=["a", "b"])
        picture = np.zeros((10, 20), np.uint8)
        picture[:5, :10] = 6
        found = col.search(parts=[gl.Part(image=picture, box=(0, 0, 10, 5))])
        assert found.ids[0] == "b"  # the region alone has the brightness of b
        found = col.search(parts=[gl.Part(image=picture, box=(0.0, 0.0, 0.5, 0.5))])
        assert found.ids[0] == "b"
        with pytest.raises(InvalidArgument, match="20 x 10 pixels"):
            col.search(parts=[gl.Part(image=picture, box=(0, 0, 21, 5))])
    with pytest.raises(InvalidArgument, match="encode"):
        gl.open(tmp_path / "c", schema(), encoders={"clip": {"text": len}})
    with pytest.raises(UnknownField, match="'x'"):
        gl.open(tmp_path / "c", schema(), encoders={"x": {}})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "exactly one"),
        ({"text": "a", "image": "b"}, "text and image"),
        ({"text": " "}, "text is ' '"),
        ({"vector": [1.0]}, "names its space"),
        ({"text": "a", "space": "clip"}, "names its space"),
        ({"text": "a", "weight": 0}, "weight is 0"),
        ({"text": "a", "weight": float("nan")}, "weight is nan"),
        ({"text": "a", "box": (0, 0, 1, 1)}, "this part has none"),
        ({"image": "a", "box": (0, 0, 0, 1)}, "left below right"),
        ({"image": "a", "box": (0.5, 0.5, 2.0, 1.0)}, "shares end at 1.0"),
        ({"image": "a", "box": "left"}, "box is 'left'"),
        ({"text": "a", "modality": "image"}, "leave it out"),
        ({"like": 1.5}, "1.5"),
    ],
)
def test_bad_parts_say_what_is_wrong(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        gl.Part(**given)


def test_bad_questions_change_nothing(col: Collection, rows: dict[str, Rows]) -> None:
    query = {"clip": rows["image"][0]}
    with pytest.raises(InvalidArgument, match="parts holds 'snow'"):
        col.search(parts=["snow"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match="window is 0"):
        col.search(vectors=query, window=0)
    with pytest.raises(SpaceMismatch, match="'dino'"):
        col.search(vectors=query, fields=["look"])
    with pytest.raises(InvalidArgument, match="timeout is -1"):
        col.search(vectors=query, timeout=-1)


def test_async_gives_what_search_gives(col: Collection, rows: dict[str, Rows]) -> None:
    query = {"clip": rows["image"][0]}
    assert asyncio.run(col.asearch(vectors=query, limit=3)) == col.search(vectors=query, limit=3)


def test_an_over_run_search_says_so(col: Collection, rows: dict[str, Rows]) -> None:
    with pytest.raises(gl.errors.Timeout, match="timeout"):
        col.search(vectors={"clip": rows["image"][0]}, timeout=1e-9)


def test_a_batch_answers_as_single_questions_do(col: Collection, rows: dict[str, Rows]) -> None:
    queries = rows["image"][:30]
    for fusion in ("rrf", "cohort", "minmax"):
        many = col.search_many(vectors={"clip": queries}, fusion=fusion, limit=5)
        assert len(many) == 30
        for query, hits in zip(queries, many, strict=True):
            alone = col.search(vectors={"clip": query}, fusion=fusion, limit=5)
            assert hits.ids == alone.ids
            np.testing.assert_allclose(hits.scores, alone.scores, rtol=1e-6)
            told, wanted = hits.explanation["hits"], alone.explanation["hits"]
            for one, other in zip(told, wanted, strict=True):
                ranks = [[part["rank"] for part in own["contributions"]] for own in (one, other)]
                assert ranks[0] == ranks[1]
    assert col.search_many(vectors={"clip": queries[:0]}) == []
    with pytest.raises(InvalidArgument, match="30 and 29"):
        col.search_many(vectors={"clip": queries, "dino": rows["look"][:29]})
    with pytest.raises(InvalidArgument, match="no argument 'depht'"):
        col.search_many(vectors={"clip": queries}, depht=3)
