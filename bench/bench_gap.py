"""What the modality gap costs on real CLIP vectors, and what each remedy gives back.

    python bench/bench_gap.py clip_vitb32_coco500.npy --draw cones.png           # some minutes
    python bench/bench_gap.py clip_vitb32_coco500.npy --seeds 2 --hard-seeds 2   # a quick look

The file holds float32 (2, n, dim): row i of [0] and [1] are an image and a caption of it, such as
Figure_1_Modality_Gap/features_clip.npy of github.com/Weixin-Liang/Modality-Gap (500 COCO pairs,
CLIP ViT-B/32).

*One direction*: with all pairs, how many captions find their image first among all images, raw
and aligned; and what `gapless.align` says of it.

*Mixed index*: in each of ten splits, fifty of the hard ones, 150 pairs are there to fit on, and
each of the 350 others is held in one form by a fair coin: as the row of its image, or as a text
document N(a t + b u + c n) of its caption t, the nearest other caption u of the same split and a
random unit vector n. Queries are all 350 captions, each with one right item; or, roles swapped,
all images. The top 100 of each form are candidates. Means and calibrations see the 150 pairs
alone, and so does every choice between calibrations. *Oracle* searches the right item's form alone.

*Proportions*: the same with other shares of texts and images, and with items that have both, as in
MixBench; GR-CLIP's mix stands for both. The U-curve goes from texts alone to images alone.

*Icons*: the table of ``gapless demo`` on icon families that its model has not seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import gapless
from gapless.errors import AlignmentRefused
from gapless.evaluation.mixbench import measure_corpora
from gapless.evaluation.mixed_corpus import Embeddings, MixedCorpus
from gapless.evaluation.mixed_ranking import Ranker
from gapless.evaluation.mixed_results import MixBench, UCurve

TRAIN = 150
DOCUMENTS = {"easy": (0.62, 0.25, 0.30), "hard": (0.45, 0.43, 0.55)}
QUERIES = ("text", "image")
RIVALS = ("GR-CLIP centring", "RRF", "min-max", "DBSF")
IMAGES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST = {"text": 0.93, "image": 0.90}  # without labels, over the oracle, by query
LEAST_CALIBRATED = {"easy": 0.98, "hard": 0.92}  # by documents
MODALITY_OF = {"image": "image", "caption": "text"}
Rows = NDArray[np.float64]
Measured = Mapping[tuple[str, str], MixBench]


def both_sides(corpus: MixedCorpus, k: int) -> tuple[Rows, NDArray[np.int64]]:
    """Rank by S-norm: cohort, plus the same from the document's side.

    z of a score among the query's scores with the form's documents, plus z among the document's
    scores with sample queries, as in speaker verification; no labels. Not in the engine.
    """
    data = corpus.data
    rows = np.where((corpus.forms == "text")[:, None], data.texts, data.images).astype(np.float64)
    scores = data.queries @ rows.T
    sampled = corpus.train.queries @ rows.T
    total = (scores - sampled.mean(axis=0)) / sampled.std(axis=0)
    for form in QUERIES:
        own = scores[:, corpus.forms == form]
        total[:, corpus.forms == form] += (own - own.mean(axis=1, keepdims=True)) / own.std(
            axis=1, keepdims=True
        )
    best = np.argsort(-total, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(total, best, axis=1), best.astype(np.int64)


WAYS: dict[str, str | Ranker] = {
    "raw cosine": "raw",
    "GR-CLIP centring": "center",
    "RRF": "rrf",
    "min-max": "minmax",
    "DBSF": "dbsf",
    "cohort": "cohort",
    "centred, cohort": "center+cohort",
    "S-norm (numpy)": both_sides,
    "calibrated": "calibrated",
    "centred, calibrated": "center+calibrated",
    "oracle": "oracle",
}


def unit(rows: Rows) -> Rows:
    """Scale rows to unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def documents(rows: Rows, mix: tuple[float, float, float], random: np.random.Generator) -> Rows:
    """Make of each row a document that says the same in other words."""
    near = rows @ rows.T
    np.fill_diagonal(near, -1.0)
    noise = unit(random.normal(size=rows.shape))
    return unit(mix[0] * rows + mix[1] * rows[near.argmax(axis=1)] + mix[2] * noise)


