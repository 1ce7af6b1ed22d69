# SPDX-License-Identifier: Apache-2.0
"""Two processes train as one would: copied or sharded weights, LoRA, stopped and resumed.

Run by torchrun, this file is one of the two processes.
"""

import atexit
import dataclasses
import json
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.language.captions import tokenize
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training import train
from cosmos3_ros.training.data import lerobot_reader
from cosmos3_ros.training.data.clip_source import make_clips
from cosmos3_ros.training.data.episodes import Episode, make_clip
from cosmos3_ros.training.data.ground_truth import SIMULATED, GroundTruth
from cosmos3_ros.training.data.lerobot import metadata
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.optim import optimizer
from cosmos3_ros.training.optim.optimizer import Optimizer
from cosmos3_ros.training.optim.process_group import TrainingGroup
from cosmos3_ros.training.options import (
    DataOptions,
    LoraOptions,
    ObjectiveOptions,
    PolicyTrainingOptions,
    ReasonerTrainingOptions,
)
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages.checkpoint_writer import write_transformer
from cosmos3_ros.training.stages.latent_encoder import Encoder
from cosmos3_ros.training.stages.policy import prepare
from cosmos3_ros.training.stages.reasoner import watches
from cosmos3_ros.training.stages.window_dataset import WindowDataset
from cosmos3_ros.training.video_options import VideoOptions

DROID_SIM = EMBODIMENTS["droid_sim"]

SMALL = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
PLAIN = PolicyTrainingOptions(steps=4, batch=3, rate=1e-2, warmup=1, text=False)
pytestmark = pytest.mark.slow
STRIDE = 6
POLITELY = ("nice", "-n", "10")  # several busy processes beside tests that need their time
LORA = LoraOptions(r=3, lora_alpha=6.0)


def make_recipe(start, lora=None, **options):
    policy, objective = (
        dataclasses.replace(PLAIN, **options),
        ObjectiveOptions(grounding=0.1, grounding_layer=1),
    )
    data = DataOptions(dataset="made up", warm_up=2, stride=STRIDE)
    return Recipe(
        str(start), device="cpu", data=data, policy=policy, objective=objective, lora=lora, seed=5
    )


def make_student(start, clips, shard):
    """Of the video side: its clips, teacher and student in one."""
    video = VideoOptions(clips=str(clips), size=(32, 48), frames=5, warm_up=2)
    distill = DistillOptions(
        levels=(1.0, 0.8), steps=3, batch=2, rate=1e-2, warmup=1, rollout=0.5, shard=shard
    )
    idle = PolicyTrainingOptions(steps=0)
    return Recipe(str(start), device="cpu", policy=idle, video=video, distill=distill, seed=5)


def write_clips(folder):
    """Two clips for each process."""
    folder.mkdir()
    lines = []
    for number in range(4):
        frames = np.random.default_rng(number).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
        write_video(folder / f"{number}.mp4", frames, 10)
        lines.append(json.dumps({"video": f"{number}.mp4", "caption": f"noise {number}"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))


def make_episodes(folder="made up", embodiment=DROID_SIM, layout=None, rank=0, size=1, info=None):
    for seed in range(4)[rank::size]:
        random = np.random.default_rng(seed)
        state = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0])
        walk = (state + np.cumsum(random.normal(0, 0.01, (13, 8)), axis=0)).astype(np.float32)
        views = {
            view: random.integers(0, 256, (12, 36, 64, 3), dtype=np.uint8)
            for view in DROID_SIM.views
        }
        truth = np.full((12, GroundTruth.WIDTH), 0.3, np.float32)
        yield Episode(views, walk[:-1], walk[1:], (f"pick up cube {seed}",), truth)


def read_info(folder="made up"):
    """What info.json of that dataset would say: the truth is the simulation's."""
    return {"features": {SIMULATED.feature: {"shape": [GroundTruth.WIDTH]}}}


def stop_after(steps, run):
    """Let a training fail in the middle, at the same place in every process."""
    step, number = Optimizer.step, count()

    def failing(self):
        if next(number) == steps:
            raise InterruptedError
        return step(self)

    Optimizer.step = failing
    try:
        run()
    except InterruptedError:
        pass
    finally:
        Optimizer.step = step


