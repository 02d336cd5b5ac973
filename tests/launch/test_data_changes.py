#!/usr/bin/env python3
"""Token files that change: while a run reads them, and between two starts of a run."""

import os
import re
import shutil

from e2e import WORK, check, checkpoints, config, corpus, equal, main, run_directory, start, states

DATA = 65


def copy_of_corpus(name):
    folder = os.path.join(WORK, name)
    shutil.copytree(corpus(), folder)
    return folder + "/train.h5", folder + "/val.h5"


# ---- while a run reads them ------------------------------------------------------------------------------------------

def a_file_that_shrinks_ends_the_run_in_one_line():
    for name, ranks in (("shrinks", 0), ("shrinks2", 2)):
        train, val = copy_of_corpus("data_" + name)
        path = config(name, data__train=train, data__val=val, training__stop={"steps": 1000000},
                      checkpoint={"interval": "10 steps", "keep": 3}, logging__interval=10)
        job = start(["train", path], ranks)
        job.wait_for(r"(?m)^step 20/")
        os.truncate(train, 5000)
        done = job.end()
        equal(done.code, DATA, repr(done))
        equal(len(done.errors()), 1, repr(done))
        check(re.search(r"data_%s/train\.h5: became shorter .* 5000 of \d+ bytes.*\(in step \d+\)" % name, done.errors()[0]), repr(done))
        kept = checkpoints(run_directory(name))
        check(kept, "no checkpoint is left")
        states(kept)  # which reads all of each


def a_validation_file_that_shrinks_is_named():
    train, val = copy_of_corpus("data_val")
    path = config("val", data__train=train, data__val=val, training__stop={"steps": 1000000}, evaluation__interval=5)
    job = start(["train", path])
    job.wait_for(r"validation loss")
    os.truncate(val, 4000)
    done = job.end()
    equal(done.code, DATA, repr(done))
    check(re.search(r"val\.h5: became shorter .* 4000 of ", done.errors()[0]), repr(done))


main(a_file_that_shrinks_ends_the_run_in_one_line, a_validation_file_that_shrinks_is_named)
