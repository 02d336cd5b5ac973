#!/usr/bin/env python3
"""An evaluation is the mean over the same tokens for any ranks, batch and accumulation, and
./evaluate reports the same loss for a checkpoint as training did."""

import base64
import json
import math
import os
import re
import struct
import subprocess

from e2e import (BUILD, ENVIRONMENT, WORK, check, checkpoints, config, corpus, equal, main, metrics,
                 run, run_directory, summary, train, tree)

TOLERANCE = 1e-6  # relative, in f32


def close(got, wanted, text):
    check(
        abs(got - wanted) <= TOLERANCE * abs(wanted), "%s: got %r, wanted %r" % (text, got, wanted))


def trained():
    """A run with a checkpoint and an evaluation at step 10, over 1000 tokens."""
    directory = run_directory("source")
    if not os.path.exists(directory):
        train(config("source", evaluation={"interval": 5, "tokens": 1000}, checkpoint__interval=5))
    return directory


def evaluate(*arguments, ranks=0, code=0):
    done = run("evaluate", *arguments, ranks=ranks)
    equal(done.code, code, "evaluate %s: %r" % (" ".join(arguments), done))
    return done


def result(*arguments, ranks=0):
    return json.loads(evaluate(*arguments, "--json", ranks=ranks).out)


def last_evaluation(directory):
    return [record for record in metrics(directory) if "val/loss" in record][-1]


def tokens_of(path):
    """The tokens of a file that ./prepare wrote: uint16 at its end."""
    count = int(
        re.search(r"^(\d+) ",
                  run("evaluate", trained(), path, "--tokens=all").out.split("| ")[3]).group(1)) + 1
    with open(path, "rb") as file:
        return struct.unpack("<%dH" % count, file.read()[-2 * count:])


def tokens_write(name, tokens):
    path = os.path.join(WORK, name)
    with open(path, "wb") as file:
        file.write(struct.pack("<%dH" % len(tokens), *tokens))
    return path


# ---- the same number -----------------------------------------------------------------------------

def any_ranks_and_any_batch_agree():
    """Files of 1 to 50 windows, with a short one at the end or without, and smaller ones: batches
    of 1 to 9. Ranks with the same batch agree in every bit."""
    folder, wanted, bits = os.path.join(WORK, "table"), {}, {}
    os.makedirs(folder)
    for ranks in (1, 2, 3, 4):
        command = [
            "mpirun", "-np",
            str(ranks),
            os.path.join(BUILD, "tests", "launch", "mpi_evaluation"), folder
        ]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
        equal(done.returncode, 0, done.stderr)
        rows = re.findall(r"(?m)^tokens (\d+) batch (\d+) targets (\d+) loss (\S+) stderr (\S+)$",
                          done.stdout)
        equal(len(rows), 9 * 52, "evaluations on %d ranks" % ranks)
        for tokens, batch, targets, loss, error in rows:
            equal(int(targets), int(tokens) - 1, "targets")
            first_loss, first_error = wanted.setdefault(tokens, (float(loss), float(error)))
            where = "%s tokens, batch %s, %d ranks" % (tokens, batch, ranks)
            close(float(loss), first_loss, where)
            equal((loss, error), bits.setdefault((tokens, batch), (loss, error)), where)
            if int(tokens) > 9:
                check(
                    abs(float(error) - first_error) <= 1e-4 * first_error,
                    "%s: +- %s" % (where, error))
            else:
                equal(error, "nan", where)


def training_evaluates_the_same_tokens():
    """The same weights, since the learning rate is 0, in runs of other ranks, batches and
    accumulations."""
    found = {}
    for ranks, batch, accumulation in ((1, 4, 2), (2, 4, 1), (1, 2, 4), (4, 2, 1), (3, 5, 1)):
        name = "same%d%d%d" % (ranks, batch, accumulation)
        train(
            config(name, optimizer__lr=0, lr_scheduler__min_lr=0, training__stop__steps=1,
                   data__batch_size=batch, training__gradient_accumulation_steps=accumulation,
                   evaluation__tokens=700), ranks=ranks)
        found[name] = last_evaluation(run_directory(name))["val/loss"]
        equal(summary(run_directory(name))["val_tokens"], 704, "tokens: 22 windows of 32")
    for name, loss in found.items():
        close(loss, found["same142"], name)


