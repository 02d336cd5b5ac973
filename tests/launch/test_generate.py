#!/usr/bin/env python3
"""./generate: samples from a run, and what it says where there is nothing to sample from."""

import os
import re

from e2e import SANITIZED, WORK, Skip, check, checkpoints, config, equal, main, run, run_directory, train

FLAGS = {"start": "the ", "num-samples": 2, "max-new-tokens": 40, "temperature": 0.9, "top-k": 50, "seed": 5}


def trained():
    directory = run_directory("source")
    if not os.path.exists(directory):
        train(config("source", training__stop__steps=100 if SANITIZED else 1000, data__batch_size=16,
                     training__gradient_accumulation_steps=1, model__dropout=0.0, optimizer__lr=1e-2, lr_scheduler__decay=1000, checkpoint__interval=0,
                     logging__interval=100))
    return directory


def generate(source=None, code=0, **changes):
    flags = {**FLAGS, **{key.replace("_", "-"): value for key, value in changes.items()}}
    done = run("generate", source or trained(), *["--%s=%s" % pair for pair in flags.items() if pair[1] is not None])
    equal(done.code, code, repr(done))
    equal(done.err if code == 0 else "", "", "standard error")
    return done


def all_flags():
    samples = generate().out.split("\n---------------\n")
    equal(len(samples), 2, "samples")
    for sample in samples:
        check(sample.startswith("the "), repr(sample))
        equal(len(sample.rstrip("\n")) if sample.count("\n") < 2 else 44, 44, "bytes of %r" % sample)
    check(samples[0] != samples[1].rstrip("\n"), "both samples are the same")


def it_has_learned_the_words():
    if SANITIZED:
        raise Skip("too slow to learn under the sanitizers")
    words = generate(num_samples=1, max_new_tokens=200, temperature=0.5).out.split()[1:-1]
    known = set(open(WORK + "/corpus.txt").read().split())
    share = sum(word in known for word in words) / len(words)
    check(share > 0.5, "%.0f%% of the words are words: %r" % (100 * share, words))


def a_seed_repeats():
    equal(generate().out, generate().out, "the same seed")
    check(generate().out != generate(seed=6).out, "another seed gives the same text")


def temperature_0_takes_the_likeliest():
    equal(generate(temperature=0).out, generate(temperature=0, seed=99).out, "temperature 0")
    equal(generate(temperature=1, top_k=1, num_samples=1).out, generate(temperature=0, num_samples=1).out, "top-k 1")
    first, second = generate(temperature=0, max_new_tokens=80).out.split("\n---------------\n")
    equal(first, second.rstrip("\n") if first.count("\n") == second.count("\n") - 1 else second[:-1], "samples")


def a_start_from_a_file_and_longer_than_the_context():
    path = os.path.join(WORK, "start.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write("the sand runs down and the glass is turned " * 3)
    done = generate(start="FILE:" + path, num_samples=1)
    check(done.out.startswith("the sand runs down and the glass is turned " * 3), repr(done.out))
    check(len(done.out) > 43 * 3 + 30, "nothing was added: %r" % done.out)
    check(len(generate(start=None, num_samples=1).out) > 30, "without --start")
    check("\u00e9" in generate(start="caf\u00e9 ", num_samples=1).out, "a start that is not ASCII")


def from_a_checkpoint_by_its_name():
    equal(generate(checkpoints(trained())[-1]).out, generate().out, "the newest checkpoint, named")


def what_is_not_there():
    empty = os.path.join(WORK, "empty")
    os.makedirs(empty, exist_ok=True)
    for source, pattern in ((WORK + "/nowhere", r"nowhere: no such run; "), (empty, r"empty: .*no checkpoint"),
                            (WORK + "/corpus.txt", r"corpus\.txt")):
        done = generate(source, code=65)
        check(len(done.err.splitlines()) == 1 and re.search("generate: error: .*" + pattern, done.err), done.err)
        equal(done.out, "", "standard output")
    for start in ("FILE:" + WORK + "/nowhere.txt", "FILE:" + WORK):
        done = generate(start=start, code=65)
        check(len(done.err.splitlines()) == 1 and start[5:] in done.err, done.err)


def bad_flags():
    for flag in ("--num-samples=0", "--num-samples=many", "--temperature=-1", "--top-k", "--heat=1",
                 "--max-new-tokens=1.5", "--seed=1=2", "another_run"):
        done = run("generate", trained(), flag)
        equal(done.code, 64, "%s: %r" % (flag, done))
        check(len(done.err.splitlines()) == 1 and done.out == "", repr(done))
    equal(run("generate").code, 64, "without a run")


if __name__ == "__main__":
    main(all_flags, it_has_learned_the_words, a_seed_repeats, temperature_0_takes_the_likeliest,
         a_start_from_a_file_and_longer_than_the_context, from_a_checkpoint_by_its_name, what_is_not_there, bad_flags)
