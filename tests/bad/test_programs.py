"""Bad programs: each raises an error that names its line, or does what NumPy does; none shows what is inside.

The default run takes some of each family; ``pytest -m nightly`` runs them all, in three ways.
"""

import pytest

import tracegrad as tg
from tests.bad.judge import faults
from tests.bad.programs import programs

EVERY = programs()
ALLOWED = {
    "scipy.linalg.solve_triangular(s * 0.0, b)": "inf and nan, as BLAS gives them",
    "np.linalg.det(s * np.nan) + s": "the derivative of det takes a decomposition, which NaN stops",
}


def _forward(function):
    def along(**arguments):
        names = [name for name, value in arguments.items() if value.dtype.kind == "f"]
        if not names:
            return tg.jit(function, compile="never")(**arguments)
        values = tuple(arguments[name] for name in names)
        return tg.jvp(lambda *xs: function(**{**arguments, **dict(zip(names, xs, strict=True))}), values, values)[0]

    return along


WAYS = {
    "jit": lambda function: tg.jit(function, compile="never"),
    "jvp": _forward,
    "compiled": tg.jit,
}
SOME = [number for number, program in enumerate(EVERY) if number % 13 == 4]


def complaints(numbers, way):
    return [
        f"{EVERY[k].text!r}: {fault}"
        for k in numbers
        if EVERY[k].text not in ALLOWED
        for fault in faults(EVERY[k], k, WAYS[way])
    ]


def test_there_are_enough_of_each_family():
    families = [program.family for program in EVERY]
    assert len(EVERY) > 900
    assert min(families.count(family) for family in set(families)) >= 18


def test_some_bad_programs():
    found = complaints(SOME, "jit")
    assert not found, "\n".join(found)


@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS)
def test_all_bad_programs(way):
    found = complaints(range(len(EVERY)), way)
    assert not found, "\n".join(found)
