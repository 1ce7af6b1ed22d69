# SPDX-License-Identifier: Apache-2.0
"""Training without a simulation: the objective, the optimizer, recipes, and one episode learned by heart."""

import collections
import dataclasses
import json
import threading
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.embodiment import DROID_SIM
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.training import train
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.clip_source import _whole, make_clips
from cosmos3_ros.training.data.episodes import Episode, make_clip, part, window_rows
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.optim.muon import Muon
from cosmos3_ros.training.optim.optimizer import Optimizer, average_exponent
from cosmos3_ros.training.options import (
    DataOptions,
    DecoderOptions,
    ObjectiveOptions,
    OptimizerOptions,
    PolicyTrainingOptions,
)
from cosmos3_ros.training.recipe import Recipe, read_recipe, write_recipe
from cosmos3_ros.training.stages.checkpoint_writer import write_tensors, write_transformer
from cosmos3_ros.training.stages.flow_matching_loss import (
    INVERSE,
    Objective,
    draw_modes,
    noise_levels,
    noisy_parts,
)
from cosmos3_ros.training.stages.forward_dynamics import Imagination
from cosmos3_ros.training.stages.latent_encoder import Encoder, Feed
from cosmos3_ros.training.stages.window_dataset import Windows
from cosmos3_ros.training.train import begin, train_policy

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"
SMALL = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)


def episode(length=24, seed=0):
    random = np.random.default_rng(seed)
    state = (
        np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0])
        + random.uniform(-0.1, 0.1, 8) * [1] * 7
        + [0]
    )
    walk = np.cumsum(random.normal(0, 0.01, (length + 1, 8)), axis=0) + state
    walk[:, 7] = np.arange(length + 1) > length / 2
    views = {
        view: random.integers(0, 256, (length, 36, 64, 3), dtype=np.uint8)
        for view in DROID_SIM.views
    }
    states, actions = walk[:-1].astype(np.float32), walk[1:].astype(np.float32)
    return Episode(
        views,
        states,
        actions,
        ("pick up the red cube",),
        np.full((length, GroundTruth.WIDTH), 0.3, np.float32),
    )


def test_a_clip_holds_its_last_action_and_frame_after_the_end():
    made = episode(20)
    clip = make_clip(made, DROID_SIM, stride=19)
    assert clip.starts.tolist() == [0, 19]
    assert clip.window(17)[1].tolist() == [19] * 17
    commands = DROID_SIM.decode_actions(clip.rows[1, 1:], made.states[19])
    assert np.allclose(commands, made.actions[19], atol=1e-5)
    assert np.allclose(clip.rows[1, 0], DROID_SIM.encode_state(made.states[19]))


def test_noise_levels_cover_everything_and_lean_towards_noise():
    torch.manual_seed(0)
    plain, pushed = (noise_levels(20_000, shift, torch.device("cpu")) for shift in (1.0, 5.0))
    assert 0 <= plain.min() < 0.01
    assert 0.99 < pushed.max() <= 1
    assert plain.mean() < pushed.mean() - 0.2


def test_what_is_known_is_never_noisy():
    torch.manual_seed(0)
    options = ObjectiveOptions(prefix=0.5, longest=4)
    modes = draw_modes(3000, options, torch.device("cpu"))
    frames, rows = noisy_parts(modes, 5, 17, 1, options)
    assert not frames[:, 0].any()
    assert not rows[:, 0].any()
    assert not frames[modes == INVERSE].any()
    assert rows[modes == INVERSE][:, 1:].all()
    decided = (~rows[modes == 0]).sum(1) - 1
    assert decided.max() == 4
    assert 0.4 < (decided > 0).float().mean() < 0.6
    assert np.allclose(
        [(modes == mode).float().mean() for mode in range(3)], options.modes, atol=0.03
    )


