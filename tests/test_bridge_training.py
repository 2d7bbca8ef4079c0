"""Compiled training against eager training: every optimiser and option, modules of every kind, draws, and refusals."""

import copy
import json
import os
import random as python_random
import subprocess
import sys
import threading

import numpy as np
import pytest

import tracegrad as tg
from tracegrad import eager
from tracegrad.eager import autograd, nn, optim, random
from tracegrad.eager.nn import functional as F
from tracegrad.eager.optim import lr_scheduler
from tracegrad.errors import DtypeError, EscapeError, ShapeError, TapeError, TraceError

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
DTYPES = list(TOLERANCE)


def floats(*shape, dtype="float32", seed=0, requires_grad=False):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype), requires_grad=requires_grad)


def integers(high, *shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).integers(0, high, shape))


def distance(a, b):
    a, b = (np.asarray(x.detach() if isinstance(x, tg.Tensor) else x, np.float64) for x in (a, b))
    return float(np.abs(a - b).max() / max(1.0, np.abs(a).max())) if a.size else 0.0


def gap(module, twin):
    pairs = zip(module.state_dict().values(), twin.state_dict().values(), strict=True)
    return max(distance(p, q) for p, q in pairs)


def never(module, loss_fn, optimizer, **options):
    return tg.compile_step(module, loss_fn, optimizer, compile="never", **options)


# -- optimisers -------------------------------------------------------------------------------------------------------

DECAYED = {"weight_decay": 0.1}
DECOUPLED = {"weight_decay": 0.1, "decoupled_weight_decay": True}
MAXIMIZED = {"maximize": True}
OPTIONS = {
    optim.SGD: [{}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "dampening": 0.5}, DECAYED, MAXIMIZED, {"lr": 0.0}],
    optim.Adam: [{}, {"amsgrad": True}, DECAYED, MAXIMIZED, {"betas": (0.0, 0.7)}, DECOUPLED],
    optim.AdamW: [{}, {"amsgrad": True}, {"weight_decay": 0.0}, MAXIMIZED],
    optim.RMSprop: [{}, {"momentum": 0.9}, {"centered": True, "momentum": 0.9, "weight_decay": 0.1}, MAXIMIZED, {"alpha": 0.0}],
    optim.Adagrad: [{}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}, DECAYED, MAXIMIZED],
    optim.Adadelta: [{}, {"rho": 0.5}, DECAYED, MAXIMIZED],
    optim.Adamax: [{}, {"betas": (0.5, 0.9)}, DECAYED, MAXIMIZED],
    optim.NAdam: [{}, {"momentum_decay": 0.1}, DECAYED, DECOUPLED, MAXIMIZED],
    optim.RAdam: [{}, DECAYED, DECOUPLED, MAXIMIZED],
}
CASES = [pytest.param(kind, o, id=f"{kind.__name__}-{'-'.join(o) or 'plain'}") for kind, many in OPTIONS.items() for o in many]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_every_option_of_every_optimiser(kind, options, dtype):
    x, y = floats(6, 3, dtype=dtype), floats(6, 2, dtype=dtype, seed=1)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(np.dtype(dtype))
    twin = copy.deepcopy(module)
    a, b = kind(module.parameters(), **options), kind(twin.parameters(), **options)
    step = never(twin, F.mse_loss, b)
    for number in range(5):
        a.zero_grad()
        loss = F.mse_loss(module(x), y)
        loss.backward()
        a.step()
        assert distance(loss, step(x, y)) < TOLERANCE[dtype]
        assert gap(module, twin) < TOLERANCE[dtype] * (1 if number == 0 else 5)
    states = a.state_dict()["state"], b.state_dict()["state"]
    assert states[0].keys() == states[1].keys()
    for p, state in states[0].items():
        assert list(state) == list(states[1][p])
        for name, value in state.items():
            if value is not None:
                assert distance(value, states[1][p][name]) < 5 * TOLERANCE[dtype]
    assert step.stats.traces == 1


SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "from zero": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.5 * epoch),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "one cycle, moving momentum too": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_change_rates_without_a_new_program(name):
    x, y = floats(6, 3, dtype="float64"), floats(6, 2, dtype="float64", seed=1)
    module = nn.Linear(3, 2).to(np.dtype("float64"))
    twin = copy.deepcopy(module)
    a, b = (optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (module, twin))
    schedulers = SCHEDULERS[name](a), SCHEDULERS[name](b)
    step = never(twin, F.mse_loss, b)
    for _ in range(6):
        a.zero_grad()
        F.mse_loss(module(x), y).backward()
        a.step()
        step(x, y)
        for s in schedulers:
            s.step(1.0) if name == "plateau" else s.step()
        assert gap(module, twin) < 1e-12
    # the first step and those behind it, as for SGD's momentum the first is another formula
    assert step.stats.compiles + step.stats.cache_hits + len(step._programs) <= 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_clipped(dtype):
    x, y = floats(6, 3, dtype=dtype), 10 * floats(6, 2, dtype=dtype, seed=1)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(np.dtype(dtype))
    twin = copy.deepcopy(module)
    a, b = (optim.SGD(m.parameters(), lr=0.1) for m in (module, twin))
    step = never(twin, F.mse_loss, b, max_norm=0.5)
    for largest in (0.5, 1e3, 0.1):  # the second is above the norm
        step.max_norm = largest
        a.zero_grad()
        F.mse_loss(module(x), y).backward()
        nn.utils.clip_grad_norm_(module.parameters(), largest)
        a.step()
        step(x, y)
        assert gap(module, twin) < 2 * TOLERANCE[dtype]
    assert len(step._programs) == 1
    with pytest.raises(tg.TracegradError, match="max_norm=-1 is no norm"):
        never(module, F.mse_loss, a, max_norm=-1)


# -- modules ----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(6), nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        y = self.norm(x)
        return self.out((x + self.attention(y, y, y)[0]).mean(1))


class Words(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(7, 4, padding_idx=0)
        self.cells = kind(4, 3, 2, batch_first=True, dropout=0.3, bidirectional=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        return self.out(self.cells(self.embedding(x))[0][:, -1])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.inner, self.out = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(self.inner(self.embedding(x)).tanh()).mean(1)


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2)
        self.unused = nn.Linear(2, 2)
        self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x))


class Average(nn.Module):
    """A buffer and a counter that the module moves itself."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("average", eager.zeros(2))
        self.register_buffer("count", tg.tensor(0))

    def forward(self, x):
        y = self.linear(x)
        if self.training:
            with tg.no_grad():
                self.average.mul_(0.9).add_(y.mean(0), alpha=0.1)
                self.count += 1
        return y - self.average


class Steps(nn.Module):
    """Rows written one by one into a new tensor, with noise drawn in place: DropPath and recurrences by hand."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        out = x.new_zeros(x.shape[0], 2)
        kept = x.new_empty((x.shape[0], 1)).bernoulli_(0.7).div_(0.7)
        for k in range(x.shape[0]):
            out[k] = self.linear(x[k]) * kept[k]
        return out


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 2, 3, padding=1, bias=False),
        nn.BatchNorm2d(2, momentum=None),  # the mean of all batches
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(18, 2),
    )


MODULES = {
    "mlp": (lambda: nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.SiLU(), nn.Dropout(0.3), nn.Linear(5, 2)), (6, 3), 2),
    "cnn": (cnn, (4, 1, 8, 8), 2),
    "attention": (Attention, (3, 5, 6), 2),
    "lstm": (lambda: Words(nn.LSTM), None, 2),
    "gru": (lambda: Words(nn.GRU), None, 2),
    "tied": (Tied, None, 7),
    "frozen": (Frozen, (6, 3), 2),
    "average": (Average, (6, 3), 2),
    "steps": (Steps, (3, 3), 2),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODULES)
def test_modules_train_as_eagerly(name, dtype):
    """In train and eval mode; parameters, buffers, loss and the generator behind it are the same."""
    make, shape, classes = MODULES[name]
    x = integers(7, 3, 4) if shape is None else floats(*shape, dtype=dtype)
    y = integers(classes, x.shape[0], seed=1)
    module = make().to(np.dtype(dtype))
    twin = copy.deepcopy(module)
    a, b = (optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (module, twin))
    step = never(twin, nn.CrossEntropyLoss(), b)
    for number, training in enumerate((True, True, False, True)):
        module.train(training)
        twin.train(training)
        random.manual_seed(number)
        a.zero_grad()
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        a.step()
        state = random.get_rng_state().tolist()
        random.manual_seed(number)
        assert distance(loss, step(x, y)) < TOLERANCE[dtype]
        assert random.get_rng_state().tolist() == state
        assert gap(module, twin) < TOLERANCE[dtype] * (1 if number == 0 else 5)
    assert [p.dtype for p in module.state_dict().values()] == [p.dtype for p in twin.state_dict().values()]
    assert step.stats.traces == 2


