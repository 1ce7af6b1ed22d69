# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a trained checkpoint: data, autoencoder, policy, video, student, reasoner.

Resumes where it was stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ..model.autoencoder.vae import VideoAutoencoder
from ..model.checkpoint_io.atomic_files import recover, rewritten, write_text
from ..model.checkpoint_io.json_file import read_json
from ..model.checkpoint_io.loader import load_model, load_vae
from ..model.checkpoint_io.own_embodiment import write_own
from ..model.checkpoint_io.tiny import write_tiny
from ..model.checkpoint_io.trained_sampling import write_trained_sampling
from ..model.checkpoint_io.trained_tasks import write_trained_tasks
from ..model.checkpoint_io.yes_temperature import write_yes_temperature
from ..model.embodiment import find_embodiment
from ..model.loaded_model import Model
from ..model.network.config import TINY
from ..model.policy import fit_embodiment, load_policy
from ..model.surprise.reference_file import FILE as SURPRISE
from .clips.clip_reader import read_clips
from .data.background_loader import BackgroundLoader
from .data.episodes import Clip
from .distillation.student_stage import train_student
from .log import JsonLog, Log
from .optim.process_group import TrainingGroup, join
from .options import AutoencoderOptions, DecoderOptions
from .recipe import Recipe, write_recipe
from .stages.autoencoder import load_autoencoder, train_autoencoder
from .stages.checkpoint_progress import FILE as PROGRESS
from .stages.checkpoint_progress import has_ended, note
from .stages.checkpoint_writer import copy_checkpoint, replace, write_autoencoder
from .stages.flow_matching_loss import check_truth
from .stages.forward_dynamics import ForwardDynamics
from .stages.latent_encoder import Encoder
from .stages.policy import train_policy
from .stages.reasoner import ReasonerTrainer, train_reasoner
from .start import check_start, embodiment_of
from .video.video_stage import train_video
from .worlds.live_source import ground_truth_of, make_clips

# bytes of a transformer that is trained in float32 even where most of it is frozen
_SMALL = 2**30


def train(recipe: Recipe, out: Path, tell: Callable[[str], None] = print) -> Path:
    """Train by the recipe; returns the checkpoint folder `out/checkpoint`.

    A second call goes on where the first ended, wherever it was stopped, and ends with the same
    weights if the data are the same. Writes recipe.yaml, log.jsonl and state.safetensors beside the
    checkpoint, and with LoRA the folder adapter. All processes that torchrun started train
    together. ValueError for a recipe that fits neither data nor checkpoint, and for gradients or
    weights that are not finite.
    """
    group = join(recipe.device)
    _check(recipe, out, group)
    _seed(recipe, group)
    torch.set_float32_matmul_precision("high")
    folder = out / "checkpoint"
    with _nothing_left(out, group):
        log: Log = JsonLog(out / "log.jsonl", tell) if group.leads else lambda _: None
        if group.leads:
            begin(recipe, folder)
        group.wait()
        model = load(recipe, folder, group)
        if recipe.decoder is not None:
            check_decoder(recipe.decoder, model, recipe.embodiment)
    redraw = recipe.decoder is not None and not _done(folder, "decoder", group)
    clips: Sequence[Clip] = ()
    if recipe.video is None:
        clips = _train_model(model, recipe, out, log, group)
    elif recipe.distill is None:
        train_video(model, recipe, out, log, group)
    else:
        train_student(model, None, recipe, out, log, group)
    # without the experts' processes, which would take time from it
    if redraw:
        train_decoder(recipe, clips, out, log, group)
    group.wait()  # until the checkpoint is written
    if group.leads:
        tell(f"wrote {folder}")
    return folder


def _check(recipe: Recipe, out: Path, group: TrainingGroup) -> None:
    """ValueError for what cannot be trained, before anything is copied."""
    if recipe.lora or not (out / "checkpoint" / "transformer").is_dir():  # else it was copied
        check_start(recipe)
    if recipe.generator.shard and group.size == 1:
        raise ValueError(
            f"{recipe.stage}.shard: expected several processes (start them with torchrun), got one"
        )
    if recipe.video is not None:
        read_clips(recipe.video)
    if recipe.policy.steps:
        check_truth(recipe.objective, ground_truth_of(recipe.data))


