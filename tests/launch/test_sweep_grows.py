#!/usr/bin/env python3
"""./sweep: a study whose points come and go. The settings of a point identify it, not its position
in the sweep."""

import os
import re
import shutil

from e2e import WORK, check, equal, main, run_directory, summary, tree
from studies import attempts, fake_slurm, field, lines_of, point_directory, points, study, sweep


def started(done):
    return re.findall(r"(?m)^(\S+): (?:starts|resumes), attempt", done.out)


def values(name):
    return {point: entry["values"] for point, entry in points(name).items()}


def trees(name, wanted):
    return {point: tree(point_directory(name, point)) for point in wanted}


def a_seed_is_added():
    path = study("seeds", {"seed": [1, 2]})
    sweep(path, "--local")
    before = trees("seeds", ["seed-1", "seed-2"])
    study("seeds", {"seed": [3, 2, 1]})
    check("2 of 3 points done, 1 waiting" in sweep(path).out, "the table")
    equal(started(sweep(path, "--local")), ["seed-3"], "what was started")
    equal(trees("seeds", before), before, "the points that were done")
    equal((field("seeds", "name"), field("seeds", "state")),
          (["seed-3", "seed-2", "seed-1"], ["done"] * 3), "sweep.json")
    equal(len(lines_of(run_directory("seeds"), "report", "points.csv")), 4,
          "lines of the report's table")
    check("3 of 3 points done" in sweep(run_directory("seeds")).out, "by its directory")
    equal(started(sweep(run_directory("seeds"), "--local", "sweep={seed: [1, 2, 3, 4]}")),
          ["seed-4"], "by an override")


def an_axis_is_added():
    """What was the study's own value before is one of the axis: those points are there already."""
    path = study("axis", {"seed": [1, 2]}, data__batch_size=2)
    sweep(path, "--local")
    before = trees("axis", ["seed-1", "seed-2"])
    study("axis", {"data.batch_size": [1, 2], "seed": [1, 2]})
    equal(started(sweep(path, "--local")), ["batch_size-1_seed-1", "batch_size-1_seed-2"],
          "what was started")
    equal(trees("axis", before), before, "the points that were done")
    wanted = {
        name: {"data.batch_size": batch, "seed": seed}
        for name, batch, seed in (("batch_size-1_seed-1", 1, 1), ("batch_size-1_seed-2", 1, 2),
                                  ("seed-1", 2, 1), ("seed-2", 2, 2))
    }
    equal(values("axis"), wanted, "the points")
    check("4 of 4 points done" in sweep(run_directory("axis")).out, "by its directory")
    equal(started(sweep(run_directory("axis"), "--local")), [], "what was started by its directory")
    equal(values("axis"), wanted, "the points, by its directory")


def points_with_one_name_change_places():
    files = [os.path.join(WORK, "same%s.h5" % sign) for sign in "!@;"]
    for file in files:
        shutil.copy(os.path.join(WORK, "data", "val.h5"), file)
    path = study("places", {"data.val": files[:2]})
    sweep(path, "--local")
    first, second = field("places", "name")
    before = trees("places", [first, second])
    study("places", {"data.val": [files[2], files[1]]})
    new = started(sweep(path, "--local"))
    check(len(new) == 1 and new[0] not in before, "what was started: %r" % new)
    equal(values("places"), {new[0]: {"data.val": files[2]}, second: {"data.val": files[1]}},
          "the points")
    for again in (path, run_directory("places")):
        equal(started(sweep(again, "--local")), [], "what was started")
        equal(values("places"), {new[0]: {"data.val": files[2]}, second: {"data.val": files[1]}},
              "the points")
    study("places", {"data.val": files})
    equal(started(sweep(path, "--local")), [], "what was started")
    equal(values("places"),
          dict(zip((first, second, new[0]), ({"data.val": file} for file in files))), "all three")
    equal(trees("places", before), before, "the points that were done")


def a_point_is_removed():
    slurm, path = fake_slurm("removed"), study("removed", {"seed": [1, 2]})
    sweep(path, "--local")
    before = trees("removed", ["seed-1", "seed-2"])
    study("removed", {"seed": [2]})
    for arguments in ((), ("--local",), ("--slurm",)):
        done = sweep(path, *arguments, **slurm)
        check("no longer in the sweep, kept unchanged: seed-1\n" in done.out and not started(done),
              repr(done))
    equal(field("removed", "name"), ["seed-2"], "the points")
    study("removed", {"seed": [1, 2]})
    done = sweep(path, "--local")
    check("no longer" not in done.out and not started(done), "it came back: %r" % done)
    equal(trees("removed", before), before, "the points")


def what_was_moved_away_runs_anew():
    path = study("moved", {"seed": [1]})
    sweep(path, "--local")
    os.rename(point_directory("moved", "seed-1"), point_directory("moved", "kept"))
    done = sweep(path, "--local")
    check(started(done) == ["seed-1"] and "no longer" not in done.out, repr(done))
    equal(attempts("moved", "seed-1"), ["start", "exit 0"], "attempts")


def an_auto_is_the_point_that_decided_it():
    path = study("auto", {"data.batch_size": ["auto", 2]}, memory_budget="3MiB")
    sweep(path, "--local")
    check(
        summary(point_directory("auto", "batch_size-auto"))["batch_size"] > 1,
        "auto was not decided")
    study("auto", {"seed": [7, 1], "data.batch_size": [2, "auto"]}, memory_budget="3MiB")
    equal(started(sweep(path, "--local")), ["seed-1_batch_size-2", "seed-1_batch_size-auto"],
          "what was started")


def the_points_themselves_may_not_change():
    path = study("same", {"seed": [1]})
    sweep(path, "--local")
    for change in ("optimizer.lr=2e-3", "training.stop.steps=5"):
        done = sweep(path, "sweep={seed: [1, 2]}", change, "--local", code=78)
        check("contains another study, which differs in " + change.split("=")[0] in done.err,
              repr(done))
    check(not os.path.exists(point_directory("same", "seed-2")), "something was written")


if __name__ == "__main__":
    main(a_seed_is_added, an_axis_is_added, points_with_one_name_change_places, a_point_is_removed,
         what_was_moved_away_runs_anew, an_auto_is_the_point_that_decided_it,
         the_points_themselves_may_not_change)
