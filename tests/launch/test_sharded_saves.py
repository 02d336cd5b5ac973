#!/usr/bin/env python3
"""checkpoint.sharded: each rank writes its shard; the run and its states are those of whole files,
on any number of ranks; every program reads them; damage and failures are named.

sanitizers: no"""

import json
import os
import re
import shutil
import signal

from e2e import (WORK, check, checkpoints, config, content, equal, losses, main, no_duplicates, run,
                 run_directory, start, states, train)
from injected import injected

STEPS = 6
SHARDED = {"checkpoint__sharded": True}


def path_of(name, ranks, accumulation, **changes):
    """4 sequences a step; a checkpoint every second step."""
    return config(name, data__batch_size=4 // max(ranks, 1) // accumulation,
                  training__gradient_accumulation_steps=accumulation, **dict(
                      {"training__stop__steps": STEPS, "checkpoint__interval": "2 steps"},
                      **changes))


def run_of(name, ranks, accumulation, **changes):
    train(path_of(name, ranks, accumulation, **changes), ranks=ranks)
    return run_directory(name)


def files(path):
    return sorted(os.listdir(path))


def changes_no_bit():
    for ranks, accumulation, changes in (
        (0, 2, {}), (2, 1, {"training__shard_optimizer": True}),
        (4, 1, {"training__shard_optimizer": True, "training__dtype": "float64"}),
        (2, 2, {"optimizer__matrices": "muon", "optimizer__muon": {"normuon": True},
                "training__shard_optimizer": True})):
        name = "same_%d_%d_" % (ranks, len(changes))
        whole = run_of(name + "whole", ranks, accumulation, **changes)
        shards = run_of(name + "shards", ranks, accumulation, **changes, **SHARDED)
        paths = checkpoints(shards)
        equal([os.path.basename(path) for path in paths],
              ["step_%08d" % step for step in (2, 4, STEPS)], "names")
        equal(files(paths[0]), ["manifest.h5"] + ["shard_%05d.h5" % i for i in range(ranks or 1)],
              "files")
        equal(states(paths), states(checkpoints(whole)), "%s: states" % name)
        equal(losses(shards), losses(whole), "%s: losses" % name)


