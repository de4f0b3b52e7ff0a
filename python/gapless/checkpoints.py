"""When pending writes are folded into segments."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CheckpointPolicy"]


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """When pending writes are folded into segments without being asked.

    A checkpoint writes every changed field whole, so it waits until what is pending is a fixed
    share of what is there: the bytes written stay proportional to the bytes put in.

    Attributes
    ----------
    rows, bytes : int
        No checkpoint below either bound.
    share : float
        Nor below this share of the rows, or bytes, in memory.
    closing_share : float
        Closing checkpoints above this share of the rows.
    """

    rows: int = 50_000
    bytes: int = 128 << 20
    share: float = 0.25
    closing_share: float = 0.05

    def due(self, pending_rows: int, pending_bytes: int, rows: int, size: int) -> bool:
        """Whether a write should be followed by a checkpoint."""
        return pending_rows >= max(self.rows, self.share * rows) or pending_bytes >= max(
            self.bytes, self.share * size
        )
