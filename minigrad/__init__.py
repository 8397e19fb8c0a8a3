"""minigrad: a small deep-learning framework with its own autograd and its own kernels.

    import minigrad as mg

    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * x).sum().backward()
    x.grad                                  # tensor([2., 4., 6.])

Names and rules are NumPy's and the Array API's; `minigrad.nn.functional` has PyTorch's signatures.
"""

import importlib
from types import ModuleType

from . import inspect, nn, optim, random
from . import ops as ops
from .autocast import autocast
from .autograd import (
    Function,
    GraphError,
    Hook,
    hook,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .backpropagation import backward, grad
from .creation import (
    arange,
    asarray,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .device import DeviceError
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .inspect import AnomalyError, detect_anomaly, timer, track_memory
from .kernels.cpu.jit import get_num_threads, set_num_threads
from .kernels.errors import DTypeError, KernelError, MinigradError, ShapeError
from .kernels.registry import use_kernels
from .ops.elementwise import absolute as abs
from .ops.elementwise import (
    add,
    astype,
    bitwise_and,
    bitwise_invert,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    cos,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    remainder,
    round,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from .ops.indexing import take, take_along_axis
from .ops.linalg import einsum, matmul, tensordot
from .ops.reductions import (
    all,
    any,
    argmax,
    argmin,
    cumulative_sum,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .ops.shape import (
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    pad,
    permute_dims,
    reshape,
    roll,
    squeeze,
    stack,
)
from .random import Generator, manual_seed, rand, randint, randn
from .tensor import Tensor

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """`mg.models`, `mg.data` and `mg.train` are loaded when they are first asked for."""
    if name in ("data", "models", "train"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AnomalyError",
    "DTypeError",
    "DeviceError",
    "Function",
    "Generator",
    "GradcheckError",
    "GraphError",
    "Hook",
    "KernelError",
    "MinigradError",
    "ShapeError",
    "Tensor",
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "asarray",
    "astype",
    "autocast",
    "backward",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "concat",
    "cos",
    "cumulative_sum",
    "detect_anomaly",
    "divide",
    "einsum",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "greater",
    "greater_equal",
    "hook",
    "inspect",
    "is_grad_enabled",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "manual_seed",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "nn",
    "no_grad",
    "not_equal",
    "ones",
    "ones_like",
    "optim",
    "pad",
    "permute_dims",
    "positive",
    "pow",
    "prod",
    "rand",
    "randint",
    "randn",
    "random",
    "reciprocal",
    "remainder",
    "reshape",
    "roll",
    "round",
    "set_grad_enabled",
    "set_num_threads",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tanh",
    "tensor",
    "tensordot",
    "timer",
    "track_memory",
    "use_kernels",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
