"""Faces from the output of CenterFace.

Each cell of the maps describes a face whose centre it is: the logit of the score, log height and log width in cells,
the offset of the centre in cells (y, x), and five points relative to the box (y, x): section 3 of arXiv:1911.03599.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from democlass.faces.centerface import OUTPUT_STRIDE

MIN_SCORE = 0.35
"""Cells with lower scores are no faces."""

MAX_OVERLAP = 0.3
"""Of two boxes with a larger intersection over union, the one with the lower score is dropped."""

MAX_CANDIDATES = 5_000
"""Only the cells with the best scores are compared with each other, so that no image takes minutes."""

_SCORE, _HEIGHT, _WIDTH, _OFFSET_Y, _OFFSET_X, _POINTS = 0, 1, 2, 3, 4, 5
_COUNT_OF_POINTS = 5


def read_maps(maps: torch.Tensor) -> NDArray[np.float32]:
    """Return the faces in the maps of one image, float32 15 x H x W: N x 15, the best score first.

    A row has left, top, right, bottom, score, and x, y of five points: right eye, left eye, nose, right and left
    corner of the mouth, as seen from the person. All are in pixels of the network's input.
    """
    scores = maps[_SCORE].sigmoid()
    rows, columns = torch.nonzero(scores > MIN_SCORE, as_tuple=True)
    best = torch.argsort(scores[rows, columns], descending=True, stable=True)[:MAX_CANDIDATES]
    rows, columns = rows[best], columns[best]
    values = maps[:, rows, columns]
    height, width = (values[index].exp() * OUTPUT_STRIDE for index in (_HEIGHT, _WIDTH))
    top = (rows + values[_OFFSET_Y] + 0.5) * OUTPUT_STRIDE - height / 2
    left = (columns + values[_OFFSET_X] + 0.5) * OUTPUT_STRIDE - width / 2
    points = []
    for index in range(_POINTS, _POINTS + 2 * _COUNT_OF_POINTS, 2):
        points += [left + values[index + 1] * width, top + values[index] * height]
    faces = torch.stack([left, top, left + width, top + height, scores[rows, columns], *points], 1)
    faces = faces[faces.isfinite().all(1)]
    kept: NDArray[np.float32] = faces[nms(faces[:, :4], faces[:, 4], MAX_OVERLAP)].numpy()
    return kept
