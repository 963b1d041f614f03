"""Box: the region of an image that a face was cut from."""

from __future__ import annotations

from typing import NamedTuple

BOX_DECIMALS = 2
"""Digits after the decimal point of the numbers of a box."""


class Box(NamedTuple):
    """A rectangle in pixels of the upright image, which may be rotated and may extend beyond the image.

    `x` and `y` are the left and top edge before the rotation. `rotation` is in degrees, clockwise, around the centre.
    """

    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0

    @property
    def centre(self) -> tuple[float, float]:
        """The centre, x and y in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    def rounded(self) -> Box:
        """Return the box with the digits that are written in rows."""
        return Box(*(round(value, BOX_DECIMALS) + 0.0 for value in self))  # + 0.0: no -0.0
