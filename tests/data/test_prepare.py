#!/usr/bin/env python3
"""./prepare: exit codes, messages, the split, files written and files preserved, memory.
It runs alone, because it measures memory and speed.

environment: PROGRAMS       the directory of ./prepare (the repository root)
             PREPARE_MB     megabytes of text for the test of memory (50; use 1000 for the
                            documented case)
"""

import fcntl
import glob
import hashlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

from prepare_files import (END_OF_TEXT, PREPARE, SANITIZED, Skip, check, content, fails, main, run,
                           tokens, works, write)

MEGABYTES = int(os.environ.get("PREPARE_MB", "50"))
VERSE = ("In the beginning God created the heaven and the earth. "
         "\u00c9t\u00e9, 123 \u65e5\u672c's.\n")


def wrong_usage(work):
    text = write(work + "/a.txt", VERSE)
    fails(64, "INPUT... is missing", "--out=" + work + "/out")
    fails(64, "--out=DIR is missing", text)
    fails(64, "--tokeniser", text, "--out=" + work, "--tokeniser=byte")
    fails(64, "--format requires", text, "--out=" + work, "--format=json")
    fails(64, "--val-fraction", text, "--out=" + work, "--val-fraction=1.5")
    fails(64, "--val-fraction", text, "--out=" + work, "--val-fraction=-0.1")
    fails(64, "--val-fraction", text, "--out=" + work, "--val-fraction=lots")
    fails(64, "a.txt: not a directory", text, "--out=" + text)
    check(sorted(os.listdir(work)) == ["a.txt"], "something was written")
    check("--val-fraction" in works("--help"), "no help")


def bad_inputs(work):
    out = work + "/made/deep/out"
    text = write(work + "/a.txt", VERSE)
    empty = write(work + "/empty.txt", "")
    fails(65, "none.txt: no such file", text, work + "/none.txt", "--out=" + out)
    fails(65, "empty.txt: is empty", text, empty, "--out=" + out)
    fails(65, "standard input: is empty", "-", "--out=" + out)
    fails(65, "cannot open the vocabulary", text, "--out=" + out, "--tokenizer=" + work + "/none")
    fails(65, "no vocabulary in this directory", text, "--out=" + out, "--tokenizer=" + work)
    fails(65, "a.txt:1: the token is not base64; a line of a rank file", text, "--out=" + out,
          "--tokenizer=" + text)
    fails(65, "too little text to reserve 0.1 of it", write(work + "/b", "x"), "--out=" + out)
    fails(65, "cannot open the vocabulary", text, "--out=" + out, "--tokenizer=gpt2",
          env=dict(os.environ, HOURGLASS_VOCAB=work + "/none"))
    check(not os.path.exists(work + "/made"), "a failed run left a directory behind")


def no_permission(work):
    """Root may do everything, so it acts as nobody, with a copy of the program that nobody can
    reach."""
    os.chmod(work, 0o755)
    nobody = {"program": shutil.copy(PREPARE, work)}
    if os.geteuid() == 0:
        nobody["preexec_fn"] = lambda: os.setuid(65534)
    text, out = write(work + "/a.txt", VERSE), work + "/out"
    os.mkdir(out)
    os.chmod(out, 0o777)
    os.chmod(text, 0)
    fails(65, "a.txt: no permission to read it", text, "--out=" + out, **nobody)
    os.chmod(text, 0o644)
    os.chmod(out, 0o555)
    fails(1, "train.h5: cannot write: Permission denied", text, "--out=" + out, **nobody)


def the_split_is_at_a_line(work):
    text = (VERSE * 100).encode()
    line = works(write(work + "/a.txt", text), "--out=" + work + "/out")
    train, val = tokens(work + "/out/train.h5"), tokens(work + "/out/val.h5")
    check(bytes(train) + bytes(val) == text, "the bytes are not the text's")
    check(train[-1] == ord("\n"), "the split is not at a line")
    check(abs(len(val) - 0.1 * len(text)) <= len(VERSE.encode()), "the split is at %d" % len(val))
    check(
        re.fullmatch(
            r"%d train and %d val tokens \(byte\) of .* MB in .* s, .* MB/s, .* M tokens/s; "
            r"in the config: data: \{train: .*/train\.h5, val: .*/val\.h5\}, "
            r"model: \{vocab_size: 257\}\n" %
            (len(train), len(val)), line), "the last line is %r" % line)


