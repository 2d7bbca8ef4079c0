"""What the cases do not show: kinks and edges, writing in place, running statistics, draws, indices."""

import importlib
import warnings

import numpy as np
import pytest

from tracegrad import eager as torch
from tracegrad.eager.nn import functional as F

# the package has a function of the same name
draws = importlib.import_module("tracegrad.eager.nn.functional.dropout")


def slope(function, values):
    x = torch.tensor(values, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("function", "at", "slopes"),
    [
        (F.relu, [-0.0, 0.0], [0, 0]),
        (F.relu6, [0.0, 6.0], [0, 0]),
        (F.leaky_relu, [0.0], [0.01]),
        (F.elu, [0.0], [1]),
        (F.hardtanh, [-1.0, 1.0], [0, 0]),
        (F.hardsigmoid, [-3.0, 3.0], [0, 0]),
        (F.hardswish, [-3.0, 3.0], [0, 1]),
        (F.hardshrink, [-0.5, 0.5], [0, 0]),
        (F.softshrink, [-0.5, 0.5], [0, 0]),
        (lambda x: F.threshold(x, 0.5, 1.0), [0.5], [0]),
        (lambda x: F.prelu(x, torch.tensor([0.25])), [0.0], [0.25]),
        (lambda x: F.l1_loss(x, x * 0), [0.0], [0]),
        (lambda x: F.softplus(x), [0.0, 30.0], [0.5, 1]),
    ],
)
def test_kinks(function, at, slopes):
    np.testing.assert_allclose(slope(function, at), slopes, rtol=1e-6)


def test_nan_stays_nan():
    x = torch.tensor([float("nan")])
    for name in [
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "mish",
        "softplus",
        "hardtanh",
        "hardswish",
        "hardshrink",
        "softshrink",
    ]:
        assert np.isnan(getattr(F, name)(x).item()), name


def test_softmax_without_dim_warns():
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        out = F.softmax(torch.tensor([[0.0, 0.0], [0.0, 0.0]]))
    assert out.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert F.softmax(torch.tensor(3.0), dim=0).tolist() == 1.0
    assert F.softmax(torch.tensor([1, 1]), dim=0, dtype=torch.float64).dtype == torch.float64


# -- in place


@pytest.mark.parametrize(
    "function",
    [F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.silu, F.mish, F.hardtanh, F.hardswish, F.hardsigmoid, F.rrelu],
)
def test_in_place_is_the_plain_one(function):
    values = np.array([-2.0, -0.3, 0.4, 5.0])
    leaf, plain = (torch.tensor(values, requires_grad=True) for _ in range(2))
    hidden = leaf * 3
    out = function(hidden, inplace=True)
    expected = function(plain * 3)
    assert out is hidden
    np.testing.assert_array_equal(out.detach().numpy(), expected.detach().numpy())
    assert out.grad_fn.name() == expected.grad_fn.name()
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), plain.grad.numpy())


def test_in_place_names():
    for name in ["relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_", "rrelu_"]:
        x = torch.tensor([-2.0, 3.0])
        assert getattr(F, name)(x) is x
        np.testing.assert_array_equal(x.numpy(), getattr(F, name[:-1])(torch.tensor([-2.0, 3.0])).numpy())
    x = torch.tensor([-2.0, 3.0])
    assert F.threshold_(x, 0.0, 1.0).tolist() == [1.0, 3.0] == x.tolist()


def test_in_place_on_a_leaf_is_refused():
    with pytest.raises(RuntimeError, match=r"a leaf (Variable|Tensor)"):
        F.relu(torch.tensor([1.0], requires_grad=True), inplace=True)


# -- running statistics