def test_muon_steps_as_torch_does():
    torch.manual_seed(0)
    shapes = [(24, 8), (8, 24), (16, 16), (24, 8)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    optimizers = (
        Muon(ours, 0.02, weight_decay=0.1),
        torch.optim.Muon(theirs, 0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        assert (one - 1).abs().max() > 0.01
        assert torch.allclose(one, other, atol=2e-3)  # bfloat16 inside
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.ones(3))], 0.02)


def test_what_was_not_seen_is_all_noise(tiny_small):
    model = load_policy(tiny_small).model
    whole = episode(24, seed=1)
    looks = np.array([0, 2, 9])
    glimpses = dataclasses.replace(
        whole, views={view: frames[looks] for view, frames in whole.views.items()}, looks=looks
    )
    encoder = Encoder(model.vae, DROID_SIM)
    windows = Windows(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([make_clip(glimpses, DROID_SIM)]))
    only = windows.draw(4, 0.0)
    windows.add(encoder.encode([make_clip(whole, DROID_SIM, stride=8)]))
    batch = windows.draw(7, 0.0)
    assert not only.whole.any()
    assert batch.whole.tolist() == [True] * 3 + [False] * 4
    assert batch.latents.shape[2] == windows.shape[0] == 5
    assert batch.latents[~batch.whole][:, :, :1].abs().sum() > 0
    objective = Objective(
        model.transformer, DROID_SIM, ObjectiveOptions(modes=(1.0, 0.0, 0.0), prefix=0.0)
    )
    text = objective.read([[1], [2, 3]], windows.shape, 17)
    told = []
    for later in (0.0, 100.0):  # what is said to come later must not matter
        only.latents[:, :, 1:] = later
        torch.manual_seed(0)
        told.append(objective(only, text))
    assert float(told[0]["vision"]) == 0
    assert float(told[0]["action"]) == float(told[1]["action"]) > 0


def test_training_sees_what_the_policy_sees(tiny_small):
    """Latents of a picture that was padded for the autoencoder, and the padding cut off."""
    panels = tuple(
        dataclasses.replace(panel, top=0, left=0, height=40, width=56)
        for panel in DROID_SIM.canvas.panels
    )
    canvas = dataclasses.replace(
        DROID_SIM.canvas, panels=panels, composite=(40, 56), content=(40, 56), size=(48, 64)
    )
    body = dataclasses.replace(DROID_SIM, canvas=canvas)
    policy, made = load_policy(tiny_small, body), episode(17)
    encoder = Encoder(policy.model.vae, body)
    windows = Windows(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([make_clip(made, body, stride=17)]))
    picture = body.compose({view: frames[0] for view, frames in made.views.items()})
    seen = policy._encode(torch.from_numpy(picture))
    assert windows.shape == (5, 2, 3)
    # kept in bfloat16
    assert torch.allclose(windows.draw(1, 0.0).latents[:, :, :1], seen, atol=0.02)


@pytest.mark.parametrize("steps", [0, 1])
def test_what_is_imagined_for_many_at_once_is_what_the_policy_imagines(
    tiny_small, steps, monkeypatch
):
    """All rows decided, begun without noise; the prompts are of different lengths."""
    policy = load_policy(tiny_small, guidance=1.0, deterministic=True, num_steps=steps or 4)
    looks = Cosmos3Policy(policy.model, guidance=1.0, future_steps=steps)
    shape, body, made = policy._shape, policy.embodiment, [episode(24, seed) for seed in range(3)]
    ways = ["lift it", "put the small red cube down again, please", "lift it"]
    begins = [begin_of(each, way) for each, way in zip(made, ways, strict=True)]
    seen = torch.cat([policy._encode(policy._compose(each)) for each in begins])
    latents = torch.cat([seen, torch.full((3, shape[0], shape[1] - 1, *shape[2:]), 9.0)], dim=2)
    rows = torch.from_numpy(np.stack([window_rows(each, body, 0) for each in made]))
    found = Imagination(looks)(latents, rows, ways)
    seed, noise, row_noise = policy._draw()
    monkeypatch.setattr(policy, "_draw", lambda: (seed, torch.zeros_like(noise), row_noise))
    for number, (each, seen_first) in enumerate(zip(made, begins, strict=True)):
        chunk = ActionChunk(each.actions[:16], body.action_names, 0, body.step, body.discrete)
        expected = policy.infer(seen_first, committed=chunk).latents
        assert torch.allclose(found[number : number + 1], expected, atol=1e-3), number
    assert torch.equal(found[:, :, :1], seen)


