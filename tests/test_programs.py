"""Random programs: compiled, interpreted, eager and plain NumPy agree on values and gradients."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.programs import KINDS, SIDES, check, programs, run_python

TWINS = """
from hypothesis import HealthCheck, given, settings
from tests.programs import KINDS, check, programs

@settings(
    max_examples={examples}, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(programs(kinds=[kind for kind in KINDS if kind != "contract"], longest={longest}, sides={sides}))
def agree(program):
    check(program, "native")

agree()
"""


# Programs that were wrong once.
FOUND = """
from numpy import array
from tests.programs import Program, Step, check

flipped = (slice(-4, None, -2),)
for program in (
    Program(((),), (Step("reshape", (0,), ((1,),)), Step("concatenate", (1, 1), (0,)), Step("abs", (1,)))),
    Program(((),), (Step("reshape", (0,), ((1, 1),)),), "float32"),
    Program(((2,),), (Step("max", (0,), (None, True)),)),
    Program(((),), (Step("abs", (0,)), Step("reshape", (0,), ((1,),)), Step("assign", (2,), ((None, 0), 0.25)))),
    Program(
        ((1, 1),),
        (Step("stack", (0, 0), (-1,)), Step("softmax", (1,), (None, True)), Step("stack", (0, 0), (0,)))
        + (Step("softmax", (1,), (None, True)),),
    ),
    Program(
        ((3, 17), (5,)), (Step("index", (1,), (array([-2]),)), Step("relu", (1,)), Step("index", (3,), (flipped,)))
    ),
):
    check(program, "native", "eager")
"""


def quickly(examples, phases=tuple(Phase)):
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


# a smaller failing example is not worth a compile per attempt: the test of the files as Python finds it sooner
NATIVE = (Phase.generate,)


@quickly(150)
@given(programs())
def test_static_is_eager_is_numpy(program):
    check(program, "eager")


@quickly(100)
@given(programs(sides=(1, 1, 1, 1, 2)))
def test_static_is_eager_is_numpy_on_batches_of_one(program):
    check(program, "eager")


@quickly(12, NATIVE)
@given(programs(longest=5))
def test_native_is_interpreted(program):
    check(program, "native")


@quickly(6, NATIVE)
@given(programs(longest=3, kinds=("contract", "contract", "map", "move")))
def test_native_products(program):
    check(program, "native")


def test_generated_files_as_python():
    """The text of the kernels is right, by running it without Numba: many programs in the time of one compile.

    Matrix products are left out: their files call microkernels, which have no Python meaning.
    """
    run_python(TWINS.format(examples=200, longest=7, sides=SIDES), NUMBA_DISABLE_JIT="1")


def test_batches_of_one_as_python():
    """Axes of one element that the compiler treats as long ones give the results of short ones."""
    run_python(TWINS.format(examples=80, longest=6, sides=(1, 1, 1, 2, 17)), NUMBA_DISABLE_JIT="1")


def test_programs_that_were_wrong_once():
    run_python(FOUND, NUMBA_DISABLE_JIT="1")


@pytest.mark.nightly
def test_many_generated_files_as_python():
    run_python(TWINS.format(examples=5000, longest=12, sides=SIDES), NUMBA_DISABLE_JIT="1")


@pytest.mark.nightly
@quickly(3000)
@given(programs(longest=15))
def test_many_programs_are_eager(program):
    check(program, "eager")


@pytest.mark.nightly
@quickly(300, NATIVE)
@given(programs(longest=10, kinds=(*KINDS, "contract")))
def test_many_native_programs(program):
    check(program, "native")
