"""Draw what peers.py measured: queries per second against recall, a line a system.

python bench/pareto.py bench/results/peers-d1-300000-k10.json     # writes the .png beside it
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

LEAST = 0.7  # recalls below are not drawn
MARKS = {16: ("o", "-"), 32: ("s", "--")}


def draw(report: dict[str, Any], path: Path, threads: int = 1) -> None:
    """Draw one report; lines further up and to the right are better."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    kinds = sorted({result["label"].split(" m=")[0] for result in report["results"]})
    colours = {kind: f"C{at}" if at < 10 else f"C{at % 10}" for at, kind in enumerate(kinds)}
    for result in report["results"]:
        points = [p for p in result["front"][str(threads)] if p["recall"] >= LEAST]
        if not points or not result["m"]:
            continue
        mark, line = MARKS.get(result["m"], ("^", ":"))
        kind = result["label"].split(" m=")[0]
        own = kind.startswith("gapless")
        axes.plot(
            [p["recall"] for p in points],
            [p["qps"] for p in points],
            marker=mark,
            linestyle=line,
            color=colours[kind],
            linewidth=2.5 if own else 1.2,
            markersize=4,
            label=result["label"],
        )
    setting = report["setting"]
    axes.set(
        xlabel=f"recall@{setting['k']}",
        ylabel=f"queries a second, {threads} thread{'s' if threads > 1 else ''}",
        yscale="log",
        title=setting["data"],
    )
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("report", type=Path, nargs="+", help="JSON of peers.py")
    parser.add_argument("--threads", type=int, default=1, help="which sweeps (default 1)")
    options = parser.parse_args()
    for report in options.report:
        draw(json.loads(report.read_text()), report.with_suffix(".png"), options.threads)


if __name__ == "__main__":
    main()