def begin_of(made, instruction):
    return Observation(
        {view: frames[0] for view, frames in made.views.items()}, made.states[0], instruction, 0
    )


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_of_every_task_the_same_share_is_seen_as_a_whole(share):
    seen = np.array(
        [[_whole(5 * seed + task, 5, share) for task in range(5)] for seed in range(100)]
    )
    assert abs(seen.sum(0) - 100 * share).max() <= 1
    assert abs(seen[:20].sum() - 100 * share) <= 2  # and soon


def test_windows_are_denser_where_all_is_seen(monkeypatch):
    perform_here(monkeypatch, episode(40))
    options = DataOptions(episodes=4, whole=0.5, stride=7)
    for dense, windows in ((0, 6), (3, 14)):
        clips = list(make_clips(dataclasses.replace(options, dense=dense), DROID_SIM))
        assert {(clip.whole, len(clip.starts)) for clip in clips} == {(True, windows), (False, 6)}


def test_some_spans_of_every_demonstration_are_seen(monkeypatch):
    perform_here(monkeypatch, episode(75))
    options = DataOptions(episodes=20, whole=0.4, span=26, stride=7, dense=3)
    clips = list(make_clips(options, DROID_SIM))
    spans = [clip for clip in clips if clip.whole]
    assert len(clips) - len(spans) == 40
    assert 35 < len(spans) < 75  # 0.4 of somewhat more than three in each of 40
    everything = make_clip(episode(75), DROID_SIM)
    firsts = []
    for clip in spans:
        first = next(n for n in range(75) if np.array_equal(everything.frames[n], clip.frames[0]))
        length = len(clip.frames) - (0 if first + len(clip.frames) == 75 else 16)
        assert clip.starts.tolist() == list(range(0, length, 3))
        assert np.array_equal(clip.rows, everything.rows[first + clip.starts])
        assert np.array_equal(clip.truth, everything.truth[first + clip.starts], equal_nan=True)
        expected = everything.frames[everything.window(17)[first + clip.starts]]
        assert np.array_equal(clip.frames[clip.window(17)], expected)
        firsts.append(first)
    assert len(set(firsts)) > 15, "spans begin anywhere"
    # a window would begin at frame 900
    rare = dataclasses.replace(options, stride=1000, opening=0, first_seed=900)
    assert all(clip.whole for clip in make_clips(rare, DROID_SIM))
    for wrong in (16, -1):
        with pytest.raises(ValueError, match="span: expected 0 or more than the 16 rows"):
            next(make_clips(dataclasses.replace(options, span=wrong), DROID_SIM))


def perform_here(monkeypatch, performed):
    """Instead of experts in other processes: each time the same."""

    def record(_wanted, look=None):
        return performed if look is None else part(performed, filter(look, range(len(performed))))

    monkeypatch.setattr("cosmos3_ros.training.data.clip_source.record", record)
    monkeypatch.setattr(
        "cosmos3_ros.training.data.clip_source.in_parallel",
        lambda perform, jobs, *_, **__: map(perform, jobs),
    )


