"""What becomes of a bad program: run in NumPy and by tracegrad, and what is wrong with the difference."""

import copy
import decimal
import fractions
import functools
import io
import json
import linecache
import math
import operator
import os
import pickle
import random
import re
import statistics
import struct
import time
import traceback
import types
import warnings
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.special
import scipy.stats

import tracegrad as tg
from tests.surface.calls import ARGUMENTS

MODULES = (
    copy, decimal, fractions, functools, io, json, math, operator, os, pickle, random, statistics, struct, time, scipy, np
)  # fmt: skip
SPACE = {module.__name__: module for module in MODULES} | {"np": np, "OUTSIDE": np.zeros(5)}
PACKAGE = str(Path(tg.__file__).parent)


def assert_positive(value):
    assert value > 0
    return value


def del_it(value):
    del value[0]


HELPERS = {"assert_positive": assert_positive, "del_it": del_it}


def made(program, number):
    """The function of a program, in a file of its own, and its arguments by name."""
    text = "\n".join(program.lines)
    used = [name for name in ARGUMENTS if re.search(rf"(?<![\w.'\"]){name}(?![\w'\"]|=[^=])", text)]
    source = f"def program({', '.join(used)}):\n" + "".join(f"    {line}\n" for line in program.lines)
    file = f"<program {number}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {**SPACE, **HELPERS, "__name__": "bad_programs"}
    exec(compile(source, file, "exec"), space)
    return space["program"], {name: ARGUMENTS[name].copy() for name in used}, file


def outcome(call, arguments):
    """The result of a call, or the exception it raised."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(**{name: value.copy() for name, value in arguments.items()}), None
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            return None, error


def same(left, right):
    """Whether two results are equal, structure included."""
    if isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    try:
        first, second = np.asarray(left), np.asarray(right)
    except ValueError:
        return False
    if first.shape != second.shape:
        return False
    if first.dtype.kind in "OUS" or second.dtype.kind in "OUS":
        return False
    return np.allclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True)


def user_lines(error, file):
    """The lines of the program that an exception went through."""
    return [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]


def _as_numpy(error, refused, lines):
    """Whether an exception is what NumPy or Python itself says of the same line, or of the same mistake in arguments."""
    if type(refused) is type(error):
        return (
            _plain(str(refused)) == _plain(str(error))
            or isinstance(error, IndexError)
            or (isinstance(error, (TypeError, AttributeError)) and re.search(ARGUMENTS_OF, str(error)))
        )
    return False


def _plain(text):
    return re.sub(r"Sym|numpy\.ndarray|ndarray|numpy.newaxis|[()`]| of? ", " ", text).split()


ARGUMENTS_OF = r"^(x|np|math)?[\w.]+\(\) (got an unexpected|missing \d|takes )|^\w+\(\) takes"


def faults(program, number, call_of, scalar=False):
    """What is wrong with the outcome of a program, [] for nothing; ``call_of`` makes the call to judge of a function."""
    function, arguments, file = made(program, number)
    expected, refused = outcome(function, arguments)
    result, error = outcome(call_of(function), arguments)
    if error is None:
        if refused is not None:
            return [f"NumPy raises {type(refused).__name__}: {refused}; we give {result!r}"]
        if scalar:
            return []
        return [] if expected is None or same(expected, result) else [f"NumPy gives {expected!r}, we give {result!r}"]
    text = str(error)
    found = []
    if re.search(r"(?i)numba|llvm|lowering", text.replace("NumbaPer", "")):
        found.append("names Numba")
    if isinstance(error, tg.TracegradError):
        where = getattr(error, "where", None)
        if where is None:
            found.append("has no line")
        elif where.file == file and where.line not in (program.bad_line, 1):
            found.append(f"names line {where.line}, not {program.bad_line}")
        elif where.file != file and Path(where.file).parent != Path(__file__).parent:
            found.append(f"names {where}")
        if not getattr(error, "fix", ""):
            found.append("says nothing about what to write instead")
        if refused is not None or program.family in ("unsupported", "keyword"):
            found += [f"does not name {name}" for name in program.names if name not in text.replace(program.text, "")]
        if error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
            found.append("shows another exception behind it")
    else:
        lines = user_lines(error, file)
        named = program.family == "keyword" and all(name in text for name in program.names)
        if not _as_numpy(error, refused, lines) and not (named and type(error) is type(refused)):
            found.append("is neither ours nor NumPy's")
        elif (
            program.bad_line not in lines
            and f"{file}:{program.bad_line}" not in text
            and not any(f"{file}:{program.bad_line}" in note for note in getattr(error, "__notes__", []))
        ):
            found.append("is NumPy's, without the line")
    shown = "".join(traceback.format_exception_only(error))
    theirs = f"{type(refused).__name__}: {refused}" if refused else repr(expected)[:60]
    return [f"{fault}: {shown} (NumPy: {theirs})" for fault in found]


__all__ = ["faults", "made", "outcome", "types"]
