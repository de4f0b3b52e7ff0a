"""Reports in one HTML file each, with nothing to load (extra ``report``)."""

from __future__ import annotations
