# SPDX-License-Identifier: Apache-2.0
"""Clock, power and energy of a GPU while something runs on it, as NVML reads them."""

from __future__ import annotations

import contextlib
import statistics
import threading
from types import TracebackType
from typing import Any

import torch

PERIOD = 0.02  # s between two readings


class PowerMeter:
    """A context that watches a GPU; `found` says what was seen, once it is over.

    device: "cuda" or "cuda:N"; on anything else, or without NVML's Python package, it sees nothing.
    """

    def __init__(self, device: str):
        self._handle: Any = None
        self._clocks: list[float] = []
        self._watts: list[float] = []
        self._joule = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if device.startswith("cuda"):
            try:
                import pynvml  # of nvidia-ml-py
            except ImportError:
                return
            pynvml.nvmlInit()
            self._nvml = pynvml
            # by its own name: CUDA_VISIBLE_DEVICES renumbers GPUs for CUDA, not for NVML
            uuid = torch.cuda.get_device_properties(device).uuid
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            with contextlib.suppress(pynvml.NVMLError):  # not every GPU counts its energy
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                self._handle = handle

    def _watch(self) -> None:
        nvml = self._nvml
        while not self._over.wait(PERIOD):
            self._clocks.append(nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM))
            self._watts.append(nvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3)

    def _energy(self) -> float:
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3

    def __enter__(self) -> PowerMeter:
        if self._handle is not None:
            self._joule = self._energy()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._over.set()
            self._thread.join()
            self._joule = self._energy() - self._joule

    def found(self, chunks: int) -> dict[str, float]:
        """Median SM clock in MHz and power in W, and joule for each of so many chunks."""
        if not self._clocks:
            return {}
        return {
            "sm_mhz": statistics.median(self._clocks),
            "watt": statistics.median(self._watts),
            "joule": self._joule / chunks,
        }
