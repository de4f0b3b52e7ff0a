"""Bad input to what closes the gap: named, changing nothing, and no score that is no number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector
from gapless.query.fusion import FUSIONS

DIM = 8
RNG = np.random.default_rng(0)
MEANING = RNG.normal(size=(80, DIM))
IMAGE = MEANING + 4 * np.eye(DIM)[0]
TEXT = MEANING + 0.3 * RNG.normal(size=(80, DIM)) + 4 * np.eye(DIM)[1]
IDS = list(range(80))
ASK: dict[str, Any] = {"vectors": {"clip": TEXT[3]}, "modality": "text", "limit": 80}


@pytest.fixture(scope="module")
def col(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )
    with gl.open(tmp_path_factory.mktemp("gap") / "c", schema) as opened:
        opened.upsert(IDS, {"image": IMAGE, "caption": TEXT})
        opened.align("center")
        opened.calibrate(positives={("text", "caption"): (TEXT + 0.1, IDS)})
        yield opened


def refused(col: Collection, kind: type[Exception], message: str, call: Any) -> None:
    before = (col.alignment, col.calibration, col.alignments(), col.search(**ASK))
    with pytest.raises(kind, match=message):
        call()
    assert (col.alignment, col.calibration, col.alignments(), col.search(**ASK)) == before


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (InvalidArgument, "fields is 5: give a list", {"fields": 5}),
        (InvalidArgument, "method is array", {"method": np.array(["center", "shift"])}),
        (InvalidVector, "complex numbers", {"pairs": {"image": IMAGE + 0j, "caption": TEXT}}),
        (InvalidVector, "row 0 of .* has norm inf", {"queries": {"text": TEXT * 1e300}}),
    ],
)
def test_align(col: Collection, kind: type[Exception], message: str, arguments: Any) -> None:
    refused(col, kind, message, lambda: col.align(**arguments))


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("seed is 'a': give an integer", {"seed": "a"}),
        ("seed is -1: give an integer of at least 0", {"seed": -1}),
        ("seed is None", {"seed": None}),
        ("background is 'yes': give True, False or None", {"background": "yes"}),
        ("method is array", {"method": np.array(["platt", "beta"])}),
        ("prior is 1e-300", {"prior": 1e-300}),
        ("prior is 0.9999999999999999", {"prior": 1 - 1e-16}),
    ],
)
def test_calibrate(col: Collection, message: str, arguments: Any) -> None:
    refused(col, InvalidArgument, message, lambda: col.calibrate(**arguments))


@pytest.mark.parametrize("given", [{"negatives": np.int64(3)}, {"prior": np.float32(0.1)}])
def test_numbers_of_numpy_are_numbers(col: Collection, given: Any) -> None:
    found = col.calibrate(positives={("text", "caption"): (TEXT + 0.1, IDS)}, **given)
    assert json.loads(json.dumps(found.to_dict()))["prior"] == pytest.approx(found.prior)
    assert col.calibration == found


@pytest.mark.parametrize("version", [np.array([1, 2]), np.array(1), 1.0, np.True_, "RAW", {}])
def test_versions(col: Collection, version: Any) -> None:
    refused(col, InvalidArgument, "no alignment of version", lambda: col.rollback(version))
    refused(
        col,
        InvalidArgument,
        "no alignment of version",
        lambda: col.search(**ASK, alignment=version),
    )


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("combine is 5; use one of", {"combine": 5}),
        ("combine is 3; use one of", {"combine": 3, "fusion": "rrf"}),
        ("fusion is array", {"fusion": np.array(["rrf", "auto"])}),
        (r"weights\['image'\] is 1e\+308: give 0, or a number from", {"weights": {"image": 1e308}}),
        (r"weights\['image'\] is 5e-324: give 0, or a number from", {"weights": {"image": 5e-324}}),
        (r"weights\['image'\] is 1000", {"weights": {"image": 10**400}}),
    ],
)
def test_search(col: Collection, message: str, arguments: Any) -> None:
    refused(col, InvalidArgument, message, lambda: col.search(**ASK, **arguments))


@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "rrf_qdrant"])
def test_the_size_of_weights_does_not_matter(col: Collection, fusion: str) -> None:
    wanted = col.search(**ASK, fusion=fusion)
    for size in (2.0**-19, 2.0**19):  # powers of 2 leave ties what they are
        hits = col.search(**ASK, fusion=fusion, weights={"image": size, "caption": size})
        assert np.isfinite(hits.scores).all()
        assert hits.ids == wanted.ids


@pytest.mark.parametrize("combine", ["max", "noisy_or"])
def test_probabilities_stay_probabilities_under_any_weights(col: Collection, combine: str) -> None:
    for size in (1e-6, 1e6):
        weights = {"image": size, "caption": size}
        hits = col.search(**ASK, fusion="calibrated", combine=combine, weights=weights)
        assert all(0.0 <= score <= 1.0 for score in hits.scores)
