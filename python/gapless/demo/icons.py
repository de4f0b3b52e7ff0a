"""About 16,000 real icons with names, drawn from the fonts that QtAwesome carries.

The fonts and their charmaps are found through :mod:`importlib.metadata`, so QtAwesome is never
imported (importing it would want Qt). Rules, so that the set is the same everywhere:

* one icon for each picture: names that draw the same 64x64 picture within a family become one
  icon; the first name in charmap order is its ``name``, the rest are its ``aliases``;
* glyphs without ink (spacers) are left out;
* a picture is black on white, its ink box scaled to 56 pixels on the longer side and centred.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gapless.errors import InvalidArgument, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL.ImageFont import FreeTypeFont

__all__ = ["FAMILIES", "HELD_OUT", "SIZE", "TRAINING", "Icon", "draw", "draw_all", "load_icons"]

SIZE = 64
"""Side of a drawn icon in pixels."""

_INK = 56
_RENDER = 128

TRAINING = ("material", "remix", "phosphor")
"""Families the packaged model is trained on."""

HELD_OUT = ("fontawesome", "codicons", "elusive")
"""Families the packaged model never sees in training."""

FAMILIES = TRAINING + HELD_OUT
"""Every family, in the order :func:`load_icons` returns them."""


@dataclass(frozen=True)
class _Font:
    family: str
    prefix: str
    stem: str
    styles: frozenset[str] = frozenset()
    weights: frozenset[str] = frozenset()


# QtAwesome's prefix, the stem of its files, and the words its names end with that tell the style:
# `styles` always do, `weights` only where the rest is a name too ("traffic-light" is a thing).
_FONTS = (
    _Font(
        "material",
        "mdi6",
        "materialdesignicons6-webfont",
        frozenset({"outline", "variant"}),
        frozenset({"bold", "thin"}),
    ),
    _Font("remix", "ri", "remixicon", frozenset({"line", "fill"})),
    _Font(
        "phosphor",
        "ph",
        "phosphor",
        weights=frozenset({"bold", "fill", "light", "thin", "duotone"}),
    ),
    _Font("fontawesome", "fa6s", "fontawesome6-solid-webfont"),
    _Font("fontawesome", "fa6r", "fontawesome6-regular-webfont"),
    _Font("fontawesome", "fa6b", "fontawesome6-brands-webfont"),
    _Font("codicons", "msc", "codicon", frozenset({"filled", "outline"})),
    _Font("elusive", "ei", "elusiveicons-webfont", frozenset({"alt"})),
)

PREFIXES = {font.prefix: font.family for font in _FONTS}
"""QtAwesome's font prefix -> family, e.g. ``"mdi6" -> "material"``."""


@dataclass(frozen=True)
class Icon:
    """One picture of one icon font.

    Attributes
    ----------
    family
        One of :data:`FAMILIES`.
    prefix
        QtAwesome's prefix of the font (``mdi6 ri ph fa6s fa6r fa6b msc ei``).
    name
        The name in the charmap, e.g. ``"arrow-left-bold-outline"``.
    text
        The name as words, without style words: ``"arrow left"``.
    codepoint
        The character of the font that draws it.
    aliases
        Other charmap names of the same picture.
    """

    family: str
    prefix: str
    name: str
    text: str
    codepoint: int
    aliases: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """The name QtAwesome knows it by, unique over all families: ``"fa6s.house"``."""
        return f"{self.prefix}.{self.name}"

    @property
    def held_out(self) -> bool:
        """True if the packaged model was trained without this icon's family."""
        return self.family in HELD_OUT

    @property
    def texts(self) -> tuple[str, ...]:
        """The readable text of the name and of every alias, without repeats."""
        font = next(font for font in _FONTS if font.prefix == self.prefix)
        words = [self.text, *(readable(alias, font.prefix) for alias in self.aliases)]
        return tuple(dict.fromkeys(words))


def readable(name: str, prefix: str, names: Iterable[str] | None = None) -> str:
    """Turn a charmap name into words: separators become spaces, closing style words go.

    Style words are the family's own ("outline" for Material, "line" and "fill" for Remix, ...),
    and only at the end of the name and never the whole of it. Weights ("bold", "thin", "light",
    ...) go only where the rest is a name of the family too, so that a traffic light stays one;
    ``names`` are the family's names, read from the font if not given.

    >>> readable("arrow-left-bold-outline", "mdi6", names=["arrow-left"])
    'arrow left'
    >>> readable("traffic-light-outline", "mdi6", names=["car"])
    'traffic light'

    Raises
    ------
    InvalidArgument
        The prefix belongs to no known font.
    """
    font = next((font for font in _FONTS if font.prefix == prefix), None)
    if font is None:
        raise InvalidArgument(
            f"unknown icon font prefix {prefix!r}; use one of {', '.join(sorted(PREFIXES))}"
        )
    name = name.removeprefix(prefix + ".")
    words = [word for word in re.split(r"[-_\s.]+", name.lower()) if word]
    known: Iterable[str] = ()
    if font.weights:
        known = _charmap(font.stem).keys() if names is None else names
    while len(words) > 1 and (
        words[-1] in font.styles or (words[-1] in font.weights and "-".join(words[:-1]) in known)
    ):
        words.pop()
    return " ".join(words)