# -- random numbers ---------------------------------------------------------------------------------------------------

X = floats(4, 6)
P = tg.tensor(np.random.default_rng(1).random((4, 6)).astype("float32"))
OWN = random.Generator()
DRAWS = {
    "dropout": lambda x: F.dropout(x, 0.4),
    "dropout2d": lambda x: F.dropout2d(x[None, :, :, None], 0.4),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.4, training=True),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, hard=True),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "rand": lambda x: x * random.rand(6) + random.randn(4, 1),
    "own generator": lambda x: x * random.rand(6, generator=OWN),
    "randint": lambda x: x * random.randint(0, 5, (6,)) + random.randint_like(x, 3, 9),
    "randperm": lambda x: x[:, random.randperm(6)],
    "normal": lambda x: x + random.normal(0.0, 2.0, (6,)) + random.normal(eager.zeros(6), eager.ones(6)),
    "normal of traced means": lambda x: x + random.normal(x, P),
    "bernoulli": lambda x: x * random.bernoulli(P) * random.bernoulli(x.sigmoid()) * random.bernoulli(x, 0.9),
    "binomial": lambda x: x * random.binomial(eager.full((6,), 5.0), eager.full((6,), 0.5)),
    "multinomial": lambda x: x[:, random.multinomial(eager.ones(6), 3)],
    "poisson": lambda x: x * random.poisson(eager.full((6,), 3.0)),
    "in place": lambda x: x * eager.empty(4, 6).uniform_(1, 2) + eager.zeros_like(x).normal_(generator=OWN),
    "in place, of every kind": lambda x: (
        x
        + eager.empty(6).exponential_()
        + eager.empty(6).log_normal_()
        + eager.empty(6).cauchy_()
        + eager.empty(6).geometric_(0.5)
        + eager.empty(6).random_(5)
        + eager.empty_like(x).bernoulli_(P)
    ),
    "unused": lambda x: (random.rand(3), x * random.rand(6))[1],
    "mask": lambda x: x.masked_fill(random.rand(6) > 0.5, 0.0),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_eager_calls(name):
    found = []
    for call in (DRAWS[name], tg.compile(DRAWS[name], compile="never")):
        random.manual_seed(3)
        OWN.manual_seed(5)
        found.append([*(call(X) for _ in range(3)), random.rand(2), random.rand(2, generator=OWN)])
    assert all(distance(a, b) < 1e-6 for a, b in zip(*found, strict=True))
    assert distance(found[1][0], found[1][1]) > 0


NUMPYS, PYTHONS = np.random.default_rng(0), python_random.Random(0)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: x * float(np.random.rand()), "from np.random, and they would be the same at each call"),  # noqa: NPY002
        (lambda x: x * NUMPYS.random(), "from a generator of NumPy"),
        (lambda x: x * python_random.random(), "from Python's random"),
        (lambda x: x * PYTHONS.random(), "from a generator of Python's"),
        (lambda x: (random.manual_seed(1), x)[1], "a generator is seeded inside of what is compiled"),
        (lambda x: x * random.rand(6, generator=random.Generator()), "a generator is made inside"),
        (lambda x: (OWN.get_state(), x)[1], "the state of a generator is read inside"),
        (lambda x: x * nn.init.normal_(eager.empty(6)), "a random number is drawn inside of what is compiled, once for all"),
        (lambda x: x * random.poisson(x), "poisson draws by the values of <traced float32"),
        (lambda x: x[:, random.multinomial(x, 2)], "multinomial draws by the values"),
        (lambda x: x.exponential_(-1.0), "expects lambda > 0.0"),
    ],
)
def test_draws_that_would_be_constants_are_refused(f, words):
    with pytest.raises(tg.TracegradError) as caught:
        tg.compile(f, compile="never")(X)
    assert words in str(caught.value)
    assert "Instead" in str(caught.value)


# -- writing while tracing --------------------------------------------------------------------------------------------


def filled_after_use(x):
    m = eager.zeros(6)
    y = x + m
    m.fill_(2.0)
    return y * (x + m)


def through_a_view(x):
    m = eager.zeros(4, 6)
    row = m[0]
    m[1] = x[0]
    row.copy_(x[1])
    return m


