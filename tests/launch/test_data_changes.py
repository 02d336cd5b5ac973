#!/usr/bin/env python3
"""Token files that change during a run and between two starts."""

import os
import re
import shutil

from e2e import (WORK, check, checkpoints, config, corpus, equal, main, run, run_directory, start,
                 states, summary, text, train, tree)

DATA = 65


def copy_of_corpus(name):
    folder = os.path.join(WORK, name)
    shutil.copytree(corpus(), folder)
    return folder + "/train.h5", folder + "/val.h5"


# ---- while a run reads them ----------------------------------------------------------------------

def a_file_that_shrinks_ends_the_run_in_one_line():
    for name, ranks in (("shrinks", 0), ("shrinks2", 2)):
        files = copy_of_corpus("data_" + name)
        path = config(name, data__train=files[0], data__val=files[1],
                      training__stop={"steps": 1000000},
                      checkpoint={"interval": "10 steps", "keep": 3}, logging__interval=10)
        job = start(["train", path], ranks)
        job.wait_for(r"(?m)^step 20/")
        os.truncate(files[0], 5000)
        done = job.end()
        equal(done.code, DATA, repr(done))
        equal(len(done.errors()), 1, repr(done))
        # Either training reads it and reports the step, or the check of its content reports it
        # first.
        check(
            re.search(r"data_%s/train\.h5: became shorter .* 5000 of \d+ bytes" % name,
                      done.errors()[0]), repr(done))
        kept = checkpoints(run_directory(name))
        check(kept, "no checkpoint is left")
        states(kept)  # which reads all of each


def a_validation_file_that_shrinks_is_named():
    files = copy_of_corpus("data_val")
    # A save waits for the files' hashes, and the cache keeps them unless the files are too new: a
    # check of the content seldom competes with the evaluation below.
    train(config("hashed", data__train=files[0], data__val=files[1]))
    path = config("val", data__train=files[0], data__val=files[1],
                  training__stop={"steps": 1000000}, evaluation__interval=5, checkpoint__interval=0)
    job = start(["train", path])
    job.wait_for(r"step 50 \| validation loss")
    os.truncate(files[1], 4000)
    done = job.end()
    equal(done.code, DATA, repr(done))
    check(
        re.search(r"val\.h5: became shorter .* 4000 of \d+ bytes are left; write it again"
                  r"( \(in the evaluation after step \d+\))?$", done.errors()[0]), repr(done))


def a_file_that_is_written_to_ends_the_run_before_it_saves():
    files = copy_of_corpus("data_written")
    path = config("written", data__train=files[0], data__val=files[1],
                  training__stop={"steps": 1000000}, checkpoint={"interval": "10 steps",
                                                                 "keep": 3}, logging__interval=10)
    job = start(["train", path])
    job.wait_for(r"(?m)^step 20/")
    newest = checkpoints(run_directory("written"))[-1]
    put(files[0], -2, b"\7\0")  # the last token
    done = job.end()
    equal(done.code, DATA, repr(done))
    check(
        re.search(r"train\.h5: was written to during this run: it held \d+ tokens",
                  done.errors()[0]), repr(done))
    check(newest <= checkpoints(run_directory("written"))[-1], "a checkpoint is lost")


def a_file_that_is_replaced_does_no_harm():
    """The run has the old file open and continues undisturbed."""
    files = copy_of_corpus("data_replaced")
    changes = {
        "training__stop": {"steps": 400}, "checkpoint": {"interval": "100 steps", "keep": 3},
        "logging__interval": 100
    }
    job = start(["train", config("replaced", data__train=files[0], data__val=files[1], **changes)])
    job.wait_for(r"(?m)^step 100/")
    other = prepared("replacement", text(50000, seed=3))
    os.rename(other + "/train.h5", files[0])
    done = job.end()
    equal((done.code, done.err), (0, ""), repr(done))
    train(config("kept", **changes))
    ours, theirs = (states(checkpoints(run_directory(name))[-1:])[400]
                    for name in ("replaced", "kept"))
    equal(ours.split()[2:], theirs.split()[2:], "the state at step 400")


# ---- between two starts --------------------------------------------------------------------------