def split(
    pairs: Rows,
    seed: int,
    mix: tuple[float, float, float],
    asked: str,
    shares: tuple[float, float] = (0.5, 0.5),
) -> MixedCorpus:
    """Draw one split of the mixed index, asked by texts or by images.

    `shares`: of the items in the form of the queries, and in the other; the rest have both.
    """
    random = np.random.default_rng(seed)
    image, text = pairs[:, random.permutation(pairs.shape[1])]
    sides = {"image": image, "text": text}
    test = dict(sides, **{asked: documents(sides[asked][TRAIN:], mix, random)})
    drawn = random.random(len(image) - TRAIN)
    train = documents(sides[asked][:TRAIN], mix, random)
    other = "image" if asked == "text" else "text"

    def rows(own: Rows, part: slice) -> Embeddings:
        found = {asked: own, other: sides[other][part]}
        queries, texts, images = (
            side.astype(np.float32) for side in (sides[asked][part], found["text"], found["image"])
        )
        return Embeddings(queries, texts, images, asked)

    return MixedCorpus(
        rows(test[asked], slice(TRAIN, None)),
        np.where(drawn < shares[0], asked, np.where(drawn < sum(shares), other, "both")),
        [{document: 1.0} for document in range(len(drawn))],
        rows(train, slice(TRAIN)),
    )


def first_hits(pairs: Rows, method: str | None) -> tuple[float, float]:
    """R@1 of text to image and of image to text among all pairs, under an alignment of them all."""
    rows = {"image": pairs[0], "caption": pairs[1]}
    maps = gapless.align(rows, MODALITY_OF, method).maps if method else {}
    found = []
    for asked, field in (("caption", "image"), ("image", "caption")):
        index = gapless.FlatIndex(pairs.shape[2])
        index.add(rows[field], np.arange(len(rows[field])))
        index.set_alignment(maps.get(field))
        answers = index.search(rows[asked], 1, query_modality=MODALITY_OF[asked])
        right = [{place} for place in range(len(rows[asked]))]
        found.append(gapless.evaluate(answers, right, "R@1")["R@1"])
    return found[0], found[1]


def verdict(pairs: Rows, method: str) -> str:
    """Say what the cross-validated alignment comes to."""
    rows = {"image": pairs[0], "caption": pairs[1]}
    try:
        report = gapless.align(rows, MODALITY_OF, method, pairs=rows).validation
    except AlignmentRefused as refusal:
        return f"refused: {refusal}"
    changes = report.directions if report else ()
    return "active: " + "; ".join(
        f"{d.query} -> {d.document} MRR {d.raw_mrr:.3f} -> {d.mrr:.3f}" for d in changes
    )


def one_direction(pairs: Rows) -> dict[str, tuple[float, float]]:
    """Print what alignments do to a search in one modality."""
    found = {name: first_hits(pairs, None if name == "raw" else name) for name in
             ("raw", "center", "shift")}  # fmt: skip
    print(f"\n### One direction, {pairs.shape[1]} pairs\n")
    print("| alignment | text->image R@1 | image->text R@1 | by five-fold cross-validation |")
    print("|---|--:|--:|---|")
    for name, (to_image, to_text) in found.items():
        told = verdict(pairs, name) if name != "raw" else ""
        print(f"| {name} | {to_image:.3f} | {to_text:.3f} | {told} |")
    return found


