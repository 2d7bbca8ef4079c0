"""One function, two graphs: the dynamic one that running it leaves behind, and the static one made before it runs."""

import numpy as np

import tracegrad as tg


def f(x, y):
    return np.sum(np.tanh(x * y) ** 2 + x)


def show(node, depth=0):
    """Print the record of a dynamic graph from the result backwards, as PyTorch users know it."""
    print("  " * depth + node.name())
    for following, _ in node.next_functions:
        if following is not None:
            show(following, depth + 1)


def main():
    a, b = np.array([0.5, -1.0]), np.array([2.0, 0.25])

    print("dynamic: every operation on a Tensor is computed at once and recorded")
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    value = f(x, y)
    show(value.grad_fn)
    value.backward()

    print("\nstatic: the function is traced with symbolic arrays; value and gradient are one graph")
    compiled = tg.grad_compile(argnums=(0, 1))(f)
    graph = compiled.graph(a, b)
    print(graph)
    print(f"\n{len(graph.forward)} nodes for the value, {len(graph)} with its gradient; kernels made of them:")
    print(compiled.source(a, b))

    static_value, (dx, dy) = compiled.value_and_grad(a, b)
    print("dynamic", value.item(), x.grad.tolist(), y.grad.tolist())
    print("static ", static_value, dx.tolist(), dy.tolist())
    assert np.isclose(value.item(), static_value, rtol=1e-12)
    assert np.allclose(x.grad.numpy(), dx, rtol=1e-12)
    assert np.allclose(y.grad.numpy(), dy, rtol=1e-12)


if __name__ == "__main__":
    main()
