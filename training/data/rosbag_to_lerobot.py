# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 convert`: a robot's recordings become demonstrations in a LeRobotDataset.

Frame t shows the newest picture of each camera and the joints interpolated to its time; action t is
what was commanded for one step later, or where the joints then were if no command was in effect.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from ...model.embodiment import JOINTS
from ...model.interface import NS
from ...robot import topic_names
from ...robot.recorded_robot import RecordedRobot, read_robot
from ...robot.topic_names import COMMANDS, command
from .command_timeline import MEASURED, commanded, find_sources
from .episodes import Episode
from .lerobot_writer import finish, write_shard
from .rosbag_file import check_size, read_pictures
from .rosbag_reader import Recording, latest, read_recording
from .stray_messages import leaps
from .video_io import fit

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class ConvertOptions:
    """instruction: of what has none in the bag.

    actions: "measured", or the name in this package of the only topic to
    take commands from, or "" for all of them; gap: s without a picture or a joint state after which
    an episode ends; shortest: s of an episode; height: pixels to which larger pictures are shrunk,
    0 keeps them.
    """

    instruction: str = ""
    actions: str = ""
    gap: float = 0.25
    shortest: float = 1.0
    height: int = 360

    def __post_init__(self) -> None:
        known = ("", MEASURED, *COMMANDS)
        if self.actions not in known:
            raise ValueError(f"actions: expected one of {list(known)}, got {self.actions!r}")
        for name, seconds in (("gap", self.gap), ("shortest", self.shortest)):
            if seconds <= 0:
                raise ValueError(f"{name}: expected more than 0 s, got {seconds}")
        if self.height < 0 or self.height % 2:
            raise ValueError(f"height: expected an even number of pixels, or 0, got {self.height}")


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A part of a recording that shows one thing being done: frames at `times` (ns).

    Commands from before `reset` (ns)
    were forgotten by then; task, seed: of the simulation, if it was one.
    """

    times: np.ndarray
    instruction: str
    reset: int
    task: str
    seed: int


def convert(
    bags: Sequence[Path], folder: Path, robot: str, options: ConvertOptions, tell: Tell = print
) -> int:
    """Write the episodes of all bags, and return how many; `tell` hears what was left out and why.

    ValueError if the folder holds something, if a bag lacks what the robot file names, or if
    nothing is left.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected a new or an empty folder")
    about = read_robot(robot)
    if about.embodiment.kind != JOINTS:
        raise ValueError(
            f"robot file {robot}: expected an embodiment that acts by joints, for recordings are "
            f"of joints; {about.embodiment.name} acts by {about.embodiment.kind}"
        )
    log: list[dict] = []
    used: list[set[str]] = [set() for _ in about.joints.joints]
    sizes: dict[str, tuple[int, ...]] = {}
    for bag in bags:
        recording = read_recording(bag, about, tell)
        sources = command_sources(recording, about, options)
        for joint, source in zip(used, sources, strict=True):
            joint.add(source)
        for piece in cut(recording, about, options, tell):
            episode, followed = make_episode(recording, piece, sources, about, options)
            for view, pictures in episode.views.items():
                try:
                    check_size(pictures.shape[1:], sizes.setdefault(view, pictures.shape[1:]))
                except ValueError as error:
                    raise ValueError(f"{bag}: {recording.cameras[view]}: {error}") from None
            write_shard(folder, len(log), len(log), [episode], about.embodiment)
            begin, end = ((int(time) - _beginning(recording)) / NS for time in piece.times[[0, -1]])
            tell(
                f"episode {len(log)}: {bag} from {begin:.1f} to {end:.1f} s, {len(episode)} "
                f"frames, {followed} of them before any command: {piece.instruction!r}"
            )
            place = {"bag": str(bag), "stamp": int(piece.times[0]), "from": begin, "to": end}
            log.append({**place, "frames": len(episode), "before_any_command": followed})
    if not log:
        raise ValueError(f"no episode of {options.shortest} s in {[str(bag) for bag in bags]}")
    finish(folder, len(log), about.embodiment, about.name, [sorted(joint) for joint in used])
    text = json.dumps(
        {"robot": about.name, "options": dataclasses.asdict(options), "episodes": log}, indent=2
    )
    (folder / "convert.json").write_text(text + "\n", encoding="utf-8")
    return len(log)


