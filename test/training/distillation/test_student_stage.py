# SPDX-License-Identifier: Apache-2.0
"""Students of a policy and of the video side: nearer to their teacher, and labeled."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.student import Student, read_student
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.generation.checkpoint_kind import read_kind
from cosmos3_ros.model.generation.options import GenerateOptions
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training import train
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.options import DataOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.video_options import VideoOptions

DROID_SIM = EMBODIMENTS["droid_sim"]
IDLE = PolicyTrainingOptions(steps=0)
DISTILL = DistillOptions(levels=(1.0, 0.8), steps=2, batch=4, warmup=1, refresh=1000)


def observations(episode):
    return [
        Observation(
            {view: frames[step] for view, frames in episode.views.items()},
            episode.states[step],
            episode.instructions[0],
            0,
        )
        for step in (0, 6)
    ]


def chunks(folder, seen, **options):
    policy = load_policy(folder, deterministic=True, **options)
    return np.stack([policy.infer(one).chunk.values for one in seen])


def test_a_student_of_a_policy_has_its_teachers_guidance_inside(
    tmp_path, tiny_small, monkeypatch, episode
):
    made = episode(20)
    monkeypatch.setattr(
        train, "make_clips", lambda *_: (make_clip(one, DROID_SIM, 4) for one in [made])
    )
    recipe = Recipe(
        start=str(tiny_small),
        device="cpu",
        policy=IDLE,
        data=DataOptions(warm_up=1),
        distill=dataclasses.replace(DISTILL, guidance=4.0, steps=40, rate=3e-3, substeps=2),
        seed=1,
    )
    folder = train.train(recipe, tmp_path, lambda _: None)
    seen = observations(made)
    exact = chunks(tiny_small, seen, num_steps=16, guidance=4.0)
    few = chunks(tiny_small, seen, num_steps=2, guidance=1.0)
    student = chunks(folder, seen)  # whatever it is asked for: levels and guidance are its own
    assert np.abs(student - exact).mean() < 0.8 * np.abs(few - exact).mean()
    assert np.array_equal(student, chunks(folder, seen, num_steps=9, guidance=7.0))
    with pytest.raises(ValueError, match=r"full_steps: expected none for a few-step student"):
        load_policy(folder, preset="faster")
    modes = ("policy", "forward_dynamics", "inverse_dynamics")
    assert read_student(folder) == Student("small", 4.0, modes)
    assert "of small at guidance 4, for policy, forward_dynamics" in report(folder).text
    with pytest.raises(ValueError, match=r"mode: expected one of policy, .* got text_to_video"):
        read_kind(folder).complete(GenerateOptions(prompt="a cup"))
    again = dataclasses.replace(recipe, start=str(folder))
    with pytest.raises(ValueError, match=r"start: expected a teacher, .* few-step student"):
        train.train(again, tmp_path / "again", lambda _: None)


@pytest.fixture
def clips(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    frames = random.integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    write_video(folder / "a.mp4", frames, 10)
    (folder / "captions.jsonl").write_text('{"video": "a.mp4", "caption": "noise"}')
    return folder


def test_a_student_of_the_video_side(tmp_path, tiny_small, clips):
    video = VideoOptions(clips=str(clips), size=(32, 48), frames=5, warm_up=1)
    recipe = Recipe(
        start=str(tiny_small), device="cpu", policy=IDLE, video=video, distill=DISTILL, seed=1
    )
    folder = train.train(recipe, tmp_path / "out", lambda _: None)
    kind = read_kind(folder)
    complete = kind.complete(GenerateOptions(prompt="a cup", image="a.png"))
    assert (complete.size, complete.frames, complete.fps) == ((32, 48), 5, 10.0)
    assert (complete.steps, complete.guidance, kind.levels) == (2, 1.0, (1.0, 0.8))
    with pytest.raises(ValueError, match=r"policy: expected a checkpoint for one, .* student for"):
        load_policy(folder)
    before, after = (
        load_model(path, dtype=torch.float32).transformer.state_dict()
        for path in (tiny_small, folder)
    )
    assert torch.equal(before["action_in.weight"].bfloat16(), after["action_in.weight"].bfloat16())
    changed = [name for name in before if not torch.allclose(before[name], after[name], atol=1e-5)]
    assert any(name.startswith("generator.layers") for name in changed)


def test_a_label_that_is_wrong_is_named(tmp_path):
    (tmp_path / "checkpoint.json").write_text(json.dumps({"student": {"teacher": "x"}}))
    with pytest.raises(ValueError, match=r"student: expected teacher, guidance, modes, size"):
        read_student(tmp_path)
    (tmp_path / "checkpoint.json").write_text(json.dumps({"student": "y" * 5000}))
    with pytest.raises(ValueError, match=r"got 'y{59}$"):
        read_student(tmp_path)
    right = {"teacher": "x", "guidance": 1, "modes": ["policy"], "size": [8, 8]}
    for wrong in (
        *({"guidance": {"a": 1}}, {"guidance": 10**30}, {"teacher": 3}, {"modes": [1]}),
        *({"size": [8]}, {"size": [8, 0.5]}, {"frames": True}, {"fps": "fast"}),
    ):
        (tmp_path / "checkpoint.json").write_text(json.dumps({"student": {**right, **wrong}}))
        with pytest.raises(ValueError, match=r"student: expected teacher"):
            read_student(tmp_path)
    (tmp_path / "checkpoint.json").write_text(json.dumps({"student": right}))
    assert read_student(tmp_path) == Student("x", 1, ("policy",), (8, 8))
    (tmp_path / "checkpoint.json").write_text("{}")
    assert read_student(tmp_path) is None
