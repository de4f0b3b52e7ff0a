from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.alignment.align import center
from gapless.diagnosis.diagnose import diagnose
from gapless.diagnosis.result import Diagnosis
from gapless.diagnosis.sampling import draw_rows, merge_keys

MODALITY = {"image": "image", "caption": "text"}


def test_readings_of_real_clip_vectors(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    keys = {"image": range(500), "caption": range(500)}
    found = diagnose({"image": image, "caption": text}, MODALITY, keys=keys)
    pair = found.pairs[0]
    assert pair.modalities == ("image", "text")
    assert pair.gap == pytest.approx(0.851, abs=0.002)
    assert pair.gap_cosine == pytest.approx(0.691, abs=0.002)
    assert pair.random_mean == pytest.approx(0.162, abs=0.002)
    assert pair.random_std == pytest.approx(0.048, abs=0.002)
    assert pair.matched_mean == pytest.approx(0.310, abs=0.002)
    assert pair.matched_std == pytest.approx(0.032, abs=0.002)
    assert pair.matched == 500
    inside = {reading.modality: reading for reading in found.modalities}
    assert inside["image"].cosine_mean == pytest.approx(0.531, abs=0.002)
    assert inside["text"].cosine_mean == pytest.approx(0.515, abs=0.002)
    assert inside["image"].cosine_std == pytest.approx(0.096, abs=0.002)
    assert inside["text"].cosine_std == pytest.approx(0.110, abs=0.002)
    assert pair.gap_over_spread == pytest.approx(
        pair.gap / ((inside["image"].spread + inside["text"].spread) / 2)
    )
    bias = {reading.query_modality: reading for reading in found.bias}
    assert bias["text"].rate == 1.0
    assert bias["text"].share == pytest.approx(499 / 999)
    assert bias["text"].lift == 1.0
    assert bias["text"].sorts_by_modality
    assert (bias["text"].queries, bias["text"].k) == (500, 10)


def test_centring_is_read_beside_raw(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    maps = center({"image": image, "caption": text}, MODALITY)
    found = diagnose({"image": image, "caption": text}, MODALITY, alignments=maps)
    raw, centred = found.pairs
    assert (raw.alignment, centred.alignment) == ("raw", "center")
    assert raw.gap > 0.8
    assert centred.gap < 0.05
    lifts = {(r.alignment, r.query_modality): r.lift for r in found.bias}
    # multimodal.md: centring alone leaves bias@10 at .87 to .95
    assert lifts["center", "text"] < lifts["raw", "text"]
    assert 0.8 < next(r.rate for r in found.bias if r.alignment == "center") < 0.97


def test_spread_and_gap_by_hand() -> None:
    # images: ±30° around x, texts: ±30° around y; centroids are cos(30°) long and at right angles
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    image, text = np.array([[c, s], [c, -s]]), np.array([[s, c], [-s, c]])
    found = diagnose(
        {"image": image * 5, "caption": text},
        MODALITY,
        keys={"image": [1, 2], "caption": [1, 9]},
        k=1,
    )
    inside = found.modalities[0]
    assert inside.spread == pytest.approx(s)
    assert inside.cosine_mean == pytest.approx(c * c - s * s)
    assert inside.cosine_std == pytest.approx(0)
    pair = found.pairs[0]
    assert pair.gap == pytest.approx(c * np.sqrt(2))
    assert pair.gap_cosine == pytest.approx(1)
    assert pair.gap_over_spread == pytest.approx(c * np.sqrt(2) / s)
    assert pair.matched == 1
    assert pair.matched_mean == pytest.approx(2 * c * s)
    # the other three pairs: image 1 with text 9, image 2 with both
    assert pair.random_mean == pytest.approx((0 + 0 - 2 * c * s) / 3)


def test_an_unbiased_index_has_no_lift(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(300, 16)), "caption": rng.normal(size=(100, 16))}
    found = diagnose(fields, MODALITY)
    for reading in found.bias:
        assert abs(reading.lift) < 0.1
        assert not reading.sorts_by_modality
    assert found.bias[0].share == pytest.approx(299 / 399)
    assert found.pairs[0].matched == 0
    assert found.pairs[0].matched_mean is None


def test_bias_is_that_of_a_loop_over_the_mixed_index(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(30, 6)) + np.eye(6)[0], "caption": rng.normal(size=(50, 6))}
    found = diagnose(fields, MODALITY, k=7)
    rows = np.concatenate(list(fields.values()))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kinds = ["image"] * 30 + ["text"] * 50
    for reading in found.bias:
        shares = []
        for i in range(80):
            if kinds[i] == reading.query_modality:
                order = sorted((j for j in range(80) if j != i), key=lambda j: -rows[i] @ rows[j])
                shares.append(sum(kinds[j] == kinds[i] for j in order[:7]) / 7)
        blind = (kinds.count(reading.query_modality) - 1) / 79
        assert reading.rate == pytest.approx(np.mean(shares))
        assert reading.share == pytest.approx(blind)
        assert reading.lift == pytest.approx((np.mean(shares) - blind) / (1 - blind))