def write_threads(folder):
    """Which threads this process has, when all else of its end is done."""
    tasks = Path("/proc/self/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    (folder / f"threads{torch.distributed.get_node_local_rank()}").write_text("\n".join(names))


def main(start, out):
    """What both processes do."""
    atexit.register(write_threads, out)  # before `join` does: it is called after the group is left
    torch.set_num_threads(1)
    lerobot_reader.read_episodes, metadata.read_info = make_episodes, read_info
    shards = make_recipe(start, shard=True, recompute=True)
    train.train(make_recipe(start), out / "copies")
    train.train(shards, out / "shards")
    often = make_recipe(start, shard=True, recompute=True, save=0.0)
    stop_after(2, lambda: train.train(often, out / "resumed"))
    train.train(shards, out / "resumed")
    train.train(make_recipe(start, LORA, shard=True), out / "lora")
    # A step takes a second by one clock, two by the other.
    seconds, rank = count(), torch.distributed.get_rank()
    optimizer.time = SimpleNamespace(monotonic=lambda: (1 + rank) * next(seconds))
    train.train(make_recipe(start, steps=10**6, seconds=3.0), out / "seconds")
    optimizer.time = time
    train.train(make_recipe(start, LORA, accumulate=2), out / "lora_copies")
    for name, shard in (("student_copies", False), ("student_shards", True)):
        train.train(make_student(start, out / "clips", shard), out / name)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    from cosmos3_ros.model.checkpoint_io.tiny import write_tiny

    folder = tmp_path_factory.mktemp("start") / "small"
    write_tiny(folder, config=SMALL)
    transformer = load_model(folder).transformer
    # in bfloat16, as released ones are
    write_transformer(folder / "transformer", SMALL, transformer.state_dict())
    return folder


@pytest.fixture(scope="module")
def trained(start, tmp_path_factory):
    out = tmp_path_factory.mktemp("together")
    write_clips(out / "clips")
    command = [
        *POLITELY,
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    done = subprocess.run(
        [*command, __file__, start, out], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def state(folder, stem="state"):
    """The tensors of a saved training, shards put together."""
    parts = [
        load_file(file)
        for file in sorted(folder.glob(f"{stem}*.safetensors"), key=lambda f: len(f.stem))
    ]
    shared = [part for part in parts if "weight/" in "".join(part)]
    return {
        name: torch.cat([part[name] for part in shared])
        for name in shared[0]
        if "random" not in name
    }


def last_line(folder):
    return json.loads((folder / "log.jsonl").read_text().splitlines()[-1])


def alone(start, recipe):
    """One process that does the work of two in turn: its averages, losses and gradients' norm."""
    places = []
    for rank in (1, 0):  # as in both processes; then that of the first trains
        torch.manual_seed(recipe.seed + rank)
        model = train.load(recipe, start, TrainingGroup())
        objective, optimizer, policy = prepare(model, recipe, None, TrainingGroup())
        encoder = Encoder(model.vae, DROID_SIM)
        windows = WindowDataset(encoder.shape, torch.device("cpu"))
        clips = [
            make_clip(episode, DROID_SIM, STRIDE) for episode in list(make_episodes())[rank::2]
        ]
        windows.add(encoder.encode(clips))
        captions = ["", *map(policy.caption, windows.instructions)]
        prompts = [tokenize(model.tokenizer, caption) for caption in captions]
        places.append(
            [windows, objective.pad_prompts(prompts, windows.shape, 17), torch.get_rng_state()]
        )
    for _ in range(recipe.policy.steps):
        total = {}
        for place in places:
            torch.set_rng_state(place[2])
            losses = objective(
                place[0].draw(recipe.policy.batch, recipe.objective.dropout), place[1]
            )
            (losses["total"] / 2).backward()
            place[2] = torch.get_rng_state()
            total = {
                name: total.get(name, 0.0) + float(loss.detach()) / 2
                for name, loss in losses.items()
            }
        norm = float(optimizer.step())
    return optimizer, {**total, "norm": norm}


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_two_processes_train_as_one_with_both_batches(kind, start, trained, monkeypatch):
    monkeypatch.setattr(metadata, "read_info", read_info)
    optimizer, numbers = alone(start, make_recipe(start))
    together, line = state(trained / kind), last_line(trained / kind)
    for name, number in numbers.items():
        assert line[name] == pytest.approx(number, rel=1e-4, abs=1e-5), name
    for name, weight in optimizer.named.items():
        assert torch.allclose(together[f"weight/{name}"], weight, atol=1e-4), name
        assert torch.allclose(together[f"average/{name}"], optimizer.averaged()[name], atol=1e-4), (
            name
        )


def test_no_thread_of_a_group_outlives_it(trained):
    for rank in range(2):
        names = (trained / f"threads{rank}").read_text()
        assert names
        assert "gloo" not in names, "it would abort the process where Python ends"


def test_students_and_their_teachers_are_cut_as_well(start, trained):
    copies, shards = (
        state(trained / f"student_{kind}", "student") for kind in ("copies", "shards")
    )
    assert set(copies) == set(shards)
    begun = load_model(start, dtype=torch.float32).transformer.state_dict()
    moved = 0.0
    for name, weight in copies.items():
        assert torch.allclose(weight, shards[name], atol=1e-4), name
        if name.startswith("weight/"):
            moved += float((weight - begun[name.removeprefix("weight/transformer.")]).abs().sum())
    assert moved > 1.0
    about = json.loads((trained / "student_shards/checkpoint/checkpoint.json").read_text())
    assert about["student"]["frames"] == 5


def test_a_stopped_training_goes_on_exactly_in_all_processes(trained):
    whole, resumed = state(trained / "shards"), state(trained / "resumed")
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    with pytest.raises(ValueError, match=r"in 2 shard\(s\), expected 1 as now"):
        Optimizer({"part": torch.nn.Linear(2, 2)}, PLAIN).resume(
            trained / "shards" / "state.safetensors"
        )


def test_a_training_that_ends_by_time_ends_at_one_step(trained):
    steps = {last_line(trained / "seconds")["step"]}
    for name in ("state", "state-1"):
        with safe_open(trained / "seconds" / f"{name}.safetensors", framework="pt") as content:
            steps.add(int(content.metadata()["step"]))
    assert steps == {3}


def test_the_checkpoint_holds_the_averages_and_acts(start, trained):
    average = state(trained / "shards")
    written = load_policy(trained / "shards" / "checkpoint").model.transformer.state_dict()
    begun = load_policy(start).model.transformer.state_dict()
    for name, tensor in written.items():
        wanted = average.get(f"average/transformer.{name}", begun[name])
        assert torch.allclose(tensor, wanted, rtol=1e-2, atol=1e-6), name  # bfloat16
        assert torch.equal(tensor, begun[name]) == name.startswith(("text.", "embed.")), name
    policy, episode = load_policy(trained / "shards" / "checkpoint"), next(make_episodes())
    seen = {view: frames[0] for view, frames in episode.views.items()}
    chunk = policy.infer(Observation(seen, episode.states[0], "pick up cube 1", 0)).chunk
    assert np.isfinite(chunk.values).all()


def test_of_an_adapted_model_only_little_is_trained_and_saved(trained):
    for kind in ("lora", "lora_copies"):
        learned = {
            name.removeprefix("weight/")
            for name in state(trained / kind)
            if name.startswith("weight/")
        }
        assert all(
            ".lora_" in name or name.startswith(("transformer.action_", "objective."))
            for name in learned
        )
        adapter = load_file(trained / kind / "adapter" / "adapter_model.safetensors")
        assert len(adapter) == sum(name.startswith("transformer.") for name in learned)
        for name, tensor in adapter.items():
            assert tensor.abs().max() > 0, name
        load_policy(trained / kind / "checkpoint")


def test_every_process_reads_its_share(monkeypatch):
    monkeypatch.setattr(metadata, "read_info", read_info)
    monkeypatch.setattr(lerobot_reader, "read_episodes", make_episodes)
    options = DataOptions(dataset="made up")
    shares = [
        [clip.instructions[0] for clip in make_clips(options, DROID_SIM, rank, 3)]
        for rank in range(3)
    ]
    assert shares == [["pick up cube 0", "pick up cube 3"], ["pick up cube 1"], ["pick up cube 2"]]
    asked = ReasonerTrainingOptions(tasks=("reach", "lift"), episodes=3)
    split = [watches(asked, (32, 32), TrainingGroup(rank, 2)) for rank in range(2)]
    assert [len(part) for part in split] == [4, 2]
    assert sorted(map(repr, split[0] + split[1])) == sorted(
        map(repr, watches(asked, (32, 32), TrainingGroup()))
    )


def test_what_shards_cannot_do_is_refused(start, tmp_path):
    with pytest.raises(ValueError, match=r"policy\.shard: expected text false"):
        make_recipe(start, shard=True, muon=1e-3)
    with pytest.raises(ValueError, match="expected several processes"):
        train.train(make_recipe(start, shard=True), tmp_path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
