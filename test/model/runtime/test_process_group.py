# SPDX-License-Identifier: Apache-2.0
"""Processes that share a model, its layers or its branches of guidance, say what one says alone."""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cosmos3_ros.model.acceleration.memory_budget import (
    GIB,
    VAE,
    VISION_ENCODER,
    WORKSPACE,
    check_memory,
    needed,
)
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.acceleration.tensor_parallel import check_sizes
from cosmos3_ros.model.checkpoint_io import safetensors_io
from cosmos3_ros.model.checkpoint_io.loader import load_fast
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER, TINY, config_from_json
from cosmos3_ros.model.network.transformer import Transformer
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_batch import infer_batch
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.runtime.process_group import InferenceGroup, leave_processes

DROID_SIM = EMBODIMENTS["droid_sim"]

OPTIONS = {"num_steps": 2, "seed": 3, "soft_rows": 2}
POLITELY = ("nice", "-n", "10")  # several busy processes beside tests that need their time
STATE = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)
# steps of the rows alone beside keys that each process keeps of its branch, guided and not
ROWS_ALONE = {"num_steps": 4, "full_steps": (0,), "guided_steps": 3}
# Of so many processes, in turn: how many split a layer (the rest is guidance), how, and options.
WAYS = {
    2: [
        (1, RuntimeOptions(), {}),
        (1, RuntimeOptions(), ROWS_ALONE),
        (2, RuntimeOptions(), {}),
        (2, RuntimeOptions(compiled=True), {}),
        (2, RuntimeOptions(generator="int8", text="fp8"), {}),
    ],
    4: [(4, RuntimeOptions(), {}), (2, RuntimeOptions(), {})],
}
SMALL_EDGE = dataclasses.replace(
    TINY,
    layers=2,
    heads=4,
    kv_heads=4,
    activation="relu2",
    text_qk_norm=False,
    text_key_norm_for_generator=True,
)


def make(checkpoint, speed, options, team=None):
    model = load_fast(checkpoint, "cpu", torch.float32, speed, team=team)
    return Cosmos3Policy(model, **(OPTIONS | options)), Cosmos3Reasoner(model)


def ask(policy, reasoner):
    """Chunks, the second with decided and soft rows, and an answer, beside the third.

    With latents and scores.
    """
    rng = np.random.default_rng(0)
    images = {view: rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for view in DROID_SIM.views}
    first = policy.infer(Observation(images, STATE, "put the red cube in the bowl", 1))
    rows = first.chunk
    kept = ActionChunk(rows.values[:5], rows.names, rows.stamp, rows.step, rows.discrete)
    second = policy.infer(Observation(images, STATE, "open the drawer", 1), kept)
    prompt, decoders = reasoner.prompt("What do you see?", [images["wrist"]]), reasoner._decoders
    number = decoders.take()
    with torch.inference_mode():
        scores = [
            decoders.read(
                number, prompt.embeds, prompt.positions, prompt.deepstack, prompt.position, 4
            ).clone()
        ]
        scores += [decoders.step(number, int(scores[-1].argmax())).clone() for _ in range(3)]
    decoders.give(number)
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        answer = beside.submit(reasoner.ask, "What do you see?", [images["wrist"]], max_tokens=3)
        third = policy.infer(Observation(images, STATE, "wait", 1))
    chunks = (first, second, third)
    numbers = [chunk.chunk.values for chunk in chunks] + [chunk.latents.numpy() for chunk in chunks]
    return [*numbers, torch.stack(scores).numpy()], answer.result().text


def disagree(team):
    """All but the leader refuse."""

    def refuse():
        with team.agreed():
            if not team.leads:
                raise ValueError("not I")

    with pytest.raises(
        ValueError, match="another process of the team refused" if team.leads else "not I"
    ):
        refuse()


def meet(rank, count, meeting):
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=count,
        timeout=datetime.timedelta(minutes=3),
    )


