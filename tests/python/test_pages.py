from __future__ import annotations

import base64
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.catalog import ItemRow
from gapless.errors import InvalidArgument
from gapless.results.hits import Hits
from gapless.results.pages import FrozenPages
from hits_kit import ranked

COUNT = 50


def rows(keys: list[int]) -> dict[int, ItemRow]:
    return {key: ItemRow(key, f"i{key}", None, None) for key in keys}


def without(gone: set[int]) -> Callable[[list[int]], dict[int, ItemRow]]:
    return lambda keys: rows([key for key in keys if key not in gone])


def frozen(pages: FrozenPages, count: int = COUNT) -> str:
    return pages.freeze(ranked(np.linspace(1, 0, count).tolist()), "rrf", "asked for")


def walk(pages: FrozenPages, cursor: str | None, limit: int, gone: set[int]) -> list[Hits]:
    found = []
    while cursor is not None:
        found.append(pages.page(cursor, limit, without(gone)))
        cursor = found[-1].cursor
    return found


@settings(deadline=None)
@given(st.integers(1, 60), st.sets(st.integers(0, COUNT - 1)))
def test_pages_have_no_duplicates_no_holes_and_no_empty_end(limit: int, gone: set[int]) -> None:
    pages = FrozenPages()
    found = walk(pages, frozen(pages), limit, gone)
    left = [f"i{i}" for i in range(COUNT) if i not in gone]
    assert [i for page in found for i in page.ids] == left
    assert all(len(page) == limit for page in found[:-1])
    assert len(found[-1]) > 0 or not left
    assert {page.fusion for page in found} == {"rrf"}


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, COUNT - 1), max_size=9), min_size=12, max_size=12))
def test_what_is_removed_between_pages_is_left_out_and_nothing_else(
    removals: list[set[int]],
) -> None:
    pages, gone, shown = FrozenPages(), set[int](), list[str | int]()
    cursor: str | None = frozen(pages)
    for removed in removals:
        if cursor is None:
            break
        page = pages.page(cursor, 7, without(gone))
        assert len(page) == 7 or page.cursor is None
        assert not {f"i{i}" for i in gone} & set(page.ids)
        shown += page.ids
        gone |= removed
        cursor = page.cursor
    assert len(shown) == len(set(shown))
    assert shown == sorted(shown, key=lambda each: int(str(each)[1:]))
    if cursor is None:
        assert {f"i{i}" for i in range(COUNT)} - set(shown) <= {f"i{i}" for i in gone}


def test_a_page_can_be_asked_for_again() -> None:
    pages = FrozenPages()
    start = frozen(pages)
    first = pages.page(start, 10, rows)
    assert pages.page(start, 10, rows) == first
    assert first.cursor is not None
    assert pages.page(first.cursor, 20, rows).ids == [f"i{i}" for i in range(10, 30)]
    assert pages.page(first.cursor, 100, rows).cursor is None
    found, place = pages.resume(first.cursor)
    assert (len(found.ranking), place) == (COUNT, 10)


def test_what_explains_the_hits_is_frozen_too() -> None:
    pages, told = FrozenPages(), np.linspace(0, 1, COUNT)[:, None]
    spans = {("image", i): (float(i), i + 1.0) for i in range(COUNT)}
    found = ranked(np.linspace(1, 0, COUNT).tolist())
    start = pages.freeze(
        found, "rrf", "asked for", spans=spans, plain=told.astype(np.float32), calibrated=told / 2
    )
    first = pages.page(start, 10, without({0}))
    assert first.cursor is not None
    hit = pages.page(first.cursor, 10, rows)[1]
    assert (hit.id, hit.span) == ("i12", (12.0, 13.0))
    part = hit.contributions[0]
    assert part.rank == 13
    assert part.raw == pytest.approx(told[12, 0])
    assert part.calibrated == pytest.approx(told[12, 0] / 2)


def test_the_longest_unused_ranking_expires() -> None:
    pages = FrozenPages(lists=2)
    first, second = frozen(pages), frozen(pages)
    pages.page(first, 1, rows)
    third = frozen(pages)
    assert len(pages) == 2
    assert len(pages.page(first, 1, rows)) == len(pages.page(third, 1, rows)) == 1
    with pytest.raises(InvalidArgument, match=r"has expired: .* search again without a cursor"):
        pages.page(second, 1, rows)


def test_cursors_that_this_object_did_not_make_are_refused() -> None:
    pages, others = FrozenPages(), FrozenPages()
    cursor = frozen(pages)
    raw = base64.urlsafe_b64decode(cursor)
    tampered = [
        base64.urlsafe_b64encode(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]).decode()
        for i in range(len(raw))
    ]
    bad = [frozen(others), *tampered, cursor[:-4], cursor + "AAAA", cursor + "\n", "", "ü", 7, None]
    for each in bad:
        with pytest.raises(InvalidArgument, match=r"no search of this open collection gave it"):
            pages.page(each, 1, rows)  # type: ignore[arg-type]
    for limit in (0, -1, 1.5, True):
        with pytest.raises(InvalidArgument, match="limit is"):
            pages.page(cursor, limit, rows)  # type: ignore[arg-type]


def test_an_empty_ranking_has_one_empty_page() -> None:
    pages = FrozenPages()
    page = pages.page(frozen(pages, 0), 10, rows)
    assert (len(page), page.cursor) == (0, None)


def test_many_threads_page_at_once() -> None:
    pages, failed = FrozenPages(lists=24), []  # as many as are frozen here

    def work() -> None:
        try:
            for limit in (3, 7, 50):
                found = walk(pages, frozen(pages), limit, {4, 5})
                assert sum(map(len, found)) == COUNT - 2
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(pages) == 24
