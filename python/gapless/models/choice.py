"""Which model to take: requirements rule cards out, needs rank those that are left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..batch import whole
from ..errors import InvalidArgument
from .cards import TRAITS, ModelCard

__all__ = ["ModelAdvice", "ModelChoice", "recommend_model"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that meets every requirement.

    Attributes
    ----------
    card : ModelCard
    meets, fails, unknown : tuple of str
        The needs that its card says it is good for, is bad for, and says nothing of.
    """

    card: ModelCard
    meets: tuple[str, ...]
    fails: tuple[str, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            f"{word} {', '.join(needs)}"
            for word, needs in (
                ("good for", self.meets),
                ("bad for", self.fails),
                ("nothing known of", self.unknown),
            )
            if needs
        ]
        return f"{self.card.name} ({self.card.dim} dims)" + "".join(f"; {part}" for part in parts)


@dataclass(frozen=True, slots=True)
class ModelAdvice:
    """What `recommend_model` says.

    Attributes
    ----------
    choices : tuple of ModelChoice
        The best first; empty when no card meets every requirement.
    rejected : dict of str to str
        The other models, each with what rules it out.
    """

    choices: tuple[ModelChoice, ...]
    rejected: dict[str, str]

    @property
    def best(self) -> ModelCard | None:
        """The first choice's card."""
        return self.choices[0].card if self.choices else None

    def __str__(self) -> str:
        lines = [str(choice) for choice in self.choices] or ["no model meets every requirement"]
        return "\n".join([*lines, *(f"not {name}: {why}" for name, why in self.rejected.items())])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The checked arguments."""

    modalities: tuple[str, ...]
    languages: tuple[str, ...]
    commercial: bool
    max_parameters: int | None
    max_dim: int | None
    min_tokens: int | None
    needs: tuple[str, ...]


def _modalities(card: ModelCard, wanted: _Wanted) -> str | None:
    lacks = [one for one in wanted.modalities if one not in card.modalities]
    return f"it has no {' and no '.join(lacks)} encoder" if lacks else None


def _languages(card: ModelCard, wanted: _Wanted) -> str | None:
    if "multilingual" in card.languages or not wanted.languages:
        return None
    if not card.languages:
        return "its languages are not known"
    lacks = [one for one in wanted.languages if one not in card.languages]
    return f"it reads {', '.join(card.languages)}, not {', '.join(lacks)}" if lacks else None


def _licence(card: ModelCard, wanted: _Wanted) -> str | None:
    if not wanted.commercial or card.commercial:
        return None
    if card.commercial is None:
        return "its licence is not known"
    return f"its licence {card.licence} forbids commercial use"


def _size(card: ModelCard, wanted: _Wanted) -> str | None:
    if wanted.max_parameters is None:
        return None
    if card.parameters is None:
        return "its number of parameters is not known"
    if card.parameters <= wanted.max_parameters:
        return None
    return f"it has {card.parameters / 1e6:.0f} M parameters"


def _dim(card: ModelCard, wanted: _Wanted) -> str | None:
    shortest = min(card.truncated_dims, default=card.dim)
    if wanted.max_dim is None or shortest <= wanted.max_dim:
        return None
    return f"its vectors have {shortest} dims at least"


def _tokens(card: ModelCard, wanted: _Wanted) -> str | None:
    if wanted.min_tokens is None:
        return None
    if card.max_tokens is None:
        return "how long its texts may be is not known"
    if card.max_tokens >= wanted.min_tokens:
        return None
    return f"it reads {card.max_tokens} tokens"


# A fact that is not known rules a card out, as the requirement may not be met.
REQUIREMENTS: tuple[Callable[[ModelCard, _Wanted], str | None], ...] = (
    _modalities,
    _languages,
    _licence,
    _size,
    _dim,
    _tokens,
)

# What is meant when no needs are told, by the first of these modalities that is asked for.
USUAL_NEEDS = (("image", "photos"), ("audio", "sound"), ("text", "text_to_text"))


def recommend_model(
    modalities: Iterable[str] = ("image", "text"),
    *,
    languages: Iterable[str] = ("en",),
    commercial: bool = False,
    max_parameters: int | None = None,
    max_dim: int | None = None,
    min_tokens: int | None = None,
    needs: Iterable[str] | None = None,
    cards: Iterable[ModelCard] | None = None,
) -> ModelAdvice:
    """Choose a model by what is known of each.

    Every requirement must be met; an unknown fact does not meet it. What is left is ranked by the
    needs it is good for, then by those it is not bad for, then by size, the smallest first: a card
    says nothing of quality on your data, so measure the first few (`gapless.evaluate`).

    Parameters
    ----------
    modalities : iterable of str
        All of them in one space.
    languages : iterable of str
        Codes such as ``"en"``; none for any.
    commercial : bool
        Whether the licence must allow commercial use.
    max_parameters, max_dim, min_tokens : int, optional
        Parameters of all towers, length of the vectors (truncated ones count), length of texts.
    needs : iterable of str, optional
        Keys of `gapless.models.cards.TRAITS`. None means photographs where images are asked for,
        else sounds for audio, else texts found by texts.
    cards : iterable of ModelCard, optional
        Instead of those that gapless knows; own ones come from `gapless.measure_card`.

    Raises
    ------
    InvalidArgument
        For no modalities, unknown needs, and numbers below 1.

    Examples
    --------
    >>> recommend_model(needs=["icons"]).best.name
    'gapless.demo'
    >>> recommend_model(languages=["de"], commercial=True).best.name
    'google/siglip2-base-patch16-224'
    """
    from .known import CARDS

    wanted = _Wanted(
        _words("modalities", modalities),
        _words("languages", languages),
        bool(commercial),
        None if max_parameters is None else whole("max_parameters", max_parameters),
        None if max_dim is None else whole("max_dim", max_dim),
        None if min_tokens is None else whole("min_tokens", min_tokens),
        () if needs is None else _words("needs", needs),
    )
    if not wanted.modalities:
        raise InvalidArgument("modalities is empty: name at least one, as 'text' or 'image'")
    if needs is None:
        usual = [need for modality, need in USUAL_NEEDS if modality in wanted.modalities]
        wanted = replace(wanted, needs=tuple(usual[:1]))
    unknown = [need for need in wanted.needs if need not in TRAITS]
    if unknown:
        raise InvalidArgument(f"needs has {unknown}: choose among {', '.join(TRAITS)}")
    choices, rejected = [], {}
    for card in CARDS if cards is None else cards:
        objections = [objection(card, wanted) for objection in REQUIREMENTS]
        told = [why for why in objections if why is not None]
        if told:
            rejected[card.name] = "; ".join(told)
        else:
            choices.append(_choice(card, wanted.needs))
    return ModelAdvice(tuple(sorted(choices, key=_order)), rejected)


def _choice(card: ModelCard, needs: tuple[str, ...]) -> ModelChoice:
    meets = tuple(need for need in needs if need in card.good_for)
    fails = tuple(need for need in needs if need in card.bad_for)
    rest = tuple(need for need in needs if need not in meets + fails)
    return ModelChoice(card, meets, fails, rest)


def _order(choice: ModelChoice) -> tuple[int, int, float, str]:
    size = float("inf") if choice.card.parameters is None else choice.card.parameters
    return -len(choice.meets), len(choice.fails), size, choice.card.name


def _words(what: str, given: Any) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, str) else given
    try:
        words = tuple(dict.fromkeys(listed))
    except TypeError:
        words = (None,)
    if not all(isinstance(word, str) for word in words):
        raise InvalidArgument(f"{what} is {given!r}: give words")
    return words