def mixed_index(pairs: Rows, seeds: int, hard_seeds: int) -> Measured:
    """Print the table of the mixed index, and give what it is made of."""
    found = {}
    print("\n### Mixed index\n")
    print(
        "| documents | queries | ranking | nDCG@10 | of the oracle | ± of it | R@1 "
        "| R@10 in the other form | bias@10 |"
    )
    print("|---|---|---|--:|--:|--:|--:|--:|--:|")
    for kind, mix in DOCUMENTS.items():
        count = hard_seeds if kind == "hard" else seeds
        for asked in QUERIES:
            start = time.perf_counter()
            measured = found[kind, asked] = measure_corpora(
                (split(pairs, seed, mix, asked) for seed in range(count)),
                WAYS,
                ("ndcg@10", "recall@1", "recall@10"),
            )
            other = "text->image" if asked == "text" else "image->text"
            for way in WAYS:
                ratios = _ratios(measured, way)
                error = f"{ratios.std(ddof=1) / np.sqrt(count):.3f}" if count > 1 else ""
                print(
                    f"| {kind} | {asked} | {way} | {measured.mean(way):.3f} | "
                    f"{_of_oracle(measured, way):.3f} | {error} | "
                    f"{measured.mean(way, 'recall@1'):.3f} | "
                    f"{measured.mean(way, 'recall@10', other):.3f} | "
                    f"{measured.bias[way].mean():.2f} |"
                )
            seconds = time.perf_counter() - start
            print(f"<!-- {kind}, {asked}: {count} splits in {seconds:.0f} s -->")
    return found


def proportions(pairs: Rows, seeds: int) -> None:
    """Print nDCG@10 of easy text queries by what the corpus is made of, and how far a U dips."""
    ways = [way for way in WAYS if way != "S-norm (numpy)"]
    made = {f"{images:.0%} images": (1 - images, images) for images in IMAGES}
    made |= {"1 : 1 : 1": (1 / 3, 1 / 3), "70 : 20 : 10": (0.7, 0.2)}
    found = [
        measure_corpora(
            (split(pairs, seed, DOCUMENTS["easy"], "text", shares) for seed in range(seeds)),
            {way: WAYS[way] for way in ways},
        )
        for shares in made.values()
    ]
    values = {way: np.array([measured.mean(way) for measured in found]) for way in ways}
    count = len(IMAGES)
    curve = UCurve("ndcg@10", IMAGES, {way: own[:count] for way, own in values.items()})
    print("\n### Proportions, texts : images : both, nDCG@10 of easy text queries\n")
    print(f"| ranking | {' | '.join(made)} | dip of the U |\n|---|{'--:|' * (len(made) + 1)}")
    for way, own in values.items():
        cells = " | ".join(f"{value:.3f}" for value in own)
        print(f"| {way} | {cells} | {curve.dip(way):.3f} |")


def _of_oracle(measured: MixBench, way: str) -> float:
    return measured.mean(way) / measured.mean("oracle")


def _ratios(measured: MixBench, way: str) -> Rows:
    """Share of the oracle in every split."""
    return np.asarray(measured.values[way]["ndcg@10"] / measured.values["oracle"]["ndcg@10"])


def targets(direction: Mapping[str, tuple[float, float]], measured: Measured) -> None:
    """Print what was to be reached, and what was."""
    raw, center, shift = (direction[name][0] for name in ("raw", "center", "shift"))
    crowded = measured["easy", "text"].bias["raw cosine"].mean()
    rows = [
        ("raw bias@10, easy, text queries", 1.0, crowded),
        ("`center`, change of text->image R@1", -0.01, center - raw),
        ("`shift`, loss of text->image R@1", 0.11, raw - shift),
    ]
    for (kind, asked), found in measured.items():
        for ways, least in (
            (("cohort", "centred, cohort", "S-norm (numpy)"), LEAST[asked]),
            (("calibrated", "centred, calibrated"), LEAST_CALIBRATED[kind]),
        ):
            rows += [
                (f"{way}, of the oracle, {kind}, {asked} queries", least, _of_oracle(found, way))
                for way in ways
            ]
    for (kind, asked), found in measured.items():
        best = max(RIVALS, key=found.mean)
        own = found.mean("calibrated")
        rows.append((f"calibrated, {kind}, {asked} queries: as {best}", found.mean(best), own))
    print("\n### Targets\n\n| what | at least | measured | reached |\n|---|--:|--:|---|")
    for what, least, value in rows:
        reached = "yes" if round(value, 3) >= least else "**no**"
        print(f"| {what} | {least:.3f} | {value:.3f} | {reached} |")


