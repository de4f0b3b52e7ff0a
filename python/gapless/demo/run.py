"""The demo from end to end: index, ask, measure, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gapless.demo.corpus import Corpus, Staged, Vectors, check_folder, collect, load_corpus
from gapless.demo.evaluation import Comparison, compare
from gapless.demo.queries import Answer, ask_all
from gapless.encode import model_folder
from gapless.encode.folder import ModelFolder
from gapless.errors import MissingExtra

if TYPE_CHECKING:
    from gapless.diagnosis.result import Diagnosis

__all__ = ["DemoResult", "run_demo"]


@dataclass(frozen=True)
class DemoResult:
    """Everything the demo found out.

    Attributes
    ----------
    folder, report
        Where it was written; `report` is None without one.
    model
        Name or folder of the encoder.
    images, texts
        Number of picture items and of text items.
    answers
        One for each question.
    comparison
        Raw, centred and fused on the held-out families; None in a corpus too small to have a
        query.
    diagnosis
        Of the whole collection.
    seconds
        Time of each stage, and ``"total"``.
    notes
        Lines worth telling.
    """

    folder: Path
    report: Path | None
    model: str
    images: int
    texts: int
    answers: tuple[Answer, ...]
    comparison: Comparison | None
    diagnosis: Diagnosis
    seconds: dict[str, float]
    notes: tuple[str, ...]

    @property
    def accepted(self) -> dict[str, int]:
        """How many of the first ten pictures are right, for each checked query."""
        return {
            answer.text: answer.accepted
            for answer in self.answers
            if answer.text is not None and answer.accepted is not None
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        table = self.comparison.to_dict() if self.comparison else {"rows": []}
        rows = table.pop("rows")
        return {
            "accepted": self.accepted,
            "queries": [answer.to_dict() for answer in self.answers],
            "comparison": list(rows),
            "evaluation": table,
            "diagnosis": self.diagnosis.to_dict(),
            "seconds": self.seconds,
            "report": None if self.report is None else str(self.report),
            "folder": str(self.folder),
            "model": self.model,
            "images": self.images,
            "texts": self.texts,
            "notes": list(self.notes),
        }


def run_demo(
    folder: Path,
    *,
    stages: Staged,
    model: str = "gapless.demo",
    limit: int | None = None,
    report: bool = True,
) -> DemoResult:
    """Run the demo in a folder.

    Parameters
    ----------
    folder
        Gets ``collection/``, ``demo.json`` and ``report.html``; made if it is not there.
    stages
        Shows progress and keeps the time of each stage.
    model
        ``"gapless.demo"`` or the folder of a text and image model.
    limit
        Take this many icons instead of all.
    report
        Write the HTML report (extra ``report``).

    Raises
    ------
    InvalidArgument, CollectionLocked
        As :func:`gapless.demo.corpus.collect`.
    MissingModelFile, MissingExtra
        The model, or an extra, is not installed; before anything is written.
    """
    start = time.perf_counter()
    if report:
        _require_report()
    ModelFolder(model_folder(model))
    folder = folder.expanduser().absolute()
    check_folder(folder)
    corpus = load_corpus(limit, stages)
    col, vectors, note = collect(folder, corpus, model, stages)
    with col:
        with stages.stage("ask", "Asking"):
            answers = tuple(ask_all(col, corpus, model))
        with stages.stage("measure", "Measuring the gap"):
            comparison = _measure(corpus, vectors)
            diagnosis = col.diagnose()
    notes = [note]
    if comparison is None:
        notes.append("too few icons for the comparison: no query has right answers on both sides")
    result = DemoResult(
        folder=folder,
        report=folder / "report.html" if report else None,
        model=model,
        images=len(corpus.icons),
        texts=len(corpus.texts),
        answers=answers,
        comparison=comparison,
        diagnosis=diagnosis,
        seconds=stages.seconds,
        notes=tuple(notes),
    )
    if result.report is not None:
        from gapless.report.demo import write_report

        with stages.stage("report", "Writing the report"):
            write_report(result.report, result, corpus, vectors)
    stages.seconds["total"] = time.perf_counter() - start
    return result


def _require_report() -> None:
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"the report needs {error.name}: pip install 'gapless[demo]', or run "
            "gapless demo --no-report"
        ) from error


def _measure(corpus: Corpus, vectors: Vectors) -> Comparison | None:
    """Compare the methods on the held-out families alone."""
    held = [number for number, icon in enumerate(corpus.icons) if icon.held_out]
    icons = [corpus.icons[number] for number in held]
    place = {text: number for number, text in enumerate(corpus.texts)}
    texts = list(dict.fromkeys(text for icon in icons for text in icon.texts))
    if not icons:
        return None
    return compare(
        icons, texts, vectors.images[held], vectors.texts[[place[text] for text in texts]]
    )
