"""FinalMLP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.neural.features import Features
from crossfm.neural.layers.checks import check_flag
from crossfm.neural.layers.fusion import BilinearFusion, FeatureGate
from crossfm.neural.layers.mlp import MLP
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, flat, part


class FinalMLP(Model):
    """y = bias + bilinear fusion of two MLPs, each of the gated embeddings and dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        Of the first stream.
    dropout : float or list of float, default=0
        On the hidden layers of both.
    activation : str, default="relu"
    batch_norm : bool, default=False
    hidden_2 : list of int or None, default=None
        Of the second stream; None: as the first.
    gates : bool, default=True
        Whether each stream weighs its inputs first.
    gate_fields, gate_fields_2 : list of int, default=()
        Fields whose embeddings say how the first and the second stream weigh their inputs (the paper takes the user's
        for one, the item's for the other); none of them: weights that do not depend on the row.
    gate_hidden : list of int, default=(64,)
    n_heads : int, default=1
        Of the fusion; divides the last width of both streams.
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.

    References
    ----------
    K. Mao et al. FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction. AAAI 2023.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded", "dense"})

    def __init__(
        self,
        n_fields: int,
        n_factors: int,
        *,
        n_dense: int = 0,
        hidden: Sequence[int] = HIDDEN,
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        batch_norm: bool = False,
        hidden_2: Sequence[int] | None = None,
        gates: bool = True,
        gate_fields: Sequence[int] = (),
        gate_fields_2: Sequence[int] = (),
        gate_hidden: Sequence[int] = (64,),
        n_heads: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense, self.linear = n_dense, check_flag("linear", linear)
        self.gate_fields = [
            _check_fields("gate_fields", gate_fields, n_fields),
            _check_fields("gate_fields_2", gate_fields_2, n_fields),
        ]
        self.gate, self.gate_2 = (
            FeatureGate(n_in, len(fields) * n_factors, hidden=gate_hidden)
            if check_flag("gates", gates)
            else None
            for fields in self.gate_fields
        )
        self.deep, self.deep_2 = (
            MLP(n_in, widths, dropout=dropout, activation=activation, batch_norm=batch_norm)
            for widths in (hidden, hidden if hidden_2 is None else hidden_2)
        )
        self.fusion = BilinearFusion(self.deep.n_out, self.deep_2.n_out, n_heads=n_heads)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        inputs, v = flat(x, self.n_dense), part(x, "embedded")
        streams = []
        gated = (self.gate, self.gate_2), (self.deep, self.deep_2), self.gate_fields
        for gate, deep, fields in zip(*gated, strict=True):
            context = v[:, fields].flatten(1) if fields else None
            streams.append(deep(inputs if gate is None else gate(inputs, context)))
        fused: Tensor = self.fusion(*streams)
        out = self.bias + fused.squeeze(1)
        return out + x.linear if self.linear else out


def _check_fields(name: str, fields: Sequence[int], n_fields: int) -> list[int]:
    if isinstance(fields, (str, bytes)) or not isinstance(fields, Sequence):
        raise OptionError(f"{name}={fields!r}, but it must be a list of field numbers")
    return [check_count(name, field, high=n_fields - 1) for field in fields]