def the_split_parts_no_character(work):
    for length in range(100, 108):
        text = ("\u65e5" * length).encode()
        works(write(work + "/a.txt", text), "--out=" + work + "/out", "--val-fraction=0.5",
              "--format=bin")
        train, val = tokens(work + "/out/train.bin"), tokens(work + "/out/val.bin")
        bytes(train).decode()
        check(bytes(train) + bytes(val) == text, "the bytes are not the text's")


def files_are_parted_by_end_of_text(work):
    first, second, third = "one\n" * 30, "two\n" * 30, "three\n" * 10
    paths = [write(work + "/%d" % i, text) for i, text in enumerate((first, second, third))]
    works(*paths, "--out=" + work + "/out", "--val-fraction=0.25", "--format=bin")
    wanted = list(first.encode()) + [END_OF_TEXT] + list(second.encode())
    train, val = tokens(work + "/out/train.bin"), tokens(work + "/out/val.bin")
    cut = len(train)
    check(train == wanted[:cut] and cut >= 210, "the training tokens are wrong")
    rest = wanted[cut:] + [END_OF_TEXT] if cut < len(wanted) else []
    check(val == rest + list(third.encode()), "the validation tokens are wrong")
    works(*paths, "--out=" + work + "/all", "--val-fraction=0", "--format=bin")
    check(
        tokens(work + "/all/train.bin") == wanted + [END_OF_TEXT] + list(third.encode()),
        "not all of it")
    check(os.listdir(work + "/all") == ["train.bin"], "more than train.bin")


def standard_input_is_read(work):
    text = (VERSE * 50).encode()
    works(write(work + "/a.txt", text), "--out=" + work + "/file")
    with open(work + "/a.txt", "rb") as file:
        works("-", "--out=" + work + "/stdin", stdin=file)
    cat = subprocess.Popen(["cat", work + "/a.txt"], stdout=subprocess.PIPE)
    works("-", "--out=" + work + "/pipe", stdin=cat.stdout)
    cat.stdout.close()
    cat.wait()
    for name in ("train.h5", "val.h5"):
        check(
            content(work + "/file/" + name) == content(work + "/stdin/" + name) ==
            content(work + "/pipe/" + name), name)
    check(sorted(os.listdir(work + "/pipe")) == ["train.h5", "val.h5"], "a copy was left behind")


def what_is_not_ours_is_left_alone(work):
    text, out = write(work + "/a.txt", VERSE * 20), work + "/out"
    os.mkdir(out)
    write(out + "/val.h5", "my notes on this, which I would like to keep")
    fails(65, "val.h5: already exists and is not a token file of this format", text, "--out=" + out)
    check(
        os.listdir(out) == ["val.h5"] and content(out + "/val.h5").startswith(b"my notes"),
        "it was touched")
    os.remove(out + "/val.h5")
    works(text, "--out=" + out)
    before = content(out + "/train.h5")
    works(text, "--out=" + out, "--val-fraction=0.5")
    check(content(out + "/train.h5") != before, "an older token file was not replaced")
    fails(65, "val.h5: already exists, and does not belong to the new train file", text,
          "--out=" + out, "--val-fraction=0")
    check(sorted(os.listdir(out)) == ["train.h5", "val.h5"], "leftovers: %s" % os.listdir(out))


