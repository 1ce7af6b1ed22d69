# SPDX-License-Identifier: Apache-2.0
"""What the pages tell people to click and to type exists."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
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
