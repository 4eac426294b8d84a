"""The papers' networks, each on top of ``Features``, and the table that finds them by name."""

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
from crossfm.neural.models.table import MODELS, ModelRow, find_model
from crossfm.neural.models.wide_deep import WideDeep
from crossfm.neural.models.xdeepfm import XDeepFM

__all__ = [
    "AFM",
    "DCN",
    "FFM",
    "FM",
    "FNN",
    "IPNN",
    "MODELS",
    "NFM",
    "OPNN",
    "AutoInt",
    "DCNv2",
    "DeepFM",
    "FiBiNET",
    "FinalMLP",
    "FwFM",
    "ModelRow",
    "WideDeep",
    "XDeepFM",
    "find_model",
]