@contextlib.contextmanager
def _nothing_left(out: Path, group: TrainingGroup) -> Iterator[None]:
    """After a ValueError, remove what was not there before: it is no training that can go on."""
    before = {*out.iterdir()} if out.is_dir() else None
    try:
        yield
    except ValueError:
        if group.leads and out.is_dir():
            for made in {*out.iterdir()} - (before or set()):
                shutil.rmtree(made) if made.is_dir() else made.unlink()
            if before is None:
                out.rmdir()
        raise


def _done(folder: Path, stage: str, group: TrainingGroup) -> bool:
    """Whether an earlier call finished this stage, as the first process sees it."""
    return bool(group.agree(has_ended(folder, stage)))


def _seed(recipe: Recipe, group: TrainingGroup) -> None:
    """At the beginning of every stage: so it is the same after stages of an earlier call."""
    torch.manual_seed(recipe.seed + group.rank)


def _train_model(
    model: Model, recipe: Recipe, out: Path, log: Log, group: TrainingGroup
) -> Sequence[Clip]:
    """Train reasoner, autoencoder and policy; returns the newest clips, for the decoder's stage."""
    embodiment = (
        fit_embodiment(model, recipe.embodiment)
        if recipe.policy.steps or recipe.distill
        else find_embodiment(recipe.embodiment)
    )
    folder = out / "checkpoint"
    ask = recipe.reasoner is not None and not _done(folder, "reasoner", group)
    encode = recipe.autoencoder is not None and not _done(folder, "autoencoder", group)
    trainer = ReasonerTrainer(model, recipe.reasoner, group) if recipe.reasoner and ask else None
    keep = recipe.decoder.clips if recipe.decoder is not None else 0
    source = BackgroundLoader(
        lambda: make_clips(recipe.data, embodiment, group.rank, group.size),
        keep,
        lambda clip: clip.whole,
    )
    try:
        if trainer is not None and not trainer.options.every:
            train_reasoner(trainer, out, log)
            trainer.close()  # the processes behind it would take time from the other stages
            trainer = None
        shown = recipe.data.copies
        source.wait_for(recipe.data.warm_up * shown)
        episodes = len(source.clips) // shown
        log({"stage": "data", "episodes": episodes, "processes": group.size})
        if recipe.autoencoder is not None and encode:
            _seed(recipe, group)
            train_vae(model, source, recipe.autoencoder, out, log, group)
        if recipe.policy.steps:
            _seed(recipe, group)
            train_policy(model, source, recipe, out, log, trainer, group)
        if recipe.distill is not None:
            train_student(model, source, recipe, out, log, group)
    finally:
        source.close()
        if trainer is not None:
            trainer.close()
    return source.latest


def load(recipe: Recipe, folder: Path, group: TrainingGroup) -> Model:
    """The model in the precision of its training.

    float32, except for a large transformer on a GPU of which most is frozen: bfloat16. A
    transformer that will be sharded stays in the host's memory, into which the files are mapped.
    """
    device = torch.device("cpu") if recipe.generator.shard else group.device
    start = Path(recipe.start) if recipe.lora else folder  # in `folder` there may be merged weights
    small = (
        sum(file.stat().st_size for file in (start / "transformer").glob("*.safetensors")) < _SMALL
    )
    wide = small or group.device.type == "cpu" or recipe.text or recipe.reasoner is not None
    model = load_model(start, device, torch.float32 if wide else torch.bfloat16)
    model.vae = load_autoencoder(folder, group.device)
    for module in (model.transformer, model.vision, model.vae.module):
        if isinstance(module, torch.nn.Module) and not recipe.generator.shard:
            _copy_out(module)
    return model


def _copy_out(module: torch.nn.Module) -> None:
    """Weights that are views of mapped files get memory of their own, in place.

    Where they begin in a file decides the last bits of a CPU's products, and a training that is
    resumed reads them from another file.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def train_vae(
    model: Model,
    source: BackgroundLoader[Clip],
    options: AutoencoderOptions,
    out: Path,
    log: Log,
    group: TrainingGroup,
) -> None:
    """Train the video autoencoder in the first process; the other processes load it then."""
    folder = out / "checkpoint"
    assert model.vae is not None  # loaded by `load`
    if group.leads:
        train_autoencoder(model.vae, lambda: source.clips, options, log)
        _put_autoencoder(folder, model.vae, "autoencoder", options.steps)
    group.wait()
    if not group.leads:
        model.vae = load_vae(folder / "vae", group.device, torch.float32)


def _put_autoencoder(folder: Path, vae: VideoAutoencoder, stage: str, steps: int) -> None:
    """Have a checkpoint hold it, and say so."""
    with rewritten(folder) as draft:
        write_autoencoder(draft / "vae", vae)
        note(draft, stage, steps, ended=True)


def check_decoder(options: DecoderOptions, model: Model, embodiment: str) -> None:
    """ValueError now rather than after the policy's training."""
    assert model.vae is not None  # loaded by `load`
    frames = Encoder(model.vae, fit_embodiment(model, embodiment)).frames
    if options.frames != frames:
        raise ValueError(
            f"decoder.frames: expected {frames}, those of a chunk, got {options.frames}"
        )


