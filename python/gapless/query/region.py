"""Cut a region out of an image, for a question that means a part of it."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidArgument

__all__ = ["crop"]


def crop(image: Any, box: tuple[float, float, float, float]) -> Any:
    """Give the region of an image as a PIL image.

    Parameters
    ----------
    image : path, PIL image or uint8 array
    box : (left, top, right, bottom)
        Pixels when all are integers, else shares of width and height.

    Raises
    ------
    InvalidArgument
        When the region lies outside, or is smaller than a pixel.
    UnreadableImage, MissingExtra
        As image encoders do.
    """
    from ..encode.preprocess import open_image

    whole = open_image(image)
    width, height = whole.size
    if all(isinstance(edge, int) for edge in box):
        edges = box
    else:
        left, top, right, bottom = box
        edges = (
            round(left * width),
            round(top * height),
            round(right * width),
            round(bottom * height),
        )
    if edges[2] > width or edges[3] > height or edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise InvalidArgument(
            f"box {box} is no region of an image of {width} x {height} pixels: give "
            "(left, top, right, bottom) inside it, a pixel wide and high at least"
        )
    return whole.crop((int(edges[0]), int(edges[1]), int(edges[2]), int(edges[3])))
