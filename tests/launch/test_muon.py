#!/usr/bin/env python3
"""optimizer.matrices: muon. Sharding changes no bit, a run resumes on any number of ranks and after
a kill, and a rank keeps its part of the states. sanitizers: no"""

import os
import re
import signal
import time

from e2e import (check, checkpoints, config, equal, losses, main, run, run_directory, start, states,
                 train)
from test_shard import STEPS, moved, run_of

MUON = {"optimizer__matrices": "muon"}
NORMUON = {
    "optimizer__matrices": "muon",
    "optimizer__muon": {"normuon": True, "cautious": True, "weight_decay": 0.1,
                        "momentum_warmup": 4},
    "optimizer__embeddings": {"lr": 0.01, "betas": [0.8, 0.95], "weight_decay": 0},
    "optimizer__vectors": {"lr": 0.002},
}
MODERN = {
    **NORMUON, "model__tie_embeddings": False, "model__mlp": "swiglu", "model__n_kv_head": 1,
    "model__value_embeddings": True, "model__residual_scalars": True,
    "optimizer__head": {"lr": 0.004},
}
SHARED = {"training__shard_optimizer": True}


def sharding_changes_no_bit():
    for ranks, batch, accumulation, dtype, muon in (
            (1, 8, 1, "float32", NORMUON), (2, 2, 2, "float32", NORMUON),
            (3, 1, 3, "float32", NORMUON), (4, 2, 1, "float32", MUON),
            (2, 4, 1, "float64", NORMUON), (3, 1, 3, "float64", MODERN)):
        name = "muon_%d_%s_" % (ranks, dtype)
        changes = {"training__dtype": dtype, **muon}
        whole = run_of(name + "whole", ranks, batch, accumulation, **changes)
        shared = run_of(name + "shared", ranks, batch, accumulation, **changes, **SHARED)
        wanted = states(checkpoints(whole))
        equal(states(checkpoints(shared)), wanted, "%d ranks, %s: states" % (ranks, dtype))
        equal(losses(shared), losses(whole), "%d ranks, %s: losses" % (ranks, dtype))
        state = wanted[max(wanted)]
        check(" finite yes" in state and " momentum " in state, state)
        equal(" row_moments " in state, muon is not MUON, state)


def resumes_on_any_ranks():
    run_of("muon_from_whole", 2, 2, 2, **NORMUON)
    run_of("muon_from_shared", 2, 2, 2, **NORMUON, **SHARED)
    for ranks, batch, accumulation in ((1, 8, 1), (2, 2, 2), (4, 2, 1)):
        wanted = moved("muon_from_whole", "muon_whole_on_%d" % ranks, 2, ranks, batch,
                       accumulation, **NORMUON)
        check(wanted, "steps after the resume")
        for source in "whole", "shared":
            name = "muon_%s_shared_on_%d" % (source, ranks)
            got = moved("muon_from_" + source, name, 2, ranks, batch, accumulation, **NORMUON,
                        **SHARED)
            equal(got, wanted, "from %s, on %d ranks" % (source, ranks))


def killed_and_resumed():
    changes = {"training__stop__steps": 40, "checkpoint__interval": "5 steps", **NORMUON, **SHARED}
    train(config("muon_uncut", **changes), ranks=2)
    path = config("muon_cut", **changes)
    for _ in range(2):
        job = start(["train", path], 2)
        pids = job.ranks(2)
        job.wait_for(r"(?m)^(step \d+/|done)")
        time.sleep(0.1)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        job.end()
    train(path, ranks=2)
    equal(states(checkpoints(run_directory("muon_cut"))),
          states(checkpoints(run_directory("muon_uncut"))), "states after two kills")


def a_rank_keeps_its_part():
    """Of 12 x 256 x 256 x 2 weights in the blocks, Muon has one state and AdamW two; of the tables
    of (64 + 32) x 256 and of vectors both have AdamW's."""
    planned = {}
    for ranks in (1, 2, 3, 4):
        done = run("train", config("muon_planned", **NORMUON, **SHARED), "--plan",
                   "--ranks=%d" % ranks, "model.n_embd=256",
                   "training.gradient_accumulation_steps=1")
        check(done.code == 0, done)
        planned[ranks] = float(re.search(r"moments +([0-9.]+)", done.out).group(1))
    for ranks in (2, 3, 4):  # 8 matrices, the largest a sixth of all: at most a third is padding
        check(planned[1] / ranks <= planned[ranks] + 0.1 <= 1.4 * planned[1] / ranks + 0.2,
              "moments of %d ranks: %r" % (ranks, planned))


