"""The decision guide, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gapless.diagnosis.diagnose import diagnose
from gapless.diagnosis.guide import CHOICES, TABLE, recommend
from gapless.errors import InvalidArgument

MIXED: dict[str, Any] = {"targets": ["image", "text"]}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("nothing", {"targets": ["image"]}),
    ("nothing", {"targets": ["text"], "queries": ["image"]}),
    ("subtract_offset", {"targets": ["image"], "queries": ["image", "text"]}),
    ("subtract_offset", MIXED),
    ("subtract_offset", {**MIXED, "several": 0.1}),
    ("subtract_offset", {**MIXED, "room": True, "several": 0.2}),
    ("route", {**MIXED, "several": 0.9}),
    ("route", {**MIXED, "one_model": False}),
    ("vectors_per_modality", {**MIXED, "several": 0.9, "room": True}),
    ("vectors_per_modality", {**MIXED, "several": 0.5, "room": True, "one_model": False}),
    ("train_against_gap", {**MIXED, "several": 0.9, "room": True, "can_train": True}),
    ("unimodal_encoder", {"targets": ["image"], "queries": ["image"], "same_modality": 1.0}),
    ("unimodal_encoder", {**MIXED, "same_modality": 0.5, "can_train": True}),
    ("calibrate", {**MIXED, "threshold": True, "pairs": 50}),
    ("calibrate", {"targets": ["image"], "queries": ["image", "text"], "threshold": True,
                   "pairs": 900, "can_train": True}),
    ("subtract_offset", {**MIXED, "threshold": True, "pairs": 49}),
    ("nothing", {"targets": ["image"], "same_modality": 0.9}),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "given"), ROWS)
def test_every_row_of_the_guide(choice: str, given: dict[str, Any]) -> None:
    found = recommend(**given)
    assert (found.choice, found.action) == (choice, CHOICES[choice])
    assert found.reasons and str(found).startswith(f"{choice}: ")
    assert all(reason.endswith(".") for reason in found.reasons)


def test_every_choice_is_reached() -> None:
    assert {choice for choice, _ in ROWS} == set(CHOICES) == {row.choice for row in TABLE}


def test_a_threshold_without_pairs_is_told_what_it_lacks() -> None:
    reasons = recommend(**MIXED, threshold=True, pairs=7).reasons
    assert any("50 matched pairs; 7 are known" in reason for reason in reasons)


def test_the_measured_bias_decides(rng: np.random.Generator) -> None:
    meaning = rng.normal(size=(80, 8))
    apart = {
        "image": meaning + 9 * np.eye(8)[0],
        "text": meaning + 9 * np.eye(8)[1],
    }
    biased = diagnose(apart)
    found = recommend(biased)
    assert found.choice == "subtract_offset"
    lift = max(reading.lift for reading in biased.bias)
    assert f"The measured lift of the own modality is {lift:.2f}." in found.reasons
    even = recommend(diagnose({"image": meaning, "text": rng.normal(size=(80, 8))}))
    assert even.choice == "nothing" and "meaning decides" in even.reasons[0]
    # pairs and the items that fill both fields are counted in what was diagnosed
    paired = diagnose(apart, paired=True)
    assert recommend(paired).choice == "route"
    assert recommend(paired, threshold=True).choice == "calibrate"
    assert recommend(paired, several=0.0).choice == "subtract_offset"
    assert recommend(paired, targets=["image"]).choice == "nothing"


def test_a_lone_word_is_one_modality_and_not_its_letters() -> None:
    assert recommend(targets="image", queries="text") == recommend(targets=["image"])
    assert recommend(targets="image", queries="text").choice == "nothing"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither a diagnosis nor targets"),
        ({"targets": []}, "targets is empty"),
        ({**MIXED, "queries": []}, "queries is empty"),
        ({**MIXED, "several": 1.5}, r"several is 1\.5"),
        ({**MIXED, "several": float("nan")}, "several is nan"),
        ({**MIXED, "same_modality": -0.1}, r"same_modality is -0\.1"),
        ({**MIXED, "same_modality": "half"}, "same_modality is 'half'"),
        ({**MIXED, "pairs": -1}, "pairs is -1"),
        ({**MIXED, "pairs": 1.5}, r"pairs is 1\.5"),
        ({"targets": [1]}, r"targets is \[1\]: name modalities"),
        ({**MIXED, "queries": 7}, "queries is 7"),
    ],
)
def test_recommend_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        recommend(**given)
