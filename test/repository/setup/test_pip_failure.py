# SPDX-License-Identifier: Apache-2.0
"""What the set-up says if pip reaches nothing or the disk is full; pip is the real one."""

import http.server
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import setup_env
from pip_failure import plain_cause

CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(serving) -> Iterator[str]:
    """Host and port of an HTTP server that has no packages and is no proxy."""
    with serving(http.server.BaseHTTPRequestHandler) as place:
        yield place


@pytest.mark.parametrize(
    ("index", "proxy", "said"),
    [
        (f"{CLOSED}/simple", "", "INDEX: Connection refused"),
        ("https://nowhere.invalid/simple", "", r"INDEX: (Name or service|Temporary failure).*"),
        ("https://nowhere.invalid/simple", CLOSED, "INDEX through the proxy: Connection refused"),
        (
            "https://nowhere.invalid/simple",
            "http://SERVER",
            "INDEX through the proxy: Tunnel connection failed: 501 Unsupported method",
        ),
        ("https://SERVER/simple", "", r"INDEX: \[SSL: \w+\] .*"),
        ("http://nowhere.invalid/simple", "", "INDEX: not a trusted or secure host"),
    ],
)
def test_an_index_that_cannot_be_reached_is_named(
    index: str,
    proxy: str,
    said: str,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    index = index.replace("SERVER", server)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("PIP_PROXY", proxy.replace("SERVER", server))
    monkeypatch.setenv("PIP_RETRIES", "1")
    pip = (sys.executable, "-m", "pip", "install", "--target", tmp_path / "site")
    words = f"^cannot reach package index {said.replace('INDEX', index)}, says .*; its output is in"
    with pytest.raises(setup_env.SetupError, match=words):
        setup_env.Progress(tmp_path / "setup.log").run(*pip, "no-such-package==1.0")


def test_what_pip_says_of_a_download_that_stalls_and_of_a_certificate() -> None:
    """Without `Looking in indexes` the index is PyPI. Words of pip 23.2."""
    pool = "HTTPSConnectionPool(host='files.pythonhosted.org', port=443): Read timed out."
    stalled = f"pip._vendor.urllib3.exceptions.ReadTimeoutError: {pool}\n"
    assert plain_cause(stalled) == "cannot reach https://files.pythonhosted.org:443: timed out"
    refused = (
        "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'SSLError("
        "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
        "self-signed certificate in certificate chain (_ssl.c:1006)'))': /simple/torch/\n"
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 "
        "(from versions: none)\n"
    )
    assert plain_cause(refused) == (
        "cannot reach package index https://pypi.org/simple: "
        "certificate verify failed: self-signed certificate in certificate chain"
    )


def test_another_failure_is_not_taken_for_one_of_the_connection(tmp_path: Path) -> None:
    """One index did not answer, another has other versions of the package."""
    output = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'Connection refused': /a/\n"
        "ERROR: Could not find a version that satisfies the requirement a==2 (from versions: 1)\n"
    )
    assert plain_cause(output) == ""
    assert plain_cause("a.cpp:7:1: error: expected ';'") == ""


def test_a_full_disk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "echo \"ERROR: OSError: [Errno 28] No space left on device: '/x'\"; exit 1"
    with pytest.raises(setup_env.SetupError, match=r"^no space left on the device, says sh; "):
        setup_env.Progress(tmp_path / "setup.log").run("sh", "-c", script)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "/x/setup.json")

    monkeypatch.setattr(setup_env, "set_up", full)
    monkeypatch.setattr(sys, "argv", ["setup_env.py"])
    capsys.readouterr()
    assert setup_env.main() == 1
    assert capsys.readouterr().err == "error: /x/setup.json: No space left on device\n"
