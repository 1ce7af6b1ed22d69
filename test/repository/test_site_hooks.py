# SPDX-License-Identifier: Apache-2.0
"""The documentation as a site: every link leads somewhere, the reference is that of the code."""

import argparse
import dataclasses
import html
import os
import re
import subprocess
import sys
from pathlib import Path

from cosmos3_ros.bringup.graph_options import Options
from cosmos3_ros.cli import command_parser

ROOT = Path(__file__).parents[2]


def build(*options: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", *options],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_is_whole(tmp_path: Path) -> None:
    """`--strict` fails for a link, an anchor or a page in the navigation that is not there."""
    site = tmp_path / "site"
    done = build("--site-dir", str(site))
    assert done.returncode == 0, done.stderr[-2000:]
    first = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="execution.html"' in first
    assert 'href="files/model/checkpoints/droid_sim/index.html"' in first
    training = (site / "training.html").read_text(encoding="utf-8")
    assert 'href="files/training/recipes/ten_tasks.yaml"' in training
    recipe = ROOT / "training/recipes/ten_tasks.yaml"
    assert (site / "files/training/recipes/ten_tasks.yaml").read_bytes() == recipe.read_bytes()
    check_commands(shown(site / "reference/command_line.html"))
    check_messages(shown(site / "reference/messages.html"))
    check_launch_files(shown(site / "reference/launch_files.html"))
    assert "load_policy" in shown(site / "reference/python.html")
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in first, f"{page.name} is not in the navigation"


def shown(page: Path) -> str:
    """The text of a page."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def check_commands(text: str) -> None:
    """Every subcommand has a section of its own, with all of its options."""
    sections = {part.split("\n")[0].strip("¶ "): part for part in text.split("usage: ")}
    waiting = [command_parser()]
    while waiting:
        parser = waiting.pop()
        words = parser.format_usage().removeprefix("usage: ").split("[")[0].split()
        (section,) = (
            part for name, part in sections.items() if name.split("[")[0].split() == words
        )
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += dict.fromkeys(action.choices.values())
            elif action.help != argparse.SUPPRESS:
                names = action.option_strings or [action.metavar or action.dest]
                assert all(name in section for name in names), f"{parser.prog}: {names}"


def check_messages(text: str) -> None:
    """Every line of the interfaces stands there, comments too."""
    files = [file for kind in ("msg", "srv", "action") for file in ROOT.glob(f"{kind}/*.{kind}")]
    assert len(files) > 10
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert line.rstrip() in text, f"{file.name}: {line}"


def check_launch_files(text: str) -> None:
    """Every launch file; those that take all options have every one."""
    for file in ROOT.glob("launch/*.launch.py"):
        assert file.name in text
    names = [field.name for field in dataclasses.fields(Options)]
    section = text.split("policy.launch.py¶")[1].split(".launch.py¶", maxsplit=1)[0]
    assert all(name in section for name in names)


def test_a_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    """Of a site of one page, with the hooks of this one; without navigation, no reference."""
    links = ("nothing.md", "graph.md#nowhere", "../nowhere/file.yaml")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/graph.md").write_text("\n".join(f"[there]({link})" for link in links))
    (tmp_path / "mkdocs.yml").write_text(
        f"site_name: one\nhooks: [{ROOT}/tools/site_hooks.py]\nvalidation: {{anchors: warn}}\n"
    )
    done = build(folder=tmp_path)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "'graph.md' contains a link" in line]
    assert len(said) == len(links), done.stderr
