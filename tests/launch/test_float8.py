#!/usr/bin/env python3
"""training.matmul fp8 through ./train: losses near those of float32, exact resume, ranks, refusals.
sanitizers: no"""

import math
import re

from e2e import (check, checkpoints, config, equal, losses, main, metrics, run_directory, states,
                 train)

STEPS = 24


def fp8(name, **changes):
    return config(name, training__matmul="fp8", training__stop__steps=STEPS, model__dropout=0,
                  evaluation__interval=STEPS, **changes)


def last(directory, key):
    return [record[key] for record in metrics(directory) if key in record][-1]


def losses_near_those_of_float32():
    train(fp8("eight"))
    train(fp8("wide"), "training.matmul=bf16")
    eight, wide = losses(run_directory("eight")), losses(run_directory("wide"))
    check(eight != wide, "the two runs are equal")
    for step, loss in wide.items():
        check(math.isclose(eight[step], loss, rel_tol=0.01), "step %d: %r" % (step, eight[step]))
    for record in metrics(run_directory("eight")):
        if "train/loss" in record:
            check(0 <= record["fp8_saturated"] < 0.01, "saturated: %r" % record)
    check("fp8_saturated" not in metrics(run_directory("wide"))[0], "float32 counts saturation")


def a_resumed_run_is_equal_to_the_bit():
    for scaling in ("delayed", "current"):
        name = "whole_" + scaling
        train(fp8(name, training__fp8={"scaling": scaling, "history": 4, "gradient": "e4m3"}))
        wanted = states(checkpoints(run_directory(name)))
        path = fp8("cut_" + scaling, training__fp8={"scaling": scaling, "history": 4,
                                                    "gradient": "e4m3"})
        train(path, "training.stop.steps=7")
        train(path)
        equal(states(checkpoints(run_directory("cut_" + scaling)))[STEPS], wanted[STEPS],
              "the last state with %s scaling" % scaling)


def ranks_and_shards_change_only_rounding():
    train(fp8("alone"))
    for name, changes in (("pair", {}), ("shards", {"training.shard_optimizer": "true"})):
        train(fp8(name), "training.gradient_accumulation_steps=1",
              *("%s=%s" % item for item in changes.items()), ranks=2)
        for step, loss in losses(run_directory("alone")).items():
            check(math.isclose(losses(run_directory(name))[step], loss, rel_tol=1e-3),
                  "%s at step %d" % (name, step))
    equal(states(checkpoints(run_directory("pair")))[STEPS].split()[2:],
          states(checkpoints(run_directory("shards")))[STEPS].split()[2:], "shards")


def a_run_may_continue_on_another_number_of_ranks():
    path = fp8("more_ranks")
    train(path, "training.stop.steps=8")
    train(path, "training.gradient_accumulation_steps=1", ranks=2)
    check(math.isclose(last(run_directory("more_ranks"), "val/loss"),
                       last(run_directory("alone"), "val/loss"), rel_tol=1e-3),
          "the validation loss")


def refusals_are_one_line():
    for changes, text in (
        ({"training__dtype": "float16"}, "'training.matmul' fp8 needs 'training.dtype' bfloat16"),
        ({"data__batch_size": 1, "model__block_size": 24}, "h.0.attn: eight-bit products need"),
        ({"model__n_embd": 36, "model__n_head": 2}, "h.0.attn: eight-bit products need"),
    ):
        done = train(fp8("refused", **changes), code=78)
        equal(len(done.errors()), 1, "error lines: %r" % done)
        check(text in done.errors()[0], repr(done))
    done = train(fp8("refused_head", model__pad_vocab=1), code=78)
    check("lm_head: eight-bit products need" in done.errors()[0] and
          "training.fp8.head: false" in done.errors()[0], repr(done))
    train(fp8("no_head", model__pad_vocab=1), "training.fp8.head=false",
          "training.stop.steps=2")


def a_plan_for_a_gpu_keeps_fewer_bytes():
    sizes = {}
    for matmul in ("bf16", "fp8"):
        done = train(fp8("plan_" + matmul, device="auto", training__dtype="bfloat16"), "--plan",
                     "training.matmul=" + matmul, "model.preset=gpt2", "data.batch_size=8",
                     "model.n_layer=12", "model.n_head=12", "model.n_embd=768",
                     "model.block_size=1024")
        sizes[matmul] = float(re.search(r"(?m)^ *activations +([\d.]+)", done.out).group(1))
    check(sizes["fp8"] < sizes["bf16"], "MiB of activations: %r" % sizes)


main(losses_near_those_of_float32, a_resumed_run_is_equal_to_the_bit,
     ranks_and_shards_change_only_rounding, a_run_may_continue_on_another_number_of_ranks,
     refusals_are_one_line, a_plan_for_a_gpu_keeps_fewer_bytes)
