"""What is done to whole graphs: values turned the way their readers want them, and chosen columns."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.rewrite.rules import embedded


def distances(x, means, factors):
    away = x[:, None, :] - means
    return np.sum(np.einsum("krc,nkc->nkr", factors, away) ** 2)


def test_a_value_that_is_only_read_transposed_is_computed_transposed():
    rng = np.random.default_rng(0)
    x, means, factors = rng.normal(size=(40, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3, 3))
    f = tg.grad_compile(distances, argnums=(0, 1, 2))
    text = f.value_and_grad.explain(x, means, factors)
    assert "whole graphs: turned" in text
    value, gradients = f.value_and_grad(x, means, factors)
    expected, exact = tg.grad_compile(distances, argnums=(0, 1, 2), compile="never").value_and_grad(x, means, factors)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(value, distances(x, means, factors), rtol=1e-13)
    for got, right in zip(gradients, exact, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-12)


def picked(scores, labels):
    return np.sum(np.exp(scores)) - np.sum(scores[np.arange(len(labels)), labels] ** 2)


def true_gradient(scores, labels):
    expected = np.exp(scores)
    rows = np.arange(len(labels))
    expected[rows, labels] -= 2 * scores[rows, labels]
    return expected


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_one_element_of_each_row_is_a_comparison(dtype):
    scores = np.random.default_rng(0).normal(size=(6, 4))
    labels = np.array([0, 3, 1, 1, 2, 0], dtype)
    f = tg.grad_compile(picked)
    assert "scatter_add" not in f.value_and_grad.explain(scores, labels).partition("schedule")[2]
    value, gradient = f.value_and_grad(scores, labels)
    np.testing.assert_allclose(value, picked(scores, labels), rtol=1e-14)
    np.testing.assert_allclose(gradient, true_gradient(scores, labels), rtol=1e-14)


def test_negative_labels_count_from_the_end_and_others_are_errors():
    scores = np.random.default_rng(0).normal(size=(3, 4))
    f = tg.grad_compile(picked)
    labels = np.array([-1, -4, 2])
    np.testing.assert_allclose(f.value_and_grad(scores, labels)[1], true_gradient(scores, labels), rtol=1e-14)
    for wrong in ([0, 4, 1], [0, -5, 1]):
        with pytest.raises(IndexError):
            f.value_and_grad(scores, np.array(wrong))
        with pytest.raises(IndexError):
            f.grad(scores, np.array(wrong))


def test_several_elements_of_a_row_are_added_up():
    def twice(scores, labels):
        return np.sum(scores[np.array([0, 0, 1]), labels] ** 2)

    scores = np.random.default_rng(0).normal(size=(3, 4))
    labels = np.array([2, 2, 0])
    expected = np.zeros_like(scores)
    np.add.at(expected, (np.array([0, 0, 1]), labels), 2 * scores[np.array([0, 0, 1]), labels])
    np.testing.assert_allclose(tg.grad_compile(twice).grad(scores, labels), expected, rtol=1e-14)


def test_the_sum_of_a_product_is_a_product_of_sums():
    def loss(bias, x, w):
        return np.sum(((x + bias) @ w) ** 2)

    rng = np.random.default_rng(0)
    bias, x, w = rng.normal(size=5), rng.normal(size=(30, 5)), rng.normal(size=(5, 4))
    expected = 2 * ((x + bias) @ w).sum(axis=0) @ w.T
    np.testing.assert_allclose(tg.grad_compile(loss).grad(bias, x, w), expected, rtol=1e-12)


def test_maps_that_are_connected_are_walked_over_once(monkeypatch):
    def loss(u):
        for _ in range(12):
            w = np.pad(u, 1)
            u = u + 0.1 * (w[2:] + w[:-2])
        return np.sum(u) + np.sum(u * u)

    monkeypatch.setattr(embedded, "MOST_AGAIN", -1)  # the sums stay as they are, to be looked at again below
    walked = []
    connected = embedded.connected_maps

    def counted(*arguments):
        walked.append(connected(*arguments))
        return walked[-1]

    monkeypatch.setattr(embedded, "connected_maps", counted)
    graph = tg.grad_compile(loss, compile="never").value_and_grad.graph(np.ones(30))
    walked.clear()
    embedded.embed_sums(graph)
    assert walked
    assert sum(map(len, walked)) == len(set().union(*walked))