def train_decoder(
    recipe: Recipe, clips: Sequence[Clip], out: Path, log: Log, group: TrainingGroup
) -> None:
    """Train the decoder once more, with futures that the trained generator predicts.

    In the first process alone.
    """
    folder = out / "checkpoint"
    assert recipe.decoder is not None  # `train` asks
    _seed(recipe, group)
    if group.leads:
        vae, steps = load_autoencoder(folder, group.device), recipe.decoder.future_steps
        policy = load_policy(folder, recipe.embodiment, group.device, future_steps=steps)
        begun = {name: tensor.clone() for name, tensor in vae.module.state_dict().items()}
        train_autoencoder(vae, lambda: clips, recipe.decoder, log, ForwardDynamics(policy))
        for name, tensor in vae.module.state_dict().items() if recipe.decoder.kept else ():
            tensor.lerp_(begun[name], recipe.decoder.kept)
        _put_autoencoder(folder, vae, "decoder", recipe.decoder.steps)
    group.wait()


def begin(recipe: Recipe, folder: Path) -> None:
    """Write the initial checkpoint, unless there is one, and the recipe beside it."""
    recover(folder)
    recover(folder.parent / "adapter")
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if not folder.exists():
        with rewritten(folder) as draft:
            _write_start(recipe, draft)
            _describe(recipe, draft)
    else:
        _describe_again(recipe, folder)
    write_recipe(folder.parent / "recipe.yaml", recipe)


def _write_start(recipe: Recipe, folder: Path) -> None:
    """A copy of `recipe.start`, or random weights; with `recipe.size` both, see Recipe.

    The towers: transformer and vision encoder. A copy whose policy learns carries the recipe's
    embodiment from now on.
    """
    config = dataclasses.replace(TINY, **recipe.size)
    if not recipe.start:
        write_tiny(folder, recipe.seed, config, recipe.embodiment)
        return
    embodiment = embodiment_of(recipe)
    copy_checkpoint(Path(recipe.start), folder)
    for other in (PROGRESS, SURPRISE, "README.md"):  # they are about the weights of the start
        (folder / other).unlink(missing_ok=True)
    about = read_json(folder / "checkpoint.json", optional=True)
    if recipe.policy.steps or not about.get("policy"):
        write_own(folder, embodiment)
    if recipe.size:
        with tempfile.TemporaryDirectory() as fresh:
            write_tiny(Path(fresh) / "towers", recipe.seed, config, recipe.embodiment)
            for part in ("transformer", "vision_encoder", "config.json"):
                replace(Path(fresh) / "towers" / part, folder / part)
            for part in ("preprocessor_config.json", "video_preprocessor_config.json"):
                if not (folder / part).exists():  # of a start that cannot see
                    replace(Path(fresh) / "towers" / part, folder / part)


def _describe(recipe: Recipe, folder: Path) -> None:
    """What the folder's checkpoint.json says of the training."""
    if recipe.size or recipe.reasoner or (recipe.generator.steps and recipe.generator.text):
        write_yes_temperature(folder, None)  # it will answer otherwise than it was fitted to
    if recipe.policy.steps:  # nobody knows what a dataset shows
        elsewhere = recipe.data.dataset or recipe.data.env
        write_trained_tasks(folder, () if elsewhere else recipe.data.own_tasks)
        write_trained_sampling(folder, recipe.objective.sampling)


def _describe_again(recipe: Recipe, folder: Path) -> None:
    """The same for a folder that is in use: its file is replaced as a whole."""
    file = folder / "checkpoint.json"
    with tempfile.TemporaryDirectory() as place:
        said = Path(place) / file.name
        if file.exists():
            said.write_bytes(file.read_bytes())
        _describe(recipe, Path(place))
        if said.exists() and (not file.exists() or said.read_bytes() != file.read_bytes()):
            write_text(file, said.read_text(encoding="utf-8"))
