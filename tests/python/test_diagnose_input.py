"""What a diagnosis refuses, and what it makes of rows that show nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.diagnosis.diagnose import diagnose
from gapless.diagnosis.doctor import examine
from gapless.errors import InvalidArgument

MODALITY = {"image": "image", "caption": "text"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": {}}, "there is no vector to look at"),
        ({"fields": {"image": np.empty((0, 4))}}, "there is no vector to look at"),
        ({"fields": {"image": np.ones((2, 4)), "caption": np.ones((2, 5))}}, "shapes"),
        ({"fields": {"image": np.ones(4)}}, "shapes"),
        ({"fields": {"image": np.ones((2, 4))}, "keys": {"image": [1]}}, "2 rows and 1 keys"),
        ({"fields": {"image": np.ones((2, 4))}, "keys": {}}, "keys lacks the field 'image'"),
        ({"fields": {"sound": np.ones((2, 4))}}, "modality_of lacks the field 'sound'"),
        ({"fields": {"image": np.ones((2, 4))}, "k": 0}, "k is 0"),
        ({"fields": {"image": np.ones((2, 4))}, "sample": 0}, "sample is 0"),
        ({"fields": {"image": [[1.0, 0], [np.nan, 1]]}}, "field 'image' has norm nan"),
        ({"fields": {"image": np.zeros((2, 4))}}, "field 'image' has norm 0"),
        (
            {"fields": {"image": np.ones((2, 4)), "caption": np.ones((3, 4))}, "paired": True},
            "paired fields have",
        ),
        ({"fields": {"image": np.ones((2, 4))}, "keys": {"image": [1, 2]}, "paired": True}, "both"),
        ({"fields": {"image": np.ones((2, 4))}, "queries": {"text": np.ones((2, 3))}}, "shape"),
        ({"fields": {"image": np.ones((2, 4))}, "answers": {"text": [1]}}, "1 items for 0 'text'"),
        ({"fields": {"image": np.ones((2, 4))}, "labels": {"image": [1]}}, "2 rows and 1 labels"),
        ({"fields": {"image": np.ones((2, 4))}, "labels": {"text": [1]}}, "names the field 'text'"),
        (
            {
                "fields": {"image": np.ones((2, 4))},
                "keys": {"image": [7, 7]},
                "labels": {"image": ["a", "b"]},
            },
            "key 7 has the labels 'a' and 'b'",
        ),
    ],
)
def test_diagnose_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        diagnose(modality_of=MODALITY, **arguments)  # type: ignore[arg-type]


ROWS = np.ones((2, 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fields": None}, "fields is a NoneType"),
        ({"fields": {"image": None}}, "field 'image' has dtype object"),
        ({"fields": {"image": [["x"]]}}, "give real numbers"),
        ({"fields": {"image": ROWS + 1j}}, "give real numbers"),
        ({"fields": {"image": [[1, 2], [3]]}}, "rows of unequal length"),
        ({"modality_of": ["image"]}, "modality_of is a list"),
        ({"keys": [1, 2]}, "keys is a list"),
        ({"keys": {"image": ["a", "b"]}}, "keys of field 'image' have dtype"),
        ({"keys": {"image": [1.0, 2.0]}}, "give one integer each"),
        ({"keys": {"image": [[1], [2]]}}, r"shape \(2, 1\)"),
        ({"pairs": 5}, "pairs is 5"),
        ({"pairs": [(1,)]}, "give pairs of keys"),
        ({"pairs": [(0, 1), (2,)]}, "give pairs of keys"),
        ({"pairs": [("a", "b")]}, "give pairs of keys"),
        ({"fields": {"image": np.ma.masked_less(ROWS, 2)}}, "field 'image' has masked entries"),
        ({"modality_of": {"image": ["photo"]}}, "modality of field 'image' is no word"),
        ({"alignments": {"image": gl.Alignment(offset=np.ones(3))}}, "is not for vectors of dim 4"),
        ({"alignments": {"image": gl.Alignment(linear=np.eye(3))}}, "is not for vectors of dim 4"),
        ({"alignments": [1]}, "alignments is a list"),
        ({"alignments": {"image": 5}}, "alignments has 5 for 'image'"),
        ({"alignments": {"imgae": None}}, "for 'imgae': give an Alignment for a field"),
        ({"labels": {"image": None}}, "labels of 'image' are None"),
        ({"labels": {1.5: "a"}}, r"labels has the key 1\.5"),
        ({"labels": 5}, "labels is a int"),
        ({"labels": {0: ["a"]}}, "a label is"),
        ({"labels": {"image": [["a"], ["b"]]}}, "a label is"),
        ({"queries": [1]}, "queries is a list"),
        ({"queries": {"text": "words"}}, "give real numbers"),
        ({"answers": [1]}, "answers is a list"),
        ({"queries": {"text": ROWS}, "answers": {"text": ["a", "b"]}}, "give one integer each"),
        ({"k": "ten"}, "k is 'ten'"),
        ({"k": True}, "k is True"),
        ({"sample": 2.5}, r"sample is 2\.5"),
    ],
)
def test_diagnose_refuses_what_has_another_form(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        diagnose(**{"fields": {"image": ROWS}, **given})  # type: ignore[arg-type]


def test_nan_labels_nothing() -> None:
    fields = {"image": np.eye(6)}
    some = diagnose(fields, labels={"image": [1.0, 1.0, np.nan, np.nan, 2.0, 2.0]})
    assert some.routes[0].judged == 4
    assert some == diagnose(fields, labels={0: 1.0, 1: 1.0, 4: 2.0, 5: 2.0})


def numbers(value: object) -> list[float]:
    """Every number in plain lists and dicts."""
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers(part)]
    if isinstance(value, (list, tuple)):
        return [n for part in value for n in numbers(part)]
    return [float(value)] if isinstance(value, (int, float)) else []


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("image", "text", "wanted"),
    [
        (np.eye(4)[:1], np.eye(4)[1:2], {"FEW_ROWS"}),
        (np.eye(4)[:1], np.ones((1, 4)), {"FEW_ROWS"}),
        (np.ones((50, 4)), np.ones((50, 4)), {"COLLAPSED"}),
        (np.ones((50, 4)), -np.ones((50, 4)), {"COLLAPSED"}),
        (np.tile(np.eye(4)[0], (50, 1)), np.tile(np.eye(4)[1], (50, 1)), {"COLLAPSED"}),
    ],
)
def test_degenerate_rows_are_read_without_nan_and_said_to_be(
    image: npt.NDArray[np.float64],
    text: npt.NDArray[np.float64],
    wanted: set[str],
    paired: bool,
) -> None:
    maps = {
        # a centring that leaves nothing of the rows, as a field of equal rows would
        name: gl.Alignment(offset=-rows.mean(axis=0) / np.linalg.norm(rows[0]))
        for name, rows in (("image", image), ("text", text))
    }
    for alignments in (None, maps):
        found = diagnose({"image": image, "text": text}, paired=paired, alignments=alignments)
        assert wanted <= {finding.code for finding in found.findings}
        every = numbers(found.to_dict())
        assert every and all(np.isfinite(every))
        assert "nan" not in str(found)
        assert examine(found)