@contextlib.contextmanager
def others(count, meeting, checkpoint):
    """The other processes, which end by themselves."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    rest = [
        map(str, (sys.executable, __file__, rank, count, meeting, checkpoint))
        for rank in range(1, count)
    ]
    running = [subprocess.Popen([*POLITELY, *command], env=environment) for command in rest]
    try:
        meet(0, count, meeting)
        yield
        assert [process.wait(timeout=60) for process in running] == [0] * (count - 1)
    finally:
        for process in running:
            process.kill()
            process.wait()
        leave_processes()


class Counting:
    """A file of tensors that counts the numbers that are read; slices of it do, too."""

    def __init__(self, content, read):
        self._content, self._read = content, read

    def __enter__(self):
        return Counting(self._content.__enter__(), self._read)

    def __exit__(self, *error):
        return self._content.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._content, name)

    def _counted(self, tensor):
        self._read[0] += tensor.numel()
        return tensor

    def get_tensor(self, name):
        return self._counted(self._content.get_tensor(name))

    def get_slice(self, name):
        return Counting(self._content.get_slice(name), self._read)

    def __getitem__(self, index):
        return self._counted(self._content[index])


@pytest.fixture
def eager(monkeypatch):
    """torch.compile without its code generator; the other processes do the same."""
    monkeypatch.setattr(torch, "compile", traced(torch.compile))


def traced(compiler):
    return lambda function, dynamic: compiler(
        function, dynamic=dynamic, backend="eager", fullgraph=True
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:full_steps")  # of weights that are random
@pytest.mark.parametrize("count", WAYS)
def test_processes_say_together_what_one_says(count, tmp_path, write, eager, monkeypatch):
    checkpoint = tiny_checkpoint() if count == 2 else write(SMALL_EDGE)
    read, opened = [0], safetensors_io.safe_open
    monkeypatch.setattr(
        safetensors_io, "safe_open", lambda *place, **how: Counting(opened(*place, **how), read)
    )
    together, shares = [], []
    with others(count, tmp_path / "meeting", checkpoint):
        for tensor, speed, options in WAYS[count]:
            team, read[0] = InferenceGroup("cpu", tensor), 0
            disagree(team)
            policy, reasoner = make(checkpoint, speed, options, team)
            beside = (policy.model.vae.module, policy.model.vision)
            shares.append(
                read[0]
                - sum(number.numel() for part in beside for number in part.state_dict().values())
            )
            together.append(ask(policy, reasoner))
            with pytest.raises(
                ValueError, match="several processes share answers one after the other"
            ):
                infer_batch(policy, [Observation({}, STATE, "wait", 1)])
            team.leave()
    for (_, speed, options), (numbers, said) in zip(WAYS[count], together, strict=True):
        expected, words = ask(*make(checkpoint, speed, options))
        rounded = speed.generator != "none"  # the shares of a row are rounded by themselves
        for mine, alone in zip(numbers, expected, strict=True):
            limit = 0.1 if rounded else 1e-5
            assert np.abs(mine - alone).max() <= limit * np.abs(alone).max()
        assert rounded or said == words
    config = config_from_json(safetensors_io.read_json(checkpoint / "transformer" / "config.json"))
    assert shares == [share(config, tensor) for tensor, *_ in WAYS[count]]


def share(config, ranks):
    """Numbers of the transformer that one of so many processes needs."""
    with torch.device("meta"):
        whole = Transformer(config)
    split = (
        "attention.q.",
        "attention.k.",
        "attention.v.",
        "attention.out.",
        ".mlp.",
        "head.weight",
    )
    parts = whole.state_dict().items()
    return sum(
        number.numel() // (ranks if any(part in name for part in split) else 1)
        for name, number in parts
    )


def test_a_network_that_cannot_be_dealt_out_is_refused():
    check_sizes(SUPER, 8)
    with pytest.raises(ValueError, match="tensor parallelism: kv_heads 2 cannot be divided by 4"):
        check_sizes(TINY, 4)
    with pytest.raises(ValueError, match="tensor parallelism: mlp 12288 cannot be divided by 5"):
        check_sizes(dataclasses.replace(NANO, heads=40, kv_heads=40), 5)


def test_memory_of_each_gpu():
    weights = needed(SUPER, RuntimeOptions(), 2) - WORKSPACE - 2 * (VAE + VISION_ENCODER) / GIB
    assert weights == pytest.approx(2 * share(SUPER, 2) / GIB, rel=0.002)
    assert needed(SUPER, RuntimeOptions()) > 120
    check_memory(SUPER, RuntimeOptions(), 79.0, ranks=2)
    assert needed(NANO, RuntimeOptions(), 2) < needed(NANO, RuntimeOptions()) / 1.5
    # Rounding begins when all is there.
    assert needed(EDGE, RuntimeOptions(generator="fp8", text="fp8"), 2) == needed(
        EDGE, RuntimeOptions(), 2
    )
    with pytest.raises(
        ValueError, match=r"needs 12\d\.\d GiB, .* 79\.0 GiB free; placement 'both' with 'fp8'"
    ):
        check_memory(SUPER, RuntimeOptions(), 79.0)
    with pytest.raises(
        ValueError, match=r"39\.0 GiB free; placement 'both' split over 4 GPUs would fit \(36\.8"
    ):
        check_memory(SUPER, RuntimeOptions(), 39.0, ranks=2)


def test_what_several_processes_cannot_do_is_refused(tmp_path):
    with others(1, tmp_path / "meeting", ""):
        with pytest.raises(
            ValueError, match="tensor parallelism 3: expected 3 or 6 processes, got 1"
        ):
            InferenceGroup("cpu", 3)
        team = InferenceGroup("cpu")
        with pytest.raises(
            ValueError,
            match=r"RuntimeOptions\.graphs: expected False for a model that several .* share",
        ):
            load_fast(
                tiny_checkpoint(), "cpu", torch.float32, RuntimeOptions(graphs=True), team=team
            )


FAILS = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from torch.distributed.fsdp import fully_shard
from cosmos3_ros.model.runtime.process_group import leave_processes, make_mesh

def threads():
    tasks = Path("/proc/self/task").iterdir()
    return " ".join((task / "comm").read_text().strip() for task in tasks)

def compute():
    layer = torch.nn.Linear(4, 4)
    fully_shard(layer, mesh=make_mesh("cpu", (1,)))
    layer(torch.ones(4)).sum().backward()
    layer.weight.full_tensor()
    raise ValueError("stopped")

leave_processes()  # of none, which is no error
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
try:
    compute()
except ValueError:
    assert "gloo" in threads()
leave_processes()
assert not dist.is_initialized()
print(threads())
"""


def test_the_threads_of_a_group_end_with_it_after_an_error(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FAILS, str(tmp_path / "meeting")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gloo" not in done.stdout


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.compile = traced(torch.compile)
    rank, count = map(int, sys.argv[1:3])
    meet(rank, count, sys.argv[3])
    for tensor, speed, options in WAYS[count]:
        team = InferenceGroup("cpu", tensor)
        disagree(team)
        make(Path(sys.argv[4]), speed, options, team)
        team.follow()
    leave_processes()
