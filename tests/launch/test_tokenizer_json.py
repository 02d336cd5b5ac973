#!/usr/bin/env python3
"""A tokenizer.json from text to text: ./prepare, ./train, ./evaluate and ./generate."""

import json
import math
import os
import struct
import subprocess

from e2e import (ENVIRONMENT, LIMIT, PROGRAMS, WORK, check, config, content, equal, main, run,
                 run_directory, text, train, write)

TEXT = text(30000)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("o", "f"), ("Ġ", "of"), ("a", "n"), ("an", "d")]
END_OF_TEXT, LAST = 263, 270


def letters():
    printable = [*range(33, 127), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable},
            **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def tokenizer(pattern=LLAMA3):
    """The bytes, the merges, an end of text by Llama 3's name, and unused ids up to LAST."""
    words = [letters()[byte] for byte in range(256)] + [a + b for a, b in MERGES]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True}
    tree = {
        "added_tokens": [{"id": END_OF_TEXT, "content": "<|end_of_text|>", **added},
                         {"id": LAST, "content": "<|eot_id|>", **added}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
             "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
        "model": {"type": "BPE", "ignore_merges": True, "merges": [list(pair) for pair in MERGES],
                  "vocab": {word: i for i, word in enumerate(words)}},
    }
    path = os.path.join(WORK, "tokenizer.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(tree, file)
    return path


def prepared():
    folder, source = os.path.join(WORK, "prepared"), os.path.join(WORK, "source.txt")
    if not os.path.exists(folder):
        with open(source, "w", encoding="utf-8") as file:
            file.write(TEXT)
        done = run("prepare", source, "--out=" + folder, "--tokenizer=" + tokenizer())
        equal(done.code, 0, repr(done))
        check("vocab_size: %d" % (LAST + 1) in done.out, done.out)
    return folder


def trained():
    directory = run_directory("source")
    if not os.path.exists(directory):
        folder = prepared()
        train(config("source", data__train=folder + "/train.h5", data__val=folder + "/val.h5"))
    return directory


def bits_a_byte():
    done = run("evaluate", trained(), "--tokens=all", "--json")
    equal(done.code, 0, repr(done))
    found = json.loads(done.out)
    val = TEXT[-len(TEXT) // 10:]
    val_bytes = len(TEXT) - len(TEXT[:-len(val)].rpartition("\n")[0]) - 1
    first = 4 if TEXT[-val_bytes:].startswith("the ") else 1  # its token has no target
    wanted = found["loss"] * found["tokens"] / math.log(2) / found["bpb"]
    check(abs(wanted - val_bytes) <= first + 3, "%r bytes of %d" % (wanted, val_bytes))
    check(found["tokens"] < 0.95 * val_bytes, "no merges: %r" % found)


def a_start_has_special_tokens_on_request():
    plain = run("generate", trained(), "--start=the<|eot_id|>", "--max-new-tokens=8")
    special = run("generate", trained(), "--start=the<|eot_id|>", "--max-new-tokens=8",
                  "--special-tokens")
    for done in (plain, special):
        equal(done.code, 0, repr(done))
        check(done.out.startswith("the<|eot_id|>"), done.out)
    check(plain.out != special.out, "the start has the same tokens")


def a_relative_path_holds_in_any_directory():
    """The path is stored as an absolute one, and after it may stand the name of an encoding."""
    source = write(WORK + "/relative/text.txt", TEXT)
    write(WORK + "/relative/tokenizer.json", content(tokenizer()))
    for which in ("./tokenizer.json", "../relative"):
        done = subprocess.run(
            [os.path.abspath(os.path.join(PROGRAMS, "prepare")), source, "--out=made",
             "--tokenizer=" + which], cwd=WORK + "/relative", env=ENVIRONMENT, capture_output=True,
            text=True, timeout=LIMIT, check=False)
        equal(done.returncode, 0, repr(done))
        name = os.path.realpath(WORK + "/relative") + which[1:].replace("./relative", "")
        check(name.encode() + b"\0" in content(WORK + "/relative/made/train.h5"), name)
    made = WORK + "/relative/made"
    train(config("relative", data__train=made + "/train.h5", data__val=made + "/val.h5"))
    done = run("evaluate", run_directory("relative"), "--json")
    check(done.code == 0 and json.loads(done.out)["bpb"] is not None, repr(done))
    equal(run("generate", run_directory("relative"), "--max-new-tokens=1").code, 0)


def a_changed_file_is_refused():
    trained()
    tokenizer(LLAMA3.replace("{1,3}", "{1,2}"))
    done = run("generate", trained())
    equal(done.code, 65, repr(done))
    check("tokenizer.json has changed since" in done.err, done.err)
    done = run("evaluate", trained())
    equal(done.code, 0, repr(done))
    check("no bits/byte: " in done.err and "tokenizer.json has changed since" in done.err, done.err)
    other = os.path.join(WORK, "other")
    done = run("prepare", os.path.join(WORK, "source.txt"), "--out=" + other,
               "--tokenizer=" + os.path.join(WORK, "tokenizer.json"))
    equal(done.code, 0, repr(done))
    done = run("evaluate", trained(), other + "/val.h5")
    check(done.code == 65 and "made with the tokenizer" in done.err, repr(done))
    questions = os.path.join(WORK, "questions.jsonl")
    with open(questions, "w", encoding="utf-8") as file:
        file.write('{"context": "the", "choices": [" sand", " glass"], "answer": 0}\n')
    done = run("evaluate", trained(), questions)
    equal(done.code, 65, repr(done))
    check("tokenizer.json has changed since" in done.err, done.err)
    tokens = os.path.join(WORK, "questions.bin")
    with open(tokens, "wb") as file:
        file.write(struct.pack("<256i", 20240522, 1, 1, 22, *(0, ) * 252))
        file.write(struct.pack("<11H", 65535, 22, 0, 0, 2, 1, 7, 1, 8, 1, 9))
    equal(run("evaluate", trained(), tokens).code, 0, "questions in tokens need no tokenizer")
    tokenizer()
    equal(run("evaluate", trained(), questions).code, 0, "the file is restored")
    equal(run("generate", trained(), "--max-new-tokens=1").code, 0, "the file is restored")


if __name__ == "__main__":
    main(bits_a_byte, a_start_has_special_tokens_on_request,
         a_relative_path_holds_in_any_directory, a_changed_file_is_refused)
