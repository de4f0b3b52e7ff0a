"""Train the packaged model from nothing: ``python -m gapless.demo.train`` (extra ``export``).

Icons and names of the families in :data:`gapless.demo.icons.TRAINING` are pulled together by a
contrastive loss with several right answers (InfoNCE, as :mod:`gapless.losses` defines it; false
negatives are left out of it), pictures of one name by a supervised contrastive loss (Khosla et al.
2020), and the text tower is held near its teacher on single words, names and pairs of words, so
that words no icon is named by keep their meaning. The held-out families are only looked at once
training is over. The packaged model is older than the masking of false negatives.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gapless.demo import icons as icon_set
from gapless.demo.contrast import contrast, drawings, false_negatives
from gapless.demo.data import Names, augment, pixels, token_batch
from gapless.demo.distil import Teacher, Vocabulary, static_table
from gapless.demo.towers import DIM, TOKEN_DIM, WIDTHS, IconTower, TextTower
from gapless.errors import InvalidArgument
from gapless.losses import INITIAL_LOG_SCALE, MAX_LOG_SCALE, warn_of_risks

__all__ = ["Recipe", "Towers", "main", "ship", "train"]


@dataclass(frozen=True)
class Recipe:
    """Every number that training depends on.

    ``names`` is the batch in names; each brings two pictures. ``pictures_weight`` weighs the
    picture-picture term, ``teacher_weight`` the distance to the teacher, which is taken on single
    words, names, and ``lesson_pairs`` random pairs of words. ``average`` is the decay of the
    exponential average of the weights, which is what is shipped.
    """

    steps: int = 1950
    names: int = 256
    peak_rate: float = 3e-3
    table_rate: float = 3e-4
    decay: float = 0.1
    average: float = 0.995
    pictures_weight: float = 0.4
    teacher_weight: float = 1.0
    lesson_pairs: int = 6000
    seed: int = 7


class Towers(nn.Module):
    """Both towers, the temperature, and the teacher's mirror that training needs."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.text = TextTower(table)
        self.icon = IconTower()
        self.mirror = nn.Linear(DIM, 384)
        self.scale = nn.Parameter(torch.tensor(round(INITIAL_LOG_SCALE, 2)))


