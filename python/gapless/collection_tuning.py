"""What a collection does to learn how much its lists should weigh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .query.fusion import Fuse
from .results.hits import Hits
from .tuning.collect import DEPTH, collect
from .tuning.result import TuneResult
from .tuning.tune import FOLDS, tune

__all__ = ["TuneMethods"]


class TuneMethods:
    """The part of `Collection` that learns weights."""

    if TYPE_CHECKING:
        search: Callable[..., Hits]

    def tune(
        self,
        qrels: Any,
        queries: Mapping[Any, Any],
        *,
        method: str = "ascent",
        metric: str = "ndcg@10",
        folds: int = FOLDS,
        seed: int = 0,
        limit: int = DEPTH,
        **wishes: Any,
    ) -> TuneResult:
        """Learn the weights of the fields that rank judged items best, and what they gain.

        Nothing is stored: search with ``weights=result.weights``.

        Parameters
        ----------
        qrels
            What is right: {query: {id: gain}}, or {query: set of ids}; see `gapless.evaluate`.
        queries : mapping of query to str or dict
            The question of each query: its text, or keyword arguments of `search`.
        method : {"ascent", "logistic"}
            Coordinate ascent on the metric itself, or a logistic regression of relevance on what
            the lists say, at its best where they are calibrated; weights are never negative.
        metric : str
            ``"ndcg@k"``.
        folds, seed : int
            Of the cross-validation: the gain is that on queries which weights were not fitted to.
        limit : int
            Hits of each query that are looked at.
        **wishes
            Further arguments of all searches, such as `fields` or `fusion`.

        Returns
        -------
        TuneResult
            Its weights are equal, with a finding, where unseen queries do not gain.

        Raises
        ------
        InvalidArgument
            For too few judged queries, a bad method or metric, and what `search` refuses.

        Notes
        -----
        The held-out gain is the mean difference of the metric to equal weights, with a paired
        bootstrap interval over the queries.
        """
        found = collect(self.search, queries, limit=limit, **wishes)
        return tune(
            found.candidates,
            qrels,
            found.lists,
            fusion=found.fusion,
            method=method,
            metric=metric,
            combine=_combine(**wishes),
            folds=folds,
            seed=seed,
        )


def _combine(fusion: Any = None, combine: str | None = None, **_: Any) -> str:
    """How the searches made one probability of an item's."""
    told = fusion.combine if combine is None and isinstance(fusion, Fuse) else combine
    return str(told or "mean_logit")
