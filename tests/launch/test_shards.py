#!/usr/bin/env python3
"""data.train as shards, patterns and mixtures: the same losses as of one file, exact over resumes
and ranks, other data refused; what --plan says of the data."""

import glob
import json
import os
import struct

from e2e import (WORK, check, config, corpus, equal, losses, main, run, run_directory, start,
                 train)

DATA, CONFIG = 65, 78


def curve(name):
    return losses(run_directory(name))


def shards():
    """The corpus's training tokens in three files of three formats, which name no tokenizer in
    two cases; the folder."""
    folder = os.path.join(WORK, "shards")
    if os.path.exists(folder):
        return folder
    os.mkdir(folder)
    with open(corpus() + "/train.h5", "rb") as file:
        tokens = file.read()[4096:]
    with open(folder + "/part_1.bin", "wb") as file:
        file.write(tokens[20000:40002])
    with open(folder + "/part_2.bin", "wb") as file:
        rest = tokens[40002:]
        file.write(struct.pack("<256i", 20240520, 1, len(rest) // 2, *(0, ) * 253) + rest)
    text = WORK + "/first.txt"
    with open(text, "wb") as file:
        file.write(bytes(tokens[0:20000:2]))
    done = start(["prepare", text, "--out=" + folder, "--val-fraction=0"]).end()
    equal(done.code, 0, repr(done))
    os.rename(folder + "/train.h5", folder + "/part_0.h5")
    return folder


def shards_train_as_one_file():
    train(config("whole"))
    pattern = shards() + "/part_*"
    train(config("cut", data__train=pattern))
    equal(curve("cut"), curve("whole"), "a pattern")
    train(config("listed", data__train=sorted(glob.glob(pattern))), "data.batch_size=1", ranks=2)
    for step, loss in curve("listed").items():
        check(abs(loss - curve("whole")[step]) < 1e-5, "step %d of two ranks" % step)


def a_run_of_one_file_resumes_on_its_shards():
    path = config("moved")
    train(path, "training.stop.steps=5")
    train(path, "data.train=%s/part_*" % shards())
    train(config("straight"))
    equal(curve("moved"), curve("straight"), "after the resume")


def mixture(weight):
    return [{"path": shards() + "/part_0.h5", "weight": weight},
            {"path": shards() + "/part_[12].bin", "weight": 1}]


def a_mixture_resumes_exactly():
    train(config("mixed", data__train=mixture(3)))
    path = config("mixed_cut", data__train=mixture(3))
    train(path, "training.stop.steps=4")
    train(path)
    equal(curve("mixed_cut"), curve("mixed"), "after the resume")
    with open(run_directory("mixed") + "/config.yaml", encoding="utf-8") as file:
        written = file.read()
    check("{path: " in written and "weight: 3" in written, written)
    train(run_directory("mixed") + "/config.yaml", "output=" + WORK + "/runs/mixed_again")
    equal(curve("mixed_again"), curve("mixed"), "from its own config")


def other_data_is_refused():
    path = config("kept", data__train=mixture(3))
    train(path, "training.stop.steps=4")
    for other in (mixture(2), mixture(3)[::-1], shards() + "/part_*", shards() + "/part_0.h5"):
        done = run("train", path, "data.train=" + json.dumps(other))
        equal(done.code, DATA, repr(done))
        check("but the saved run is of other data" in done.errors()[0], repr(done))


def bad_lists_are_refused_at_their_place():
    for value, message in (
        ("[]", "'data.train' needs at least one file"),
        ("-", "an entry of 'data.train' is empty; name a file"),
        ("[a.bin, {path: b.bin, weight: 1}]", "either all entries of 'data.train' have a weight"),
        ("[{path: a.bin}]", "an entry of 'data.train' needs a path, or path and weight"),
        ("[{path: a.bin, weight: 0}]", "'weight' needs a number above 0, not '0'"),
        ("[{path: a.bin, wait: 1}]", "an entry of 'data.train' needs a path, or path and weight"),
        ("{path: a.bin}", "'data.train' needs a path or a list of paths"),
    ):
        done = run("train", config("bad"), "data.train=" + value)
        equal(done.code, CONFIG, repr(done))
        check(message in done.errors()[0], "%s: %r" % (value, done))
    done = run("train", config("bad"), "data.val=[{path: a.bin, weight: 1}]")
    check("'data.val' has no weights; list the paths alone" in done.errors()[0], repr(done))
    done = run("train", config("bad"), "data.train=%s/none_*.bin" % WORK)
    equal(done.code, DATA, repr(done))
    check("none_*.bin: no file matches this pattern" in done.errors()[0], repr(done))


def the_plan_says_what_data_there_is():
    done = run("train", config("plan", model__vocab_size=257), "--plan",
                "data.train=%s/part_*" % shards())
    equal(done.code, 0, repr(done))
    check("tokens in 3 files, " in done.out and " steps an epoch" in done.out, repr(done))
    done = run("train", config("plan", model__vocab_size=257), "--plan",
                "data.train=%s/none.bin" % WORK)
    equal(done.code, 0, repr(done))
    check("data.train is missing: %s/none.bin: no such file; make it" % WORK in done.out,
          repr(done))


main(shards_train_as_one_file, a_run_of_one_file_resumes_on_its_shards, a_mixture_resumes_exactly,
     other_data_is_refused, bad_lists_are_refused_at_their_place, the_plan_says_what_data_there_is)
