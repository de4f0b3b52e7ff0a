"""What goes out of a collection comes back, and other libraries read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from gapless.collection import Collection
from gapless.convert.exporting import export_collection
from gapless.convert.importing import import_collection, import_rows
from gapless.errors import InvalidArgument, MissingExtra, UnknownField

NASTY: list[dict[str, Any] | None] = [
    {"nested": {"a": [1, 2.5, None, {"b": "ü\0\ud800"}], "huge": 10**30}, "": True},
    None,
    {},
    {"name": "日本", "float": 0.1 + 0.2, "minus": -0.0},
]
INT64 = np.iinfo(np.int64)


def rows(n: int, seed: int = 1, dim: int = 8) -> Any:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def fill(col: Collection) -> None:
    """Items of every kind: with either field or both, ids of both kinds, nasty metadata."""
    col.upsert(
        ["a", 1, "ü" * 3000, int(INT64.min)], {"image": rows(4)}, NASTY, ["u", None, "", "w"]
    )
    col.upsert([int(INT64.max), "1"], {"caption": rows(2, 2)}, spans={"caption": [(0, 1.5), None]})
    col.upsert(["", "nul\0"], {"image": rows(2, 3), "caption": rows(2, 4)}, [None, {"x": [[]]}])


def contents(col: Collection) -> list[Any]:
    items = col.get(col.ids(), vectors=True)
    return [
        (
            item.id,
            type(item.id),
            repr(item.metadata),
            item.uri,
            {name: found.tobytes() for name, found in item.vectors.items()},
            dict(item.spans),
        )
        for item in items
    ]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
def test_a_table_gives_back_the_collection(col: Collection, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    fill(col)
    done = export_collection(col, tmp_path / f"all.{suffix}")
    assert (done.items, done.skipped, done.field) == (8, 0, None)
    assert done.bytes == (tmp_path / f"all.{suffix}").stat().st_size
    steps: list[tuple[int, int]] = []
    made = import_collection(
        tmp_path / f"all.{suffix}", tmp_path / "back", progress=lambda *step: steps.append(step)
    )
    assert (made.items, made.rows) == (8, {"image": 6, "caption": 4})
    assert steps == [(8, 8)]
    with gl.open(tmp_path / "back") as back:
        assert back.schema == col.schema
        assert contents(back) == contents(col)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_fields_of_several_rows_and_small_batches(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    monkeypatch.setattr("gapless.convert.row_file.BLOCK_BYTES", 4 * 16 * 3)  # three items
    frame = gl.Field("s", "image", index="flat", several=True)
    schema = gl.Schema(
        {"s": gl.Space(8, revision="2")}, {"frame ü": frame, "t": gl.Field("s", "text")},
        routes={"text": ["t"]},
    )  # fmt: skip
    with gl.open(tmp_path / "col", schema) as col:
        films = [rows(n, n) for n in (3, 1, 2)]
        spans = [[(0, 1), None, (1, 2)], None, [(0, 0), (3, 4.5)]]
        col.upsert([5, 6, 7], {"frame ü": films}, spans={"frame ü": spans})
        col.upsert([8, 1, 9, 2], {"t": rows(4)})
        col.upsert([8], {"frame ü": [rows(4, 9)]}, [{"a": 1}])
        col.upsert([6], {"frame ü": [np.empty((0, 8))]})  # an item without any row
        export_collection(col, tmp_path / f"all.{suffix}")
        import_collection(tmp_path / f"all.{suffix}", tmp_path / "back")
        with gl.open(tmp_path / "back") as back:
            assert back.schema == schema
            assert contents(back) == contents(col)
        source = import_rows(tmp_path / f"all.{suffix}", array="frame ü")
        found = [
            (name, row) for names, some in source for name, row in zip(names, some, strict=True)
        ]
        assert [name for name, _ in found] == [5, 5, 5, 7, 7, 8, 8, 8, 8]
        np.testing.assert_array_equal(found[4][1], col.get(7, vectors=True).vectors["frame ü"][1])
        with pytest.raises(InvalidArgument, match="several rows in the field"):
            export_collection(col, tmp_path / "x.npz", field="frame ü")


def test_a_parquet_file_of_another_origin(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    golden = Path(__file__).parents[1] / "golden" / "convert"
    made = import_collection(golden / "foreign.parquet", tmp_path / "col", modality="image")
    assert made.notes == ("not taken over: 'year'",)
    with gl.open(tmp_path / "col") as col:
        assert col.ids() == [f"n{i}" for i in range(12)]
        kept = np.stack([item.vectors["image"] for item in col.get(col.ids(), vectors=True)])
    np.testing.assert_allclose(kept, np.load(golden / "rows.npy"), atol=1e-6)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("ids", [[5, -3, 2**62], ["a", "ü", "日" * 40]])
def test_arrays_give_back_rows_and_ids(
    col: Collection, suffix: str, ids: list[Any], tmp_path: Path
) -> None:
    col.upsert(ids, {"image": rows(3), "caption": rows(3, 2)})
    other: Any = "other" if isinstance(ids[0], str) else 0
    col.upsert([other], {"image": rows(1, 5)})
    path = tmp_path / f"rows.{suffix}"
    done = export_collection(col, path, field="caption")
    assert (done.items, done.skipped) == (3, 1)
    made = import_collection(path, tmp_path / "back", field="caption", modality="text")
    assert made.findings == ()
    kept = np.stack([item.vectors["caption"] for item in col.get(ids, vectors=True)])
    with gl.open(tmp_path / "back") as back:
        assert back.ids() == ids
        found = np.stack([item.vectors["caption"] for item in back.get(ids, vectors=True)])
    np.testing.assert_allclose(found, kept, atol=1e-7)
    if suffix == "npz":
        with np.load(path) as arrays:
            np.testing.assert_array_equal(arrays["vectors"], kept)
            assert arrays["ids"].tolist() == ids
    else:
        np.testing.assert_array_equal(np.load(path), kept)
        assert np.load(done.paths[1]).tolist() == ids


def test_faiss_reads_what_is_written(col: Collection, tmp_path: Path) -> None:
    ids = [70, -3, int(INT64.max)]
    col.upsert(ids, {"image": rows(3)})
    path = tmp_path / "rows.faiss"
    export_collection(col, path, field="image")
    kept = np.stack([item.vectors["image"] for item in col.get(ids, vectors=True)])
    names, found = next(iter(import_rows(path)))
    assert list(names) == ids
    np.testing.assert_array_equal(found, kept)
    faiss = pytest.importorskip("faiss", reason="faiss is missing: pip install faiss-cpu")
    index = faiss.read_index(str(path))
    assert type(index).__name__ == "IndexIDMap2"
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    np.testing.assert_array_equal(index.reconstruct(70), kept[0])
    scores, labels = index.search(kept, 1)
    assert labels[:, 0].tolist() == ids
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-6)


@pytest.mark.parametrize("deleted", [[], [3, 9]])
def test_hnswlib_files_of_this_machine(deleted: list[int], tmp_path: Path) -> None:
    hnswlib = pytest.importorskip("hnswlib", reason="hnswlib is missing: pip install hnswlib")
    index = hnswlib.Index("ip", 8)
    index.init_index(200, ef_construction=50, M=5)
    given = rows(150)
    index.add_items(given, np.arange(150) * 3)
    for label in deleted:
        index.mark_deleted(label * 3)
    index.save_index(str(tmp_path / "some.bin"))
    names: list[Any] = []
    for some, block in import_rows(tmp_path / "some.bin").blocks(64):
        np.testing.assert_array_equal(block, given[np.array(some) // 3])
        names += some
    # hnswlib keeps rows in the order in which its threads added them.
    assert sorted(names) == [3 * i for i in range(150) if i not in deleted]


@pytest.mark.parametrize("kind", ["IndexFlatL2", "IndexHNSWFlat"])
def test_faiss_files_of_this_machine(kind: str, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="faiss is missing: pip install faiss-cpu")
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(8) if kind == "IndexFlatL2" else
                              faiss.IndexHNSWFlat(8, 5))  # fmt: skip
    given = rows(150)
    index.add_with_ids(given, np.arange(150) * 3)
    faiss.write_index(index, str(tmp_path / "some"))
    source = import_rows(tmp_path / "some")
    assert (source.format, source.metric) == (
        f"faiss IndexIDMap2 over {kind}" + (" over IndexFlatL2" if "HNSW" in kind else ""),
        "l2",
    )
    for some, block in source.blocks(64):
        np.testing.assert_array_equal(block, given[np.array(some) // 3])


def test_an_empty_collection(col: Collection, tmp_path: Path) -> None:
    for name in ("e.npz", "e.npy", "e.faiss"):
        export_collection(col, tmp_path / name, field="image")
        assert (
            import_collection(tmp_path / name, tmp_path / f"{name}.col", field="image").items == 0
        )


def test_exports_that_cannot_be(col: Collection, tmp_path: Path) -> None:
    fill(col)
    for name, field, kind, said in (
        ("x.npz", None, InvalidArgument, "fields 'image', 'caption', and this format takes one"),
        ("x.npz", "sound", UnknownField, "there is no field 'sound'"),
        ("x.npz", "image", InvalidArgument, "ids are of both kinds"),
        ("x.faiss", "image", InvalidArgument, "id 'a' is a string, and faiss takes integers"),
        ("x.csv", "image", InvalidArgument, "ends in '.csv': give a file that ends in"),
        ("missing/x.npz", "image", InvalidArgument, "is no folder"),
    ):
        with pytest.raises(kind, match=said):
            export_collection(col, tmp_path / name, field=field)
    assert [path.name for path in tmp_path.iterdir()] == ["col"]
    col.remove([name for name in col.ids() if name != "nul\0"])
    with pytest.raises(InvalidArgument, match="ends in NUL"):
        export_collection(col, tmp_path / "x.npz", field="image")


def test_a_file_that_is_there_is_kept(col: Collection, tmp_path: Path) -> None:
    col.upsert([1], {"image": rows(1)})
    (tmp_path / "x.npz").write_text("mine")
    with pytest.raises(InvalidArgument, match="is there already"):
        export_collection(col, tmp_path / "x.npz", field="image")
    assert (tmp_path / "x.npz").read_text() == "mine"
    export_collection(col, tmp_path / "x.npz", field="image", overwrite=True)
    assert import_rows(tmp_path / "x.npz").count == 1


def test_tables_without_pyarrow_say_what_to_install(
    col: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pip install 'gapless"):
        export_collection(col, tmp_path / "x.parquet")
    golden = Path(__file__).parents[1] / "golden" / "convert"
    with pytest.raises(MissingExtra, match="pyarrow"):
        import_rows(golden / "foreign.parquet")