def learns():
    """As fast as AdamW at least: the last of 60 losses."""
    shared = {"training__stop__steps": 60, "lr_scheduler__warmup": 2, "model__dropout": 0}
    train(config("muon_learns", **MUON, **shared))
    train(config("adamw_learns", **shared))
    muon, adamw = losses(run_directory("muon_learns")), losses(run_directory("adamw_learns"))
    check(muon[60] < adamw[60], "Muon %g, AdamW %g" % (muon[60], adamw[60]))


def groups_by_name():
    """Two patterns that say what optimizer.matrices and optimizer.vectors say change no bit."""
    by_kind = run_of("muon_by_kind", 2, 2, 2, **MUON, **SHARED)
    by_name = run_of("muon_by_name", 2, 2, 2, **SHARED,
                     optimizer__groups=[{"match": "h.*.c_*.weight", "optimizer": "muon"}])
    equal(states(checkpoints(by_name)), states(checkpoints(by_kind)), "states")
    slow = run_of("muon_slow", 1, 8, 1,
                  optimizer__groups=[{"match": "wte.weight", "lr": 0, "weight_decay": 0}])
    fast = run_of("muon_fast", 1, 8, 1)
    check(losses(slow)[STEPS] != losses(fast)[STEPS], "a group's learning rate has no effect")


def groups_keep_what_they_leave_out():
    """A group without a value takes that of the kind of its parameters: a pattern that says nothing
    changes no bit, and one with Muon's own lr leaves matrices to Muon."""
    for name, changes, groups in (
            ("plain", {"optimizer__weight_decay": 10}, [{"match": "*.bias"}]),
            ("kinds", NORMUON, [{"match": "w?e.weight"}, {"match": "h.0.*"}]),
            ("muon", MUON, [{"match": "h.*.c_*.weight", "lr": 0.02}])):
        wanted = run_of("muon_none_" + name, 1, 8, 1, **changes)
        got = run_of("muon_said_" + name, 1, 8, 1, **changes, optimizer__groups=groups)
        equal(losses(got), losses(wanted), name)


def keys_without_effect_are_said():
    """Muon's keys without Muon, the exponent without a reference; not with them."""
    for name, changes, wanted in (
            ("none", {}, []),
            ("muon", {"optimizer__muon__lr": 0.05},
             ["warning: without effect: optimizer.muon.lr, because neither optimizer.matrices"]),
            ("used", {"optimizer__muon__lr": 0.05, **MUON}, []),
            ("exponent", {"optimizer__lr_reference__exponent": 1},
             ["warning: without effect: optimizer.lr_reference.exponent, because optimizer.lr_r"])):
        done = train(config("unused_" + name, training__stop__steps=1, **changes))
        said = [line for line in done.out.splitlines() if "without effect" in line]
        equal([line[:len(want)] for line, want in zip(said, wanted)], wanted, name)
        equal(len(said), len(wanted), name)


def bad_groups_are_refused():
    for groups, wanted in (
            ([{"match": "h.9.*"}], "the group matches no parameter; the first is 'wte.weight'"),
            ([{"match": "*", "optimizer": "muon"}], "muon updates matrices, and 'h.0.ln_1.weight'"),
            ([{"match": "*.short_conv.*", "optimizer": "muon"}],
             "muon updates matrices, and 'h.0.mlp.short_conv.weight' is a vector"),
            ([{"match": "h.0.mlp.c_*.weight", "betas": [0.9, 0.95]}],
             "'betas' are AdamW's, and 'h.0.mlp.c_fc.weight' has muon by optimizer.matrices"),
            ([{"match": "wte*"}, {"match": "w*"}], "'wte*' and 'w*' both match 'wte.weight'")):
        path = config("muon_bad", optimizer={"groups": groups, "matrices": "muon"},
                      model__short_conv__mlp=2)
        for arguments in (["--plan"], []):
            done = run("train", path, *arguments)
            equal(done.code, 78, "exit code: %r" % done)
            check(len(done.errors()) == 1 and wanted in done.errors()[0] and
                  re.search(r"muon_bad\.yaml:\d+:\d+: error: ", done.errors()[0]), repr(done))


if __name__ == "__main__":
    main(sharding_changes_no_bit, resumes_on_any_ranks, killed_and_resumed, a_rank_keeps_its_part,
         learns, groups_by_name, groups_keep_what_they_leave_out,
         keys_without_effect_are_said, bad_groups_are_refused)
