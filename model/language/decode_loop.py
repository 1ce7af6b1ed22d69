# SPDX-License-Identifier: Apache-2.0
"""One token after the other on keys and values that stay where they are, so that a GPU can play it as a CUDA graph."""

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
from ..network.transformer import Layer, Transformer
from ..runtime.cuda_graph import CudaGraph
from ..runtime.quantize import QuantizedLinear

if torch.version.cuda:  # other builds of torch come without Triton
    from ..runtime.triton_kernels import attend_one

LEAST = 1024  # places


class Decoder:
    """The text tower of one answer at a time: `read` the prompt, then `step` from token to token.

    graphs: record a step as a CUDA graph; it is recorded again whenever a longer text needs more
    room.
    """

    def __init__(self, transformer: Transformer, graphs: bool = False):
        self._transformer, self._graphs = transformer, graphs
        self._cache: list[tuple[Tensor, Tensor]] = []
        self._recording: CudaGraph | None = None
        self._rope: Rope | None = None  # of every position there is room for
        self._written = self._position = 0

    @property
    def capacity(self) -> int:
        """Places there is room for."""
        return self._cache[0][0].shape[1] if self._cache else 0

    def read(
        self,
        embeds: Tensor,
        positions: Tensor,
        deepstack: Sequence[Tensor],
        position: int,
        tokens: int,
    ) -> Tensor:
        """Begin with a prompt, see `Transformer.prefill`.

        Returns the scores [vocab] of what follows it.

        position: of the next token; tokens: how many may come.
        """
        hidden, cache = self._transformer.prefill(
            embeds=embeds, positions=positions, deepstack=deepstack
        )
        self.start(cache, position, tokens)
        return self._transformer.logits(hidden[0, -1]).float()

    def start(self, read: KVCache, position: int, tokens: int) -> None:
        """Take over the keys and values of a prompt.

        Up to `tokens` more will follow, the first at `position`.
        """
        places = max(read.length, position) + tokens
        if places > self.capacity:
            self._grow(read, places)
        for (keys, values), key, value in zip(self._cache, read.keys, read.values, strict=True):
            keys[:, : read.length], values[:, : read.length] = key, value
        self._written, self._position = read.length, position

    def step(self, token: int | Tensor) -> Tensor:
        """The scores [vocab] of what follows `token` (a tensor: int64 [1]), float32.

        The next call overwrites them.
        """
        place = self._written
        if max(place, self._position) >= self.capacity:
            raise ValueError(f"decoder: expected at most {self.capacity} tokens, got one more")
        # without waiting
        fill = functools.partial(
            torch.full, (1,), dtype=torch.long, device=self._transformer.device
        )
        known = token if isinstance(token, Tensor) else fill(token)
        where = torch.stack([known, fill(place), fill(self._position)])
        self._written, self._position = place + 1, self._position + 1
        if not self._graphs:
            return self._scores(where, place + 1)[0]
        if self._recording is None:
            self._recording = CudaGraph(self._scores, (where,))
        return self._recording(where)[0]

    def _grow(self, read: KVCache, places: int) -> None:
        shape = [*read.keys[0].shape]
        shape[1] = max(LEAST, 1 << (places - 1).bit_length())
        self._recording, self._cache = None, []  # first give back what there was
        self._cache = [(key.new_zeros(shape), key.new_zeros(shape)) for key in read.keys]
        positions = torch.arange(shape[1], device=read.keys[0].device)
        self._rope = rope_table(
            positions.expand(3, -1), self._transformer.config, self._transformer.dtype
        )

    def _scores(self, where: Tensor, length: int | None = None) -> tuple[Tensor]:
        """One pass for `where`: token, place in the cache, position.

        length: places in use, None in a recording.
        """
        model = self._transformer
        x = model.embed(where[:1])
        if length is None and _fusible(model):
            assert self._rope  # see `_grow`
            turn = (where[2], *self._rope)
            for layer, cache in zip(model.text.layers, self._cache, strict=True):
                assert isinstance(layer, Layer)
                x = _lone(layer, x, turn, cache, where[1])
            return (_product(model.head).one(x, model.text.norm)[0, -1].float(),)
        rope = rope_table(where[2:].expand(3, -1), model.config, x.dtype)
        for layer, cache in zip(model.text.layers, self._cache, strict=True):
            assert isinstance(layer, Layer)
            x = _decode(layer, x, rope, cache, where[1], length)
        return (model.logits(model.text.norm(x)[0, -1]).float(),)


