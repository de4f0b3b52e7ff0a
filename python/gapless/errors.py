"""Every exception gapless raises: what was given, what was wanted, and what to do."""

from __future__ import annotations

__all__ = [
    "AlignmentRefused",
    "CollectionLocked",
    "CorruptFile",
    "DuplicateId",
    "GaplessError",
    "InvalidArgument",
    "InvalidFilter",
    "InvalidVector",
    "MissingExtra",
    "MissingModelFile",
    "NotACollection",
    "RerankError",
    "SchemaMismatch",
    "SpaceMismatch",
    "StorageError",
    "Timeout",
    "UnknownField",
    "UnknownId",
    "UnreadableImage",
]


class GaplessError(Exception):
    """Base of every error of this package."""


class InvalidArgument(GaplessError, ValueError):
    """An argument is outside its allowed values."""


class InvalidFilter(InvalidArgument):
    """A filter is malformed, compares what cannot be compared, or is too large."""


class InvalidVector(InvalidArgument):
    """A vector has the wrong dimension, or is zero, NaN or infinite."""


class DuplicateId(InvalidArgument):
    """An id occurs twice in one call, or is already in the index."""


class UnknownId(InvalidArgument):
    """An id is not in the index or collection."""


class UnknownField(InvalidArgument):
    """A field or space name is not in the schema."""


class SchemaMismatch(InvalidArgument):
    """The schema given does not agree with the one on disk, or with itself."""


class UnreadableImage(InvalidArgument):
    """An image cannot be opened or decoded."""


class AlignmentRefused(GaplessError):
    """An alignment would lose held-out cross-modal quality; the active one stays."""


class SpaceMismatch(GaplessError, TypeError):
    """Vectors of two spaces were to be compared; distances across spaces mean nothing."""


class CorruptFile(GaplessError, OSError):
    """A file is damaged; the message names it, and in an index file the section and offset too."""


class NotACollection(GaplessError, OSError):
    """A folder holds no gapless collection."""


class CollectionLocked(GaplessError, OSError):
    """The collection is open already, in this process or another."""


class StorageError(GaplessError, OSError):
    """The disk is full, or refuses to be read, written or locked; nothing was changed."""


class RerankError(GaplessError, RuntimeError):
    """A reranker raised, or gave no score for a hit; the message names the hits it was given."""


class Timeout(GaplessError, TimeoutError):
    """A search took longer than its timeout; the message says how far it came."""


class MissingModelFile(GaplessError, FileNotFoundError):
    """A model folder lacks a file that the encoder needs."""


class MissingExtra(GaplessError, ImportError):
    """An optional dependency is not installed."""
