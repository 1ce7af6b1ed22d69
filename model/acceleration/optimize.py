# SPDX-License-Identifier: Apache-2.0
"""Makes a loaded model fast in place: torch.compile, quantization, CUDA graphs, offloading."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..loaded_model import Model
from ..network.kv_cache import Pair
from ..network.layers import FEW_QUERIES, attend_to
from ..network.tower import Layer
from ..runtime.quantize import FORMATS, FP8, join, quantize
from .offload import offloaded, tensors
from .options import RuntimeOptions
from .tensor_parallel import TensorParallelSplit, split_of

LOG = logging.getLogger("cosmos3_ros.model")


def optimize(
    model: Model, runtime: RuntimeOptions, device: torch.device | str | None = None
) -> None:
    """Change a loaded model in place as `runtime` says; it cannot be trained or saved afterwards.

    device: where the layers are to run, if they were loaded into the host's memory to be quantized
    on their way.
    """
    device = torch.device(device or model.device)
    transformer = model.transformer
    if runtime.kept:
        keep_compiled(runtime.kept)
    if runtime.compiled:
        from torch._dynamo import config

        config.cache_size_limit = max(32, config.cache_size_limit)
    split = split_of(model.team)
    compiled = runtime.compiled
    if hasattr(transformer, "generator"):
        layers = transformer.generator.layers
        _prepare(layers, runtime.generator, compiled, device, split)
        if split is None and device.type == "cuda":
            fuse_rounding(layers)
        if compiled and device.type == "cuda":
            split_keys(layers)
        _compile(layers, compiled, dynamic=False)
        if runtime.attention == "fp8" and device.type == "cuda":
            round_attention(layers, device)
    away = runtime.placement == "policy"
    _prepare(transformer.text.layers, runtime.text, compiled, device, split, away)
    if away and device.type == "cuda":
        transformer.text.layers, buffer = offloaded(transformer.text.layers, device)
        _compile([buffer], compiled, dynamic=True)
    else:
        _compile(transformer.text.layers, compiled, dynamic=True)
    fast_head = compiled or runtime.text != "none"
    if transformer.head is not None and fast_head and device.type == "cuda" and split is None:
        transformer.head = head(transformer.head.get_parameter("weight"), runtime.text)
    if model.vae is not None and device.type == "cuda":
        model.vae.optimize(compiled, runtime.graphs)
    model.graphs = runtime.graphs


def keep_compiled(folder: str) -> None:
    """Have torch keep compiled code in a folder, or where that cannot be in one that is soon gone.

    As for a user in a container, who has no home, or one that cannot be written.
    """
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, RuntimeError) as error:  # no such user, and no HOME
        path = Path(tempfile.mkdtemp(prefix="cosmos3-compiled-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        os.environ.setdefault("TRITON_CACHE_DIR", str(path / "triton"))  # else in the home, too
        LOG.warning("compiled code is not kept for the next start: %s", error)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(path)  # torch has no other way to set it


def _prepare(
    layers: nn.ModuleList,
    weight_format: str,
    compiled: bool,
    device: torch.device,
    split: TensorParallelSplit | None,
    away: bool = False,
) -> None:
    """Quantize and join the weights layer by layer on the device.

    away: the layers go back to the host's memory, pinned.
    """
    if weight_format == "none" and not compiled and not away:
        return
    for layer in layers:
        assert isinstance(layer, Layer)
        layer.to(device)
        if split:
            split.to_local(layer)
        if weight_format != "none" or device.type == "cuda":
            quantize([layer], weight_format)
        join_projections(layer)
        if split:
            split.all_reduce_outputs(layer)
        if away and device.type == "cuda":
            layer.to("cpu")
            for tensor in tensors(layer):
                tensor.data = tensor.data.pin_memory()


def round_attention(layers: Iterable[nn.Module], device: torch.device) -> None:
    """Let full steps attend in FP8, in place; ValueError if the GPU does not multiply in it.

    With a mask, for few queries or with gradients layers attend as before.
    """
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 9):
        raise ValueError(
            "attention fp8: expected a GPU of compute capability 8.9 or later, got "
            f"{capability[0]}.{capability[1]}"
        )
    from ..runtime.attention_kernels import fp8_attention

    def attend(query: Tensor, pairs: Sequence[Pair], mask: Tensor | None = None) -> Tensor:
        few = len(query) > 1 or query.shape[1] <= FEW_QUERIES
        if few or mask is not None or torch.is_grad_enabled():
            return attend_to(query, pairs, mask)
        return fp8_attention(query, pairs)

    for layer in layers:
        assert isinstance(layer, Layer)
        layer.attend = attend


def split_keys(layers: Iterable[nn.Module]) -> None:
    """Let steps of the rows alone attend by kernels for few queries and many keys, in place."""
    from ..runtime.few_queries import attend_beside

    for layer in layers:
        assert isinstance(layer, Layer)
        layer.attend_beside = attend_beside


def fuse_rounding(layers: Iterable[nn.Module], fused: bool = True) -> None:
    """Let layers in FP8 round what they multiply where it is made, in place; on a GPU only."""
    for layer in layers:
        assert isinstance(layer, Layer)
        layer.fused = fused and layer.mlp.gated and isinstance(layer.mlp.down, FP8)


def head(weight: Tensor, weight_format: str) -> nn.Module:
    """lm_head: unquantized if the tower's format is "none", else int8, as its error adds to logits.

    In 16 slices, to bound peak memory.
    """
    if weight_format == "none":
        return FORMATS[weight_format].from_weight(weight)
    return join([FORMATS["int8"].from_weight(part) for part in weight.chunk(16)])


def join_projections(layer: Layer) -> None:
    """Make one product of query, key and value, and one of gate and up, in place."""
    attention, mlp = layer.attention, layer.mlp
    parts = [attention.q, attention.k, attention.v]
    attention.qkv = join(parts)
    attention.widths = [len(part.get_parameter("weight")) for part in parts]
    del attention.q, attention.k, attention.v
    if mlp.gated:
        mlp.gate_up = join([mlp.gate, mlp.up])
        del mlp.gate, mlp.up


def _compile(layers: Iterable[nn.Module], compiled: bool, dynamic: bool) -> None:
    """Compile what comes before and after the attention; all layers of a tower share the code."""
    for layer in layers if compiled else ():
        assert isinstance(layer, Layer)
        before = torch.compile(layer.before_attention, dynamic=dynamic)
        after = torch.compile(layer.after_attention, dynamic=dynamic)
        layer.before_attention = before  # type: ignore[method-assign]
        layer.after_attention = after  # type: ignore[method-assign]
