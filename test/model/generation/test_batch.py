# SPDX-License-Identifier: Apache-2.0
"""Batches: killed and resumed, what fails is recorded and passed over, several processes share."""

import json
import signal
import subprocess
import sys

import pytest
import torch

from cosmos3_ros.model.generation.batch import check_name, read_batch
from cosmos3_ros.model.generation.worker import Worker

SMALL = {"height": 32, "width": 48, "frames": 5, "fps": 15, "steps": 2}
RUN = "import sys; from cosmos3_ros.cli import main; sys.exit(main(sys.argv[1:]))"


def write_lines(file, *lines):
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def contents(folder):
    """Every file but the reports, which hold how long it took, and what those say else."""
    found = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".json"}
    for file in folder.glob("*.json"):
        fields = json.loads(file.read_text())
        fields.pop("seconds", None)
        found[file.name] = fields
    return found


def test_killed_in_the_middle_it_resumes_to_the_same_files(tiny, generate, tmp_path, wait_until):
    lines = [{**SMALL, "prompt": f"a {color} cube", "name": color} for color in ("red", "green")]
    lines.append({**SMALL, "prompt": "a blue cube", "name": "blue", "steps": 150})
    batch = write_lines(tmp_path / "requests.jsonl", *lines)
    words = ("--batch", batch, "--checkpoint", tiny)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", RUN, "generate", *map(str, words), "--out", str(killed)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: (killed / "green.json").exists() or process.poll() is not None, "green", 300.0
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "blue.json").exists()
    first = (killed / "red.mp4").stat().st_mtime_ns
    code, said = generate("--batch", batch, "--out", killed)
    assert code == 0
    assert "1 made, 2 there already, 0 failed" in said
    assert (killed / "red.mp4").stat().st_mtime_ns == first
    assert generate("--batch", batch, "--out", whole)[0] == 0
    assert contents(killed) == contents(whole)
    assert sorted(contents(whole))[:3] == ["blue.json", "blue.mp4", "blue.sheet.png"]


def test_what_fails_is_recorded_and_passed_over(generate, tmp_path):
    batch = tmp_path / "requests.jsonl"
    write_lines(
        batch,
        {**SMALL, "prompt": "one", "name": "good"},
        {**SMALL, "prompt": "two", "guidanse": 3},
        {**SMALL, "prompt": "three", "image": str(tmp_path / "none.png"), "name": "missing"},
        {**SMALL, "prompt": "word " * 5000, "name": "long"},
        {**SMALL, "prompt": "five", "name": "good"},
        {**SMALL, "prompt": "six", "name": "../six"},
        {**SMALL, "prompt": "seven", "frames": 6, "name": "odd"},
        {**SMALL, "prompt": "eight", "height": 16 * 10**6, "name": "vast"},
    )
    with batch.open("a") as file:
        file.write('{"prompt": \n[1]\n{"prompt": "nine", "steps": "2"}\n')
        file.write('{"prompt": "ten", "guidance": NaN}\n')
    out = tmp_path / "out"
    code, said = generate("--batch", batch, "--out", out)
    assert code == 1
    assert "1 made, 0 there already, 11 failed" in said
    failed = {
        file.name.removesuffix(".failed.json"): json.loads(file.read_text())["error"]
        for file in out.glob("*.failed.json")
    }
    expected = {
        "00001": "requests.jsonl:2: unknown field 'guidanse', did you mean 'guidance'?",
        "missing": f"no file {tmp_path / 'none.png'}",
        "long": "prompt: 15039 tokens, expected at most 4096",
        "00004": "requests.jsonl:5: name: 'good' stands twice",
        "00005": "requests.jsonl:6: name: expected letters, digits",
        "odd": "requests.jsonl:7: frames: expected 4 k + 1 (1, 5, 9, ...), at most 3001, got 6",
        "vast": "5 frames of 16000000 x 48 need",
        "00008": "requests.jsonl:9: expected a JSON object, got '{\"prompt\": '",
        "00009": "requests.jsonl:10: expected a JSON object, got list",
        "00010": "requests.jsonl:11: steps: expected int, got str '2'",
        "00011": "requests.jsonl:12: guidance: expected a finite number, got nan",
    }
    assert failed.keys() == expected.keys()
    for name, words in expected.items():
        assert failed[name].startswith(words), (name, failed[name])
        assert "\n" not in failed[name]
    assert not (tmp_path / "six.json").exists()
    # again: what is there stays, what has been mended is made, and its record goes
    text = batch.read_text().replace(json.dumps(str(tmp_path / "none.png")), '""')
    text = text.replace("../six", "six")
    batch.write_text(text)
    code, said = generate("--batch", batch, "--out", out)
    assert "2 made, 1 there already, 9 failed" in said
    assert (out / "missing.mp4").exists()
    assert (out / "six.mp4").exists()
    for name in ("missing", "00005"):  # the latter by its line, its name could not be used
        assert not (out / f"{name}.failed.json").exists()


