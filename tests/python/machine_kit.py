"""What state machines over a collection have in common: it is folded, closed, dropped, reopened."""

from __future__ import annotations

from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, rule

from gapless.collection import Collection
from gapless.storage import CheckpointPolicy


class ReopenedCollection(RuleBasedStateMachine):
    """A rule of the machine itself makes `col`, in `path` and under `policy`."""

    col: Collection
    path: Path
    policy: CheckpointPolicy

    @rule()
    def checkpoint(self) -> None:
        self.col.checkpoint()
        assert self.col.stats()["pending_rows"] == 0

    @rule()
    def reopen(self) -> None:
        self.col.close()
        self.col = Collection(self.path, durability="normal", policy=self.policy)

    @rule()
    def drop_and_reopen(self) -> None:
        self.col._storage.release()  # as a kill does: no checkpoint, nothing tidied
        self.col = Collection(self.path, durability="normal", policy=self.policy)

    def teardown(self) -> None:
        if hasattr(self, "col"):
            self.col.close()
