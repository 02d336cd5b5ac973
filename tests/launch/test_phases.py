#!/usr/bin/env python3
"""Runs whose batch and windows change: each phase computes as a run of its values, a resume is
exact, and ranks share a schedule. sanitizers: no"""

import json
import os

from e2e import (check, checkpoints, config, equal, losses, main, run, run_directory, states,
                 summary, train)

GROWING = {"model__dropout": 0.1, "data__batch_size": 2,
           "training": {"batch_schedule": [[0, 64], [4, 128]], "stop": {"steps": 8}},
           "attention": {"window": [[0, 8], [6, [16, "full"]]]}}


def one_phase_is_a_plain_run():
    """128 tokens a step are two micro-batches of 2 x 32."""
    train(config("plain", attention={"window": 8}))
    train(config("one_phase", training={"batch_schedule": [[0, 130]], "stop": {"steps": 10}},
                 attention={"window": [[0, 8]]}))
    equal(losses(run_directory("one_phase")), losses(run_directory("plain")), "losses")


def each_phase_has_its_values():
    done = train(config("growing", **GROWING))
    directory = run_directory("growing")
    for line in ("step 5 | phase 2 of 3, from step 4: accumulation 2, 128 tokens a step, window 8",
                 "step 7 | phase 3 of 3, from step 6: accumulation 2, 128 tokens a step, windows "
                 "16 full"):
        check(line in done.out, done)
    equal(summary(directory)["tokens"], 4 * 64 + 4 * 128, "tokens")
    with open(os.path.join(directory, "plan.json"), encoding="utf-8") as file:
        phases = json.load(file)["phases"]
    equal([phase["tokens_per_step"] for phase in phases], [64, 128, 128], "phases of the plan")
    train(config("small", model__dropout=0.1, attention={"window": 8},
                 training={"gradient_accumulation_steps": 1, "stop": {"steps": 5}}))
    grown, small = losses(directory), losses(run_directory("small"))
    equal([grown[step] for step in range(1, 5)], [small[step] for step in range(1, 5)],
          "losses of phase 1")
    check(grown[5] != small[5], "step 5 has the batch of phase 1")
    # evaluation has the last windows
    found = run("evaluate", directory, "--json")
    got, wanted = json.loads(found.out)["loss"], summary(directory)["best_val_loss"]
    check(abs(got - wanted) < 1e-8, "validation loss %r, in the run %r" % (got, wanted))


def a_resume_is_exact():
    path = config("cut", **GROWING)
    for steps in (3, 5, 7, 8):
        train(path, "training.stop.steps=%d" % steps)
    whole, cut = run_directory("growing"), run_directory("cut")
    equal(losses(cut), losses(whole), "losses")
    wanted, got = states(checkpoints(whole)), states(checkpoints(cut))
    equal(got[8], wanted[8], "state")
    other = train(path, "training.batch_schedule=[[0, 64], [4, 192]]", code=78)
    check("training.batch_schedule (saved [[0, 64], [4, 128]], now [[0, 64], [4, 192]])" in
          other.err, other)


def ranks_share_a_schedule():
    train(config("two_ranks", **dict(GROWING, data__batch_size=1)), ranks=2)
    wanted, got = losses(run_directory("growing")), losses(run_directory("two_ranks"))
    equal(sorted(got), sorted(wanted), "steps")
    for step, loss in wanted.items():
        check(abs(got[step] - loss) <= 1e-5 * loss,
              "step %d: %r with two ranks, %r with one" % (step, got[step], loss))


def the_plan_lists_phases():
    done = train(config("planned", **GROWING), "--plan")
    check("phase 1 of 3, from step 0: accumulation 1, 64 tokens a step, window 8" in done.out, done)
    check("phase 3 of 3, from step 6: accumulation 2" in done.out, done)
    done = train(config("uneven", **GROWING), "--plan", "data.batch_size=3", code=78)
    check("error: 'training.batch_schedule' has 64 tokens a step, but ranks x data.batch_size x "
          "model.block_size is 96" in done.err, done)


if __name__ == "__main__":
    main(one_phase_is_a_plain_run, each_phase_has_its_values, a_resume_is_exact,
         ranks_share_a_schedule, the_plan_lists_phases)