def cut(
    recording: Recording, robot: RecordedRobot, options: ConvertOptions, tell: Tell
) -> list[Piece]:
    """The parts of a recording that become episodes: new instructions, resets and gaps end one."""
    told = [(at, text.strip()) for at, text in recording.instructions]
    if not options.instruction and not any(text for _, text in told):
        raise ValueError(
            f"{recording.path}: no instruction: nothing on "
            f"{robot.topics[topic_names.INSTRUCTION]} (expected std_msgs/String); say with "
            "--instruction what was done"
        )
    changes = [at for (_, old), (at, new) in pairwise([(0, ""), *told]) if old != new]
    begin = _beginning(recording)
    end = max(
        stamps[-1]
        for stamps in (*recording.stamps.values(), *(stamps for stamps, _ in recording.states))
    )
    events = sorted({*changes, *(reset for reset, _, _ in recording.resets)})
    pieces: list[Piece] = []
    for since, until in pairwise([begin, *(at for at in events if begin < at < end), int(end) + 1]):
        text = latest(told, since, "") or options.instruction
        reset = next(
            (event for event in reversed(recording.resets) if event[0] <= since), (0, "", -1)
        )
        if not text:
            tell(_left_out(recording, since, until, "no instruction yet"))
            continue
        pieces += [
            Piece(times, text, *reset)
            for times in _unbroken(recording, since, until, robot, options, tell)
        ]
    seconds = sum(len(piece.times) for piece in pieces) * robot.embodiment.step / NS
    tell(
        f"{recording.path}: {seconds:.1f} of {(end - begin) / NS:.1f} s in {len(pieces)} episode(s)"
    )
    return pieces


def make_episode(
    recording: Recording,
    piece: Piece,
    sources: Sequence[str],
    robot: RecordedRobot,
    options: ConvertOptions,
) -> tuple[Episode, int]:
    """The demonstration in a piece, and how many actions are measured despite commanded joints."""
    later = piece.times + robot.embodiment.step
    held = [joint in robot.joints.grippers for joint in robot.joints.joints]
    motions = [motion for motion in recording.motions if piece.reset <= motion.begin < later[-1]]
    actions = commanded(
        motions, sources, later, held, lambda at: _states(recording, np.array([at]))[0]
    )
    without = np.isnan(actions)
    actions = np.where(without, _states(recording, later), actions)
    views = {}
    for view, stamps in recording.stamps.items():
        which = _newest(stamps, piece.times, robot.embodiment.step)
        pictures = read_pictures(
            recording.path,
            recording.cameras[view],
            recording.numbers[view][which].tolist(),
            stamps[which].tolist(),
        )
        views[view] = np.stack([fit(picture, options.height) for picture in pictures])
    episode = Episode(
        views=views,
        states=_states(recording, piece.times).astype(np.float32),
        actions=actions.astype(np.float32),
        instructions=(piece.instruction,),
        truth=np.zeros((len(later), 0), np.float32),
        task=piece.task,
        seed=piece.seed,
    )
    return episode, int(without[:, [source != MEASURED for source in sources]].any(axis=1).sum())


def _unbroken(
    recording: Recording,
    since: int,
    until: int,
    robot: RecordedRobot,
    options: ConvertOptions,
    tell: Tell,
) -> Iterator[np.ndarray]:
    """Times of the frames between two moments at which all cameras and joints have data."""
    step, view = robot.embodiment.step, robot.embodiment.views[0]
    stamps = recording.stamps[view]
    # in phase with this camera
    first = int(stamps[min(int(np.searchsorted(stamps, since)), len(stamps) - 1)])
    gap = round(options.gap * NS)
    times = _near_pictures(stamps[stamps < until], first, until - step, step, gap)
    missing = _missing(recording, robot, times, since, until, gap)
    if not first - since < options.gap * NS:
        tell(_left_out(recording, since, first, f"nothing from {recording.cameras[view]}"))
    ends = np.append(times[1:], times[-1:] + step)
    for reason, group in groupby(range(len(times)), missing.__getitem__):
        frames = list(group)
        begin, end = int(times[frames[0]]), int(ends[frames[-1]])
        if reason:
            tell(_left_out(recording, begin, end, reason))
        elif end - begin < options.shortest * NS:
            tell(_left_out(recording, begin, end, f"shorter than {options.shortest} s"))
        else:
            yield times[frames]