def put(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(data)


def prepared(name, content, *options):
    folder = os.path.join(WORK, name)
    with open(folder + ".txt", "w", encoding="utf-8") as file:
        file.write(content)
    done = run("prepare", folder + ".txt", "--out=" + folder, *options)
    equal(done.code, 0, repr(done))
    return folder


def begun(name, **changes):
    """A run of ten steps on a copy of the corpus; its config, its directory, its files."""
    files = copy_of_corpus("data_" + name)
    path = config(name, data__train=files[0], data__val=files[1], **changes)
    train(path)
    return path, run_directory(name), files


def refused(pattern, directory, *arguments, ranks=0):
    before = tree(directory)
    done = run("train", *arguments, ranks=ranks)
    equal(done.code, DATA, repr(done))
    equal(len(done.errors()), 1, repr(done))
    check(re.search(pattern, done.errors()[0]), "%r, not %r" % (done.errors()[0], pattern))
    equal(tree(directory), before, "what the refused run did")


def the_same_content_goes_on_from_anywhere():
    path, directory, files = begun("moved")
    elsewhere = os.path.join(WORK, "elsewhere")
    os.rename(os.path.dirname(files[0]), elsewhere)
    moved = [
        "data.train=%s/train.h5" % elsewhere,
        "data.val=%s/val.h5" % elsewhere, "training.stop.steps=20"
    ]
    done = train(path, *moved)
    check(re.search(r"resumed from .*step_00000010\.h5", done.out), repr(done))
    check("could not be verified" not in done.out, repr(done))
    train(config("straight", training__stop={"steps": 20}))
    ours, theirs = (states(checkpoints(run_directory(name))[-1:])[20]
                    for name in ("moved", "straight"))
    equal(ours.split()[2:], theirs.split()[2:], "the state at step 20")
    check(elsewhere in open(directory + "/config.yaml", encoding="utf-8").read(),
          "config.yaml names the old path")


def the_same_tokens_in_another_format_go_on():
    path, _, files = begun("format")
    folder = prepared("bare", text(40000), "--format=bin")
    os.remove(files[0])
    done = train(path, "data.train=%s/train.bin" % folder, "training.stop.steps=12")
    check(re.search(r"resumed from .*step_00000010\.h5", done.out), repr(done))


def other_content_is_refused_with_both_counts():
    path, directory, files = begun("other")
    good = open(files[0], "rb").read()
    count = summary(directory)["data"]["train"]["tokens"]
    other = prepared("other", text(50000, seed=2))
    shutil.copy(other + "/train.h5", files[0])
    more = (r"data\.train: .*data_other/train\.h5 holds \d+ tokens \(xxh3 .*of other data, "
            r"%d tokens \(xxh3 ") % count
    refused(more, directory, path, "training.stop.steps=20")
    refused(more, directory, path, "training.stop.steps=20",
            "training.gradient_accumulation_steps=1", ranks=2)
    with open(files[0], "wb") as file:  # as many, but one is another
        file.write(good)
    put(files[0], -2, b"\7\0")
    refused(r"train\.h5 holds %d tokens .* of other data, %d tokens" % (count, count), directory,
            path, "training.stop.steps=20")
    with open(files[0], "wb") as file:
        file.write(good)
    put(files[1], -2, b"\7\0")
    refused(r"data\.val: .*val\.h5 holds .* of other data", directory, path,
            "training.stop.steps=20")
    train(path, "training.stop.steps=20", "data.val=null")


def a_large_file_is_compared_before_anything_is_saved():
    """Too large to wait for: it is hashed beside the training."""
    large = os.path.join(WORK, "large.bin")
    with open(large, "wb") as file:
        file.truncate(300 << 20)
    put(large, 0, b"\1\0\2\0\3\0")
    path = config("large", data__train=large, data__val=None, model__vocab_size=257,
                  checkpoint__interval="5 steps")
    directory = run_directory("large")
    train(path)
    equal(summary(directory)["data"]["train"]["tokens"], 150 << 20, "tokens")
    train(path, "training.stop.steps=20")
    before = {name: state for name, state in tree(directory).items() if "/checkpoints/" in name}
    put(large, 200 << 20, b"\7\0")
    done = run("train", path, "training.stop.steps=40")
    equal(done.code, DATA, repr(done))
    wanted = r"large\.bin holds 157286400 tokens .* of other data, 157286400 tokens"
    check(re.search(wanted, done.errors()[0]), repr(done))
    after = {name: state for name, state in tree(directory).items() if "/checkpoints/" in name}
    equal(after, before, "the checkpoints")


def summary_and_checkpoint_say_what_the_data_is():
    _, directory, files = begun("said")
    data = summary(directory)["data"]
    equal(sorted(data), ["train", "val"], "files")
    for key, path in zip(("train", "val"), files):
        equal(data[key]["path"], path, key)
        check(re.fullmatch("[0-9a-f]{32}", data[key]["xxh3"]), repr(data))
    image = open(checkpoints(directory)[-1], "rb").read()
    for key in ("train", "val"):
        check(("data_%s_tokens" % key).encode() in image and data[key]["xxh3"].encode() in image,
              "not in the checkpoint")


def a_file_that_names_no_vocabulary_has_gpt2s():
    bare = prepared("nameless", text(4000), "--format=bin")
    done = train(config("vocabulary"), "--print-config", "data.train=%s/train.bin" % bare)
    check("vocab_size: auto" in done.out, done.out)
    train(config("vocabulary"), "data.train=%s/train.bin" % bare, "data.val=null",
          "training.stop.steps=1")
    with open(run_directory("vocabulary") + "/config.yaml", encoding="utf-8") as file:
        check("vocab_size: 50257\n" in file.read(), "what auto became")


main(a_file_that_shrinks_ends_the_run_in_one_line, a_validation_file_that_shrinks_is_named,
     a_file_that_is_written_to_ends_the_run_before_it_saves, a_file_that_is_replaced_does_no_harm,
     a_file_that_names_no_vocabulary_has_gpt2s, the_same_content_goes_on_from_anywhere,
     the_same_tokens_in_another_format_go_on, other_content_is_refused_with_both_counts,
     a_large_file_is_compared_before_anything_is_saved, summary_and_checkpoint_say_what_the_data_is)
