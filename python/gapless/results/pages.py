"""Page through a ranking that stays as it was when its first page was asked for."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..catalog import ItemRow
from ..errors import InvalidArgument
from .hits import Hits, Spans
from .ranking import Ranking

__all__ = ["LISTS", "Frozen", "FrozenPages"]

LISTS = 64  # rankings kept; of 1,000 items and 4 lists, some 100 KB each
NAME = 8  # bytes of a ranking's name
PLACE = 4  # bytes of the place where a page begins
SEAL = 8  # bytes that only this object can have written

Fetch: TypeAlias = "Callable[[list[int]], Mapping[int, ItemRow]]"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A ranking to page through; see `Hits` for what the attributes mean."""

    ranking: Ranking
    fusion: str
    reason: str
    spans: Spans | None = None
    plain: npt.NDArray[Any] | None = None
    calibrated: npt.NDArray[Any] | None = None


class FrozenPages:
    """Rankings that are being paged through, the 64 looked at last; safe in many threads.

    What is written meanwhile moves nothing: an item is on one page, and on no other, however many
    are added before it. One that was removed is left out, and its page filled from what follows.
    Metadata are those of the moment the page is made.

    Cursors are opaque and belong to the object that made them, so that they end with it.

    Parameters
    ----------
    lists : int
        Rankings to keep.
    """

    def __init__(self, lists: int = LISTS) -> None:
        self._most = whole("lists", lists)
        self._kept: OrderedDict[bytes, Frozen] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def freeze(
        self,
        ranking: Ranking,
        fusion: str,
        reason: str,
        *,
        spans: Spans | None = None,
        plain: npt.NDArray[Any] | None = None,
        calibrated: npt.NDArray[Any] | None = None,
    ) -> str:
        """Keep a ranking, which nobody may change from now on, and give the cursor of its start."""
        name = secrets.token_bytes(NAME)
        with self._lock:
            self._kept[name] = Frozen(ranking, fusion, reason, spans, plain, calibrated)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return self._cursor(name, 0)

    def resume(self, cursor: str) -> tuple[Frozen, int]:
        """Find the ranking of a cursor, and the place where it goes on.

        Raises
        ------
        InvalidArgument
            For a cursor of anything else, a changed one, and one whose ranking is kept no more.
        """
        name, place = self._read(cursor)
        with self._lock:
            frozen = self._kept.get(name)
            if frozen is None:
                raise InvalidArgument(
                    f"cursor {cursor!r} has expired: the {self._most} rankings paged through last "
                    "are kept; search again without a cursor"
                )
            self._kept.move_to_end(name)
        return frozen, place

    def page(self, cursor: str, limit: int, fetch: Fetch) -> Hits:
        """Make the page that begins at a cursor.

        Parameters
        ----------
        cursor : str
        limit : int
            Hits wanted; there are fewer only on the last page.
        fetch : callable
            Gives the items of a list of keys by key, without those that are gone.

        Returns
        -------
        Hits
            Its `cursor` is that of the next page, None where no item is left.

        Raises
        ------
        InvalidArgument
            As from `resume`, and for a bad limit.
        """
        limit = whole("limit", limit)
        frozen, place = self.resume(cursor)
        keys: list[int] = frozen.ranking.keys.tolist()
        places, items = _alive(keys, place, limit + 1, fetch)  # one more tells if this is the end
        following = self._cursor(self._read(cursor)[0], places[limit]) if places[limit:] else None
        chosen = np.array(places[:limit], np.intp)
        return Hits(
            frozen.ranking.take(chosen),
            items[:limit],
            frozen.fusion,
            frozen.reason,
            spans=frozen.spans,
            plain=None if frozen.plain is None else frozen.plain[chosen],
            calibrated=None if frozen.calibrated is None else frozen.calibrated[chosen],
            cursor=following,
        )

    def _cursor(self, name: bytes, place: int) -> str:
        told = name + place.to_bytes(PLACE, "big")
        return base64.urlsafe_b64encode(told + self._seal(told)).decode()

    def _seal(self, told: bytes) -> bytes:
        return hmac.digest(self._secret, told, "sha256")[:SEAL]

    def _read(self, cursor: str) -> tuple[bytes, int]:
        try:
            if not isinstance(cursor, str):
                raise ValueError("no text")
            given = base64.b64decode(cursor.encode("ascii"), b"-_", validate=True)
        except (ValueError, binascii.Error):
            given = b""
        told = given[: NAME + PLACE]
        if len(given) != NAME + PLACE + SEAL or not hmac.compare_digest(
            self._seal(told), given[NAME + PLACE :]
        ):
            raise InvalidArgument(
                f"cursor is {cursor!r:.60}, and no search of this open collection gave it: give "
                "hits.cursor of the page before as it is, or search again without a cursor"
            )
        return told[:NAME], int.from_bytes(told[NAME:], "big")


def _alive(
    keys: Sequence[int], place: int, wanted: int, fetch: Fetch
) -> tuple[list[int], list[ItemRow]]:
    """Find the first `wanted` places from `place` on whose items are there, and those items."""
    places: list[int] = []
    items: list[ItemRow] = []
    while place < len(keys) and len(places) < wanted:
        some = keys[place : place + max(wanted - len(places), 16)]
        rows = fetch(list(some))
        for i, key in enumerate(some, place):
            if key in rows and len(places) < wanted:
                places.append(i)
                items.append(rows[key])
        place += len(some)
    return places, items
