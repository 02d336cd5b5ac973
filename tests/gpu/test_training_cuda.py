#!/usr/bin/env python3
"""Whole runs on the GPU: the CPU's curve in f32, the same bits twice, and a resume that loses nothing.
sanitizers: no"""

import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "launch"))
from e2e import Skip, check, checkpoints, config, equal, losses, main, run_directory, states, train  # noqa: E402

MODEL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 32, "vocab_size": "auto", "dropout": 0.1}


def needs_gpu():
    try:
        found = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        found = None
    if found is None or b"GPU" not in found.stdout:
        raise Skip("no GPU")


def run_of(name, device, dtype, steps, **changes):
    path = config(name, device=device, model=MODEL, training__dtype=dtype, training__stop__steps=steps, **changes)
    train(path)
    return run_directory(name)


def follows_the_cpu_in_f32():
    needs_gpu()
    quiet = {"checkpoint__interval": "1000 steps"}
    cpu = losses(run_of("cpu", "cpu", "float32", 200, **quiet))
    gpu = losses(run_of("gpu", "cuda", "float32", 200, **quiet))
    equal(sorted(cpu), sorted(gpu), "the steps that were logged")
    far = {step: (cpu[step], gpu[step]) for step in cpu if not abs(gpu[step] - cpu[step]) <= 1e-4 * abs(cpu[step])}
    check(not far, "losses that differ by more than 1e-4: %r" % dict(sorted(far.items())[:5]))
    check(cpu[max(cpu)] < 0.7 * cpu[min(cpu)], "the loss falls")


def repeats(dtype):
    needs_gpu()
    first = states(checkpoints(run_of("once_" + dtype, "cuda", dtype, 20)))
    second = states(checkpoints(run_of("twice_" + dtype, "cuda", dtype, 20)))
    equal(second, first, "states of two runs")
    check(len(first) >= 20, "a state for each step")


def repeats_bit_by_bit_in_bf16():
    repeats("bfloat16")


def repeats_bit_by_bit_in_f32():
    repeats("float32")


def resumes_bit_by_bit():
    needs_gpu()
    directory = run_of("resumed", "cuda", "bfloat16", 20)
    whole = states(checkpoints(directory))
    for path in glob.glob(directory + "/checkpoints/step_*.h5"):
        if int(path[-11:-3]) > 9:
            os.remove(path)
    train(os.path.join(os.path.dirname(os.path.dirname(directory)), "resumed.yaml"))
    equal(states(checkpoints(directory)), whole, "states after the resume")


def two_ranks_agree_with_one():
    """The same global batch on one rank and on two that share the GPU: sums through the host, the same graph else."""
    needs_gpu()
    one = losses(run_of("one", "cuda", "bfloat16", 20, data__batch_size=4))
    for shared in (False, True):
        name = "two_%d" % shared
        train(config(name, device="cuda", model=MODEL, training__dtype="bfloat16", training__stop__steps=20,
                     data__batch_size=2, share_gpu=True, training__shard_optimizer=shared), ranks=2)
        two = losses(run_directory(name))
        far = {step: (one[step], two[step]) for step in one if not abs(two[step] - one[step]) <= 1e-3 * abs(one[step])}
        check(not far and len(one) == 20, "optimizer shared: %r; losses that differ by more than 1e-3: %r" % (shared, far))


def two_ranks_on_one_gpu_are_refused():
    needs_gpu()
    path = config("shared", device="cuda", model=MODEL, training__dtype="bfloat16")
    done = train(path, ranks=2, code=78)
    check("GPU" in done.err, done)


def scales_the_loss_in_f16():
    needs_gpu()
    curve = losses(run_of("half", "cuda", "float16", 60))
    check(curve[max(curve)] < 0.9 * curve[min(curve)], "the loss falls: %r" % curve)


def recomputes_the_same():
    needs_gpu()
    kept = losses(run_of("kept", "cuda", "bfloat16", 10))
    for what in ("gelu", "block"):
        again = losses(run_of("again_" + what, "cuda", "bfloat16", 10, training__recompute=what))
        far = {step: (kept[step], again[step]) for step in kept if not abs(again[step] - kept[step]) <= 2e-3}
        check(not far, "%s: %r" % (what, far))


if __name__ == "__main__":
    main(follows_the_cpu_in_f32, repeats_bit_by_bit_in_bf16, repeats_bit_by_bit_in_f32, resumes_bit_by_bit,
         two_ranks_agree_with_one, two_ranks_on_one_gpu_are_refused, scales_the_loss_in_f16, recomputes_the_same)
