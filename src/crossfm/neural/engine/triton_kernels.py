# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""Triton kernels of the embeddings: sums over segments of a batch's non-zeros, and the update rules.

They work on the records of ``kernels.table.Table``: V | states of V | w, its states, [accumulator of V], [count]. What
an argument of None stands for is not computed. Nothing here has a size of non-zeros times factors, and all sums have
a fixed order: the same batch gives the same bits.
"""

from __future__ import annotations

from typing import Any

from crossfm.errors import OptionError

try:
    import triton
    import triton.language as tl
except ImportError as exc:
    raise OptionError(
        "device='cuda' needs Triton, which is not installed. It comes with PyTorch's builds for CUDA: install one of "
        "these, or `pip install triton`."
    ) from exc

PIECE = 64  # occurrences of a feature that one program sums; more are summed in pieces first
SGD, ADAGRAD, ADAM = (tl.constexpr(code) for code in (0, 1, 3))  # of core.rules


@triton.jit
def sum_segments(
    data, stride, w_at, ids, values, starts, n_segments, out_v, out_w, pooled, pair,
    K: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum x v and x w over the non-zeros [starts[s], starts[s + 1]) of each segment, a row or a field of a row.

    ``pooled`` and ``pair`` are half the square of the sum less the sum of squares: He & Chua, SIGIR 2017, eq. (4).
    """
    s = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, BLOCK_K)
    mine = s < n_segments
    begin = tl.load(starts + s, mask=mine, other=0)
    length = tl.load(starts + s + 1, mask=mine, other=0) - begin
    total = tl.zeros((BLOCK, BLOCK_K), tl.float32)
    squares = tl.zeros((BLOCK, BLOCK_K), tl.float32)
    linear = tl.zeros((BLOCK,), tl.float32)
    for j in range(tl.max(length, 0)):
        live = j < length
        record = data + tl.load(ids + begin + j, mask=live, other=0).to(tl.int64) * stride
        w = tl.load(record + w_at, mask=live, other=0.0)
        if values is not None:
            x = tl.load(values + begin + j, mask=live, other=0.0)
            w *= x
        linear += w
        if out_v is not None:
            z = tl.load(record[:, None] + d[None, :], mask=live[:, None] & (d < K)[None, :], other=0.0)
            if values is not None:
                z *= x[:, None]
            total += z
            if pooled is not None or pair is not None:
                squares += z * z
    at = s.to(tl.int64)
    tl.store(out_w + at, linear, mask=mine)
    cells = at[:, None] * K + d[None, :]
    inside = mine[:, None] & (d < K)[None, :]
    if out_v is not None:
        tl.store(out_v + cells, total, mask=inside)
    if pooled is not None or pair is not None:
        pairs = 0.5 * (total * total - squares)
        if pooled is not None:
            tl.store(pooled + cells, pairs, mask=inside)
        if pair is not None:
            tl.store(pair + at, tl.sum(pairs, 1), mask=mine)


