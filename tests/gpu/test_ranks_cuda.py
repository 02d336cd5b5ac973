#!/usr/bin/env python3
"""Ranks on separate GPUs: the loss curve of one rank, the same bits twice and after a resume, with
and without shard_optimizer, and one reported cause if a rank fails. It runs alone, because a rank
that waits for a busy GPU may look lost.
sanitizers: no"""

import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "launch"))
from e2e import (WORK, Skip, check, checkpoints, config, equal, losses, main, run,  # noqa: E402
                 run_directory, states, train)
from faults import fault  # noqa: E402
from hardware import gpus  # noqa: E402

MODEL = {
    "n_layer": 2, "n_head": 4, "n_embd": 256, "block_size": 64, "vocab_size": "auto", "dropout": 0.1
}
STEPS = 12


def needs_gpus(wanted):
    if gpus() < wanted:
        raise Skip("fewer than %d GPUs" % wanted)


def options(**changes):
    return dict(
        {
            "device": "cuda", "model": MODEL, "training__dtype": "bfloat16",
            "training__stop__steps": STEPS, "data__batch_size": 2,
            "training__gradient_accumulation_steps": 2
        }, **changes)


def go(name, ranks=2, **changes):
    train(config(name, **options(**changes)), ranks=ranks)
    return run_directory(name)


def near(one, two, tolerance, text):
    far = {
        step: (one[step], two[step])
        for step in one if not abs(two[step] - one[step]) <= tolerance * abs(one[step])
    }
    check(not far and len(one) >= STEPS, "%s: losses that differ: %r" % (text, far))


def agree_with_one_rank():
    needs_gpus(2)
    one = losses(go("one", ranks=0, data__batch_size=4))
    near(one, losses(go("two")), 1e-3, "two ranks")
    near(one, losses(go("shared", training__shard_optimizer=True)), 1e-3,
         "two ranks that share the optimizer")
    near(one, losses(go("half", training__shard_optimizer=True, training__dtype="float16")), 2e-2,
         "in float16")


def four_agree_with_one_rank():
    needs_gpus(4)
    one = losses(go("one_of_four", ranks=0, data__batch_size=4))
    near(one, losses(go("four", ranks=4, data__batch_size=1)), 1e-3, "four ranks")
    shared = go("four_shared", ranks=4, data__batch_size=1, training__shard_optimizer=True)
    near(one, losses(shared), 1e-3, "four ranks that share the optimizer")


def repeat_bit_by_bit():
    """Two equal runs, one with a sharded optimizer, and one with all sums by NCCL: a sum of two is
    unique."""
    needs_gpus(2)
    first = states(checkpoints(go("first")))
    equal(len(first), STEPS, "a state for each step")
    equal(states(checkpoints(go("second"))), first, "states of two runs")
    equal(states(checkpoints(go("third", training__shard_optimizer=True))), first,
          "states with the optimizer shared")
    path = config("fourth", **options(training__shard_optimizer=True))
    train(path, ranks=2, NCCL_P2P_DISABLE="1")
    equal(states(checkpoints(run_directory("fourth"))), first, "states without copies between GPUs")


def resume_bit_by_bit():
    """Also with the optimizer sharded only before, or only after, the resume."""
    needs_gpus(2)
    for before, after in ((False, False), (True, False), (False, True)):
        name = "resumed_%d_%d" % (before, after)
        directory = go(name, training__shard_optimizer=before)
        whole = states(checkpoints(directory))
        for path in glob.glob(directory + "/checkpoints/step_*.h5"):
            if int(path[-11:-3]) > STEPS // 2:
                os.remove(path)
        train(os.path.join(WORK, name + ".yaml"),
              "training.shard_optimizer=%s" % str(after).lower(), ranks=2)
        equal(states(checkpoints(directory)), whole, "states after the resume")


def more_buckets_than_are_prefetched():
    """A model of 22 buckets: more than the 16 that are prefetched, and more than there are
    flags."""
    needs_gpus(2)
    many = {"model": dict(MODEL, n_layer=20, n_head=12, n_embd=768), "training__stop__steps": 4,
            "checkpoint__interval": "100 steps"}
    plain, shared = go("many", **many), go("many_shared", training__shard_optimizer=True, **many)
    equal(losses(shared), losses(plain), "losses of many buckets")
    equal(states(checkpoints(shared)), states(checkpoints(plain)), "states of many buckets")


def one_gpu_for_two_is_refused():
    needs_gpus(2)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    done = run("train", config("same", **options()), ranks=2, CUDA_VISIBLE_DEVICES=first)
    check(done.code == 78 and len(done.errors()) == 1 and "GPU" in done.errors()[0], done)


def another_nccl_is_refused():
    needs_gpus(2)
    folder = os.path.join(WORK, "nccl")
    os.makedirs(folder, exist_ok=True)
    made = subprocess.run(["gcc", "-shared", "-o", folder + "/libnccl.so.2", "-x", "c", "-"],
                          input=b"", check=False)
    if made.returncode != 0:
        raise Skip("no gcc")
    path = folder + ":" + os.environ.get("LD_LIBRARY_PATH", "")
    done = run("train", config("no_nccl", **options()), ranks=2, LD_LIBRARY_PATH=path)
    check(
        done.code == 78 and len(done.errors()) == 1 and
        "libnccl.so.2 has no nccl" in done.errors()[0], done)


def hurt(name, number, wanted):
    needs_gpus(2)
    done, seconds = fault(config(name, **options()), 2, 1, lambda pid: os.kill(pid, number), wanted,
                          deadline=12)
    print("%s: %.1f s: %s" % (name, seconds, done.errors()[0]))


def a_killed_rank():
    hurt("killed", signal.SIGKILL, r"rank 1 on \S+ .*step \d+, \w+")


def a_stopped_rank():
    hurt("stopped", signal.SIGSTOP, r"rank 1 on \S+ stopped .*step \d+, \w+")


if __name__ == "__main__":
    main(agree_with_one_rank, four_agree_with_one_rank, repeat_bit_by_bit, resume_bit_by_bit,
         more_buckets_than_are_prefetched, one_gpu_for_two_is_refused, another_nccl_is_refused,
         a_killed_rank, a_stopped_rank)
