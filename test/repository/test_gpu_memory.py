# SPDX-License-Identifier: Apache-2.0
"""The tables of GPUs on the page are what the loader counts, and what was measured."""

import gpu_memory
import pytest
from gpu_memory import RUNS, smallest_card, video_need

from cosmos3_ros.model.acceleration.memory_budget import GIB, check_memory, needed
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.network.config import NANO


def test_the_page_has_what_is_counted_and_measured() -> None:
    page = gpu_memory.PAGE.read_text()
    assert gpu_memory.with_tables(page) == page, "run tools/gpu_memory.py"
    assert gpu_memory.table() in page
    assert gpu_memory.measured() in page


def test_a_page_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .*gpus.* once each"):
        gpu_memory.with_tables("no table here")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.what)
def test_no_run_took_more_than_is_counted(run: gpu_memory.Run) -> None:
    _, found = run.found()
    assert found < needed(run.config, run.options, run.gpus) < found + 3.5


def test_a_card_of_the_table_is_not_refused() -> None:
    """Nano's towers in bfloat16 need 34.1 GiB: 48 GB have that, 32 have not."""
    assert smallest_card(needed(NANO, RuntimeOptions())) == "48 GB"
    check_memory(NANO, RuntimeOptions(), 48e9 / GIB)
    with pytest.raises(ValueError, match=r"needs 34\.1 GiB"):
        check_memory(NANO, RuntimeOptions(), 32e9 / GIB)
    assert smallest_card(200.0) == "several"


def test_the_video_of_the_table_is_the_one_that_generation_measures() -> None:
    """docs/generation.md: 17.0 GiB while denoising, the text tower on the host, in FP8."""
    assert video_need("Nano, 16 B", NANO, "fp8") == pytest.approx(17.0, abs=0.1)
