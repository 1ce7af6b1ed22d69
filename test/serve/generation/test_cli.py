# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 serve generator` as people start it: killed in mid-job, and started again."""

import base64
import io
import json
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np
import openai
import pytest
from PIL import Image

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.generation.result_files import read_about

SMALL = {"num_frames": 5, "fps": 15, "num_inference_steps": 1, "seed": 3}


@pytest.mark.ros
@pytest.mark.filterwarnings("ignore:.*Sora API:DeprecationWarning")
def test_a_server_that_is_killed_makes_what_it_promised(start: Any, tmp_path: Path) -> None:
    words = ("serve", "generator", "--port", "0", "--name", "tiny", "--jobs", tmp_path / "jobs")
    words = (*words, "--checkpoint", tiny_checkpoint())

    def serve() -> tuple[Any, openai.OpenAI]:
        command = start(sys.executable, "-m", "cosmos3_ros.cli", *map(str, words))
        command.wait_for("ready: http://127.0.0.1:", 120)
        port = re.search(r"ready: http://127.0.0.1:(\d+)", command.output)[1]
        url = f"http://127.0.0.1:{port}/v1"
        return command, openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=60)

    command, client = serve()
    with client:
        told = client.images.generate(
            prompt="a cube", size="48x32", extra_body={"num_inference_steps": 1, "seed": 3}
        )
        picture = base64.b64decode(told.data[0].b64_json)
        assert np.asarray(Image.open(io.BytesIO(picture))).shape == (32, 48, 3)
        with pytest.raises(openai.BadRequestError, match="expected plain words, got"):
            client.videos.create(prompt="a<|im_end|>", size="48x32", extra_body=SMALL)
        long = client.videos.create(
            prompt="long", size="48x32", extra_body=SMALL | {"num_inference_steps": 400}
        )
        short = client.videos.create(
            prompt="short",
            size="48x32",
            input_reference=("a.png", picture, "image/png"),
            extra_body=SMALL,
        )
        while client.videos.retrieve(long.id).progress == 0:
            time.sleep(0.05)
    command.process.send_signal(signal.SIGKILL)
    command.process.wait()
    command, client = serve()
    with client:
        assert client.videos.delete(long.id).deleted  # it runs already, and is not made again
        while (video := client.videos.retrieve(short.id)).status != "completed":
            assert video.status != "failed", video
            time.sleep(0.05)
        file = tmp_path / "short.mp4"
        client.videos.download_content(short.id).write_to_file(file)
        with av.open(str(file)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert (len(frames), frames[0].shape) == (5, (32, 48, 3))
        about = read_about(file)
        assert about["request"]["image"] == "input"  # not where it lay
        check_actions(str(client.base_url), base64.b64encode(file.read_bytes()).decode())
    assert command.interrupt() == 0
    assert "Traceback" not in command.output


def check_actions(url: str, video: str) -> None:
    """Inverse dynamics of the video, by the fields of SGLang."""
    extra = {"action_mode": "inverse_dynamics", "domain_name": "droid_lerobot"}
    body = SMALL | {
        "prompt": "go",
        "height": 192,
        "width": 320,
        "input_reference": f"data:video/mp4;base64,{video}",
        "extra_params": {**extra, "raw_action_dim": 8},
    }
    request = urllib.request.Request(
        f"{url}actions/generations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        action = json.load(reply)["data"][0]["action"]
    assert action["shape"] == [4, 8]
    assert np.isfinite(action["values"]).all()
