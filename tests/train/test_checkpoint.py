"""What a checkpoint holds comes back bit for bit; damaged, foreign and mismatched files are refused by name."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from minigrad.kernels.errors import MinigradError
from minigrad.train.checkpoint import read_resume, read_weights, require_same, write_resume, write_weights

DESCRIPTION = {"model": "googlenet", "arguments": {"num_classes": 10}, "class_names": ["0", "1"], "epoch": 3}

# safetensors knows bool, integers and floats of these sizes.
STORABLE = scalar_dtypes().filter(lambda dtype: dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative)
ARRAYS = STORABLE.flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
KEYS = st.text(max_size=8).filter(lambda key: "/" not in key and key != "$array")
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
STATES = st.dictionaries(
    KEYS, st.recursive(PLAIN | ARRAYS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)
)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "conv1.conv.weight": generator.normal(size=(8, 3, 7, 7)).astype(np.float32),
        "conv1.bn.running_mean": generator.normal(size=8),
        "conv1.bn.num_batches_tracked": np.array(45),
    }


def same(first: Any, second: Any) -> bool:
    """Whether two states agree in structure, types and every bit."""
    if isinstance(first, np.ndarray):
        return (
            isinstance(second, np.ndarray)
            and (first.dtype, first.shape) == (second.dtype, second.shape)
            and first.tobytes() == second.tobytes()
        )
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and repr(first) == repr(second)


@given(state=STATES)
def test_any_state_comes_back_bit_for_bit(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("state") / "resume.safetensors"
    write_resume(path, state)
    assert same(read_resume(path), state)


def test_weights_and_description_come_back(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    path = tmp_path / "best.safetensors"
    write_weights(path, weights, DESCRIPTION)
    read, description = read_weights(path)
    assert same(read, weights)
    assert description == DESCRIPTION
    assert all(array.flags.writeable for array in read.values())


def test_other_programs_can_read_the_weights(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    path = tmp_path / "best.safetensors"
    write_weights(path, weights, DESCRIPTION)
    assert same(safetensors.numpy.load_file(path), weights)


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array.transpose(0, 3, 1, 2),
        lambda array: array[::-1, ::2],
        lambda array: np.asfortranarray(array),
        lambda array: np.broadcast_to(array[:1], array.shape),
        lambda array: array.astype(">f4"),
        lambda array: array[0, 0, 0, 0, ...],
    ],
    ids=["channels-last", "steps", "Fortran", "broadcast", "big-endian", "no axes"],
)
def test_arrays_of_any_layout_keep_their_values(tmp_path: Path, view: Callable[[np.ndarray], np.ndarray]) -> None:
    array = view(np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5))
    path = tmp_path / "file"
    write_weights(path, {"x": array}, {})
    read = read_weights(path)[0]["x"]
    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape
    write_resume(path, {"x": [array]})
    np.testing.assert_array_equal(read_resume(path)["x"][0], array)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.Philox, np.random.MT19937])
def test_a_random_generator_continues(tmp_path: Path, kind: Any) -> None:
    generator, other = np.random.Generator(kind(1)), np.random.Generator(kind(2))
    generator.normal(size=5)
    path = tmp_path / "file"
    write_resume(path, {"random": dict(generator.bit_generator.state)})
    other.bit_generator.state = read_resume(path)["random"]
    np.testing.assert_array_equal(generator.normal(size=100), other.normal(size=100))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 5e-324, 0.1, -0.0, 2**100])
def test_numbers_come_back_exactly(tmp_path: Path, value: float) -> None:
    write_resume(tmp_path / "file", {"value": value, "scalar": np.float64(0.1), "count": np.int64(3)})
    read = read_resume(tmp_path / "file")
    assert same(read, {"value": value, "scalar": 0.1, "count": 3})


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"a": {"b": {1, 2}}}, "a/b: a checkpoint cannot hold a set"),
        ({"a": [object()]}, "a/0: a checkpoint cannot hold a object"),
        ({"a": {1: 2}}, "a: the key 1"),
        ({"a/b": 2}, "the key 'a/b'"),
        ({"$array": "a"}, r"the key '\$array'"),
        ({"a": np.array(["text"])}, "a: a checkpoint cannot hold an array of the type <U4"),
        ({"a": np.array([None])}, "a: a checkpoint cannot hold an array of the type object"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(tmp_path: Path, state: dict[str, Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        write_resume(tmp_path / "file", state)
    assert not list(tmp_path.iterdir())


def refused(path: Path, reading: Callable[[Path], object], *words: str) -> None:
    """Reading raises one line that names the file and holds all of `words`."""
    with pytest.raises(MinigradError) as caught:
        reading(path)
    assert "\n" not in str(caught.value)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "gone", read_weights, "there is no checkpoint file")
    refused(tmp_path, read_resume, "there is no checkpoint file")


@given(cut=st.integers(0, 10**6))
def test_a_truncated_file_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "file"
    write_resume(path, {"x": np.arange(100), "y": "text"})
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    refused(path, read_resume, "truncated or not a safetensors file")


@given(position=st.integers(0, 10**6), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(position: int, change: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("changed") / "file"
    write_resume(path, {"x": np.arange(30), "y": "text"})
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= change
    path.write_bytes(content)
    refused(path, read_resume)


def test_corrupt_weights_are_called_corrupt(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    path = tmp_path / "file"
    write_weights(path, weights, DESCRIPTION)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    refused(path, read_weights, "is corrupt", "checksum")


def test_a_file_of_another_kind_is_called_by_its_name(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    write_weights(tmp_path / "best", weights, DESCRIPTION)
    write_resume(tmp_path / "resume", {"epoch": 1})
    refused(tmp_path / "best", read_resume, "not a checkpoint of resume state", "it holds the weights")
    refused(tmp_path / "resume", read_weights, "not a checkpoint of weights", "it holds the resume state")


def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    safetensors.numpy.save_file(weights, tmp_path / "theirs")
    refused(tmp_path / "theirs", read_weights, "another program")
    safetensors.numpy.save_file(weights, tmp_path / "later", {"format": "minigrad 9", "kind": "weights"})
    refused(tmp_path / "later", read_weights, "its format is 'minigrad 9'")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x02}q\x00.", bytes(64), b"\xff" * 64])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file", read_weights, "not a safetensors file")


def test_a_checkpoint_of_another_model_is_refused_by_field(tmp_path: Path) -> None:
    expected = {"model": "googlenet", "arguments": {"num_classes": 10, "aux_logits": True}, "names": ["a", "b"]}
    require_same(tmp_path, expected, json.loads(json.dumps(expected)))
    found = {"model": "inception", "arguments": {"num_classes": 10}, "names": ["a", "c"], "seed": 1}
    with pytest.raises(MinigradError) as caught:
        require_same("last.safetensors", expected, found)
    for words in (
        "checkpoint last.safetensors does not belong to this run",
        "model is 'inception', not 'googlenet'",
        "arguments/aux_logits is None, not True",
        "names is ['a', 'c'], not ['a', 'b']",
        "seed is 1, not None",
    ):
        assert words in str(caught.value)
    assert "num_classes" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, the disk that is always full")
def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "resume.safetensors"
    write_resume(path, {"epoch": 1})
    Path(f"{path}.partial").symlink_to("/dev/full")
    with pytest.raises(MinigradError, match="the disk is full"):
        write_resume(path, {"epoch": 2, "weights": np.zeros(10**6)})
    assert read_resume(path) == {"epoch": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["resume.safetensors"]


WRITER = """
import sys
import numpy as np
from minigrad.train.checkpoint import write_resume, write_weights

