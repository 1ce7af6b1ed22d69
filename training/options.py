# SPDX-License-Identifier: Apache-2.0
"""Options of every part of a training, as a recipe gives them.

Imports no torch: the processes of the simulated experts read them too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..model.checkpoint_io.trained_sampling import TrainedSampling
from ..model.embodiment.table import nearest
from ..sim.tasks import BASIC, TASKS, TWO_ARMS

_TASKS = (*TASKS, *TWO_ARMS)
_COMPILED = ("", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
# The widest running average of a power function (arXiv 2312.02696), that of exponent 0.
_WIDEST = 12**-0.5


def bounded(
    default: Any,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field whose number, or each of its numbers, is within; or whose words are among `choices`.

    A recipe is refused by its name otherwise.
    """
    bounds = {"least": least, "most": most, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=bounds)


def share(default: float) -> Any:
    """A field that is a share, 0 to 1."""
    return bounded(default, 0, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class GroundTruthOptions:
    """Which numbers of a source say where things are, and which of them the generator has to tell.

    center and spread: one for each of `asked` and then `around`, in the source's units; the loss is
    on (number - center) / spread. ValueError if the numbers do not belong together.
    """

    feature: str = "simulation.truth"  # of a LeRobot dataset
    # Columns of it, from 0: those of what the instruction is about, asked of the action rows, and
    # all other ones, asked of the seen frame.
    asked: tuple[int, ...] = bounded((), 0)
    around: tuple[int, ...] = bounded((), 0)
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = bounded((), above=0)

    def __post_init__(self) -> None:
        columns = (*self.asked, *self.around)
        if not columns or len({*columns}) < len(columns):
            raise ValueError(
                f"ground_truth: expected distinct columns in asked and around, got {list(columns)}"
            )
        for name in ("center", "spread"):
            if len(getattr(self, name)) != len(columns):
                raise ValueError(
                    f"ground_truth.{name}: expected {len(columns)} numbers, one for each of asked "
                    f"and around, got {len(getattr(self, name))}"
                )

    def check_width(self, width: int, where: str) -> None:
        """ValueError if a column is not among `width` ones."""
        if (last := max((*self.asked, *self.around))) >= width:
            raise ValueError(
                f"{where}: ground_truth: expected columns below {width}, those of {self.feature}, "
                f"got {last}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class DataOptions:
    """Where demonstrations come from: a LeRobot dataset, or a world during the training.

    That is the own simulation, or with `env` another one (docs/worlds.md).
    """

    dataset: str = ""  # folder of a LeRobot dataset; empty: the simulation
    # How to read a dataset that was recorded elsewhere, see lerobot_reader.make_layout.
    features: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gripper: tuple[float, ...] = ()  # what it says when open and closed; (): see data.md
    units: tuple[str, ...] = ()  # of each state column; (): as it says, or the embodiment
    instruction: str = ""
    # Where things are in a dataset that does not say it itself, see GroundTruthOptions.
    ground_truth: GroundTruthOptions | None = None
    # What the simulation is to show, see demonstrations.Demonstration.
    # With env tasks and groups of that world; empty: all of it, of the own simulation two.
    tasks: tuple[str, ...] = ()
    episodes: int = bounded(1000, 1, 10**7)  # of each task
    first_seed: int = bounded(1_000_000, 0)
    distractors: int = bounded(2, 0)
    astray: float = share(0.35)
    scatter: float = share(0.0)
    noise: float = bounded(0.01, 0)
    # Where windows begin.
    stride: int = bounded(2, 1)  # frames between the beginnings of two windows
    opening: int = bounded(
        0, 0
    )  # more windows at the beginning of an episode, see episodes.make_clip
    warm_up: int = bounded(64, 0)  # episodes to wait for before anything is trained
    # Share of the demonstrations of which every frame is rendered. Of all other demonstrations only
    # the first frames of windows are rendered: such windows teach actions, not future frames.
    whole: float = share(1.0)
    # Not 0: `whole` is the share of spans of so many frames, taken from all demonstrations.
    span: int = bounded(0, 0)
    dense: int = bounded(0, 0)  # as `stride`, where every frame is rendered; 0: `stride`
    # How often each demonstration is shown, all but the first time with its views shifted.
    copies: int = bounded(1, 1, 64)
    shift: float = share(0.02)  # of a view's sides, at most: see episodes.shifted
    workers: int = bounded(0, 0, 1024)  # rendering processes; 0: one less than there are cores
    # Device that encodes pictures during the training; empty: the training's, between its steps.
    encoder: str = ""
    env: str = ""  # world whose experts demonstrate, see worlds.catalog; empty: the own simulation
    protocol: str = ""  # whose pictures and words; empty: the world's first
    disturbance: float = bounded(1.0, 0)  # with env: factor of that world's own noise
    rested: float = share(0.3)  # with env: of the demonstrations not astray, begin after a rest
    # With env: so long its experts demonstrate; what they have shown until then is all there is.
    seconds: float = bounded(math.inf, above=0)

    def __post_init__(self) -> None:
        if self.env and (self.dataset or self.span):
            raise ValueError(
                f"data.env: expected neither dataset nor span beside it, got {self.dataset!r} and "
                f"{self.span}"
            )
        if not self.env and (self.protocol or self.seconds < math.inf):
            raise ValueError("data: expected env with protocol or seconds, which alone has them")
        for task in () if self.env else self.tasks:
            if task not in _TASKS:
                close = nearest(task, _TASKS)
                raise ValueError(f"data.tasks: expected one of {[*_TASKS]}, got {task!r}{close}")

    @property
    def own_tasks(self) -> tuple[str, ...]:
        """Those of the own simulation."""
        return self.tasks or ("reach", "lift")


@dataclasses.dataclass(frozen=True, slots=True)
class OptimizerOptions:
    """When a training ends, and how its optimizer steps."""

    steps: int = bounded(10_000, 0)  # the training ends after so many steps
    seconds: float = bounded(
        float("inf"), above=0
    )  # or after so many seconds, whichever comes first
    batch: int = bounded(64, 1)  # samples of every process in a batch
    rate: float = bounded(
        1e-3, 0
    )  # learning rate after the warm-up, from where it falls linearly to 0
    warmup: int = bounded(100, 0)  # steps in which the learning rate rises linearly
    betas: tuple[float, float] = bounded((0.9, 0.99), 0, 1 - 1e-9)  # of AdamW
    weight_decay: float = bounded(0.05, 0)
    clip: float = bounded(1.0, above=0)  # largest norm of the gradient
    # Gradients in a row that may be not finite: they are dropped, and more are an error.
    skip: int = bounded(10, 0)
    # Learning rate of Muon for the matrices of towers and vision encoder; 0: AdamW steps all.
    muon: float = bounded(0.0, 0)
    # Width of the weights' running average as a share of the steps so far (Cosmos 3: 0.1; short
    # trainings are spoilt by stale weights).
    average: float = bounded(0.05, 1e-6, _WIDEST)


@dataclasses.dataclass(frozen=True, slots=True)
class AutoencoderOptions(OptimizerOptions):
    """Training of the video autoencoder; with steps 0 it is only initialized and measured."""

    frames: int = bounded(9, 1)  # of a training video: 1 + 4k
    start: str = "both"  # which halves begin anew: "both", "decoder" or none ("")
    width: int = bounded(0, 0)  # decoder_base_dim of a decoder that begins anew; 0: as it is
    # How much more a saturated pixel counts than a gray one: what matters is small and colored.
    colour: float = bounded(4.0, 0)
    square: float = bounded(3.0, 0)  # weight of the squared error beside the absolute one
    # Exponent b in [0, 1]. Channel c of the normalized latents has a standard deviation that grows
    # with (std_c * sensitivity_c) ** b, so that with b = 1 a fixed error in normalized latents
    # costs about the same in pixels in every channel. 0: unit variance.
    balance: float = share(0.0)
    rate: float = bounded(1e-3, 0)
    weight_decay: float = bounded(0.0, 0)

    def __post_init__(self) -> None:
        if self.frames % 4 != 1 or self.frames < 1:
            raise ValueError(f"autoencoder.frames: expected 1 + 4k, got {self.frames}")
        if self.start not in ("both", "decoder", ""):
            raise ValueError(
                f"autoencoder.start: expected both, decoder or nothing, got {self.start!r}"
            )
        if self.width and not self.start:
            raise ValueError(
                "autoencoder.width: a decoder has another width only if it begins anew "
                "(start: decoder)"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class DecoderOptions(AutoencoderOptions):
    """Training of the decoder alone, after the generator was trained.

    frames: the number of frames of an action chunk.
    """

    start: str = ""
    # Share of the videos whose latents the generator predicted. From them the decoder learns to
    # draw what is most likely meant, where it would draw something gaudy of latents that are a
    # little wrong.
    imagined: float = 0.5
    future_steps: int = 1  # denoising steps of these predictions; 0: as many as the policy takes
    # Number of clips to choose from: the newest of which every frame is known. A frame of the
    # simulation needs 140 kB of memory.
    clips: int = 500
    # Share of the initial weights in the final ones, which draws scenes that it did not learn
    # better.
    kept: float = 0.0

    def __post_init__(self) -> None:
        # a dataclass with slots is another class than the one named here
        super(DecoderOptions, self).__post_init__()
        if self.start == "both" or self.balance:
            raise ValueError(
                "decoder: expected start decoder or nothing and no balance, latents stay, "
                f"got {self.start!r} and {self.balance}"
            )
        if not 0 <= self.imagined <= 1:
            raise ValueError(f"decoder.imagined: expected a share from 0 to 1, got {self.imagined}")
        if not 0 <= self.kept < 1 or (self.kept and self.start):
            raise ValueError(
                f"decoder.kept: expected a share below 1, 0 if it begins anew, got {self.kept}"
            )
        if self.clips < 1:
            raise ValueError(f"decoder.clips: expected 1 or more, got {self.clips}")
        if self.future_steps < 0:
            raise ValueError(f"decoder.future_steps: expected 0 or more, got {self.future_steps}")


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """The flow-matching loss, with Cosmos 3's DROID recipe as default."""

    shift: float = bounded(5.0, above=0)  # of the noise levels, see flow_matching_loss.noise_levels
    vision: float = bounded(10.0, 0)  # weight of the loss of the pictures
    action: float = bounded(10.0, 0)  # weight of the loss of the action rows
    # weight of the loss of where things are, which the source of the data has to know
    grounding: float = bounded(0.0, 0)
    dropout: float = 0.1  # share of empty captions
    # Shares of samples for policy, forward dynamics and inverse dynamics.
    modes: tuple[float, float, float] = (0.8, 0.1, 0.1)
    prefix: float = 0.3  # share of policy samples whose first rows are already frozen
    longest: int = bounded(6, 0)  # largest number of frozen rows
    grounding_layer: int = bounded(
        3, 0
    )  # number of the layer whose output has to tell the positions
    # Noise level above which positions are asked for; below it the noisy actions give them away.
    grounding_noise: float = share(0.8)
    # What sampling may do then, see checkpoint_io.trained_sampling; the checkpoint says so.
    # Share of policy samples whose rows have a noise level of their own, beside video that is at
    # least as noisy.
    row_levels: float = 0.0
    # In policy samples the video's tokens do not attend to the rows.
    hidden_rows: bool = False
    # Share of policy samples without the frames to come.
    no_future: float = 0.0

    def __post_init__(self) -> None:
        for name in ("dropout", "prefix", "row_levels", "no_future"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"objective.{name}: expected a share from 0 to 1, got {getattr(self, name)}"
                )
        if self.shift <= 0 or min(self.modes) < 0 or sum(self.modes) <= 0 or len(self.modes) != 3:
            raise ValueError(
                f"objective: expected shift > 0 and three shares, got {self.shift} and {self.modes}"
            )

    @property
    def sampling(self) -> TrainedSampling:
        """What a policy that was trained so may do when it samples."""
        return TrainedSampling(self.row_levels > 0, self.hidden_rows, self.no_future > 0)


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyTrainingOptions(OptimizerOptions):
    """Training of the generator, and of the text tower with it."""

    text: bool = True  # whether the text tower learns too (a released one is kept as it is)
    accumulate: int = bounded(1, 1)  # batches whose gradients are added for one step
    recompute: bool = False  # activations of the generator in the backward pass: saves memory
    # Cut weights, averages and the optimizer's state over the processes (FSDP); else every process
    # holds all of them.
    shard: bool = False
    # Mode of torch.compile for the loss (default, reduce-overhead); empty: none.
    compile: str = bounded("", choices=_COMPILED)
    refresh: int = bounded(500, 1)  # steps between two looks for new demonstrations
    save: float = bounded(600.0, 0)  # seconds between two saved states
    # Steps on windows without the frames to come, which take a quarter of the time, between two
    # with them, which are then all of known futures. Ask for `no_future`, too.
    short: int = bounded(0, 0)
    short_batch: int = bounded(0, 0)  # samples in a batch of such a step; 0: `batch`


@dataclasses.dataclass(frozen=True, slots=True)
class ReasonerTrainingOptions(OptimizerOptions):
    """Training of the reasoner on questions about the simulation."""

    # Policy steps from one batch of questions to the next. 0: a stage of its own before the policy
    # (then set policy.text to false), which alone uses the optimizer's options except `batch`.
    every: int = bounded(4, 0)
    # Whether what the generator reads its prompts with learns too. False: only the vision encoder,
    # the head, and of the text tower what follows the keys and values of its last layer: chunks
    # stay the same to the last bit. Needs `every: 0`.
    prompts: bool = True
    weight: float = bounded(1.0, 0)  # of the loss of a batch of questions beside the policy's
    batch: int = bounded(128, 1)
    compile: str = bounded("", choices=_COMPILED)  # mode of torch.compile; empty: none
    refresh: int = bounded(100, 1)  # batches between two looks for new scenes
    save: float = bounded(600.0, 0)  # seconds between two saved states
    warm_up: int = bounded(256, 0)  # scenes to wait for before the first batch
    length: int = bounded(288, 1, 2**20)  # tokens of the longest question with its answer
    # The demonstrations whose scenes are asked about, see demonstrations.Demonstration.
    tasks: tuple[str, ...] = bounded(BASIC, choices=_TASKS)
    episodes: int = bounded(1000, 1, 10**7)  # of each task
    first_seed: int = bounded(1_000_000, 0)
    astray: float = share(0.3)
    scatter: float = share(0.3)
    # Scenes of a demonstration at moments of its execution, see samples.Watch.
    looks: int = bounded(4, 0)
    stills: int = bounded(4, 0)  # scenes of other layouts at rest, see samples.Watch
    # Scenes of attempts that are over, near misses among them, see samples.Watch. They teach to
    # judge outcomes; an attempt takes as long as a demonstration.
    endings: int = bounded(0, 0)
    workers: int = bounded(0, 0, 1024)  # rendering processes; 0: one less than there are cores

    def __post_init__(self) -> None:
        if self.every and not self.prompts:
            raise ValueError(
                "reasoner: expected every: 0 (a stage of its own) with prompts: false, "
                f"got every: {self.every}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class LoraOptions:
    """Fields of peft's LoraConfig; modules by the ends of their names in diffusers.

    The rank and the target modules (the generator's attention) are those of Cosmos 3's own recipe.
    """

    r: int = 16  # rank
    lora_alpha: float = 32.0  # the product of the two matrices counts lora_alpha / r
    # Linear layers that get an adapter.
    target_modules: tuple[str, ...] = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    # Modules that are trained in full. The action heads are, because those of a robot that was not
    # trained for are random: a product of low rank has nothing to add to them.
    modules_to_save: tuple[str, ...] = (
        "action_proj_in",
        "action_proj_out",
        "action_modality_embed",
    )

    def __post_init__(self) -> None:
        if self.r < 1 or self.lora_alpha <= 0 or not self.target_modules:
            got = f"{self.r}, {self.lora_alpha} and {self.target_modules}"
            raise ValueError(
                f"lora: expected r >= 1, lora_alpha > 0 and some target_modules, got {got}"
            )

    @property
    def scale(self) -> float:
        """Factor of the product of the two matrices: lora_alpha / r."""
        return self.lora_alpha / self.r
