"""The icon set: counts, rules, pictures, and the line between training and held-out families."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib import metadata

import numpy as np
import pytest

from gapless.demo import icons as I
from gapless.errors import InvalidArgument, MissingExtra


def test_counts_of_the_pinned_fonts() -> None:
    counts = Counter(icon.prefix for icon in I.load_icons())
    assert counts == {
        "mdi6": 7341,
        "ri": 2211,
        "ph": 4364,
        "fa6s": 1401,
        "fa6r": 163,
        "fa6b": 493,
        "msc": 457,
        "ei": 303,
    }
    assert sum(icon.held_out for icon in I.load_icons()) == 2817


def test_families_partition_and_ids_are_unique() -> None:
    assert set(I.TRAINING).isdisjoint(I.HELD_OUT)
    assert I.FAMILIES == I.TRAINING + I.HELD_OUT
    icons = I.load_icons()
    assert len({icon.id for icon in icons}) == len(icons)
    assert I.load_icons(["elusive"]) == [icon for icon in icons if icon.family == "elusive"]
    assert not any(icon.held_out for icon in I.load_icons(I.TRAINING))
    assert all(icon.held_out for icon in I.load_icons(I.HELD_OUT))


def test_pictures_are_framed_ink_on_paper_and_distinct_within_a_family() -> None:
    icons = I.load_icons(["elusive", "codicons"])
    pictures = I.draw_all(icons)
    assert pictures.shape == (len(icons), 64, 64)
    assert pictures.dtype == np.uint8
    ink = pictures < 255
    assert ink.any(axis=(1, 2)).all()
    assert not ink[:, :3].any() and not ink[:, -3:].any()
    assert not ink[:, :, :3].any() and not ink[:, :, -3:].any()
    rows, columns = ink.any(axis=2), ink.any(axis=1)
    for row, column in zip(rows, columns, strict=True):
        sides = [np.ptp(np.flatnonzero(row)) + 1, np.ptp(np.flatnonzero(column)) + 1]
        assert 54 <= max(sides) <= 56
    for family in ("elusive", "codicons"):
        seen = [
            p.tobytes() for p, icon in zip(pictures, icons, strict=True) if icon.family == family
        ]
        assert len(set(seen)) == len(seen)


def test_drawing_is_deterministic_and_draw_agrees_with_draw_all() -> None:
    icons = I.load_icons(["elusive"])[::10]
    pictures = I.draw_all(icons)
    for icon, picture in zip(icons, pictures, strict=True):
        np.testing.assert_array_equal(I.draw(icon), picture)


def test_equal_pictures_become_aliases() -> None:
    icons = {icon.id: icon for icon in I.load_icons(["codicons"])}
    add = icons["msc.add"]
    assert "plus" in add.aliases
    assert "msc.plus" not in icons
    assert add.texts[0] == "add"
    assert "plus" in add.texts


@pytest.mark.parametrize(
    ("name", "prefix", "text"),
    [
        ("arrow-left", "mdi6", "arrow left"),
        ("arrow-left-bold-outline", "mdi6", "arrow left"),
        ("bell-outline-variant", "mdi6", "bell"),
        ("outline", "mdi6", "outline"),
        ("format-bold", "mdi6", "format bold"),
        ("delete-bin-6-line", "ri", "delete bin 6"),
        ("bold", "ri", "bold"),
        ("airplane-tilt-bold", "ph", "airplane tilt"),
        ("airplane-tilt-thin", "ph", "airplane tilt"),
        ("traffic-light", "mdi6", "traffic light"),
        ("fa6s.house-user", "fa6s", "house user"),
        ("circle-filled", "msc", "circle"),
        ("trash-alt", "ei", "trash"),
    ],
)
def test_readable_names(name: str, prefix: str, text: str) -> None:
    assert I.readable(name, prefix) == text


def test_every_text_is_lower_case_words() -> None:
    for icon in I.load_icons():
        assert icon.text
        assert icon.text == " ".join(icon.text.lower().split())
        assert not set(icon.text) & set("-_.")


def test_unknown_family_and_prefix_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match=r"unknown icon family 'emoji'.*material"):
        I.load_icons(["emoji"])
    with pytest.raises(InvalidArgument, match=r"unknown icon font prefix 'fa5'.*fa6s"):
        I.readable("house", "fa5")


def test_a_glyph_without_ink_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'msc.blank' \(U\+EC03\) draws nothing"):
        I.draw(I.Icon("codicons", "msc", "blank", "blank", 0xEC03))


def test_missing_fonts_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(I.metadata, "files", absent)
    with pytest.raises(MissingExtra, match=r"gapless\[demo\]"):
        I._find("codicon", ".ttf")


def test_missing_pillow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    I._font.cache_clear()
    with pytest.raises(MissingExtra, match=r"Pillow.*gapless\[demo\]"):
        I._font("ei")


def test_qtawesome_is_never_imported() -> None:
    code = (
        "import sys; from gapless.demo.icons import load_icons; "
        "assert load_icons(['elusive']); "
        "sys.exit(any(m.split('.')[0] in ('qtawesome', 'qtpy') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