def test_fields_of_one_modality_are_read_together_and_a_lone_modality_has_no_bias(
    rng: np.random.Generator,
) -> None:
    fields = {"caption": rng.normal(size=(20, 4)), "title": rng.normal(size=(5, 4))}
    found = diagnose(fields, {"caption": "text", "title": "text"})
    assert [reading.rows for reading in found.modalities] == [25]
    assert found.pairs == ()
    assert found.bias == ()


def test_a_row_does_not_find_itself(rng: np.random.Generator) -> None:
    # One image among texts: were it to find itself, its rate would be 1 at k = 1.
    fields = {"image": rng.normal(size=(1, 4)), "caption": rng.normal(size=(9, 4))}
    found = diagnose(fields, MODALITY, k=1)
    assert found.bias[0].rate == 0.0
    assert found.bias[0].share == 0.0
    assert found.modalities[0].cosine_mean is None


def test_k_is_cut_to_the_rows_there_are(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(2, 4)), "caption": rng.normal(size=(2, 4))}
    assert {reading.k for reading in diagnose(fields, MODALITY, k=50).bias} == {3}


def test_equal_rows_have_no_spread() -> None:
    fields = {"image": np.tile([1.0, 0.0], (3, 1)), "caption": np.tile([0.0, 1.0], (3, 1))}
    found = diagnose(fields, MODALITY)
    assert found.modalities[0].spread == 0
    assert found.pairs[0].gap_over_spread is None
    assert "-" in str(found)


def test_a_large_set_is_sampled_with_its_pairs_and_repeatably(rng: np.random.Generator) -> None:
    meaning = rng.normal(size=(3000, 8))
    fields = {"image": meaning + 3 * np.eye(8)[0], "caption": meaning}
    keys = {"image": np.arange(3000), "caption": np.arange(3000)}
    found = diagnose(fields, MODALITY, keys=keys, sample=400)
    assert [reading.rows for reading in found.modalities] == [200, 200]
    assert found.pairs[0].matched == 200
    assert len(found.notes) == 1
    assert found.notes[0].startswith("default: a sample of 400 of 6000 rows (seed 0); bias and")
    assert "FEW_PAIRS" not in {finding.code for finding in found.findings}
    assert found == diagnose(fields, MODALITY, keys=keys, sample=400)
    assert found != diagnose(fields, MODALITY, keys=keys, sample=400, seed=1)
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in fields.values())
    gap = np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))
    assert found.pairs[0].gap == pytest.approx(gap, abs=0.1)
    few = {name: rows[:200] for name, rows in fields.items()}
    assert diagnose(few, MODALITY, sample=400).notes == ()


def test_a_rare_modality_is_topped_up() -> None:
    keys = {"image": np.arange(10_000), "caption": np.arange(10_000, 10_150)}
    at = draw_rows(keys, MODALITY, 500, seed=3)
    assert len(at["caption"]) == len(np.unique(at["caption"])) == 100
    assert 400 < len(at["image"]) < 520
    assert draw_rows(keys, MODALITY, 20_000, 0)["image"].tolist() == list(range(10_000))


def test_items_that_tell_right_from_wrong_are_sampled_in_any_case() -> None:
    keys = {"image": np.arange(20_000), "caption": np.arange(19_800, 40_000)}
    at = draw_rows(keys, MODALITY, 1000, seed=0)
    assert len(np.intersect1d(keys["image"][at["image"]], keys["caption"][at["caption"]])) >= 100
    known = set(range(500, 540))
    at = draw_rows(keys, MODALITY, 1000, seed=0, known=known)
    assert known <= set(at["image"].tolist())


def test_pairs_give_items_one_key() -> None:
    keys = {"image": np.array([1, 2, 3]), "caption": np.array([7, 8, 9])}
    merged, changed = merge_keys(keys, [(1, 8), (8, 7), (3, 9), (3, 9)])
    assert merged["image"].tolist() == [1, 2, 3]
    assert merged["caption"].tolist() == [1, 1, 3]
    assert changed == {1: 1, 8: 1, 7: 1, 3: 3, 9: 3}
    assert merge_keys(keys, [])[0]["caption"].tolist() == [7, 8, 9]