def a_file_of_a_few_windows_is_read_to_its_end():
    """Three windows, and one that is shorter: the mean over all tokens, and the error of that
    mean."""
    rows, path = tokens_of(corpus() + "/val.h5")[:110], None
    losses, lengths = [], [32, 32, 32, 13]
    for i, length in enumerate(lengths):
        path = tokens_write("window%d.bin" % i, rows[32 * i:32 * i + length + 1])
        part = result(trained(), path, "--tokens=all")
        equal((part["tokens"], part["stderr"]), (length, None), path)
        losses.append(part["loss"])
    whole = result(trained(), tokens_write("windows.bin", rows), "--tokens=all",
                   "data.batch_size=3")
    mean = sum(n * loss for n, loss in zip(lengths, losses)) / 109
    squares = sum((n * (loss - mean)) ** 2 for n, loss in zip(lengths, losses))
    equal(whole["tokens"], 109, "tokens")
    close(whole["loss"], mean, "mean")
    check(
        abs(whole["stderr"] - math.sqrt(squares * 4 / 3) / 109) < 1e-5 * whole["stderr"],
        repr(whole))
    close(whole["perplexity"], math.exp(mean), "perplexity")


def documents_end_in_short_windows_too():
    rows = tokens_of(corpus() + "/val.h5")[:46]
    for mask in ("true", "false"):
        flags = ["--tokens=all", "attention.document_mask=" + mask, "data.end_of_text=32"]
        short = result(trained(), tokens_write("short.bin", rows), *flags)
        first = result(trained(), tokens_write("first.bin", rows[:33]), *flags)
        rest = result(trained(), tokens_write("rest.bin", rows[32:]), *flags)
        close(short["loss"], (32 * first["loss"] + 13 * rest["loss"]) / 45, "document_mask " + mask)


# ---- ./evaluate ----------------------------------------------------------------------------------

def it_says_what_training_said():
    directory, before = trained(), tree(trained())
    record = last_evaluation(directory)
    for source in (directory, checkpoints(directory)[-1]):
        for more in ([], [corpus() + "/val.h5"], ["--tokens=1000"], ["data.batch_size=7"]):
            found = result(source, *more)
            for key, name in (("loss", "val/loss"), ("bpb", "val/bpb")):
                close(found[key], record[name], "%s of %s %r" % (key, source, more))
            check(
                abs(found["stderr"] - record["val/stderr"]) < 1e-4 * record["val/stderr"],
                repr(found))
            equal((found["step"], found["tokens"]), (10, 1024), "step, tokens")
    close(result(directory, ranks=3)["loss"], record["val/loss"], "on three ranks")
    first = [r for r in metrics(directory) if "val/loss" in r][0]
    close(result(checkpoints(directory)[0])["loss"], first["val/loss"], "an older checkpoint")
    equal(tree(directory), before, "what evaluating did to the run")


def its_line():
    done = evaluate(trained(), "--tokens=all")
    check(
        re.fullmatch(
            r"loss \d\.\d{6} \+- 0\.\d{4} \| \d\.\d{4} bits/byte \| perplexity \d+\.\d+ \| "
            r"\d+ tokens of \S+val\.h5 \| \S+step_00000010\.h5, "
            r"float32 on .*, \d+\.\d\d s\n", done.out),
        done.out)
    equal(done.err, "", "standard error")
    equal(len(evaluate(trained(), ranks=2).out.splitlines()), 1, "lines on two ranks")


def any_part_and_all_of_a_file():
    path = corpus() + "/train.h5"
    whole = result(trained(), path, "--tokens=all")
    more = result(trained(), path, "--tokens=100M")
    equal((more["loss"], more["tokens"]), (whole["loss"], whole["tokens"]), "more than there is")
    part = result(trained(), path, "--tokens=4k")
    equal(part["tokens"], 4000, "tokens")
    check(
        abs(part["loss"] - whole["loss"]) < 5 * part["stderr"],
        "%r does not stand for %r" % (part, whole))


def bits_a_byte():
    """A byte is a byte; the end of a text is none."""
    path = corpus() + "/val.h5"
    tokens, found = tokens_of(path), result(trained(), path, "--tokens=all")
    text_bytes = sum(token < 256 for token in tokens[1:])
    close(found["bpb"], found["loss"] * found["tokens"] / math.log(2) / text_bytes, "bits a byte")
    nameless = evaluate(trained(), tokens_write("nameless.bin", tokens[:100]), "--json")
    equal(json.loads(nameless.out)["bpb"], None, "bits a byte of a file that names no tokenizer")
    check(
        re.fullmatch(
            r"evaluate: note: no bits/byte: \S+nameless\.bin: does not name its tokenizer\n",
            nameless.err), nameless.err)


def a_model_of_an_unknown_tokenizer():
    """Whether the data is of its tokenizer cannot be checked, which a note says."""
    raw, val = tokens_write("raw.bin", [i % 7 for i in range(400)]), WORK + "/data/val.h5"
    train(config("raw", data__train=raw, data__val=raw, model__vocab_size=257,
                 training__stop__steps=1))
    equal(evaluate(run_directory("raw"), raw).err.count("note: "), 1, "no bits/byte")
    equal(
        evaluate(run_directory("raw"), val).err,
        "evaluate: note: the model's tokenizer is unknown; whether %s is of it could not be "
        "checked\n" % val)


