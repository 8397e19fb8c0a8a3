"""The Tensor: an array that may be on the tape.

Only what every Tensor is stands here. Operators and methods that compute are attached by
`minigrad.ops.methods`, so that this file depends on no operation.
"""

from __future__ import annotations

import weakref
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .kernels.arrays import Array, array_module, device_of, on_host
from .kernels.cpu.recording import again, recording, spoil
from .kernels.errors import DTypeError, MinigradError, ShapeError
from .readers import Reader, Readers

if TYPE_CHECKING:
    from .autograd import Function


def is_floating(dtype: Any) -> bool:
    """Whether values of `dtype` are real numbers that a gradient can flow through (bfloat16 included)."""
    return np.dtype(dtype).kind == "f" or np.dtype(dtype).name == "bfloat16"


class Tensor:
    """An n-dimensional array with a place on the tape.

    Attributes:
        data: the raw array (NumPy's on a CPU, CuPy's on a GPU), shared, not copied. Whoever writes to it
            directly tells `note_change`; assigning to the Tensor (x[index] = values) checks by itself.
        requires_grad: whether gradients flow to or through this Tensor.
        grad: the gradient that `backward` added up, of the same shape and dtype, or None. Only for leaves.
        node: the Function that made this Tensor, or None for a leaf.
        readers: the recorded Functions that will read this memory when they go back, shared by all its views.

    Raises:
        DTypeError: if a gradient is required of anything but real numbers, or `data` holds objects.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "readers", "requires_grad")
    __array_priority__ = 1000.0

    def __init__(self, data: Array, requires_grad: bool = False, node: Function | None = None) -> None:
        if not hasattr(data, "strides"):
            data = np.asarray(data)
        if not data.dtype.isnative:
            data = data.astype(data.dtype.newbyteorder("="))  # kernels read numbers as this machine writes them
        if data.dtype.kind in "OUSM":
            raise DTypeError(f"a Tensor holds numbers or booleans, not {data.dtype} (from {type(data).__name__})")
        if requires_grad and not is_floating(data.dtype):
            raise DTypeError(f"only real numbers can require a gradient, not {data.dtype}")
        self.data: Array = np.asarray(data) if isinstance(data, np.generic) else data
        self.requires_grad = requires_grad or node is not None
        self.grad: Tensor | None = None
        self.node = node
        self.readers: Readers | None = None

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        return int(self.data.size)

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        """`"cpu"`, `"cuda"` or `"emulated"`."""
        return device_of(self.data)

    @property
    def xp(self) -> ModuleType:
        """The library that owns the data: numpy or cupy."""
        return array_module(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this Tensor."""
        return self.node is None

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a Tensor without axes has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), prefix="tensor(", separator=", ", threshold=200, edgeitems=3)
        notes = [] if self.dtype.name in ("float32", "int64", "bool") else [f"dtype={self.dtype.name}"]
        if self.device != "cpu":
            notes.append(f"device={self.device!r}")
        if self.size > 200 or self.size == 0:
            notes.append(f"shape={self.shape}")
        if self.node is not None:
            notes.append(f"from {self.node.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join([text, *notes])})"

    __hash__ = object.__hash__

    # What leaves it

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array, off the tape: the very memory on a CPU, a copy from a GPU.

        On a CPU the array is what the tape itself will read: writing to it changes this Tensor, and between
        the forward and the backward pass makes gradients wrong without an error. Write to a copy of it, or
        assign to the Tensor (x[index] = values), which checks.
        """
        spoil("the values of a Tensor are read")
        return self.data if self.device == "cpu" else on_host(self.data)

    def item(self) -> float | int | bool:
        """The single value as a Python number.

        Raises:
            ShapeError: if there is not exactly one element.
        """
        if self.size != 1:
            raise ShapeError(f"item() takes one element out of a Tensor that has one; this has shape {self.shape}")
        spoil("the value of a Tensor is read")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.numpy().tolist()

    def detach(self) -> Tensor:
        """The same memory as a Tensor that is off the tape."""
        other = Tensor(self.data)
        other.share_readers(self)
        return other

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"only an integer Tensor can be an index, not {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"a Tensor of shape {self.shape} is not true or false; use all() or any()")
        return bool(self.item())

    def __reduce__(self) -> tuple[Any, ...]:  # a copy, or what comes out of a pickle, is off every tape
        spoil("a Tensor is copied by Python")
        return type(self), (self.data, self.requires_grad and self.is_leaf)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        spoil("a Tensor is handed to another library")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device != "cuda":
            raise AttributeError("only a Tensor on a GPU has a __cuda_array_interface__")
        return self.data.__cuda_array_interface__

    # Its place on the tape

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add the gradient of this Tensor with respect to every leaf to the leaf's `.grad`.

        Args:
            gradient: the gradient of what follows with respect to this Tensor, of its shape; 1 if left
                out, which only a single number may.
            retain_graph: keep the graph for another pass; by default only where `create_graph` is set.
            create_graph: record the pass itself, so that `.grad` can be differentiated again.

        Raises:
            GraphError: if no gradient can flow, or an earlier pass freed the graph.
            ShapeError: if `gradient` has another shape.
        """
        from .backpropagation import backward

        backward(self, gradient, retain_graph, create_graph)

    def note_reader(self, reader: weakref.ref[Reader]) -> None:
        """Remember that a Function on the tape will read these values when it goes back."""
        if self.readers is None:
            self.readers = Readers()
        self.readers.add(reader)

    def share_readers(self, other: Tensor) -> None:
        """Note that this Tensor is made of the memory of `other`: what reads one of them reads both."""
        if other.readers is None:
            other.readers = Readers()
        self.readers = other.readers

    def note_change(self, by: str) -> None:
        """Say that the values were just changed in place, through `data`, by `by` (in words, for an error).

        Every recorded operation that kept the old values for its backward pass raises a GraphError when it is
        asked for a gradient, in place of a wrong one. Whatever writes to `data` calls this afterwards.
        """
        if self.readers is not None:
            self.readers.note_change(f"a {type(self).__name__} of shape {self.shape} was changed in place by {by}")

    def __setitem__(self, index: Any, value: Any) -> None:
        """Assign in place, where nothing on the tape can notice.

        Raises:
            TypeError: if this Tensor or the value is on the tape, or a recorded operation still needs this memory.
            ShapeError: if the value does not fit.
            DTypeError: if the dtype cannot hold it.
            IndexError: if the index is outside of the Tensor.
        """
        from .autograd import is_grad_enabled

        on_tape = is_grad_enabled()
        waiting = self.readers.waiting() if self.readers else ""
        reason = ""
        if waiting:
            reason = f"{waiting} still needs its values for the backward pass"
        elif self.node is not None:
            reason = f"it is on the tape, as the result of {self.node.name}"
        elif self.requires_grad and on_tape:
            reason = "it requires a gradient; inside no_grad() this is allowed"
        elif isinstance(value, Tensor) and value.requires_grad and on_tape:
            reason = "the value is on the tape, and its gradient would be lost"
        if reason:
            raise TypeError(
                f"cannot assign to a part of this Tensor of shape {self.shape}: {reason}. Build the new "
                "value with where() or concat(), assign to a copy (x.detach().copy()), or assign after backward()"
            )
        present = recording()
        if present is not None and not present.computes(self.data):
            present.spoil("a part is assigned of a Tensor that was there before, and is not computed anew")
        value = self._here(value)
        index = tuple(self._here(i) for i in index) if isinstance(index, tuple) else self._here(index)
        try:
            again(partial(self.data.__setitem__, index, value))
        except IndexError as error:
            raise IndexError(f"index {index} into a Tensor of shape {self.shape}: {error}") from None
        except OverflowError as error:
            raise DTypeError(f"cannot assign to a Tensor of dtype {self.dtype}: {error}") from None
        except ValueError as error:
            raise ShapeError(
                f"cannot assign to index {index} of a Tensor of shape {self.shape}: {error}"
            ) from error

    def _here(self, x: Any) -> Any:
        """The raw array of `x`, brought to the device of this Tensor; what is no array as it is."""
        x = x.data if isinstance(x, Tensor) else x
        if not hasattr(x, "strides") or device_of(x) == self.device:
            return x
        return again(lambda: self.xp.asarray(on_host(x)))

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients, or no longer; in place, for leaves. Returns the Tensor itself."""
        if self.node is not None:
            raise MinigradError("only a leaf can change requires_grad; take detach() of this Tensor first")
        if requires_grad and not is_floating(self.dtype):
            raise DTypeError(f"only real numbers can require a gradient, not {self.dtype}")
        self.requires_grad = requires_grad
        return self

    if TYPE_CHECKING:  # attached by minigrad.ops.methods

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...
        @property
        def mT(self) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def copy(self) -> Tensor: ...
        def to(self, device: str | None = None, dtype: Any = None) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def std(self, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def all(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def any(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def clip(self, min: Any = None, max: Any = None) -> Tensor: ...
