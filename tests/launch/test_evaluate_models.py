#!/usr/bin/env python3
"""./evaluate and ./generate on weights of Hugging Face as they are, and --logits: the losses and
logits that transformers computed (tests/golden/make_families.py)."""

import json
import os
import struct
import subprocess

import e2e
from e2e import check, content, corpus, equal, run
from model_files import (CASES, GOLDEN, copy_of, dumped, exported, farthest, imported, path,
                         records, trained)

TOLERANCE = 1e-4
USAGE, DATA = 64, 65


def evaluate(*arguments, ranks=0, code=0):
    done = run("evaluate", *arguments, ranks=ranks)
    equal(done.code, code, "evaluate %r: %r" % (arguments, done))
    return done


def result(*arguments, ranks=0):
    return json.loads(evaluate(*arguments, "--json", ranks=ranks).out)


def golden(case):
    return os.path.join(GOLDEN, case)


def tokens_of(case):
    data = content(os.path.join(golden(case), "tokens"))
    return struct.unpack("<%di" % (len(data) // 4), data)


def token_file(name, tokens):
    target = path(name + ".bin")
    with open(target, "wb") as file:
        file.write(struct.pack("<%dH" % len(tokens), *tokens))
    return target


def values_of(case):
    return records(content(os.path.join(golden(case), "values.bin")))


def refused(code, pattern, *arguments, ranks=0):
    done = evaluate(*arguments, ranks=ranks, code=code)
    equal((len(done.errors()), done.out), (1, ""), repr(done))
    check(pattern in done.err, "%r not in %r" % (pattern, done.err))


# ---- tests ---------------------------------------------------------------------------------------

def losses_are_those_of_transformers():
    for case in CASES:
        data, wanted = token_file(case, tokens_of(case)), values_of(case)["loss"][0]
        found = result(golden(case), data, "--tokens=all")
        check(abs(found["loss"] - wanted) <= TOLERANCE * wanted,
              "%s: %r, not %r" % (case, found["loss"], wanted))
        converted = result(imported(case), data, "--tokens=all", "data.batch_size=1")
        same = result(found["checkpoint"], data, "--tokens=all", "data.batch_size=1")
        equal([same[key] for key in ("loss", "tokens", "step")],
              [converted[key] for key in ("loss", "tokens", "step")], case + ": as a run")


def a_shorter_context_than_the_models():
    data = token_file("short", tokens_of("qwen3_windows"))
    for case in ("qwen3_windows", "llama_tied"):
        found, wanted = (result(model, data, "--tokens=all", "model.block_size=12",
                                "data.batch_size=2")
                         for model in (golden(case), imported(case)))
        equal((found["loss"], found["tokens"]), (wanted["loss"], 24), case)
    refused(78, "model.block_size is 12, but the weights have 24", golden("gpt2_untied"), data,
            "model.block_size=12")


def ranks_share_the_windows():
    case = "llama_sharded"
    data = token_file("many", (tokens_of(case) * 9)[:200])
    alone, shared = (result(golden(case), data, "--tokens=all", "data.batch_size=2", ranks=ranks)
                     for ranks in (0, 2))
    equal(shared["loss"], alone["loss"], "loss")


def logits_are_those_of_transformers():
    for case in CASES:
        tokens, wanted, out = tokens_of(case), values_of(case)["logits"], path(case + ".logits.h5")
        done = evaluate(golden(case), token_file(case, tokens), "--tokens=all", "--logits=" + out)
        check("%s has 1 x %d x " % (out, len(tokens) - 1) in done.err, done.err)
        found = dumped(out, "/logits", "f")
        worst = farthest(found, wanted)
        check(worst <= TOLERANCE, "%s: off by %g" % (case, worst))
        equal(dumped(out, "/tokens", "i"), tokens[:-1], case + ": tokens")
        equal(dumped(out, "/targets", "i"), tokens[1:], case + ": targets")


def logits_mark_what_is_scored():
    """Two windows that overlap and end in the middle; the file replaces the one of before."""
    case, out = "llama_tied", path("marked.h5")
    tokens = (tokens_of(case) * 2)[:34]
    data, T = token_file("marked", tokens), len(tokens_of(case)) - 1
    for _ in range(2):
        evaluate(golden(case), data, "--tokens=all", "--stride=16", "--logits=" + out)
    targets = dumped(out, "/targets", "i")
    rest = 33 - 16
    equal(targets, tokens[1:T + 1] + (-1, ) * (T - 16) + tokens[T + 1:] + (-1, ) * (T - rest),
          "targets")
    equal(os.listdir(os.path.dirname(out)), [name for name in os.listdir(os.path.dirname(out))
                                             if ".hourglass" not in name], "leftovers")


def logits_are_whole_or_absent():
    case = golden("llama_tied")
    data, out = token_file("limits", tokens_of("llama_tied")), path("limits.h5")
    refused(USAGE, "confirm that with --tokens=all", case, data, "--logits=" + out)
    more = tokens_of("llama_tied") * 3
    refused(USAGE, "of all %d tokens" % (len(more) - 1), case, token_file("more", more),
            "--logits=" + out, "evaluation.tokens=1")
    refused(USAGE, "start ./evaluate alone", case, data, "--logits=" + out, "--tokens=all", ranks=2)
    refused(DATA, "not a file of logits, so it is not replaced", case, data, "--tokens=all",
            "--logits=" + data)
    refused(1, "nowhere/x.h5", case, data, "--tokens=all", "--logits=" + path("nowhere/x.h5"))
    program = os.path.join(e2e.PROGRAMS, "evaluate")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 4; exec "$@"', "-", program, case, data, "--tokens=all",
         "--logits=" + out], env=e2e.ENVIRONMENT, capture_output=True, text=True)
    equal((done.returncode, done.stdout), (1, ""), done.stderr)
    equal([name for name in os.listdir(os.path.dirname(out)) if "limits.h5" in name], [], "files")


