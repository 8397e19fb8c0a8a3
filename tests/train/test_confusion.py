"""The confusion matrix counts rightly and reads well in a terminal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as oracle

from minigrad.kernels.errors import ShapeError
from minigrad.train.confusion import confusion_matrix, render_confusion


@given(pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60))
def test_it_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs, np.int64).reshape(-1, 2).T
    matrix = confusion_matrix(labels, predictions, 7)
    assert matrix.shape == (7, 7)
    if pairs:  # scikit-learn refuses empty lists
        np.testing.assert_array_equal(matrix, oracle(labels, predictions, labels=range(7)))
    else:
        assert not matrix.any()


def test_labels_of_a_small_type_do_not_overflow() -> None:
    labels = np.array([200, 3], np.uint8)
    assert confusion_matrix(labels, labels, 201)[200, 200] == 1


@pytest.mark.parametrize(
    ("labels", "predictions", "named"),
    [
        ([0, 1], [0], r"\(2,\) and predictions \(1,\)"),
        ([0, 3], [0, 0], "labels hold 0..3"),
        ([0], [-1], "predictions hold -1"),
    ],
)
def test_what_does_not_fit_is_refused(labels: list[int], predictions: list[int], named: str) -> None:
    with pytest.raises(ShapeError, match=named):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


def test_the_table() -> None:
    matrix = np.array([[9, 0, 1], [0, 12, 0], [0, 0, 0]])
    assert render_confusion(matrix, ["cat", "automobile!!!!", "x"]).splitlines() == [
        "        true |   cat auto…     x | right",
        "-------------+-------------------+-------",
        "         cat |     9     ·     1 |  90.0%",
        "automobile!… |     ·    12     · | 100.0%",
        "           x |     ·     ·     · |      -",
    ]


def test_many_classes_are_told_by_their_worst_confusions() -> None:
    matrix = np.diag(np.full(30, 10))
    matrix[3, 5], matrix[7, 1] = 4, 6
    text = render_confusion(matrix, [f"class {index}" for index in range(30)])
    assert text.splitlines() == [
        "right:  96.8%; the commonest mistakes:",
        "     6 of 16 'class 7' taken for 'class 1'",
        "     4 of 14 'class 3' taken for 'class 5'",
    ]