def icons() -> None:
    """Print the demo's table on the icons that its model has not seen."""
    from gapless.demo.evaluation import compare
    from gapless.demo.icons import HELD_OUT, draw_all, load_icons
    from gapless.demo.measure import Embedder

    drawn = load_icons(HELD_OUT)
    names = list(dict.fromkeys(text for icon in drawn for text in icon.texts))
    embedder = Embedder()
    found = compare(drawn, names, embedder.pictures(draw_all(drawn)), embedder.texts(names))
    if found is None:
        return
    print(
        f"\n### Icons\n\n{found.queries} queries, {found.images} icons, {found.texts} names "
        f"({found.text_share:.0%} of the items); the best R@10 there can be is {found.ceiling:.3f}."
        "\n\n| ranking | bias@10 | R@10 of icons | R@10 | nDCG@10 |\n|---|--:|--:|--:|--:|"
    )
    for row in found.rows:
        print(
            f"| {row.name} | {row.bias:.2f} | {row.image_recall_at_10:.3f} | "
            f"{row.recall_at_10:.3f} | {row.ndcg_at_10:.3f} |"
        )


def draw(pairs: Rows, path: Path) -> None:
    """Draw images and captions, raw and centred, along the gap and across it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    from gapless.alignment.align import align_rows
    from gapless.report.plots import plane

    rows = {"image": unit(pairs[0]), "caption": unit(pairs[1])}
    maps = gapless.align(rows, MODALITY_OF, "center").maps
    centred = {name: align_rows(rows[name], maps[name]) for name in rows}
    axes = plane(rows["image"], rows["caption"])
    figure, panels = pyplot.subplots(1, 2, figsize=(9.6, 4.2), sharex=True, sharey=True)
    for panel, title, shown in zip(panels, ("raw", "centred"), (rows, centred), strict=True):
        gap = np.linalg.norm(shown["image"].mean(axis=0) - shown["caption"].mean(axis=0))
        panel.set_title(f"{title}: centroids {gap:.2f} apart", fontsize=11, loc="left")
        for name, label, colour in (
            ("image", "image", "#2563c9"),
            ("caption", "text", "#d9770b"),
        ):
            points = shown[name] @ axes
            panel.scatter(*points.T, s=7, c=colour, alpha=0.55, linewidths=0, label=label)
        panel.set_aspect("equal")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_color("#c8ccd2")
    panels[0].legend(loc="lower left", frameon=False, markerscale=2.5, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor="white")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=10, help="splits of easy documents")
    parser.add_argument("--hard-seeds", type=int, default=50, help="splits of hard documents")
    parser.add_argument("--no-icons", action="store_true", help="leave the demo's icons out")
    parser.add_argument("--draw", type=Path, help="draw the two cones to this file")
    asked = parser.parse_args()
    pairs = np.load(asked.file).astype(np.float64)
    if asked.draw:
        draw(pairs, asked.draw)
    print(f"gapless {gapless.__version__}, {asked.seeds} splits, {asked.hard_seeds} hard ones")
    direction = one_direction(pairs)
    measured = mixed_index(pairs, asked.seeds, asked.hard_seeds)
    targets(direction, measured)
    proportions(pairs, asked.seeds)
    if not asked.no_icons:
        icons()


if __name__ == "__main__":
    main()
