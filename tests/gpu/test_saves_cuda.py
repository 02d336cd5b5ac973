#!/usr/bin/env python3
"""Saves beside training on the GPU: each checkpoint has the state of its step, although the next
steps change it while it is copied to the host.
sanitizers: no"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "launch"))
from e2e import (ENVIRONMENT, Skip, checkpoints, config, equal, main, run_directory,  # noqa: E402
                 states, train)
from hardware import gpus  # noqa: E402

# Uses one GPU only; tests/gpu/test_ranks_cuda.py uses several.
ENVIRONMENT["CUDA_VISIBLE_DEVICES"] = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
# 170 MB of state, whose copy takes longer than several steps.
MODEL = {
    "n_layer": 2, "n_head": 12, "n_embd": 768, "block_size": 32, "vocab_size": "auto",
    "dropout": 0.1
}


def saves(name, ranks=0, **changes):
    """Saves every 2 steps of a run are those of a run that ended there, and went on after it."""
    if gpus() == 0:
        raise Skip("no GPU")

    def run(part, *overrides):
        train(config(name + part, device="cuda", model=MODEL, checkpoint__interval="2 steps",
                     training__gradient_accumulation_steps=1, training__stop__steps=6, **changes),
              *overrides, ranks=ranks)
        return states(checkpoints(run_directory(name + part)))

    whole = run("_whole")
    equal(sorted(whole), [2, 4, 6], name + ": the steps that are saved")
    for steps in (2, 4, 6):
        equal(run("_cut", "training.stop.steps=%d" % steps)[steps], whole[steps],
              "%s: the state of step %d" % (name, steps))


def in_f32():
    saves("f32", training__dtype="float32")


def in_bf16():
    saves("bf16", training__dtype="bfloat16")


def with_muon():
    saves("muon", training__dtype="bfloat16", optimizer__matrices="muon")


def in_shards():
    saves("shards", training__dtype="bfloat16", checkpoint__sharded=True)


def of_two_ranks_that_share_the_optimizer():
    for sharded in (False, True):
        for dtype in ("bfloat16", "float32"):
            saves("ranks_%s_%d" % (dtype, sharded), ranks=2, share_gpu=True,
                  training__dtype=dtype, training__shard_optimizer=True,
                  checkpoint__sharded=sharded)


if __name__ == "__main__":
    main(in_f32, in_bf16, with_muon, in_shards, of_two_ranks_that_share_the_optimizer)
