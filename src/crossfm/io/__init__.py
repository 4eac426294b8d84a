"""Files that carry a model: the ``.crossfm`` file and a text dump that people can read."""

from crossfm.io.dump import dump_text, read_dump
from crossfm.io.model_file import read_model, write_model

__all__ = ["dump_text", "read_dump", "read_model", "write_model"]
