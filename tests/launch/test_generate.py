#!/usr/bin/env python3
"""./generate: samples from a run, and its errors if there is nothing to sample from."""

import os
import re
import shutil
import signal
import struct
import subprocess

from broken_model import broken_copy
from e2e import (ENVIRONMENT, LIMIT, PROGRAMS, SANITIZED, WORK, Skip, check, checkpoints, config,
                 equal, main, run, run_directory, start, train)

FLAGS = {
    "start": "the ", "num-samples": 2, "max-new-tokens": 40, "temperature": 0.9, "top-k": 50,
    "seed": 5
}


REPORT = re.compile(
    r"generate: (\d+) prompt tokens at \S+ tokens/s(?:, (\d+) new ones at \S+ tokens/s)?; "
    r"weights (\S+) MiB, cache (\S+) MiB, activations (\S+) MiB\n")
SMALL = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 32, "vocab_size": "auto"}
FAMILIES = {
    "llama": dict(SMALL, preset="llama-124m", n_kv_head=2, mlp_width=48),
    "qwen3": dict(SMALL, preset="qwen3-0.6b", n_kv_head=1, head_dim=16, mlp_width=48),
    "mistral": dict(SMALL, preset="mistral-124m", n_kv_head=2, mlp_width="auto"),
    "modern": dict(SMALL, preset="modern", value_embeddings=[False, True], n_head=2,
                   short_conv={"attention": 3, "qkv": 3, "mlp": 4}),
}


def trained():
    directory = run_directory("source")
    if not os.path.exists(directory):
        train(
            config("source", training__stop__steps=100 if SANITIZED else 1000, data__batch_size=16,
                   training__gradient_accumulation_steps=1, model__dropout=0.0, optimizer__lr=1e-2,
                   lr_scheduler__decay=1000, checkpoint__interval=0, logging__interval=100))
    return directory


def trained_family(family):
    directory = run_directory("gen_" + family)
    changes = {"attention__window": 8} if family == "mistral" else {}
    if not os.path.exists(directory):
        train(config("gen_" + family, model=FAMILIES[family], training__stop__steps=30,
                     checkpoint__interval=0, optimizer__lr=1e-2, **changes))
    return directory


def generate(source=None, code=0, **changes):
    flags = {**FLAGS, **{key.replace("_", "-"): value for key, value in changes.items()}}
    done = run("generate", source or trained(),
               *["--%s=%s" % pair for pair in flags.items() if pair[1] is not None])
    equal(done.code, code, repr(done))
    check(code != 0 or REPORT.fullmatch(done.err), "standard error: %r" % done.err)
    return done


def samples_of(**changes):
    return generate(**changes).out[:-1].split("\n---------------\n")


def greedy(source, text, count):
    """The text after `text`; newlines are no words of the corpus's middle, so they may occur."""
    done = generate(source, start=text, num_samples=1, max_new_tokens=count, temperature=0)
    check(done.out.startswith(text), repr(done.out))
    return done.out[len(text):-1]


def all_flags():
    samples = generate().out.split("\n---------------\n")
    equal(len(samples), 2, "samples")
    for sample in samples:
        check(sample.startswith("the "), repr(sample))
        equal(
            len(sample.rstrip("\n")) if sample.count("\n") < 2 else 44, 44, "bytes of %r" % sample)
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
    equal(
        generate(temperature=1, top_k=1, num_samples=1).out,
        generate(temperature=0, num_samples=1).out, "top-k 1")
    first, second = generate(temperature=0, max_new_tokens=80).out.split("\n---------------\n")
    equal(first,
          second.rstrip("\n") if first.count("\n") == second.count("\n") - 1 else second[:-1],
          "samples")


def samples_do_not_depend_on_the_batch():
    """A sample is the same alone, in a small batch, and in one of 20, which uses another product;
    the last 14 are of a second batch."""
    many = samples_of(num_samples=78, max_new_tokens=20, start="a ")
    equal(len(many), 78, "samples")
    equal(len(set(many)), 78, "different samples")
    for count in (1, 3, 20):
        equal(samples_of(num_samples=count, max_new_tokens=20, start="a "), many[:count],
              "%d samples" % count)