folder, epoch = sys.argv[1], 0
while True:
    epoch += 1
    weights = {"weight": np.full(400_000, epoch, np.float32)}
    write_weights(folder + "/last.safetensors", weights, {"epoch": epoch})
    write_resume(folder + "/resume.safetensors", {"epoch": epoch, "weights": weights})
    if epoch == 1:
        print("writing", flush=True)
"""


@pytest.mark.lengthy
def test_a_kill_at_any_moment_leaves_whole_checkpoints(tmp_path: Path) -> None:
    moments = random.Random(1)
    interrupted = 0
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"writing\n"
        time.sleep(moments.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        weights, description = read_weights(tmp_path / "last.safetensors")
        state = read_resume(tmp_path / "resume.safetensors")
        assert (weights["weight"] == description["epoch"]).all()
        assert (state["weights"]["weight"] == state["epoch"]).all()
        # The resume file is written last: it is of the same epoch, or of the one before.
        assert description["epoch"] - state["epoch"] in (0, 1)
        interrupted += any(tmp_path.glob("*.partial"))
    # Without this the kills might all have fallen between two writes.
    assert interrupted > 0


def test_a_checkpoint_that_may_not_be_read_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(tmp_path / "a.safetensors", {"w": np.zeros(2)}, {})

    def refuse(path: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))  # chmod would not stop root

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MinigradError, match=r"a\.safetensors cannot be read: Permission denied"):
        read_weights(tmp_path / "a.safetensors")
