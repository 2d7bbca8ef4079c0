"""What a program is held against: NumPy, differences, the tape, a loop, and its own derivatives taken another way."""

import re
import warnings
from dataclasses import dataclass

import numpy as np

import tracegrad as tg
from tests.fuzz.programs import doubled, shrunk
from tracegrad import compat
from tracegrad.errors import TracegradError

TIGHT, LOOSE = 1e-9, 2e-4
"""How far results may differ in double and in single precision, in relation to the largest element."""


class Wrong(AssertionError):
    """A difference: its kind in one word, and what was found."""

    def __init__(self, kind, detail):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Skipped(Exception):
    """A program that an oracle has nothing to say about, with the reason."""


@dataclass(frozen=True)
class Case:
    """A program with its arguments and NumPy's results."""

    program: object
    values: tuple
    expected: tuple

    @classmethod
    def of(cls, program):
        values = program.values()
        return cls(program, tuple(values), tuple(np.array(r) for r in program.function()(*_copies(values))))

    @property
    def single(self):
        """Whether single precision occurs."""
        return "32" in self.program.script() or "complex64" in self.program.script()

    @property
    def tolerance(self):
        return LOOSE if self.single else TIGHT

    @property
    def inexact(self):
        """The positions of the arguments that have derivatives."""
        return tuple(k for k, value in enumerate(self.values) if np.asarray(value).dtype.kind in "fc")


def _copies(values):
    return [value.copy(order="K") if isinstance(value, np.ndarray) else value for value in values]


def _moved(value, factor):
    if isinstance(value, (float, complex)) and not isinstance(value, np.generic):
        return value * factor
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return value
    moved = (array * np.asarray(factor, array.dtype)).astype(array.dtype)
    return np.asarray(moved) if isinstance(value, np.ndarray) else moved[()]


def _unlike(found, expected):
    return (np.shape(found), np.asarray(found).dtype) != (expected.shape, expected.dtype)