def nor_on_their_length():
    short, long = (samples_of(num_samples=3, max_new_tokens=n, start="a ") for n in (10, 25))
    equal([text[:10] for text in long], [text[:10] for text in short], "the first tokens")


def top_p():
    equal(samples_of(top_p=1), samples_of(), "top-p 1")
    equal(samples_of(top_p=1e-6), samples_of(temperature=0), "a small top-p")
    equal(samples_of(top_p=1e-6, top_k=0), samples_of(temperature=0), "without top-k")
    check(samples_of(top_p=0.5) != samples_of(), "top-p 0.5 changes nothing")


def a_text_longer_than_the_context():
    """Of a full context the last half remains: then the text goes on as if it began there."""
    for source in (trained(), trained_family("modern")):
        text = "the " + greedy(source, "the ", 80)
        first = 33  # block_size tokens, and one more
        for _ in range(2):
            equal(greedy(source, text[first - 16:first], 16), text[first:first + 16], source)
            first += 17
        equal(greedy(source, text[:40], 1), greedy(source, text[8:40], 1), "a long prompt")


def a_restart_from_any_token_gives_the_same_text():
    """The prompt's tokens are computed together, new ones one by one: the same for each family."""
    for family in FAMILIES:
        source = trained_family(family)
        text = "the " + greedy(source, "the ", 28)
        for first in (5, 13, 21, 22):
            equal(greedy(source, text[:first], 32 - first), text[first:], family)


def the_report():
    prompt, new, weights, cache, _ = REPORT.fullmatch(generate().err).groups()
    equal((int(prompt), int(new)), (8, 78), "tokens")
    equal(cache, "%.1f" % (2 * 2 * 2 * 32 * 32 * 4 / 2**20), "2 samples, 2 layers of 32 x 2 x 32")
    check(float(weights) > 0, weights)
    equal(REPORT.fullmatch(generate(num_samples=1, max_new_tokens=1).err)[2], None, "new tokens")
    equal(REPORT.fullmatch(generate(start="x" * 99, num_samples=1).err)[1], "32", "a long prompt")