def other_tokenizer():
    """256 bytes and one merge, so that byte's numbers would all be known to it."""
    words, folder = os.path.join(WORK, "words.tiktoken"), os.path.join(WORK, "words")
    with open(words, "wb") as file:
        for rank, token in enumerate([bytes([byte]) for byte in range(256)] + [b"th"]):
            file.write(base64.b64encode(token) + b" %d\n" % rank)
    if not os.path.exists(folder):
        equal(
            run("prepare", WORK + "/corpus.txt", "--out=" + folder, "--tokenizer=" + words).code, 0,
            "prepare")
    return folder


def another_function_than_the_runs_is_said():
    done = evaluate(trained(), "model.norm_eps=0.5")
    check("note: model.norm_eps is 0.5, but the run has 1e-05" in done.err, done.err)
    equal(evaluate(trained(), "data.batch_size=1").err, "", "notes")


def another_tokenizers_data_is_refused():
    folder = other_tokenizer()
    path = config("words", data__train=folder + "/train.h5", data__val=folder + "/val.h5",
                  evaluation__tokens=320)
    train(path)
    found = result(run_directory("words"))
    check(0 < found["bpb"] < found["loss"] / math.log(2), "a token is more than a byte: %r" % found)
    done = evaluate(run_directory("words"), corpus() + "/val.h5", code=65)
    check(
        re.search(
            r"val\.h5: made with the tokenizer byte, but the model of \S+ uses \S+words\.tiktoken",
            done.err), done.err)
    mixed = config("mixed", data__train=folder + "/train.h5")
    done = train(mixed, code=65)
    check(
        re.search(
            r"/val\.h5: made with the tokenizer byte, but \S+train\.h5 with \S+words\.tiktoken",
            done.err), done.err)
    check(not os.path.exists(run_directory("mixed")), "a directory of a run that was refused")


def what_is_wrong_is_one_line():
    source, val = trained(), corpus() + "/val.h5"
    empty, one = os.path.join(WORK, "empty"), tokens_write("one.bin", [7])
    os.makedirs(empty, exist_ok=True)
    unnamed = run_directory("unnamed")
    train(config("unnamed", data__val=None))
    for code, pattern, *arguments in (
        (
            64,
            r"MODEL \[DATA\] is missing",
        ), (64, r"unknown option '--token=3'; did you mean '--tokens'", source, "--token=3"),
        (64, r"--tokens requires a count such as 1M, or all, not 'few'", source,
         "--tokens=few"), (64, r"--tokens requires a count such as 1M, or all, not '0'", source,
                           "--tokens=0"), (64, r"unexpected argument", source, val, val),
        (64, r"names no data\.val; name a token file: \./evaluate \S+ DATA",
         unnamed), (65, r"nowhere: no such run",
                    WORK + "/nowhere"), (65, r"empty: neither a run nor a model: no checkpoints, ",
                                         empty), (65, r"corpus\.txt", WORK + "/corpus.txt"),
        (65, r"corpus\.txt: is text, not a token file", source,
         WORK + "/corpus.txt"), (65, r"nothing\.h5: no such file", source, WORK + "/nothing.h5"),
        (65, r"one\.bin: an evaluation needs at least 2 tokens, but the file has 1", source,
         one), (65, r"token 300 .*is not below the vocabulary size 257", source,
                tokens_write("large.bin", [1, 300, 2])), (65, r"weights\.wte\.weight", source,
                                                          "model.n_embd=64"),
        (64, r"data\.val and \S+val\.h5 both name the data", source, val, "data.val=" + val),
        (64, r"evaluation\.tokens does not apply beside --stride", source, "--stride=8",
         "evaluation.tokens=64"),
        (64, r"evaluation\.tokens does not apply beside --tokens", source, "--tokens=64",
         "evaluation.tokens=128"),
        (78, r"model\.n_layer is 1, but the weights have 2", source, "model.n_layer=1"),
        (78, r"model\.vocab_size is 300, but the weights have 257", source,
         "model.vocab_size=300"),
        (78, r"'evaluation.batches' is gone; write 'evaluation.tokens'", source,
         "evaluation.batches=3"), (78, r"unknown key 'model\.width'", source, "model.width=3")):
        for ranks in (0, 2) if "no such" in pattern else (0,):
            done = evaluate(*arguments, ranks=ranks, code=code)
            equal(len(done.errors()), 1, "error lines: %r" % done)
            check(re.search(pattern, done.errors()[0]), "%r, not %r" % (done.errors(), pattern))
            equal(done.out, "", "standard output")


