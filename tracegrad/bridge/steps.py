"""``compile_step``: forward, backward and the optimiser's update as one static program."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from tracegrad.bridge.functions import CAPACITY, Call, check_written, is_native, plain_arrays, write_back
from tracegrad.bridge.tracing import CAPTURE, LEAF, SLOT, trace_tensors
from tracegrad.bridge.updates import Forward, Plan, Rule, Trained, joined, marked, reached
from tracegrad.calls import Stats, checked_budget
from tracegrad.core.graph import Graph
from tracegrad.core.source import user_frame
from tracegrad.eager import Tensor
from tracegrad.eager.optim import Optimizer
from tracegrad.eager.optim.formula import FormulaOptimizer, _plain
from tracegrad.eager.traced import tracing
from tracegrad.errors import ShapeError, TapeError, TraceError, TracegradError
from tracegrad.inspect.annotate import annotate_source
from tracegrad.inspect.explain import explain_compilation
from tracegrad.inspect.memory import MemoryPlan, memory_of
from tracegrad.inspect.profile import measure_launches
from tracegrad.inspect.text import Text
from tracegrad.pipeline import Compilation, compile_graph


class CompiledStep:
    """A step of training as one program; made by ``tg.compile_step``.

    ``stats`` counts traces and compiles.
    """

    def __init__(
        self,
        module: Any,
        loss_fn: Any,
        optimizer: FormulaOptimizer,
        max_norm: float | None,
        native: bool,
        memory_budget: int | float | None = None,
    ) -> None:
        self.module, self.loss_fn, self.optimizer, self.native = module, loss_fn, optimizer, native
        self.memory_budget = memory_budget
        self.max_norm = max_norm
        """To what norm gradients are scaled down; it may be changed between steps."""
        self.stats = Stats()
        self._name = f"the step of {getattr(module, '__name__', type(module).__name__)}"
        self._forward: OrderedDict[Hashable, Forward] = OrderedDict()
        self._programs: OrderedDict[Hashable, Compilation] = OrderedDict()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<compiled {self._name} with {type(self.optimizer).__name__}>"

    def __call__(self, inputs: Any, *targets: Any) -> Tensor:
        """Improve the parameters once; returns the loss before that.

        Parameters
        ----------
        inputs: the module's argument, or a tuple of its arguments.
        targets: what the loss function takes behind the module's result.
        """
        call, forward, plan, numbers = self._taken_apart((inputs, *targets))
        compilation = self._program(call, forward, plan)
        fresh = [t.parameter for t in forward.trained if t.parameter not in self.optimizer.state]
        try:
            trace = forward.trace
            targets_written = [trace.target(place, call.leaves, call.surroundings) for place in trace.written]
            check_written(trace, targets_written, self._name)
            slots = list(self._slots(forward, plan))
            assert compilation.run is not None
            results = compilation.run(_arguments(call, forward, slots, numbers))
        except Exception:
            for p in fresh:
                self.optimizer.state.pop(p, None)
            raise
        count = len(trace.written)
        write_back(targets_written, [Tensor._wrap(x) for x in results[1 : 1 + count]], None, self._name)
        self._store(forward, slots, results[1 + count :])
        return Tensor._wrap(results[0])

    # -- from a call to what it runs ----------------------------------------------------------------------------------

    def _taken_apart(self, args: tuple[Any, ...]) -> tuple[Call, Forward, Plan, list[float]]:
        if tracing.get() is not None:
            raise TraceError(
                f"{self._name} is called inside of what is compiled, and it is a whole program by itself",
                fix="call the step outside, or compile a function of module and loss",
                where=user_frame(),
            )
        _check_hooks(self.optimizer)
        call = Call((self.module, self.loss_fn), args, {})
        forward = self._forward.get(call.key)
        if forward is None or not forward.trace.guard.fresh() or not self._current(forward):
            with self._lock:
                forward = self._traced(call)
        for t in forward.trained:
            _check_parameter(t.parameter)
        plan, numbers = self._plan(forward)
        return call, forward, plan, numbers

    def _run(self, inputs: Any, *targets: Any) -> Any:
        result = self.module(*inputs) if isinstance(inputs, tuple) else self.module(inputs)
        loss = result if self.loss_fn is None else self.loss_fn(result, *targets)
        # as backward() does it, a tensor of one element passes for a scalar
        return loss.reshape(()) if isinstance(loss, Tensor) and loss.shape and loss.numel() == 1 else loss

    def _current(self, forward: Forward) -> bool:
        """Whether the optimiser still has the parameters that were found, all with the wish for a gradient."""
        groups = self.optimizer.param_groups
        known = {id(t.parameter): t.group for t in forward.trained}
        return self._wishing() == forward.wishing and all(
            number < len(groups) and any(id(p) == name for p in groups[number]["params"]) for name, number in known.items()
        )

    def _wishing(self) -> int:
        return sum(p.requires_grad for group in self.optimizer.param_groups for p in group["params"])

    def _traced(self, call: Call) -> Forward:
        began = time.perf_counter()
        trace = trace_tensors(self._run, call.args, call.kwargs, call.surroundings, self._name)
        self.stats.traces += 1
        self.stats.spent("trace", time.perf_counter() - began)
        loss = trace.graph[trace.graph.outputs[0]].aval if trace.tensors == (0,) and trace.tree.size == 1 else None
        if loss is None or loss.shape != () or not loss.differentiable:
            raise ShapeError(
                "grad can be implicitly created only for scalar outputs: the loss has to be one float, here "
                + (f"the function returns {trace.tree.size} values" if loss is None else f"it is {loss}"),
                fix="return one scalar, for example F.mse_loss(output, target)",
                where=user_frame(),
            )
        found = {}
        for position, place in enumerate(trace.inputs):
            if place.kind in (LEAF, SLOT):
                found[id(trace.target(place, call.leaves, call.surroundings))] = position
            elif place.kind == CAPTURE:
                found[id(trace.captured[place.number]())] = position
        inputs = trace.graph.inputs
        wanted = [
            Trained(number, p, found[id(p)])
            for number, group in enumerate(self.optimizer.param_groups)
            for p in group["params"]
            if p.requires_grad and id(p) in found
        ]
        arriving = reached(trace.graph, [inputs[t.position].id for t in wanted])
        trained = tuple([t for t in wanted if inputs[t.position].id in arriving])
        if not trained:
            raise TapeError(
                "the loss does not require grad: it depends on no parameter of the optimizer",
                fix="give the optimizer the parameters of this module: SGD(module.parameters(), ...)",
                where=user_frame(),
            )
        forward = self._forward[call.key] = Forward(trace, trained, self._wishing())
        if len(self._forward) > CAPACITY:
            self._forward.popitem(last=False)
        return forward

    def _plan(self, forward: Forward) -> tuple[Plan, list[float]]:
        """The rules of the parameters as they are now, and the numbers in them."""
        optimizer, formula = self.optimizer, self.optimizer.formula
        rules: list[Rule] = []
        known: dict[tuple[int, float], int] = {}
        numbers: list[float] = []
        of: list[int] = []
        options: dict[int, tuple[Any, tuple[str | None, ...]]] = {}
        for t in forward.trained:
            if t.group not in options:
                group = _plain(optimizer.param_groups[t.group])
                used = tuple([key if s.used(group) else None for s, key in zip(formula.slots, optimizer.keys, strict=True)])
                options[t.group] = group, used
            group, used = options[t.group]
            count = self._count(t.parameter, used)
            if (t.group, count) not in known:
                known[t.group, count] = len(rules)
                shared = tuple([marked(x, numbers, True) for x in formula.numbers(group, count)])
                kept = [(k, v) for k, v in group.items() if k not in ("params", "param_names")]
                rules.append(Rule(used, shared, tuple([(k, marked(v, numbers, k == "lr")) for k, v in kept])))
            of.append(known[t.group, count])
        clip = None if self.max_norm is None else marked(float(self.max_norm), numbers, True)
        return Plan(tuple(rules), tuple(of), clip), numbers

    def _count(self, p: Tensor, used: tuple[str | None, ...]) -> float:
        """The number of the step to come, as the eager optimiser counts it."""
        state = self.optimizer.state.get(p, {})
        if not self.optimizer.counted:
            return 2.0 if all(key is None or state.get(key) is not None for key in used) else 1.0
        return float(state["step"]._array) + 1.0 if "step" in state else 1.0

    def _slots(self, forward: Forward, plan: Plan) -> Iterator[Tensor]:
        """What is remembered of each parameter, made where it is not there yet."""
        groups = self.optimizer.param_groups
        options = {number: _plain(groups[number]) for number in {t.group for t in forward.trained}}
        for t, number in zip(forward.trained, plan.of, strict=True):
            used = plan.rules[number].used
            if not any(used) and not self.optimizer.counted:
                continue
            self.optimizer._prepare(t.parameter, list(used), options[t.group])
            for key in used:
                if key is not None:
                    yield self.optimizer.state[t.parameter][key]

    def _store(self, forward: Forward, slots: Sequence[Tensor], results: Sequence[Any]) -> None:
        """Write the new parameters and what is remembered of them in place."""
        optimizer, count = self.optimizer, len(forward.trained)
        writer = f"{type(optimizer).__name__}.step"
        for t, new in zip(forward.trained, results[:count], strict=True):
            np.copyto(t.parameter._array, new)
            t.parameter._written(writer)
            t.parameter.grad = None
            if optimizer.counted:
                step = optimizer.state[t.parameter]["step"]._array
                step += 1
        for slot, new in zip(slots, results[count:], strict=True):
            np.copyto(slot._array, new)
        if optimizer._stepped is not None:
            optimizer._stepped = True

    # -- building -----------------------------------------------------------------------------------------------------

    def _program(self, call: Call, forward: Forward, plan: Plan) -> Compilation:
        key = call.key, plan, tuple([id(t.parameter) for t in forward.trained])
        found = self._programs.get(key)
        if found is None:
            with self._lock:
                graph = joined(forward, plan, self.optimizer.formula)
                found = self._programs[key] = compile_graph(graph, native=self.native, memory_budget=self.memory_budget)
                self.stats.count(found)
                if len(self._programs) > CAPACITY:
                    self._programs.popitem(last=False)
        return found

    def _looked_up(self, args: tuple[Any, ...]) -> Compilation:
        call, forward, plan, _ = self._taken_apart(args)
        return self._program(call, forward, plan)

    def graph(self, inputs: Any, *targets: Any) -> Graph:
        """The graph of the whole step for these arguments, after rewriting; nothing is run."""
        found = self._looked_up((inputs, *targets)).graph
        assert found is not None
        return found

    def source(self, inputs: Any, *targets: Any) -> Text:
        """The generated source of the step for these arguments."""
        return annotate_source(self._looked_up((inputs, *targets)))

    def explain(self, inputs: Any, *targets: Any, profile: bool = False) -> Text:
        """Every stage of the step for these arguments; with ``profile=True`` its kernels are run on them and timed.

        Nothing is trained by it.
        """
        call, forward, plan, numbers = self._taken_apart((inputs, *targets))
        compilation = self._program(call, forward, plan)
        times: tuple[float, ...] = ()
        if profile:
            fresh = [t.parameter for t in forward.trained if t.parameter not in self.optimizer.state]
            given = _arguments(call, forward, list(self._slots(forward, plan)), numbers, drawing=False)
            for p in fresh:
                self.optimizer.state.pop(p, None)
            times = measure_launches(compilation, given)
        return explain_compilation(compilation, self._name, self.stats.seconds.get("trace", 0.0), times)

    def memory_plan(self, inputs: Any, *targets: Any) -> MemoryPlan:
        """What memory the step takes for these arguments; nothing is run. TracegradError with ``compile="never"``."""
        return memory_of(self._looked_up((inputs, *targets)), self._name)


def _arguments(
    call: Call, forward: Forward, slots: Sequence[Tensor], numbers: Sequence[float], drawing: bool = True
) -> list[Any]:
    """What the program takes: arguments and what is around them, the optimiser's state, its options."""
    given = forward.trace.arguments(call.leaves, call.surroundings, drawing)
    return [*plain_arrays(given), *plain_arrays(slots), *numbers]