def ctrl_c_and_a_closed_pipe():
    job = start(["generate", trained(), "--max-new-tokens=100000000", "--start=the "])
    job.wait_for("(?s)the .{40}")  # an untrained model writes line ends, too
    job.send(signal.SIGINT)
    done = job.end()
    equal((done.code, done.err), (-signal.SIGINT, ""), "Ctrl-C")
    with subprocess.Popen([os.path.join(PROGRAMS, "generate"), trained(),
                           "--max-new-tokens=100000000"], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.read(20)
        process.stdout.close()
        code, err = process.wait(LIMIT), process.stderr.read().decode()
    check(code == -signal.SIGPIPE or (code == 1 and len(err.splitlines()) == 1), (code, err))


def types_of_a_gpu():
    for dtype in ("bfloat16", "float16"):
        done = run("generate", trained(), "--dtype=" + dtype)
        equal(done.code, 64, repr(done))
        check("needs a GPU" in done.err and done.out == "", repr(done))
    equal(generate(dtype="float32").out, generate().out, "float32")


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


def an_empty_start():
    """Begins after an end of text, which byte tokens have too: 256."""
    done = run("generate", trained(), "--start=", "--temperature=0", "--max-new-tokens=30")
    note = "generate: the start is empty; the text starts after an end of text (token 256)\n"
    check(done.code == 0 and done.err.startswith(note) and REPORT.fullmatch(done.err[len(note):]),
          repr(done))
    empty = os.path.join(WORK, "empty.txt")
    with open(empty, "w", encoding="utf-8"):
        pass
    equal(
        run("generate", trained(), "--start=FILE:" + empty, "--temperature=0",
            "--max-new-tokens=30").out, done.out)
    check(
        len(done.out) > 2 and
        done.out != run("generate", trained(), "--temperature=0", "--max-new-tokens=30").out,
        "not another text than after a newline: %r" % done.out)


def a_document_does_not_see_the_end_before_it():
    """With document_mask the second token after an end of text follows from the first alone."""
    directory = run_directory("gen_documents")
    train(config("gen_documents", model=SMALL, training__stop__steps=300, data__batch_size=8,
                 attention={"document_mask": True}, optimizer__lr=1e-2, checkpoint__interval=0,
                 data__end_of_text=256))
    after = run("generate", directory, "--start=", "--max-new-tokens=20", "--temperature=0").out
    alone = run("generate", directory, "--start=" + after[0], "--max-new-tokens=19",
                "--temperature=0").out
    equal(after, alone, "after an end of text")


def output_that_is_lost():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([os.path.join(PROGRAMS, "generate"),
                               trained()], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=LIMIT, check=False)
    equal(done.returncode, 1, done.stderr)
    check(len(done.stderr.splitlines()) == 1 and "No space left" in done.stderr, done.stderr)


def weights_that_are_not_finite():
    """One line instead of bytes that mean nothing, whatever the sampling."""
    broken = broken_copy(trained())
    for temperature in (0, 1):
        done = generate(broken, code=1, temperature=temperature)
        check(len(done.errors()) == 1 and "logits are not finite" in done.err, repr(done))


def what_is_not_there():
    empty = os.path.join(WORK, "empty")
    os.makedirs(empty, exist_ok=True)
    for source, pattern in ((WORK + "/nowhere", r"nowhere: no such run; "),
                            (empty, r"empty: .*no checkpoint"), (WORK + "/corpus.txt",
                                                                 r"corpus\.txt")):
        done = generate(source, code=65)
        check(
            len(done.err.splitlines()) == 1 and
            re.search("generate: error: .*" + pattern, done.err), done.err)
        equal(done.out, "", "standard output")
    for name in ("fifo", "fifo.h5"):  # they have no writer, so generate must not wait for them
        os.mkfifo(os.path.join(WORK, name))
        equal(len(generate(os.path.join(WORK, name), code=65).errors()), 1, "a pipe as the run")
    for start in ("FILE:" + WORK + "/nowhere.txt", "FILE:" + WORK, "FILE:" + WORK + "/fifo"):
        done = generate(start=start, code=65)
        check(len(done.err.splitlines()) == 1 and start[5:] in done.err, done.err)


def data_that_names_no_tokenizer():
    """GPT-2's is assumed for its vocabulary, with a note, and for no other."""
    data, none = os.path.join(WORK, "nameless.bin"), os.path.join(WORK, "no_vocabulary")
    with open(data, "wb") as file:
        file.write(struct.pack("<400H", *(i % 7 for i in range(400))))
    for V in (50257, 300, 60000):
        train(config("nameless%d" % V, data__train=data, data__val=None, model__vocab_size=V,
                     training__stop__steps=1, checkpoint__interval=0))
        done = run("generate", run_directory("nameless%d" % V), HOURGLASS_VOCAB=none)
        check(done.code == 65 and len(done.errors()) == 1, repr(done))
        equal("names no tokenizer; GPT-2's is assumed" in done.err, V == 50257, repr(done))
        equal(none in done.err, V == 50257, repr(done))
        equal("of %d tokens with an unknown tokenizer" % V in done.err, V != 50257, repr(done))


def bad_flags():
    done = run("generate", trained(), "temperature=1")
    equal(done.code, 64, repr(done))
    check("'temperature=1'; did you mean '--temperature=1'?" in done.err, repr(done))
    for flag in ("--num-samples=0", "--num-samples=many", "--temperature=-1", "--top-k", "--heat=1",
                 "--max-new-tokens=1.5", "--seed=1=2", "another_run", "--top-p=0", "--top-p=1.1",
                 "--dtype=float64"):
        done = run("generate", trained(), flag)
        equal(done.code, 64, "%s: %r" % (flag, done))
        check(len(done.err.splitlines()) == 1 and done.out == "", repr(done))
    equal(run("generate").code, 64, "without a run")


if __name__ == "__main__":
    main(all_flags, it_has_learned_the_words, a_seed_repeats, temperature_0_takes_the_likeliest,
         samples_do_not_depend_on_the_batch, nor_on_their_length, top_p,
         a_text_longer_than_the_context, a_restart_from_any_token_gives_the_same_text, the_report,
         ctrl_c_and_a_closed_pipe, types_of_a_gpu, a_start_from_a_file_and_longer_than_the_context,
         from_a_checkpoint_by_its_name, an_empty_start,
         a_document_does_not_see_the_end_before_it, output_that_is_lost,
         weights_that_are_not_finite, what_is_not_there,
         data_that_names_no_tokenizer, bad_flags)
