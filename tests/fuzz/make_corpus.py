#!/usr/bin/env python3
"""Writes tests/fuzz/corpus: a few small files of each format, made by the programs themselves
and by hdf5-tools.

usage: [BUILD=build] tests/fuzz/make_corpus.py
"""

import base64
import glob
import json
import os
import shutil
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from e2e import WORK, check, checkpoints, config, content, corpus, run, run_directory, train

CORPUS = os.path.join(HERE, "corpus")
TRAILER = 56  # checkpoints/checkpoint.h


def put(target, name, data):
    os.makedirs(os.path.join(CORPUS, target), exist_ok=True)
    with open(os.path.join(CORPUS, target, name), "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def configs():
    for path in glob.glob("configs/*.yaml"):
        if b"extends" not in content(path):
            put("config", os.path.basename(path), content(path))
    least = "data: {train: t.bin}\ntraining: {stop: {steps: 5}}\n"
    put("config", "least.yaml", least)
    put("config", "quoted.yaml", least + "x-a: \"q\\\"\\x41\\u00e9\"\nname: 'it''s'\nseed: 0x10\n")
    put("study", "grid.yaml", least + "sweep: {seed: [1, 2], optimizer.lr: [1e-3, 3e-4]}\n")
    put("study", "points.yaml", least + "sweep:\n  - {seed: 1}\n  - {seed: 2, name: other}\n")
    put("logs", "attempts.log", "start 2026-01-01T00:00:00Z host\nexit 1 2026-01-01T00:00:09Z\n")
    put("logs", "rungs.log", "rung 0.25 3.5 10 1.5\nrung 0.5 3.25 20 3.0\n")
    counts = ("step", "tokens", "mem_bytes", "steps", "batch_size", "world_size", "planned_bytes")
    numbers = ("train/loss", "val/loss", "train_s", "tok_per_s", "best_val_loss", "joules")
    facts = {**{key: 7 for key in counts}, **{key: 0.5 for key in numbers}}
    put("logs", "metrics.jsonl", json.dumps(facts) + "\n")
    put("logs", "large.jsonl", json.dumps({key: 1e300 for key in counts + numbers}) + "\n")
    put("logs", "summary.json", json.dumps({**facts, "status": "done", "outcome": "diverged"}))
    put("logs", "sweep.json", json.dumps({"slurm": {"array": "101", "report": "102"}}))


def tokens():
    small = os.path.join(WORK, "small.txt")
    with open(small, "w", encoding="utf-8") as file:
        file.write("the sand runs down\n" * 20)
    for name in ("h5", "bin"):
        out = os.path.join(WORK, name)
        done = run("prepare", small, "--out=" + out, "--format=" + name)
        check(done.code == 0, repr(done))
        put("tokens", name, content(os.path.join(out, "train." + name)))
    plain, other = os.path.join(WORK, "plain.h5"), os.path.join(WORK, "other.h5")
    subprocess.run(["h5unjam", "--delete", "-i", os.path.join(WORK, "h5", "train.h5"), "-o", plain],
                   check=True)
    subprocess.run(["h5repack", "--latest", plain, other], check=True)
    put("tokens", "h5_latest", content(other))
    header = [20240520, 1, 8] + [0] * 253
    put("tokens", "llm_c", struct.pack("<256i8H", *header, *range(8)))


def models():
    least = {"n_layer": 1, "n_head": 2, "n_embd": 4, "block_size": 4, "vocab_size": 257}
    path = config("tiny", model=least, training__stop={"steps": 1},
                  training__gradient_accumulation_steps=1)
    train(path)
    image = content(checkpoints(run_directory("tiny"))[-1])[:-TRAILER]
    put("checkpoint", "tiny", image)
    for target, name in (("safetensors", "tiny.safetensors"), ("llm_c", "tiny.bin")):
        to = os.path.join(WORK, target, name)
        done = run("convert", run_directory("tiny"), to)
        check(done.code == 0, repr(done))
        put(target, name, content(to))
    for path in glob.glob("tests/golden/families/*/config.json"):
        put("model_json", os.path.basename(os.path.dirname(path)), content(path))


def questions():
    plain = {"context": "The sand", "choices": [" runs down", " sings"], "answer": 0}
    swag = {"ctx": "The sand", "endings": ["runs down", "sings"], "label": 1, "ind": 7}
    put("choices", "plain.jsonl", 2 * (json.dumps(plain) + "\n"))
    put("choices", "hellaswag.jsonl", json.dumps(swag) + "\n")
    question = [65535, 0, 0, 1, 2, 2, 5, 6, 1, 7, 2, 8, 9]
    question[1] = 2 * len(question)
    header = [20240522, 1, 1, question[1]] + [0] * 252
    put("choices", "llm_c", struct.pack("<256i13H", *header, *question))


def vocabularies():
    pairs = [b"th", b"the", b" w", b" wo", b"ll", b"  "]
    ranks = [bytes([i]) for i in range(256)] + pairs
    lines = ["%s %d\n" % (base64.b64encode(token).decode(), i) for i, token in enumerate(ranks)]
    put("vocabulary", "ranks", "".join(lines))
    letters = [chr(i) for i in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + i) for i in range(256 - len(letters))]
    merges = ["t h", "th e", "l l", "\u0120 w"]
    words = letters + [merge.replace(" ", "") for merge in merges] + ["<|endoftext|>"]
    tree = {
        "added_tokens": [{"id": len(words) - 1, "content": "<|endoftext|>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {w: i for i, w in enumerate(words)}, "merges": merges},
    }
    put("vocabulary", "tokenizer.json", json.dumps(tree, ensure_ascii=False))


def main():
    shutil.rmtree(CORPUS, ignore_errors=True)
    corpus()
    for make in (configs, tokens, models, vocabularies, questions):
        make()


if __name__ == "__main__":
    main()
