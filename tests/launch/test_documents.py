#!/usr/bin/env python3
"""attention.document_mask: trains, resumes exactly, evaluates with it, and names the token that
ends a document, or reports that none is known. (fast lane)"""

import os

from e2e import (WORK, check, checkpoints, config, equal, losses, main, metrics, run, run_directory,
                 start, states, text, train)

DOCUMENTS = 40


def data(kind="h5"):
    """Many short documents: several end within a row of 32 tokens."""
    folder = os.path.join(WORK, "documents_" + kind)
    if not os.path.exists(folder):
        sources = [os.path.join(WORK, "%02d.txt" % i) for i in range(DOCUMENTS)]
        for i, source in enumerate(sources):
            with open(source, "w", encoding="utf-8") as file:
                file.write(text(300, seed=i)[:7 + i])
        done = start(["prepare", *sources, "--out=" + folder, "--format=" + kind]).end()
        check(done.code == 0, "prepare: " + done.err)
    return folder


def settings(kind="h5", mask=True, **changes):
    return {
        "data__train": "%s/train.%s" % (data(kind), kind),
        "data__val": "%s/val.%s" % (data(kind), kind), "model__block_size": 32,
        "model__vocab_size": 257, "attention__document_mask": mask, "evaluation__interval": 5,
        **changes
    }


def val_losses(directory):
    return [record["val/loss"] for record in metrics(directory) if "val/loss" in record]


def resume_is_exact():
    train(config("whole", **settings()))
    train(config("cut", **settings(training__stop__steps=4)))
    train(config("cut", **settings(training__stop__steps=10)))
    whole, again = run_directory("whole"), run_directory("cut")
    equal(states(checkpoints(again)), states(checkpoints(whole)), "states")
    with open(os.path.join(whole, "config.yaml"), encoding="utf-8") as file:
        check("end_of_text: 256" in file.read(), "config.yaml does not freeze data.end_of_text")


def the_mask_matters():
    train(config("plain", **settings(mask=False)))
    masked, plain = run_directory("whole"), run_directory("plain")
    check(losses(masked) != losses(plain), "training losses are the same without the mask")
    check(
        val_losses(masked) and val_losses(masked) != val_losses(plain),
        "evaluation ignores the mask")


def a_file_that_does_not_say():
    done = run("train", config("unknown", **settings("bin")))
    equal(done.code, 78, repr(done))
    check("train.bin does not say which token ends a document; set data.end_of_text" in done.err,
          repr(done))
    train(config("said", **settings("bin", data__end_of_text=256)))
    equal(losses(run_directory("said")), losses(run_directory("whole")), "losses")


def a_wrong_token():
    for token, message in ((10, "data.end_of_text is 10, but "), (300,
                                                                  "data.end_of_text is 300, but ")):
        done = run("train", config("wrong", **settings(data__end_of_text=token)))
        equal(done.code, 78, repr(done))
        check(message in done.err, repr(done))
    done = run("train", config("outside", **settings("bin", data__end_of_text=300)))
    equal(done.code, 78, repr(done))
    check("data.end_of_text is 300, but model.vocab_size is 257" in done.err, repr(done))


def a_plan_needs_no_data():
    path = config("planned", **settings(data__train="nowhere.h5", data__val=None,
                                        data__batch_size=4))
    done = run("train", path, "--plan")
    equal(done.code, 0, repr(done))


def generating_needs_no_documents():
    done = run("generate", run_directory("whole"), "--start=the", "--max-new-tokens=5",
               "--num-samples=1")
    equal(done.code, 0, repr(done))


main(resume_is_exact, the_mask_matters, a_file_that_does_not_say, a_wrong_token,
     a_plan_needs_no_data, generating_needs_no_documents)