def test_batch_norm_moves_its_running_statistics():
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 80.0]])
    mean, variance = torch.zeros(2), torch.ones(2)
    F.batch_norm(x, mean, variance, training=True, momentum=0.1)
    np.testing.assert_allclose(mean.numpy(), [0.3, 4.0], rtol=1e-6)
    np.testing.assert_allclose(variance.numpy(), [0.9 + 0.1 * 4, 0.9 + 0.1 * 1300], rtol=1e-6)
    assert mean.grad_fn is None
    before = mean.tolist()
    F.batch_norm(x, mean, variance)
    assert mean.tolist() == before


def test_batch_norm_moves_them_while_a_gradient_is_recorded():
    w = torch.tensor([2.0], requires_grad=True)
    mean, variance = torch.zeros(1), torch.ones(1)
    out = F.batch_norm(torch.tensor([[1.0], [3.0]]) * w, mean, variance, w, None, True, 0.5)
    out.sum().backward()
    assert mean.tolist() == [2.0]
    assert variance.tolist() == [0.5 + 0.5 * 8]
    assert not mean.requires_grad


def test_instance_norm_moves_them_by_the_mean_over_samples():
    x = torch.tensor([[[1.0, 3.0]], [[5.0, 9.0]]])
    mean, variance = torch.zeros(1), torch.zeros(1)
    F.instance_norm(x, mean, variance, momentum=0.5)
    np.testing.assert_allclose(mean.numpy(), [0.5 * 4.5])
    np.testing.assert_allclose(variance.numpy(), [0.5 * (2 + 8) / 2])
    out = F.instance_norm(x, mean, variance, use_input_stats=False)
    np.testing.assert_allclose(out.numpy()[0, 0, 0], (1 - 2.25) / np.sqrt(2.5 + 1e-5), rtol=1e-6)


def test_batch_norm_of_a_constant_is_its_bias():
    out = F.batch_norm(torch.ones(4, 2), None, None, None, torch.tensor([1.0, 2.0]), True)
    assert out.tolist() == [[1.0, 2.0]] * 4


# -- draws


def test_dropout_keeps_the_mean_and_drops_the_share():
    torch.manual_seed(0)
    x = torch.ones(20000, requires_grad=True)
    out = F.dropout(x, 0.25)
    assert set(np.unique(out.detach().numpy()).round(6)) == {0.0, np.float32(4 / 3).round(6)}
    assert abs(np.mean(out.detach().numpy() == 0) - 0.25) < 0.02
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.detach().numpy())
    assert out.grad_fn.name() == "MulBackward0"


def test_dropout_outside_training_is_the_input():
    x = torch.ones(3)
    assert F.dropout(x, 0.5, False) is x
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 1.0).tolist() == [0.0] * 3


def test_the_seed_fixes_the_draw():
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(F.dropout(torch.ones(50)).tolist())
    assert found[0] == found[1]
    assert F.dropout(torch.ones(50)).tolist() != found[0]


@pytest.mark.parametrize(
    ("function", "shape"),
    [(F.dropout1d, (8, 9, 5)), (F.dropout1d, (9, 5)), (F.dropout2d, (8, 9, 3, 2)), (F.dropout3d, (8, 9, 2, 3, 2))],
)
def test_channels_drop_as_a_whole(function, shape):
    torch.manual_seed(0)
    out = function(torch.ones(*shape)).numpy()
    channels = out.reshape(-1, int(np.prod(shape[2:])) if len(shape) > 2 else shape[1])
    assert (channels == channels[:, :1]).all()
    assert 0 < (channels[:, 0] == 0).mean() < 1
    x = torch.ones(*shape)
    assert function(x, inplace=True) is x


def test_alpha_dropout_keeps_mean_and_variance():
    torch.manual_seed(0)
    x = torch.randn(100000)
    for out in (F.alpha_dropout(x, 0.3, True), F.feature_alpha_dropout(x.reshape(-1, 5, 4), 0.3, True)):
        assert abs(out.numpy().mean()) < 0.05
        assert abs(out.numpy().std() - 1) < 0.05
    assert F.alpha_dropout(x, 1.0, True).numpy().max() == 0
    assert F.alpha_dropout(x) is x