# -- what cannot be compiled ------------------------------------------------------------------------------------------


def _check_parameter(p: Tensor) -> None:
    state = p._state
    if state is not None and (state.pre_hooks or state.post_hooks or state.accumulated_hooks):
        raise TracegradError(
            f"a parameter of shape {tuple(p.shape)} has hooks, and in a compiled step there are no gradients to give them",
            fix="remove the hooks, or use tg.compile(module) with an eager optimizer.step()",
            where=user_frame(),
        )


def _check_hooks(optimizer: Optimizer) -> None:
    if len(list(optimizer._pre_hooks)) + len(list(optimizer._post_hooks)):
        raise TracegradError(
            f"compile_step: this {type(optimizer).__name__} has step hooks, and in a compiled step there are no gradients "
            "for them to see",
            fix="remove the hooks, or use tg.compile(module) with an eager step",
            where=user_frame(),
        )


def _check_optimizer(optimizer: Any) -> FormulaOptimizer:
    kind = type(optimizer)
    if (
        not isinstance(optimizer, FormulaOptimizer)
        or kind.step is not FormulaOptimizer.step
        or kind._improve is not FormulaOptimizer._improve
    ):
        what = "has a step of its own" if isinstance(optimizer, Optimizer) else "is no optimizer of tracegrad.eager.optim"
        raise TracegradError(
            f"compile_step: {kind.__name__} {what}, and a compiled step needs its formula",
            fix="use SGD, Adam, AdamW, RMSprop, Adagrad or another with a formula, or tg.compile(module) with an eager step",
            where=user_frame(),
        )
    _check_hooks(optimizer)
    return optimizer