def test_to_dict_is_json_and_str_is_readable(rng: np.random.Generator) -> None:
    image, text = rng.normal(size=(30, 4)) + 3, rng.normal(size=(30, 4)) - 3
    found = diagnose({"image": image, "caption": text}, MODALITY, space="clip")
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["pairs"][0]["gap"] == found.pairs[0].gap
    assert [reading["query_modality"] for reading in data["bias"]] == ["image", "text"]
    assert {"code", "sentence", "remedy"} == set(data["findings"][0]) and "samples" not in data
    text_form = str(found)
    for part in (
        "Modalities",
        "Gap between modalities",
        "Intra-modal bias",
        "image - text",
        "sorts by modality",
        "clip",
    ):
        assert part in text_form


def test_join_of_nothing_is_empty() -> None:
    assert Diagnosis.join([]) == Diagnosis((), (), ())


# -- routes and findings ------------------------------------------------------------------------


def codes(found: Diagnosis) -> set[str]:
    return {finding.code for finding in found.findings}


def test_findings_of_real_clip_vectors(clip_pairs: npt.NDArray[np.float32]) -> None:
    fields = dict(zip(("image", "caption"), clip_pairs, strict=True))
    raw = diagnose(fields, MODALITY, paired=True)
    assert {"SORTS_BY_MODALITY", "WIDE_GAP"} <= codes(raw)
    assert not codes(raw) & {"COLLAPSED", "NARROW_SCORES", "PAIRS_UNRELATED", "FEW_PAIRS"}
    pair = raw.pairs[0]
    assert pair.constancy == pytest.approx(0.525, abs=0.002)
    assert pair.offset_cosine_mean == pytest.approx(0.725, abs=0.002)
    assert pair.offset_cosine_std == pytest.approx(0.065, abs=0.002)
    assert pair.rmg == pytest.approx(0.591, abs=0.002)
    assert pair.separability == 1.0
    assert pair.lisi == 1.0
    centred = diagnose(fields, MODALITY, paired=True, alignments=center(fields, MODALITY))
    assert "WIDE_GAP" not in codes(centred) and "ALIGNMENT_COSTS_RECALL" not in codes(centred)
    recall = {(r.alignment, r.query_modality, r.target_modality): r.recall for r in centred.routes}
    # multimodal.md: text to image R@10 is .862 raw and .864 centred by means of all rows
    assert recall["raw", "text", "image"] == pytest.approx(0.862, abs=0.001)
    assert recall["center", "text", "image"] == pytest.approx(0.864, abs=0.005)
    assert recall["raw", "text", "text"] is None


