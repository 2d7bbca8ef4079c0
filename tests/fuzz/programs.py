"""Random programs of ordinary NumPy statements, as text: made from their number, printed as scripts, shrunk."""

import functools
import linecache
import math
import re
import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from tests.fuzz.grammar import HELPERS, KINDS, MANY, STORED, WRAPPED

DTYPES = ("float64", "float32", "int64", "int32", "bool", "complex128", "complex64")
LARGEST, LARGEST_INT, MOST_ELEMENTS = 1e4, 10**6, 400
HEADER = "import functools\nimport math\n\nimport numpy as np\nfrom scipy import special\n\nimport tracegrad as tg\n"


@dataclass(frozen=True)
class Argument:
    """One argument: the expression that makes it."""

    name: str
    expression: str

    def value(self):
        return eval(self.expression, {"np": np})


@dataclass(frozen=True)
class Program:
    """A function as text; ``number`` made it. ``wrapped`` helpers stand under ``wrap``, which is the identity at first."""

    number: int
    arguments: tuple[Argument, ...]
    statements: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def helpers(self):
        """The helper functions that are called, with the ones that may be wrapped marked."""
        text = "\n".join(self.statements)
        return [
            ("\n@wrap" if name in WRAPPED else "\n") + source if name in WRAPPED else "\n" + source
            for name, source in HELPERS.items()
            if re.search(rf"\b{name}\(", text)
        ]

    def source(self):
        """The function ``f`` and what it calls."""
        names = ", ".join(argument.name for argument in self.arguments)
        body = "".join(f"    {statement}\n" for statement in self.statements)
        return "".join(self.helpers) + f"\n\ndef f({names}):\n{body}    return ({', '.join(self.results)},)\n"

    def script(self):
        """A script that shows NumPy's results and the interpreter's."""
        wrap = "\n\ndef wrap(function):\n    return function\n" if any("@wrap" in text for text in self.helpers) else ""
        values = "".join(f"    {argument.expression},\n" for argument in self.arguments)
        calls = 'print(*f(*arguments), sep="\\n")\nprint(*tg.jit(f, compile="never")(*arguments), sep="\\n")\n'
        return f"{HEADER}{wrap}{self.source()}\n\narguments = (\n{values})\n{calls}"

    def function(self, wrap=lambda function: function, double=False):
        """The function itself; in double precision throughout where that is asked for."""
        return _functions(self.source(), self.number, wrap, double)["f"]

    def values(self):
        """The arguments."""
        return [argument.value() for argument in self.arguments]


def doubled(text):
    """A program's text with every type of single precision made double."""
    return text.replace("float32", "float64").replace("complex64", "complex128")


def _functions(source, number, wrap, double):
    if double:
        source = doubled(source)
    file = f"<program {number} {abs(hash(source)):x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"np": np, "special": special, "math": math, "functools": functools, "wrap": wrap}
    exec(compile(source, file, "exec"), names)
    return names


def generate(number, statements=(3, 10), smooth=False):
    """The program of a number: with ``smooth``, one of float64 arguments of a fixed few shapes."""
    return _Maker(number, statements, smooth).program()


def _rooted(value):
    """The array whose memory a value is a view of."""
    while isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray):
        value = value.base
    return value


def _fits(value):
    if not isinstance(value, (np.ndarray, np.generic, int, float, complex)):
        return False
    array = np.asarray(value)
    if array.dtype.name not in DTYPES or array.size > MOST_ELEMENTS:
        return False
    if array.dtype.kind in "fc":
        return bool(np.all(np.abs(array) < LARGEST))  # NaN is no number for this
    return array.dtype.kind != "i" or array.size == 0 or bool(np.abs(array).max() < LARGEST_INT)


