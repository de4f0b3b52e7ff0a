"""The ``gapless`` command; ``python -m gapless`` is the same."""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say how to install it when its extra is missing."""
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"the gapless command needs {' and '.join(missing)}: pip install 'gapless[cli]'",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from gapless.cli import app

    app(prog_name="gapless")


if __name__ == "__main__":
    main()