def moved(source, name, ranks, **changes):
    """The last state of a run that continues from a copy of another one at step 2."""
    path = path_of(name, ranks, 4 // ranks, **changes)
    shutil.copytree(run_directory(source), run_directory(name))
    check("resumed from" in train(path, ranks=ranks).out, name)
    return states(checkpoints(run_directory(name))[-1:])[STEPS]


def resumes_anywhere():
    """From shards to whole files and back, on as many ranks and on others."""
    run_of("whole", 2, 2, training__stop__steps=2)
    run_of("shards", 2, 2, training__stop__steps=2, **SHARDED)
    for ranks in (1, 4):
        wanted = moved("whole", "whole_on_%d" % ranks, ranks)
        for source, changes in (("shards", dict(SHARDED, training__shard_optimizer=True)),
                                ("shards", {}) if ranks == 4 else ("whole", SHARDED)):
            name = "%s_on_%d_%d" % (source, ranks, len(changes) + 1)
            equal(moved(source, name, ranks, **changes), wanted, name)


def every_program_reads_them():
    path = path_of("read", 2, 1, evaluation__interval=2, checkpoint__keep=1, **SHARDED)
    directory = run_directory("read")
    train(path, ranks=2)
    newest, single = checkpoints(directory)[-1], os.path.join(WORK, "single.h5")
    equal(run("convert", directory, single).code, 0, "convert to a single file")
    for reader in (["evaluate", "--json"], ["generate", "--max-new-tokens=8", "--seed=1"]):
        got = [run(reader[0], from_path, *reader[1:]) for from_path in
               (directory, newest, newest + "/", single, directory + "/checkpoints/best.h5")]
        equal([done.code for done in got], [0] * 5, repr(got[0]))
        if reader[0] == "generate":
            equal(len({done.out for done in got[:4]}), 1, "generated from the same state")
        else:
            equal(len({json.loads(done.out)["loss"] for done in got[:4]}), 1, "losses")
    equal(states([single]), states([newest]), "the state of the single file")
    for to in ("a.safetensors", "b.safetensors"):
        done = run("convert", newest if to[0] == "a" else single, os.path.join(WORK, to))
        equal(done.code, 0, repr(done))
    check(content(WORK + "/a.safetensors") == content(WORK + "/b.safetensors"), "converted")
    equal(run("convert", single, WORK + "/again.h5").code, 65, "a single file already")
    done = train(path, "--resume=" + newest, "training.stop.steps=8", ranks=2)
    again = train(path, "--resume=" + single, "training.stop.steps=8",
                  "output=" + run_directory("again"), ranks=2)
    check("at step %d" % STEPS in done.out and "at step %d" % STEPS in again.out, repr(again))
    equal(states(checkpoints(directory)[-1:])[8],
          states(checkpoints(run_directory("again"))[-1:])[8], "states after 8 steps")


def a_damaged_shard_is_named():
    path, directory = path_of("damaged", 2, 1, **SHARDED), run_directory("damaged")
    train(path, ranks=2)
    wanted = states(checkpoints(directory))
    shard = checkpoints(directory)[-1] + "/shard_00001.h5"
    with open(shard, "r+b") as file:
        file.seek(os.path.getsize(shard) // 2)
        file.write(b"\xff\x00\xff\x00")
    done = train(path, "training.stop.steps=%d" % STEPS, ranks=2)
    check(shard + ": damaged" in done.err and "at step 4\n" in done.out, repr(done))
    equal(states(checkpoints(directory))[STEPS], wanted[STEPS], "the last state")
    os.unlink(shard)
    done = train(path, ranks=2)
    check(shard + ": is missing, one of 2 shards; restore it" in done.err, repr(done))
    equal(states(checkpoints(directory))[STEPS], wanted[STEPS], "the last state")
    os.unlink(shard)
    done = run("evaluate", checkpoints(directory)[-1])
    equal((done.code, len(done.errors())), (65, 1), repr(done))
    no_duplicates(directory)


def a_rank_that_cannot_write_ends_the_run():
    """The cause is told, not that the others gave up; the same command then goes on."""
    wanted = states(checkpoints(run_of("unharmed", 2, 1)))[STEPS]
    for fault in ("write:hourglass/.shard_00001:1+:28",
                  "rename:hourglass/manifest.h5:2+:28", "mkdir:.step_00000004:1+:13"):
        name = "unable_" + fault.split(":", maxsplit=1)[0]
        path, directory = path_of(name, 2, 1, **SHARDED), run_directory(name)
        done = run("train", path, ranks=2, **injected(fault))
        equal((done.code, len(done.errors())), (1, 1), "%s: %r" % (fault, done))
        check(re.search(r"No space left|Permission denied", done.errors()[0]),
              "%s: %r" % (fault, done))
        train(path, ranks=2)
        equal(states(checkpoints(directory)[-1:])[STEPS], wanted, fault)
        check(not [name for name in os.listdir(directory + "/checkpoints") if name[0] == "."],
              "%s: temporary files" % fault)


def snapshots_in_memory_beside_shards():
    """They stay whole files."""
    wanted = states(checkpoints(run_of("alone", 2, 1, training__stop__steps=120,
                                       checkpoint__interval=0)))
    path = path_of("kept", 2, 1, training__stop__steps=120, checkpoint__interval=0,
                   checkpoint__memory_interval="1 steps", training__shard_optimizer=True,
                   **SHARDED)
    directory = run_directory("kept")
    job = start(["train", path], 2)
    rank = job.ranks(2)[1]
    job.wait_for(r"(?m)^step 20/")
    os.kill(rank, signal.SIGKILL)
    job.end()
    equal(checkpoints(directory), [], "no checkpoint on disk")
    done = train(path, ranks=2)
    check("the newest state was in the memory of " in done.out, repr(done))
    equal(states(checkpoints(directory)[-1:]), wanted, "the last state")


if __name__ == "__main__":
    main(changes_no_bit, resumes_anywhere, every_program_reads_them, a_damaged_shard_is_named,
         a_rank_that_cannot_write_ends_the_run, snapshots_in_memory_beside_shards)
