"""Imports go downward only, numba stays where it belongs, and no op is named outside its tables.

The order is the data below: a line is a level, lowest first, and a name may import what stands to its left or below.
Imports for the type checker alone may also go to the right within a level.
"""

import ast
import importlib
import pkgutil
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import tracegrad

LEVELS = (
    "errors config",
    "core/ capsules extent counted aval tree expr source layout draw bind op graph regions finite interpret verify",
    "ops functional exits symbolic optim namespaces protocols",
    "trace autodiff rewrite eager",
    "schedule",
    "codegen",
    "runtime",
    "pipeline inspect interop",
    "outs background calls callers direct records taped wants bound compiled decorators transforms",
    "numpy debug bridge compat testing",
)
# These are written as a user's programs are, on the public names.
PROGRAMS = "demo cli"
ORDER = {
    prefix + room: (level, place)
    for level, line in enumerate(LEVELS)
    for prefix, rooms in [("core.", line.removeprefix("core/")) if line.startswith("core/") else ("", line)]
    for place, room in enumerate(rooms.split())
}
TOP = (len(LEVELS), 0)  # tracegrad/__init__.py: the public names
ORDER |= {room: (len(LEVELS) + 1, place) for place, room in enumerate(PROGRAMS.split())}

# Only these may import llvmlite, the last two of them numba; only runtime.load and they themselves may import them.
NUMBA_SIDE = ("runtime.native", "codegen.mathlib_numba")
LLVM_SIDE = (
    *(
        "codegen.kinds",
        "codegen.processor",
        "codegen.translate",
        "codegen.shares",
        "codegen.versions",
        "codegen.writer",
        "codegen.mathlib*",
        "codegen.microkernels*",
    ),
    *("runtime.boundary", "runtime.calling", "runtime.crew", "runtime.launching", "runtime.machine", "runtime.words"),
    *NUMBA_SIDE,
)
LOADER = "runtime.load"

# What a module imports by name when asked to: it needs packages that need not be installed, or takes long to import.
LOADED_WHEN_ASKED = {
    ("cli", "tracegrad.demo.run"),
    ("core.graph", "networkx"),
    ("schedule.recompute", "networkx"),
    ("ops.matrices", "scipy.linalg"),
    ("ops.matrix_factors", "scipy.linalg"),
    ("ops.scipy_factors", "scipy.linalg"),
    ("ops.eigenvalues", "scipy.linalg"),
    ("ops.decompositions", "scipy.linalg"),
    ("transforms.operators", "scipy.sparse.linalg"),
    ("autodiff.pattern", "scipy.sparse"),
    ("runtime.externals", None),  # the modules of SciPy that symbols name
    ("trace.twins", None),  # what the user's own function imports
}

# Where an op may be called by its name.
OP_NAMES_ALLOWED = (
    "ops",
    "functional",
    "rewrite.rules",
    "namespaces",
    "protocols",
    "eager",
    "numpy",
    "compat",
    "codegen.mathlib*",
    # The scalar language of lowering has words of its own, many spelled like the op they lower.
    "core.expr",
    "core.capsules",
    "codegen.text",
    # LLVM's instructions have names of their own.
    "codegen.microkernels_ir",
    # Python's operators and built-in functions, too.
    "codegen.writer",
)
# The words of the kernel ABI are function names, e.g. update.
ABI_WORDS = "runtime.twins"

PACKAGE = Path(tracegrad.__file__).parent


def inside(module, *rooms):
    """Say whether a module is one of the rooms or in one; a room with a star stands for all that begin like it."""
    return any(fnmatch(module, room) or module.startswith(room + ".") for room in rooms)


def room_of(module):
    """Return the entry of the order that a module belongs to, e.g. ops for ops.maps."""
    if module == "":
        return None
    for parts in (2, 1):
        room = ".".join(module.split(".")[:parts])
        if room in ORDER:
            return room
    if module in {"core", "core.__init__"}:
        return None
    raise AssertionError(f"tracegrad.{module} has no place in the order; add it to LEVELS")


def rank(module):
    room = room_of(module)
    if room is None:
        return TOP if module == "" else (1, -1)
    return ORDER[room]