def an_exported_model_is_its_run():
    """The exported directory holds the run's tokenizer as tokenizer.json, which names the same
    tokens."""
    folder = os.path.dirname(exported())
    found, wanted = (run("generate", model, "--max-new-tokens=30", "--seed=3")
                     for model in (folder, trained()))
    equal((found.code, found.out), (0, wanted.out), found.err)
    found, wanted = (result(model, corpus() + "/val.h5", "--tokens=512", "data.batch_size=4",
                            "threads=1")
                     for model in (folder, trained()))
    equal((found["loss"], found["bpb"]), (wanted["loss"], wanted["bpb"]), "loss, bits per byte")
    questions = path("questions.jsonl")
    with open(questions, "w", encoding="utf-8") as file:
        file.write('{"context": "the sand", "choices": [" runs", " bells"], "answer": 0}\n' * 2)
    found, wanted = (result(model, questions, "threads=1") for model in (folder, trained()))
    check(abs(found["loss"] - wanted["loss"]) < 1e-6 and found["accuracy"] == wanted["accuracy"],
          "%r, not %r" % (found, wanted))
    done = run("generate", golden("llama_tied"))
    check(done.code == DATA and "unknown tokenizer; copy its tokenizer.json" in done.err,
          repr(done))


def llm_cs_weights_are_read_too():
    target = path("model.bin")
    equal(run("convert", trained(), target).code, 0, "convert")
    found, wanted = (result(model, corpus() + "/val.h5", "--tokens=512", "data.batch_size=4",
                            "threads=1")
                     for model in (target, trained()))
    equal(found["loss"], wanted["loss"], "loss")


def what_is_wrong_is_one_line():
    data = token_file("right", tokens_of("llama_tied"))
    lone = copy_of("gpt2_untied", "lone")
    os.remove(lone + "/config.json")
    refused(DATA, "lone/config.json: not there", lone, data)
    other = copy_of("llama_tied", "other")
    fields = json.loads(content(other + "/config.json"))
    with open(other + "/config.json", "w", encoding="utf-8") as file:
        json.dump(dict(fields, model_type="mamba", architectures=["MambaForCausalLM"]), file)
    refused(DATA, "mamba", other, data)
    cut = copy_of("llama_tied", "cut")
    os.truncate(cut + "/model.safetensors", 4000)
    for ranks in (0, 2):
        refused(DATA, "cut/model.safetensors", cut, data, ranks=ranks)
    shards = copy_of("llama_sharded", "shards_missing")
    os.remove(shards + "/model-00002-of-00002.safetensors")
    refused(DATA, "model-00002-of-00002.safetensors", shards, data)
    refused(DATA, "one shard of several", golden("llama_sharded") +
            "/model-00001-of-00002.safetensors", data)
    refused(USAGE, "names no data.val", golden("llama_tied"))
    refused(DATA, "is not below the vocabulary size",
            golden("llama_tied"), token_file("large", [1, 60000, 2]))
    refused(DATA, "empty.bin", golden("llama_tied"), token_file("empty", []))
    refused(78, "model.n_head is", golden("llama_tied"), data, "model.n_head=8")


if __name__ == "__main__":
    e2e.main(losses_are_those_of_transformers, a_shorter_context_than_the_models,
             ranks_share_the_windows,
             logits_are_those_of_transformers, logits_mark_what_is_scored,
             logits_are_whole_or_absent, an_exported_model_is_its_run,
             llm_cs_weights_are_read_too, what_is_wrong_is_one_line)