def a_full_disk_leaves_the_old_files(work):
    text, out = write(work + "/a.txt", VERSE * 20000), work + "/out"
    works(write(work + "/b.txt", VERSE * 20), "--out=" + out)
    before = content(out + "/train.h5"), content(out + "/val.h5")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    fails(1, "train.h5: cannot write: File too large", text, "--out=" + out, preexec_fn=limit)
    check((content(out + "/train.h5"), content(out + "/val.h5")) == before, "the old files changed")
    check(sorted(os.listdir(out)) == ["train.h5", "val.h5"], "leftovers: %s" % os.listdir(out))


def names_of_others_are_left_alone(work):
    text, out = write(work + "/a.txt", VERSE * 100), work + "/out"
    os.mkdir(out)
    others = ["train.h5.part", "val.h5.part", "train.h5.new", ".train.h5", ".train.h5.tmp"]
    for name in others:
        write(out + "/" + name, "notes")
    works(text, "--out=" + out)
    for name in others:
        check(content(out + "/" + name) == b"notes", name + " is destroyed")
    check(
        sorted(os.listdir(out)) == sorted(others + ["train.h5", "val.h5"]),
        "leftovers: %s" % os.listdir(out))


def two_at_once_are_kept_apart(work):
    text, out = write(work + "/a.txt", VERSE * 100), work + "/out"
    child = subprocess.Popen([PREPARE, "-", "--out=" + out], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL)
    while not os.path.isdir(out):
        time.sleep(0.001)
    time.sleep(0.2)
    fails(65, "out: another ./prepare is writing there; wait for it", text, "--out=" + out)
    child.communicate((VERSE * 100).encode())
    check(child.returncode == 0 and sorted(os.listdir(out)) == ["train.h5", "val.h5"],
          "the first one failed")


def a_full_scratch_is_said_and_ends_well(work):
    """HDF5 writes its part of the file to memory; where that fails, it used to crash at the
    program's end."""
    text, out = write(work + "/a.txt", VERSE * 100), work + "/out"
    for limit in (1000, 2000, 4000):
        fails(1, "HDF5 cannot write the header of a token file there; free some space", text,
              "--out=" + out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                    (limit, limit)))
    check(not os.path.exists(out), "it left the directory")


def a_directory_that_cannot_be_made_says_why(work):
    """mkdir's reason, not that of the look which follows it."""
    os.chmod(work, 0o755)
    text, copy = write(work + "/a.txt", VERSE), shutil.copy(PREPARE, work + "/prepare")
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
            ] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        raise Skip("root may write everywhere, and there is no setpriv")
    os.chmod(work, 0o555)
    done = run(*drop[1:], *([copy] if drop else []), text, "--out=" + work + "/new/deep",
               program=drop[0] if drop else copy)
    check(done.returncode == 64, "exit code %d: %s" % (done.returncode, done.stderr))
    check("/new: cannot make this directory: Permission denied" in done.stderr, done.stderr)


def a_killed_run_leaves_no_final_name(work):
    text, out = write(work + "/a.txt", VERSE * 400000), work + "/out"
    for delay in (0.0, 0.01, 0.03, 0.06):
        child = subprocess.Popen([PREPARE, text, "--out=" + out], stdout=subprocess.DEVNULL)
        while not glob.glob(out + "/.val.h5.*.hourglass") and child.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        if child.wait() == 0:
            break
        names = set(os.listdir(out))
        check("train.h5" not in names and "val.h5" not in names or {"train.h5", "val.h5"} <= names,
              "half of %s" % names)
    works(text, "--out=" + out)
    check(sorted(os.listdir(out)) == ["train.h5", "val.h5"], "leftovers: %s" % os.listdir(out))


def fetched_vocabulary():
    done = subprocess.run(["timeout", "120", "scripts/fetch_gpt2_vocab.sh"], capture_output=True)
    if done.returncode != 0:
        raise Skip("GPT-2's vocabulary is not there and cannot be fetched")


