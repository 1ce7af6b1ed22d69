# SPDX-License-Identifier: Apache-2.0
"""The commands as people start them.

openpi-client from PyPI, which wants numpy 1, from an environment of its own.
"""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import SIMULATED
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.serve.clients.policy_client import RemotePolicy
from cosmos3_ros.serve.openpi_messages import rows

EMBEDDED = str(Path(__file__).resolve().parents[2] / "model" / "checkpoints" / "droid_sim")
PYTHON = Path(sys.prefix) / "openpi" / "bin" / "python"

SCRIPT = """
import json, sys
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

rng = np.random.default_rng(0)
state = {
    "observation/joint_position": np.array([0, -0.63, 0, -2.51, 0, 1.88, 0]),  # float64
    "observation/gripper_position": np.array([0.1]),
    "prompt": "put the cup on the plate",
}
robolab = state | {"observation/image": rng.integers(0, 256, (540, 640, 3), np.uint8)}
pi0 = state | {
    "observation/exterior_image_1_left": rng.integers(0, 256, (224, 448, 3), np.uint8)[:, ::2],
    "observation/exterior_image_2_left": rng.integers(0, 256, (224, 224, 3), np.uint8),
    "observation/wrist_image_left": rng.integers(0, 256, (224, 224, 3), np.uint8),
}
result = {"numpy": np.__version__}
policy = WebsocketClientPolicy(sys.argv[1], int(sys.argv[2]), api_key=sys.argv[3])
result["metadata"] = policy.get_server_metadata()
for name, request in (("robolab", robolab), ("pi0", pi0)):
    reply = policy.infer(request)
    for key in ("action", "actions"):
        rows = reply[key]
        result[f"{name} {key}"] = [str(rows.dtype), rows.shape, bool(np.isfinite(rows).all())]
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
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            lines = [server.stdout.readline(), server.stdout.readline()]
            assert lines[-1].startswith("ready: ws://127.0.0.1:"), lines
            yield lines[-1].strip().rpartition(":")[2]
            server.terminate()
            assert server.wait(20) == 0
        finally:
            server.kill()


@pytest.mark.skipif(not PYTHON.is_file(), reason="openpi-client is not installed: make client")
def test_openpi_client_talks_to_the_command(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse")
    options = (
        "--checkpoint",
        tiny_checkpoint(),
        "--steps",
        "1",
        "--guidance",
        "1",
        "--token-file",
        token,
    )
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


@pytest.mark.slow
@pytest.mark.parametrize("tensor", ["1", "2"])
def test_two_processes_serve_what_one_says(tensor: str) -> None:
    """Guidance split, and layers split: the same chunk, and both processes end."""
    seen = Observation(
        {view: np.full((90, 160, 3), 90, np.uint8) for view in SIMULATED.views},
        np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0.25], np.float32),
        "reach the cube",
        1,
    )
    words = ("--checkpoint", str(tiny_checkpoint()), "--steps", "2", "--guidance", "3")
    with command(*words, "--gpus", "2", "--tensor-parallel", tensor) as port:
        policy = RemotePolicy(f"ws://127.0.0.1:{port}", SIMULATED)
        got = policy.infer(seen).chunk.values
        policy.close()
    expected = rows(load_policy(tiny_checkpoint(), num_steps=2, guidance=3.0).infer(seen))
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["openpi", "--gpus", "3"], "parameter 'gpus' is 3, with tensor_parallel 1 expected 1 or"),
        (["openpi", "--device", "tpu"], "got 'tpu'"),
        (["openpi", "--checkpoint", "/nowhere"], "/nowhere"),
        (["openpi", "--token-file", "/nowhere"], "/nowhere"),
        (["openpi", "--steps", "0"], "num_steps: expected at least 1, got 0"),
        (["openpi", "--horizon", "-1"], "horizon: expected 0 or more, got -1"),
        (["openpi", "--host", "256.0.0.1"], "--host: '256.0.0.1' is no address"),
        (
            ["libero", "--checkpoint", EMBEDDED],
            "embodiment droid_sim needs a state, which LIBERO clients do not send",
        ),
    ],
)
def test_what_cannot_be_served_is_one_line_and_exit_code_1(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    assert main(["serve", *words, "--port", "0"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]


@pytest.mark.parametrize("kind", ["openpi", "libero", "reasoner", "generator"])
def test_a_port_in_use_is_said_before_anything_is_loaded(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ["serve", kind, "--checkpoint", str(tiny_checkpoint()), "--port", str(port)]
        assert main(words) == 1
    out, err = capsys.readouterr()
    said = f"error: --port: {port} of 127.0.0.1 is in use; expected another one, or 0 for any that"
    assert err == f"{said} is free\n"
    assert "loading" not in out


def test_a_server_without_a_token_for_all_of_the_network_warns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from cosmos3_ros.cli import main

    assert main(["serve", "openpi", "--host", "0.0.0.0", "--port", "0", "--checkpoint", "/no"]) == 1
    assert "warning: whoever reaches 0.0.0.0 may use this server" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["70000", "-1", "x", "8" * 5000])
def test_a_port_is_a_number_of_16_bit(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cosmos3_ros.cli import main

    with pytest.raises(SystemExit, match="2"):
        main(["serve", "openpi", f"--port={port}"])
    assert f"argument --port: expected 0 to 65535, got '{port[:40]}'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "\n", "two words", "gr\u00fcn", bytes(range(128, 256))])
def test_a_token_is_one_word(tmp_path: Path, text: str | bytes) -> None:
    from cosmos3_ros.serve.auth import read_token

    file = tmp_path / "token"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValueError, match="expected one ASCII word"):
        read_token(file)
