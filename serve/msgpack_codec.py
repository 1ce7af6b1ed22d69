# SPDX-License-Identifier: Apache-2.0
"""msgpack with numpy arrays as openpi clients write it: maps with the keys b"__ndarray__", ...

Whoever sends is not trusted: no objects, no records, nothing larger than the frame it came in.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

MAX_BYTES = 64 * 2**20  # of one frame
# bool, integers, floats, bytes, text; no objects, records, complex numbers or dates
KINDS = "biufSU"


def pack(value: Any) -> bytes:
    """Any nesting of dicts, lists, text, numbers and arrays as bytes.

    ValueError for arrays of other things.
    """
    return msgpack.packb(value, default=_marked)


def unpack(data: bytes) -> Any:
    """The inverse; keys come back as text, arrays read-only.

    ValueError says what is wrong with the bytes.
    """
    try:
        return msgpack.unpackb(
            data, object_hook=_restored, max_array_len=4096, max_map_len=256, max_str_len=2**16
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(
            f"expected msgpack with numpy arrays, got something else: {error}"
        ) from error


def _marked(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": _dtype(value.dtype.str).str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {
            b"__npgeneric__": True,
            b"data": value.item(),
            b"dtype": _dtype(value.dtype.str).str,
        }
    raise ValueError(f"expected numbers, text, arrays, lists or dicts, got {type(value).__name__}")


def _restored(fields: dict[Any, Any]) -> Any:
    """A map as it was meant: an array, a numpy number, or a dict with text for keys."""
    named = {
        key.decode() if isinstance(key, bytes) else key: value for key, value in fields.items()
    }
    if named.get("__ndarray__"):
        return _array(named, "dtype")
    if named.get("__npgeneric__"):
        data = named.get("data")
        if not isinstance(data, (bool, int, float, str, bytes)):
            raise ValueError(f"expected one value in a numpy number, got {type(data).__name__}")
        return _dtype(named.get("dtype")).type(data)
    if named.get("nd") and "type" in named:  # the older package msgpack-numpy
        return _array(named, "type")
    return named


def _array(named: dict[str, Any], dtype_name: str) -> np.ndarray:
    dtype, shape, data = _dtype(named.get(dtype_name)), named.get("shape"), named.get("data")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"expected an array's shape as a list of sizes, got {shape!r}")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise ValueError(
            f"expected {math.prod(shape) * dtype.itemsize} bytes for {dtype} {shape}, got {got}"
        )
    return np.ndarray(shape, dtype, data)


def _dtype(name: Any) -> np.dtype:
    if isinstance(name, bytes):
        name = name.decode()
    if not isinstance(name, str) or len(name) > 16 or "," in name:
        raise ValueError(f"expected the name of a numpy dtype, got {str(name)[:40]!r}")
    dtype = np.dtype(name)
    if dtype.kind not in KINDS:
        raise ValueError(f"arrays of {name} are not accepted, only numbers and text")
    return dtype