def _pairs(pictures: Tensor, owner: Tensor, doubtful: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss among pictures; a picture is no answer to itself."""
    logits = pictures @ pictures.T / temperature
    itself = torch.eye(len(pictures), dtype=torch.bool)
    right = (owner[:, None] == owner[None]) & ~itself
    return contrast(logits, right, itself | doubtful[owner])


@dataclass(frozen=True)
class Lessons:
    """Texts with the teacher's vectors, tokenised: single words, names, and pairs of words."""

    ids: Tensor
    mask: Tensor
    target: Tensor


def _lessons(
    teacher: Teacher, vocabulary: Vocabulary, tokenizer: Any, names: list[str], recipe: Recipe
) -> Lessons:
    rng = np.random.default_rng(recipe.seed)
    words = [token for token in vocabulary.tokens if token.isalpha() and len(token) > 2]
    pool = sorted({word for name in names for word in name.split() if word.isalpha()})
    pairs = [f"{rng.choice(words[:8000])} {rng.choice(pool)}" for _ in range(recipe.lesson_pairs)]
    texts = words + names + pairs
    ids, mask = token_batch(tokenizer, texts)
    return Lessons(ids, mask, teacher.texts(texts))


def _say(line: str) -> None:
    print(line, flush=True)


def _optimizer(
    towers: Towers, recipe: Recipe
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW with one cycle of the rate; the word table moves slowly and nothing narrow decays."""
    table = towers.text.table.weight
    narrow = [p for p in towers.parameters() if p.ndim < 2]
    wide = [p for p in towers.parameters() if p.ndim >= 2 and p is not table]
    optimizer = torch.optim.AdamW(
        [
            {"params": wide, "weight_decay": recipe.decay},
            {"params": narrow, "weight_decay": 0.0},
            {"params": [table], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [recipe.peak_rate, recipe.peak_rate, recipe.table_rate],
        total_steps=recipe.steps,
        pct_start=0.08,
        cycle_momentum=False,
    )
    return optimizer, schedule


@torch.no_grad()
def _follow(average: Towers, towers: Towers, keep: float) -> None:
    """Move the averaged weights and statistics towards the current ones."""
    for old, new in zip(average.parameters(), towers.parameters(), strict=True):
        old.lerp_(new, 1 - keep)
    for kept, current in zip(average.buffers(), towers.buffers(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(current, 1 - keep)


def _losses(
    towers: Towers,
    x: Tensor,
    words: tuple[Tensor, Tensor],
    doubtful: Tensor,
    lessons: Lessons,
    picked: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Name against picture, picture against picture, and the distance to the teacher.

    `doubtful` (names, pictures) has the false negatives.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = towers.icon(x.contiguous(memory_format=torch.channels_last))
    read = towers.text(*words)
    owner = torch.arange(len(read)).repeat(2)
    right = torch.arange(len(read))[:, None] == owner[None]
    logits = read @ seen.T * towers.scale.exp()
    match = (contrast(logits, right, doubtful) + contrast(logits.T, right.T, doubtful.T)) / 2
    taught = towers.mirror(towers.text(lessons.ids[picked], lessons.mask[picked]))
    far = 1 - F.cosine_similarity(taught, lessons.target[picked], dim=1).mean()
    return match, _pairs(seen, owner, doubtful), far


@dataclass(frozen=True)
class _Material:
    """What every step draws from."""

    names: Names
    pictures: Tensor
    drawn: npt.NDArray[np.int64]
    tokenizer: Any
    lessons: Lessons
    rng: np.random.Generator
    generator: torch.Generator


def _run(
    towers: Towers,
    material: _Material,
    recipe: Recipe,
    every: int,
) -> Towers:
    """Run the steps and return the average of the weights."""
    towers = towers.train()
    cast(Any, towers.icon).to(memory_format=torch.channels_last)
    optimizer, schedule = _optimizer(towers, recipe)
    clipped = [p for p in towers.parameters() if p is not towers.text.table.weight]
    average = copy.deepcopy(towers)
    lessons, generator = material.lessons, material.generator
    step, begun = 0, time.perf_counter()
    while step < recipe.steps:
        for batch in material.names.batches(recipe.names, material.rng):
            words = token_batch(material.tokenizer, batch.texts)
            x = augment(material.pictures[batch.rows], batch.mirrors, generator)
            picked = torch.randint(len(lessons.ids), (1024,), generator=generator)
            owner = np.tile(np.arange(len(batch.texts)), 2)
            doubtful = torch.from_numpy(
                false_negatives(batch.texts, material.drawn[batch.rows], owner)
            )
            match, alike, far = _losses(towers, x, words, doubtful, lessons, picked)
            loss = match + recipe.pictures_weight * alike + recipe.teacher_weight * far
            optimizer.zero_grad(set_to_none=True)
            cast(Any, loss).backward()
            nn.utils.clip_grad_norm_(clipped, 1.0)
            optimizer.step()
            with torch.no_grad():
                towers.scale.clamp_(0, MAX_LOG_SCALE)
            schedule.step()
            step += 1
            _follow(average, towers, min(recipe.average, step / (step + 10)))
            if every and (step % every == 0 or step == recipe.steps):
                _say(
                    f"step {step:5d}  match {match.item():.3f}  alike {alike.item():.3f}  "
                    f"teacher {far.item():.3f}  scale {towers.scale.exp().item():.1f}  "
                    f"{(time.perf_counter() - begun) / step:.2f} s/step"
                )
            if step == recipe.steps:
                break
    return average


def train(
    icons: list[icon_set.Icon],
    recipe: Recipe | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    every: int = 100,
) -> tuple[Towers, Vocabulary]:
    """Train both towers on ``icons``.

    Parameters
    ----------
    icons
        What to train on; must not be held out.
    recipe
        The numbers; None is the packaged model's.
    vocabulary
        Word pieces the text tower knows; None is the teacher's, pruned to ASCII.
    every
        Print the losses each so many steps; 0 for never.

    Returns
    -------
    Towers, Vocabulary
        The exponential average of the weights, in inference mode, and the tokens it reads.

    Raises
    ------
    InvalidArgument
        An icon is held out, or there are fewer names than a batch.
    MissingExtra
        The fonts or the teacher are not installed.

    Warns
    -----
    RuntimeWarning
        For numbers that are known to spoil a training (:func:`gapless.losses.training_risks`).
    """
    from tokenizers import Tokenizer

    recipe = recipe or Recipe()
    held_out = next((icon for icon in icons if icon.held_out), None)
    if held_out is not None:
        raise InvalidArgument(
            f"icon {held_out.id!r} is held out; train on {', '.join(icon_set.TRAINING)} only"
        )
    names = Names(icons)
    if len(names) < recipe.names:
        raise InvalidArgument(
            f"{len(names)} names do not fill a batch of {recipe.names}; lower Recipe.names"
        )
    # What comes trained are the word vectors: they have a rate of their own, and a teacher.
    warn_of_risks(
        batch=recipe.names,
        pairs=None if recipe.teacher_weight > 0 else len(icons),
        learning_rate=recipe.table_rate,
        pretrained=True,
    )
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)

    begun = time.perf_counter()
    drawn = icon_set.draw_all(icons)
    vocabulary = vocabulary or Vocabulary.load()
    tokenizer = Tokenizer.from_str(json.dumps(vocabulary.tokenizer))
    teacher = Teacher()
    towers = Towers(static_table(teacher.tokens(vocabulary.teacher_ids), TOKEN_DIM))
    lessons = _lessons(teacher, vocabulary, tokenizer, names.texts, recipe)
    del teacher
    if every:
        _say(
            f"{len(icons)} icons, {len(names)} names, {len(vocabulary.tokens)} word pieces, "
            f"{len(lessons.ids)} lessons; ready after {time.perf_counter() - begun:.0f} s"
        )

    material = _Material(names, pixels(drawn), drawings(drawn), tokenizer, lessons, rng, generator)
    towers = _run(towers, material, recipe, every)
    return towers.eval(), vocabulary


def _difference(folder: Path, towers: Towers, vocabulary: Vocabulary) -> dict[str, float]:
    """Largest difference of a component, and smallest cosine, between torch and written graphs."""
    from tokenizers import Tokenizer

    from gapless.demo.measure import Embedder

    icons = icon_set.load_icons(icon_set.TRAINING)[::40]
    texts = [icon.text for icon in icons]
    pictures = icon_set.draw_all(icons)
    written = Embedder(folder)
    tokenizer = Tokenizer.from_str(json.dumps(vocabulary.tokenizer))
    with torch.no_grad():
        seen = towers.icon(pixels(pictures)).numpy()
        read = towers.text(*token_batch(tokenizer, texts)).numpy()
    pairs = {"image": (written.pictures(pictures), seen), "text": (written.texts(texts), read)}
    found = {}
    for modality, (ours, theirs) in pairs.items():
        found[modality] = float(np.abs(ours - theirs).max())
        found[modality + "_cosine"] = float((ours * theirs).sum(1).min())
    return found


def ship(
    folder: Path, towers: Towers, vocabulary: Vocabulary, recipe: Recipe, minutes: float
) -> dict[str, Any]:
    """Write the model folder, measure it from its files, and write metrics and card beside them.

    Returns
    -------
    dict
        The content of ``metrics.json``.
    """
    from gapless.demo.card import card
    from gapless.demo.export import write_folder
    from gapless.demo.measure import measure

    with tempfile.TemporaryDirectory() as exact:
        write_folder(Path(exact), towers.text, towers.icon, vocabulary, exact=True)
        unrounded = _difference(Path(exact), towers, vocabulary)
    sizes = write_folder(folder, towers.text, towers.icon, vocabulary)
    icons = icon_set.load_icons(icon_set.TRAINING)

    def millions(module: nn.Module) -> float:
        return sum(p.numel() for p in module.parameters()) / 1e6

    metrics: dict[str, Any] = {
        "model": {
            "dim": DIM,
            "token_dim": TOKEN_DIM,
            "tokens": len(vocabulary.tokens),
            "widths": ", ".join(map(str, WIDTHS)),
            "parameters": millions(towers.text) + millions(towers.icon),
            "text_parameters": millions(towers.text),
            "icon_parameters": millions(towers.icon),
            "megabytes": sum(sizes.values()) / 1e6,
            "bytes": sizes,
            "onnx_against_torch": {
                "float_weights": unrounded,
                "stored_weights": _difference(folder, towers, vocabulary),
            },
        },
        "training": {
            **asdict(recipe),
            "minutes": minutes,
            "threads": torch.get_num_threads(),
            "training_icons": len(icons),
            "training_names": len(Names(icons)),
            "false_negatives_masked": True,
        },
        **measure(folder),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(metrics), encoding="utf-8")
    return metrics


def main(arguments: list[str] | None = None) -> None:
    """Run the training from the command line."""
    from gapless.demo.measure import MODEL

    parser = argparse.ArgumentParser(prog="python -m gapless.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=MODEL, help="model folder (%(default)s)")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="steps (%(default)s)")
    parser.add_argument("--names", type=int, default=Recipe.names, help="names in a batch")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="seed (%(default)s)")
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps, names=options.names, seed=options.seed)
    begun = time.perf_counter()
    towers, vocabulary = train(icon_set.load_icons(icon_set.TRAINING), recipe)
    minutes = (time.perf_counter() - begun) / 60
    metrics = ship(options.out, towers, vocabulary, recipe, minutes)
    symbols = metrics["text_to_icon"]["held_out_symbols"]
    _say(
        f"wrote {options.out}: {metrics['model']['megabytes']:.2f} MB after {minutes:.1f} minutes; "
        f"held-out text -> icon R@1 {symbols['recall_at_1']:.3f}, "
        f"R@10 {symbols['recall_at_10']:.3f} among {symbols['candidates']}"
    )


if __name__ == "__main__":
    main()
