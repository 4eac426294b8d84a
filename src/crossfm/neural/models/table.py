"""The table of neural models: the name on the command line, the class, the paper."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass
from typing import Any

from crossfm.errors import OptionError
from crossfm.neural.model import Model
from crossfm.neural.models.afm import AFM
from crossfm.neural.models.autoint import AutoInt
from crossfm.neural.models.dcn import DCN
from crossfm.neural.models.dcnv2 import DCNv2
from crossfm.neural.models.deepfm import DeepFM
from crossfm.neural.models.ffm import FFM
from crossfm.neural.models.fibinet import FiBiNET
from crossfm.neural.models.finalmlp import FinalMLP
from crossfm.neural.models.fm import FM
from crossfm.neural.models.fnn import FNN
from crossfm.neural.models.fwfm import FwFM
from crossfm.neural.models.nfm import NFM
from crossfm.neural.models.pnn import IPNN, OPNN
from crossfm.neural.models.wide_deep import WideDeep
from crossfm.neural.models.xdeepfm import XDeepFM

_SIZES = ("n_fields", "n_factors", "n_dense")


@dataclass(frozen=True)
class ModelRow:
    """One model.

    Attributes
    ----------
    name : str
        On the command line.
    model : type of Model
    paper : str
    """

    name: str
    model: type[Model]
    paper: str

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults, as plain JSON values, in the order of the constructor."""
        parameters = inspect.signature(self.model).parameters.values()
        return {
            p.name: list(p.default) if isinstance(p.default, tuple) else p.default
            for p in parameters
            if p.name not in _SIZES
        }

    def build(self, n_fields: int, n_factors: int, n_dense: int = 0, **options: Any) -> Model:
        """Return a new network; ``n_dense`` reaches those only that read dense values.

        An option that the model lacks raises ``OptionError``.
        """
        for name in options:
            if name not in self.options:
                known = f"its options are {', '.join(self.options)}" if self.options else "it has no options"
                raise OptionError(f"{self.name} has no option {name!r}{_meant(name, self.options)}; {known}")
        model: Any = self.model
        built: Model = model(n_fields, n_factors, n_dense=n_dense if "dense" in model.uses else 0, **options)
        return built


_ROWS = (
    ModelRow("fm", FM, "Rendle, ICDM 2010"),
    ModelRow("ffm", FFM, "Juan et al., RecSys 2016"),
    ModelRow("fwfm", FwFM, "Pan et al., WWW 2018"),
    ModelRow("nfm", NFM, "He & Chua, SIGIR 2017"),
    ModelRow("deepfm", DeepFM, "Guo et al., IJCAI 2017"),
    ModelRow("widedeep", WideDeep, "Cheng et al., DLRS 2016"),
    ModelRow("fnn", FNN, "Zhang, Du & Wang, ECIR 2016"),
    ModelRow("ipnn", IPNN, "Qu et al., ICDM 2016"),
    ModelRow("opnn", OPNN, "Qu et al., ICDM 2016"),
    ModelRow("afm", AFM, "Xiao et al., IJCAI 2017"),
    ModelRow("xdeepfm", XDeepFM, "Lian et al., KDD 2018"),
    ModelRow("dcn", DCN, "Wang et al., ADKDD 2017"),
    ModelRow("dcnv2", DCNv2, "Wang et al., WWW 2021"),
    ModelRow("autoint", AutoInt, "Song et al., CIKM 2019"),
    ModelRow("fibinet", FiBiNET, "Huang, Zhang & Zhang, RecSys 2019"),
    ModelRow("finalmlp", FinalMLP, "Mao et al., AAAI 2023"),
)

MODELS: dict[str, ModelRow] = {row.name: row for row in _ROWS}


def find_model(name: Any) -> ModelRow:
    """Return the row of a model, or raise ``OptionError`` with the names there are."""
    if not isinstance(name, str) or name not in MODELS:
        raise OptionError(
            f"model={name!r}{_meant(str(name).lower(), MODELS)}; the neural models are {', '.join(MODELS)}"
        )
    return MODELS[name]


def _meant(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
