# SPDX-License-Identifier: Apache-2.0
"""Where the console listens: what cannot be is said by the name under which it was given."""

import re
import socket
from pathlib import Path

import pytest

from cosmos3_ros.serve.console.address import check_address, check_usable, links


def name(what: str) -> str:
    return f"--view-{what}"


@pytest.mark.parametrize(
    ("host", "port", "token", "words"),
    [
        ("127.0.0.1", 65536, None, "--view-port: expected 0 to 65535, got 65536"),
        ("127.0.0.1", "80", None, "--view-port: expected 0 to 65535, got '80'"),
        ("0.0.0.0", 0, None, "--view-host is '0.0.0.0': expected --view-token_file, too"),
        ("127.0.0.1", 0, "", "--view-token_file: token file {token}: expected one ASCII word"),
        ("nobody.invalid", 0, "word", "--view-host: 'nobody.invalid' is no address"),
        ("192.0.2.1", 0, "word", "--view-host: 192.0.2.1:0: Cannot assign requested address"),
        ("a" * 70, 0, "word", "--view-host: 'aaa"),
    ],
)
def test_what_cannot_be_is_one_line(
    host: str, port: int, token: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token + "\n")
    line = re.escape(words.format(token=file)) + r".*\Z"  # "." is no new line
    with pytest.raises(ValueError, match=f"^{line}"):
        check_usable(host, port, "" if token is None else str(file), name)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_where_everybody_may_come_the_link_has_the_machines_name(host: str) -> None:
    named = f"http://{socket.gethostname()}:80/?token=t"
    assert links(host, 80, "t") == (named, "http://127.0.0.1:80/?token=t")


def test_else_the_link_is_that_of_the_address() -> None:
    assert links("192.0.2.1", 80, "t") == ("http://192.0.2.1:80/?token=t",) * 2
    assert links("::1", 8, "t")[0] == "http://[::1]:8/?token=t"


def test_a_token_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="--view-token_file: /nowhere: No such file or directory"):
        check_usable("127.0.0.1", 0, "/nowhere", name)


def test_a_port_in_use_is_named_and_left_alone() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        check_address("127.0.0.1", port, "", name)
        with pytest.raises(ValueError, match=f"--view-port: {port} of 127.0.0.1 is in use; exp"):
            check_usable("127.0.0.1", port, "", name)
    check_usable("127.0.0.1", port, "", name)
    check_usable("localhost", 0, "", name)
