# SPDX-License-Identifier: Apache-2.0
"""What becomes of each command on the pages when all are run: how small, or why it is not.

`make docs-commands` runs them, page by page in the order in which they stand
(run_page_commands.py); test_page_commands.py sees to it that every command has one of the two.
"""

from __future__ import annotations

import dataclasses
import re

from line_checks import ELSEWHERE, is_elsewhere, names_commands
from shell_lines import Line

# Words of the pages that stand for something of the reader's, and what the workspace has for it.
STAND_INS = {
    r"/path/to/Cosmos3-Nano-Policy-DROID": "Cosmos3-Nano",
    r"/path/to/Cosmos3-Nano": "Cosmos3-Nano",
    r"/path/to/checkpoint": "LIBERO",
    r"(?<!/)\bCosmos3-Nano-Policy-DROID": "Cosmos3-Nano",
    r"\b(my|OUT|out/mine)/checkpoint": "Cosmos3-Nano",
    r"\bCHECKPOINT(?= --env metaworld)": "MetaWorld",
    r"\bCHECKPOINT\b": "Cosmos3-Nano",
    r"/path/to/token": "token",
    r"/path/to/my_robot.yaml": "my_robot.yaml",
    r"model/checkpoints/droid_sim|(?<=[de] )embedded": "Cosmos3-Nano",  # quicker
    r"my/recordings": "data/mine",
    r"/data/videos": "jobs",
    r"\bj1=": "panda_joint1=",
    r"show NAME": "show droid_sim",
    r"(tiny|inspect) FOLDER": r"\1 new/FOLDER",
}
OPTIONS = r"cosmos3 \w+( \w+)?( --(?!help)[\w-]+)+( measured)?$"
GPU = "needs a GPU"
POLICY_UP = r"\[policy\]: \S+ ready after"
GRAPH = "cosmos3 run --checkpoint Cosmos3-Nano --task-server --armed"
# Why a command is not run, by a pattern that its beginning matches. The first one counts.
NOT_RUN = {
    r"ros2 ": "the ROS command line is not among the wheels; names, types, arguments are checked",
    r"torchrun ": "several processes with a GPU each",
    r"python -m torch": "PAI-Bench's scorer",
    r"python bench/": "a measurement, of minutes to hours",
    r"pytest |make test|tools/run\.sh \.venv pytest": "the tests themselves",
    r"make lerobot|tools/run\.sh \.venv \.venv/lerobot/": "downloads some gigabytes",
    r"make train": GPU,
    r"make ": "sets up an environment first; bench/first_steps.py does so in a clone",
    r"pip ": "changes the environment; test_packaging.py installs the package",
    r"docker ": "no Docker in the tests; docs/docker.md says what was tried",
    r"cosmos3 (messages|demo)$": "docs/installation.md is about an installed package",
    r"export ": "the shell's own; the file is checked",
    r"python tools/architecture\.py|.*graph_page": "writes into docs/; a test compares",
    r"tools/run\.sh \.venv[\w-]*$": "half a command",
    r"cosmos3 .*--gpus 2": "needs two GPUs",
    r"cosmos3 .*--(text-)?weights fp8": GPU,
    r"cosmos3 benchmark ": "reads a download; test/training/benchmarks has small ones",
    r"cosmos3 judge clips/ --questions HUE": "reads a download",
    r"cosmos3 .*(--url|--policy-url|remote_url) ?\S*(gpu|127)": "asks a server on another computer",
    r"cosmos3 train --recipe training/recipes/(droid|nano|two_arms|metaworld)": GPU,
    r"cosmos3 train --recipe mine\.yaml": "its recipe is the reader's; the first steps train",
    r"cosmos3 train --recipe R ": "an example of names; the parser takes it",
    r"tools/run\.sh .*first_steps\.yaml": "bench/first_steps.py runs the page",
    r"tools/run\.sh .*(out/start|--view|--strategy sync)": "bench/first_steps.py runs the page",
    r"cosmos3 eval .*--through": "hours; docs/results.md says how long",
    r"cosmos3 (eval out/(two_arms|metaworld)|run --robot two_arms_sim)": "needs what a GPU trained",
    r"cosmos3 record monday --robot two_arms_sim|cosmos3 convert monday --out data/monday --ro": (
        "test_two_arms.py records the arms"
    ),
    r"cosmos3 .*(vx300s|recipe\.yaml|embodiment\.yaml)|cosmos3 embodiment init draft": (
        "test_your_robot.py runs the page"
    ),
    r"cosmos3 stats data --embodiment|cosmos3 convert monday --out data --robot": (
        "test_your_robot.py runs the page"
    ),
    r"cosmos3 eval .*gym_pusht": "another project's; test_gym_world.py plays gymnasium's",
    r"cosmos3 run --robot franka_robotiq": "needs the robot",
    r"cosmos3 live ": "test_live_cli.py runs it over a running graph",
    r"cosmos3 imagine --topic": "waits for a planner's trajectory",
    r"cosmos3 collect out/<name>": "needs the reader's task",
    r"cosmos3 replay wrist": "needs the reader's checkpoint and robot",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """How a command is run small.

    more: arguments put behind it; until: what it prints when it is up, `seconds` before it gets
    Ctrl-C; beside: a graph that runs meanwhile; codes: exit codes that are right; says: what it
    has to print, too.
    """

    more: str = ""
    until: str = ""
    seconds: float = 0.0
    beside: str = ""
    codes: tuple[int, ...] = (0,)
    says: str = ""


METAWORLD = "--task reach-v3 --episodes 1 --workers 1"
SMALL_VIDEO = "--steps 1 --height 64 --width 64"
# By a pattern that the command's beginning matches. The first one counts.
RUNS = {
    r"cosmos3 generate --help|cosmos3 serve openpi --help": Run(),
    r"cosmos3 generate .*--frames 1": Run(SMALL_VIDEO),
    r"cosmos3 generate --batch": Run("--frames 5 " + SMALL_VIDEO),
    r"cosmos3 generate .*--tier": Run("--frames 5 --steps 1"),
    r"cosmos3 generate ": Run("--frames 5 " + SMALL_VIDEO),
    r"cosmos3 serve (openpi|libero|reasoner|generator)": Run("--port 0", until="ready: "),
    r"cosmos3 run --server": Run("--checkpoint Cosmos3-Nano --port 0", until="ready: "),
    r"cosmos3 run --robot metaworld": Run("", until=POLICY_UP),
    r"cosmos3 run ": Run("--checkpoint Cosmos3-Nano", until=POLICY_UP),
    r"cosmos3 view ": Run(until="console: open"),
    r"cosmos3 record ": Run(
        until="Ctrl-C ends it", seconds=8.0, beside="cosmos3 run --no-policy --no-reasoner"
    ),
    # random weights do not solve it; a task that was rejected ends at once
    r"cosmos3 task ": Run("--time-limit 3", beside=GRAPH, codes=(0, 1), says=r"after [1-9]"),
    # while the policy follows an instruction, a slow machine has no time for a candidate
    # the candidate that is there begins where an episode does
    r"cosmos3 imagine --checkpoint .*--episode": Run("--frame 0"),
    r"cosmos3 imagine --checkpoint": Run(),
    r"cosmos3 imagine ": Run('--instruction "wait"', beside=GRAPH),
    r"cosmos3 embodiment init mine --topics": Run(
        "--out live.yaml --seconds 3", beside="cosmos3 run --no-policy --no-reasoner"
    ),
    r"cosmos3 embodiment init": Run(),
    r"cosmos3 embodiment show": Run(),
    # the random checkpoint is of another embodiment, which is what it has to say
    r"cosmos3 embodiment check": Run(codes=(0, 1)),
    r"cosmos3 (eval|collect) (expert|FOLDER|out/mt50) --env metaworld": Run(METAWORLD),
    r"cosmos3 eval .*--env metaworld": Run(METAWORLD + " --rows 0 --steps 1"),
    # presets have steps of their own
    r"cosmos3 eval .*--compare": Run("--suite reach --episodes 1 --limit 0.5 --workers 1"),
    r"cosmos3 eval ": Run("--suite reach --episodes 1 --limit 0.5 --workers 1 --steps 1"),
    r"cosmos3 calibrate .*--dataset": Run("--episodes 4 --steps 1 --training-steps 2"),
    r"cosmos3 calibrate ": Run(
        "--episodes 2 --disturbed 1 --limit 1 --workers 1 --steps 1 --training-steps 2"
    ),
    r"cosmos3 collect ": Run("--episodes 1 --workers 1"),
    r"cosmos3 dynamics ": Run("--steps 1"),
    r"cosmos3 (stats|convert|tiny|inspect) ": Run(),
    r"cosmos3 ask ": Run("--checkpoint Cosmos3-Nano --max-tokens 4"),
    r"cosmos3 judge ": Run("--max-tokens 4"),
    r"tools/run\.sh \.venv cosmos3 replay": Run("--frames 8 --no-reasoner"),
}


def why_not(line: Line) -> str:
    """Why this command is not run; empty if it is."""
    if line.page.endswith((".yaml", "CHANGELOG.md")):
        return "stands beside the pages"
    for start, why in ELSEWHERE.items():
        if is_elsewhere(line, start):
            return why
    if line.mention and (names_commands(line.text) or re.match(OPTIONS, line.text)):
        return "a name, in a sentence"
    return next((why for start, why in NOT_RUN.items() if re.match(start, line.text)), "")


def how(line: Line) -> Run:
    """How this command is run. LookupError for one that nothing is said of."""
    for start, run in RUNS.items():
        if re.match(start, line.text):
            return run
    raise LookupError(f"{line}: is it run, and how small? See page_fates.py")


def command(line: Line) -> str:
    """The command as it is run: the page's, with the workspace's names and what makes it small."""
    text = line.text
    for word, stand_in in STAND_INS.items():
        text = re.sub(word, stand_in, text)
    text = re.sub(r"^tools/run\.sh \.venv ", "", text)
    return f"{text} {how(line).more}".strip()
