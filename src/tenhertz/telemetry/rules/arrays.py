"""Per-entity state as arrays: rows of entities by their index, grown by doubling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# Which entities rows belong to: indices, or a slice where they follow one another, which is faster.
Where = NDArray[np.intp] | slice

NEVER = np.iinfo(np.int64).min


def where_of(index: NDArray[np.intp]) -> Where:
    """The same entities as a slice, if they follow one another."""
    first, last = int(index[0]), int(index[-1])
    if last - first == len(index) - 1 and ascends(index):
        return slice(first, last + 1)
    return index


def ascends(numbers: Array) -> bool:
    """Whether each is greater than the one before."""
    return holds_any(numbers[1:] <= numbers[:-1]) == 0


def holds_any(mask: NDArray[np.bool_]) -> int:
    """How many are True: for short masks several times faster than `any`."""
    return int(np.count_nonzero(mask))


def gather(state: Array, where: Where) -> Array:
    """The state of these entities; of a slice it is a view."""
    return state[where] if isinstance(where, slice) else state.take(where, axis=0)


def grown(state: Array, shape: tuple[int, ...], fill: float) -> Array:
    """A larger array that begins with `state`; the rest is `fill`."""
    new = np.full(shape, fill, state.dtype)
    new[tuple(slice(0, size) for size in state.shape)] = state
    return new


def any_in_row(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a row of (rows, cells) holds a True; several at once where they fill words."""
    cells = mask.shape[1]
    if cells == 1:
        return mask[:, 0]
    if cells % 8 or cells > 64 or not mask.flags.c_contiguous:
        return np.asarray(mask.any(axis=1))
    words = mask.view(np.int64)
    found = words[:, 0]
    for column in range(1, cells // 8):
        found = found | words[:, column]
    return np.asarray(found != 0)
