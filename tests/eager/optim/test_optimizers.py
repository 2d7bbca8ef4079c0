"""Optimisers against PyTorch's over twenty steps with every option, their groups, state dicts and errors."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.eager import optim
from tracegrad.eager.dtypes import default_dtype
from tracegrad.eager.modes import no_grad
from tracegrad.eager.optim.optimizer import required
from tracegrad.eager.tensor import Tensor, tensor

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adamax", {"maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.6)}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9, "centered": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in CASES]
SHAPES = [(3, 4), (5,), ()]

# parameters after 20 steps of PyTorch 2.13 in float64, from [1, -2, 0.5] with the gradients of `pull`
RECORDED = {
    "SGD-lr": [0.020228122559899395, -0.06507139209579425, 0.0017660140261900803],
    "SGD-lr-maximize": [15.395090326725507, -30.84562720982219, 8.363501386332356],
    "SGD-lr-momentum": [0.446357465223478, -0.2930914308887592, -0.25005575747301817],
    "SGD-lr-momentum-dampening-weight_decay": [-0.08586318202606978, 0.13711704426674154, 0.0997899166108552],
    "SGD-lr-momentum-nesterov-weight_decay-maximize": [95.42522347419659, -193.11413419734717, 60.61927909437202],
    "Adam-": [0.9815033569435714, -1.9802171333102614, 0.4853017973841441],
    "Adam-lr-betas-eps-weight_decay": [-0.07715916352476775, -0.3177560375510377, -0.014566305805106011],
    "Adam-lr-amsgrad-maximize": [3.0090356568315557, -4.061589214945197, 2.410395246589347],
    "Adam-lr-weight_decay-decoupled_weight_decay": [-0.19654071196804765, -0.10806813381644312, -0.08070586473738357],
    "AdamW-lr": [-0.20159549868039262, -0.23750015788479292, -0.09138420311623646],
    "AdamW-lr-weight_decay-amsgrad": [-0.1859807398815537, -0.002458307226259983, -0.0695454901410365],
    "Adamax-lr-weight_decay": [0.04622552489858831, -0.6390287705826565, -0.04028266675592815],
    "Adamax-maximize": [1.0250065406899143, -2.031227091213297, 0.5201439944410653],
    "NAdam-lr-weight_decay-momentum_decay": [0.021179488105802537, -0.5967053363195055, -0.01752827244796473],
    "NAdam-lr-weight_decay-decoupled_weight_decay-maximize": [2.5899631905519986, -3.3505444206344084, 2.0278573165045373],
    "RAdam-lr-weight_decay": [0.40835747966105324, -0.6694263444468526, -0.1218874546799477],
    "RAdam-lr-betas": [-0.17544445459084518, 0.4076827832419735, -0.06034726154501738],
    "RAdam-lr-weight_decay-decoupled_weight_decay-maximize": [1.562466425233905, -2.9582780802300688, 1.0180425978446253],
    "RMSprop-lr": [-0.025063272981934222, -0.053094493547260035, -0.026646651363965226],
    "RMSprop-lr-alpha-eps-weight_decay": [0.12694854480897905, -0.7969096550097324, 0.03516762133573821],
    "RMSprop-lr-momentum-centered-maximize": [41.548335315724124, -41.05135183932497, 40.1512448395097],
    "Adagrad-lr": [0.40745422981077617, -1.3073816879205917, 0.15355987156976514],
    "Adagrad-lr-lr_decay-weight_decay-initial_accumulator_value-maximize": [
        1.4749673982227023,
        -2.521680540362129,
        0.8777780663318797,
    ],
    "Adadelta-": [0.9398717280971499, -1.9279239450793193, 0.46585056945765024],
    "Adadelta-lr-rho-eps-weight_decay-maximize": [1.2391578738519167, -2.2989859454340986, 0.6446523653957262],
}


def pull(values, step):
    """Gradients that change sign and size from step to step."""
    return values * 1.5 + np.sin(values * 3 + step)


def starts(dtype, shapes=SHAPES):
    rng = np.random.default_rng(5)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def ours(arrays):
    return [tensor(a, requires_grad=True) for a in arrays]


def run(optimizer, params, steps=20, start=0):
    for k in range(start, start + steps):
        for p in params:
            p.grad = tensor(pull(p.detach().numpy(), k).astype(p.dtype))
        optimizer.step()


def run_theirs(torch, optimizer, params, steps=20, start=0):
    for k in range(start, start + steps):
        for p in params:
            p.grad = torch.tensor(pull(p.detach().numpy(), k).astype(p.detach().numpy().dtype))
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_pytorch_agrees(name, options, dtype):
    torch = pytest.importorskip("torch")
    token = default_dtype.set(np.dtype(dtype))
    theirs_default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if dtype is np.float32 else torch.float64)
    try:
        mine = ours(starts(dtype))
        optimizer = getattr(optim, name)(mine, **options)
        run(optimizer, mine)
        theirs = [torch.tensor(a, requires_grad=True) for a in starts(dtype)]
        other = getattr(torch.optim, name)(theirs, **options)
        run_theirs(torch, other, theirs)
    finally:
        default_dtype.reset(token)
        torch.set_default_dtype(theirs_default)
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)
        assert a.dtype == dtype
    kept, wanted = optimizer.state_dict(), other.state_dict()
    assert kept["param_groups"] == wanted["param_groups"]
    assert list(kept["param_groups"][0]) == list(wanted["param_groups"][0])
    assert kept["state"].keys() == wanted["state"].keys()
    for number, slots in wanted["state"].items():
        assert list(kept["state"][number]) == list(slots)
        for key, value in slots.items():
            found = kept["state"][number][key].numpy()
            np.testing.assert_allclose(found, value.numpy(), **tolerance)
            assert found.dtype == value.numpy().dtype
            assert found.shape == value.shape
    assert repr(optimizer) == repr(other)


def recorded_run(name, options):
    """Twenty steps in float64 from [1, -2, 0.5]; what a float32 default keeps in single precision stays so."""
    (p,) = params = ours([np.array([1.0, -2.0, 0.5])])
    run(getattr(optim, name)(params, **options), params)
    return p.detach().numpy()


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_recorded_numbers(name, options):
    wanted = RECORDED[IDS[CASES.index((name, options))]]
    np.testing.assert_allclose(recorded_run(name, options), wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[0] != "SGD"], ids=[i for i in IDS if i[:3] != "SGD"])
def test_large_parameters_are_worked_on_in_pieces(name, options):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 40_000))
    whole = ours([values])
    transposed = ours([np.asfortranarray(values)])
    parts = ours([values[:, k : k + 1000] for k in range(0, 40_000, 1000)])
    for params in (whole, transposed, parts):
        optimizer = getattr(optim, name)(params, **options)
        run(optimizer, params, 3)
        if params is not parts:
            slots = [v for v in optimizer.state[params[0]].values() if v.ndim]
            assert all(v.shape == (3, 40_000) for v in slots)
    wanted = np.concatenate([p.detach().numpy() for p in parts], 1)
    np.testing.assert_array_equal(whole[0].detach().numpy(), wanted)
    np.testing.assert_array_equal(transposed[0].detach().numpy(), wanted)


def test_one_rule_two_modes():
    """The pure rule and the class give the same bits."""
    values = starts(np.float64)[0]
    rule = tg.optim.adamw(0.1, 0.8, 0.9, 1e-6, 0.2, amsgrad=True)
    p, state = values, rule.init(values)
    for k in range(5):
        p, state = rule.update(pull(p, k), state, p)
    params = ours([values])
    optimizer = optim.AdamW(params, 0.1, (0.8, 0.9), 1e-6, 0.2, amsgrad=True)
    run(optimizer, params, 5)
    np.testing.assert_array_equal(params[0].detach().numpy(), p)
    np.testing.assert_array_equal(optimizer.state[params[0]]["max_exp_avg_sq"].numpy(), state.largest)


# -- groups and what stands in them -----------------------------------------------------------------------------------


def test_groups_have_options_of_their_own():
    a, b, c = ours([np.ones(2), np.ones(2), np.ones(2)])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": iter([c]), "momentum": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.1]
    for p in (a, b, c):
        p.grad = tensor(np.ones(2))
    optimizer.step()
    optimizer.step()
    np.testing.assert_allclose([p.detach().numpy()[0] for p in (a, b, c)], [0.8, -1.0, 0.75])
    optimizer.param_groups[0]["lr"] = 10.0
    optimizer.step()
    np.testing.assert_allclose(a.detach().numpy(), -9.2)


def test_parameters_without_gradients_are_left_alone():
    a, b = ours([np.ones(2), np.ones(2)])
    optimizer = optim.Adam([a, b], weight_decay=0.1)
    a.grad = tensor(np.ones(2))
    optimizer.step()
    optimizer.step()
    b.grad = tensor(np.ones(2))
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in (a, b)] == [3, 1]
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(a.grad.numpy(), [0, 0])
    optimizer.zero_grad()
    assert a.grad is None
    before = a.detach().numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(a.detach().numpy(), before)


def test_names_of_parameters():
    a, b = ours([np.ones(1), np.ones(1)])
    optimizer = optim.SGD([("weight", a), ("bias", b)])
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"] == [a, b]
    with pytest.raises(ValueError, match="cannot add param group without names"):
        optimizer.add_param_group({"params": ours([np.ones(1)])})
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("weight", a), b])


def test_the_closure_is_recorded_and_its_loss_returned():
    (w,) = ours([np.array([1.0, 2.0])])
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with no_grad():
        assert optimizer.step(closure).item() == 5.0
    np.testing.assert_array_equal(w.detach().numpy(), [0.5, 1.0])


def test_a_step_counts_as_a_write():
    (w,) = ours([np.array([1.0, 2.0])])
    optimizer = optim.Adam([w])
    y = (w * w).sum()
    y.backward(retain_graph=True)
    storage = w.detach().numpy()
    optimizer.step()
    assert w.detach().numpy() is storage
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*last written by Adam\.step"):
        y.backward()


def test_rates_that_are_tensors():
    (w,) = ours([np.array([1.0, 2.0])])
    optimizer = optim.Adam([w], lr=tensor(0.5), betas=(tensor(0.5), tensor(0.5)))
    w.grad = tensor(np.ones(2))
    optimizer.step()
    np.testing.assert_allclose(w.detach().numpy(), [0.5, 1.5])
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        optim.Adam([w], lr=tensor([0.1, 0.2]))


def test_hooks_of_steps():
    (w,) = ours([np.array([1.0])])
    optimizer = optim.SGD([w], lr=1.0)
    told = []
    w.grad = tensor(np.ones(1))
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: told.append((o is optimizer, args, w.item())))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: told.append(w.item()))
    optimizer.step()
    assert told == [(True, (), 1.0), 0.0]
    before.remove()
    after.remove()
    optimizer.step()
    assert len(told) == 2
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 7,), {}))
    assert optimizer.step() == 7
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"):
        optimizer.step()


def test_an_optimizer_of_ones_own():
    class Signs(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
                        p -= group["lr"] * tensor(np.sign(p.grad.numpy()))

    (w,) = ours([np.array([1.0, -1.0])])
    w.grad = tensor(np.array([5.0, -5.0]))
    optimizer = Signs([w], lr=0.5)
    optimizer.step()
    np.testing.assert_array_equal(w.detach().numpy(), [0.5, -0.5])
    assert optimizer.state_dict()["state"] == {0: {"seen": 1}}
    with pytest.raises(NotImplementedError, match="Optimizer has no step"):
        optim.Optimizer([w], {}).step()


# -- saving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_it_goes_on_from_its_state_dict(name, options):
    token = default_dtype.set(np.dtype(np.float64))
    try:
        resume(name, options)
    finally:
        default_dtype.reset(token)


def resume(name, options):
    whole = ours(starts(np.float64))
    run(getattr(optim, name)(whole, **options), whole, 6)
    first = ours(starts(np.float64))
    begun = getattr(optim, name)(first, **options)
    run(begun, first, 3)
    second = ours([p.detach().numpy() for p in first])
    resumed = getattr(optim, name)(second, lr=9.0)
    saved = begun.state_dict()
    resumed.load_state_dict(saved)
    run(resumed, second, 3, start=3)
    for a, b in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    # the two do not share their tensors
    run(begun, first, 3, start=3)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_state_takes_the_dtype_of_its_parameter():
    params, narrow = ours(starts(np.float64)), ours(starts(np.float32))
    optimizer = optim.Adam(params)
    run(optimizer, params, 2)
    other = optim.Adam(narrow)
    other.load_state_dict(optimizer.state_dict())
    assert {v.dtype for v in other.state[narrow[0]].values()} == {np.dtype(np.float32)}
    assert other.state[narrow[0]]["step"].item() == 2


def test_a_state_dict_that_does_not_fit():
    a, b = ours([np.ones(1), np.ones(1)])
    two = optim.SGD([{"params": a}, {"params": b}])
    one = optim.SGD([a, b])
    with pytest.raises(ValueError, match="different number of parameter groups: 2, this optimizer has 1"):
        one.load_state_dict(two.state_dict())
    with pytest.raises(ValueError, match="group 0 has 2 parameters, this optimizer's has 1"):
        optim.SGD([a]).load_state_dict(one.state_dict())


def test_adamw_loads_what_adam_saved():
    params = ours(starts(np.float64))
    adam, adamw = optim.Adam(params), optim.AdamW(params)
    adamw.load_state_dict(adam.state_dict())
    assert adamw.param_groups[0]["decoupled_weight_decay"] is True


# -- complex parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "RMSprop", "Adagrad"])
def test_complex_parameters(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    for shape in [(), (4,), (3, 2)]:
        values = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex128)
        a, b = Tensor._wrap(values.copy()), torch.tensor(values, requires_grad=True)
        mine, theirs = getattr(optim, name)([a], lr=0.1), getattr(torch.optim, name)([b], lr=0.1)
        for k in range(5):
            g = (a.detach().numpy() * (1 + 0.5j) + k).astype(np.complex128)
            a.grad, b.grad = Tensor._wrap(g), torch.tensor(g)
            mine.step()
            theirs.step()
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-7 if name == "NAdam" else 1e-12)


# -- errors -----------------------------------------------------------------------------------------------------------

W = tensor(np.ones(2), requires_grad=True)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.SGD(W), TypeError, "should be an iterable of Tensors or dicts, but got Tensor"),
        (lambda: optim.SGD([3]), TypeError, "can only optimize Tensors, but one of the params is int"),
        (lambda: optim.SGD([{"params": {W}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([W * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([{"params": [W]}, {"params": [W]}]), ValueError, "more than one parameter group"),
        (lambda: optim.SGD([W]).add_param_group([W]), TypeError, "param_group must be a dict, but got <class 'list'>"),
        (lambda: optim.Optimizer([W], {"lr": required}), ValueError, "required optimization parameter lr"),
        (lambda: optim.SGD([W], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([W], momentum=-0.5), ValueError, "Invalid momentum value: -0.5"),
        (lambda: optim.SGD([W], weight_decay=-2), ValueError, "Invalid weight_decay value: -2"),
        (lambda: optim.SGD([W], nesterov=True), ValueError, "Nesterov momentum requires a momentum and zero dampening"),
        (lambda: optim.SGD([W], momentum=0.5, dampening=0.1, nesterov=True), ValueError, "zero dampening"),
        (lambda: optim.Adam([W], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda: optim.AdamW([W], betas=(0.9, -1)), ValueError, "Invalid beta parameter at index 1: -1"),
        (lambda: optim.Adam([W], eps=-1e-8), ValueError, "Invalid epsilon value: -1e-08"),
        (lambda: optim.Adam([W], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
        (lambda: optim.Adam([W], differentiable=True), ValueError, "tracegrad.optim has the same formula"),
        (lambda: optim.Adam([W], fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
        (lambda: optim.NAdam([W], momentum_decay=-1), ValueError, "Invalid momentum_decay value: -1"),
        (lambda: optim.RMSprop([W], alpha=-1), ValueError, "Invalid alpha value: -1"),
        (lambda: optim.Adagrad([W], lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
        (lambda: optim.Adagrad([W], initial_accumulator_value=-1), ValueError, "initial_accumulator_value value: -1"),
        (lambda: optim.Adadelta([W], rho=1.5), ValueError, "Invalid rho value: 1.5"),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_parameter_twice_in_a_group():
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([W, W])