def through_a_mask(x):
    m = eager.zeros(4, 6, dtype=np.dtype(bool))
    m[x > 0] = True
    return x * m


def padded(x):
    y = x.new_full((4, 8), 1.5)
    y[:, 1:-1] = x
    return y


def by_values_that_are_known(x):
    return x[eager.ones(4, dtype=np.dtype(bool))].repeat_interleave(eager.ones(6, dtype=np.dtype("int64")), 1)


@pytest.mark.parametrize("f", [by_values_that_are_known, filled_after_use, through_a_view, through_a_mask, padded])
def test_new_tensors_are_written_to(f):
    x = floats(4, 6, requires_grad=True)
    expected, found = f(x), tg.compile(f, compile="never")(x)
    assert distance(expected, found) == 0
    for y in (expected, found):
        y.sum().backward()
    gradient = tg.tensor(x.grad.numpy() / 2)
    x.grad = None
    f(x).sum().backward()
    assert distance(x.grad, gradient) < 1e-6


class Square(autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, g):
        return g


DATA = tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda x: tg.tensor([0.0] * 6).add_(x[0]), TraceError, "written into a tensor or an array that is not traced"),
        (lambda x: eager.zeros(6, dtype=np.dtype("int64")).add_(x[0]), DtypeError, "float32 can't be cast to the desired"),
        (lambda x: eager.zeros(6).add_(x), ShapeError, "doesn't match the broadcast shape [4, 6]"),
        (lambda x: x.sum().backward(), TraceError, "x.backward() inside of what is compiled"),
        (lambda x: autograd.grad(x.sum(), x), TraceError, "autograd.grad inside of what is compiled"),
        (lambda x: x.register_hook(print), TraceError, "x.register_hook(...) inside of what is compiled"),
        (lambda x: (x * 2).retain_grad(), TraceError, "x.retain_grad() inside of what is compiled"),
        (lambda x: x.requires_grad_(), EscapeError, "requires_grad of a tensor that is traced"),
        (lambda x: Square.apply(x), TraceError, "Square.apply inside of what is compiled: its backward is Python code"),
        (lambda x: x.nonzero(), TraceError, "nonzero needs values"),
        (lambda x: x[x > 0], TraceError, "how many elements a traced mask selects is not known while tracing"),
        (lambda x: x * tg.tensor(x.tolist()), EscapeError, "x.tolist() needs the values"),
        (lambda x: x @ x, ShapeError, "6"),
    ],
)
def test_refusals_teach(f, error, words):
    with pytest.raises(error) as caught:
        tg.compile(f, compile="never")(floats(4, 6))
    assert words in str(caught.value)
    assert "test_bridge_training.py" in str(caught.value)
    assert "Instead" in str(caught.value)


# -- steps and what is around them ------------------------------------------------------------------------------------


def started(**options):
    module = nn.Linear(3, 2)
    optimizer = optim.SGD(module.parameters(), lr=0.1)
    step = never(module, F.mse_loss, optimizer, **options)
    x, y = floats(6, 3), floats(6, 2, seed=1)
    step(x, y)
    return module, optimizer, step, x, y


def test_hooks_that_come_later_are_refused():
    module, optimizer, step, x, y = started()
    handle = module.weight.register_hook(lambda g: g * 2)
    with pytest.raises(tg.TracegradError, match=r"a parameter of shape \(2, 3\) has hooks"):
        step(x, y)
    handle.remove()
    step(x, y)
    handle = optimizer.register_step_post_hook(lambda *args: None)
    with pytest.raises(tg.TracegradError, match="this SGD has step hooks"):
        step(x, y)
    handle.remove()
    module.register_full_backward_hook(lambda *args: None)
    with pytest.raises(TraceError, match="Linear has backward hooks"):
        step(x, y)


def test_a_step_is_no_part_of_a_program():
    *_, step, x, y = started()
    with pytest.raises(TraceError, match="the step of Linear is called inside of what is compiled"):
        tg.compile(lambda a, b: step(a, b), compile="never")(x, y)


def test_a_loss_of_one_element_passes_for_a_scalar():
    module = nn.Linear(3, 1)
    step = never(module, lambda y: y.sum().reshape(1), optim.SGD(module.parameters(), lr=1.0))
    before = module.bias.item()
    step(floats(2, 3))
    assert module.bias.item() == pytest.approx(before - 2)