@triton.jit
def _gather(
    begin, end, v, place, row, field, values, d_linear, d_weights, d_embedded, d_pooled, d_pair, sums, n_fields,
    K: tl.constexpr, BLOCK_K: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Sum what the occurrences [begin, end) of a feature, in the order of ids, ask of its V and w.

    A pair's gradient p asks for x p (s - x v): exactly 0 for a feature alone in its row, whatever the compiler fuses.
    """
    d = tl.arange(0, BLOCK_K)
    g = tl.zeros((TILE, BLOCK_K), tl.float32)
    w = tl.zeros((TILE,), tl.float32)
    for first in range(begin, end, TILE):
        n = first + tl.arange(0, TILE)
        live = n < end
        cells = live[:, None] & (d < K)[None, :]
        at = tl.load(place + n, mask=live, other=0)
        i = tl.load(row + at, mask=live, other=0)
        x = tl.full((TILE,), 1.0, tl.float32)
        if values is not None:
            x = tl.load(values + at, mask=live, other=0.0)
        if d_linear is not None:
            w += x * tl.load(d_linear + i, mask=live, other=0.0)
        if d_weights is not None or d_embedded is not None:
            f = i * n_fields + tl.load(field + at, mask=live, other=0)
            if d_weights is not None:
                w += x * tl.load(d_weights + f, mask=live, other=0.0)
            if d_embedded is not None:
                g += x[:, None] * tl.load(d_embedded + f[:, None] * K + d[None, :], mask=cells, other=0.0)
        if d_pooled is not None or d_pair is not None:
            others = (
                tl.load(sums + i[:, None] * K + d[None, :], mask=cells, other=0.0) - x[:, None] * v[None, :]
            )
            if d_pooled is not None:
                g += (
                    x[:, None]
                    * tl.load(d_pooled + i[:, None] * K + d[None, :], mask=cells, other=0.0)
                    * others
                )
            if d_pair is not None:
                g += (x * tl.load(d_pair + i, mask=live, other=0.0))[:, None] * others
    return tl.sum(g, 0), tl.sum(w, 0)


@triton.jit
def sum_pieces(
    data, stride, ids, piece_begin, starts, segment, n_sorted, part_v, part_w,
    place, row, field, values, d_linear, d_weights, d_embedded, d_pooled, d_pair, sums, n_fields,
    K: tl.constexpr, BLOCK_K: tl.constexpr, TILE: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """Sum each piece of the features that occur more than PIECE times."""
    piece = tl.program_id(0)
    begin = tl.load(piece_begin + piece)
    if begin >= n_sorted:
        return
    end = tl.minimum(begin + PIECE, tl.load(starts + tl.load(segment + begin) + 1))
    d = tl.arange(0, BLOCK_K)
    record = data + tl.load(ids + begin).to(tl.int64) * stride
    v = tl.load(record + d, mask=d < K, other=0.0)
    g, w = _gather(
        begin, end, v, place, row, field, values, d_linear, d_weights, d_embedded, d_pooled, d_pair, sums, n_fields,
        K, BLOCK_K, TILE,
    )  # fmt: skip
    tl.store(part_v + piece * K + d, g, mask=d < K)
    tl.store(part_w + piece, w)


@triton.jit
def move(
    data, stride, w_at, padded, ids, starts, n_sorted, piece_number, part_v, part_w,
    n_rows, rate_V, rate_w, l2_V, l2_w, rarity, clip, clip_floor, beta1, beta2, eps, adam_scale, adam_steps,
    place, row, field, values, d_linear, d_weights, d_embedded, d_pooled, d_pair, sums, n_fields,
    RULE: tl.constexpr, CLIP: tl.constexpr,
    K: tl.constexpr, BLOCK_K: tl.constexpr, TILE: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """Move one touched feature: sum its occurrences, or its pieces, apply the rule in place, and shrink it.

    The penalty's own step is implicit, v / (1 + rate * l2): see ``shrink`` in cpp/embedding.hpp.
    """
    s = tl.program_id(0)
    begin = tl.load(starts + s)
    if begin >= n_sorted:
        return
    end = tl.load(starts + s + 1)
    d = tl.arange(0, BLOCK_K)
    number = tl.load(ids + begin).to(tl.int64)
    record = data + number * stride
    v = tl.load(record + d, mask=d < K, other=0.0)
    many = end - begin > PIECE
    g, g_w = _gather(
        begin, tl.where(many, begin, end), v, place, row, field, values, d_linear, d_weights, d_embedded, d_pooled,
        d_pair, sums, n_fields, K, BLOCK_K, TILE,
    )  # fmt: skip
    if many:
        first = tl.load(piece_number + begin) - 1
        last = first + tl.cdiv(end - begin, PIECE)
        tile_v = tl.zeros((TILE, BLOCK_K), tl.float32)
        tile_w = tl.zeros((TILE,), tl.float32)
        for n in range(first, last, TILE):
            t = n + tl.arange(0, TILE)
            tile_w += tl.load(part_w + t, mask=t < last, other=0.0)
            cells = (t < last)[:, None] & (d < K)[None, :]
            tile_v += tl.load(part_v + t[:, None] * K + d[None, :], mask=cells, other=0.0)
        g, g_w = tl.sum(tile_v, 0), tl.sum(tile_w, 0)
    count = (end - begin).to(tl.float32)
    g *= n_rows
    g_w *= n_rows
    if CLIP:
        norm = tl.sqrt(tl.sum(g * g, 0))
        most = count * tl.maximum(clip * tl.sqrt(tl.sum(v * v, 0)), clip_floor)
        g *= tl.where(norm > most, most / tl.maximum(norm, 1e-30), 1.0)
    own_w = record + w_at
    w = tl.load(own_w)
    strength = count
    if rarity is not None:
        strength *= tl.load(rarity + number)
    inside = d < K
    if RULE == SGD:
        v = (v - rate_V * g) / (1 + strength * l2_V * rate_V)
        w = (w - rate_w * g_w) / (1 + strength * l2_w * rate_w)
    elif RULE == ADAM:
        times = tl.load(own_w + 3) + 1.0
        tl.store(own_w + 3, times)
        step = times.to(tl.int32) - 1
        scale = tl.load(adam_scale + step, mask=step < adam_steps, other=1.0)
        m = beta1 * tl.load(record + padded + d, mask=inside, other=0.0) + (1 - beta1) * g
        u = beta2 * tl.load(record + 2 * padded + d, mask=inside, other=0.0) + (1 - beta2) * g * g
        tl.store(record + padded + d, m, mask=inside)
        tl.store(record + 2 * padded + d, u, mask=inside)
        rates = rate_V / (tl.sqrt(u) + eps)
        v = (v - rates * scale * m) / (1 + strength * l2_V * rates)
        m_w = beta1 * tl.load(own_w + 1) + (1 - beta1) * g_w
        u_w = beta2 * tl.load(own_w + 2) + (1 - beta2) * g_w * g_w
        tl.store(own_w + 1, m_w)
        tl.store(own_w + 2, u_w)
        rate = rate_w / (tl.sqrt(u_w) + eps)
        w = (w - rate * scale * m_w) / (1 + strength * l2_w * rate)
    else:
        if RULE == ADAGRAD:
            G = tl.load(record + padded + d, mask=inside, other=1.0) + g * g
            tl.store(record + padded + d, G, mask=inside)
            rates = rate_V / tl.sqrt(G)
            v = (v - rates * g) / (1 + strength * l2_V * rates)
        elif K > 0:
            shared = tl.load(own_w + 2) + tl.sum(g * g, 0) / K
            tl.store(own_w + 2, shared)
            rates = rate_V / tl.sqrt(shared)
            v = (v - rates * g) / (1 + strength * l2_V * rates)
        G_w = tl.load(own_w + 1) + g_w * g_w
        tl.store(own_w + 1, G_w)
        rate = rate_w / tl.sqrt(G_w)
        w = (w - rate * g_w) / (1 + strength * l2_w * rate)
    tl.store(record + d, v, mask=inside)
    tl.store(own_w, w)


def block_of(k: int) -> int:
    """Return the power of two that holds ``k`` factors."""
    return int(triton.next_power_of_2(max(k, 1)))


def programs(n: int, block: int) -> tuple[Any, ...]:
    """Return the grid of programs that take ``block`` of ``n`` each."""
    return (max(-(-n // block), 1),)
