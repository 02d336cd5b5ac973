#!/usr/bin/env python3
"""./evaluate on multiple-choice questions and on overlapping windows: the losses are those of the
same tokens in token files."""

import json
import os
import re
import struct

from broken_model import broken_copy
from e2e import WORK, check, equal, main, run, trained

T, DATA, USAGE = 32, 65, 64
QUESTIONS = [
    ("the sand runs", [" down and", " upon me"], 0),
    ("slow bells mark", [" nnnn", " noon over", " x"], 1),
    ("no clock has ever told wrong time to anyone", [" who", " of light"], 1),
    ("a", ["b", "c"], 0),
]


def evaluate(*arguments, ranks=0, code=0):
    done = run("evaluate", trained(), *arguments, ranks=ranks)
    equal(done.code, code, "%s: %r" % (arguments, done))
    return done


def result(*arguments, ranks=0):
    return json.loads(evaluate(*arguments, "--json", ranks=ranks).out)


def total(tokens):
    """The loss of a token file, summed over its targets."""
    path = os.path.join(WORK, "part.bin")
    with open(path, "wb") as file:
        file.write(struct.pack("<%dH" % len(tokens), *tokens))
    found = result(path, "--tokens=all")
    equal(found["tokens"], len(tokens) - 1, "targets")
    return found["loss"] * found["tokens"]


def json_file(name, questions):
    path = os.path.join(WORK, name)
    with open(path, "w", encoding="utf-8") as file:
        for context, choices, answer in questions:
            record = {"context": context, "choices": choices, "answer": answer}
            file.write(json.dumps(record) + "\n")
    return path


def hellaswag_file(name, questions):
    """As HellaSwag has them: no space before an ending; Hugging Face's copy has the label as
    text."""
    path = os.path.join(WORK, name)
    with open(path, "w", encoding="utf-8") as file:
        for index, (context, choices, answer) in enumerate(questions):
            record = {
                "ind": index, "activity_label": "Hours", "ctx_a": context, "ctx_b": "",
                "ctx": context, "split": "val", "endings": [choice[1:] for choice in choices],
                "label": str(answer) if index % 2 else answer
            }
            file.write(json.dumps(record) + "\n")
    return path


def llmc_file(name, questions):
    stream = []
    for index, (context, choices, answer) in enumerate(questions):
        words = [index, answer, len(choices), len(context), *context.encode()]
        for choice in choices:
            words += [len(choice), *choice.encode()]
        stream += [65535, 2 * (len(words) + 2), *words]
    path = os.path.join(WORK, name)
    with open(path, "wb") as file:
        file.write(struct.pack("<256i", 20240522, 1, len(questions), 400, *(0, ) * 252))
        file.write(struct.pack("<%dH" % len(stream), *stream))
    return path


def choices_have_the_losses_of_their_tokens():
    right, normalized, nats, tokens = 0, 0, 0.0, 0
    for context, choices, answer in QUESTIONS:
        sums = []
        for choice in choices:
            row = (context + choice).encode()[-T - 1:]
            before = row[:len(row) - len(choice)]
            sums.append(total(row) - (total(before) if len(before) > 1 else 0))
        means = [loss / len(choice) for loss, choice in zip(sums, choices)]
        right += sums.index(min(sums)) == answer
        normalized += means.index(min(means)) == answer
        nats += sums[answer]
        tokens += len(choices[answer])
    for path in (json_file("q.jsonl", QUESTIONS), llmc_file("q.bin", QUESTIONS)):
        found = result(path)
        n = len(QUESTIONS)
        equal([found["questions"], found["accuracy"], found["accuracy_norm"]],
              [n, right / n, normalized / n], path)
        check(abs(found["loss"] - nats / tokens) < 1e-4, "%r, not %r" % (found, nats / tokens))
        error = (right / n * (1 - right / n) / (n - 1)) ** 0.5
        check(abs(found["accuracy_stderr"] - error) < 1e-9, repr(found))
        for more in (["data.batch_size=1"], ["data.batch_size=4"]):
            again = result(path, *more, ranks=2)
            equal([again["accuracy"], again["accuracy_norm"]], [right / n, normalized / n], more)
            check(abs(again["loss"] - found["loss"]) < 1e-5, repr(again))
    check(evaluate(path).out.startswith("accuracy %.4f +- " % (right / n)), "its line")


def hellaswag_is_read_as_it_comes():
    questions = QUESTIONS[:3]
    ours, theirs = (dict(result(make(name, questions)), seconds=0, data="")
                    for make, name in ((llmc_file, "three.bin"), (hellaswag_file, "h.jsonl")))
    equal(theirs, ours, "scores")


