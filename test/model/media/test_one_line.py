# SPDX-License-Identifier: Apache-2.0
"""What libraries say becomes a line, whatever stands in it."""

import pytest

from cosmos3_ros.model.media.one_line import is_plain, one_line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (ValueError("bad\n  in line 3\x85 of it"), "bad in line 3 of it"),
        (ValueError("a\x00b\x1b[31m"), r"a\x00b\x1b[31m"),
        ("half a pair \ud800", r"half a pair \ud800"),
        ("赤い 立方体", "赤い 立方体"),
        ("", ""),
    ],
)
def test_breaks_and_control_signs_go(said, line):
    assert one_line(said) == line
    assert is_plain(line)


def test_a_long_one_is_cut():
    assert one_line("x" * 1000, 20) == f"{'x' * 17}..."
    assert len(one_line("x" * 1000)) == 300


def test_spaces_of_other_languages_are_plain():
    assert is_plain("赤い\u3000立方体\u00a0")
    assert not any(map(is_plain, ("a\nb", "\x7f", "\u2028", "\u2029", "\x85", "\udcff")))
