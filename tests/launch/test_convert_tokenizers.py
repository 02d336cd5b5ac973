#!/usr/bin/env python3
"""./convert passes on the tokenizer that the run names, and no other."""

import base64
import json
import os
import shutil
import subprocess

import e2e
from e2e import WORK, check, config, content, equal, run, run_directory, train, write
from model_files import convert, path
from test_tokenizer_json import MERGES, TEXT, letters, tokenizer

WORDS = [letters()[byte] for byte in range(256)] + [a + b for a, b in MERGES]


def vocabulary(folder, form):
    """Writes a vocabulary and returns the path that names it. All forms have the same tokens."""
    folder = os.path.join(WORK, "vocabularies", folder)
    if form == "json":
        return write(folder + "/own.json", content(tokenizer()))
    if form == "ranks":
        byte_of = {letter: byte for byte, letter in letters().items()}
        words = [bytes(byte_of[letter] for letter in word) for word in WORDS]
        return write(folder + "/own.tiktoken", "".join(
            "%s %d\n" % (base64.b64encode(word).decode(), i) for i, word in enumerate(words)))
    tokens, merges = form.split()
    write(folder + "/" + merges, "#version: 0.2\n" + "".join("%s %s\n" % pair for pair in MERGES))
    return write(folder + "/" + tokens,
                 json.dumps({word: i for i, word in enumerate(WORDS + ["<|endoftext|>"])}))


def trained(name, which):
    """A run on data of a tokenizer."""
    folder, source = os.path.join(WORK, "data_" + name), write(WORK + "/text.txt", TEXT)
    done = run("prepare", source, "--out=" + folder, "--tokenizer=" + which)
    equal(done.code, 0, repr(done))
    train(config(name, data__train=folder + "/train.h5", data__val=folder + "/val.h5",
                 checkpoint__interval=0))
    return run_directory(name)


def exported(name, source):
    """What ./convert says, and the files of tokenizers that it writes."""
    done = convert(source, path(name), "--format=hugging-face")
    return done, sorted(
        set(os.listdir(path(name))) - {"config.json", "generation_config.json",
                                       "model.safetensors"})


def said(source):
    done = run("generate", source, "--start=the", "--temperature=0", "--max-new-tokens=8")
    equal(done.code, 0, repr(done))
    return done.out


def a_file_of_any_name_is_copied():
    which = vocabulary("json", "json")
    write(os.path.dirname(which) + "/tokenizer.json", "{}")
    source = trained("of_json", which)
    done, files = exported("from_json", source)
    equal((files, done.err), (["tokenizer.json"], ""))
    equal(content(path("from_json/tokenizer.json")), content(which))
    equal(said(path("from_json")), said(source))


def a_pair_is_copied_and_read():
    for name, form in (("pair", "encoder.json vocab.bpe"), ("theirs", "vocab.json merges.txt")):
        which = vocabulary(name, form)
        write(os.path.dirname(which) + "/special_tokens_map.json", "{}")
        source = trained("of_" + name, which)
        done, files = exported("from_" + name, source)
        beside = ["special_tokens_map.json"] if name == "theirs" else []
        equal((files, done.err), (["merges.txt", *beside, "vocab.json"], ""))
        equal(said(path("from_" + name)), said(source))


def companions_are_copied_to_the_byte():
    """SentencePiece's file is binary."""
    which = write(WORK + "/vocabularies/model/tokenizer.json", content(tokenizer()))
    write(os.path.dirname(which) + "/tokenizer.model", b"\n\0\1\r\n\xff")
    done, files = exported("from_model", trained("of_model", which))
    equal((files, done.err), (["tokenizer.json", "tokenizer.model"], ""))
    with open(path("from_model/tokenizer.model"), "rb") as file:
        equal(file.read(), b"\n\0\1\r\n\xff")


def what_is_in_no_file_of_theirs_is_said():
    """A rank file, one whose pattern is named, one that has changed, and one that is gone."""
    ranks, pair = vocabulary("ranks", "ranks"), vocabulary("named", "vocab.json merges.txt")
    write(os.path.dirname(ranks) + "/tokenizer.json", content(tokenizer()))
    sources = [trained("of_ranks", ranks), trained("of_named", pair + ":llama3")]
    gone, changed = vocabulary("gone", "json"), vocabulary("changed", "json")
    sources += [trained("of_gone", gone), trained("of_changed", changed)]
    os.remove(gone)
    shutil.copy(tokenizer("a|b"), changed)
    tokenizer()
    for number, (source, why) in enumerate(
            zip(sources, ("own.tiktoken: is a rank file", "vocab.json: its pattern, llama3, is in",
                          "own.json: cannot open", "own.json has changed since"))):
        done, files = exported("none%d" % number, source)
        equal(files, [], why)
        check(done.err.count("\n") == 1 and ": written without a tokenizer: " in done.err and
              why in done.err, repr(done))


def files_of_the_current_directory_are_not_taken():
    data = write(WORK + "/nameless.bin", bytes(byte for i in range(400) for byte in (i % 7, 1)))
    train(config("nameless", data__train=data, data__val=None, model__vocab_size=300,
                 training__stop__steps=1))
    here = os.path.dirname(write(WORK + "/here/tokenizer.json", '{"bogus": 1}'))
    write(here + "/merges.txt", "x y")
    done = subprocess.run(
        [os.path.abspath(os.path.join(e2e.PROGRAMS, "convert")), run_directory("nameless"),
         path("of_nameless"), "--format=hugging-face"], cwd=here, env=e2e.ENVIRONMENT,
        capture_output=True, text=True, timeout=e2e.LIMIT, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    equal(sorted(os.listdir(path("of_nameless"))),
          ["config.json", "generation_config.json", "model.safetensors"])


def what_cannot_be_used_makes_the_tokenizer_unknown():
    """Although a model of 257 tokens without any tokenizer has that of bytes."""
    convert(e2e.trained(), path("of_bytes"), "--format=hugging-face")
    for name, text in (("tokenizer.json", '{"model": {"type": "Unigram", "vocab": []}}'),
                       ("vocab.json", "{}")):
        folder = path("unusable_" + name)
        shutil.copytree(path("of_bytes"), folder)
        os.remove(folder + "/tokenizer.json")
        said(folder)
        write(folder + "/" + name, text)
        write(folder + "/merges.txt", "")
        done = run("generate", folder)
        check(done.code == 65 and name + ": not used: " in done.err and
              "with an unknown tokenizer" in done.err, repr(done))


def another_tokenizer_in_the_target_is_refused():
    source = e2e.trained()  # of bytes
    write(path("target/tokenizer.json"), content(tokenizer()))
    done = convert(source, path("target/model.safetensors"), code=65)
    refusal = path("target/tokenizer.json: is there already, and not")
    check(len(done.errors()) == 1 and refusal in done.err, repr(done))
    equal(os.listdir(path("target")), ["tokenizer.json"])
    convert(source, path("again/model.safetensors"))
    before = content(path("again/tokenizer.json"))
    convert(source, path("again/other.safetensors"))
    equal(content(path("again/tokenizer.json")), before)


if __name__ == "__main__":
    e2e.main(a_file_of_any_name_is_copied, a_pair_is_copied_and_read,
             companions_are_copied_to_the_byte, what_is_in_no_file_of_theirs_is_said,
             files_of_the_current_directory_are_not_taken,
             what_cannot_be_used_makes_the_tokenizer_unknown,
             another_tokenizer_in_the_target_is_refused)