def bad_questions_are_named():
    for line, message in (
        ('{"context": "a", "choices": ["b"], "answer": 0}', "a question needs 2 to 64 choices"),
        ('{"context": "a", "choices": ["b", "c"], "answer": 2}', "the answer is none of"),
        ('{"context": "a", "choices": ["b", 7], "answer": 0}', "a choice is not a string"),
        ('{"context": "a", "choices": ["b", "%s"], "answer": 0}' % ("x" * 40),
         "a choice of 40 tokens does not fit model.block_size 32"),
        ('{"context": "", "choices": ["b", "c"], "answer": 0}', "the context has no tokens"),
        ('{"ctx": "a"}', "not a question; write {"),
        ('{"ctx": "a", "endings": ["b", "c"]}', "not a question; write {"),
        ('{"ctx": "a", "endings": ["b", "c"], "label": ""}', "the answer is none of"),
        ('{"cut', "not a question; write {"),
        ("[]", "a JSON array, not JSON lines; convert it with jq -c '.[]'"),
        ('{"context": "a", "choices": ["b", "c"], "answer": 0, "answer": 1}',
         "not a question; write {"),
    ):
        path = json_file("bad.jsonl", QUESTIONS[:1])
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
        done = evaluate(path, code=DATA)
        check("bad.jsonl:2: " + message in done.errors()[0], repr(done))
    path = llmc_file("cut.bin", QUESTIONS)
    size = os.path.getsize(path)
    for change in (1024 + 150, size + 1, size + 2):  # cut; more than the header says
        os.truncate(path, change)
        done = evaluate(path, code=DATA)
        check("the question is cut off or damaged" in done.errors()[0], repr(done))
        llmc_file("cut.bin", QUESTIONS)


def an_array_of_questions_is_refused_as_one():
    path = json_file("array.jsonl", QUESTIONS)
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for text in ("[%s]" % ", ".join(lines), "[\n  %s\n]" % ",\n  ".join(lines)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = evaluate(path, code=DATA)
        check("array.jsonl:1: a JSON array, not JSON lines" in done.errors()[0], repr(done))


def options_of_token_files_are_refused():
    path = json_file("one.jsonl", QUESTIONS[:1])
    for option in ("--stride=4", "--tokens=1k", "--logits=%s/logits.h5" % WORK):
        done = evaluate(path, option, code=USAGE)
        check(option.split("=")[0] + " applies to token files, and" in done.errors()[0],
              repr(done))


def one_question_has_no_standard_error():
    path = json_file("one.jsonl", QUESTIONS[:1])
    check(re.match(r"accuracy \d\.\d+ \| per token \d\.\d+ \| loss \S+ \| 1 question of ",
                   evaluate(path).out), evaluate(path).out)
    equal(result(path)["accuracy_stderr"], None)


def questions_may_begin_with_a_mark_and_spaces():
    path = json_file("plain.jsonl", QUESTIONS)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    wanted = dict(result(path), seconds=0, data="")
    for name, changed in (("mark", "\ufeff" + text), ("blank", "\n \n" + text),
                          ("spaces", text.replace("{", "{  "))):
        with open(os.path.join(WORK, name), "w", encoding="utf-8") as file:
            file.write(changed)
        equal(dict(result(file.name), seconds=0, data=""), wanted, name)


def losses_that_are_not_finite_answer_nothing():
    """A NaN is not less than any loss, so that the first choice would count as the answer."""
    broken = broken_copy(trained())
    for more in ((), ("--json", )):
        done = run("evaluate", broken, json_file("q.jsonl", QUESTIONS), *more)
        equal(done.code, 0, repr(done))
        if more:
            found = json.loads(done.out)
            equal([found[key] for key in ("accuracy", "accuracy_norm", "accuracy_stderr", "loss")],
                  [None] * 4, "scores")
        else:
            check(done.out.startswith("accuracy nan | per token nan | loss nan |"),
                  repr(done))
    line = run("evaluate", broken).out
    check(line.startswith("loss nan | perplexity nan |"), line)


def windows_overlap_by_the_stride():
    text = ("the sand runs down and the glass is turned once more by a hand that counts hours")
    tokens = text.encode()[:T + 17]
    path = os.path.join(WORK, "slide.bin")
    with open(path, "wb") as file:
        file.write(struct.pack("<%dH" % len(tokens), *tokens))
    plain = result(path, "--tokens=all")
    equal(result(path, "--stride=%d" % T)["loss"], plain["loss"], "no overlap")
    wanted = total(tokens[:T + 1])
    for start in (8, 16):
        window = tokens[start:start + T + 1]
        wanted += total(window) - total(window[:T - 8 + 1])
    found = result(path, "--stride=8")
    equal(found["tokens"], T + 16, "targets")
    check(abs(found["loss"] - wanted / (T + 16)) < 1e-5, "%r, not %r" % (found["loss"], wanted))
    for more in (["--stride=33"], ["--stride=8", "--tokens=100"]):
        check("--stride takes 1 to 32" in evaluate(path, *more, code=USAGE).errors()[0], more)


main(choices_have_the_losses_of_their_tokens, hellaswag_is_read_as_it_comes,
     bad_questions_are_named, an_array_of_questions_is_refused_as_one,
     options_of_token_files_are_refused, one_question_has_no_standard_error,
     questions_may_begin_with_a_mark_and_spaces,
     losses_that_are_not_finite_answer_nothing, windows_overlap_by_the_stride)
