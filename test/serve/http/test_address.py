# SPDX-License-Identifier: Apache-2.0
"""Whether a server can listen: what cannot be is said by the name under which it was given."""

import re
import socket

import pytest

from cosmos3_ros.serve.http.address import check_free


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 65536, "--port: expected 0 to 65535, got 65536"),
        ("127.0.0.1", True, "--port: expected 0 to 65535, got True"),
        ("nobody.invalid", 0, "--host: 'nobody.invalid' is no address"),
        ("192.0.2.1", 0, "--host: 192.0.2.1:0: Cannot assign requested address"),
        ("a" * 70, 0, "--host: 'aaa"),
    ],
)
def test_what_cannot_be_is_one_line(host: str, port: int, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(words)}.*\Z"):  # "." is no new line
        check_free(host, port, "--{}".format)


def test_a_port_in_use_is_named_and_left_alone() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"^--port: {port} of 127.0.0.1 is in use; expected"):
            check_free("127.0.0.1", port, "--{}".format)
    check_free("127.0.0.1", port, "--{}".format)
    check_free("localhost", 0, "--{}".format)
