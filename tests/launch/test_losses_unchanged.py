#!/usr/bin/env python3
"""Short runs give the losses, gradient norms and final states that they always gave, to the last
bit.

known_losses.json holds a hash of each run for each kind of machine (processor, compiler,
libraries), since rounding differs between them. On every kind the losses and norms of the first
eight steps are compared to 1e-5, and those of later ones to 1e-3: where a norm spikes to 114,
rounding moves a loss by 4e-5.
`--record` adds this machine's hashes: use it only for an intended change of the mathematics.
sanitizers: no (fast lane)"""

import ctypes
import ctypes.util
import hashlib
import json
import os
import platform
import re
import subprocess
import sys

from e2e import check, checkpoints, config, equal, main, metrics, run_directory, states, train

KNOWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known_losses.json")
STEPS, COMPARED = 12, 8
EXACT = {"OPENBLAS_CORETYPE": "Haswell"}  # the same product kernels on all machines with AVX2

SMALL_GPT2 = {
    "model": {
        "n_layer": 4, "n_head": 2, "n_embd": 128, "block_size": 128, "vocab_size": "auto",
        "dropout": 0.0
    },
    "data__batch_size": 4, "training__gradient_accumulation_steps": 1, "optimizer":
    {"lr": 4e-3, "betas": [0.9, 0.99], "weight_decay": 0.1, "grad_clip": 1.0}
}
RUNS = {  # name: (ranks, changes of the tests' config)
    "small_gpt2": (2, SMALL_GPT2),
    "accumulation_and_dropout": (2, {}),
    "shared_optimizer": (2, {"training__shard_optimizer": True}),
    "flash": (0, {"attention": {"backends": ["flash"]}, "model__block_size": 160}),
    "float64": (0, {"training__dtype": "float64"}),
    "recomputed_documents": (0, {"training__recompute": "block",
                                 "attention": {"document_mask": True}}),
    "recomputed_gelu": (0, {"training__recompute": "gelu", "model__bias": False}),
    "mem_efficient": (0, {"attention": {"backends": ["mem_efficient"]}, "model__block_size": 160}),
    "math": (0, {"attention": {"backends": ["math"]}, "model__block_size": 160}),
    "baseline": (0, {"attention": {"backends": ["baseline"]}, "model__block_size": 160}),
}


def machine():
    """What decides how sums are rounded: the widest vectors, the compiler, libm and OpenBLAS."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()
    flags = set((re.search(r"^flags\s*:(.*)$", text, re.MULTILINE) or ["", ""])[1].split())
    vectors = "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "other"
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    blas = ctypes.CDLL(ctypes.util.find_library("openblas") or "libopenblas.so.0")
    blas.openblas_get_config.restype = ctypes.c_char_p
    version = blas.openblas_get_config().decode().split()[1]
    return "%s %s, gcc %s, glibc %s, OpenBLAS %s" % (platform.machine(), vectors, gcc,
                                                      platform.libc_ver()[1], version)


def run_of(name):
    """The losses and norms of a run, and a hash of them and of its last state."""
    ranks, changes = RUNS[name]
    path = config(name, **dict({"training__stop": {"steps": STEPS}, "evaluation__interval": 4,
                                "checkpoint__interval": "%d steps" % STEPS}, **changes))
    train(path, ranks=ranks, **EXACT)
    directory = run_directory(name)
    numbers = [(record["step"], key, record[key]) for record in metrics(directory)
               for key in ("train/loss", "grad_norm", "val/loss") if key in record]
    state = states(checkpoints(directory)[-1:])
    return numbers, hashlib.sha256(repr((numbers, state)).encode()).hexdigest()[:16]


def known():
    if not os.path.exists(KNOWN):
        return {"losses": {}, "hashes": {}}
    with open(KNOWN, encoding="utf-8") as file:
        return json.load(file)


def is_near(step, number, wanted):
    """Whether it is as near as rounding leaves it; a NaN never is."""
    return abs(number - wanted) <= (1e-5 if step <= COMPARED else 1e-3) * abs(wanted)


def check_run(name):
    numbers, digest = run_of(name)
    wanted = known()["losses"][name]
    equal(len(numbers), len(wanted), name + ": numbers")
    for (step, key, number), value in zip(numbers, wanted):
        check(is_near(step, number, value),
              "%s, step %d: %s is %r, not %r" % (name, step, key, number, value))
    wanted = known()["hashes"].get(machine(), {}).get(name)
    if wanted is None:
        print("         %s: compared as numbers (no hash of %s)" % (name, machine()))
    else:
        equal(digest, wanted, name + ": the hash of losses, norms and states")


def record():
    """Compares hashes recorded on this machine, or losses if there are none yet."""
    table = known()
    runs = {name: run_of(name) for name in RUNS}
    table["losses"] = {name: table["losses"].get(name, [number for _, _, number in numbers])
                       for name, (numbers, _) in runs.items()}
    table["hashes"][machine()] = {name: digest for name, (_, digest) in runs.items()}
    with open(KNOWN, "w", encoding="utf-8") as file:
        json.dump(table, file, indent=1, sort_keys=True)
        file.write("\n")


def test_of(name):
    def test():
        check_run(name)

    test.__name__ = name + "_is_what_it_was"
    return test


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        main(*[test_of(name) for name in RUNS])