def test_pictures_encoded_beside_the_training_are_the_same(tiny_small):
    encoder = Encoder(load_policy(tiny_small).model.vae, DROID_SIM)
    clips, more = (
        [make_clip(episode(20, seed), DROID_SIM, stride=9) for seed in seeds]
        for seeds in ((0, 1), (2, 3))
    )
    going_on = threading.Event()

    def make():
        yield from clips
        going_on.wait()
        yield from more

    source = BackgroundLoader(make)
    source.wait_for(2)
    feed = Feed(encoder, source, beside=True)
    first = feed.take()
    assert feed.take() == []  # from now on in a thread of its own
    going_on.set()
    later = []
    while not later:
        later = feed.take()
    for got, some in ((first, clips), (later, more)):
        expected = encoder.encode(some)[0]
        assert torch.allclose(torch.cat([part.latents for part in got]), expected.latents)
        assert torch.equal(torch.cat([part.rows for part in got]), expected.rows)
        assert sum((part.asked for part in got), ()) == expected.asked
    for one in (feed, source):
        one.close()


def test_what_goes_wrong_in_making_data_ends_the_encoding_beside(tiny_small):
    def broken():
        yield make_clip(episode(20), DROID_SIM)
        raise OSError("no renderer")

    source = BackgroundLoader(broken)
    feed = Feed(Encoder(load_policy(tiny_small).model.vae, DROID_SIM), source, beside=True)
    with pytest.raises(OSError, match="no renderer"):
        collections.deque(iter(feed.take, None), maxlen=0)  # take for ever


def test_what_was_taken_is_not_kept():
    source = BackgroundLoader(lambda: (number for number in range(5)))
    source.wait_for(9)
    assert source.take() == [0, 1, 2, 3, 4]
    assert source.take() == source.clips == []
    source.wait_for(5)
    source.close()


def test_the_latest_that_are_wanted_are_kept():
    source = BackgroundLoader(
        lambda: (number for number in range(9)), 3, lambda number: number % 2 == 0
    )
    source.wait_for(9)
    assert len(source.take()) == 9
    source.close()
    assert list(source.latest) == [4, 6, 8]


def test_average_follows_the_paper():
    assert average_exponent(0.1) == pytest.approx(6.9372, abs=1e-3)  # beta at step 100: 0.924
    assert (1 - 1 / 101) ** (average_exponent(0.1) + 1) == pytest.approx(0.924, abs=1e-3)


def test_a_resumed_training_goes_on_exactly(tmp_path):
    def steps(model, optimizer, count):
        for number in range(count):
            (model(torch.full((1, 3), float(number))) ** 2).sum().backward()
            optimizer.step()

    def make():
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        return model, Optimizer({"model": model}, OptimizerOptions(steps=8, warmup=2))

    model, optimizer = make()
    steps(model, optimizer, 4)
    optimizer.save(tmp_path / "state.safetensors")
    steps(model, optimizer, 2)
    other, resumed = make()
    resumed.resume(tmp_path / "state.safetensors")
    steps(other, resumed, 2)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(optimizer.averaged()["model.weight"], resumed.averaged()["model.weight"])
    with pytest.raises(ValueError, match="belongs to another training"):
        Optimizer({"other": torch.nn.Linear(3, 2)}, OptimizerOptions()).resume(
            tmp_path / "state.safetensors"
        )