def test_every_draw_goes_through_one_place(monkeypatch):
    drawn = []
    monkeypatch.setattr(draws.random, "rand", lambda shape, dtype: drawn.append(shape) or torch.full(shape, 0.5, dtype=dtype))
    x = torch.ones(2, 3, 4)
    F.dropout(x)
    F.dropout1d(x)
    F.alpha_dropout(x, training=True)
    F.rrelu(x, training=True)
    F.gumbel_softmax(x)
    assert drawn == [(2, 3, 4), (2, 3, 1), (2, 3, 4), (2, 3, 4), (2, 3, 4)]


def test_rrelu_draws_slopes_between_its_bounds():
    torch.manual_seed(0)
    x = torch.full((1000,), -1.0, requires_grad=True)
    out = F.rrelu(x, 0.2, 0.6, training=True)
    values = -out.detach().numpy()
    assert values.min() >= 0.2
    assert values.max() <= 0.6
    assert values.std() > 0.05
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert out.grad_fn.name() == "RreluWithNoiseBackward0"


def test_gumbel_softmax_draws_classes_by_their_probability():
    torch.manual_seed(0)
    logits = torch.tensor(np.log([[0.7, 0.2, 0.1]] * 4000), requires_grad=True)
    hard = F.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(hard.detach().numpy().mean(0), [0.7, 0.2, 0.1], atol=0.03)
    np.testing.assert_allclose(hard.detach().numpy().sum(1), 1.0)
    (hard * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).sum().backward()
    assert np.abs(logits.grad.numpy()).max() > 0
    soft = F.gumbel_softmax(logits.reshape(3, -1), 0.5, dim=0)
    np.testing.assert_allclose(soft.detach().numpy().sum(0), 1.0)
    assert soft.grad_fn.name() == "SoftmaxBackward0"


# -- indices


@pytest.mark.parametrize("ties", [False, True])
def test_places_of_maxima(ties):
    theirs = pytest.importorskip("torch")
    values = np.random.default_rng(0).permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8) / 5.0
    values = np.floor(values / 20) if ties else values
    calls = [
        lambda F, x: F.max_pool2d(x, 3, 2, 1, return_indices=True),
        lambda F, x: F.max_pool2d(x, (2, 3), (2, 1), (1, 0), (1, 2), True, return_indices=True),
        lambda F, x: F.max_pool1d(x[:, 0], 3, 2, 1, return_indices=True),
        lambda F, x: F.max_pool3d(x, 2, 1, return_indices=True),
        lambda F, x: F.adaptive_max_pool2d(x, (3, 5), True),
        lambda F, x: F.adaptive_max_pool1d(x[:, 0], 4, return_indices=True),
        lambda F, x: F.adaptive_max_pool3d(x, (2, 3, 4), True),
    ]
    for call in calls:
        ours = call(F, torch.tensor(values))
        expected = call(theirs.nn.functional, theirs.tensor(values))
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert ours[1].dtype == torch.int64


def test_recorded_places():
    x = torch.tensor([[[1.0, 5.0, 5.0], [5.0, 0.0, 2.0]]])
    out, places = F.max_pool2d(x, 2, 1, return_indices=True)
    assert out.tolist() == [[[5.0, 5.0]]]
    assert places.tolist() == [[[1, 1]]]


# -- classes, tables


def test_all_targets_ignored():
    x = torch.tensor([[0.0, 1.0]], requires_grad=True)
    assert np.isnan(F.cross_entropy(x, torch.tensor([-100])).item())
    assert F.cross_entropy(x, torch.tensor([-100]), reduction="sum").item() == 0.0


def test_binary_cross_entropy_at_its_edges():
    x = torch.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    target = torch.tensor([1.0, 0.0, 0.0, 1.0])
    loss = F.binary_cross_entropy(x, target, reduction="none")
    assert loss.tolist() == [100.0, 100.0, 0.0, 0.0]
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [-1e12, 1e12, 0, 0])


