"""Operations that move elements, beside PyTorch's and NumPy's."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from claims.ops import assert_error, assert_same_as_torch, drawn, layouts, seeds

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
    layout=layouts,
    seed=seeds,
    data=st.data(),
)
def test_reshape_in_row_major_order(shape, layout, seed, data):
    target = data.draw(st.permutations([*shape, 1]))
    assert_same_as_torch(
        lambda x: x.reshape(target), lambda x: x.reshape(tuple(target)), drawn(shape, seed), layout=layout
    )


def test_reshape_works_out_one_size():
    assert_same_as_torch(lambda x: mg.reshape(x, (3, -1)), lambda x: x.reshape(3, -1), drawn((2, 6)))
    assert_same_as_torch(lambda x: x.reshape(-1), lambda x: x.reshape(-1), drawn((2, 3)))


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_permute_dims(shape, layout, seed, data):
    order = data.draw(st.permutations(range(-len(shape), 0)))
    assert_same_as_torch(
        lambda x: mg.permute_dims(x, order), lambda x: x.permute(order), drawn(shape, seed), layout=layout
    )


def test_transposes():
    x = drawn((2, 3, 4))
    assert_same_as_torch(lambda x: x.T, lambda x: x.permute(2, 1, 0), x)
    assert_same_as_torch(lambda x: x.mT, lambda x: x.mT, x)
    assert_same_as_torch(mg.matrix_transpose, lambda x: x.mT, x)
    assert_same_as_torch(lambda x: x.transpose(1, 0, 2), lambda x: x.permute(1, 0, 2), x)
    assert_same_as_torch(lambda x: x.transpose((1, 0, 2)), lambda x: x.permute(1, 0, 2), x)


@given(shape=shapes, axis=st.integers(-5, 4), seed=seeds)
def test_expand_dims_and_squeeze_are_inverse(shape, axis, seed):
    axis %= len(shape) + 1
    x = drawn(shape, seed)
    assert_same_as_torch(lambda x: mg.expand_dims(x, axis), lambda x: x.unsqueeze(axis), x)
    assert_same_as_torch(lambda x: mg.squeeze(mg.expand_dims(x, axis), axis), lambda x: x * 1, x)
    assert_same_as_torch(mg.squeeze, torch.squeeze, x)


@pytest.mark.parametrize("axes", [(0, -1), (0, 2), (1, 3)])
def test_flatten_some_axes(axes):
    assert_same_as_torch(lambda x: mg.flatten(x, *axes), lambda x: x.flatten(*axes), drawn((2, 1, 3, 2)))


def test_flatten_a_single_number():
    assert_same_as_torch(lambda x: x.flatten(), lambda x: x.flatten(), np.array(1.5))


@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=1, max_dims=4, min_side=0, max_side=4),
    layout=layouts,
    seed=seeds,
)
def test_broadcast_to(shapes, layout, seed):
    x = drawn(shapes.input_shapes[0], seed)
    target = shapes.result_shape
    assert_same_as_torch(lambda x: mg.broadcast_to(x, target), lambda x: x.broadcast_to(target), x, layout=layout)


@given(
    shape=shapes,
    axis=st.integers(-4, 3),
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    layout=layouts,
)
def test_concat(shape, axis, sizes, layout):
    axis = axis % len(shape)
    arrays = [drawn((*shape[:axis], n, *shape[axis + 1 :]), i) for i, n in enumerate(sizes)]
    assert_same_as_torch(
        lambda *xs: mg.concat(xs, axis), lambda *xs: torch.concat(xs, axis), *arrays, layout=layout
    )


def test_concat_of_flattened_arrays():
    assert_same_as_torch(
        lambda a, b: mg.concat([a, b], None),
        lambda a, b: torch.concat([a.flatten(), b.flatten()]),
        drawn((2, 3)),
        drawn((4,)),
    )


def test_concat_of_one_tensor_with_itself_adds_both_gradients():
    assert_same_as_torch(lambda x: mg.concat([x, x, x]), lambda x: torch.concat([x, x, x]), drawn((2, 3)))


@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    count=st.integers(1, 3),
    axis=st.integers(-4, 3),
    layout=layouts,
)
def test_stack(shape, count, axis, layout):
    axis = axis % (len(shape) + 1)
    arrays = [drawn(shape, i) for i in range(count)]
    assert_same_as_torch(lambda *xs: mg.stack(xs, axis), lambda *xs: torch.stack(xs, axis), *arrays, layout=layout)


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_flip(shape, layout, seed, data):
    axes = data.draw(hnp.valid_tuple_axes(len(shape)))
    assert_same_as_torch(
        lambda x: mg.flip(x, axes), lambda x: torch.flip(x, axes), drawn(shape, seed), layout=layout
    )
    assert_same_as_torch(mg.flip, lambda x: x.flip(tuple(range(x.ndim))), drawn(shape, seed))


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_roll(shape, layout, seed, data):
    axes = data.draw(hnp.valid_tuple_axes(len(shape), min_size=1))
    shifts = tuple(data.draw(st.integers(-7, 7)) for _ in axes)
    x = drawn(shape, seed)
    assert_same_as_torch(
        lambda x: mg.roll(x, shifts, axes), lambda x: torch.roll(x, shifts, axes), x, layout=layout
    )
    assert_same_as_torch(lambda x: mg.roll(x, shifts[0]), lambda x: torch.roll(x, shifts[0]), x, layout=layout)


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_pad_with_a_number(shape, layout, seed, data):
    widths = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in shape]
    flat = [n for pair in reversed(widths) for n in pair]
    assert_same_as_torch(
        lambda x: mg.pad(x, widths, constant_values=1.5),
        lambda x: torch.nn.functional.pad(x, flat, value=1.5),
        drawn(shape, seed),
        layout=layout,
    )


@pytest.mark.parametrize(
    ("mode", "torch_mode"), [("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular")]
)
def test_pad_with_the_image_itself(mode, torch_mode):
    assert_same_as_torch(
        lambda x: mg.pad(x, ((0, 0), (0, 0), (1, 2), (2, 1)), mode),
        lambda x: torch.nn.functional.pad(x, (2, 1, 1, 2), torch_mode),
        drawn((1, 2, 4, 3)),
    )


@pytest.mark.parametrize("widths", [1, (1, 2), [(0, 1), (2, 0)]])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
def test_pad_takes_widths_as_numpy(mode, widths):
    x = drawn((3, 4))
    np.testing.assert_array_equal(mg.pad(mg.tensor(x), widths, mode).numpy(), np.pad(x, widths, mode))


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_take(shape, layout, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    indices = data.draw(
        hnp.arrays(np.int64, st.integers(0, 6), elements=st.integers(-shape[axis], shape[axis] - 1))
    )
    positive = torch.from_numpy(indices % shape[axis])
    assert_same_as_torch(
        lambda x: mg.take(x, indices, axis),
        lambda x: torch.index_select(x, axis, positive),
        drawn(shape, seed),
        layout=layout,
    )


@given(shape=shapes, layout=layouts, seed=seeds, data=st.data())
def test_take_along_axis(shape, layout, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1)) % len(shape)
    places = (*shape[:axis], data.draw(st.integers(1, 5)), *shape[axis + 1 :])
    indices = data.draw(hnp.arrays(np.int64, places, elements=st.integers(0, shape[axis] - 1)))
    assert_same_as_torch(
        lambda x: mg.take_along_axis(x, indices, axis),
        lambda x: torch.take_along_dim(x, torch.from_numpy(indices), axis),
        drawn(shape, seed),
        layout=layout,
    )


def test_copy_has_memory_of_its_own_and_the_same_layout():
    x = mg.tensor(drawn((2, 3, 4, 5))).transpose(0, 2, 3, 1)
    y = x.copy()
    assert not np.shares_memory(x.numpy(), y.numpy())
    assert x.numpy().strides == y.numpy().strides
    assert_same_as_torch(lambda x: x.copy(), torch.clone, drawn((2, 3)))


X = mg.zeros((2, 3))
ERRORS = {
    "reshape": (lambda: X.reshape(4, 2), mg.ShapeError, ["reshape", "(2, 3)", "(4, 2)", "6"]),
    "reshape unknown": (lambda: X.reshape(-1, -1), mg.ShapeError, ["reshape", "(-1, -1)"]),
    "reshape float": (lambda: X.reshape(2.5, 3), mg.ShapeError, ["reshape", "integers", "2.5"]),
    "permute_dims": (lambda: mg.permute_dims(X, (0, 0)), mg.ShapeError, ["permute_dims", "(0, 0)", "(2, 3)"]),
    "permute_dims axis": (lambda: X.transpose(0, 2), mg.ShapeError, ["permute_dims", "axis 2"]),
    "matrix_transpose": (lambda: mg.zeros(3).mT, mg.ShapeError, ["matrix_transpose", "(3,)"]),
    "expand_dims": (lambda: mg.expand_dims(X, 4), mg.ShapeError, ["expand_dims", "axis 4"]),
    "squeeze": (lambda: mg.squeeze(X, 1), mg.ShapeError, ["squeeze", "axis 1", "size 3"]),
    "flatten": (lambda: mg.flatten(X, 1, 0), mg.ShapeError, ["flatten", "end_axis 0", "start_axis 1"]),
    "broadcast_to": (lambda: mg.broadcast_to(X, (3, 3)), mg.ShapeError, ["broadcast_to", "(2, 3)", "(3, 3)"]),
    "concat": (lambda: mg.concat([X, mg.zeros((2, 4))]), mg.ShapeError, ["concat", "(2, 3)", "(2, 4)", "axis 0"]),
    "concat ndim": (lambda: mg.concat([X, mg.zeros(3)]), mg.ShapeError, ["concat", "(2, 3)", "(3,)"]),
    "concat nothing": (lambda: mg.concat([]), mg.ShapeError, ["concat", "at least one"]),
    "concat axis": (lambda: mg.concat([X], 2), mg.ShapeError, ["concat", "axis 2"]),
    "stack": (lambda: mg.stack([X, mg.zeros(3)]), mg.ShapeError, ["stack", "(2, 3)", "(3,)"]),
    "flip": (lambda: mg.flip(X, (0, 0)), mg.ShapeError, ["flip", "twice"]),
    "roll axis": (lambda: mg.roll(X, 1, 2), mg.ShapeError, ["roll", "axis 2"]),
    "roll lengths": (lambda: mg.roll(X, (1, 2, 3), (0, 1)), mg.ShapeError, ["roll", "(1, 2, 3)", "(0, 1)"]),
    "pad negative": (lambda: mg.pad(X, -1), mg.ShapeError, ["pad", "negative", "-1"]),
    "pad axes": (lambda: mg.pad(X, ((1, 1),) * 3), mg.ShapeError, ["pad", "(2, 3)"]),
    "pad float": (lambda: mg.pad(X, 1.5), mg.ShapeError, ["pad", "integers", "1.5"]),
    "pad mode": (lambda: mg.pad(X, 1, "mirror"), mg.ShapeError, ["pad", "mirror", "reflect"]),
    "pad empty": (lambda: mg.pad(mg.zeros((0, 3)), 1, "edge"), mg.ShapeError, ["pad", "edge", "(0, 3)"]),
    "take dtype": (lambda: mg.take(X, [0.5], 0), mg.DTypeError, ["take", "float64"]),
    "take axis": (lambda: mg.take(X, [0]), mg.ShapeError, ["take", "axis", "(2, 3)"]),
    "take outside": (lambda: mg.take(X, [5], 1), IndexError, ["5", "(2, 3)"]),
    "take_along_axis": (
        lambda: mg.take_along_axis(X, np.zeros(2, int)),
        mg.ShapeError,
        ["take_along_axis", "(2,)", "(2, 3)"],
    ),
    "take_along_axis dtype": (lambda: mg.take_along_axis(X, X > 0), mg.DTypeError, ["take_along_axis", "bool"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_what_is_wrong(case):
    call, kind, fragments = ERRORS[case]
    assert_error(call, kind, *fragments)
