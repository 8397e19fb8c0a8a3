"""What every function must satisfy beside PyTorch, as one claim, and the arrays to try it with.

A test hands two functions and the arrays to `assert_same_as_torch`: ours on Tensors, PyTorch's on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import minigrad as mg

# Norm of the error over norm of the oracle: of values, gradients and second gradients.
# float64: what the project promises. Each of a few hundred operations rounds by 1.1e-16, so there is room
# for results that are a millionth of what they are the difference of.
# float32: its roundings are 6e-8, a hundred in a row 6e-6; a second gradient goes through three times as many
# operations, most of them sums that cancel.
TOLERANCES = {"float64": (1e-9, 1e-9, 1e-9), "float32": (1e-5, 1e-5, 1e-4)}
# Inputs are of order 1. What cancels to less than this has the rounding errors of what it was made of.
SMALLEST_SCALE = {"float64": 1e-3, "float32": 1.0}

LAYOUTS = ("contiguous", "transposed", "sliced", "reversed", "channels last")

layouts = st.sampled_from(LAYOUTS)
seeds = st.integers(0, 2**16)


def drawn(shape: Sequence[int], seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Different numbers between `low` and `high` in random order, exact in float32; as float64."""
    random = np.random.default_rng(seed)
    size = int(np.prod(shape))
    steps = (random.permutation(size) + random.uniform(0.1, 0.9, size)) / max(1, size)
    return (low + (high - low) * steps).astype(np.float32).astype(np.float64).reshape(shape)


