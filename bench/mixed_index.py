"""Does one ranking over images and texts find the right item? CLIP vectors, raw, centred, fused.

    python bench/mixed_index.py features_clip.npy [cones.png]

The file holds float32 (2, n, dim): row i of [0] and [1] are an image and a caption of it, such as
Figure_1_Modality_Gap/features_clip.npy of github.com/Weixin-Liang/Modality-Gap (500 COCO pairs,
CLIP ViT-B/32). In each of ten splits 150 pairs give the means and the rest one item each: by a fair
coin its image, or a text document N(a t + b u + c n) made from its caption t, the nearest other
caption u and noise n. Queries are all captions of these, each with one right item. With a second
argument, both modalities are drawn before and after centring.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

import gapless
from gapless._core import FieldSearch, search_fields
from gapless.alignment import align_rows, center
from gapless.evaluation import intra_modal_bias, ndcg_at_k, recall_at_k

TRAIN, SPLITS, K = 150, 10, 10
DOCUMENTS = {"easy": (0.62, 0.25, 0.30), "hard": (0.45, 0.43, 0.55)}
WAYS = (
    ("raw cosine", False, "combmax"),
    ("centred", True, "combmax"),
    ("centred, rrf", True, "rrf"),
    ("raw, cohort", False, "cohort"),
    ("centred, cohort", True, "cohort"),
)
Rows = NDArray[np.float64]


def unit(rows: Rows) -> Rows:
    """Scale rows to unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def split(pairs: Rows, seed: int, mix: tuple[float, float, float]) -> dict[str, Rows]:
    """Draw one split: training rows, test queries, documents, and which items are images."""
    random = np.random.default_rng(seed)
    image, caption = pairs[:, random.permutation(pairs.shape[1])]
    test = caption[TRAIN:]
    near = test @ test.T
    np.fill_diagonal(near, -1.0)
    noise = unit(random.normal(size=test.shape))
    texts = unit(mix[0] * test + mix[1] * test[near.argmax(axis=1)] + mix[2] * noise)
    return {
        "image means": image[:TRAIN],
        "text means": caption[:TRAIN],
        "queries": test,
        "images": image[TRAIN:],
        "texts": texts,
        "is image": random.random(len(test)) < 0.5,
    }


def rank(data: dict[str, Rows], aligned: bool, method: str) -> NDArray[np.int64]:
    """Rank the mixed index for every query: (queries, K) items."""
    items = np.arange(len(data["queries"]))
    kept = {"image": items[data["is image"] == 1], "text": items[data["is image"] == 0]}
    modality_of = {"image": "image", "text": "text"}
    maps = center({m: data[f"{m} means"] for m in kept}, modality_of)
    fields = {}
    for modality, ids in kept.items():
        fields[modality] = gapless.FlatIndex(data["queries"].shape[1])
        fields[modality].add(data[f"{modality}s"][ids], ids)
        if aligned:
            fields[modality].set_alignment(maps[modality])
    found = [
        search_fields(
            [
                FieldSearch(index, query, query_modality="text", cohort=kept[modality])
                for modality, index in fields.items()
            ],
            K,
            method,
        ).ids
        for query in data["queries"]
    ]
    return np.stack(found)


def draw(pairs: Rows, path: str) -> None:
    """Draw images and captions, raw and centred, along the gap and across it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    from gapless.report.plots import plane

    rows = {"image": unit(pairs[0]), "text": unit(pairs[1])}
    maps = center(rows, {"image": "image", "text": "text"})
    centred = {m: align_rows(rows[m], maps[m]) for m in rows}
    axes = plane(rows["image"], rows["text"])
    figure, panels = pyplot.subplots(1, 2, figsize=(9.6, 4.2), sharex=True, sharey=True)
    for panel, title, shown in zip(panels, ("raw", "centred"), (rows, centred), strict=True):
        gap = np.linalg.norm(shown["image"].mean(axis=0) - shown["text"].mean(axis=0))
        panel.set_title(f"{title}: centroids {gap:.2f} apart", fontsize=11, loc="left")
        for modality, colour in (("image", "#2563c9"), ("text", "#d9770b")):
            points = shown[modality] @ axes
            panel.scatter(*points.T, s=7, c=colour, alpha=0.55, linewidths=0, label=modality)
        panel.set_aspect("equal")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_color("#c8ccd2")
    panels[0].legend(loc="lower left", frameon=False, markerscale=2.5, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor="white")


def main(path: str, picture: str | None = None) -> None:
    """Print nDCG@10, R@1 and the share of texts among the first ten, by way of ranking."""
    pairs = np.load(path).astype(np.float64)
    if picture:
        draw(pairs, picture)
    print("| ranking | documents | nDCG@10 | R@10 of images | texts among the first ten |")
    print("|---|---|---|---|---|")
    for documents, mix in DOCUMENTS.items():
        splits = [split(pairs, seed, mix) for seed in range(SPLITS)]
        for name, aligned, method in WAYS:
            values = []
            for data in splits:
                found = rank(data, aligned, method)
                right = [{i: 1.0} for i in range(len(found))]
                images = np.flatnonzero(data["is image"])
                values.append(
                    (
                        np.mean(ndcg_at_k(found, right, K)),
                        np.mean(recall_at_k(found[images], [{int(i)} for i in images], K)),
                        intra_modal_bias(
                            found, np.where(data["is image"] == 1, "image", "text"), "text", K
                        ).rate,
                    )
                )
            ndcg, recall, bias = np.mean(values, axis=0)
            print(f"| {name} | {documents} | {ndcg:.3f} | {recall:.3f} | {bias:.0%} |")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("give the file of pairs: python bench/mixed_index.py features_clip.npy")
    main(*sys.argv[1:])