def test_the_one_sided_shift_is_told_what_it_costs(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    gap = text.mean(axis=0) - image.mean(axis=0)
    shift = {"image": gl.Alignment(offset=gap), "caption": gl.Alignment(offset=np.zeros(512))}
    fields = {"image": image, "caption": text}
    found = diagnose(fields, MODALITY, paired=True, alignments=shift, method="shift")
    recall = {(r.alignment, r.query_modality, r.target_modality): r.recall for r in found.routes}
    moved = image.astype(np.float64) + gap
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    scores = text @ moved.T
    rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert recall["shift", "text", "image"] == pytest.approx((rank < 10).mean())
    costs = [f.sentence for f in found.findings if f.code == "ALIGNMENT_COSTS_RECALL"]
    assert any("text queries find 76.6% of the right image rows" in s for s in costs)


def test_a_collapsed_set_is_flagged(rng: np.random.Generator) -> None:
    point = rng.normal(size=64)
    rows = point + 0.01 * rng.normal(size=(200, 64)) * np.linalg.norm(point) / 8
    found = diagnose({"image": rows[:100], "text": rows[100:]}, paired=True)
    assert "COLLAPSED" in codes(found)
    assert sum(f.code == "COLLAPSED" for f in found.findings) == 3


def test_similarity_that_says_text_while_recall_says_image(rng: np.random.Generator) -> None:
    # Articles with a photo and a text; the queries lie near all texts, and mean what photos show.
    meaning = rng.normal(size=(200, 16))
    text_cone, image_cone = 6 * np.eye(18)[16], 6 * np.eye(18)[17]
    wide = np.pad(meaning, ((0, 0), (0, 2)))
    fields = {
        "photo": wide + image_cone,
        "body": 0.3 * wide + np.pad(rng.normal(size=(200, 16)), ((0, 0), (0, 2))) + text_cone,
    }
    queries = {"text": wide + 0.3 * rng.normal(size=(200, 18)) + text_cone}
    found = diagnose(
        fields,
        {"photo": "image", "body": "text"},
        paired=True,
        queries=queries,
        answers={"text": range(200)},
    )
    asked = {r.target_modality: r for r in found.routes if r.source == "queries"}
    assert asked["text"].mean_score > asked["image"].mean_score
    assert (asked["text"].recall or 0) < (asked["image"].recall or 0)
    warned = [f.sentence for f in found.findings if f.code == "SIMILARITY_MISLEADS"]
    assert len(warned) == 1 and "the higher score is the worse route" in warned[0]


def test_route_recall_is_that_of_a_loop_over_labels(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(30, 6)), "text": rng.normal(size=(20, 6))}
    keys = {"image": np.arange(30), "text": np.arange(100, 120)}
    labels = {key: key % 4 for key in [*range(25), *range(100, 120)]}
    found = diagnose(fields, keys=keys, labels=labels, k=5)
    some = {"text": [labels[key] for key in range(100, 120)]}
    only = {key: labels[key] for key in range(100, 120)}
    by_row = diagnose(fields, keys=keys, labels=some, k=5)
    assert by_row == diagnose(fields, keys=keys, labels=only, k=5)
    unit = {n: v / np.linalg.norm(v, axis=1, keepdims=True) for n, v in fields.items()}
    for route in found.routes:
        asker, target = route.query_modality, route.target_modality
        recalls = []
        for i, key in enumerate(keys[asker].tolist()):
            score = unit[target] @ unit[asker][i]
            others = [j for j in range(len(score)) if asker != target or j != i]
            best = sorted(others, key=lambda j: -score[j])[:5]
            right = [
                j for j in others
                if key in labels and labels.get(int(keys[target][j]), -1) == labels[key]
            ]  # fmt: skip
            if right:
                recalls.append(len(set(best) & set(right)) / min(5, len(right)))
        assert route.judged == len(recalls)
        assert route.recall == pytest.approx(np.mean(recalls))


def test_queries_from_elsewhere_are_out_of_distribution(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(400, 16)) + 8 * np.eye(16)[0]
    alike = diagnose({"text": rows[:300]}, queries={"text": rows[300:]})
    assert alike.outliers[0].share < 0.12
    assert "QUERIES_OUT_OF_DISTRIBUTION" not in codes(alike)
    away = diagnose({"text": rows[:300]}, queries={"text": rng.normal(size=(100, 16))})
    assert away.outliers[0].share > 0.9
    assert "QUERIES_OUT_OF_DISTRIBUTION" in codes(away)


def test_hubs_are_found(rng: np.random.Generator) -> None:
    # Documents near the centre of all queries answer them all (Radovanovic et al. 2010).
    rows = rng.normal(size=(300, 200))
    rows[:5] = rng.normal(size=(5, 200)) * 0.2 + 1.0
    found = diagnose({"text": rows}, queries={"text": rng.normal(size=(300, 200)) * 0.6 + 1.0}, k=5)
    assert "HUBS" in codes(found)
    assert "HUBS" not in codes(diagnose({"text": rng.normal(size=(300, 4))}))


def test_pairs_that_do_not_belong_together(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(60, 32)), "text": rng.normal(size=(60, 32))}
    assert {"PAIRS_UNRELATED", "NARROW_SCORES"} & codes(diagnose(fields, paired=True)) == {
        "PAIRS_UNRELATED"
    }
    assert "FEW_PAIRS" in codes(diagnose(fields))
    wide = {name: np.pad(rows, ((0, 0), (0, 2000))) for name, rows in fields.items()}
    for rows in wide.values():
        rows[:] = rng.normal(size=rows.shape)
    assert "NARROW_SCORES" in codes(diagnose(wide))


def test_pairs_given_beside_keys_are_matched(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(40, 8))
    keys = {"image": np.arange(40), "text": np.arange(100, 140)}
    found = diagnose(
        {"image": rows, "text": rows}, keys=keys, pairs=[(i, 100 + i) for i in range(15)]
    )
    assert found.pairs[0].matched == 15
    assert found.pairs[0].matched_mean == pytest.approx(1.0)
    assert {r.judged for r in found.routes} == {0, 15}