def gpt2_tokens(work):
    fetched_vocabulary()
    text = write(work + "/a.txt", "Hello world\n" * 40)
    line = works(text, "--out=" + work + "/out", "--tokenizer=gpt2", "--format=bin",
                 "--val-fraction=0.5")
    check("(gpt2)" in line and "vocab_size: 50257" in line, line)
    check(tokens(work + "/out/val.bin") == [15496, 995, 198] * 20, "Hello world is 15496 995")
    works(write(text, "<|endoftext|>\n"), "--out=" + work + "/special", "--tokenizer=gpt2",
          "--format=bin", "--val-fraction=0")
    check(50256 not in tokens(work + "/special/train.bin"), "a special token was read from text")


def a_whole_book_equals_tiktoken(work):
    fetched_vocabulary()
    if shutil.which("bible") is None:
        raise Skip("the package bible-kjv is not installed")
    text = subprocess.run(["bible", "gen1:1-rev22:21"], capture_output=True, check=True).stdout
    with open("tests/golden/tokens_bible.json", encoding="ascii") as file:
        golden = json.load(file)
    if hashlib.sha256(text).hexdigest() != golden["text_sha256"]:
        raise Skip("another edition of the package bible-kjv")
    works(write(work + "/a.txt", text), "--out=" + work, "--tokenizer=gpt2", "--format=bin",
          "--val-fraction=0")
    made = content(work + "/train.bin")
    check(len(made) == 2 * golden["count"], "%d tokens" % (len(made) // 2))
    check(hashlib.sha256(made).hexdigest() == golden["tokens_sha256"], "the tokens differ")


def a_terminal_shows_progress(work):
    text = write(work + "/a.txt", VERSE * 100000)
    master, slave = pty.openpty()
    done = subprocess.run([PREPARE, text, "--out=" + work + "/out"], stdout=subprocess.PIPE,
                          stderr=slave, timeout=60)
    os.close(slave)
    shown = os.read(master, 1 << 16)
    os.close(master)
    check(done.returncode == 0, "exit code %d" % done.returncode)
    check(re.search(rb"\r *\d+\.\d% of 7\.\d MB, ", shown), "no progress: %r" % shown)
    check(shown.endswith(b"\r\x1b[K"), "the progress was not cleared: %r" % shown[-40:])
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    subprocess.run([PREPARE, text, "--out=" + work + "/out"], stdout=subprocess.PIPE, stderr=slave,
                   timeout=60, check=True)
    os.close(slave)
    shown = os.read(master, 1 << 16)
    os.close(master)
    check(max(len(part) for part in shown.split(b"\r")) == 19, "20 columns: %r" % shown)


def it_streams_and_is_fast(work):
    """Peak resident memory stays below 200 MB, and a core does at least 5 MB/s. The program runs
    below a Python of its own, whose children's peak is this program's."""
    if SANITIZED:
        raise Skip("sanitizers take memory and time of their own")
    fetched_vocabulary()
    with open(work + "/a.txt", "wb") as file:
        block = (VERSE * 14000).encode()
        for _ in range(max(1, MEGABYTES * 1000000 // len(block))):
            file.write(block)
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([
        sys.executable, "-c", script, PREPARE, work + "/a.txt", "--out=" + work + "/out",
        "--tokenizer=gpt2"
    ], capture_output=True, text=True, timeout=150)
    check(done.returncode == 0, done.stderr)
    check(int(done.stdout.split()[-1]) < 200 * 1000, "the peak is %s KB" % done.stdout.split()[-1])
    speed = float(re.search(r", ([\d.]+) MB/s", done.stdout).group(1))
    check(speed >= 5, "only %.1f MB/s" % speed)


if __name__ == "__main__":
    main(wrong_usage, bad_inputs, no_permission, the_split_is_at_a_line,
         the_split_parts_no_character, files_are_parted_by_end_of_text, standard_input_is_read,
         what_is_not_ours_is_left_alone, a_full_disk_leaves_the_old_files,
         names_of_others_are_left_alone, two_at_once_are_kept_apart,
         a_full_scratch_is_said_and_ends_well, a_directory_that_cannot_be_made_says_why,
         a_killed_run_leaves_no_final_name, gpt2_tokens, a_whole_book_equals_tiktoken,
         a_terminal_shows_progress, it_streams_and_is_fast)
