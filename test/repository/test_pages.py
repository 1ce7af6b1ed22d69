# SPDX-License-Identifier: Apache-2.0
"""What the pages tell people to click and to type exists."""

import re
from pathlib import Path

import pytest
import yaml
from line_checks import ELSEWHERE, check, field_names, is_elsewhere
from shell_lines import ROOT, Line, blocks, read_lines

from cosmos3_ros.execution.strategies import STRATEGIES
from cosmos3_ros.model.acceleration.options import PLACEMENTS, WEIGHT_FORMATS
from cosmos3_ros.model.policy_options import PRESETS

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("model/checkpoints/*/README.md")),
]


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_messages_to_type_are_readable(page: Path) -> None:
    """In the shell they stand in double quotes, and ROS reads them as YAML."""
    text = page.read_text().replace("\\\n", " ")
    for line in re.findall(r"ros2 (?:service call|topic pub) .*", text):
        for message in re.findall(r'"(\{[^"]*\})"', line):
            assert isinstance(yaml.safe_load(message), dict), line


ROBOT_FILES = [*sorted((ROOT / "config").rglob("*.yaml"))]
TYPED = [line for page in (*PAGES, *ROBOT_FILES) for line in read_lines(page)]
ONCE = {line.text: line for line in sorted(TYPED, key=lambda line: not line.mention)}


@pytest.mark.ros
@pytest.mark.parametrize("line", ONCE.values(), ids=str)
def test_what_people_type_works(line: Line, tmp_path: Path, monkeypatch) -> None:
    """Parsed by the program it is for, with names that exist; `ELSEWHERE` says what is not."""
    monkeypatch.chdir(tmp_path)
    check(line)


def test_the_lines_that_are_not_checked_are_few_and_there() -> None:
    unused = {
        start: why
        for start, why in ELSEWHERE.items()
        if not any(is_elsewhere(line, start) for line in TYPED)
    }
    assert unused == {}
    assert len(TYPED) > 100


@pytest.mark.ros
@pytest.mark.parametrize(
    "text",
    [
        "cosmos3 demo --episode 3 --tusk reach",
        "cosmos3 demo --robot nobody",
        "cosmos3 collect out --task dance",
        "cosmos3 serve nobody",
        "cosmos3 dance",
        "cosmos3 train --recipe training/recipes/polish.yaml policy.sekonds=600",
        "make dance",
        "make demo TUSK=reach",
        "ros2 launch cosmos3_ros dance.launch.py",
        "ros2 launch cosmos3_ros reasoner.launch.py sim:=false",
        "ros2 launch cosmos3_ros policy.launch.py sim:=nope",
        "ros2 launch cosmos3_ros policy.launch.py robot:=franka_robotiq",
        "ros2 service call /commander/dance std_srvs/srv/SetBool",
        "ros2 service call /commander/arm std_srvs/srv/Trigger",
        "ros2 service call /reasoner/ask cosmos3_ros/srv/Ask '{answer: 4}'",
        "ros2 topic echo /cosmos3/dance",
        "ros2 topic pub --once /cosmos3/instruction std_msgs/msg/Bool '{data: true}'",
        "ros2 param describe /policy dance",
        "ros2 bag record -o monday /dance",
        "ros2 run cosmos3_ros dance",
        "ros2 run controller_manager spawner joint_state_broadcaster dance",
        "ros2 dance",
        "python bench/seams.py --dance",
        "python bench/dance.py",
        "torchrun --standalone --nproc-per-node 2 -m cosmos3_ros.brain dance --ros-args",
        "pip install '.[dance]'",
        "pytest test/dance",
        "pytest -m dance",
        "tools/run.sh .venv cosmos3 dance",
        "docker build -f docker/dance .",
        "docker run --rm cosmos3_ros:cpu cosmos3 dance",
        "docker run --rm cosmos3_ros:jazzy ros2 launch cosmos3_ros dance.launch.py",
        "dance",
    ],
)
def test_what_does_not_work_would_be_found(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, SystemExit, ValueError)):
        check(Line("a page", text))


def test_the_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = blocks(ROOT / "README.md", "python")
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["prediction"].chunk.values.shape == (16, 8)


@pytest.mark.ros
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name
)
def test_the_settings_on_a_page_exist(page: Path, tmp_path: Path) -> None:
    """Parameters of nodes, fields of recipes and embodiments."""
    from cosmos3_ros.bringup.graph_page import NODES
    from cosmos3_ros.model.embodiment.embodiment_file import read_embodiment
    from cosmos3_ros.training.recipe import read_recipe

    for block in blocks(page, "yaml"):
        content = yaml.safe_load(block)
        if not any(name.startswith("/") for name in content):
            (tmp_path / "file.yaml").write_text(block)
            if "canvas" in content:
                read_embodiment(tmp_path / "file.yaml")
            else:
                read_recipe(tmp_path / "file.yaml", [])
            continue
        for section, values in content.items():
            known = field_names(NODES[section.rpartition("/")[2]][1])
            assert {*values["ros__parameters"]} <= known


GLOSSARY = ROOT / "docs" / "glossary.md"
OTHERS = {
    page: page.read_text()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    if page != GLOSSARY
}
TERMS = re.findall(r"^\| ([^|]+) \|", GLOSSARY.read_text().partition("| --- |")[2], re.MULTILINE)
# "An *embodiment* says", "A *task* is": a page explains a word
EXPLAINED = re.compile(r"\b(?:An?|The)\s+\*([a-z][a-z ]*)\*\s+(?:is|says|means)\b")


def test_terms_are_in_order_and_there_once() -> None:
    assert sorted(TERMS, key=str.lower) == TERMS
    assert len(TERMS) == len({*TERMS}) > 35


def test_what_is_chosen_by_name_is_in_the_glossary() -> None:
    names = [*PRESETS, *STRATEGIES, *PLACEMENTS, *WEIGHT_FORMATS]
    text = GLOSSARY.read_text()
    assert [name for name in names if f"`{name}`" not in text] == []


def test_what_a_page_explains_has_an_entry() -> None:
    found = {word for text in OTHERS.values() for word in EXPLAINED.findall(text)}
    entries = {name for term in TERMS for name in re.sub(r" \(.*\)", "", term).split(", ")}
    assert {"embodiment", "task"} <= found
    assert sorted(found - entries - {"step"}) == []  # a step is told at "row"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_used_on_the_pages(term: str) -> None:
    text = "\n".join(OTHERS.values()).lower()
    names = re.sub(r" \(.*\)", "", term).lower().split(", ")
    assert [name for name in names if not re.search(rf"\b{name.replace(' ', '[ _]')}", text)] == []


def test_a_newcomer_is_led_to_the_glossary() -> None:
    assert "(docs/glossary.md)" in OTHERS[ROOT / "README.md"]
    assert "(glossary.md)" in OTHERS[ROOT / "docs" / "start.md"]