class _Maker:
    """Draws statements, runs each, and keeps those that NumPy takes and whose numbers stay tame."""

    def __init__(self, number, statements, smooth):
        self.number, self.smooth = number, smooth
        self.rng = np.random.default_rng(number)
        self.count = int(self.rng.integers(*statements, endpoint=True))
        self.names = {"np": np, "special": special, "math": math, "functools": functools, "wrap": lambda f: f}
        for source in HELPERS.values():
            exec(source, self.names)
        self.env, self.statements, self.roots = {}, [], []

    # -- drawing

    def one(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return self.rng.random() < p

    def shape(self):
        return tuple(
            17 if self.chance(0.05) else self.one((0, 1, 1, 2, 3, 3, 4, 5, 7)) for _ in range(self.one((0, 1, 1, 2, 2, 3)))
        )

    def argument(self, position):
        name, shape = f"a{position}", self.shape()
        drawn = f"np.random.default_rng({self.number * 10 + position})"
        kind = self.one(("float64",) * 5 + ("float32", "float32", "int64", "int32", "bool", "complex128", "scalar"))
        if kind == "scalar":
            return Argument(name, self.one(("0.75", "-1.25", "np.float32(0.5)", "np.float64(1.5)", "np.array(0.3)", "3")))
        layout = self.one(("",) * 5 + ("[::-1]", "[::2]", "F", "T", "[..., ::-1]"))
        if not shape:
            layout = ""
        if layout == "[::2]":
            shape = (2 * shape[0], *shape[1:])
        expression = {
            "int64": f"{drawn}.integers(-4, 5, {shape})",
            "int32": f"{drawn}.integers(-4, 5, {shape}).astype(np.int32)" if shape else f"np.int32({drawn}.integers(-4, 5))",
            "bool": f"({drawn}.random({shape}) < 0.5)",
            "float32": f"{drawn}.uniform(-2.0, 2.0, {shape or 1}).astype(np.float32)",
            "complex128": f"({drawn}.uniform(-2.0, 2.0, {shape}) + 1j * {drawn}.normal(size={shape}))",
        }.get(kind, f"{drawn}.uniform(-2.0, 2.0, {shape})")
        if kind == "float32" and not shape:
            expression += "[0]"
        expression = {"F": f"np.asfortranarray({expression})", "T": f"{expression}.T"}.get(layout, expression + layout)
        return Argument(name, expression)

    def pick(self, wanted=lambda value: True):
        """The name of a value, more often a late one."""
        found = [name for name, value in self.env.items() if wanted(value)]
        if not found:
            return None
        return self.one(found[-4:] if self.chance(0.6) else found)

    def writable(self, value):
        if not isinstance(value, np.ndarray) or not value.flags.writeable:
            return False
        return not any(_rooted(value) is root for root in self.roots)

    def key(self, shape):
        """An index of an array of a shape, not always a good one."""
        parts, lists = [], 0
        for n in shape:
            p = self.rng.random()
            if n and p < 0.25:
                parts.append(str(self.rng.integers(-n, n)))
            elif p < 0.8:
                ends = [self.one(("", str(self.rng.integers(-n - 1, n + 2)))) for _ in range(2)]
                parts.append(":".join((*ends, self.one(("", "", "2", "-1", "-2", "3")))))
            elif n and p < 0.92 and (lists == 0 or p < 0.83):
                parts.append(str([int(k) for k in self.rng.integers(-n, n, self.rng.integers(1, 5))]))
                lists += 1
            else:
                parts.append(":")
            if self.chance(0.07):
                parts.append("None")
        if parts and self.chance(0.1):
            parts = parts[: int(self.rng.integers(1, len(parts) + 1))]
        if self.chance(0.08):
            parts = ["...", *parts[-1:]]
        return ", ".join(parts) or "..."

    def filled(self, template):
        """A template with its slots filled, or None where there is no such value."""
        of = {}
        for slot in dict.fromkeys(re.findall(r"\{(\w+)\}", template)):
            if slot not in of and not self._fill(slot, of):
                return None
        return re.sub(r"\{(\w+)\}", lambda found: of[found.group(1)], template)

    def _fill(self, slot, of):
        wanted = {
            "x": lambda v: True,
            "y": lambda v: True,
            "z": lambda v: True,
            "s": lambda v: np.ndim(v) == 0,
            "m": lambda v: np.ndim(v) == 2,
            "b": lambda v: np.asarray(v).dtype == bool,
            "i": lambda v: np.asarray(v).dtype.kind == "i",
            "c": lambda v: np.asarray(v).dtype.kind == "c",
            "t": self.writable,
        }.get(slot)
        if wanted is not None:
            of[slot] = self.pick(wanted) or {"s": "0.5", "b": "np.array([True])", "i": "np.array([0, 1, 1])"}.get(slot)
            return of[slot] is not None
        base = next((of[name] for name in ("t", "x", "c") if name in of), None) if slot[0] == "t" else None
        base = base or next((of[name] for name in ("x", "c", "m", "t") if name in of), None)
        if base is None and not self._fill("x", of):
            return False
        shape = np.shape(self.env.get(base or of["x"], 0.0))
        rank = len(shape)
        of[slot] = {
            "axis": lambda: self.one(("None", *(str(int(k)) for k in range(-rank, rank)))),
            "axis1": lambda: str(int(self.rng.integers(-rank, rank))) if rank else "0",
            "axes": lambda: str(tuple(int(k) for k in self.rng.permutation(rank)[:2])),
            "perm": lambda: str(tuple(int(k) for k in self.rng.permutation(rank))),
            "key": lambda: self.key(shape),
            "tkey": lambda: self.key(shape),
            "n": lambda: str(shape[0] if shape else 1),
            "tn": lambda: str(shape[0] if shape else 1),
            "k": lambda: str(int(self.rng.integers(-3, 4))),
            "shape": lambda: str(shape),
        }[slot]()
        return True

    # -- statements

    def program(self):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            arguments = tuple(self.argument(k) for k in range(self.one((1, 2, 2, 3))))
            for argument in arguments:
                self.env[argument.name] = argument.value()
            self.roots = [_rooted(value) for value in self.env.values() if isinstance(value, np.ndarray)]
            self.names.update(self.env)
            tries = 0
            while len(self.statements) < self.count and tries < 40 * self.count:
                tries += 1
                self.step()
        names = list(self.env)
        results = list(dict.fromkeys([*(self.one(names) for _ in range(self.one((0, 1, 2, 3)))), names[-1]]))
        if self.chance(0.1):
            results.append(results[0])
        return Program(self.number, arguments, tuple(self.statements), tuple(results))

    def step(self):
        kinds = {**{kind: weight for kind, (_, weight) in KINDS.items()}, "store": STORED[1], "many": MANY[1]}
        weights = np.array(list(kinds.values()))
        kind = str(self.rng.choice(list(kinds), p=weights / weights.sum()))
        if kind == "store":
            statement = self.filled(self.one(STORED[0]))
        elif kind == "many":
            text = self.filled(self.one(MANY[0]))
            statement = text and f"v{len(self.env)}, v{len(self.env) + 1} = {text}"
        else:
            text = self.filled(self.one(KINDS[kind][0]))
            statement = text and f"v{len(self.env)} = {text}"
        if statement:
            self.run(statement)

    def run(self, statement):
        """Keep a statement if NumPy takes it."""
        kept = {name: (value, value.copy()) for name, value in self.env.items() if self.writable(value)}
        names = dict(self.names)
        try:
            exec(statement, names)
            now = {name: names[name] for name in names if re.fullmatch(r"[av]\d+", name)}
            good = all(_fits(value) for value in now.values())
        except Exception:  # noqa: BLE001 - NumPy's own objections to what was drawn
            good = False
        if not good:
            for value, copy in kept.values():
                value[...] = copy
            return
        self.statements.append(statement)
        self.env.update(now)
        self.names.update(now)


def shrunk(program, fails):
    """The program with the fewest statements and results for which ``fails`` is still true."""
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(program):
            if fails(smaller):
                program, changed = smaller, True
                break
    return program


def _smaller(program):
    for result in program.results:
        if len(program.results) > 1:
            yield replace(program, results=tuple(name for name in program.results if name != result) or program.results[:1])
    for k in reversed(range(len(program.statements))):
        rest = program.statements[:k] + program.statements[k + 1 :]
        made = re.match(r"(v\d+) = ", program.statements[k])
        if made is None:
            yield replace(program, statements=rest)
            continue
        name = rf"\b{made.group(1)}\b"
        if not any(re.search(name, text) for text in (*rest, *program.results)):
            yield replace(program, statements=rest)
            continue
        earlier = [argument.name for argument in program.arguments]
        earlier += re.findall(r"\b(v\d+)(?:, v\d+)? = ", "\n".join(program.statements[:k]))
        for other in reversed(earlier):
            swapped = tuple(re.sub(name, other, text) for text in rest)
            yield replace(
                program, statements=swapped, results=tuple(dict.fromkeys(re.sub(name, other, r) for r in program.results))
            )
    for k, argument in enumerate(program.arguments):
        used = any(re.search(rf"\b{argument.name}\b", text) for text in (*program.statements, *program.results))
        if not used and len(program.arguments) > 1:
            yield replace(program, arguments=program.arguments[:k] + program.arguments[k + 1 :])
