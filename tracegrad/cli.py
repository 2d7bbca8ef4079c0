"""The command line: ``tracegrad demo``, ``tracegrad cache info`` and ``tracegrad cache clear``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import tracegrad as tg
from tracegrad.runtime.kernelcache import CacheFolder, UnusableFolderError

__all__ = ["main"]

EPOCHS = 12
"""How long the demo trains unless told otherwise: enough for 97 % on the test images with any seed tried."""

NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}
"""What the demo imports beyond tracegrad's own dependencies, and what pip calls it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments: what follows the program's name; that of this process by default.

    Returns the exit status: 0, 1 for what failed, 130 after Ctrl-C. A wrong command line raises SystemExit(2).

    >>> main(["cache"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tracegrad", description="NumPy functions in, native gradients out.")
    parser.add_argument("--version", action="version", version=f"tracegrad {tg.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="train a small CNN on handwritten digits in both modes",
        description="Train a small CNN on scikit-learn's handwritten digits twice from the same weights, by the "
        "dynamic graph (eager) and by the static graph (compiled), and compare results and times.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--epochs", type=_count, default=EPOCHS, help="passes over the training images")
    demo.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="precision; in float64 the two trainings can be compared to rounding at every step, float32 is faster",
    )
    demo.add_argument("--output", type=Path, default=Path("tracegrad-demo"), help="folder for pictures and kernels")
    demo.add_argument("--seed", type=int, default=0, help="of initial weights and batch order")
    demo.add_argument(
        "--compile",
        choices=("now", "never"),
        default="now",
        help="never: run the static graph on the interpreter",
    )
    demo.set_defaults(run=_demo)

    cache = commands.add_parser("cache", help="look at or clear the folder of compiled programs")
    actions = cache.add_subparsers(required=True, metavar="action")
    actions.add_parser("info", help="where it is and what it holds").set_defaults(run=_cache_info)
    actions.add_parser("clear", help="remove all compiled programs").set_defaults(run=_cache_clear)
    return parser


def _count(text: str) -> int:
    """A positive int, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


_count.__name__ = "int"  # argparse puts it into its message about text that is no number


def _failed(message: str, status: int = 1) -> int:
    print(f"tracegrad: {message}", file=sys.stderr)
    return status


# -- demo -------------------------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    missing = [pip for module, pip in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        names = " and ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        return _failed(f'the demo needs {names}, which {verb} not installed\n  pip install "tracegrad[examples]"')
    # loaded only here, as it imports the optional packages
    demo = importlib.import_module("tracegrad.demo.run")
    asked = demo.Options(options.epochs, options.dtype, options.output, options.seed, options.compile)
    try:
        status: int = demo.run(asked, Console(soft_wrap=True, highlight=False))
    except OSError as error:
        if error.filename is None:
            raise
        return _failed(f"cannot write to {error.filename}: {error.strerror}\n  choose another folder with --output DIR")
    return status


# -- cache ------------------------------------------------------------------------------------------------------------


def _open() -> CacheFolder | None:
    """The cache folder, None where none has been made yet; UnusableFolderError says why it cannot be used."""
    folder = tg.config.cache_dir
    return CacheFolder.open(folder) if folder.exists() else None


def _cache_info(_: argparse.Namespace) -> int:
    try:
        cache = _open()
    except UnusableFolderError as error:
        return _unusable(error)
    programs = cache.programs() if cache else []
    print(f"folder    {tg.config.cache_dir}")
    print(f"programs  {sum(p.name.startswith('p_') for p in programs)}")
    print(f"size      {_size(sum(p.nbytes for p in programs))} of at most {_size(tg.config.cache_limit_bytes)}")
    return 0


def _cache_clear(_: argparse.Namespace) -> int:
    try:
        cache = _open()
    except UnusableFolderError as error:
        return _unusable(error)
    before = cache.programs() if cache else []
    if cache is not None:
        cache.clear()
    left = cache.programs() if cache else []
    freed = sum(p.nbytes for p in before) - sum(p.nbytes for p in left)
    print(f"removed {_counted(len(before) - len(left))}, {_size(freed)}, from {tg.config.cache_dir}")
    if left:
        return _failed(f"{_counted(len(left))} could not be removed; another process may be using them")
    return 0


def _unusable(error: UnusableFolderError) -> int:
    return _failed(
        f"the cache folder {tg.config.cache_dir} cannot be used: {error}\n"
        "  name another one in the environment variable TRACEGRAD_CACHE_DIR; without one, programs live in memory"
    )


def _counted(programs: int) -> str:
    return f"{programs} program" if programs == 1 else f"{programs} programs"


def _size(count: int) -> str:
    """Bytes as a person reads them."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
