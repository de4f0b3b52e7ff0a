"""Learn from judged queries how much each list of a search should weigh."""

from __future__ import annotations