def _find(stem: str, ending: str) -> Path:
    """Find the one file of QtAwesome that is ``stem-<version>.<ending>``."""
    try:
        files = metadata.files("QtAwesome") or []
    except metadata.PackageNotFoundError:
        files = []
    pattern = re.compile(rf"{re.escape(stem)}-\d[\d.]*{re.escape(ending)}")
    for entry in files:
        if pattern.fullmatch(entry.name):
            return Path(str(entry.locate()))
    raise MissingExtra(
        f"the icon font file {stem}-*{ending} of QtAwesome is not installed; "
        "run pip install 'gapless[demo]'"
    )


@cache
def _charmap(stem: str) -> dict[str, int]:
    path = _find(stem + "-charmap", ".json")
    raw: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return {name: int(code, 16) for name, code in raw.items()}


@cache
def _font(prefix: str) -> FreeTypeFont:
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise MissingExtra("drawing icons needs Pillow; run pip install 'gapless[demo]'") from error
    stem = next(font.stem for font in _FONTS if font.prefix == prefix)
    # The basic layout skips text shaping, which a single glyph does not need.
    return ImageFont.truetype(
        str(_find(stem, ".ttf")), _RENDER, layout_engine=ImageFont.Layout.BASIC
    )


def _draw(prefix: str, codepoint: int) -> npt.NDArray[np.uint8] | None:
    """Draw a glyph, or return None if it has no ink."""
    from PIL import Image, ImageDraw

    font = _font(prefix)
    glyph = chr(codepoint)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(glyph))
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(canvas).text((-left, -top), glyph, fill=255, font=font)
    box = canvas.getbbox()
    if box is None:
        return None
    ink = canvas.crop(box)
    scale = _INK / max(ink.size)
    size = (max(1, round(ink.size[0] * scale)), max(1, round(ink.size[1] * scale)))
    ink = ink.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR)
    picture = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    y, x = (SIZE - size[1]) // 2, (SIZE - size[0]) // 2
    picture[y : y + size[1], x : x + size[0]] -= np.asarray(ink, dtype=np.uint8)
    return picture


@cache
def _family(family: str) -> tuple[tuple[Icon, ...], npt.NDArray[np.uint8]]:
    """All icons of a family and their pictures, one for each picture."""
    first: dict[bytes, int] = {}
    found: list[tuple[_Font, str, int, list[str]]] = []
    pictures: list[npt.NDArray[np.uint8]] = []
    for font in _FONTS:
        if font.family != family:
            continue
        drawn: dict[int, npt.NDArray[np.uint8] | None] = {}
        for name, codepoint in _charmap(font.stem).items():
            if codepoint not in drawn:
                drawn[codepoint] = _draw(font.prefix, codepoint)
            picture = drawn[codepoint]
            if picture is None:
                continue
            key = picture.tobytes()
            if key in first:
                found[first[key]][3].append(name)
            else:
                first[key] = len(found)
                found.append((font, name, codepoint, []))
                pictures.append(picture)
    icons = tuple(
        Icon(family, font.prefix, name, readable(name, font.prefix), codepoint, tuple(others))
        for font, name, codepoint, others in found
    )
    block = np.stack(pictures)
    block.flags.writeable = False
    return icons, block


def load_icons(families: Sequence[str] | None = None) -> list[Icon]:
    """List the icons of some families, or of all.

    Parameters
    ----------
    families
        Names from :data:`FAMILIES`; None means all, in that order.

    Returns
    -------
    list of Icon
        In charmap order within a family; the order is the same on every run. Finding equal
        pictures means drawing them: the first call draws (seconds for all families), later calls
        and :func:`draw_all` are served from memory.

    Raises
    ------
    InvalidArgument
        A family is unknown.
    MissingExtra
        QtAwesome or Pillow is not installed.
    """
    icons: list[Icon] = []
    for family in FAMILIES if families is None else families:
        if family not in FAMILIES:
            raise InvalidArgument(
                f"unknown icon family {family!r}; use some of {', '.join(FAMILIES)}"
            )
        icons.extend(_family(family)[0])
    return icons


@cache
def _positions(family: str) -> dict[str, int]:
    return {icon.id: position for position, icon in enumerate(_family(family)[0])}


def draw(icon: Icon) -> npt.NDArray[np.uint8]:
    """Draw one icon: uint8 (64, 64), 0 is ink and 255 is paper.

    Raises
    ------
    InvalidArgument
        The glyph of ``icon`` has no ink.
    MissingExtra
        QtAwesome or Pillow is not installed.
    """
    picture = _draw(icon.prefix, icon.codepoint)
    if picture is None:
        raise InvalidArgument(
            f"icon {icon.id!r} (U+{icon.codepoint:04X}) draws nothing; "
            "take an icon that load_icons() returns"
        )
    return picture


def draw_all(icons: Sequence[Icon]) -> npt.NDArray[np.uint8]:
    """Draw many icons: uint8 (n, 64, 64), 0 is ink and 255 is paper."""
    pictures = np.empty((len(icons), SIZE, SIZE), dtype=np.uint8)
    for row, icon in enumerate(icons):
        position = _positions(icon.family).get(icon.id) if icon.family in FAMILIES else None
        pictures[row] = draw(icon) if position is None else _family(icon.family)[1][position]
    return pictures
