"""Regularised logistic regression in plain NumPy: gradient by tracegrad, minimum by SciPy, parameters in a dict."""

import numpy as np
from scipy.optimize import minimize

import tracegrad as tg


@tg.grad_compile
def loss(params, x, y, penalty):
    """Mean cross-entropy of labels 0 and 1, and a ridge penalty on the weights."""
    score = x @ params["weights"] + params["bias"]
    cross_entropy = np.mean(np.maximum(score, 0.0) - score * y + np.log1p(np.exp(-np.abs(score))))
    return cross_entropy + penalty * np.sum(params["weights"] ** 2)


def main():
    rng = np.random.default_rng(1)
    truth = np.array([1.5, -2.0, 0.0, 0.5])
    x = rng.standard_normal((2000, 4))
    y = (x @ truth - 0.7 + rng.logistic(size=2000) > 0.0).astype(float)

    def packed(v):
        """SciPy wants one vector; the loss wants a dict and gives its gradient as a dict."""
        value, grad = loss.value_and_grad({"weights": v[:4], "bias": v[4]}, x, y, 1e-4)
        return value, np.append(grad["weights"], grad["bias"])

    fit = minimize(packed, np.zeros(5), jac=True, method="L-BFGS-B")
    print("weights", fit.x[:4].round(2), "true", truth)
    print("bias   ", fit.x[4].round(2), "true -0.7")
    print(f"accuracy {np.mean((x @ fit.x[:4] + fit.x[4] > 0.0) == y):.3f} after {fit.nfev} calls")

    # another penalty is another number, not another program
    before = loss.stats.traces
    loss.value_and_grad({"weights": fit.x[:4], "bias": fit.x[4]}, x, y, 10.0)
    print("traces for a new penalty:", loss.stats.traces - before)
    assert loss.stats.traces == before
    assert np.allclose(fit.x, [*truth, -0.7], atol=0.3)


if __name__ == "__main__":
    main()