def differ(found, expected, tolerance):
    """Where two arrays differ: a text, or None."""
    found, expected = np.asarray(found), np.asarray(expected)
    if _unlike(found, expected):
        return f"{found.dtype}{found.shape} in place of {expected.dtype}{expected.shape}"
    if found.dtype.kind not in "fc":
        near = np.array_equal(found, expected)
    else:
        scale = 1.0 + np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
        near = np.allclose(found, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    return None if near else f"{found.ravel()[:8]} in place of {expected.ravel()[:8]} ({expected.dtype}{expected.shape})"


def _steady(case, values, expected):
    """For each result, whether a change of the arguments by rounding leaves it where it is."""
    size = 3e-7 if case.single else 1e-13
    function = case.program.function()
    near = [function(*(_moved(value, 1.0 + sign * size) for value in values)) for sign in (1, -1)]
    return [all(differ(n[k], w, case.tolerance / 4) is None for n in near) for k, w in enumerate(expected)]


def values_agree(case, call):
    """A call against NumPy; arguments stay as they are, results are memory of their own, which later calls leave alone."""
    given = _copies(case.values)
    found = call(*given)
    for value, before in zip(given, case.values, strict=True):
        if not np.array_equal(value, before):
            raise Wrong("argument", "an argument was written to")
    _compare("value", case, found, case.values, case.expected)
    arrays = [f for f in found if isinstance(f, np.ndarray) and f.size]
    for k, one in enumerate(arrays):
        others = [v for v in given if isinstance(v, np.ndarray)] + arrays[k + 1 :]
        if any(np.shares_memory(one, other) for other in others):
            raise Wrong("alias", "a result shares memory")
    kept = [np.array(f) for f in found]
    other = [_moved(value, 0.75) for value in case.values]
    expected = case.program.function()(*_copies(other))
    expected = [np.array(w) for w in expected]
    again = call(*other)
    for before, now in zip(kept, found, strict=True):
        if differ(now, before, 0.0):
            raise Wrong("overwritten", "a later call changed a result")
    _compare("second value", case, again, other, expected)


def _compare(kind, case, found, values, expected):
    gaps = [differ(f, w, case.tolerance) for f, w in zip(found, expected, strict=True)]
    if any(gaps):
        steady = _steady(case, values, expected)
        for k, gap in enumerate(gaps):
            if gap and (steady[k] or _unlike(found[k], expected[k])):
                raise Wrong(kind, f"result {k}: {gap}")


def interpreted(case):
    """The interpreter against NumPy."""
    values_agree(case, tg.jit(case.program.function(), compile="never"))


def compiled(case):
    """The compiled program against NumPy."""
    values_agree(case, tg.jit(case.program.function()))


def loss_of(case, function):
    """A real function of the inexact arguments: the weighted sum of all results that are inexact."""
    rng = np.random.default_rng(case.program.number)
    weights = [
        rng.uniform(0.5, 1.5, w.shape) + 1j * rng.uniform(0.5, 1.5, w.shape) if w.dtype.kind in "fc" else None
        for w in case.expected
    ]
    rest = dict(enumerate(case.values))
    positions = case.inexact

    def loss(*inexact):
        full = {**rest, **dict(zip(positions, inexact, strict=True))}
        total = 0.0
        for result, weight in zip(function(*(full[k] for k in sorted(full))), weights, strict=True):
            if weight is not None:
                total = total + np.sum(np.real(result) * weight.real)
                if np.iscomplexobj(result):
                    total = total + np.sum(np.imag(result) * weight.imag)
        return total

    return loss


@dataclass(frozen=True)
class Slopes:
    """A case's loss, its inexact arguments, directions among them, and the gradient by the interpreter."""

    case: Case
    loss: object
    at: tuple
    along: tuple
    gradient: tuple

    @classmethod
    def of(cls, case):
        if not case.inexact or not any(w.dtype.kind in "fc" and w.size for w in case.expected):
            raise Skipped("no derivatives")
        loss = loss_of(case, case.program.function())
        at = tuple(case.values[k] for k in case.inexact)
        rng = np.random.default_rng(case.program.number + 1)
        along = tuple(_direction(value, rng) for value in at)
        found = tg.grad(loss, argnums=tuple(range(len(at))))(*at)
        for k, (value, slope) in enumerate(zip(at, found, strict=True)):
            array = np.asarray(value)
            if (np.shape(slope), np.asarray(slope).dtype) != (array.shape, array.dtype):
                raise Wrong("gradient", f"of argument {k}: {np.asarray(slope).dtype}{np.shape(slope)}")
        return cls(case, loss, at, along, tuple(found))

    def dot(self, gradient):
        """A gradient times the direction, with the size of what is added up."""
        parts = [np.real(np.asarray(g) * v) for g, v in zip(gradient, self.along, strict=True)]
        return sum(float(np.sum(p, dtype=np.float64)) for p in parts), sum(float(np.sum(np.abs(p))) for p in parts)

    def moved(self, step, double=False):
        at = [np.asarray(x, np.result_type(np.asarray(x), np.float64) if double else None) for x in self.at]
        return [(x + step * v)[()] for x, v in zip(at, self.along, strict=True)]


def _direction(value, rng):
    array = np.asarray(value)
    drawn = rng.uniform(-1, 1, array.shape)
    if array.dtype.kind == "c":
        drawn = drawn + 1j * rng.uniform(-1, 1, array.shape)
    return drawn.astype(array.dtype)[()]


def _near(kind, mine, theirs, size, tolerance, detail):
    if not abs(mine - theirs) <= tolerance * (1.0 + size + abs(theirs)):
        raise Wrong(kind, f"{mine!r} in place of {theirs!r} ({detail})")


def forward_agrees(slopes):
    """The jvp against the gradient."""
    mine, size = slopes.dot(slopes.gradient)
    if not np.isfinite(mine):
        raise Skipped("an infinite slope")
    theirs = float(tg.jvp(slopes.loss, slopes.at, slopes.along)[1])
    _near("forward", theirs, mine, size, 10 * slopes.case.tolerance, "jvp and gradient")


def differences_agree(slopes):
    """The gradient against differences of NumPy's values, in double precision, where the program is smooth there."""
    case = slopes.case
    if re.search(r"round|rint|floor|ceil|trunc|//|%|int", case.program.source()):
        raise Skipped("steps")
    function = case.program.function(double=True)
    rest = [eval(doubled(argument.expression), {"np": np}) for argument in case.program.arguments]
    twin = Case(case.program, tuple(rest), tuple(np.array(r) for r in function(*_copies(rest))))
    if any(differ(np.asarray(a, b.dtype), b, LOOSE) for a, b in zip(case.expected, twin.expected, strict=True)):
        raise Skipped("single precision takes another way")
    loss = loss_of(twin, function)

    def at(step):
        return float(loss(*slopes.moved(step, double=True)))

    def central(step):
        return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)

    wide, narrow = central(2e-4), central(1e-4)
    middle = at(0.0)
    sides = [(at(s * 1e-7) - middle) / (s * 1e-7) for s in (1, -1)]
    size = 1.0 + abs(narrow)
    if not (abs(wide - narrow) < 1e-6 * size and abs(sides[0] - sides[1]) < 1e-3 * size):
        raise Skipped("not smooth")
    mine, total = slopes.dot(slopes.gradient)
    _near("gradient", mine, narrow, total, 1e-5 if not case.single else 2e-3, "gradient and differences")