def compile_step(
    module: Callable[..., Any],
    loss_fn: Callable[..., Any] | None,
    optimizer: FormulaOptimizer,
    *,
    max_norm: float | None = None,
    compile: str = "now",  # noqa: A002 - as jit has it
    memory_budget: int | float | None = None,
) -> CompiledStep:
    """Make forward, backward and update one program: ``loss = step(x, y)`` for ``loss_fn(module(x), y)``.

    Parameters
    ----------
    module: the module, or a function of Tensors in PyTorch's style.
    loss_fn: gives a scalar from the module's result and the other arguments of the step; None if the module does.
    optimizer: SGD, Adam or another of ``tracegrad.eager.optim`` that is a formula.
    max_norm: where it is given, gradients are clipped as ``nn.utils.clip_grad_norm_`` clips those of all trained
        parameters; ``step.max_norm`` may be changed later.
    compile: ``"now"``, or ``"never"`` to run the graph on the interpreter.
    memory_budget: for the values that the step keeps between its kernels, as ``grad_compile`` takes it.

    A call gives what an eager step from the same state gives: parameters, buffers and the optimiser's state are written in
    place, so that one may change between compiled and eager steps. Gradients are not kept: ``grad`` of the parameters is
    None afterwards. Rates and other options are read at each call, so schedulers work as they do in eager training. What is
    said of ``compile`` about random numbers, settings and sizes holds here too.

    Raises TracegradError for optimisers without a formula (LBFGS, one's own) and with step hooks; calls raise TraceError
    where the code cannot become a static graph, ShapeError for a loss that is no scalar.

    >>> import tracegrad as tg
    >>> from tracegrad.eager import nn, optim
    >>> layer = nn.Linear(1, 1)
    >>> step = tg.compile_step(layer, nn.MSELoss(), optim.SGD(layer.parameters(), lr=0.1), compile="never")
    >>> x = tg.tensor([[1.0], [2.0]])
    >>> losses = [step(x, 3 * x).item() for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """
    native, budget = is_native(compile), checked_budget(memory_budget)
    for what, given in (("module", module), ("loss_fn", loss_fn)):
        if given is not None and not callable(given):
            raise TracegradError(f"compile_step: {what} is a {type(given).__name__}, no function", fix="pass a function")
    if max_norm is not None and not max_norm >= 0:
        raise TracegradError(f"compile_step: max_norm={max_norm!r} is no norm", fix="give a positive number, or None")
    return CompiledStep(module, loss_fn, _check_optimizer(optimizer), max_norm, native, budget)
