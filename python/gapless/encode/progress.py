"""A progress bar that is a no-op unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gapless.errors import MissingExtra


@contextmanager
def bar(total: int, unit: str, shown: bool) -> Iterator[Callable[[int], object]]:
    """Yield a function that advances the bar by a count.

    Raises
    ------
    MissingExtra
        ``shown`` without tqdm installed.
    """
    if not shown:
        yield lambda count: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise MissingExtra("progress=True needs tqdm: pip install 'gapless[onnx]'") from error
    with tqdm(total=total, unit=unit, unit_scale=True) as shown_bar:
        yield shown_bar.update