def tape_agrees(slopes):
    """The gradient against that of the tape, which computes step by step."""
    if not all(re.match(r"v\d+(, v\d+)? = ", statement) for statement in slopes.case.program.statements):
        raise Skipped("values of the tape are not written to")
    if "isinstance" in slopes.case.program.source():
        raise Skipped("values of the tape are no arrays")
    try:
        found = [compat.grad(slopes.loss, k)(*slopes.at) for k in range(len(slopes.at))]
    except (TracegradError, NotImplementedError, TypeError) as refusal:
        raise Skipped("the tape does not do it") from refusal
    for k, (theirs, mine) in enumerate(zip(found, slopes.gradient, strict=True)):
        theirs = np.asarray(theirs).astype(np.asarray(mine).dtype)
        gap = differ(mine, theirs, 10 * slopes.case.tolerance)
        if gap:
            raise Wrong("tape", f"gradient of argument {k}: {gap}")


def second_order_agrees(slopes):
    """The derivative of the gradient along a direction, in three nestings of the modes and by differences of the gradient."""
    everything = tuple(range(len(slopes.at)))
    gradient = tg.grad(slopes.loss, argnums=everything)

    def along(*at):
        found = gradient(*at)
        return sum(np.sum(np.real(g * v)) for g, v in zip(found, slopes.along, strict=True))

    forward_reverse = tg.jvp(gradient, slopes.at, slopes.along)[1]
    reverse_reverse = tg.grad(along, argnums=everything)(*slopes.at)
    reverse_forward = tg.grad(lambda *at: tg.jvp(slopes.loss, at, slopes.along)[1], argnums=everything)(*slopes.at)
    if not all(np.all(np.isfinite(np.asarray(g))) for g in forward_reverse):
        raise Skipped("an infinite second derivative")
    tolerance = 100 * slopes.case.tolerance
    for kind, other in (("reverse over reverse", reverse_reverse), ("reverse over forward", reverse_forward)):
        for k, (mine, theirs) in enumerate(zip(other, forward_reverse, strict=True)):
            gap = differ(np.asarray(mine), np.asarray(theirs), tolerance)
            if gap:
                raise Wrong(kind, f"for argument {k}: {gap}")
    if slopes.case.single:
        return
    call = tg.jit(along, compile="never")

    def central(step):
        return (float(call(*slopes.moved(step))) - float(call(*slopes.moved(-step)))) / (2 * step)

    wide, narrow = central(1e-5), central(5e-6)
    middle = float(call(*slopes.at))
    sides = [(float(call(*slopes.moved(s * 1e-7))) - middle) / (s * 1e-7) for s in (1, -1)]
    if not (abs(wide - narrow) < 1e-5 * (1 + abs(narrow)) and abs(sides[0] - sides[1]) < 1e-2 * (1 + abs(narrow))):
        raise Skipped("the gradient is not smooth")
    mine, total = slopes.dot(forward_reverse)
    _near("second derivative", mine, narrow, total, 1e-4, "forward over reverse and differences")


def map_agrees(case, count=3):
    """``vmap`` over the first argument that is an array, and over all, against a loop."""
    function = case.program.function()
    factors = 1.0 - 0.25 * np.arange(count)
    arrays = [k for k, value in enumerate(case.values) if isinstance(value, np.ndarray)]
    if not arrays:
        raise Skipped("no arrays")
    for mapped in dict.fromkeys(((arrays[0],), tuple(arrays))):
        rows = [[_moved(v, f) if k in mapped else v for k, v in enumerate(case.values)] for f in factors]
        stacked = [np.stack([row[k] for row in rows]) if k in mapped else v for k, v in enumerate(case.values)]
        expected = [[np.array(r) for r in function(*_copies(row))] for row in rows]
        axes = tuple(0 if k in mapped else None for k in range(len(case.values)))
        found = tg.vmap(function, in_axes=axes)(*stacked)
        for row, values in enumerate(rows):
            _compare("vmap", case, [np.asarray(f)[row] for f in found], values, expected[row])


