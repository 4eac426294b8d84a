"""Shapes and options that every layer asks about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crossfm.core.options import check_count, check_number
from crossfm.errors import OptionError


def check_shape(x: Tensor, name: str, **sizes: int | None) -> Tensor:
    """Return ``x`` when it is (batch, *sizes); a size of None may be any. Raise ``OptionError`` otherwise."""
    expected = tuple(sizes.values())
    good = x.dim() == len(expected) + 1
    if not good or any(s is not None and s != n for s, n in zip(expected, x.shape[1:], strict=True)):
        words = ", ".join(key if size is None else f"{key}={size}" for key, size in sizes.items())
        raise OptionError(f"{name} has shape {tuple(x.shape)}, but it must be (batch, {words})")
    return x


def check_widths(name: str, widths: Any) -> tuple[int, ...]:
    """Return the widths of layers as a tuple, or raise ``OptionError``."""
    if isinstance(widths, (str, bytes)) or not isinstance(widths, Sequence):
        raise OptionError(f"{name}={widths!r}, but it must be a list of widths, such as [256, 128] or []")
    return tuple(check_count(name, width, low=1) for width in widths)


def check_rates(name: str, rates: Any, n_layers: int) -> tuple[float, ...]:
    """Return a dropout rate for each of ``n_layers``, from one number or a list, or raise ``OptionError``."""
    if isinstance(rates, Sequence) and not isinstance(rates, (str, bytes)):
        if len(rates) != n_layers:
            raise OptionError(f"{name}={rates!r} has {len(rates)} numbers, but there are {n_layers} layers")
    else:
        rates = (rates,) * max(n_layers, 1)
    for rate in rates:
        if check_number(name, rate) >= 1:
            raise OptionError(f"{name}={rate!r}, but it must be below 1: it is the share that is dropped")
    return tuple(float(rate) for rate in rates[:n_layers])


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` when it is True or False, or raise ``OptionError``."""
    if not isinstance(value, bool):
        raise OptionError(f"{name}={value!r}, but it must be True or False")
    return value


def field_pairs(n_fields: int) -> Tensor:
    """Return the pairs i < j of fields, int64 (2, n_pairs), in the order (0, 1), (0, 2), ..., (1, 2), ..."""
    return torch.triu_indices(n_fields, n_fields, offset=1)
