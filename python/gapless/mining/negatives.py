"""Mined negatives: for each query and positive, the items it is to be told apart from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import ItemId
from ..errors import InvalidArgument
from ..segments import fsync

__all__ = ["HardNegatives", "NegativeStage", "Triple"]

Keys: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Triple:
    """One line of a training file.

    Attributes
    ----------
    query, positive, negative : str or int
        Ids; row numbers where arrays were mined.
    positive_score, negative_score : float
        Scores of the query with either; the negative's is the lower by at least the margin.
    rank : int or None
        1-based place of the negative in the index's answer; None for a random one.
    stage : str
        ``"random"`` or ``"hard"``, the stage of training that it is meant for.
    """

    query: ItemId
    positive: ItemId
    negative: ItemId
    positive_score: float
    negative_score: float
    rank: int | None
    stage: str

    @property
    def random(self) -> bool:
        """Whether the negative was drawn blindly."""
        return self.rank is None


@dataclass(frozen=True, slots=True)
class NegativeStage:
    """The negatives of one stage of training, a row per (query, positive) pair.

    Attributes
    ----------
    name : str
        ``"random"`` or ``"hard"``.
    negatives : ndarray (pairs, per_positive) int64
        The hard ones first, best rank first; -1 where no further one was found.
    scores : ndarray (pairs, per_positive) float32
        Score of the query with each; NaN where there is none.
    ranks : ndarray (pairs, per_positive) int32
        1-based place in the index's answer; 0 for a random one, and where there is none.
    """

    name: str
    negatives: Keys
    scores: npt.NDArray[np.float32]
    ranks: npt.NDArray[np.int32]

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """Where there is a negative: bool (pairs, per_positive)."""
        filled: npt.NDArray[np.bool_] = self.negatives >= 0
        return filled

    @property
    def random(self) -> npt.NDArray[np.bool_]:
        """Where the negative was drawn blindly: bool (pairs, per_positive)."""
        blind: npt.NDArray[np.bool_] = self.filled & (self.ranks == 0)
        return blind


@dataclass(frozen=True)
class HardNegatives:
    """What `gapless.mine_hard_negatives` found.

    Attributes
    ----------
    queries : ndarray (pairs,) int64
        Number of the query of each pair.
    positives : ndarray (pairs,) int64
        Its positive document.
    scores : ndarray (pairs,) float32
        Score of the query with its positive.
    stages : tuple of NegativeStage
        One, or with ``schedule="random-first"`` two, in the order to train with them.
    ids : sequence of str or int, or None
        The item behind each number, for a collection; None where numbers are ids already.
    """

    queries: Keys
    positives: Keys
    scores: npt.NDArray[np.float32]
    stages: tuple[NegativeStage, ...]
    ids: Sequence[ItemId] | None = None

    def __len__(self) -> int:
        """Return the number of (query, positive) pairs."""
        return len(self.queries)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{stage.name}: {int((stage.filled & ~stage.random).sum())} hard, "
            f"{int(stage.random.sum())} random, {int((~stage.filled).sum())} missing"
            for stage in self.stages
        )
        return f"<HardNegatives of {len(self)} pairs; {counts}>"

    def triples(self) -> Iterator[Triple]:
        """Yield every (query, positive, negative), stage by stage."""
        for stage in self.stages:
            for pair in range(len(self)):
                for place in np.flatnonzero(stage.filled[pair]):
                    rank = int(stage.ranks[pair, place])
                    yield Triple(
                        self._id(self.queries[pair]),
                        self._id(self.positives[pair]),
                        self._id(stage.negatives[pair, place]),
                        float(self.scores[pair]),
                        float(stage.scores[pair, place]),
                        rank or None,
                        stage.name,
                    )

    def export_triples(self, path: str | os.PathLike[str]) -> int:
        """Write the triples as JSON lines, whole or not at all; return their number.

        Each line has the keys ``query``, ``positive``, ``negative``, ``positive_score``,
        ``negative_score``, ``rank`` (null for a random one), ``random`` and ``stage``.

        Raises
        ------
        InvalidArgument
            When `path` is no path, or its folder does not exist.
        OSError
            When the disk is full or refuses; a file that was there stays as it is.
        """
        try:
            target = Path(path)
        except TypeError:
            raise InvalidArgument(f"path is {path!r}: give the file to write") from None
        if not target.parent.is_dir() or target.is_dir():
            raise InvalidArgument(f"path is {str(target)!r}: give a file in a folder that exists")
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        count = 0
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                for triple in self.triples():
                    file.write(_line(triple))
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)  # noqa: PTH105 - one atomic step on every platform
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        fsync(target.parent)
        return count

    def _id(self, key: np.int64) -> ItemId:
        return int(key) if self.ids is None else self.ids[int(key)]


def _line(triple: Triple) -> str:
    return (
        json.dumps(
            {
                "query": triple.query,
                "positive": triple.positive,
                "negative": triple.negative,
                "positive_score": triple.positive_score,
                "negative_score": triple.negative_score,
                "rank": triple.rank,
                "random": triple.random,
                "stage": triple.stage,
            }
        )
        + "\n"
    )
