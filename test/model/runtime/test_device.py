# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from cosmos3_ros.model.runtime.device import default_dtype, resolve, resolve_device


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch):
    for there, expected in ((False, ("cpu", "float32")), (True, ("cuda", "bfloat16"))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve("auto", "auto") == expected
    assert resolve("cuda:1", "float32") == ("cuda:1", "float32")


def test_what_does_not_exist_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA GPU here; expected cpu or auto"):
        resolve_device("cuda:1")
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:N, got 'tpu'"):
        resolve_device("tpu")
    with pytest.raises(ValueError, match="'dtype': expected auto, float32 or bfloat16, got 'x'"):
        resolve("cpu", "x")
    with pytest.raises(ValueError, match=r"got 'bfloat', did you mean 'bfloat16'\?"):
        resolve("cpu", "bfloat")
    with pytest.raises(ValueError, match=r"got 'cude', did you mean 'cuda'\?"):
        resolve_device("cude")


def test_a_cpu_computes_in_float32_by_default():
    assert default_dtype("cpu") == torch.float32
    assert default_dtype(torch.device("meta")) == torch.bfloat16
