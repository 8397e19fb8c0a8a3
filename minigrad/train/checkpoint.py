"""Checkpoints: one safetensors file each, replaced atomically, with a checksum over all that it says.

A run keeps three:

- `last.safetensors` and `best.safetensors` hold weights under their state-dict names, for any program that reads
  safetensors, and in the header the description that prediction needs: the model, its arguments, the class
  names, the preparation of images;
- `resume.safetensors` holds everything that continuing needs, the weights again included. It depends on
  no other file, so that there is no moment at which two files could disagree, and a run killed between
  two writes continues from whichever resume file is whole.

Arrays are tensors of the file, everything else is JSON in its header (floats survive JSON bit for bit); no
pickle, so that a checkpoint from a stranger cannot run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from minigrad.kernels.arrays import on_host
from minigrad.kernels.errors import MinigradError
from minigrad.tensor import Tensor

from .atomic_file import write_atomically

LAST, BEST, RESUME = "last.safetensors", "best.safetensors", "resume.safetensors"

FORMAT = "minigrad 1"
WEIGHTS_KIND, RESUME_KIND = "weights", "resume state"
# The object that stands in the JSON where an array was: {ARRAY: name of the tensor}.
ARRAY = "$array"


def write_weights(path: str | Path, weights: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Write the state dict `weights` (arrays by name) and its `description` (plain JSON values).

    Raises:
        MinigradError: the file cannot be written; the one that was there before is kept.
        TypeError: a value that is no plain value, or an array of objects.
    """
    arrays = {name: _as_stored(name, np.asarray(value)) for name, value in weights.items()}
    _write(path, WEIGHTS_KIND, arrays, _separated("description", description, None))


def read_weights(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights and the description that `write_weights` wrote.

    Raises:
        MinigradError: the file is missing, truncated, corrupt, or not such a checkpoint.
    """
    return _read(path, WEIGHTS_KIND)


def write_resume(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write `state`: nested dictionaries (string keys), lists, arrays, numbers, strings, None.

    Raises:
        MinigradError: the file cannot be written; the one that was there before is kept.
        TypeError: a value of another type.
    """
    arrays: dict[str, np.ndarray] = {}
    document = _separated("", state, arrays)
    _write(path, RESUME_KIND, arrays, document)


def read_resume(path: str | Path) -> dict[str, Any]:
    """The state that `write_resume` wrote; tuples have become lists, NumPy scalars Python numbers.

    Raises:
        MinigradError: the file is missing, truncated, corrupt, or not such a checkpoint.
    """
    arrays, document = _read(path, RESUME_KIND)
    state: dict[str, Any] = _joined(document, arrays)
    return state


def _write(path: str | Path, kind: str, arrays: dict[str, np.ndarray], document: Any) -> None:
    text = json.dumps(document, sort_keys=True)
    header = {"format": FORMAT, "kind": kind, "document": text, "sha256": _checksum(kind, text, arrays)}
    write_atomically(path, safetensors.numpy.save(arrays, header))


def _read(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], Any]:
    path = Path(path)
    if not path.is_file():
        raise MinigradError(f"there is no checkpoint file {path}")
    try:
        path.open("rb").close()  # safetensors calls a file that may not be read one that is not there
    except OSError as error:
        raise MinigradError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            found = (header.get("format"), header.get("kind"))
            if found == (FORMAT, kind):
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise MinigradError(f"checkpoint {path} is truncated or not a safetensors file: {error}") from error
    if found != (FORMAT, kind):
        raise MinigradError(f"{path} is not a checkpoint of {kind} ({FORMAT}): {_what_it_is(*found)}")
    text = header.get("document", "")
    if header.get("sha256") != _checksum(kind, text, arrays):
        raise MinigradError(f"checkpoint {path} is corrupt: its contents do not have the checksum in its header")
    return arrays, json.loads(text)


def _what_it_is(found_format: str | None, found_kind: str | None) -> str:
    if found_format is None:
        return "it is a safetensors file of another program, without a description of the model"
    if found_format != FORMAT:
        return f"its format is {found_format!r}"
    return f"it holds the {found_kind}"


def _checksum(kind: str, text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the document, and over the name, type, shape and bytes of each array."""
    digest = hashlib.sha256(f"{kind}\n{text}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.str}\n{array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _as_stored(name: str, array: np.ndarray) -> np.ndarray:
    """`array` in C order, which safetensors needs (it silently mixes up anything else) and nobody tells it."""
    if array.dtype.hasobject or array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: a checkpoint cannot hold an array of the type {array.dtype}")
    # asarray and not ascontiguousarray, which would give an array without axes one axis.
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _separated(name: str, value: Any, arrays: dict[str, np.ndarray] | None) -> Any:
    """`value` as JSON, its arrays moved into `arrays` under the names of their places."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        _refuse_keys(name, value)
        return {key: _separated(_inside(name, key), item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_separated(_inside(name, str(index)), item, arrays) for index, item in enumerate(value)]
    if arrays is not None and hasattr(value, "__array__"):
        arrays[name] = _as_stored(name, np.asarray(value) if isinstance(value, Tensor) else on_host(value))
        return {ARRAY: name}
    raise TypeError(f"{name}: a checkpoint cannot hold a {type(value).__name__} here")


def _inside(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key


def _refuse_keys(name: str, mapping: Mapping[Any, Any]) -> None:
    # A "/" in a key could give two arrays one name.
    wrong = next((key for key in mapping if not isinstance(key, str) or key == ARRAY or "/" in key), None)
    if wrong is not None:
        raise TypeError(f"{name}: the key {wrong!r} cannot stand in a checkpoint; keys are strings without /")


def _joined(document: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of `_separated`."""
    if isinstance(document, dict):
        if document.keys() == {ARRAY}:
            return arrays[document[ARRAY]]
        return {key: _joined(value, arrays) for key, value in document.items()}
    if isinstance(document, list):
        return [_joined(value, arrays) for value in document]
    return document


def differences(expected: Any, found: Any, name: str = "") -> Iterator[str]:
    """One phrase for each place at which two JSON values differ: "model/name is 'a', not 'b'"."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in {**expected, **found}:
            yield from differences(expected.get(key), found.get(key), _inside(name, key))
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if list(expected) != list(found):
            yield f"{name} is {list(found)!r}, not {list(expected)!r}"
    elif expected != found:
        yield f"{name} is {found!r}, not {expected!r}"


def require_same(path: str | Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse a checkpoint made by another model or another run.

    Raises:
        MinigradError: names every field of the checkpoint `path` in which `found` differs from `expected`.
    """
    phrases = list(differences(expected, found))
    if phrases:
        raise MinigradError(f"checkpoint {path} does not belong to this run: {'; '.join(phrases)}")