def test_processes_of_torchrun_share_the_requests(generate, tmp_path, monkeypatch):
    lines = [{**SMALL, "prompt": f"cube {number}", "frames": 1} for number in range(3)]
    batch, out = write_lines(tmp_path / "requests.jsonl", *lines), tmp_path / "out"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for number, names in (("1", {"00001"}), ("0", {"00000", "00001", "00002"})):
        monkeypatch.setenv("RANK", number)
        assert generate("--batch", batch, "--out", out)[0] == 0
        assert {file.stem for file in out.glob("*.png")} == names


def test_one_request_is_not_for_several_processes(generate, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, said = generate("a", "--out", tmp_path / "out")
    assert code == 1
    assert said.strip() == "error: expected a batch for 2 processes, got one request"


def test_memory_that_runs_out_is_a_failure_of_that_request(generate, tmp_path, monkeypatch):
    def full(*rest):
        raise torch.OutOfMemoryError

    batch = write_lines(tmp_path / "requests.jsonl", {**SMALL, "prompt": "a", "frames": 1})
    monkeypatch.setattr("cosmos3_ros.model.generator.Generator.decode", full)
    code, said = generate("--batch", batch, "--out", tmp_path / "out")
    assert code == 1
    assert "00000: the GPU's memory is used up, " in said
    assert "0 made, 0 there already, 1 failed" in said


def test_a_batch_that_is_there_loads_nothing(generate, tmp_path, monkeypatch):
    batch = write_lines(tmp_path / "requests.jsonl", {**SMALL, "prompt": "a", "frames": 1})
    assert generate("--batch", batch, "--out", tmp_path / "out")[0] == 0
    monkeypatch.setattr(Worker, "__init__", lambda *rest: pytest.fail("loaded"))
    code, said = generate("--batch", batch, "--out", tmp_path / "out")
    assert code == 0
    assert "0 made, 1 there already" in said


def test_options_of_the_command_are_defaults_of_the_lines(tmp_path):
    batch = write_lines(
        tmp_path / "b.jsonl", {"prompt": "a"}, {"prompt": "b", "steps": 7, "guidance": None}
    )
    jobs = read_batch(batch, {"steps": 3, "guidance": 2.0})
    assert [(job.options.steps, job.options.guidance) for job in jobs] == [(3, 2.0), (7, None)]
    assert [job.name for job in jobs] == ["00000", "00001"]


def test_a_structured_caption_may_stand_in_a_line_as_it_is(tmp_path):
    (job,) = read_batch(write_lines(tmp_path / "b.jsonl", {"prompt": {"subjects": []}}), {})
    assert json.loads(job.options.prompt) == {"subjects": []}


def test_batches_that_cannot_be_read_are_refused_in_one_line(generate, tmp_path):
    empty, binary = tmp_path / "empty.jsonl", tmp_path / "binary.jsonl"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for file, words in (
        (tmp_path / "none.jsonl", "No such file"),
        (empty, "expected requests, one JSON object a line, got none"),
        (binary, "expected JSON lines in UTF-8"),
    ):
        code, said = generate("--batch", file, "--out", tmp_path / "out")
        assert code == 1
        assert said.startswith("error: ")
        assert words in said
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "a b", "x.json", "x.sheet", "-x", "a" * 101]
)
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(ValueError, match="name: expected letters"):
        check_name(name)
