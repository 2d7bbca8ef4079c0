"""Compilation on several cores: LLVM's functions behind the lock, programs in shares, and what they are together."""

import hashlib
import re

import llvmlite.binding as ll
import numpy as np
import pytest

import tracegrad as tg
from tracegrad.codegen import shares
from tracegrad.codegen.translate import translate
from tracegrad.runtime import crew, machine
from tracegrad.runtime.words import resolve


def test_llvmlite_has_the_functions_behind_its_lock():
    """Where this fails, llvmlite has changed: programs are right all the same, but are compiled on one core."""
    for name in ("LLVMPY_RunNewModulePassManager", "LLVMPY_RunNewFunctionPassManager", "LLVMPY_TargetMachineEmitToMemory"):
        assert crew.unlocked(name) is not getattr(ll.ffi.lib, name)
        assert crew.unlocked(name).argtypes


def _logarithms(x):
    for k in range(6):
        x = np.log(2.0 + k + x.T * x) * np.exp(-x.T)  # turned, so that each is a kernel
    return np.sum(x)


@pytest.fixture(scope="module")
def program():
    """(text, name, arguments) of a program of several kernels that take logarithms."""
    compiled = tg.grad_compile(_logarithms)
    x = np.random.default_rng(1).uniform(0.5, 1.0, (40, 40))
    expected = tg.grad_compile(_logarithms, compile="never").value_and_grad(x)
    for made, right in zip(compiled.value_and_grad(x), expected, strict=True):
        np.testing.assert_allclose(made, right, rtol=1e-9)
    text = str(compiled.value_and_grad.source(x))
    name = "p" + re.search(r"def run(_[0-9a-f]{16})", text).group(1)
    arguments = re.search(r"@entry\((.*)\)", text).group(1)
    return text, name, tuple(re.findall('"([^"]*)"', arguments))


def _dealt(program):
    text, name, arguments = program
    declared = machine.parse_arguments(arguments)
    made = translate(text, name, tuple(argument.kind for argument in declared), resolve, apart=True)
    machine._describe(made.module)
    return shares.shares(made.module)


def test_a_program_is_dealt_out_and_each_function_stands_in_one_share(program):
    texts = _dealt(program)
    assert len(texts) == shares.MOST
    defined = [name for text in texts for name in re.findall(r'^define [^@]*@"([^"]+)"', text, flags=re.MULTILINE)]
    assert len(defined) == len(set(defined)) > shares.MOST
    assert texts == _dealt(program)


def test_the_form_for_vectors_is_called_from_a_share_that_only_declares_it(program):
    called = 0
    for text in _dealt(program):
        form = re.search(r'^declare [^@]*@"(tracegrad\.\d+\.log\.f64\.x\d+)"', text, flags=re.MULTILINE)
        if form is None:
            continue
        target = machine._new_target()
        module = ll.parse_assembly(text, ll.create_context())
        crew.run_passes(module, target, machine._options())
        loops = [each for each in module.functions if re.match(r"k\d", each.name) and "log.f64" in str(each)]
        assert all(re.search(r"call [^@]*@tracegrad\.\d+\.log\.f64\.x\d+\(", str(each)) for each in loops), str(loops[0])
        called += len(loops)
    assert called > 1


def test_object_code_is_the_same_whichever_thread_is_first(program):
    text, name, arguments = program
    made = {hashlib.sha256(machine.begun(text, name, arguments, crew.Crew()).code().packed()).hexdigest() for _ in range(3)}
    assert len(made) == 1


def test_what_a_thread_raises_is_raised_where_its_result_is_asked_for():
    def fails():
        raise ValueError("in the thread")

    later = crew.Crew().later(fails)
    with pytest.raises(ValueError, match="in the thread"):
        later.result()
    assert crew.Crew().later(lambda: 3).result() == 3


def test_an_interpreter_that_starts_no_more_threads_does_it_itself(monkeypatch):
    def refuses(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crew.threading.Thread, "start", refuses)
    assert crew.Crew().later(lambda: 4).result() == 4
