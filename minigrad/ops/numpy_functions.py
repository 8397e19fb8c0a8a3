"""NumPy's own functions called on Tensors: `numpy.exp(x)`, `ndarray + x`, `numpy.sum(x, axis=0)`.

Where minigrad has the operation, or it is a few of its operations, that is what is called, and the result stays on
the tape. Everything else is NumPy's, on the values and off the tape; where a gradient would be lost by that, or
memory changed that the tape may need, it is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from ..autograd import is_grad_enabled
from ..tensor import Tensor, is_floating
from . import elementwise, indexing, linalg, reductions, shape
from .operands import as_tensor

Operation = Callable[..., Any]


# NumPy's functions that are a few of our operations


def _product(name: str, pair: Callable[[int], int]) -> Operation:
    """Sums over the last axis of `a` and axis `pair(number of axes)` of `b`; plain products beside a number."""

    def operation(a: Any, b: Any) -> Tensor:
        x, y = as_tensor(a, name), as_tensor(b, name)
        if x.ndim == 0 or y.ndim == 0:
            return elementwise.multiply(x, y)
        return linalg.tensordot(x, y, ([-1], [pair(y.ndim)]))

    return operation


def _outer(a: Any, b: Any) -> Tensor:
    return elementwise.multiply(shape.reshape(a, (-1, 1)), shape.reshape(b, (1, -1)))


def _reordered(function: Operation) -> Operation:
    """What `function` does to the axes of an array, done to a Tensor; sizes 0, 1, 2... tell where they go."""

    def operation(a: Any, *arguments: Any, **options: Any) -> Tensor:
        x = as_tensor(a, function.__name__)
        return shape.permute_dims(x, function(np.empty(range(x.ndim)), *arguments, **options).shape)

    return operation


def _picked(function: Operation) -> Operation:
    """What `function` does to the positions of elements, done to the elements; a list where it gives a list."""

    def operation(a: Any, *arguments: Any, **options: Any) -> Any:
        x = as_tensor(a, function.__name__)
        found = function(np.arange(x.size).reshape(x.shape), *_values(arguments), **_values(options))
        flat = shape.reshape(x, (-1,))
        if isinstance(found, list | tuple):
            return [indexing.getitem(flat, places) for places in found]
        return indexing.getitem(flat, found)

    return operation


def _joined(name: str, axis: int, least: Callable[[Any], np.ndarray]) -> Operation:
    """Concatenation along `axis` of arrays that first get the axes they lack, as `least` does it."""

    def operation(arrays: Any) -> Tensor:
        tensors = [as_tensor(x, name) for x in arrays]
        shapes = [least(np.broadcast_to(False, x.shape)).shape for x in tensors]
        along = 0 if axis == 1 and len(shapes[0]) == 1 else axis  # vectors side by side make a longer vector
        return shape.concat([shape.reshape(x, own) for x, own in zip(tensors, shapes, strict=True)], along)

    return operation


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:  # the places of what is true
        return np.where(_values(condition))
    return elementwise.where(condition, x, y)


def _take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    return indexing.take(shape.reshape(x, (-1,)) if axis is None else x, indices, axis)


def _cumsum(x: Any, axis: int | None = None) -> Tensor:
    return reductions.cumulative_sum(shape.reshape(x, (-1,)) if axis is None else x, axis)


def _round(x: Any, decimals: int = 0) -> Tensor:
    if decimals == 0:
        return elementwise.round(x)
    factor = 10.0 ** abs(decimals)
    if decimals > 0:
        return elementwise.divide(elementwise.round(elementwise.multiply(x, factor)), factor)
    return elementwise.multiply(elementwise.round(elementwise.divide(x, factor)), factor)


def _ravel(x: Any) -> Tensor:
    return shape.reshape(x, (-1,))


# The tables: NumPy's function -> ours. Some are younger than the oldest NumPy that we work with.


def _table(module: Any, names: str) -> dict[Operation, Operation]:
    return {getattr(np, name): getattr(module, name) for name in names.split() if hasattr(np, name)}


FUNCTIONS: dict[Operation, Operation] = {
    **_table(reductions, "sum mean max min var std prod argmax argmin all any cumulative_sum"),
    **_table(shape, "reshape expand_dims squeeze broadcast_to concat stack flip roll pad copy matrix_transpose"),
    **_table(linalg, "tensordot einsum"),
    **_table(indexing, "take_along_axis"),
    **_table(elementwise, "astype clip"),
    np.amax: reductions.max,
    np.amin: reductions.min,
    np.concatenate: shape.concat,
    np.cumsum: _cumsum,
    np.take: _take,
    np.where: _where,
    np.round: _round,
    np.around: _round,
    np.ravel: _ravel,
    np.dot: _product("dot", lambda ndim: max(-2, -ndim)),
    np.inner: _product("inner", lambda ndim: -1),
    np.outer: _outer,
    np.vstack: _joined("vstack", 0, np.atleast_2d),
    np.hstack: _joined("hstack", 1, np.atleast_1d),
    np.dstack: _joined("dstack", 2, np.atleast_3d),
    **{function: _reordered(function) for function in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis)},
    **{
        function: _picked(function)
        for function in (
            *(np.repeat, np.tile, np.diagonal, np.rot90, np.fliplr, np.flipud, np.delete),
            *(np.split, np.array_split, np.vsplit, np.hsplit),
        )
    },
}
UFUNCS: dict[np.ufunc, Operation] = {
    **{
        getattr(np, name): operation
        for name, operation in elementwise.OPERATIONS.items()
        if isinstance(getattr(np, name, None), np.ufunc)
    },
    np.power: elementwise.pow,
    np.invert: elementwise.bitwise_invert,
    np.rint: elementwise.round,
    np.matmul: linalg.matmul,
}

RENAMED = {"ddof": "correction", "a_min": "min", "a_max": "max"}  # arguments that are called otherwise here
WITHOUT_EFFECT = {"optimize"}  # arguments that change how a result is computed, not the result
CASTING = {np.sum, np.mean, np.prod, np.var, np.std, np.cumsum}  # their dtype is what elements are cast to first
LIKE = {np.zeros_like, np.ones_like, np.empty_like, np.full_like}  # they read no values of the first argument
WRITING = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis}  # to the first argument


def array_function(x: Tensor, function: Operation, types: Any, args: Any, kwargs: Any) -> Any:
    """`Tensor.__array_function__`: what NumPy does for `function(*args, **kwargs)` with a Tensor among them."""
    name = f"{function.__module__}.{function.__name__}"
    if function in FUNCTIONS:
        positional, options = _translated(name, function, args, kwargs)
        return FUNCTIONS[function](*positional, **options)
    targets = (kwargs.get("out"), *(args[:1] if function in WRITING else ()))
    sources = (args[1:] if function in LIKE else args, kwargs)
    return _on_values(name, function, args, kwargs, targets, sources)


def array_ufunc(x: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """`Tensor.__array_ufunc__`: an elementwise function of NumPy, or an operator with an ndarray on the left."""
    if ufunc in UFUNCS and method == "__call__" and not options:
        return UFUNCS[ufunc](*inputs)
    name = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
    if options:
        name += f" with {', '.join(options)}"
    targets = (*options.get("out", ()), *(inputs[:1] if method == "at" else ()))
    return _on_values(name, getattr(ufunc, method), inputs, options, targets, (inputs, options))


def cupy_kernel(x: Tensor, kernel: Any, *inputs: Any, **options: Any) -> Any:
    """`Tensor.__cupy_override_elementwise_kernel__`: an elementwise function of CuPy, or an operator with a CuPy
    array on the left. CuPy asks this of every argument that has it.

    Raises:
        TypeError: if there is no ufunc of that name, or it has options.
    """
    name = str(kernel.name).removeprefix("cupy_")
    ufunc = getattr(np, name, None)
    if not isinstance(ufunc, np.ufunc) or ufunc not in UFUNCS or options:
        raise TypeError(f"cupy.{name} of a Tensor is no operation of minigrad; give it x.data, off the tape")
    return UFUNCS[ufunc](*inputs)


def _on_values(name: str, function: Operation, args: Any, kwargs: Any, targets: Any, sources: Any) -> Any:
    """What NumPy makes of the values, off the tape.

    Args:
        targets: what the function writes to.
        sources: what its results depend on.

    Raises:
        TypeError: if it would write into a Tensor, or gradients should have flowed from results to sources.
    """
    if any(True for _ in _tensors(targets)):
        raise TypeError(
            f"{name} would write into a Tensor where the tape cannot notice; "
            "assign its result with x[...] = values, or write into a NumPy array"
        )
    recorded = is_grad_enabled() and any(x.requires_grad for x in _tensors(sources))
    result = None if recorded and _real(targets) else function(*_values(args), **_values(kwargs))
    if recorded and (_real(targets) or _real(result)):
        raise TypeError(
            f"{name} is not one of the operations that minigrad records, and the gradient would be lost; for the "
            "values alone give it x.detach() or call it inside no_grad(), else write it with minigrad's functions"
        )
    return result


def _real(results: Any) -> bool:
    """Whether there are real numbers among the results, so that a gradient could flow through them."""
    several = results if isinstance(results, list | tuple) else (results,)
    return any(is_floating(result.dtype) for result in several if isinstance(result, np.ndarray | np.generic))


def _translated(name: str, function: Operation, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a NumPy function as our operation takes them.

    Arguments that NumPy requires go by position, those that are left at NumPy's defaults stay away.

    Raises:
        TypeError: if our operation does not have one of them.
    """
    signature, accepted = _signature(function)
    required: list[Any] = []
    options: dict[str, Any] = {}
    for key, value in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            required.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            options.update(value)
        elif parameter.default is parameter.empty:
            required.append(value)
        elif value is not parameter.default and key not in WITHOUT_EFFECT:
            options[RENAMED.get(key, key)] = value
    if function in CASTING and "dtype" in options:
        x = as_tensor(required[0], name)
        required[0] = elementwise.astype(x, options.pop("dtype"))
    unknown = [key for key in options if accepted is not None and key not in accepted]
    if unknown:
        raise TypeError(
            f"{name} of a Tensor does not take {' and '.join(unknown)}; leave it out, "
            "or give the function x.detach().numpy(), whose result is off the tape"
        )
    return required, options


@cache
def _signature(function: Operation) -> tuple[inspect.Signature, set[str] | None]:
    """The signature of NumPy's function, and the names of the arguments that ours takes (None for any)."""
    ours = inspect.signature(FUNCTIONS[function]).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values())
    return inspect.signature(function), None if takes_any else set(ours)


def _tensors(x: Any) -> Iterator[Tensor]:
    """The Tensors inside of nested arguments."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, list | tuple | dict):
        for item in x.values() if isinstance(x, dict) else x:
            yield from _tensors(item)


def _values(x: Any) -> Any:
    """The same arguments with NumPy arrays in place of Tensors."""
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, dict):
        return {name: _values(value) for name, value in x.items()}
    return type(x)(_values(item) for item in x) if isinstance(x, list | tuple) else x
