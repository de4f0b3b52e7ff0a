"""Where a question should go: what routers return, and one that goes by words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from ..errors import InvalidArgument
from ..given import is_listed
from ..schema import Schema
from ..stages.stages import stage_name

__all__ = [
    "AUDIO_WORDS",
    "VISUAL_WORDS",
    "KeywordRouter",
    "Route",
    "Routes",
    "mentions_audio",
    "mentions_visual",
    "read_routes",
]

VISUAL_WORDS = frozenset({
    "bright", "chart", "clip", "color", "colored", "colour", "coloured", "dark", "diagram",
    "drawing", "film", "frame", "frames", "image", "images", "logo", "look", "looking", "looks",
    "painting", "photo", "photograph", "photographs", "photos", "picture", "pictures", "poster",
    "scene", "scenes", "screenshot", "see", "seen", "shot", "shots", "shown", "showing",
    "shows", "slide", "video", "videos", "visible", "visual", "wearing",
})  # fmt: skip
AUDIO_WORDS = frozenset({
    "audio", "bark", "barking", "chord", "hear", "heard", "hum", "instrument", "listen", "loud",
    "melody", "music", "noise", "noises", "podcast", "quiet", "recording", "recordings",
    "rhythm", "ringing", "said", "say", "saying", "singing", "song", "songs", "sound",
    "sounding", "sounds", "speak", "speaking", "speech", "spoken", "tune", "voice", "voices",
    "whistle",
})  # fmt: skip
VISUAL = ("image", "video")
WORD = re.compile(r"[^\W_]+")
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """One search to try, and why.

    Parameters
    ----------
    arguments : mapping of str to value
        Arguments of `Collection.search`, such as ``{"fields": ["image"], "limit": 50}``.
    reason : str
        Kept in the trace.

    Raises
    ------
    InvalidArgument
        When `arguments` is no mapping of names.
    """

    arguments: Mapping[str, Any]
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.arguments, Mapping) or not all(
            isinstance(name, str) for name in self.arguments
        ):
            raise InvalidArgument(
                f"Route.arguments is {self.arguments!r:.60}: give a dict of search arguments, such "
                "as {'fields': ['image']}"
            )
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))


Routes: TypeAlias = "Route | Mapping[str, Any] | Sequence[Any]"


def read_routes(what: str, given: Any) -> list[Route]:
    """Make routes of what a router returns.

    One search is a `Route`, a dict of search arguments, or a list of stages; a list of those is
    tried in order.

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    if isinstance(given, Route):
        return [given]
    if isinstance(given, Mapping):
        return [Route(given)]
    if isinstance(given, (list, tuple)):
        if given and all(stage_name(entry) is not None for entry in given):
            return [Route({"stages": tuple(given)})]
        return [route for entry in given for route in read_routes(what, entry)]
    raise InvalidArgument(
        f"{what} gave {given!r:.60}: it is to give search arguments as a dict, a list of stages, a "
        "Route, or a list of those to try in order"
    )


def mentions_visual(question: str, words: Iterable[str] = VISUAL_WORDS) -> str | None:
    """Give the first of `words` that a question holds, whole and in any case; None for none."""
    return _mentioned(question, words)


def mentions_audio(question: str, words: Iterable[str] = AUDIO_WORDS) -> str | None:
    """Give the first of `words` that a question holds, whole and in any case; None for none.

    Examples
    --------
    >>> mentions_audio("What does the engine SOUND like?")
    'sound'
    >>> mentions_audio("a soundless room") is None
    True
    """
    return _mentioned(question, words)


@dataclass(frozen=True, slots=True)
class KeywordRouter:
    """Sends questions to visual, audio or other fields by the words they hold.

    Word lists decide, which are crude and easy to see through; any function
    ``router(question) -> search arguments`` may stand in its place. A question that mentions both
    sides is tried on either, visual first.

    Parameters
    ----------
    visual, audio, otherwise : mapping of str to value
        Search arguments for questions with words of either list, and with none.
    visual_words, audio_words : collection of str
        In lower case; entries of several words are phrases.

    Examples
    --------
    >>> router = KeywordRouter(visual={"fields": ["image"]}, audio={"fields": ["sound"]})
    >>> [dict(route.arguments) for route in router("a photo of a dog barking")]
    [{'fields': ['image']}, {'fields': ['sound']}]
    """

    visual: Mapping[str, Any] = field(default_factory=dict)
    audio: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Mapping[str, Any] = field(default_factory=dict)
    visual_words: Iterable[str] = VISUAL_WORDS
    audio_words: Iterable[str] = AUDIO_WORDS

    @classmethod
    def of(cls, schema: Schema) -> KeywordRouter:
        """Route by a schema: to its image and video fields, its audio fields, and its texts.

        Where it has none of a kind, questions of that kind go to all fields.
        """

        def fields_of(*modalities: str) -> Mapping[str, Any]:
            names = [name for name, f in schema.fields.items() if f.modality in modalities]
            return {"fields": names} if names else NOTHING

        return cls(fields_of(*VISUAL), fields_of("audio"), fields_of("text"))

    def __call__(self, question: str) -> list[Route]:
        """Give the searches to try for a question.

        Raises
        ------
        InvalidArgument
            When it is no text.
        """
        if not isinstance(question, str):
            raise InvalidArgument(
                f"the question is a {type(question).__name__}, and KeywordRouter reads texts: give "
                "router=function for others"
            )
        routes = []
        if word := mentions_visual(question, self.visual_words):
            routes.append(Route(self.visual, f"mentions what is seen: {word!r}"))
        if word := mentions_audio(question, self.audio_words):
            routes.append(Route(self.audio, f"mentions what is heard: {word!r}"))
        return routes or [Route(self.otherwise, "mentions neither what is seen nor heard")]


def _mentioned(question: str, words: Iterable[str]) -> str | None:
    if not is_listed(words):
        raise InvalidArgument(f"words is {words!r:.60}: give a list of words")
    text = f" {' '.join(WORD.findall(question.casefold()))} "
    places = {word: text.find(f" {word} ") for word in sorted(words)}
    found = [word for word in places if places[word] >= 0]
    return min(found, key=lambda word: places[word], default=None)
