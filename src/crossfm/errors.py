"""Everything crossfm raises on purpose, in one small tree.

CrossFMError
├── DataError (ValueError)            rows, tables or values that cannot be used
│   ├── MissingFileError (FileNotFoundError)   no file at the given path
│   ├── ParseError                    a text file: names file, line and column
│   ├── LabelError                    a target outside what the loss allows
│   └── FeatureIndexError (IndexError)   an id the model does not know
├── ColumnError (KeyError)            a column that is missing, unknown or of the wrong kind
├── OptionError (ValueError)          a parameter or option with a value that means nothing
│   └── MissingLibraryError (ImportError)   it needs a library that is not installed: names the extra
├── MemoryLimitError (MemoryError)    what is asked for takes more memory than there is
├── DivergenceError (ArithmeticError) training left the finite numbers
├── ModelFileError (ValueError)       a model file that is broken, foreign or too new
├── DownloadError (OSError)           a data set that could not be fetched or failed its checksum
└── StoreError (OSError)              the state of a server could not be read or written; ``retry``: later it may work

Each also derives from the builtin that a caller would guess. A message says what was seen, what was
expected and what to do.
"""

from __future__ import annotations


class CrossFMError(Exception):
    """Base of all crossfm errors."""


class DataError(CrossFMError, ValueError):
    """Rows, tables or values that cannot be used."""


class MissingFileError(DataError, FileNotFoundError):
    """No file at the given path."""


class ParseError(DataError):
    """A text file that does not follow its format; the message names file, line and column."""


class LabelError(DataError):
    """A target outside what the loss allows."""


class FeatureIndexError(DataError, IndexError):
    """A feature id that the model does not know."""


class ColumnError(CrossFMError, KeyError):
    """A column that is missing, unknown or of the wrong kind."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class OptionError(CrossFMError, ValueError):
    """A parameter or option whose value means nothing."""


class MissingLibraryError(OptionError, ImportError):
    """A library of one of the extras that is not installed."""


class MemoryLimitError(CrossFMError, MemoryError):
    """What is asked for takes more memory than there is."""


class DivergenceError(CrossFMError, ArithmeticError):
    """Training left the finite numbers."""


class ModelFileError(CrossFMError, ValueError):
    """A model file that is broken, foreign or newer than this version."""


class DownloadError(CrossFMError, OSError):
    """A data set that could not be fetched, or whose bytes are not the expected ones."""


class StoreError(CrossFMError, OSError):
    """The state of a server could not be read or written.

    Attributes
    ----------
    retry : bool
        Whether the same call may work later: locked, disk full, connection lost. Nothing of it was stored, unless the
        connection broke while the database confirmed; an event with a ``key`` can be sent again safely.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
