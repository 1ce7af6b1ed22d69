# SPDX-License-Identifier: Apache-2.0
"""Decoding with the text tower: one token at a time on a static KV cache, for CUDA graphs."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..loaded_model import Model
from ..network.kv_cache import KVCache
from ..network.layers import Rope, attention, rope_table
from ..network.tower import Layer
from ..network.transformer import Transformer
from ..runtime.cuda_graph import CudaGraph
from ..runtime.quantize import QuantizedLinear

if torch.version.cuda:  # other builds of torch come without Triton
    from ..runtime.triton_kernels import flash_decode

MIN_CAPACITY = 1024  # tokens


class DecodeLoop:
    """The text tower decoding one answer: `read` takes the prompt, each `step` takes one token.

    graphs: record a step as a CUDA graph; it is recorded again when the cache grows.
    """

    def __init__(self, transformer: Transformer, graphs: bool = False):
        self._transformer, self._graphs = transformer, graphs
        self._cache: list[tuple[Tensor, Tensor]] = []
        self._recording: CudaGraph | None = None
        self._rope: Rope | None = None  # tables for all positions in the cache
        self._written = self._position = 0

    @property
    def capacity(self) -> int:
        """Tokens that the cache has room for."""
        return self._cache[0][0].shape[1] if self._cache else 0

    def read(
        self,
        embeds: Tensor,
        positions: Tensor,
        deepstack: Sequence[Tensor],
        position: int,
        tokens: int,
    ) -> Tensor:
        """`Transformer.prefill` of a prompt; returns the scores [vocab] of the next token.

        position: of the next token; tokens: how many may follow.
        """
        hidden, cache = self._transformer.prefill(
            embeds=embeds, positions=positions, deepstack=deepstack
        )
        self.start(cache, position, tokens)
        return self._transformer.logits(hidden[0, -1]).float()

    def start(self, read: KVCache, position: int, tokens: int) -> None:
        """Copy a prompt's keys and values, with room for `tokens` tokens from `position` on."""
        needed = max(read.length, position) + tokens
        if needed > self.capacity:
            self._grow(read, needed)
        for (keys, values), key, value in zip(self._cache, read.keys, read.values, strict=True):
            keys[:, : read.length], values[:, : read.length] = key, value
        self._written, self._position = read.length, position

    def step(self, token: int | Tensor) -> Tensor:
        """The float32 scores [vocab] of the token after `token` (as a tensor: int64 [1]).

        The next call overwrites them.
        """
        index = self._written
        if max(index, self._position) >= self.capacity:
            raise ValueError(f"decoder: expected at most {self.capacity} tokens, got one more")
        # without waiting
        fill = functools.partial(
            torch.full, (1,), dtype=torch.long, device=self._transformer.device
        )
        known = token if isinstance(token, Tensor) else fill(token)
        where = torch.stack([known, fill(index), fill(self._position)])
        self._written, self._position = index + 1, self._position + 1
        if not self._graphs:
            return self._scores(where, index + 1)[0]
        if self._recording is None:
            self._recording = CudaGraph(self._scores, (where,))
        return self._recording(where)[0]

    def _grow(self, read: KVCache, needed: int) -> None:
        """Make room for `needed` tokens, with keys and values of the shapes in `read`."""
        shape = [*read.keys[0].shape]
        shape[1] = max(MIN_CAPACITY, 1 << (needed - 1).bit_length())
        self._recording, self._cache = None, []  # first free the memory of the old ones
        self._cache = [(key.new_zeros(shape), key.new_zeros(shape)) for key in read.keys]
        positions = torch.arange(shape[1], device=read.keys[0].device)
        self._rope = rope_table(
            positions.expand(3, -1), self._transformer.config, self._transformer.dtype
        )

    def _scores(self, where: Tensor, length: int | None = None) -> tuple[Tensor]:
        """One pass. where: int64 [3], token, index in the cache, position.

        length: tokens in the cache with this one, None in a recording.
        """
        model = self._transformer
        x = model.embed(where[:1])
        if length is None and _fusible(model):
            assert self._rope  # see `_grow`
            rotation = (where[2], *self._rope)
            for layer, cache in zip(model.text.layers, self._cache, strict=True):
                assert isinstance(layer, Layer)
                x = _decode_fused(layer, x, rotation, cache, where[1])
            return (_linear(model.head).matvec(x, model.text.norm)[0, -1].float(),)
        rope = rope_table(where[2:].expand(3, -1), model.config, x.dtype)
        for layer, cache in zip(model.text.layers, self._cache, strict=True):
            assert isinstance(layer, Layer)
            x = _decode(layer, x, rope, cache, where[1], length)
        return (model.logits(model.text.norm(x)[0, -1]).float(),)


