"""Products beside PyTorch's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds

matmul_shapes = hnp.mutually_broadcastable_shapes(
    signature=np.matmul.signature, max_dims=2, min_side=0, max_side=4
)


@given(shapes=matmul_shapes, layout=layouts, seed=seeds)
def test_matmul(shapes, layout, seed):
    a, b = (drawn(shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    assert_same_as_torch(mg.matmul, torch.matmul, a, b, layout=layout)
    assert_same_as_torch(lambda a, b: a @ b, torch.matmul, a, b, layout=layout)


CONTRACTIONS = {
    "outer product": ((2, 3), (4,), 0),
    "one axis": ((2, 3), (3, 4), 1),
    "two axes": ((2, 3, 4), (3, 4, 5), 2),
    "named": ((2, 3, 4), (4, 5, 2), ((0, 2), (2, 0))),
    "negative": ((2, 3, 4), (5, 3), ((-2,), (-1,))),
    "everything": ((2, 3), (2, 3), 2),
    "empty": ((0, 3), (3, 2), 1),
    "empty sum": ((2, 0), (0, 2), 1),
}


@pytest.mark.parametrize("name", CONTRACTIONS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "reversed"])
def test_tensordot(name, layout):
    first, second, axes = CONTRACTIONS[name]
    ours = [list(side) for side in axes] if isinstance(axes, tuple) else axes
    assert_same_as_torch(
        lambda a, b: mg.tensordot(a, b, ours),
        lambda a, b: torch.tensordot(a, b, axes),
        drawn(first, 0),
        drawn(second, 1),
        layout=layout,
    )


def test_tensordot_with_one_axis_each():
    assert_same_as_torch(
        lambda a, b: mg.tensordot(a, b, (0, 1)),
        lambda a, b: torch.tensordot(a, b, ((0,), (1,))),
        drawn((3, 2)),
        drawn((4, 3)),
    )


EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ij->ji": ((2, 3),),
    "ij->j": ((2, 3),),
    "ij->": ((2, 3),),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "iij->j": ((2, 2, 3),),
    "iii->i": ((2, 2, 2),),
    "i,j->ij": ((2,), (3,)),
    "i,i->": ((4,), (4,)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)),
    "...ij,...jk->...ik": ((2, 3, 4), (4, 2)),
    "...i,i": ((2, 3, 4), (4,)),
    "ij...->ji...": ((2, 3, 4, 2),),
    "ab,bc,cd->ad": ((2, 3), (3, 4), (4, 2)),
    "ab,ac,ad->": ((2, 3), (2, 2), (2, 4)),
    "nchw,kc->nkhw": ((2, 3, 2, 2), (4, 3)),
    " i j , j k -> i k ": ((2, 3), (3, 2)),
    ",i->i": ((), (3,)),
    "ij,ij->ij": ((1, 3), (2, 3)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced"])
def test_einsum(equation, layout):
    arrays = [drawn(shape, i) for i, shape in enumerate(EQUATIONS[equation])]
    assert_same_as_torch(
        lambda *xs: mg.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *arrays, layout=layout
    )


@given(letters=st.permutations("abcd"), sizes=st.lists(st.integers(0, 3), min_size=4, max_size=4), seed=seeds)
def test_einsum_of_drawn_labels(letters, sizes, seed):
    size = dict(zip("abcd", sizes, strict=True))
    first, second, result = letters[:3], letters[1:], letters[::2]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    arrays = [drawn([size[c] for c in labels], seed + i) for i, labels in enumerate((first, second))]
    assert_same_as_torch(lambda *xs: mg.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *arrays)


@pytest.mark.parametrize(
    "dtypes", [("int64", "int64"), ("int64", "float32"), ("float16", "float32"), ("bool", "bool")]
)
def test_dtype_of_a_product_is_numpys(dtypes):
    a, b = np.ones((2, 3), dtypes[0]), np.ones((3, 2), dtypes[1])
    assert mg.matmul(a, b).dtype == np.matmul(a, b).dtype
    assert mg.tensordot(a, b, 1).dtype == np.tensordot(a, b, 1).dtype
    assert mg.einsum("ij,jk->ik", a, b).dtype == np.einsum("ij,jk->ik", a, b).dtype


X, Y = mg.zeros((2, 3)), mg.zeros((4, 5))
ERRORS = {
    "matmul": (lambda: X @ Y, ["matmul", "(2, 3)", "(4, 5)"]),
    "matmul of numbers": (lambda: X @ 2.0, ["matmul", "(2, 3)", "()"]),
    "matmul of stacks": (lambda: mg.zeros((2, 3, 4)) @ mg.zeros((3, 4, 2)), ["matmul", "(2, 3, 4)", "(3, 4, 2)"]),
    "tensordot sizes": (lambda: mg.tensordot(X, Y, 1), ["tensordot", "(2, 3)", "(4, 5)"]),
    "tensordot too many": (lambda: mg.tensordot(X, Y, 3), ["tensordot", "(2, 3)", "3 axes"]),
    "tensordot axis": (lambda: mg.tensordot(X, Y, ((5,), (0,))), ["tensordot", "axis 5"]),
    "tensordot one side": (lambda: mg.tensordot(X, Y, ((0,),)), ["tensordot", "two lists"]),
    "einsum letters": (lambda: mg.einsum("ijk->i", X), ["einsum", "ijk", "(2, 3)"]),
    "einsum operands": (lambda: mg.einsum("ij,jk", X), ["einsum", "2 operands, got 1"]),
    "einsum sizes": (lambda: mg.einsum("ij,jk->ik", X, Y), ["einsum", "(2, 3)", "(4, 5)"]),
    "einsum result": (lambda: mg.einsum("ij->k", X), ["einsum", "ij->k"]),
    "einsum result twice": (lambda: mg.einsum("ij->ii", X), ["einsum", "ij->ii"]),
    "einsum sign": (lambda: mg.einsum("i?->i", X), ["einsum", "i?"]),
    "einsum dots": (lambda: mg.einsum("i.->i", X), ["einsum", "i."]),
    "einsum two arrows": (lambda: mg.einsum("ij->i->j", X), ["einsum", "ij->i->j"]),
    "einsum nothing": (lambda: mg.einsum("->"), ["einsum", "operands"]),
    "einsum diagonal": (lambda: mg.einsum("ii->i", X), ["einsum", "ii", "(2, 3)"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, fragments = ERRORS[case]
    assert_error(call, mg.ShapeError, *fragments)