class Decoders:
    """The decoders of a reasoner, by number: more than one if several answers are given at once.

    In a team those of the first process lead their counterparts in all others.
    """

    def __init__(self, model: Model):
        self._model, self._team = model, model.team
        self._made: dict[int, Decoder] = {}
        self._idle: list[int] = []
        self._numbers = itertools.count()
        self._member = self._team.add(self) if self._team else 0
        # the device may step while the host still reads
        self.ahead = model.device.type == "cuda" and not self._team

    def take(self) -> int:
        """The number of one that is idle; `give` it back."""
        return self._idle.pop() if self._idle else next(self._numbers)

    def give(self, number: int) -> None:
        """It is idle again."""
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
        """See `Decoder.read`."""
        with self._everywhere(number, embeds.shape[1], len(deepstack), position, tokens):
            if self._team:
                for tensor in (embeds, positions, *deepstack):
                    self._team.send(tensor)
            return self._decoder(number).read(embeds, positions, deepstack, position, tokens)

    def step(self, number: int, token: int | Tensor) -> Tensor:
        """See `Decoder.step`."""
        with self._everywhere(number, 0, int(token) if self._team else 0):
            return self._decoder(number).step(token)

    @torch.inference_mode()
    def follow(self, numbers: list[int]) -> None:
        """Read or step beside the first process."""
        assert self._team  # which calls
        number, length, *rest = numbers
        if not length:
            self._decoder(number).step(rest[0])
            return
        count, position, tokens = rest
        hidden, device = self._model.config.hidden, self._model.device
        embeds = self._team.receive(
            torch.empty(1, length, hidden, dtype=self._model.transformer.dtype, device=device)
        )
        positions = self._team.receive(torch.empty(3, length, dtype=torch.long, device=device))
        deepstack = [self._team.receive(torch.empty_like(embeds)) for _ in range(count)]
        self._decoder(number).read(embeds, positions, deepstack, position, tokens)

    def _decoder(self, number: int) -> Decoder:
        if number not in self._made:
            self._made[number] = Decoder(self._model.transformer, self._model.graphs)
        return self._made[number]

    @contextlib.contextmanager
    def _everywhere(self, *numbers: int) -> Iterator[None]:
        """What is done inside, the others do too; nobody else orders anything meanwhile."""
        with self._team.lock if self._team else contextlib.nullcontext():
            if self._team:
                self._team.order(self._member, *numbers)
            yield


def _decode(
    layer: Layer,
    x: Tensor,
    rope: Rope,
    cache: tuple[Tensor, Tensor],
    place: Tensor,
    length: int | None,
) -> Tensor:
    """One layer for one token, which joins the cache at `place`."""
    query, key, value, _ = layer.enter(x, rope)
    if length is None:
        return layer.leave(x, attend_one(query, key, value, *cache, place))
    for store, new in zip(cache, (key, value), strict=True):
        store.index_copy_(1, place, new)
    return layer.leave(x, attention(query, cache[0][:, :length], cache[1][:, :length], causal=True))


def _fusible(model: Transformer) -> bool:
    """Whether `_lone` can: all products are `Product`s, joined, and the MLP is gated."""
    layers = [layer for layer in model.text.layers if isinstance(layer, Layer)]
    products = [
        model.head,
        *(layer.mlp.both for layer in layers),
        *(layer.attention.qkv for layer in layers),
    ]
    return all(isinstance(product, QuantizedLinear) for product in products)


def _lone(
    layer: Layer,
    x: Tensor,
    turn: tuple[Tensor, Tensor, Tensor],
    cache: tuple[Tensor, Tensor],
    place: Tensor,
) -> Tensor:
    """`_decode` on a GPU in six kernels: norms, rotation, gate and sums belong to those of products and attention.

    turn: position, and the rotations of all.
    """
    parts, mlp = layer.attention, layer.mlp
    qkv = _product(parts.qkv).one(x, layer.attention_norm)
    query, key, value = (
        part.unflatten(-1, (-1, parts.head_dim)) for part in qkv.split(parts.widths, -1)
    )
    norms = (parts.q_norm, parts.k_norm)
    gains = (
        (norms[0].weight, norms[1].weight, norms[0].eps)
        if norms[0] is not None and norms[1] is not None
        else None
    )
    seen = attend_one(query, key, value, cache[0], cache[1], place, turn, gains)
    x = _product(parts.out).one(seen, more=x)
    return _product(mlp.down).one(_product(mlp.both).one(x, layer.mlp_norm, gated=True), more=x)


def _product(part: nn.Module | None) -> QuantizedLinear:
    assert isinstance(part, QuantizedLinear)  # see `_fusible`
    return part
