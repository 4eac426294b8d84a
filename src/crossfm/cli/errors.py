"""One clear line for every error, and the exit codes: 0 done, 2 an error, 130 interrupted."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from crossfm.errors import CrossFMError

USAGE = 2
INTERRUPTED = 130

_FLAGS = {
    "n_threads": "--threads",
    "n_factors": "--factors",
    "max_iter": "--epochs",
    "random_state": "--seed",
    "validation_fraction": "--valid-fraction",
    "n_iter_no_change": "--patience",
    "model_options": "--option",
    "early_stopping": "--early-stopping",
}
_NETWORK = "batch_norm|batch_size|clip_norm|l2_layers|learning_rate_V|learning_rate_w"
_NETWORK_PLAIN = "activation|compile|cowclip|device|dropout|hidden|model|warmup"
_SAME = (
    "batch_rows|burn_in|checkpoint_seconds|class_weight|column_names|deterministic|every_rows|every_seconds|ftrl_decay|half_life|init_scale|keep_samples|l1_V|l1_w|l2_V|l2_w|"
    "learning_rate|memory_limit|n_features|normalize|poll_seconds"
)
# Words too: options only before "=".
_PLAIN = "checkpoint|encoding|format|groups|link|loss|monitor|precision|schedule|separator|solver"
_NAME = re.compile(
    rf"(?<![\w-])(?:({'|'.join(_FLAGS)}|{_SAME}|{_NETWORK})\b(=?)|({_PLAIN}|{_NETWORK_PLAIN})(=))"
)
_SWITCH = re.compile(r"\b(batch_norm|compile|deterministic|normalize)=(True|False)\b")


UsageError: Any = typer.BadParameter.__base__  # click's, wherever this release of Typer keeps it


class OneLine(TyperGroup):
    """Commands whose usage errors are one line too, not Typer's box."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options of the group itself."""
        with _usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the options of a verb and run it."""
        with _usage():
            return super().invoke(ctx)


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except UsageError as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":
            raise
        where = exc.ctx.command_path if exc.ctx is not None else "crossfm"
        message = " ".join(exc.format_message().split()).rstrip(".")
        typer.echo(f"error: {message}. See {where} --help", err=True)
        raise typer.Exit(USAGE) from exc


class TrainingInterruptedError(Exception):
    """Ctrl-C, with what there is to say about it."""


def verb(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command end with one line on standard error instead of a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:  # the reader of our output has gone, as ``head`` does: Typer ends quietly
            raise
        except (CrossFMError, OSError, MemoryError) as exc:
            typer.echo(f"error: {one_line(exc)}", err=True)
            raise typer.Exit(USAGE) from exc
        except (TrainingInterruptedError, KeyboardInterrupt) as exc:
            typer.echo(f"interrupted: {str(exc) or 'nothing was written'}", err=True)
            raise typer.Exit(INTERRUPTED) from exc

    return run


def one_line(exc: BaseException) -> str:
    """Return the message in one line, with the options' names as they are typed."""
    if isinstance(exc, MemoryError) and not isinstance(exc, CrossFMError):
        return "not enough memory for this file"
    if isinstance(exc, OSError) and not isinstance(exc, CrossFMError) and exc.strerror:
        text = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    else:
        text = str(exc) or type(exc).__name__
    return as_typed(" ".join(text.split()))


def as_typed(message: str) -> str:
    """Write options of the Python functions as those of the command line: separator= becomes --separator."""
    message = message.replace("header=False", "--no-header").replace("header=True", "--header")
    message = message.replace("calibrate=True", "--calibrate")
    message = message.replace("column_names=[...]", "--column-names a,b,c")
    message = _SWITCH.sub(_switch, message)
    return _NAME.sub(_flag, message)


def _switch(match: re.Match[str]) -> str:
    return ("--" if match[2] == "True" else "--no-") + match[1].replace("_", "-")


def _flag(match: re.Match[str]) -> str:
    name, equals = (match[1], match[2]) if match[1] else (match[3], match[4])
    return _FLAGS.get(name, "--" + name.lower().replace("_", "-")) + (" " if equals else "")