def a_result_that_cannot_be_written_is_a_failure():
    command = [os.path.join(os.environ.get("PROGRAMS", "."), "evaluate"), trained()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE,
                              text=True)
    equal(done.returncode, 1, done.stderr)
    check(re.fullmatch(r"evaluate: error: .*No space left on device.*\n", done.stderr), done.stderr)


# ---- files of older versions ---------------------------------------------------------------------

def an_older_run_is_told_what_to_write():
    """Its frozen config.yaml contains evaluation.batches; after that is replaced, the run
    continues."""
    path, directory = config("older", evaluation__interval=5,
                             training__stop__steps=5), run_directory("older")
    train(path)
    frozen = os.path.join(directory, "config.yaml")
    text = open(frozen, encoding="utf-8").read()
    with open(frozen, "w", encoding="utf-8") as file:
        file.write(re.sub(r"(?m)^(\s+)tokens: 256$", r"\1batches: 2", text))
    before = tree(directory)
    done = train(path, "training.stop.steps=10", code=78)
    check(
        re.search(
            r"config\.yaml:\d+:\d+: error: 'evaluation\.batches' is gone; "
            r"write 'evaluation\.tokens'",
            done.err), done.err)
    equal(tree(directory), before, "what was done to the run")
    with open(frozen, "w", encoding="utf-8") as file:
        file.write(text)
    old_columns(directory)
    train(path, "training.stop.steps=10")
    rows = [
        line.split(",") for line in open(os.path.join(directory, "metrics.csv"),
                                         encoding="utf-8").read().splitlines()
    ]
    check({"val/stderr", "val/bpb"} <= set(rows[0]), "columns: %r" % rows[0])
    equal({len(row) for row in rows}, {len(rows[0])}, "columns of each row")
    column = rows[0].index("val/loss")
    equal([row[0] for row in rows[1:] if row[column]], ["5", "10"], "evaluations in metrics.csv")
    for row, record in zip(rows[1:], metrics(directory)):
        for key, value in zip(rows[0], row):
            check(
                value == "" if key not in record else abs(float(value) - record[key]) <= 1e-8 *
                abs(record[key]), "%s of step %s: %r, %r" % (key, row[0], value, record.get(key)))


def old_columns(directory):
    """metrics.csv as it was before val/stderr and val/bpb."""
    path = os.path.join(directory, "metrics.csv")
    rows = [line.split(",") for line in open(path, encoding="utf-8").read().splitlines()]
    kept = [i for i, key in enumerate(rows[0]) if key not in ("val/stderr", "val/bpb")]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(",".join(row[i] for i in kept) + "\n" for row in rows)


# ---- a schedule that does not fit ----------------------------------------------------------------

def a_schedule_that_cannot_fit_is_said():
    never = (
        r"lr_scheduler\.warmup: 2000 steps, but the run ends after 5: the learning rate comes to "
        r"1\.5e-06 and never reaches 0\.0006")
    above = (
        r"lr_scheduler\.decay: 600000 steps, but the run ends after 4: the learning rate ends at "
        r"6\.0e-04 and not at min_lr")
    for name, pattern, schedule, stop in (("long", never, {}, {"steps": 5
                                                               }), ("decays", above, {"warmup": 1},
                                                                    {"tokens": 500, "steps": 100}),
                                          ("fits", None, {"warmup": 4, "decay": 5},
                                           {"steps": 5}), ("timed", None, {}, {"time": "1s"})):
        path = config("schedule_" + name, lr_scheduler=schedule, optimizer={"lr": 6e-4},
                      training__stop=stop)
        plan = train(path, "--plan").out
        said = re.findall(r"(?m)^warning: (lr_scheduler.*)$", plan)
        check(
            len(said) == (pattern is not None) and all(re.match(pattern, line) for line in said),
            "%s: %r" % (name, said))
        if name == "timed":
            continue
        equal(re.findall(r"(?m)^warning: (lr_scheduler.*)$",
                         train(path).out), said, "at the start of " + name)


if __name__ == "__main__":
    main(any_ranks_and_any_batch_agree, training_evaluates_the_same_tokens,
         a_file_of_a_few_windows_is_read_to_its_end, documents_end_in_short_windows_too,
         it_says_what_training_said, its_line, any_part_and_all_of_a_file, bits_a_byte,
         a_model_of_an_unknown_tokenizer, another_tokenizers_data_is_refused,
         another_function_than_the_runs_is_said,
         what_is_wrong_is_one_line,
         a_result_that_cannot_be_written_is_a_failure,
         an_older_run_is_told_what_to_write, a_schedule_that_cannot_fit_is_said)
