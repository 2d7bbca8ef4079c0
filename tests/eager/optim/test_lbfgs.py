"""LBFGS against PyTorch's: the same losses, evaluations and state on functions with and without trouble."""

import numpy as np
import pytest

from tracegrad.eager import optim
from tracegrad.eager.modes import no_grad
from tracegrad.eager.tensor import tensor

CASES = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 5, "max_eval": 9, "lr": 0.5},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 1.0, "tolerance_change": 1e-3},
    {"lr": 1e-3, "max_iter": 7},
    {"lr": 0.01, "history_size": 2},
    {"lr": 0.01, "max_eval": 4},
]
START = [np.array([[-1.2, 1.0], [0.3, 2.0]]), np.array(-0.5)]

# losses of six steps and the evaluations they took, with PyTorch 2.13
RECORDED = {
    0: (
        [
            190.72624999999994,
            0.42640231928531885,
            0.008338490415282777,
            1.9769667289835833e-11,
            1.9769667289835833e-11,
            1.9769667289835833e-11,
        ],
        67,
    ),
    1: (
        [190.72624999999994, 4.825735727657643, 4.19511027474364, 1.8696221253001817, 1.2104172753065197, 0.6457817965567519],
        42,
    ),
    2: (
        [
            190.72624999999994,
            0.42640231928531885,
            0.033447524814361404,
            0.033447524814361404,
            0.033447524814361404,
            0.033447524814361404,
        ],
        41,
    ),
    3: (
        [190.72624999999994, 187.87628922524345, 183.93453029225688, 177.76342531630112, 168.7403829486549, 159.01577917489655],
        42,
    ),
    4: (
        [190.72624999999994, 95.45230899273932, 32.36534118480691, 20.064606545908138, 16.326212540931465, 14.203799459226229],
        120,
    ),
    5: (
        [190.72624999999994, 179.84472695763563, 168.28917471345486, 156.67731876296384, 145.18846433135508, 134.0521446068228],
        24,
    ),
}


def rosenbrock(w, b):
    """Valleys with bends; parameters of two shapes."""
    first, second = w[0] - 0.1 * b, w[1]
    steep, flat = second - first * first, 1 - first
    return 100 * (steep * steep).sum() + (flat * flat).sum() + (b - 0.5) ** 2


def wall(w, b):
    """So steep that line searches have to come back."""
    return ((3 * w) ** 2).exp().sum() + (b * b * b * b).sum()


def run(optimizer, params, loss_of, steps=6):
    count = 0

    def closure():
        nonlocal count
        count += 1
        optimizer.zero_grad()
        loss = loss_of(*params)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)], count


def ours(dtype=np.float64, start=START):
    return [tensor(x.astype(dtype), requires_grad=True) for x in start]


@pytest.mark.parametrize("loss_of", [rosenbrock, wall])
@pytest.mark.parametrize("options", CASES, ids=lambda o: "-".join(o))
def test_pytorch_agrees(options, loss_of):
    torch = pytest.importorskip("torch")
    mine, theirs = ours(), [torch.tensor(x, requires_grad=True) for x in START]
    a, b = optim.LBFGS(mine, **options), torch.optim.LBFGS(theirs, **options)
    found, wanted = run(a, mine, loss_of), run(b, theirs, loss_of)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-7)
    assert found[1] == wanted[1]
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)
    kept, expected = a.state_dict()["state"][0], b.state_dict()["state"][0]
    assert list(kept) == list(expected)
    assert (kept["func_evals"], kept["n_iter"]) == (expected["func_evals"], expected["n_iter"])
    assert len(kept["old_dirs"]) == len(expected["old_dirs"])
    assert repr(a) == repr(b)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_recorded_numbers(number):
    params = ours()
    losses, count = run(optim.LBFGS(params, **CASES[number]), params, rosenbrock)
    np.testing.assert_allclose(losses, RECORDED[number][0], rtol=1e-7)
    assert count == RECORDED[number][1]


def test_single_precision():
    params = ours(np.float32)
    losses, _ = run(optim.LBFGS(params, **CASES[1]), params, rosenbrock, 3)
    np.testing.assert_allclose(losses, RECORDED[1][0][:3], rtol=1e-4)
    assert all(p.dtype == np.float32 for p in params)


def test_it_finds_the_minimum():
    params = ours()
    run(optim.LBFGS(params, line_search_fn="strong_wolfe", max_iter=200), params, rosenbrock, 3)
    np.testing.assert_allclose(params[0].detach().numpy(), [[1.05, 1.05], [1.0, 1.0]], atol=1e-4)
    assert rosenbrock(*params).item() < 1e-10


@pytest.mark.parametrize("options", CASES[:2] + CASES[3:4], ids=lambda o: "-".join(o))
def test_it_goes_on_from_its_state_dict(options):
    whole = ours()
    expected, _ = run(optim.LBFGS(whole, **options), whole, rosenbrock, 4)
    first = ours()
    begun = optim.LBFGS(first, **options)
    run(begun, first, rosenbrock, 2)
    second = ours(start=[p.detach().numpy() for p in first])
    resumed = optim.LBFGS(second)
    resumed.load_state_dict(begun.state_dict())
    assert run(resumed, second, rosenbrock, 2)[0] == expected[2:]


def test_parameters_without_gradients_stay():
    w, spare = ours()[0], tensor(np.ones(2), requires_grad=True)
    optimizer = optim.LBFGS([spare, w])
    run(optimizer, [w], lambda w: (w * w).sum(), 1)
    np.testing.assert_allclose(w.detach().numpy(), 0, atol=1e-6)
    np.testing.assert_array_equal(spare.detach().numpy(), 1)


def test_where_the_gradient_is_zero_nothing_happens():
    w = tensor(np.zeros(3), requires_grad=True)
    optimizer = optim.LBFGS([w])
    assert run(optimizer, [w], lambda w: (w * w).sum(), 1) == ([0.0], 1)
    assert "d" not in optimizer.state[w]


def test_the_closure_is_recorded_in_no_grad():
    params = ours()
    with no_grad():
        losses, _ = run(optim.LBFGS(params, lr=0.01), params, rosenbrock, 2)
    assert losses[1] < losses[0]


def test_what_is_refused():
    (w, b) = ours()
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        optim.LBFGS([w], lr=-1)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        optim.LBFGS([{"params": [w]}, {"params": [b]}])
    with pytest.raises(TypeError, match="needs the closure"):
        optim.LBFGS([w]).step()
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported, not 'armijo'"):
        run(optim.LBFGS([w, b], line_search_fn="armijo"), [w, b], rosenbrock, 1)
