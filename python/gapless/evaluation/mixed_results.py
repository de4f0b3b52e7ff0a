"""What the MixBench protocol measured: figures by method, metric and form, and their U-curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..table import columns
from .metrics import canonical

__all__ = ["BIAS_AT", "MixBench", "UCurve"]

BIAS_AT = 10

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MixBench:
    """What `mixbench` measured; print it for a table.

    Attributes
    ----------
    methods, metrics : tuple of str
    values : mapping of method to mapping of metric to ndarray (draws,) float64
        Mean over the queries of each draw.
    forms : mapping of method to mapping of pair type to ndarray (draws, metrics) float64
        The same by pair type, such as ``"text->image"``: over the queries with a relevant document
        of that form, counting no others. NaN for a draw without such a query.
    bias : mapping of method to ndarray (draws,) float64
        Share of documents in the queries' own form among the first 10 answers.
    share : float
        Their share of the corpus, which is the bias of a ranking that does not look at forms.
    queries, documents : int
        In the first draw.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Mapping[str, Mapping[str, Array]]
    forms: Mapping[str, Mapping[str, Array]]
    bias: Mapping[str, Array]
    share: float
    queries: int
    documents: int

    def mean(self, method: str, metric: str | None = None, form: str | None = None) -> float:
        """Mean over the draws of a metric (the first by default), of one pair type if named.

        Raises
        ------
        InvalidArgument
            For something that was not measured.
        """
        name = self.metrics[0] if metric is None else canonical(metric)
        for what, given, known in (
            ("method", method, self.methods),
            ("metric", name, self.metrics),
            ("form", form, (None, *self.forms.get(method, ()))),
        ):
            if given not in known:
                listed = ", ".join(own for own in known if own)
                raise InvalidArgument(f"the {what} {given!r} was not measured: there is {listed}")
        if form is None:
            return float(self.values[method][name].mean())
        own = self.forms[method][form][:, self.metrics.index(name)]
        return float(own[~np.isnan(own)].mean())

    def __str__(self) -> str:
        kinds = list(next(iter(self.forms.values())))
        of = f" {self.metrics[0]}"
        header = ("", *self.metrics, *(kind + of for kind in kinds), f"bias@{BIAS_AT}")
        rows = [
            (
                method,
                *(f"{self.mean(method, metric):.3f}" for metric in self.metrics),
                *(f"{self.mean(method, form=kind):.3f}" for kind in kinds),
                f"{self.bias[method].mean():.2f}",
            )
            for method in self.methods
        ]
        draws = len(next(iter(self.bias.values())))
        told = (
            f"{draws} draws, {self.queries} queries, {self.documents} documents, "
            f"{self.share:.0%} of them in the form of the queries"
        )
        return "\n".join([*columns(header, rows), told])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "queries": self.queries,
            "documents": self.documents,
            "share": self.share,
            "methods": {
                method: {
                    "mean": {name: self.mean(method, name) for name in self.metrics},
                    "draws": {name: own.tolist() for name, own in self.values[method].items()},
                    "forms": {
                        kind: {name: self.mean(method, name, kind) for name in self.metrics}
                        for kind in self.forms[method]
                    },
                    "bias": float(self.bias[method].mean()),
                }
                for method in self.methods
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class UCurve:
    """What `u_curve` measured; print it for a table.

    Attributes
    ----------
    metric : str
    shares : tuple of float
        Share of the documents that are held as images; the others are texts.
    values : mapping of method to ndarray (shares,) float64
        Mean over the draws.
    """

    metric: str
    shares: tuple[float, ...]
    values: Mapping[str, Array]

    def dip(self, method: str) -> float:
        """How far the curve falls below the line between its two ends: 0 for a flat one."""
        if method not in self.values:
            raise InvalidArgument(f"the method {method!r} was not measured: see {[*self.values]}")
        own, at = self.values[method], np.array(self.shares)
        line = own[0] + (own[-1] - own[0]) * (at - at[0]) / (at[-1] - at[0])
        return float(max((line - own).max(), 0.0))

    def __str__(self) -> str:
        header = (f"{self.metric}, images", *(f"{share:.0%}" for share in self.shares), "dip")
        return "\n".join(
            columns(
                header,
                [
                    (method, *(f"{value:.3f}" for value in own), f"{self.dip(method):.3f}")
                    for method, own in self.values.items()
                ],
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "metric": self.metric,
            "shares": list(self.shares),
            "methods": {
                method: {"values": own.tolist(), "dip": self.dip(method)}
                for method, own in self.values.items()
            },
        }