def lay_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides."""
    if array.ndim == 0:
        return np.array(array)
    if layout == "transposed":
        return np.array(array, order="F")
    if layout == "sliced":
        wider = np.zeros([2 * n for n in array.shape], array.dtype)
        view = wider[tuple(slice(n % 2, None, 2) for n in array.shape)]
        view[...] = array
        return view
    if layout == "reversed":
        return np.flip(np.flip(array).copy())
    if layout == "channels last" and array.ndim > 2:
        return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)
    return np.array(array, order="C")


def assert_same_as_torch(
    ours: Callable[..., mg.Tensor],
    theirs: Callable[..., torch.Tensor],
    *arrays: np.ndarray,
    layout: str = "contiguous",
    float32: tuple[float, float, float] = TOLERANCES["float32"],
    constant: Sequence[int] = (),
    orders: int = 2,
) -> None:
    """`ours` gives PyTorch's values, gradients and second gradients, in float64 and in float32.

    Gradients are those of a random projection of the output; second gradients those of a random projection of
    the first, by every input and by the output's gradient. PyTorch always works in float64, on the very
    numbers that float32 has. Also claimed: dtypes; `backward()` gives what `grad` gives; inputs are left as
    they were; no `.grad` shares memory with another, with an input or with the output.

    Args:
        arrays: the inputs; those of real numbers require gradients, others are constants.
        layout: of the memory of our inputs, see `lay_out`.
        float32: tolerances in place of `TOLERANCES["float32"]`, with their reason at the call.
        constant: positions of inputs that require no gradient though they are real.
        orders: 1 where PyTorch has no second gradient, with the reason at the call.
    """
    wanted = [i for i, a in enumerate(arrays) if a.dtype.kind == "f" and i not in constant]
    their_inputs = [torch.from_numpy(np.array(a)).requires_grad_(i in wanted) for i, a in enumerate(arrays)]
    their_output = theirs(*their_inputs)
    random = np.random.default_rng(1)
    direction, *second = (random.standard_normal(shape) for shape in _shapes(their_output, arrays, wanted))
    expected = _torch_gradients(their_output, [their_inputs[i] for i in wanted], direction, second)
    for dtype, tolerances in (("float64", TOLERANCES["float64"]), ("float32", float32)):
        inputs = [lay_out(a.astype(dtype) if a.dtype.kind == "f" else a, layout) for a in arrays]
        before = [a.tobytes() for a in inputs]
        values, first, higher = _our_gradients(ours, inputs, wanted, direction, second)
        assert [a.tobytes() for a in inputs] == before, "an input has changed"
        right = their_output.detach().numpy()
        assert values.shape == right.shape
        if right.dtype.kind != "f":
            assert values.dtype == right.dtype
            np.testing.assert_array_equal(values, right)
            continue
        assert values.dtype == dtype
        assert_close(values, right, tolerances[0], dtype, "values")
        for name, tolerance, found, oracle in (
            ("gradient", tolerances[1], first, expected[0]),
            ("second gradient", tolerances[2], higher, expected[1]),
        )[:orders]:
            for i, (result, their_result) in enumerate(zip(found, oracle, strict=True)):
                assert_close(result, their_result, tolerance, dtype, f"{name} {i}")


def assert_close(result: np.ndarray, right: np.ndarray, tolerance: float, dtype: str, name: str) -> None:
    """Finite, of the right shape and dtype, and norm(result - right) <= tolerance * norm(right)."""
    assert result.shape == right.shape, f"{name}: shape {result.shape}, PyTorch {right.shape}"
    assert result.dtype == dtype, f"{name}: {result.dtype} instead of {dtype}"
    assert np.isfinite(result).all(), f"{name}: not finite"
    error = np.linalg.norm((result.astype(np.float64) - right).ravel())
    scale = max(float(np.linalg.norm(right.ravel())), SMALLEST_SCALE[dtype])
    assert error <= tolerance * scale, f"{name} in {dtype}: relative error {error / scale:.1e} > {tolerance:.0e}"


def _shapes(output: torch.Tensor, arrays: Sequence[np.ndarray], wanted: list[int]) -> list[tuple[int, ...]]:
    return [tuple(output.shape), *(arrays[i].shape for i in wanted)]


def _torch_gradients(
    output: torch.Tensor, inputs: list[torch.Tensor], direction: np.ndarray, second: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """First gradients by the inputs, second ones by the inputs and the direction; zeros where there is none."""
    start = torch.from_numpy(np.asarray(direction)).requires_grad_()
    zeros = [np.zeros(tuple(x.shape)) for x in [*inputs, start]]
    if not output.requires_grad:
        return zeros[:-1], zeros
    first = torch.autograd.grad(output, inputs, start, create_graph=True, allow_unused=True)
    pairs = [(g, torch.from_numpy(np.asarray(v))) for g, v in zip(first, second, strict=True)]
    pairs = [(g, v) for g, v in pairs if g is not None and g.requires_grad]
    outputs, directions = [g for g, _ in pairs], [v for _, v in pairs]
    higher = (
        torch.autograd.grad(outputs, [*inputs, start], directions, allow_unused=True)
        if pairs
        else [None] * len(zeros)
    )
    return (
        [z if g is None else g.detach().numpy(force=True) for g, z in zip(first, zeros[:-1], strict=True)],
        [z if g is None else g.numpy(force=True) for g, z in zip(higher, zeros, strict=True)],
    )


def _our_gradients(
    ours: Callable[..., mg.Tensor],
    arrays: list[np.ndarray],
    wanted: list[int],
    direction: np.ndarray,
    second: list[np.ndarray],
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Values, and gradients as `_torch_gradients` has them."""
    inputs = [mg.asarray(a) for a in arrays]
    leaves = [inputs[i].requires_grad_() for i in wanted]
    output = ours(*inputs)
    values = output.numpy()
    start = mg.tensor(direction, dtype=output.dtype if values.dtype.kind == "f" else None, requires_grad=True)
    zeros = [np.zeros(x.shape, x.dtype) for x in [*leaves, start]]
    if not output.requires_grad:
        return values, zeros[:-1], zeros
    first = mg.grad(output, leaves, start, create_graph=True, allow_unused=True)
    pairs = [(g, mg.tensor(v, g.dtype)) for g, v in zip(first, second, strict=True) if g is not None]
    pairs = [(g, v) for g, v in pairs if g.requires_grad]
    outputs, directions = [g for g, _ in pairs], [v for _, v in pairs]
    higher = mg.grad(outputs, [*leaves, start], directions, allow_unused=True) if pairs else [None] * len(zeros)
    _assert_backward_agrees(ours, arrays, wanted, direction, first)
    return (
        values,
        [z if g is None else g.numpy() for g, z in zip(first, zeros[:-1], strict=True)],
        [z if g is None else g.numpy() for g, z in zip(higher, zeros, strict=True)],
    )


def _assert_backward_agrees(
    ours: Callable[..., mg.Tensor],
    arrays: list[np.ndarray],
    wanted: list[int],
    direction: np.ndarray,
    recorded: Sequence[mg.Tensor | None],
) -> None:
    """A pass that is not recorded (it may use other kernels) leaves the same gradients in memory of their own."""
    inputs = [mg.asarray(a) for a in arrays]
    leaves = [inputs[i].requires_grad_() for i in wanted]
    output = ours(*inputs)
    output.backward(direction.astype(output.dtype))
    taken = [output.numpy(), *arrays]
    # Both are right to a few roundings of the dtype, but not the same operations in the same order.
    tolerance = {"float64": 1e-10, "float32": 1e-4}
    for i, (leaf, expected) in enumerate(zip(leaves, recorded, strict=True)):
        if expected is None:
            assert leaf.grad is None
            continue
        assert leaf.grad is not None
        gradient = leaf.grad.numpy()
        assert_close(gradient, expected.numpy(), tolerance[leaf.dtype.name], leaf.dtype.name, f".grad {i}")
        assert not leaf.grad.requires_grad
        assert not any(np.may_share_memory(gradient, other) for other in taken), f".grad {i} shares memory"
        taken.append(gradient)


def assert_error(call: Callable[[], Any], kind: type[Exception], *fragments: str) -> None:
    """`call` raises `kind` with one sentence in which all `fragments` occur."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, f"{fragment!r} is not in {message!r}"