def test_tensors_are_written_in_shards_that_load(tmp_path, monkeypatch):
    monkeypatch.setattr("cosmos3_ros.training.stages.checkpoint_writer.SHARD", 100)
    tensors = {name: torch.full((20,), float(number)) for number, name in enumerate("abc")}
    write_tensors(tmp_path, tensors)
    from cosmos3_ros.model.checkpoint_io.loader import find_tensors

    assert set(find_tensors(tmp_path)) == {"a", "b", "c"}
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_a_training_that_goes_on_keeps_its_checkpoint_and_writes_the_latest_recipe(tmp_path):
    folder = tmp_path / "checkpoint"
    begin(Recipe(size={"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 2, "mlp": 128}), folder)
    (folder / "trained").touch()
    later = Recipe(seed=3)
    begin(later, folder)
    assert (folder / "trained").exists()
    assert read_recipe(tmp_path / "recipe.yaml") == later
    with pytest.raises(TypeError, match="wings"):
        begin(Recipe(str(folder), size={"wings": 2}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_a_released_checkpoint_has_beside_our_tensors_is_kept(tmp_path):
    write_tiny(tmp_path / "start", config=SMALL)
    (tmp_path / "start" / "checkpoint.json").unlink()
    begin(Recipe(str(tmp_path / "start"), embodiment="libero"), tmp_path / "checkpoint")
    assert (
        json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())["policy"][
            "embodiment"
        ]
        == "libero"
    )
    folder = tmp_path / "checkpoint" / "transformer"
    file, everything = (
        folder / "diffusion_pytorch_model.safetensors",
        folder.parent / "model.safetensors.index.json",
    )
    save_file({**load_file(file), "audio_proj_in.weight": torch.ones(2)}, file)
    (folder / "config.json").write_text(json.dumps({**SMALL.to_json(), "sound_dim": 64}))
    everything.write_text(
        json.dumps(
            {"weight_map": {"embed_tokens.weight": "transformer/old", "eye": "vision_encoder/e"}}
        )
    )
    write_transformer(folder, SMALL, load_model(folder.parent).transformer.state_dict())
    assert json.loads((folder / "config.json").read_text())["sound_dim"] == 64
    assert torch.equal(load_file(file)["audio_proj_in.weight"], torch.ones(2))
    places = json.loads(everything.read_text())["weight_map"]
    assert places["eye"] == "vision_encoder/e"
    assert (
        places["norm.weight"]
        == places["embed_tokens.weight"]
        == "transformer/diffusion_pytorch_model.safetensors"
    )
    load_model(folder.parent)


def test_recipes_are_readable_and_mistakes_are_named(tmp_path):
    for file in RECIPES.glob("*.yaml"):
        recipe = read_recipe(file)
        assert recipe.policy.steps or recipe.autoencoder  # something to train
        write_recipe(tmp_path / "again.yaml", recipe)
        assert read_recipe(tmp_path / "again.yaml") == recipe
    file = tmp_path / "r.yaml"
    for text, message in (
        ("policy: {stepz: 3}", r"policy: unknown \['stepz'\]"),
        ("policy: {steps: many}", "policy.steps: expected int, got 'many'"),
        ("policy: {rate: fast}", "policy.rate: expected a number"),
        ("- 1", "expected a table"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_recipe(file)
    file.write_text("policy: {rate: 1e-3}\nlora: {r: 4}\nstart: somewhere")
    changed = read_recipe(
        file,
        [
            "policy.rate=2e-3",
            "data.workers=3",
            "seed=7",
            "data.encoder=",
            "lora=null",
            "device=cpu",
        ],
    )
    assert (changed.policy.rate, changed.data.workers, changed.seed, changed.device) == (
        2e-3,
        3,
        7,
        "cpu",
    )
    assert changed.lora is None
    assert changed.data.encoder == ""
    for change, message in (
        ("policy.stepz=3", r"policy: unknown \['stepz'\]"),
        ("policy.steps=many", "policy.steps: expected int, got 'many'"),
        ("policy", "expected KEY=VALUE as in policy.seconds=600, got 'policy'"),
        ("=3", "expected KEY=VALUE"),
        ("start.x=3", "expected KEY=VALUE"),
        ("seed=[", "not readable as YAML"),
    ):
        with pytest.raises(ValueError, match=message):
            read_recipe(file, [change])
    assert read_recipe(file).policy.rate == 1e-3


def test_one_episode_is_learned_by_heart(tmp_path, tiny_small):
    """The action loss falls to less than a tenth, and the policy then says what was done."""
    made, losses = episode(17), []
    policy = load_policy(tiny_small)
    recipe = Recipe(
        policy=PolicyTrainingOptions(
            steps=220, batch=16, rate=4e-3, warmup=10, refresh=1000, average=0.02
        ),
        objective=ObjectiveOptions(vision=0.1, modes=(1.0, 0.0, 0.0), prefix=0.0, dropout=0.0),
    )
    torch.manual_seed(0)
    (tmp_path / "checkpoint").mkdir()
    for file in tiny_small.iterdir():
        (tmp_path / "checkpoint" / file.name).symlink_to(file)
    (tmp_path / "checkpoint" / "transformer").unlink()
    (tmp_path / "checkpoint" / "transformer").mkdir()
    source = BackgroundLoader(lambda: (make_clip(part, DROID_SIM, 17) for part in [made]))
    source.wait_for(1)
    train_policy(policy.model, source, recipe, tmp_path, losses.append)
    source.close()
    actions = [line["action"] for line in losses if "action" in line]
    assert actions[-1] < 0.1 * 2.0  # noise and rows of unit spread: 2 at the beginning
    trained = load_policy(tmp_path / "checkpoint", guidance=1.0)
    first = Observation(
        {v: made.views[v][0] for v in made.views}, made.states[0], made.instructions[0], 0
    )
    said = trained.infer(first).chunk.values
    assert np.abs(said[:, :7] - made.actions[:16, :7]).mean() < 0.02
    assert np.abs(said[:, 7] - made.actions[:16, 7]).mean() < 0.15


def test_the_decoder_learns_after_the_policy_and_nothing_else_changes(
    tmp_path, tiny_small, monkeypatch
):
    monkeypatch.setattr(
        train,
        "make_clips",
        lambda *_: (make_clip(episode(20, seed), DROID_SIM) for seed in range(2)),
    )
    decoder = DecoderOptions(frames=17, steps=2, batch=2, warmup=1)
    recipe = Recipe(
        start=str(tiny_small),
        device="cpu",
        data=DataOptions(warm_up=2),
        policy=PolicyTrainingOptions(steps=1, batch=2, warmup=1),
        decoder=decoder,
    )
    with pytest.raises(ValueError, match="expected 17, those of a chunk, got 9"):
        train.train(
            dataclasses.replace(recipe, decoder=dataclasses.replace(decoder, frames=9)),
            tmp_path / "wrong",
        )
    said: list[str] = []
    made = train.train(recipe, tmp_path / "out", said.append)
    stages = [line.split("stage ")[1].split()[0] for line in said if "stage" in line]
    assert list(dict.fromkeys(stages)) == ["data", "policy", "autoencoder"]
    before, after = (
        load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
        for folder in (tiny_small, made)
    )
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {"decoder", "post_quant_conv"}
    assert "decoder" in changed
    said.clear()
    train.train(recipe, tmp_path / "out", said.append)  # goes on where it ended
    assert not [line for line in said if "step" in line]


def test_the_decoder_may_keep_a_share_of_what_it_was(tmp_path, tiny_small, monkeypatch):
    def learn(vae, *_):
        for tensor in vae.module.decoder.state_dict().values():
            tensor.add_(1)

    monkeypatch.setattr(train, "train_autoencoder", learn)
    made = copytree(tiny_small, tmp_path / "checkpoint")
    options = DecoderOptions(frames=17, kept=0.25)
    train.redraw(
        Recipe(device="cpu", decoder=options), [], tmp_path, lambda _: None, train.TrainingGroup()
    )
    before, after = (
        load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
        for folder in (tiny_small, made)
    )
    for name in before:
        moved = (after[name] - before[name]).float()
        assert torch.allclose(
            moved, torch.full_like(moved, 0.75 * name.startswith("decoder.")), atol=0.02
        ), name
    for wrong in ({"kept": 1.0}, {"kept": 0.5, "start": "decoder"}):
        with pytest.raises(ValueError, match="expected a share below 1, 0 if it begins anew"):
            dataclasses.replace(options, **wrong)


@pytest.fixture(scope="module")
def tiny_small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    write_tiny(folder, config=SMALL)
    return folder
