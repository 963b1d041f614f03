"""Shares corrected by the confusion matrix of the network, with intervals that include the matrix's own error.

The predicted labels have the shares q = Cᵀ p, where C[i, j] is the probability that a face of label i is predicted as
label j, and p are the shares that are asked for (Rogan and Gladen, "Estimating prevalence from the results of a
screening test", 1978; for several labels Vaz, Izbicki and Stern, "Quantification under prior probability shift", 2019).
Neither C nor q is known exactly. Both get their posterior: each row of C that of a Dirichlet distribution for the
counts of that row, and q that of a Dirichlet distribution for the effective counts of the collection. For each draw of
both, p is the constrained least squares solution: not negative, with the sum 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from democlass.report.estimates import PhotoSums, Shares

DRAWS = 2000

MAX_CONDITION = 20.0
"""Largest condition number of a confusion matrix that is said to separate the labels well enough."""

_ROW_PRIOR = 0.5
"""Of the Dirichlet distribution of a row of the matrix, for all labels together (Perks' prior): errors that were never
seen stay rare."""

_COUNT_PRIOR = 0.5
"""Of the Dirichlet distribution of the predicted labels, for each label (Jeffreys' prior): a label that no face of a
small collection has may still exist."""

_ITERATIONS, _CONVERGED = 300, 1e-6
"""At most this many steps; fewer if no share changes by more than _CONVERGED."""

_SEED = 0


@dataclass(frozen=True)
class Correction:
    """The corrected shares, and the condition number of the confusion matrix: large if it can't separate labels."""

    shares: Shares
    condition: float

    @property
    def is_nearly_singular(self) -> bool:
        """Whether the network confuses some labels so much that counts hardly tell them apart."""
        return self.condition > MAX_CONDITION


def corrected(sums: PhotoSums, *confusions: NDArray[np.int64], draws: int = DRAWS) -> Correction:
    """Return the shares of K labels, corrected by a confusion matrix.

    `sums` are those of the number of faces with each predicted label. `confusion[i, j]` is the number of faces of label
    i that were predicted as label j, int64 K x K. With several matrices, the labels are all combinations of theirs, the
    last one varying first; the networks' errors are then assumed to be independent. Raises ValueError if a label has no
    face in its matrix.
    """
    if not all((confusion.sum(1) > 0).all() for confusion in confusions):
        raise ValueError("the confusion matrix has a label without faces")
    rng = np.random.default_rng(_SEED)
    effective = sums.total / sums.design_effect()
    rows = reduce(_combine, [_draw_matrices(confusion, draws, rng) for confusion in confusions])
    predicted = rng.dirichlet(effective + _COUNT_PRIOR, size=draws)
    drawn = solve(rows, predicted)
    matrix = reduce(np.kron, [confusion / confusion.sum(1, keepdims=True) for confusion in confusions])
    share = solve(matrix[None], sums.share[None])[0]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    shares = Shares(share, np.minimum(low, share), np.maximum(high, share), round(sums.faces))
    return Correction(shares, float(np.linalg.cond(matrix)))


def _draw_matrices(confusion: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return draws of the probabilities of each predicted label, given the true one: float64 draws x K x K."""
    return np.stack([rng.dirichlet(row + _ROW_PRIOR / len(confusion), size=draws) for row in confusion], 1)


def _combine(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kronecker products of matrices, float64 N x K x K and N x L x L."""
    size = first.shape[1] * second.shape[1]
    return np.asarray(np.einsum("nij,nkl->nikjl", first, second).reshape(len(first), size, size))


def solve(matrices: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares p, float64 N x K, not negative and with the sum 1, that minimise |Cᵀ p - q|.

    `matrices` are C, float64 N x K x K with rows of the sum 1; `predicted` are q, float64 N x K. Solved by accelerated
    projected gradients (Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009).
    """
    gram = matrices @ matrices.transpose(0, 2, 1)
    target = np.einsum("nij,nj->ni", matrices, predicted)
    step = 1 / np.linalg.eigvalsh(gram)[:, -1:]
    share = project_to_simplex(predicted)
    ahead, momentum = share, 1.0
    for _ in range(_ITERATIONS):
        gradient = (gram @ ahead[:, :, None])[:, :, 0] - target
        new = project_to_simplex(ahead - step * gradient)
        if np.abs(new - share).max() < _CONVERGED:
            return new
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / next_momentum * (new - share)
        share, momentum = new, next_momentum
    return share


def project_to_simplex(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest points, float64 N x K, that are not negative and have the sum 1.

    Duchi et al., "Efficient projections onto the l1-ball for learning in high dimensions", ICML 2008.
    """
    ordered = -np.sort(-points, axis=1)
    excess = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, points.shape[1] + 1)
    count = (ordered > excess).sum(1)
    projected: NDArray[np.float64] = np.maximum(points - excess[np.arange(len(points)), count - 1][:, None], 0)
    return projected