class DecodeLoopPool:
    """The decode loops of a reasoner, by number: one for each answer in progress.

    In a process group the loops of rank 0 lead their counterparts in all other ranks.
    """

    def __init__(self, model: Model):
        self._model, self._team = model, model.team
        self._loops: dict[int, DecodeLoop] = {}
        self._idle: list[int] = []
        self._numbers = itertools.count()
        self._member = self._team.add(self) if self._team else 0
        # Whether the device may compute a step before the host has read the token before it.
        self.ahead = model.device.type == "cuda" and not self._team

    def take(self) -> int:
        """The number of an idle loop; `give` it back."""
        return self._idle.pop() if self._idle else next(self._numbers)

    def give(self, number: int) -> None:
        """Mark a loop as idle again."""
        self._idle.append(number)

    def read(
        self,
        number: int,
        embeds: Tensor,
        positions: Tensor,
        deepstack: Sequence[Tensor],
        position: int,
        tokens: int,
    ) -> Tensor:
        """See `DecodeLoop.read`."""
        with self._everywhere(number, embeds.shape[1], len(deepstack), position, tokens):
            if self._team:
                for tensor in (embeds, positions, *deepstack):
                    self._team.send(tensor)
            return self._loop(number).read(embeds, positions, deepstack, position, tokens)

    def step(self, number: int, token: int | Tensor) -> Tensor:
        """See `DecodeLoop.step`."""
        with self._everywhere(number, 0, int(token) if self._team else 0):
            return self._loop(number).step(token)

    @torch.inference_mode()
    def follow(self, numbers: list[int]) -> None:
        """`read` or `step` as rank 0 does."""
        assert self._team  # which calls
        number, length, *rest = numbers
        if not length:
            self._loop(number).step(rest[0])
            return
        count, position, tokens = rest
        hidden, device = self._model.config.hidden, self._model.device
        embeds = self._team.receive(
            torch.empty(1, length, hidden, dtype=self._model.transformer.dtype, device=device)
        )
        positions = self._team.receive(torch.empty(3, length, dtype=torch.long, device=device))
        deepstack = [self._team.receive(torch.empty_like(embeds)) for _ in range(count)]
        self._loop(number).read(embeds, positions, deepstack, position, tokens)

    def _loop(self, number: int) -> DecodeLoop:
        if number not in self._loops:
            self._loops[number] = DecodeLoop(self._model.transformer, self._model.graphs)
        return self._loops[number]

    @contextlib.contextmanager
    def _everywhere(self, *numbers: int) -> Iterator[None]:
        """Let the other ranks do what is done inside, with the group's lock held."""
        with self._team.lock if self._team else contextlib.nullcontext():
            if self._team:
                self._team.order(self._member, *numbers)
            yield


def _decode(
    layer: Layer,
    x: Tensor,
    rope: Rope,
    cache: tuple[Tensor, Tensor],
    index: Tensor,
    length: int | None,
) -> Tensor:
    """One layer for one token, which joins the cache at `index` (int64 [1])."""
    x, query, key, value, _ = layer.before_attention(x, rope)
    if length is None:
        return layer.after_attention(x, flash_decode(query, key, value, *cache, index))
    for store, new in zip(cache, (key, value), strict=True):
        store.index_copy_(1, index, new)
    return layer.after_attention(
        x, attention(query, cache[0][:, :length], cache[1][:, :length], causal=True)
    )


def _fusible(model: Transformer) -> bool:
    """Whether `_decode_fused` can run: joined `QuantizedLinear` layers, and a gated MLP."""
    layers = [layer for layer in model.text.layers if isinstance(layer, Layer)]
    linears = [
        model.head,
        *(layer.mlp.gate_up for layer in layers),
        *(layer.attention.qkv for layer in layers),
    ]
    return all(isinstance(linear, QuantizedLinear) for linear in linears)


def _decode_fused(
    layer: Layer,
    x: Tensor,
    rotation: tuple[Tensor, Tensor, Tensor],
    cache: tuple[Tensor, Tensor],
    index: Tensor,
) -> Tensor:
    """`_decode` on a GPU in six kernels, with norms, rotation, gate and residual sums fused in.

    rotation: position, and the tables of cosines and sines for all positions.
    """
    parts, mlp = layer.attention, layer.mlp
    qkv = _linear(parts.qkv).matvec(x, layer.attention_norm)
    query, key, value = (
        part.unflatten(-1, (-1, parts.head_dim)) for part in qkv.split(parts.widths, -1)
    )
    norms = (parts.q_norm, parts.k_norm)
    gains = (
        (norms[0].weight, norms[1].weight, norms[0].eps)
        if norms[0] is not None and norms[1] is not None
        else None
    )
    attended = flash_decode(query, key, value, cache[0], cache[1], index, rotation, gains)
    x = _linear(parts.out).matvec(attended, residual=x)
    hidden = _linear(mlp.gate_up).matvec(x, layer.mlp_norm, gated=True)
    return _linear(mlp.down).matvec(hidden, residual=x)


def _linear(part: nn.Module | None) -> QuantizedLinear:
    assert isinstance(part, QuantizedLinear)  # see `_fusible`
    return part
