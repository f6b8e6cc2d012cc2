"""The first layer of a new tower, so that all that patches vary in counts alike.

The pixels of a patch are mostly as light as one another. Of weights that are drawn like any other's, nearly all
that a row says is then how light its patch is; edges, strokes and grain are some hundredths of it, and for tens
of thousands of pictures little is learned of them. So patches are first turned to their principal components,
each of the same deviation (whitening), and these to rows by weights that are drawn: one matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinsmith import _core
from tinsmith.spec import Tensor, Vision
from tinsmith.train.tensors import from_float32
from tinsmith.vision import pixels

if TYPE_CHECKING:
    from tinsmith.data.pictures import Picture

FAINT = 0.1  # of the pixels' deviation: components that vary less stay as faint as they are beside it


def first_layer(vision: Vision, shown: Sequence[Picture], seed: int) -> dict[str, Tensor]:
    """Weights and biases of the tower's patches, by role, from the patches of these pictures. Raises DataError
    for a damaged one."""
    mean, covariance = _moments(vision, shown)
    variance, components = np.linalg.eigh(covariance)  # ascending
    count = min(vision.sizes.dim, len(mean))
    scale = 1 / np.sqrt(np.maximum(variance[-count:], 0) + FAINT**2)
    drawn = np.random.default_rng(seed).standard_normal((vision.sizes.dim, count)) / count**0.5
    weights = drawn @ (scale[:, None] * components[:, -count:].T)
    return {"patch": from_float32(weights), "patch_bias": from_float32(-(weights @ mean)[None])}


def _moments(vision: Vision, shown: Sequence[Picture]) -> tuple[Any, Any]:
    """Mean [inputs] and covariance of patches, in the order of the weights: channel after channel."""
    patch = vision.sizes.patch
    rule = pixels.rules(vision, vision.sizes.side**2)
    sums, products, count = np.zeros(3 * patch**2), np.zeros((3 * patch**2, 3 * patch**2)), 0
    for picture in shown:
        image = picture.pixels()
        made = _core.pixels(rule, image.tobytes(), 3 * image.width, *image.size)
        rows = np.frombuffer(made, np.float32).reshape(-1, patch**2, 3).transpose(0, 2, 1)
        patches = rows.reshape(len(rows), -1).astype(np.float64)
        sums, products, count = sums + patches.sum(0), products + patches.T @ patches, count + len(patches)
    mean = sums / count
    return mean, products / count - np.outer(mean, mean)
