#!/usr/bin/env python3
"""Text generated at evaluations (evaluation.sample): it is that of ./generate, and training does
not notice it."""

import codecs
import json
import os
import unicodedata

from e2e import (check, checkpoints, config, corpus, equal, losses, main, run_directory, start,
                 train)

STEPS = {"training__stop__steps": 12, "evaluation__interval": 4}


def samples(directory):
    with open(os.path.join(directory, "samples.jsonl"), encoding="utf-8") as file:
        return {record["step"]: record["text"] for record in map(json.loads, file)}


def sampled(name, **changes):
    return config(name, evaluation__sample=40, **STEPS, **changes)


def generated(path):
    """The text of ./generate, with '?' for bytes that are no text."""
    codecs.register_error("mask", lambda error: ("?" * (error.end - error.start), error.end))
    job = start(["generate", path, "--seed=7", "--max-new-tokens=40"])
    equal(job.end().code, 0, "generate")
    text = os.pread(job.out.fileno(), 1 << 16, 0).decode(errors="mask")
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "?" for c in text)


def the_same_as_generate():
    done = train(sampled("sampled", logging__tensorboard=True))
    directory = run_directory("sampled")
    texts = samples(directory)
    equal(sorted(texts), [4, 8, 12], "steps with a sample")
    check(len(set(texts.values())) == 3, "samples do not change: %r" % texts)
    equal(sum(line.startswith("step ") and "| sample " in line for line in done.out.splitlines()),
          3, "lines with a sample")
    for step, path in ((4, checkpoints(directory)[3]), (12, directory)):
        equal("\n" + texts[step] + "\n", generated(path), "step %d" % step)


def training_stays_the_same():
    """To the last bit, whatever the ranks; only rank 0 samples."""
    for ranks, changes in ((0, {}), (2, {"training__shard_optimizer": True})):
        name = "with_%d" % ranks
        train(sampled(name, **changes), ranks=ranks)
        train(config("without_%d" % ranks, **STEPS, **changes), ranks=ranks)
        equal(losses(run_directory(name)), losses(run_directory("without_%d" % ranks)), "losses")
        check(not os.path.exists(run_directory("without_%d" % ranks) + "/samples.jsonl"),
              "samples that nobody asked for")
        equal(sorted(samples(run_directory(name))), [4, 8, 12], "steps with a sample")


def a_resumed_run_samples_the_same():
    path = sampled("again")
    train(path)
    directory = run_directory("again")
    before = samples(directory)
    train(path, "--resume=" + checkpoints(directory)[5])
    equal(samples(directory), before, "samples after a resume from step 6")


def the_plan_has_the_memory():
    plain, with_samples = (train(path, "--plan").out
                           for path in (config("plain", **STEPS), sampled("plan_sampled")))

    def planned(text):
        line = next(line for line in text.splitlines() if line.startswith("planned"))
        return float(line.split()[1])

    check(planned(with_samples) > planned(plain), with_samples)


def an_unknown_tokenizer():
    data = corpus()
    raw = os.path.join(data, "raw.bin")
    with open(raw, "wb") as file:
        file.write(bytes(byte for i in range(4000) for byte in (i % 7, 0)))
    done = train(sampled("unknown", data__train=raw, data__val=raw, model__vocab_size=16))
    check("no samples: " in done.out, done.out)
    done = train(sampled("float64", training__dtype="float64"))
    check("no samples: they need data.val, and no training in float64" in done.out, done.out)
    check(not os.path.exists(run_directory("unknown") + "/samples.jsonl"), "a file of no samples")


main(the_same_as_generate, training_stays_the_same, a_resumed_run_samples_the_same,
     the_plan_has_the_memory, an_unknown_tokenizer)
