"""Data sets by name: fetched into a cache, checked by SHA-256, given as Arrow tables."""

from crossfm.datasets.breast_cancer import BreastCancer
from crossfm.datasets.cache import cache_dir
from crossfm.datasets.frappe import Frappe, frappe
from crossfm.datasets.movielens import MovieLens, movielens_u_split
from crossfm.datasets.registry import DataSet, get, list_datasets, load

__all__ = [
    "BreastCancer",
    "DataSet",
    "Frappe",
    "MovieLens",
    "cache_dir",
    "frappe",
    "get",
    "list_datasets",
    "load",
    "movielens_u_split",
]
