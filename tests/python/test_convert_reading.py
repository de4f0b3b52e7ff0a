"""Rows out of the files of other libraries, against what numpy says is in them."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.convert.importing import import_collection, import_rows
from gapless.convert.row_file import RowFile
from gapless.errors import (
    CorruptFile,
    DuplicateId,
    InvalidArgument,
    InvalidVector,
    NotACollection,
    SchemaMismatch,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "convert"
ROWS, RAW, IDS = (np.load(GOLDEN / f"{name}.npy") for name in ("rows", "raw", "ids"))
LIVE = [row for row in range(12) if row not in (3, 7)]  # those that make.py marks as deleted


def gather(source: RowFile, rows: int | None = None) -> tuple[list[Any], npt.NDArray[Any]]:
    names: list[Any] = []
    parts = [np.empty((0, source.dim), np.float32)]
    for some, block in source.blocks(rows):
        assert len(some) == len(block)
        assert block.dtype == np.float32
        names += some
        parts.append(block)
    return names, np.concatenate(parts)


@pytest.mark.parametrize("block", [1, 5, None])
@pytest.mark.parametrize(
    ("name", "wanted", "ids", "metric"),
    [
        ("flat_ip.faiss", ROWS, range(12), "inner_product"),
        ("flat_l2.faiss", RAW, range(12), "l2"),
        ("idmap.faiss", ROWS, IDS.tolist(), "l2"),
        ("idmap2.faiss", ROWS, IDS.tolist(), "inner_product"),
        ("idmap_hnsw.faiss", ROWS, IDS.tolist(), "inner_product"),
        ("hnsw.faiss", ROWS, range(12), "inner_product"),
        ("hnsw_l2.faiss", RAW, range(12), "l2"),
        ("ip.hnswlib", ROWS[LIVE], [100 + row for row in LIVE], None),
        ("l2.hnswlib", RAW[LIVE], [100 + row for row in LIVE], None),
        ("rows.npy", ROWS, range(12), None),
        ("fortran16.npy", ROWS.astype(np.float16), range(12), None),
        ("arrays.npz", ROWS, IDS.tolist(), None),
        ("compressed.npz", RAW, [f"ü{i}" for i in range(12)], None),
    ],
)
def test_golden_files_give_their_rows(
    name: str, wanted: npt.NDArray[Any], ids: Any, metric: str | None, block: int | None
) -> None:
    source = import_rows(GOLDEN / name)
    names, rows = gather(source, block)
    assert names == list(ids)
    np.testing.assert_array_equal(rows, wanted)
    assert (source.count, source.dim, source.metric) == (12, 5, metric)


def test_cosine_space_of_hnswlib_keeps_unit_rows() -> None:
    names, rows = gather(import_rows(GOLDEN / "cosine.hnswlib"))
    assert names == [100 + row for row in LIVE]
    np.testing.assert_allclose(rows, ROWS[LIVE], atol=1e-6)


def test_what_is_not_taken_over_is_said() -> None:
    assert "graph is not taken over" in import_rows(GOLDEN / "hnsw.faiss").notes[0]
    assert import_rows(GOLDEN / "arrays.npz").notes == ("not taken over: 'other'",)
    assert import_rows(GOLDEN / "flat_ip.faiss").notes == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sq.faiss", "'IxSQ', which is IndexScalarQuantizer.*reconstruct_n"),
        ("l1.faiss", "faiss metric 2"),
        ("objects.npy", "Python objects, which only unpickling could read"),
        ("ids.npy", "give rows as a matrix"),
        ("make.py", "begins with"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=said):
        import_collection(GOLDEN / name, tmp_path / "col", modality="image")
    assert list(tmp_path.iterdir()) == []


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ["GAPLESS_TEST_BOMB"],)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fired = tmp_path / "fired"
    monkeypatch.setenv("GAPLESS_TEST_BOMB", str(fired))
    bomb = np.empty((1, 1), object)
    bomb[0, 0] = _Bomb()
    np.save(tmp_path / "rows.npy", bomb, allow_pickle=True)
    np.save(tmp_path / "ids.npy", bomb[0], allow_pickle=True)
    np.save(tmp_path / "good.npy", np.eye(1, 4))
    np.savez(tmp_path / "rows.npz", vectors=bomb, ids=np.arange(1))
    np.savez(tmp_path / "ids.npz", vectors=np.eye(1, 4), ids=bomb[0])
    (tmp_path / "rows.pkl").write_bytes(pickle.dumps(bomb))
    for name, ids in {
        "rows.npy": None, "good.npy": "ids.npy", "rows.npz": None, "ids.npz": None,
        "rows.pkl": None,
    }.items():  # fmt: skip
        with pytest.raises(InvalidArgument, match=r"unpickling|pickled"):
            gather(import_rows(tmp_path / name, ids=None if ids is None else tmp_path / ids))
    assert not fired.exists()
    pickle.loads((tmp_path / "rows.pkl").read_bytes())
    assert fired.exists()  # so it is one


def test_names_in_an_archive_are_no_paths(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    np.save(tmp_path / "rows.npy", ROWS)
    path = inner / "evil.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../escaped", "/tmp/gapless-escaped", "C:\\escaped", "vectors"):
            archive.write(tmp_path / "rows.npy", f"{name}.npy")
    before = sorted(tmp_path.rglob("*"))
    import_collection(path, inner / "col", modality="image", index="flat")
    new = set(tmp_path.rglob("*")) - set(before)
    assert all(each.is_relative_to(inner / "col") for each in new)
    assert not Path("/tmp/gapless-escaped.npy").exists()
    names, rows = gather(import_rows(path, array="../../escaped"))
    assert names == list(range(12))
    np.testing.assert_array_equal(rows, ROWS)


def test_ids_of_an_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "other.npy", np.array([f"n{i}" for i in range(12)]))
    assert gather(import_rows(tmp_path / "rows.npy"))[0] == list(range(12))
    named = import_rows(tmp_path / "rows.npy", ids=tmp_path / "other.npy")
    assert named.ids == "str"
    assert gather(named, 5)[0] == [f"n{i}" for i in range(12)]
    np.save(tmp_path / "rows.ids.npy", IDS)
    assert gather(import_rows(tmp_path / "rows.npy"))[0] == IDS.tolist()
    np.save(tmp_path / "other.npy", np.arange(11))
    with pytest.raises(InvalidArgument, match=r"ids of shape \(11,\), and there are 12 rows"):
        import_rows(tmp_path / "rows.npy", ids=tmp_path / "other.npy")
    np.save(tmp_path / "other.npy", np.arange(12, dtype=np.uint64) + np.uint64(2**63))
    with pytest.raises(InvalidArgument, match="9223372036854775808, which a 64-bit signed"):
        import_rows(tmp_path / "rows.npy", ids=tmp_path / "other.npy")
    np.save(tmp_path / "other.npy", np.arange(12.0))
    with pytest.raises(InvalidArgument, match="ids of float64"):
        import_rows(tmp_path / "rows.npy", ids=tmp_path / "other.npy")


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "i1", "<u2", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_number_type_and_order(dtype: str, order: Any, tmp_path: Path) -> None:
    rows = np.asarray(RAW * 10, dtype="<f4" if "u" not in dtype else "<u2")
    rows = np.array(rows.astype(dtype), order=order)
    np.save(tmp_path / "rows.npy", rows)
    found = gather(import_rows(tmp_path / "rows.npy"), 5)[1]
    np.testing.assert_array_equal(found, rows.astype(np.float32))


def test_npz_says_what_it_needs(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=ROWS, b=RAW)
    with pytest.raises(InvalidArgument, match=r"'a' \(12, 5\), 'b' \(12, 5\); name the rows"):
        import_rows(tmp_path / "two.npz")
    np.testing.assert_array_equal(gather(import_rows(tmp_path / "two.npz", array="b"))[1], RAW)
    with pytest.raises(InvalidArgument, match="no array 'c'"):
        import_rows(tmp_path / "two.npz", array="c")
    np.savez(tmp_path / "fortran.npz", np.asfortranarray(ROWS))
    with pytest.raises(InvalidArgument, match="ascontiguousarray"):
        import_rows(tmp_path / "fortran.npz")


def test_rows_of_other_lengths_are_normalised_and_said(tmp_path: Path) -> None:
    made = import_collection(GOLDEN / "flat_l2.faiss", tmp_path / "col", modality="image")
    assert (made.items, made.rows, made.metric) == (12, {"image": 12}, "l2")
    assert [finding.code for finding in made.findings] == ["ROWS_NORMALISED"]
    assert "12 of 12 rows" in made.findings[0].sentence
    assert "L2" in made.findings[0].sentence
    with gl.open(tmp_path / "col") as col:
        kept = np.stack([item.vectors["image"] for item in col.get(list(range(12)), vectors=True)])
    np.testing.assert_allclose(kept, ROWS, atol=1e-6)
    unit = import_collection(GOLDEN / "flat_ip.faiss", tmp_path / "unit", modality="image")
    assert unit.findings == ()
    with pytest.raises(InvalidArgument, match=r"row of length .*: row 0, id 0"):
        import_collection(GOLDEN / "flat_l2.faiss", tmp_path / "no", modality="a", strict=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["col", "unit"]


def test_deleted_rows_are_counted(tmp_path: Path) -> None:
    made = import_collection(GOLDEN / "ip.hnswlib", tmp_path / "col", modality="image")
    assert (made.items, made.skipped) == (10, 2)
    with gl.open(tmp_path / "col") as col:
        assert col.ids() == [100 + row for row in LIVE]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e300])
def test_rows_without_direction_leave_nothing_behind(value: float, tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64)
    rows[8] = value
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(InvalidVector, match="row 8, id 8"):
        import_collection(tmp_path / "rows.npy", tmp_path / "col", modality="image")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.parametrize("at", [3, 11])
def test_an_id_given_twice_is_named(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapless.convert.row_file.BLOCK_BYTES", 4 * 5 * 4)  # four rows
    np.savez(tmp_path / "rows.npz", vectors=ROWS, ids=np.where(np.arange(12) == at, 1, range(12)))
    with pytest.raises(DuplicateId, match="id 1 twice"):
        import_collection(tmp_path / "rows.npz", tmp_path / "col", modality="image")
    assert not (tmp_path / "col").exists()


def test_schema_and_field(tmp_path: Path, schema: gl.Schema) -> None:
    path = GOLDEN / "rows.npy"
    with pytest.raises(InvalidArgument, match="modality='image'"):
        import_collection(path, tmp_path / "col")
    with pytest.raises(SchemaMismatch, match="rows of 5 components, and the field 'image' takes 8"):
        import_collection(path, tmp_path / "col", schema=schema, field="image")
    with pytest.raises(InvalidArgument, match="name the one of 'image', 'caption'"):
        import_collection(path, tmp_path / "col", schema=schema)
    made = import_collection(path, tmp_path / "col", field="cover", modality="image", index="flat")
    assert made.rows == {"cover": 12}
    with gl.open(tmp_path / "col") as col:
        assert col.schema.fields["cover"] == gl.Field("vectors", "image", index="flat")
    with pytest.raises(NotACollection, match="is not empty"):
        import_collection(path, tmp_path / "col", modality="image")
    (tmp_path / "empty").mkdir()
    assert import_collection(path, tmp_path / "empty", modality="image").items == 12
    wide = gl.Schema({"s": gl.Space(5)}, {"a": gl.Field("s", "x"), "b": gl.Field("s", "y")})
    assert import_collection(path, tmp_path / "b", schema=wide, field="b").rows == {"a": 0, "b": 12}


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is a folder"):
        import_rows(tmp_path)
    with pytest.raises(FileNotFoundError):
        import_rows(tmp_path / "missing.npy")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument, match="no regular file"):
        import_rows(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidArgument, match="begins with b''"):
        import_rows(tmp_path / "empty")


def test_damage_names_file_section_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "cut.faiss"
    path.write_bytes((GOLDEN / "idmap2.faiss").read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"cut\.faiss is damaged: id_map at offset 330: it wants"):
        import_rows(path)
    path.write_bytes((GOLDEN / "ip.hnswlib").read_bytes()[:500])
    with pytest.raises(CorruptFile, match="level 0 at offset 96: it wants 672 bytes, and 404 are"):
        import_rows(path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    blocks = iter(import_rows(path).blocks(3))
    next(blocks)
    os.truncate(path, 200)
    with pytest.raises(CorruptFile, match="damaged"):
        list(blocks)
