"""The demo's questions: by text, by picture, by both; each timed, three of them checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gapless.demo.concepts import accepted, accepted_queries
from gapless.demo.corpus import SPACE, Corpus
from gapless.encode import load_encoder

if TYPE_CHECKING:
    from gapless.collection import Collection
    from gapless.results.hits import Hits

__all__ = ["Answer", "Found", "ask_all"]

_REPEATS = 10
_SHOWN = 10
_T = TypeVar("_T")

IMAGE_QUERY = ("fa6s.camera", "fa6s.house", "msc.home")
COMPOSED_QUERY = ("fa6s.user", "fa6s.folder", "msc.account"), "add"
"""Pictures to ask with, the first that the corpus has; and the words that go with the second."""


@dataclass(frozen=True)
class Found:
    """One hit: `kind` is "image" or "text", `family` the icon font; `right` None if not judged."""

    rank: int
    id: str
    kind: str
    name: str
    family: str | None
    score: float
    right: bool | None = None


@dataclass(frozen=True)
class Answer:
    """What one question gave.

    Attributes
    ----------
    kind
        "text", "image" or "composed".
    text, image
        The parts of the question; `image` is the id of an icon.
    hits
        The first ten of the mixed list. A picture that asks is left out of its own answer.
    images
        The first ten pictures of the same list, for the checked queries.
    accepted
        How many of `images` are right by ``accepted.toml``; None where it has no entry.
    encode_ms, search_us
        Best of ten runs: encoding the question, and searching both fields, fusing them and
        fetching the metadata.
    fusion, reason
        The method the collection chose, and why.
    """

    kind: str
    text: str | None
    image: str | None
    hits: tuple[Found, ...]
    images: tuple[Found, ...]
    accepted: int | None
    encode_ms: float
    search_us: float
    fusion: str
    reason: str

    @property
    def title(self) -> str:
        """The question in words."""
        parts = [f"“{self.text}”" if self.text else "", f"[{self.image}]" if self.image else ""]
        return " + ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def ask_all(col: Collection, corpus: Corpus, model: str) -> list[Answer]:
    """Ask the three checked texts, one picture, and one picture with words."""
    asker = _Asker(col, corpus, model)
    answers = [asker.text(query) for query in accepted_queries()]
    by_id = {icon.id: number for number, icon in enumerate(corpus.icons)}
    one = next((name for name in IMAGE_QUERY if name in by_id), corpus.icons[-1].id)
    answers.append(asker.image(one, by_id[one]))
    names, words = COMPOSED_QUERY
    two = next((name for name in names if name in by_id), corpus.icons[0].id)
    answers.append(asker.composed(two, by_id[two], words))
    return answers


class _Asker:
    def __init__(self, col: Collection, corpus: Corpus, model: str) -> None:
        self._col, self._corpus = col, corpus
        self._icons = {icon.id: icon for icon in corpus.icons}
        self._text = load_encoder(model, "text")
        self._image = load_encoder(model, "image")

    def text(self, query: str) -> Answer:
        vector, encode = _timed(lambda: self._text.encode([query])[0])
        hits, search = _timed(
            lambda: self._col.search(vectors={SPACE: vector}, modality="text", limit=_SHOWN)
        )
        images = self._first_images(vector, query)
        right = sum(found.right is True for found in images)
        shown = self._found(hits, query)
        return Answer(
            "text",
            query,
            None,
            shown,
            images,
            right,
            encode * 1e3,
            search * 1e6,
            hits.fusion,
            hits.reason,
        )

    def image(self, name: str, number: int) -> Answer:
        picture = self._corpus.pictures[number]
        vector, encode = _timed(lambda: self._image.encode([picture])[0])
        hits, search = _timed(
            lambda: self._col.search(vectors={SPACE: vector}, modality="image", limit=_SHOWN + 1)
        )
        return Answer(
            "image",
            None,
            name,
            self._found(hits, None, name),
            (),
            None,
            encode * 1e3,
            search * 1e6,
            hits.fusion,
            hits.reason,
        )

    def composed(self, name: str, number: int, words: str) -> Answer:
        picture = self._corpus.pictures[number]
        vector, encode_image = _timed(lambda: self._image.encode([picture])[0])
        _, encode_text = _timed(lambda: self._text.encode([words]))
        # The words are encoded inside, so that time is taken off again.
        hits, both = _timed(
            lambda: self._col.search(
                words, vectors={SPACE: vector}, modality="image", limit=_SHOWN + 1
            )
        )
        return Answer(
            "composed",
            words,
            name,
            self._found(hits, None, name),
            (),
            None,
            (encode_image + encode_text) * 1e3,
            max(0.0, both - encode_text) * 1e6,
            hits.fusion,
            hits.reason,
        )

    def _first_images(self, vector: Any, query: str) -> tuple[Found, ...]:
        """Walk down the mixed list until it has given ten pictures."""
        limit = 8 * _SHOWN
        while True:
            hits = self._col.search(
                vectors={SPACE: vector}, modality="text", limit=limit, ef=max(64, limit)
            )
            found = [hit for hit in self._found(hits, query, limit=limit) if hit.kind == "image"]
            if len(found) >= _SHOWN or limit >= len(self._col):
                return tuple(found[:_SHOWN])
            limit = min(4 * limit, len(self._col))

    def _found(
        self, hits: Hits, judge: str | None, without: str | None = None, limit: int = _SHOWN
    ) -> tuple[Found, ...]:
        kept = [hit for hit in hits if hit.id != without][:limit]
        found = []
        for rank, hit in enumerate(kept, 1):
            about: Mapping[str, Any] = hit.metadata or {}
            icon = self._icons.get(str(hit.id))
            right = None if judge is None or icon is None else accepted(judge, icon)
            found.append(
                Found(
                    rank,
                    str(hit.id),
                    about["kind"],
                    about["name"],
                    about.get("family"),
                    float(hit.score),
                    right,
                )
            )
        return tuple(found)


def _timed(call: Callable[[], _T]) -> tuple[_T, float]:
    """Call ten times after a warm-up: the result, and the least seconds (the rest is noise)."""
    result = call()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)