def test_one_hot():
    out = F.one_hot(torch.tensor([[0, 2], [1, 0]]))
    assert out.dtype == torch.int64
    assert out.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0]]]
    assert F.one_hot(torch.tensor([1]), 4).tolist() == [[0, 1, 0, 0]]


def test_embedding_shortens_the_rows_it_uses():
    weight = torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]], requires_grad=True)
    out = F.embedding(torch.tensor([1, 2, 1]), weight, max_norm=1.0)
    np.testing.assert_allclose(out.detach().numpy(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(weight.detach().numpy(), [[3, 4], [0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    out.sum().backward()
    assert weight.grad.tolist() == [[0, 0], [2, 2], [1, 1]]


def test_normalize_writes_to_out():
    out = torch.zeros(1, 2)
    assert F.normalize(torch.tensor([[3.0, 4.0]]), out=out) is out
    np.testing.assert_allclose(out.numpy(), [[0.6, 0.8]], rtol=1e-6)


def test_lp_pool_of_infinite_order_is_a_maximum():
    x = torch.tensor([[1.0, -3.0, 2.0, 0.5]])
    assert F.lp_pool1d(x, float("inf"), 2).tolist() == [[3.0, 2.0]]
    assert F.lp_pool1d(x, float("-inf"), 2).tolist() == [[1.0, 0.5]]
    assert F.lp_pool2d(x[None], float("inf"), (1, 2)).tolist() == [[[3.0, 2.0]]]


def test_cdist():
    x, y = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True), torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    cdist = F.distance.cdist
    assert cdist(x, y).tolist()[0] == [5.0, pytest.approx(2**0.5)]
    for p in (0.0, 1.0, 2.0, 3.0, float("inf")):
        out = cdist(x, y, p)
        assert out.grad_fn.name() == "CdistBackward0" if p else out.shape == (2, 2)
        if p:
            x.grad = None
            out.sum().backward()
            assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_cdist_is_pytorchs(p):
    theirs = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(1, 5, 4))
    x, y = (torch.tensor(v, requires_grad=True) for v in (a, b))
    u, v = (theirs.tensor(v, requires_grad=True) for v in (a, b))
    ours, expected = F.distance.cdist(x, y, p), theirs.cdist(u, v, p)
    np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), rtol=1e-10)
    ours.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), u.grad.numpy(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(y.grad.numpy(), v.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_older_arguments_of_losses():
    x, y = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])
    for arguments, expected in (((True, True), 5.0), ((False, True), 10.0), ((None, False), [1.0, 9.0])):
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            assert F.mse_loss(x, y, *arguments).tolist() == expected


def test_attention_drops_weights():
    torch.manual_seed(0)
    q, k = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 4000, 2)
    out = F.scaled_dot_product_attention(q, k, torch.ones(1, 1, 4000, 2), dropout_p=0.5)
    assert abs(out.numpy()[0, 0, 0, 0] - 1) < 0.1
    assert out.item() != 1.0 if out.numel() == 1 else (out.numpy() != 1.0).all()


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.binary_cross_entropy(torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([1.0, 0.0])).backward()
        F.kl_div(torch.tensor([[0.0]]), torch.tensor([[0.0]]), reduction="sum")
        F.gelu(torch.tensor([1000.0, -1000.0], requires_grad=True)).sum().backward()
        F.cross_entropy(torch.tensor([[float("-inf"), 0.0]], requires_grad=True), torch.tensor([1])).backward()


def test_impossible_classes_cost_infinity_by_their_weight():
    x = torch.tensor([[float("-inf"), 0.0], [0.0, 0.0]])
    loss = F.cross_entropy(x, torch.tensor([0, 1]), torch.tensor([2.0, 3.0]), reduction="none")
    assert loss.tolist() == [float("inf"), pytest.approx(3 * np.log(2))]