def compiled_slopes(slopes):
    """The compiled gradient, forward derivative and second derivative against those of the interpreter."""
    everything = tuple(range(len(slopes.at)))
    gradient = tg.grad(slopes.loss, argnums=everything)
    for kind, function, expected in (
        ("compiled gradient", gradient, slopes.gradient),
        ("compiled second derivative", lambda *at: tg.jvp(gradient, at, slopes.along)[1], None),
    ):
        expected = function(*slopes.at) if expected is None else expected
        found = tg.jit(function)(*slopes.at)
        for k, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
            gap = differ(mine, np.asarray(theirs), 100 * slopes.case.tolerance)
            if gap and np.all(np.isfinite(np.asarray(theirs))):
                raise Wrong(kind, f"of argument {k}: {gap}")


def batch_agrees(programs):
    """Several programs compiled as one: values against NumPy and gradients against the interpreter.

    Those that the interpreter refuses are left out. Gives the programs to look at one by one if something differs.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = [Case.of(program) for program in programs if outcome(program, interpreted)[0] == "fine"]
        functions, losses = [case.program.function() for case in cases], []
        for case in cases:
            try:
                losses.append(Slopes.of(case))
            except (Skipped, TracegradError):
                continue
        starts = np.cumsum([0, *(len(case.values) for case in cases)])

        def everything(*values):
            return [f(*values[a : a + n]) for f, a, n in zip(functions, starts[:-1], np.diff(starts), strict=True)]

        found = tg.jit(everything)(*(value for case in cases for value in _copies(case.values)))
        for case, results in zip(cases, found, strict=True):
            _compare(f"program {case.program.number}, value", case, results, case.values, case.expected)

        ends = np.cumsum([0, *(len(slopes.at) for slopes in losses)])

        def total(*at):
            return sum(s.loss(*at[a:b]) for s, a, b in zip(losses, ends[:-1], ends[1:], strict=True))

        gradients = tg.jit(tg.grad(total, argnums=tuple(range(ends[-1]))))(*(x for slopes in losses for x in slopes.at))
        for slopes, a, b in zip(losses, ends[:-1], ends[1:], strict=True):
            for k, (mine, theirs) in enumerate(zip(gradients[a:b], slopes.gradient, strict=True)):
                gap = differ(mine, np.asarray(theirs), 100 * slopes.case.tolerance)
                if gap and np.all(np.isfinite(np.asarray(theirs))):
                    raise Wrong(f"program {slopes.case.program.number}, gradient", f"of argument {k}: {gap}")
        return len(cases)


def outcome(program, *checks, slopes=()):
    """What became of a program: ``fine``, ``skipped``, ``refused``, ``crash`` or ``wrong``, and a text."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            case = Case.of(program)
        except Exception as error:  # noqa: BLE001 - a program that was shrunk too far
            return "no program", f"{type(error).__name__}: {error}"
        said = [_said(check, case) for check in checks]
        if slopes and not any(word in ("wrong", "crash") for word, _ in said):
            made = []
            said.append(_said(lambda case: made.append(Slopes.of(case)), case))
            if made:
                said.extend(_said(check, made[0]) for check in slopes)
        order = ("wrong", "crash", "refused", "skipped", "fine")
        return min(said, key=lambda pair: order.index(pair[0]))


def _said(check, subject):
    try:
        check(subject)
    except Wrong as wrong:
        return "wrong", str(wrong)
    except Skipped as skipped:
        return "skipped", str(skipped)
    except TracegradError as refusal:
        return "refused", str(refusal)
    except IndexError as refusal:  # NumPy takes masks of no elements that its own check of shapes would refuse
        return ("refused" if "boolean index did not match" in str(refusal) else "crash"), f"IndexError: {refusal}"
    except Exception as error:  # noqa: BLE001 - what no user should see
        return "crash", f"{type(error).__name__}: {error}"
    return "fine", ""


def report(program, *checks, slopes=()):
    """The failure of a program as text, with its smallest relative as a script."""
    word, detail = outcome(program, *checks, slopes=slopes)
    if word not in ("wrong", "crash"):
        return None
    kind = detail.split(":")[0]

    def fails(smaller):
        now, what = outcome(smaller, *checks, slopes=slopes)
        return now == word and what.split(":")[0] == kind

    small = shrunk(program, fails)
    return f"program {program.number} is {word}: {outcome(small, *checks, slopes=slopes)[1]}\n\n{small.script()}"
