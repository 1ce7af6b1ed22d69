# SPDX-License-Identifier: Apache-2.0
"""The openpi wire format: openpi-client reads what is sent; what is received may be anything."""

import contextlib
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosmos3_ros.serve.msgpack_codec import MAX_BYTES, pack, unpack

DTYPES = st.sampled_from(["|u1", "<f4", "<f8", "<i8", "|b1", "<f2", ">i4", "<U5", "|S3"])


def array(fields: dict[Any, Any]) -> bytes:
    return msgpack.packb({"image": fields})


def good(**changes: Any) -> dict[Any, Any]:
    return {b"__ndarray__": True, b"data": bytes(12), b"dtype": "<f4", b"shape": [3]} | {
        key.encode(): value for key, value in changes.items()
    }


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_arrays_come_back_as_they_were(values: np.ndarray) -> None:
    back = unpack(pack({"a": values, "b": [values]}))
    for one in (back["a"], back["b"][0]):
        assert (one.dtype, one.shape) == (values.dtype, values.shape)
        assert one.tobytes() == values.tobytes()


def test_views_are_sent_as_what_they_show() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[::2, ::-1]
    assert np.array_equal(unpack(pack(picture)), picture)


def test_markers_have_bytes_for_keys_because_openpi_clients_read_no_others() -> None:
    sent = msgpack.unpackb(pack({"action": np.zeros((2, 3), np.float32), "score": np.float32(0.5)}))
    assert sent["action"] == {
        b"__ndarray__": True,
        b"data": bytes(24),
        b"dtype": "<f4",
        b"shape": [2, 3],
    }
    assert sent["score"] == {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f4"}


@pytest.mark.parametrize(
    "fields",
    [
        good(),
        {key.decode(): value for key, value in good().items()},
        {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [3], b"data": bytes(12)},
        {"nd": True, "type": b"<f4", "kind": "", "shape": [3], "data": bytes(12)},
    ],
    ids=["bytes", "text", "msgpack-numpy", "msgpack-numpy with text"],
)
def test_markers_may_come_in_three_forms(fields: dict[Any, Any]) -> None:
    image = unpack(array(fields))["image"]
    assert (image.shape, image.dtype) == ((3,), np.float32)


def test_numbers_and_text_of_numpy_come_back() -> None:
    assert unpack(pack({"seed": np.int64(3), "prompt": np.str_("go"), "on": np.bool_(True)})) == {
        "seed": 3,
        "prompt": "go",
        "on": True,
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (array(good(dtype="|O")), "arrays of |O are not accepted"),
        (array(good(dtype="<c8")), "arrays of <c8 are not accepted"),
        (array(good(dtype="V4")), "arrays of V4 are not accepted"),
        (array(good(dtype="f4,f4")), "name of a numpy dtype"),
        (array(good(dtype="octopus")), "octopus"),
        (array(good(dtype=4)), "name of a numpy dtype"),
        (array(good(shape=[4])), "expected 16 bytes for float32 [4], got 12 bytes"),
        (array(good(shape=[-1])), "shape"),
        (array(good(shape=[2**62, 2**62])), "bytes for"),
        (array(good(shape=3)), "shape"),
        (array(good(data="text")), "got str"),
        (array({b"__npgeneric__": True, b"data": [1], b"dtype": "<f4"}), "one value"),
        (pack({"image": np.zeros((9, 9))})[:-5], "msgpack"),
        (b"", "msgpack"),
        (b"\xc1", "msgpack"),
        (b"\x91" * 100_000, "msgpack"),
        (msgpack.packb(list(range(5000))), "msgpack"),
        (msgpack.packb({1: 2}), "msgpack"),
        (msgpack.packb({b"\xff": 2}), "msgpack"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words are compared below
        unpack(data)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 200), st.integers(0, 255))
def test_no_bytes_raise_anything_else(data: bytes, place: int, value: int) -> None:
    damaged = bytearray(pack({"observation/image": np.zeros((3, 4), np.uint8), "prompt": "go"}))
    damaged[place % len(damaged)] = value
    for sent in (data, bytes(damaged)):
        with contextlib.suppress(ValueError):
            unpack(sent)


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.zeros(2, complex), np.zeros(1, "f4,f4"), {1, 2}, object()]
)
def test_what_no_client_could_read_is_not_sent(value: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|not accepted"):
        pack({"a": value})


def test_the_limit_is_what_the_frames_of_eight_cameras_need() -> None:
    assert MAX_BYTES > 8 * 720 * 1280 * 3