@pytest.mark.parametrize(
    ("x", "y", "loss", "error", "words"),
    [
        (floats(6, 4), floats(6, 2), F.mse_loss, ShapeError, r"\(6x4 and 3x2\)"),
        (floats(6, 3, dtype="float64"), floats(6, 2), F.mse_loss, DtypeError, "input is float64, weight is float32"),
        (floats(6, 3), integers(2, 5), F.cross_entropy, ShapeError, r"batch_size \(6\) to match target batch_size \(5\)"),
        (floats(6, 3), floats(6, 2), lambda a, b: (a - b).sum(0), ShapeError, r"only for scalar outputs.*float32\[2\]"),
        (floats(6, 3), floats(6, 2), lambda a, b: (a > b).sum(), ShapeError, r"has to be one float, here it is int64"),
        (floats(6, 3), floats(6, 2), lambda a, b: a.sum().item(), EscapeError, r"leave .item\(\) out"),
        (floats(6, 3), floats(6, 2), lambda a, b: a.detach().sum(), TapeError, "depends on no parameter of the optimizer"),
    ],
)
def test_bad_steps(x, y, loss, error, words):
    module = nn.Linear(3, 2)
    before = copy.deepcopy(module)
    step = never(module, loss, optim.SGD(module.parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(error, match=words):
        step(x, y)
    assert gap(before, module) == 0
    assert not step.optimizer.state


def test_states_are_saved_and_loaded_between_steps():
    module = nn.Linear(3, 2)
    optimizer = optim.Adam(module.parameters(), lr=0.1)
    step = never(module, F.mse_loss, optimizer)
    x, y = floats(6, 3), floats(6, 2, seed=1)
    step(x, y)
    saved = copy.deepcopy((module.state_dict(), optimizer.state_dict()))
    step(x, y)
    after = copy.deepcopy(module)
    module.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    step(x, y)
    assert gap(after, module) == 0
    module.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    optimizer.zero_grad()
    F.mse_loss(module(x), y).backward()
    optimizer.step()
    assert gap(after, module) < 1e-6
    assert step.stats.traces == 1


def test_a_graph_from_before_a_step_notices_it():
    module, _, step, x, y = started()
    z = (module(x).tanh() @ floats(2, 3)).tanh()
    loss = module(z).sum()
    step(x, y)
    with pytest.raises(TapeError, match=r"modified by an inplace operation.*it was last written by SGD.step"):
        loss.backward()


def test_threads_share_a_compiled_module():
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    compiled = tg.compile(module, compile="never")
    expected = [module(eager.ones(n, 3)) for n in range(1, 9)]
    found, failed = [], []

    def work():
        try:
            found.append(max(distance(y, compiled(eager.ones(n, 3))) for n, y in enumerate(expected, 1)))
        except Exception as error:  # noqa: BLE001 - seen below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert max(found) < 1e-6
    assert compiled.stats.traces == 8


PROGRAM = """
import json, sys
import numpy as np
from numba.core import event
import tracegrad as tg
from tracegrad.eager import manual_seed, nn, optim
from tracegrad.eager.nn import functional as F

tg.config.cache_dir = sys.argv[1]
manual_seed(0)
module = nn.Sequential(nn.Linear(3, 20), nn.Dropout(0.2))
step = tg.compile_step(module, F.mse_loss, optim.SGD(module.parameters(), lr=0.1), max_norm=1.0)
compiled = tg.compile(module)
rng = np.random.default_rng(0)
counts, losses = [], []
with event.install_recorder("numba:compile") as recorder:
    for n in (18, 25, 31):
        x, y = (tg.tensor(rng.normal(size=(n, k)).astype("float32")) for k in (3, 20))
        losses.append(step(x, y).item())
        compiled(x).sum().backward()
        module.zero_grad()
        counts.append(sum(e.is_start for _, e in recorder.buffer))
print(json.dumps([counts, losses]))
"""


def test_sizes_and_processes_share_the_kernels(tmp_path):
    found = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "cache")], capture_output=True, text=True, env=dict(os.environ)
        )
        assert run.returncode == 0, run.stderr
        found.append(json.loads(run.stdout))
    (first, losses), (second, again) = found
    assert first[0] > 0
    assert first == [first[0]] * 3  # other batch sizes compile nothing
    assert second == [0, 0, 0]  # nor does another process
    assert losses == again
