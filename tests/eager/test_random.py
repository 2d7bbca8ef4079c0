"""Random tensors: shapes, dtypes, ranges, moments and refusals; the numbers need not be PyTorch's."""

import asyncio
import copy
import math
import pickle
import threading

import numpy as np
import pytest
from scipy import stats

from tracegrad.eager.creation import ones, zeros
from tracegrad.eager.distributions import DistributionError
from tracegrad.eager.draws import (
    bernoulli_,
    cauchy_,
    exponential_,
    geometric_,
    log_normal_,
    normal_,
    random_,
    uniform_,
)
from tracegrad.eager.generators import default_generator
from tracegrad.eager.modes import no_grad
from tracegrad.eager.random import (
    Generator,
    bernoulli,
    binomial,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from tracegrad.eager.tensor import Tensor, tensor
from tracegrad.errors import DeviceError, DtypeError, ShapeError, TapeError


@pytest.fixture(autouse=True)
def seeded():
    manual_seed(20)


def in_thread(action):
    found = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]


# -- generators -------------------------------------------------------------------------------------------------------


def test_a_seed_fixes_the_numbers():
    manual_seed(3)
    a = rand(4).tolist()
    manual_seed(3)
    assert rand(4).tolist() == a
    assert rand(4).tolist() != a
    manual_seed(4)
    assert rand(4).tolist() != a
    assert manual_seed(3.7).initial_seed() == initial_seed() == 3
    assert seed() == initial_seed() != 3


def test_generators_are_apart():
    g, h = Generator().manual_seed(1), Generator().manual_seed(1)
    before = get_rng_state().tolist()
    assert randn(3, generator=g).tolist() == randn(3, generator=h).tolist()
    assert get_rng_state().tolist() == before
    assert g.initial_seed() == 1
    assert Generator().initial_seed() == 67280421310721
    assert g.seed() == g.initial_seed()
    assert repr(g.device) == "device(type='cpu')"
    with pytest.raises(DeviceError):
        Generator("cuda")


