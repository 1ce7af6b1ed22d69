# SPDX-License-Identifier: Apache-2.0
"""The documentation as a site: every link leads somewhere, the reference is that of the code."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

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
    commands = (site / "reference/command_line.html").read_text(encoding="utf-8")
    action = next(
        action
        for action in command_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for name in action.choices:
        assert f"cosmos3 {name}" in commands
    messages = (site / "reference/messages.html").read_text(encoding="utf-8")
    for file in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"), *ROOT.glob("action/*.action")]:
        assert file.stem in messages
    assert "load_policy" in (site / "reference/python.html").read_text(encoding="utf-8")


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
