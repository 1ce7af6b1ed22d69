# SPDX-License-Identifier: Apache-2.0
"""Links to other servers, on a server of our own."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import check_links
import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_what_is_gone_is_broken_and_what_cannot_be_asked_is_untried(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"[a]({server}/200/a#part) [b]({server}/403/b) [c](http://127.0.0.1:1/c)\n")
    assert check_links.main([str(page)]) == 0
    assert "1 ok, 0 broken, 2 untried" in capsys.readouterr().out
    page.write_text(f"[a]({server}/200/a) [gone]({server}/404/gone)\n")
    assert check_links.main([str(page)]) == 1
    assert f"broken: {server}/404/gone (page.md): HTTP 404" in capsys.readouterr().out


def test_addresses_in_code_are_no_links() -> None:
    found = check_links.links(check_links.pages())
    assert len(found) > 30
    assert not any("gpu:8000" in address for address in found)
