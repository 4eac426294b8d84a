"""Layers of the papers, each a plain PyTorch module; shapes are in the docstrings."""

from crossfm.neural.layers.attention import AttentionalPooling, SelfAttention
from crossfm.neural.layers.bilinear import BilinearInteraction, SENet
from crossfm.neural.layers.cin import CIN
from crossfm.neural.layers.cross import CrossNetwork, CrossNetworkMix, CrossNetworkV2
from crossfm.neural.layers.embedding import FeatureEmbedding
from crossfm.neural.layers.fusion import BilinearFusion, FeatureGate
from crossfm.neural.layers.mlp import MLP, BatchNorm
from crossfm.neural.layers.pairs import (
    BiInteraction,
    FactorizationMachine,
    FieldAwareInteraction,
    FieldWeightedInteraction,
)
from crossfm.neural.layers.products import InnerProduct, OuterProduct

__all__ = [
    "CIN",
    "MLP",
    "AttentionalPooling",
    "BatchNorm",
    "BiInteraction",
    "BilinearFusion",
    "BilinearInteraction",
    "CrossNetwork",
    "CrossNetworkMix",
    "CrossNetworkV2",
    "FactorizationMachine",
    "FeatureEmbedding",
    "FeatureGate",
    "FieldAwareInteraction",
    "FieldWeightedInteraction",
    "InnerProduct",
    "OuterProduct",
    "SENet",
    "SelfAttention",
]
