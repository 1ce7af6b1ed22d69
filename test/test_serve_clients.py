# SPDX-License-Identifier: Apache-2.0
"""openpi-client from PyPI, unchanged and in an environment of its own (numpy 1), against the server."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.model.tiny import tiny_checkpoint

PYTHON = Path(sys.prefix) / "openpi" / "bin" / "python"
pytestmark = pytest.mark.skipif(not PYTHON.is_file(), reason="openpi-client is not installed: make client")

SCRIPT = """
import json, sys
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

rng = np.random.default_rng(0)
state = {
    "observation/joint_position": np.array([0, -0.63, 0, -2.51, 0, 1.88, 0]),  # float64, as the robot script sends it
    "observation/gripper_position": np.array([0.1]),
    "prompt": "put the cup on the plate",
}
robolab = state | {"observation/image": rng.integers(0, 256, (540, 640, 3), np.uint8)}
pi0 = state | {
    "observation/exterior_image_1_left": rng.integers(0, 256, (224, 448, 3), np.uint8)[:, ::2],  # not contiguous
    "observation/exterior_image_2_left": rng.integers(0, 256, (224, 224, 3), np.uint8),
    "observation/wrist_image_left": rng.integers(0, 256, (224, 224, 3), np.uint8),
}
result = {"numpy": np.__version__}
policy = WebsocketClientPolicy(sys.argv[1], int(sys.argv[2]), api_key=sys.argv[3])
result["metadata"] = policy.get_server_metadata()
for name, request in (("robolab", robolab), ("pi0", pi0)):
    reply = policy.infer(request)
    for key in ("action", "actions"):
        result[f"{name} {key}"] = [str(reply[key].dtype), reply[key].shape, bool(np.isfinite(reply[key]).all())]
    result[f"{name} infer_ms"] = reply["server_timing"]["infer_ms"]
policy.reset()
try:
    policy.infer({"prompt": "no pictures"})
except RuntimeError as error:
    result["error"] = str(error)
print(json.dumps(result))
"""


@contextlib.contextmanager
def command(*options: str | Path) -> Iterator[str]:
    """Port of `cosmos3 serve openpi` as people start it."""
    words = [sys.executable, "-m", "cosmos3_ros.cli", "serve", "openpi", "--port", "0", *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            lines = [server.stdout.readline(), server.stdout.readline()]
            assert lines[-1].startswith("ready: ws://127.0.0.1:"), lines
            yield lines[-1].strip().rpartition(":")[2]
            server.terminate()
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_openpi_client_talks_to_the_command(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse")
    options = ("--checkpoint", tiny_checkpoint(), "--steps", "1", "--guidance", "1", "--token-file", token)
    with command(*options) as port:
        words = [PYTHON, "-I", "-c", SCRIPT, "127.0.0.1", port, "correct-horse"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["numpy"].startswith("1."), "as its users have it"
    assert result["metadata"]["n_external_cameras"] == 2
    for name in ("robolab", "pi0"):
        for key in ("action", "actions"):
            assert result[f"{name} {key}"] == ["float32", [16, 8], True]
        assert result[f"{name} infer_ms"] > 0
    assert "expected images" in result["error"]
    assert "Traceback" not in result["error"]
