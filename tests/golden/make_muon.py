#!/usr/bin/env python3
"""Computes the reference vectors of Muon and NorMuon with PyTorch, in f64 from inputs that are
exact in f32.

usage: python3 tests/golden/make_muon.py          (needs torch and numpy; writes muon.bin)

  grads, weights    gradients of ten steps and initial weights of three matrices, one after the
                    other: (6, 10), (10, 6), (8, 8)
  CASE/weights, CASE/momentum, CASE/row_moments
                    after the ten steps, for the cases of the table below

The format is that of make_golden.py. torch.optim.Muon iterates in bf16 alone, so the formulas are
written out here; with the bf16 casts they give its results.
"""

import os

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES, STEPS = ((6, 10), (10, 6), (8, 8)), 10
QUINTIC = [(3.4445, -4.7750, 2.0315)] * 5
POLAR_EXPRESS = [(8.156554524902461, -22.48329292557795, 15.878769915207462),
                 (4.042929935166739, -2.808917465908714, 0.5000178451051316),
                 (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
                 (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
                 (2.3465413258596377, -1.7097828382687081, 0.42323551169305323)]
CASES = {
    "muon": {"iteration": QUINTIC, "factor": 1.0, "nesterov": True, "normuon": False,
             "cautious": False, "start": 0.95},
    "heavy_ball": {"iteration": POLAR_EXPRESS, "factor": 1.02, "nesterov": False,
                   "normuon": False, "cautious": False, "start": 0.95},
    "normuon": {"iteration": POLAR_EXPRESS, "factor": 1.02, "nesterov": True, "normuon": True,
                "cautious": True, "start": 0.85},
}
LR, DECAY, BETA2, MOMENTUM, WARMUP = 0.02, 0.1, 0.95, 0.95, 6

torch.set_default_dtype(torch.float64)
random = np.random.default_rng(20261114)


def put(file, name, array):
    array = np.asarray(array, dtype=np.float64).astype("<f4")
    file.write((" ".join([name, *map(str, array.shape)]) + "\n").encode())
    file.write(np.ascontiguousarray(array).tobytes())


def orthogonalize(u, iteration, factor):
    tall = u.shape[0] > u.shape[1]
    x = u.T if tall else u
    x = x / (factor * x.norm() + 1e-7)
    for a, b, c in iteration:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def normalize_rows(x, moments):
    before = x.norm()
    moments.lerp_(x.square().mean(dim=1), 1 - BETA2)
    x = x / (moments.sqrt() + 1e-8)[:, None]
    return x * (before / x.norm())


def step_matrix(case, step, w, grad, momentum, moments):
    progress = min(step / WARMUP, 1)
    mu = MOMENTUM if progress == 1 else case["start"] + (MOMENTUM - case["start"]) * progress
    momentum.lerp_(grad, 1 - mu)
    u = grad.lerp(momentum, mu) if case["nesterov"] else momentum
    x = orthogonalize(u, case["iteration"], case["factor"])
    if case["normuon"]:
        x = normalize_rows(x, moments)
    decay = DECAY * w
    if case["cautious"]:
        decay = torch.where(x * w >= 0, decay, 0.0)
    rows, columns = w.shape
    w -= float(np.float32(LR)) * (max(1, rows / columns)**0.5 * x + decay)


def main():
    sizes = [rows * columns for rows, columns in SHAPES]
    grads = random.standard_normal((STEPS, sum(sizes))).astype(np.float32)
    weights = (0.3 * random.standard_normal(sum(sizes))).astype(np.float32)
    with open(os.path.join(HERE, "muon.bin"), "wb") as file:
        put(file, "grads", grads)
        put(file, "weights", weights)
        for name, case in CASES.items():
            results = {"weights": [], "momentum": [], "row_moments": []}
            first = 0
            for shape, size in zip(SHAPES, sizes):
                w = torch.tensor(weights[first:first + size].astype(np.float64)).reshape(shape)
                momentum, moments = torch.zeros(shape), torch.zeros(shape[0])
                for step in range(STEPS):
                    grad = torch.tensor(grads[step, first:first + size].astype(np.float64))
                    step_matrix(case, step, w, grad.reshape(shape), momentum, moments)
                for key, value in zip(results, (w, momentum, moments)):
                    results[key].append(value.flatten())
                first += size
            for key, values in results.items():
                put(file, name + "/" + key, torch.cat(values))


if __name__ == "__main__":
    main()
