"""Arithmetic that holds for one battery (float) and for a fleet (array) alike.

For the formulas of this package, so that each is written once. Not a numeric library: only what
those formulas need, and no array library is imported: an array brings its own functions with it
(`__array_namespace__`, the Python array API standard; NumPy from 2.0 on has it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar, overload

Result = TypeVar("Result")


class Array(Protocol):
    """An array of the Python array API standard, of any shape; arithmetic is by element."""

    def __array_namespace__(self) -> Any: ...
    def __add__(self, other: Any, /) -> Array: ...
    def __radd__(self, other: Any, /) -> Array: ...
    def __sub__(self, other: Any, /) -> Array: ...
    def __rsub__(self, other: Any, /) -> Array: ...
    def __mul__(self, other: Any, /) -> Array: ...
    def __rmul__(self, other: Any, /) -> Array: ...
    def __truediv__(self, other: Any, /) -> Array: ...
    def __rtruediv__(self, other: Any, /) -> Array: ...
    def __neg__(self) -> Array: ...


Quantity: TypeAlias = float | Array
"""A float, or an array of them. Arrays of one call must broadcast against each other."""

Condition: TypeAlias = Any
"""A bool, or an array of them."""


def namespace_of(*values: object) -> Any:
    """The functions of the first array among `values`; None when there is no array."""
    for value in values:
        # NumPy's float64 is a float too: treat it as one number, not as an array.
        if not isinstance(value, float | int) and hasattr(value, "__array_namespace__"):
            return value.__array_namespace__()
    return None


@overload
def clip(value: float, lower: float, upper: float) -> float: ...
@overload
def clip(value: Quantity, lower: Quantity, upper: Quantity) -> Quantity: ...
def clip(value: Quantity, lower: Quantity, upper: Quantity) -> Quantity:
    """`value` within `lower`..`upper`; NaN stays NaN; where the bounds cross, `upper` wins."""
    array = namespace_of(value, lower, upper)
    if array is None:
        # Not min() and max(): whether those keep a NaN depends on the order of their arguments.
        at_least = lower if value < lower else value  # type: ignore[operator]
        return upper if at_least > upper else at_least  # type: ignore[operator]
    return array.minimum(array.maximum(value, lower), upper)  # type: ignore[no-any-return]


def where(condition: Condition, then: Any, otherwise: Any) -> Any:
    """`then` where `condition` holds, else `otherwise`, by element."""
    array = namespace_of(condition)
    if array is None:
        return then if condition else otherwise
    return array.where(condition, then, otherwise)


def smallest(*values: Quantity) -> Quantity:
    """The smallest of `values`, by element."""
    return _fold(min, "minimum", values)


def largest(*values: Quantity) -> Quantity:
    """The largest of `values`, by element."""
    return _fold(max, "maximum", values)


def _fold(of_floats: Callable[..., Any], name: str, values: tuple[Quantity, ...]) -> Quantity:
    array = namespace_of(*values)
    if array is None:
        return float(of_floats(values))
    result: Any = values[0]
    for value in values[1:]:
        result = getattr(array, name)(result, value)
    return result  # type: ignore[no-any-return]


def rounded(value: Quantity) -> Quantity:
    """The nearest whole number, by element, still as a float."""
    array = namespace_of(value)
    number: Any = value
    return float(round(number)) if array is None else array.round(value)


def plain(value: Quantity) -> Quantity:
    """A single number as a Python float (NumPy's own scalars slow a loop down); arrays as is."""
    number: Any = value
    return float(number) if namespace_of(value) is None else value


def negated(condition: Condition) -> Condition:
    """Not `condition`, by element."""
    array = namespace_of(condition)
    return (not condition) if array is None else array.logical_not(condition)


def all_of(condition: Condition) -> bool:
    """True when `condition` holds everywhere."""
    array = namespace_of(condition)
    return bool(condition) if array is None else bool(array.all(condition))


def require_finite(value: Quantity, name: str) -> None:
    """Refuse a single number that is NaN or infinite; an array passes, its NaN stay NaN.

    Raises:
        ValueError: `value` is one number and not finite.
    """
    if namespace_of(value) is None and not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{name} is {value}: no measurement, so no power follows from it")
