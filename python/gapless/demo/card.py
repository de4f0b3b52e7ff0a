"""The model card: a README written from what was measured."""

from __future__ import annotations

from typing import Any

__all__ = ["card"]

_CARD = """---
license: apache-2.0
library_name: onnx
tags: [dual-encoder, icons, retrieval, contrastive]
---

# gapless.demo: icons and their names in one space

A dual encoder of {parameters:.2f} M parameters ({megabytes:.1f} MB in all): a 64x64 grey icon or a
short English text -> a unit vector of {dim} dimensions. It is made for the demo and the tests of
gapless, so that both run without a download. It knows icons; photographs are nothing to it.

    onnx/text_model.onnx     input_ids, attention_mask int64 (batch, length) -> text_embeds
    onnx/vision_model.onnx   pixel_values float32 (batch, 1 or 3, 64, 64)    -> image_embeds

Pictures are dark on white (transparent counts as white), of any size; `preprocessor_config.json`
says how they are brought to 64x64. Texts need no special tokens; word order does not count.

## Towers

| | |
|---|---|
| text ({text_parameters:.2f} M) | {tokens} word pieces x {token_dim} values, mean, residual head |
| image ({icon_parameters:.2f} M) | residual ConvNet, {widths} channels, mean and map of places |
| weights | eight bits with a scale for each channel or word piece; arithmetic in float32 |

## Data and licences

The icons and names of three families that the PyPI package QtAwesome 1.4.2 (MIT) carries:
{training_icons} pictures under {training_names} names. No other picture, and no other text about
pictures, was used.

| family | use | font's licence |
|---|---|---|
| Material Design Icons 6.9.96 | training | Apache-2.0 |
| Remix Icon 2.5.0 | training | Apache-2.0 |
| Phosphor 1.3.0 | training | MIT |
| Font Awesome 6.7.2 Free | held out | SIL OFL 1.1 |
| Codicons 0.0.36 | held out | CC BY 4.0 |
| Elusive Icons 2.0 | held out | SIL OFL 1.1 |

The word vectors start from, and are held near, all-MiniLM-L6-v2 (Apache-2.0): each word piece
alone, reduced to {token_dim} principal components; then single words, training names and random
pairs of words are matched to it throughout. The demo's synonym table and its accepted names were
committed before training, which does not read them.

## Training

`python -m gapless.demo.train`, seed {seed}: {steps} steps of {names} names with two pictures each;
{minutes:.0f} minutes on {threads} CPU cores that did other work as well. InfoNCE with several right
answers both ways, a supervised contrastive term among pictures of one name, and the cosine to the
teacher.{left} Settings were tried in a short run with Remix as the family held out and Material and
Phosphor to train on. After this model was measured on the held-out families, 500 more steps with
weak augmentation were tried; they changed R@10 by less than 0.005 and were dropped.

## Held-out results

Measured from these files; `metrics.json` has the same figures.

| | candidates | queries | R@1 | R@10 |
|---|---|---|---|---|
{rows}

* *text -> icon*: a query is a distinct readable name; a hit is any icon of that name or alias among
  the first k, out of all candidates. *This very icon*: one query for each icon, and only that icon
  counts. Symbols are Font Awesome solid, Codicons and Elusive; all held-out icons add Font
  Awesome's regular style and its brands' logos, whose names cannot be read from the picture.
* *icon -> icon*: the same name in another held-out family, out of the other families' icons.

{queries}

## The gap it ends with

Over the held-out icons and their names, unit vectors: distance between the two centroids
**{centroid_distance:.3f}**; mean distance from the own centroid {image_spread:.3f} (pictures) and
{text_spread:.3f} (names); mean cosine of an icon and its own name {matched_cosine:.3f}, of two
pictures {image_cosine:.3f}, of two names {text_cosine:.3f}.

## Limits

Names of icons are its whole world: a sentence is read as a bag of words, "not" means nothing, and a
logo it never saw is only a shape. Each picture is judged by its form; size and colour are gone.
"""


def _row(title: str, result: dict[str, Any], prefix: str = "", queries: int | None = None) -> str:
    return (
        f"| {title} | {result['candidates']} | {queries or result['queries']} | "
        f"{result[prefix + 'recall_at_1']:.3f} | {result[prefix + 'recall_at_10']:.3f} |"
    )


def card(metrics: dict[str, Any]) -> str:
    """Write the card from the content of ``metrics.json``."""
    symbols = metrics["text_to_icon"]["held_out_symbols"]
    held = metrics["text_to_icon"]["held_out"]
    rows = [
        _row("text -> icon, symbols", symbols),
        _row("... this very icon", symbols, "own_", symbols["candidates"]),
        _row("text -> icon, all held-out", held),
        _row("... this very icon", held, "own_", held["candidates"]),
        _row("icon -> icon", metrics["icon_to_icon"]["held_out"]),
    ]
    every, only = metrics["three_queries"]["all"], metrics["three_queries"]["held_out"]
    queries = [
        "| query | right of the first 10, all icons | held-out icons only |",
        "|---|---|---|",
    ]
    queries += [
        f"| {query} | {every[query]['accepted']} | {only[query]['accepted']} |" for query in every
    ]
    masked = metrics["training"].get("false_negatives_masked")
    return _CARD.format(
        **metrics["model"],
        **metrics["training"],
        **metrics["gap"]["held_out"],
        left=" False negatives were left out of the first two." if masked else "",
        rows="\n".join(rows),
        queries="\n".join(queries),
    )