def test_states():
    g = Generator().manual_seed(5)
    randint(10, (3,), generator=g, dtype=np.int32)
    state = g.get_state()
    assert state.dtype == np.uint8
    a = randn(5, generator=g).tolist()
    for other in (g, Generator(), copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        other.set_state(state)
        assert other.initial_seed() == 5
        assert randn(5, generator=other).tolist() == a
    twin = copy.deepcopy(g)
    assert randn(2, generator=twin).tolist() == randn(2, generator=g).tolist()
    state = get_rng_state()
    b = rand(2).tolist()
    set_rng_state(state)
    assert rand(2).tolist() == b


def test_states_that_are_none():
    with pytest.raises(DtypeError, match=r"RNG state must be a torch.ByteTensor"):
        Generator().set_state(zeros(56))
    with pytest.raises(ShapeError, match="the state of a generator has 56 bytes, this one has 3"):
        Generator().set_state(zeros(3, dtype=np.uint8))


def test_seeds_that_are_none():
    assert Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    with pytest.raises(DtypeError, match="manual_seed expected a long, but got str"):
        manual_seed("a")
    with pytest.raises(DtypeError, match="manual_seed expected a long, but got float"):
        Generator().manual_seed(1.5)
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(ShapeError, match="Overflow when unpacking long long"):
            manual_seed(wrong)
    with pytest.raises(DtypeError, match=r"generator must be a torch.Generator, not int"):
        rand(2, generator=3)


def test_fork_rng():
    a = randn(2)
    state = get_rng_state().tolist()
    with fork_rng():
        manual_seed(0)
        randn(3)
    assert get_rng_state().tolist() == state
    with fork_rng(enabled=False):
        randn(3)
    assert get_rng_state().tolist() != state
    assert a.shape == (2,)


def test_threads_have_generators_of_their_own():
    manual_seed(1)
    a = rand(2).tolist()
    mine = default_generator()
    assert in_thread(default_generator) is not mine
    assert in_thread(lambda: (manual_seed(1), rand(2).tolist())[1]) == a
    manual_seed(1)
    in_thread(lambda: rand(100))
    assert rand(2).tolist() == a


def test_tasks_share_the_generator_until_they_seed():
    manual_seed(1)
    expected = rand(4).tolist()
    manual_seed(1)

    async def draw(n):
        return rand(n).tolist()

    async def seeded_task():
        manual_seed(99)
        return rand(2).tolist()

    async def main():
        first = await asyncio.create_task(draw(2))
        await asyncio.create_task(seeded_task())
        return first + await asyncio.create_task(draw(2))

    assert asyncio.run(main()) == expected


# -- new tensors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [rand, randn])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_floats(make, dtype):
    for x in (make(2, 3, dtype=dtype), make((2, 3), dtype=dtype), make(size=[2, 3], dtype=dtype)):
        assert x.shape == (2, 3)
        assert x.dtype == np.dtype(dtype)
    assert make(()).shape == ()
    assert make(2, requires_grad=True).requires_grad
    assert make(2).dtype == np.float32
    assert make(0).shape == (0,)


def fits(sample, distribution):
    """Whether a sample could come from a distribution: at a fixed seed, once and for all."""
    return stats.kstest(np.asarray(sample, float).reshape(-1), distribution).pvalue > 1e-3


def test_distributions_of_floats():
    assert fits(rand(5000).numpy(), stats.uniform().cdf)
    assert fits(randn(5000).numpy(), stats.norm().cdf)
    z = randn(5000, dtype=np.complex64).numpy()
    assert fits(z.real, stats.norm(0, math.sqrt(0.5)).cdf)
    assert fits(z.imag, stats.norm(0, math.sqrt(0.5)).cdf)
    u = rand(5000, dtype=np.complex128).numpy()
    assert fits(u.imag, stats.uniform().cdf)
    assert fits(normal(3.0, 2.0, (5000,)).numpy(), stats.norm(3, 2).cdf)


def test_integers():
    x = randint(-2, 3, (400,))
    assert x.dtype == np.int64
    assert sorted(set(x.tolist())) == [-2, -1, 0, 1, 2]
    assert set(randint(2, (50,)).tolist()) == {0, 1}
    for y in (
        randint(3, size=(2, 2)),
        randint(high=3, size=[2, 2]),
        randint(low=1, high=3, size=(2, 2)),
        randint(1, high=3, size=(2, 2)),
    ):
        assert y.shape == (2, 2)
        assert 0 <= y.numpy().min() <= y.numpy().max() < 3
    assert randint(5, 6, (2,), dtype=np.float32).tolist() == [5.0, 5.0]
    assert randint(256, (200,), dtype=np.uint8).dtype == np.uint8
    assert randint(2, (3,), dtype=bool).dtype == np.bool_
    assert randint_like(ones(3), 5, 6).tolist() == [5.0] * 3
    assert randint_like(ones(3, dtype=np.int16), 1).tolist() == [0] * 3
    assert randint_like(ones(3), 1, dtype=np.int64).dtype == np.int64


def test_permutations():
    x = randperm(50)
    assert x.dtype == np.int64
    assert x.tolist() != list(range(50))
    assert sorted(x.tolist()) == list(range(50))
    assert sorted(randperm(4, dtype=np.float32).tolist()) == [0.0, 1.0, 2.0, 3.0]
    assert randperm(0).shape == (0,)


def test_like():
    x = zeros(3, 2, dtype=np.float64)
    for make in (rand_like, randn_like):
        assert make(x).shape == (3, 2)
        assert make(x).dtype == np.float64
        assert make(ones(2, dtype=int), dtype=np.float32).dtype == np.float32
        assert make(x, requires_grad=True).requires_grad
        g = Generator()
        assert make(x, generator=g.manual_seed(1)).tolist() == make(x, generator=g.manual_seed(1)).tolist()


def test_normal_of_tensors():
    mean = tensor(np.array([[0.0], [100.0]]))
    std = tensor(np.array([1.0, 1e-9, 2.0]))
    x = normal(mean, std)
    assert x.shape == (2, 3)
    assert x.dtype == np.float64
    assert x[1, 1].item() == pytest.approx(100, abs=1e-6)
    assert normal(ones(2), 0.0).tolist() == [1.0, 1.0]
    assert normal(2.0, zeros(3)).tolist() == [2.0, 2.0, 2.0]
    assert not normal(ones(2, requires_grad=True), 1.0).requires_grad


def test_bernoulli():
    assert bernoulli(tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert bernoulli(tensor([0, 0]), 1.0).tolist() == [1, 1]
    assert bernoulli(tensor([0, 0]), p=1.0).dtype == np.int64
    assert bernoulli(zeros(4000), 0.3).numpy().mean() == pytest.approx(0.3, abs=0.03)


def test_counts():
    rates = tensor([0.5, 20.0])
    x = np.stack([poisson(rates).numpy() for _ in range(500)])
    assert x.dtype == np.float32
    assert x.mean(0) == pytest.approx([0.5, 20.0], abs=0.8)
    assert binomial(tensor([5.0, 5.0]), tensor([0.0, 1.0])).tolist() == [0.0, 5.0]


def test_multinomial():
    weights = tensor([1.0, 0.0, 2.0, 5.0])
    x = multinomial(weights, 8000, replacement=True)
    assert x.dtype == np.int64
    assert np.bincount(x.numpy(), minlength=4) / 8000 == pytest.approx([0.125, 0, 0.25, 0.625], abs=0.02)
    rows = multinomial(tensor([[0.0, 1.0], [3.0, 0.0]]), 4, replacement=True)
    assert rows.tolist() == [[1] * 4, [0] * 4]
    first = np.array([multinomial(weights, 2).tolist() for _ in range(3000)])
    assert np.bincount(first[:, 0], minlength=4) / 3000 == pytest.approx([0.125, 0, 0.25, 0.625], abs=0.03)
    assert all(a != b for a, b in first.tolist())
    # second draws: from what is left, with the weights left
    after = first[first[:, 0] == 3, 1]
    assert np.bincount(after, minlength=4) / len(after) == pytest.approx([1 / 3, 0, 2 / 3, 0], abs=0.05)
    assert sorted(multinomial(ones(3, 5), 5)[0].tolist()) == [0, 1, 2, 3, 4]
    # as in PyTorch, an index of weight 0 comes last where more are asked for than have weight
    assert multinomial(tensor([0.0, 1.0, 2.0]), 3).tolist()[2] == 0


REFUSED = [
    (lambda: rand(-1), ShapeError, "negative dimension -1"),
    (lambda: rand(2, dtype=int), DtypeError, '"check_uniform_bounds" not implemented for int64'),
    (lambda: randn(2, dtype=int), DtypeError, '"normal_kernel_cpu" not implemented for int64'),
    (lambda: rand_like(ones(2, dtype=int)), DtypeError, '"check_uniform_bounds" not implemented for int64'),
    (lambda: randint(3, 3, (2,)), DistributionError, "random_ expects 'from' to be less than 'to', but got from=3 >= to=3"),
    (lambda: randint(0, (2,)), DistributionError, "got from=0 >= to=0"),
    (lambda: randint(3, 2), DtypeError, r"randint\(\): argument 'size' must be tuple of ints, not int"),
    (lambda: randint(3), DtypeError, "randint"),
    (lambda: randint(1, 2, 3, (2,)), DtypeError, "too many bounds"),
    (lambda: randint(2.5, (2,)), DtypeError, r"randint\(\): argument 'high' must be int, not float"),
    (lambda: randint(300, (2,), dtype=np.uint8), DistributionError, "to - 1 is out of bounds for uint8"),
    (lambda: randint(-1, 3, (2,), dtype=np.uint8), DistributionError, "from is out of bounds for uint8"),
    (lambda: randint(2, (2,), dtype=np.complex64), DtypeError, "random integers are no elements of complex64"),
    (lambda: randperm(-1), ShapeError, "n must be greater or equal to 0"),
    (lambda: randperm(2.5), DtypeError, r"randperm\(\): argument 'n' must be int, not float"),
    (lambda: normal(0.0, 1.0), DtypeError, r"normal\(\) of two numbers needs a tuple as size"),
    (lambda: normal(0.0, 1.0, 2), DtypeError, r"normal\(\) of two numbers needs a tuple as size"),
    (lambda: normal(ones(2), 1.0, (2,)), DtypeError, r"normal\(\) of tensors has their shape"),
    (lambda: normal(0.0, -1.0, (2,)), DistributionError, r"normal expects std >= 0.0, but found std -1"),
    (lambda: normal(ones(2), -ones(2)), DistributionError, r"normal expects all elements of std >= 0.0"),
    (lambda: normal(ones(2), ones(3)), ShapeError, r"\(2,\) and \(3,\)"),
    (lambda: normal(ones(2, dtype=int), 1.0), DtypeError, '"normal_kernel_cpu" not implemented for int64'),
    (lambda: bernoulli(tensor([2.0])), DistributionError, "Expected p_in >= 0 && p_in <= 1 to be true"),
    (lambda: bernoulli(tensor([1])), DtypeError, '"bernoulli_tensor_cpu_p_" not implemented for int64'),
    (lambda: poisson(tensor([-1.0])), DistributionError, "invalid Poisson rate, expected rate to be non-negative"),
    (lambda: poisson(tensor([1])), DtypeError, '"poisson_cpu" not implemented for int64'),
    (lambda: binomial(tensor([1.0]), tensor([2.0])), DistributionError, "probabilities in"),
    (lambda: multinomial(tensor([0.0, 1.0]), 3), ShapeError, r"cannot sample n_sample > prob_dist.size\(-1\) samples"),
    (lambda: multinomial(tensor([0.0, 1.0]), 0), ShapeError, "cannot sample n_sample <= 0 samples"),
    (lambda: multinomial(ones(2, 2, 2), 1), ShapeError, "prob_dist must be 1 or 2 dim"),
    (
        lambda: multinomial(tensor([1, 2]), 1),
        DtypeError,
        "multinomial only supports floating-point dtypes for input, got: int64",
    ),
    (
        lambda: multinomial(tensor([0.0, -1.0]), 1),
        DistributionError,
        "probability tensor contains either `inf`, `nan` or element",
    ),
    (lambda: multinomial(tensor([np.nan, 1.0]), 1), DistributionError, "probability tensor contains either `inf`, `nan`"),
    (lambda: multinomial(zeros(2, 3), 1), DistributionError, r"invalid multinomial distribution \(sum of probabilities <= 0\)"),
    (lambda: uniform_(zeros(2), 1, 0), DistributionError, "found from=1 > to=0"),
    (lambda: uniform_(zeros(2, dtype=int)), DtypeError, '"check_uniform_bounds" not implemented for int64'),
    (lambda: normal_(zeros(2), 0, -1), DistributionError, r"normal expects std >= 0.0, but found std -1"),
    (lambda: normal_(zeros(2, dtype=int)), DtypeError, '"normal_kernel_cpu" not implemented for int64'),
    (lambda: bernoulli_(zeros(2), 2.0), DistributionError, r"bernoulli expects p to be in \[0, 1\], not p=2"),
    (lambda: exponential_(zeros(2), 0), DistributionError, r"exponential_ expects lambda > 0.0, but found lambda=0"),
    (lambda: exponential_(zeros(2, dtype=int)), DtypeError, "exponential_"),
    (lambda: log_normal_(zeros(2), 0, -1), DistributionError, r"log_normal_ expects std > 0.0, but found std=-1"),
    (lambda: cauchy_(zeros(2), 0, -1), DistributionError, r"cauchy_ expects sigma > 0.0, but found sigma=-1"),
    (lambda: geometric_(zeros(2), 1.5), DistributionError, r"geometric_ expects p to be in \(0, 1\), but got p=1.5"),
    (lambda: random_(zeros(2, dtype=np.int8), 0, 1000), DistributionError, "to - 1 is out of bounds for int8"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_refused(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, (RuntimeError, ValueError, TypeError))


# -- in place ---------------------------------------------------------------------------------------------------------


def test_draws_in_place():
    x = zeros(3000)
    assert uniform_(x, -1, 3) is x
    assert fits(x.numpy(), stats.uniform(-1, 4).cdf)
    assert fits(normal_(x, 3, 2).numpy(), stats.norm(3, 2).cdf)
    assert fits(exponential_(x, 2.0).numpy(), stats.expon(scale=0.5).cdf)
    assert fits(log_normal_(x, 0.5, 0.25).numpy(), stats.lognorm(0.25, scale=math.exp(0.5)).cdf)
    assert fits(cauchy_(x, 1, 2).numpy(), stats.cauchy(1, 2).cdf)
    assert geometric_(x, 0.25).numpy().mean() == pytest.approx(4, abs=0.3)
    assert bernoulli_(x).numpy().mean() == pytest.approx(0.5, abs=0.05)
    assert x.dtype == np.float32
    assert bernoulli_(zeros(2), tensor([1.0, 0.0])).tolist() == [1.0, 0.0]
    assert bernoulli_(zeros(2, dtype=int), 1.0).tolist() == [1, 1]


def test_random_integers_in_place():
    x = zeros(500, dtype=np.int8)
    assert set(random_(x, 3).tolist()) == {0, 1, 2}
    assert set(random_(x, -1, 1).tolist()) == {-1, 0}
    assert random_(x).numpy().min() >= 0
    assert random_(x).numpy().max() > 100
    assert set(random_(zeros(50, dtype=bool)).tolist()) == {True, False}
    y = random_(zeros(500)).numpy()
    assert y.max() <= 2**24
    assert (y == np.round(y)).all()
    assert random_(zeros(500, dtype=np.int64), 2**62, None).numpy().max() < 2**62
    assert random_(zeros(5, dtype=np.uint8), 250, 256).numpy().min() >= 250


def test_uniform_stays_below_its_bound():
    # 1 - 2**-24 times 3 rounds to 3 in float32
    class Highest:
        def random(self, shape, dtype):
            return np.full(shape, np.nextafter(dtype(1), dtype(0)), dtype)

    g = Generator()
    g.numpy = Highest()
    assert uniform_(zeros(2), 0, 3, generator=g).numpy().max() < 3
    assert uniform_(zeros(2), 2, 2, generator=g).tolist() == [2.0, 2.0]


def test_views_and_their_storage():
    x = zeros(2, 3)
    normal_(x[0])
    assert (x.numpy()[0] != 0).all()
    assert (x.numpy()[1] == 0).all()
    with pytest.raises(TapeError, match="more than one element of the written-to tensor refers to a single memory location"):
        uniform_(Tensor._wrap(np.broadcast_to(np.zeros(1, np.float32), (3,))))


def test_draws_are_writes():
    w = ones(2, requires_grad=True)
    with pytest.raises(TapeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        uniform_(w)
    assert w.tolist() == [1.0, 1.0]
    with no_grad():
        uniform_(w, 5, 6)
    assert min(w.tolist()) >= 5
    assert w.requires_grad
    x = ones(2)
    y = w * x
    normal_(x)
    with pytest.raises(TapeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_draw_ends_the_history():
    w = ones(2, requires_grad=True)
    y = w * 2
    uniform_(y)
    (y.sum() + w.sum()).backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_generators_of_draws_in_place():
    for draw in (uniform_, normal_, bernoulli_, exponential_, log_normal_, cauchy_, random_):
        g = Generator()
        first = draw(zeros(3), generator=g.manual_seed(7)).tolist()
        assert draw(zeros(3), generator=g.manual_seed(7)).tolist() == first
    assert geometric_(zeros(3), 0.5, generator=Generator().manual_seed(7)).shape == (3,)
