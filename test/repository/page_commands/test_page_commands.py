# SPDX-License-Identifier: Apache-2.0
"""Every command on the pages is run by `make docs-commands`, or it is said why not.

Here the cheap ones run; what runs nowhere in `make test` is run there.
"""

import re
import shlex
from pathlib import Path

import pytest
from page_fates import NOT_RUN, RUNS, STAND_INS, Run, command, how, why_not
from page_workspace import fill_page
from run_page_commands import main, pages
from shell_lines import Line, read_lines

LINES = {line.text: line for page in pages() for line in read_lines(page)}
# a second or two each, without a graph, a GPU or pictures
CHEAP = re.compile(r"cosmos3 (tiny FOLDER|inspect FOLDER|embodiment show|generate --help)")


def test_every_command_is_run_or_has_a_reason() -> None:
    """`how` raises LookupError for one that nobody has thought of."""
    run = [line for line in LINES.values() if not why_not(line)]
    assert len(run) > 50
    for line in run:
        assert shlex.split(command(line))
        assert how(line)


def test_nothing_is_said_of_commands_that_no_page_has() -> None:
    texts = [line.text for line in LINES.values()]
    for pattern in (*NOT_RUN, *RUNS):
        assert any(re.match(pattern, text) for text in texts), pattern
    for pattern in STAND_INS:
        assert any(re.search(pattern, text) for text in texts), pattern


def test_an_unknown_command_is_an_error() -> None:
    with pytest.raises(LookupError, match="cosmos3 dance"):
        how(Line("a page", "cosmos3 dance"))


def test_a_folder_has_all_but_what_its_page_writes(tmp_path: Path) -> None:
    template = tmp_path / "template"
    for name in ("data/mine/meta", "monday/bag", "tuesday/bag"):
        (template / name).mkdir(parents=True)
    commands = ["cosmos3 record monday --robot r", "cosmos3 convert monday --out data/mine"]
    fill_page(template, tmp_path / "page", commands)
    assert (tmp_path / "page/tuesday/bag").is_dir()
    assert not (tmp_path / "page/monday").exists()
    assert not (tmp_path / "page/data/mine").exists()


@pytest.mark.parametrize("line", [LINES[text] for text in LINES if CHEAP.match(text)], ids=str)
def test_cheap_commands_run(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos3_ros.cli import main as cosmos3
    from cosmos3_ros.model.checkpoint_io.tiny import write_tiny

    monkeypatch.chdir(tmp_path)
    if "inspect" in line.text:
        write_tiny(tmp_path / "new/FOLDER")
    words = shlex.split(command(line))[1:]
    if "--help" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            cosmos3(words)
    else:
        assert cosmos3(words) in how(line).codes


def test_what_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One command that ends as it may, one that does not."""
    monkeypatch.setitem(RUNS, "true|false", Run())
    page = tmp_path / "page.md"
    page.write_text("```\ntrue\nfalse\n```\n")
    (tmp_path / "template").mkdir()
    assert main([str(page)], template=tmp_path / "template") == 1
    assert "2 commands: 2 run in 0 min, 1 failed, 0 not run" in capfd.readouterr().out
