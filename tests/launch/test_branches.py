#!/usr/bin/env python3
"""A run that goes on from a checkpoint of another one: cool-downs of one stable phase equal runs of
their budget alone, bit for bit; other batches and rates; wrong models. sanitizers: no"""

import math
import os

from e2e import (check, checkpoints, config, equal, main, metrics, run_directory, states, summary,
                 train)
from model_files import dumped, farthest

WSD = {"shape": "wsd", "warmup": 3, "decay": 10, "min_lr": 0}


def run_of(name, steps, code=0, **changes):
    done = train(config(name, training__stop={"steps": steps}, lr_scheduler=WSD,
                        checkpoint={"interval": 10, "keep": 10, "best": False}, **changes),
                 code=code)
    return run_directory(name), done


def trunk():
    directory = run_directory("trunk")
    if not os.path.exists(directory):
        run_of("trunk", 40)
    return directory


def at(step):
    return trunk() + "/checkpoints/step_%08d.h5" % step


def cool_downs_are_runs_of_their_budget():
    for budget in (20, 30):
        branch, done = run_of("branch_%d" % budget, budget, branch_from=at(budget - 10))
        check("branched from" in done.out, done)
        alone, _ = run_of("alone_%d" % budget, budget)
        equal(states(checkpoints(branch))[budget], states(checkpoints(alone))[budget],
              "the state after %d steps" % budget)
        equal(summary(branch)["tokens"], summary(alone)["tokens"], "tokens")


def another_batch_at_equal_tokens():
    """Twice the batch: half of the step number, the same position in the data."""
    other = {"branch_from": at(20), "data__batch_size": 4, "optimizer": {"lr": 2e-3}}
    branch, done = run_of("twice", 20, **other)
    tokens = [record["tokens"] for record in metrics(trunk()) if record["step"] == 20][0]
    records = metrics(branch)
    equal(records[0]["tokens"], tokens + 2 * tokens // 20, "tokens after the first step")
    equal(records[0]["step"], 11, "the first step")
    check("optimizer.lr" in done.out and "data.batch_size" in done.out, done)
    run_of("cut", 15, **other)
    _, again = run_of("cut", 20, **other)
    check("resumed from" in again.out and "cut/checkpoints" in again.out, again)


def a_batch_that_does_not_divide_the_tokens():
    """The step number is rounded down; a resume is exact, and needs the same batch."""
    other = {"branch_from": at(20), "data__batch_size": 3}
    whole, _ = run_of("thrice", 20, **other)
    cut, _ = run_of("thrice_cut", 20, training__stop__early=16, **other)
    _, again = run_of("thrice_cut", 20, **other)
    check("resumed from" in again.out, again)
    equal(states(checkpoints(cut))[20], states(checkpoints(whole))[20], "the state")
    _, refused = run_of("thrice_cut", 24, code=78, **dict(other, data__batch_size=2))
    check("was trained with 6 sequences a step on 1 ranks, this run has 4 on 1" in refused.err,
          refused)


def another_batch_keeps_the_count_of_updates():
    """Step 11 of the branch is the 21st update of AdamW's moments. A bias has no weight decay."""
    rate, name = 2e-3, "h.0.mlp.c_fc.bias"
    branch, _ = run_of("updates", 40, branch_from=at(20), data__batch_size=4,
                       training__stop__early=11,
                       optimizer={"lr": rate, "betas": [0.9, 0.999]})
    newest = checkpoints(branch)[-1]
    before, after, mean, square = (dumped(file, "/" + kind + name, "f") for file, kind in (
        (at(20), "weights."), (newest, "weights."), (newest, "m."), (newest, "v.")))
    wanted = [rate * m / (1 - 0.9**21) / (math.sqrt(v / (1 - 0.999**21)) + 1e-8)
              for m, v in zip(mean, square)]
    moved = [a - b for a, b in zip(before, after)]
    check(farthest(moved, wanted) < 1e-3 * rate, "updates %r, not %r" % (moved[:4], wanted[:4]))


def what_cannot_be_a_branch():
    for name, code, changes, words in (
            ("layers", 78, {"model__n_layer": 1}, "branch from differs in model.n_layer"),
            ("states", 78, {"optimizer__matrices": "muon"}, "optimizer.matrices"),
            ("nowhere", 65, {"branch_from": "no such file.h5"}, "no such file.h5")):
        _, done = run_of("not_" + name, 30, code=code, **{"branch_from": at(20), **changes})
        check(len(done.errors()) == 1 and words in done.errors()[0], "%s: %r" % (name, done))


main(cool_downs_are_runs_of_their_budget, another_batch_at_equal_tokens,
     a_batch_that_does_not_divide_the_tokens,
     another_batch_keeps_the_count_of_updates, what_cannot_be_a_branch)
