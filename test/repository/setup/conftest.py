# SPDX-License-Identifier: Apache-2.0
"""An HTTP server of this computer, for the time of a test."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

Handler = Callable[..., http.server.BaseHTTPRequestHandler]


@pytest.fixture(scope="session")
def serving() -> Callable[[Handler], AbstractContextManager[str]]:
    """A context in which requests are handled: gives host and port."""

    @contextlib.contextmanager
    def serve(handler: Handler) -> Iterator[str]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()

    return serve
