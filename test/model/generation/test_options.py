# SPDX-License-Identifier: Apache-2.0
"""Wrong requests are one line and exit code 1, before anything is loaded or written."""

import re

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.generation import place
from cosmos3_ros.model.generation.options import GenerateOptions
from cosmos3_ros.model.generation.result_files import write_video
from cosmos3_ros.model.generation.worker import Worker


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "prompt, prompt_file: expected one of them, got none"),
        (["  "], "prompt, prompt_file: expected one of them, got none"),
        (["a", "--prompt-file", "b.txt"], "prompt, prompt_file: expected one of them, got both"),
        (["--prompt-file", "none.txt"], "none.txt: No such file or directory"),
        (["a", "--height", "100", "--width", "128"], "height, width: expected multiples of 16"),
        (["a", "--height", "96"], "height, width: expected multiples of 16, got 96 and None"),
        (["a", "--height", "0", "--width", "0"], "height, width: expected multiples of 16"),
        (["a", "--tier", "480", "--height", "96", "--width", "96"], "height, width: expected nei"),
        (["a", "--tier", "300"], "tier: expected one of 256, 480, 704, 720, 768, got '300'"),
        (["a", "--tier", "256", "--aspect", "2,3"], "aspect: expected one of 1,1, 4,3, 3,4"),
        (["a", "--aspect", "16:9"], "aspect: expected one of"),
        (["a", "--frames", "12"], "frames: expected 4 k + 1 (1, 5, 9, ...), at most 3001, got 12"),
        (["a", "--frames", "-3"], "frames: expected 4 k + 1"),
        (["a", "--frames", "x"], "frames: expected int, got 'x'"),
        (["a", "--fps", "0"], "fps: expected 0.1 to 240, got 0.0"),
        (["a", "--fps", "inf"], "fps: expected float, got 'inf'"),
        (["a", "--guidance", "nan"], "guidance: expected float, got 'nan'"),
        (["a", "--steps", "0"], "steps: expected 1 to 1000, got 0"),
        (["a", "--shift", "-1"], "shift: expected 0, or 0.001 to 1000, got -1.0"),
        (["a", "--seed", "-1"], "seed: expected 0 or more, got -1"),
        (["a", "--seed", "4294967296"], "seed: expected less than 2^32"),
        (["a", "--fps", "1e-9"], "fps: expected 0.1 to 240, got 1e-09"),
        (["a", "--steps", "1001"], "steps: expected 1 to 1000, got 1001"),
        (["a", "--shift", "1e-300"], "shift: expected 0, or 0.001 to 1000, got 1e-300"),
        (["a", "--guidance", "1e308"], "guidance: expected -100 to 100, got 1e+308"),
        (["a", "--mode", "transfer"], "mode: expected one of text_to_image, text_to_video"),
        (["a", "--mode", "image_to_video"], "image: expected for mode image_to_video"),
        (["a", "--mode", "text_to_image", "--frames", "5"], "frames: 5 do not fit mode text_to_"),
        (["a", "--keep", "middle"], "keep: expected 'first' or 'last', got 'middle'"),
        (["a", "--image", "none.png"], "no file none.png"),
        (["a", "--video", "none.mp4"], "video: no file none.mp4"),
        (["a", "--image", "text.png"], "text.png is neither image nor video"),
        (["a", "--image", "clip.mp4"], "image: expected an image, clip.mp4 is a video"),
        (["a", "--video", "text.png"], "video: text.png is not readable as a video"),
        (["a", "--video", "clip.mp4", "--fps", "2"], "video: expected 5 frames at 2 per second"),
        (["a", "--image", "p.png", "--video", "clip.mp4"], "image, video: expected at most one"),
        (["a", "--name", "../x"], "name: expected letters"),
        (["a", "--name", "x", "--batch", "b.jsonl"], "name: expected none beside a batch"),
        (["a", "--device", "tpu"], "parameter 'device': expected auto, cpu, cuda"),
        (["a", "--placement", "reasoner"], "parameter 'placement': expected both or policy"),
        (
            ["a", "--placement", "polcy"],
            "parameter 'placement': expected both or policy, got 'polcy', did you mean 'policy'",
        ),
        (["a", "--upsample", "--placement", "policy"], "upsample: expected placement 'both'"),
        (["a", "--frames", "3001", "--tier", "768"], "3001 frames of"),
    ],
)
def test_wrong_requests_are_one_line(generate, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Worker, "__init__", lambda *rest: pytest.fail("loaded"))
    monkeypatch.setattr(place, "free_memory", lambda device: 8.0)
    (tmp_path / "text.png").write_text("this is no picture")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "p.png")
    write_video(tmp_path / "clip.mp4", np.zeros((5, 32, 32, 3), np.uint8), 15, {})
    code, printed = generate(*words, "--out", tmp_path / "out")
    assert code == 1
    (line,) = printed.splitlines()
    assert line.startswith(f"error: {said}")
    assert not [*tmp_path.glob("out/*")]


def test_a_folder_that_cannot_be_written_is_said_before_loading(generate, tmp_path, monkeypatch):
    monkeypatch.setattr(Worker, "__init__", lambda *rest: pytest.fail("loaded"))
    (tmp_path / "file").write_text("")
    code, said = generate("a", "--out", tmp_path / "file")
    assert code == 1
    assert said.strip() == f"error: {tmp_path / 'file'}: File exists"
    code, said = generate("a", "--out", "/proc/none")
    assert code == 1
    assert re.fullmatch(r"error: /proc/none: \S.*", said.strip())


def test_another_request_of_the_same_name_is_refused(generate, tmp_path):
    small = ("--height", 32, "--width", 48, "--frames", 1, "--steps", 1, "--out", tmp_path)
    assert generate("a", *small)[0] == 0
    before = (tmp_path / "result.png").read_bytes()
    code, said = generate("a", *small)
    assert (code, "1 there already" in said) == (0, True)
    code, said = generate("a", *small, "--seed", 1)
    assert code == 1
    assert "is the result of another request, expected the same request, another name" in said
    assert (tmp_path / "result.png").read_bytes() == before


def test_a_prompt_may_come_from_a_file(tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text(" a red cube\n")
    assert GenerateOptions(prompt_file=str(file)).text() == "a red cube"
    file.write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"prompt\.txt: expected text in UTF-8"):
        GenerateOptions(prompt_file=str(file)).text()
    file.write_text(" ")
    with pytest.raises(ValueError, match=r"prompt\.txt: expected a prompt, got an empty file"):
        GenerateOptions(prompt_file=str(file)).text()
