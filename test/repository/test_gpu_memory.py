# SPDX-License-Identifier: Apache-2.0
"""The table of GPUs on the page is what the loader counts."""

import gpu_memory
import pytest


def test_the_page_has_what_the_loader_counts() -> None:
    page = gpu_memory.PAGE.read_text()
    assert gpu_memory.with_table(page) == page, "run tools/gpu_memory.py"


def test_a_page_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .* once, got 0"):
        gpu_memory.with_table("no table here")