@cache
def modules():
    """Return name (without the leading tracegrad) and syntax tree of every module."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(name):
    """Yield (line, dotted target, for types only) of every import, relative ones made absolute."""
    is_package = (PACKAGE / Path(*name.split("."), "__init__.py")).exists() if name else True
    package = ["tracegrad", *name.split(".")] if name else ["tracegrad"]
    tree = modules()[name]
    for_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in test.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, id(node) in for_types
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - is_package
                base = ".".join([*package[: len(package) - up], *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}", id(node) in for_types


def own_imports(name):
    """Yield (line, module, for types only) of tracegrad's modules, each the longest prefix that is a module."""
    for line, target, types_only in imports(name):
        if target != "tracegrad" and not target.startswith("tracegrad."):
            continue
        parts = target.split(".")[1:]
        while parts and ".".join(parts) not in modules():
            parts.pop()
        yield line, ".".join(parts), types_only


EVERY = sorted(modules())


@pytest.mark.parametrize("name", EVERY)
def test_imports_go_downward_or_left(name):
    for line, target, types_only in own_imports(name):
        if name and room_of(name) is not None and room_of(name) == room_of(target):
            continue  # inside one room
        above = rank(target)[0] > rank(name)[0] if types_only else rank(target) >= rank(name)
        assert not above, f"tracegrad.{name}:{line} imports tracegrad.{target or '__init__'}"


def test_no_cycles_inside_a_room():
    edges = {
        name: {target for _, target, types_only in own_imports(name) if target != name and not types_only} for name in EVERY
    }
    done, running = set(), []

    def visit(name):
        assert name not in running, " imports ".join([*running[running.index(name) :], name])
        if name not in done:
            running.append(name)
            for target in sorted(edges[name]):
                visit(target)
            done.add(running.pop())

    for name in EVERY:
        visit(name)


@pytest.mark.parametrize("name", EVERY)
def test_numba_and_llvm_stay_on_their_sides(name):
    for package, side in (("numba", NUMBA_SIDE), ("llvmlite", LLVM_SIDE)):
        for line, target, _ in imports(name):
            if target.split(".")[0] == package:
                assert inside(name, *side), f"tracegrad.{name}:{line} imports {target}"
        for line, target, _ in own_imports(name):
            if inside(target, *side):
                # The loader imports by name when the first kernel is compiled.
                assert inside(name, *side), f"tracegrad.{name}:{line} imports tracegrad.{target}"


@pytest.mark.parametrize("name", [name for name in EVERY if name != LOADER])
def test_imports_stand_at_the_top(name):
    for function in ast.walk(modules()[name]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    # Numba's private parts may be gone in another version, which is found out when they are used.
                    assert inside(name, *NUMBA_SIDE), f"tracegrad.{name}:{node.lineno} imports inside a function"
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {
                    "import_module",
                    "__import__",
                }:
                    # A standard module that some systems lack may be looked for.
                    wanted = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                    known = wanted in sys.stdlib_module_names or (name, wanted) in LOADED_WHEN_ASKED
                    assert known, f"tracegrad.{name}:{node.lineno} imports by name"


def test_importing_tracegrad_imports_no_numba():
    code = "import sys, tracegrad; print([m for m in ('numba', 'llvmlite', 'networkx', 'scipy.linalg') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def op_names():
    """Return the names of all ops declared in tracegrad.ops, found among its modules' attributes.

    An op named like its kind, as input, is no secret: every stage may look at kinds.
    """
    op_module = importlib.import_module("tracegrad.core.op")
    op_class = op_module.Op
    package = importlib.import_module("tracegrad.ops")
    found = set()
    for info in [None, *pkgutil.walk_packages(package.__path__, "tracegrad.ops.")]:
        module = package if info is None else importlib.import_module(info.name)
        found |= {value.name for value in vars(module).values() if isinstance(value, op_class)}
    return found - {kind.value for kind in op_module.Kind}


def abi_words():
    return next(
        set(ast.literal_eval(node.value))
        for node in modules()[ABI_WORDS].body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )


def texts(tree):
    """Yield the string literals of code: no docstrings, nor strings that stand alone as comments, nor what is exported."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            alone |= {id(name) for name in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node


def test_no_op_is_named_outside_its_tables():
    names = op_names()
    assert "add" in names
    runtime_names = names - abi_words()
    found = [
        f"tracegrad.{name}:{node.lineno} names the op {node.value!r}"
        for name in EVERY
        if not inside(name, *OP_NAMES_ALLOWED)
        for node in texts(modules()[name])
        if node.value in (runtime_names if inside(name, "runtime", "codegen") else names)
    ]
    assert not found, "\n".join(found)