def _near_pictures(stamps: np.ndarray, first: int, until: int, step: int, gap: int) -> np.ndarray:
    """The multiples of `step` behind `first` that are within `gap` of a picture, and one more each.

    However far apart the pictures are, there are not more frames than they account for.
    """
    stamps = stamps[stamps >= first]
    parts = [np.zeros(0, np.int64)]
    for pictures in np.split(stamps, np.flatnonzero(np.diff(stamps) > gap + 2 * step) + 1):
        if len(pictures):
            end = min((pictures[-1] + gap - first) // step + 2, -((first - until) // step))
            parts.append(np.arange((pictures[0] - first) // step, end, dtype=np.int64))
    return first + step * np.unique(np.concatenate(parts))


def _missing(
    recording: Recording,
    robot: RecordedRobot,
    times: np.ndarray,
    since: int,
    until: int,
    gap: int,
) -> list[str]:
    """For each frame what it lacks, or ""; data from before `since` belong to something else."""
    lacks, step = [""] * len(times), robot.embodiment.step

    def note(absent: np.ndarray, what: str) -> None:
        for frame in np.flatnonzero(absent):
            lacks[frame] = lacks[frame] or what

    for view, stamps in recording.stamps.items():
        shown = stamps[np.maximum(_newest(stamps, times, step), 0)]
        note(
            (shown < since) | (abs(times - shown) > gap), f"nothing from {recording.cameras[view]}"
        )
    for joint, limit, (stamps, seen) in zip(
        robot.joints.joints, robot.velocity, recording.states, strict=True
    ):
        chosen = (stamps >= since) & (stamps <= until)
        own = np.concatenate([[since - gap - NS], stamps[chosen], [until + gap + NS]])
        leap = np.pad(leaps(limit, stamps[chosen], seen[chosen]), (1, 2))
        for moment in (times, times + step):
            before, after = (
                np.searchsorted(own, moment, side="right") - 1,
                np.searchsorted(own, moment),
            )
            note(own[after] - own[before] > gap, "no joint states")
            note(
                leap[before] & (after > before),
                f"{joint} leaps, further than its limit of {limit:.2f} per second lets it move",
            )
    return lacks


def _newest(stamps: np.ndarray, times: np.ndarray, step: int) -> np.ndarray:
    """Which picture each frame shows, -1 for none: the newest.

    A camera may be late by a tenth of a step.
    """
    return np.searchsorted(stamps, times + step // 10, side="right") - 1


def _states(recording: Recording, times: np.ndarray) -> np.ndarray:
    """The joints at these times, float64 [len(times), joints]."""
    begin = times[0]
    return np.stack(
        [np.interp(times - begin, stamps - begin, seen) for stamps, seen in recording.states],
        axis=1,
    )


def command_sources(
    recording: Recording, robot: RecordedRobot, options: ConvertOptions
) -> list[str]:
    """Where the commands of each joint are taken from; ValueError if the wanted topic has none."""
    sources = find_sources(recording.motions, len(robot.joints.joints), options.actions)
    wanted = [name for name in robot.commands if command(name) == options.actions]
    if wanted and not {*wanted} & {*sources}:
        where = " or ".join(robot.topics[name] for name in wanted)
        raise ValueError(f"{recording.path}: no commands on {where}")
    return sources


def _beginning(recording: Recording) -> int:
    return int(
        min(
            stamps[0]
            for stamps in (*recording.stamps.values(), *(stamps for stamps, _ in recording.states))
        )
    )


def _left_out(recording: Recording, since: int, until: int, reason: str) -> str:
    begin, end = ((at - _beginning(recording)) / NS for at in (since, until))
    return f"{recording.path}: left out {begin:.2f} to {end:.2f} s: {reason}"
