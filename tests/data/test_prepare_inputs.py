#!/usr/bin/env python3
"""./prepare on data as people have it: directories, lists, gzip, zstd, JSON lines, Parquet, Arrow,
separators; the split and the shuffle of documents; shards. (fast lane)

environment: PROGRAMS  the directory of ./prepare (the repository root)
             BUILD     the build folder; build/python may hold pyarrow
"""

import glob
import gzip
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from prepare_files import (ALL, PREPARE, Skip, check, content, documents, fails, main, run, tokens,
                           works, write, zstd)

sys.path.insert(0, os.path.abspath("build/python"))


def made(work, *arguments, **options):
    """The documents of the training file."""
    out = tempfile.mkdtemp(dir=work)
    works(*arguments, "--out=" + out, ALL, **options)
    return documents(out + "/train.h5")


def arrow():
    """The modules of pyarrow, if both the test and the build have it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise Skip("the package pyarrow is not in build/python")
    return pyarrow


def reads_tables(path, work):
    done = run(path, "--out=" + work + "/probed", "--field=text", ALL)
    if "which this build cannot read" in done.stderr:
        raise Skip("this build lacks Apache Arrow")


def directories_and_lists(work):
    for name in ("b/2.txt", "b/1.txt", "a.txt", "c/notes.md", ".hidden", "b/.git/x.txt", "e.txt"):
        write(work + "/d/" + name, "" if name == "e.txt" else name)
    check(made(work, work + "/d") == ["a.txt", "b/1.txt", "b/2.txt", "c/notes.md"], "not all")
    check(made(work, work + "/d/", "--include=*.txt") == ["a.txt", "b/1.txt", "b/2.txt"], "*.txt")
    check(made(work, work + "/d", "--include=b/*,*.md")[-1] == "c/notes.md", "patterns of paths")
    listed = write(work + "/list", "%s/d/c/notes.md\r\n\n%s/d/b\n" % (work, work))
    wanted = ["c/notes.md", "b/1.txt", "b/2.txt", "a.txt"]
    check(made(work, work + "/d/a.txt", "--files-from=" + listed) == wanted, "a list")
    check(made(work, "--files-from=" + listed) == wanted[:3], "a list alone")
    os.symlink("../a.txt", work + "/d/b/link.txt")
    check(made(work, work + "/d/b")[2] == "a.txt", "a link")


def compressed_text_is_the_same(work):
    text = "".join("line %d of the text\n" % i for i in range(30000)).encode()
    plain = write(work + "/a.txt", text)
    packed = write(work + "/a.gz", gzip.compress(text[:100]) + gzip.compress(text[100:]) + bytes(9))
    works(plain, "--out=" + work + "/plain")
    paths = [packed]
    if shutil.which("zstd"):
        paths.append(zstd(write(work + "/b", text)))
    for path in paths:
        works(path, "--out=" + work + "/packed")
        with open(path, "rb") as file:
            works("-", "--out=" + work + "/stdin", stdin=file)
        for name in ("/train.h5", "/val.h5"):
            whole = content(work + "/plain" + name)
            check(whole == content(work + "/packed" + name), path + name)
            check(whole == content(work + "/stdin" + name), "stdin" + name)


def separators_cut_documents(work):
    stories = ["story %d %s" % (i, "word " * (i % 7)) for i in range(50000)]
    text = "\n<|endoftext|>\n".join(stories) + "\n<|endoftext|>\n"
    path = write(work + "/a.txt", text)
    separator = "--separator=\\n<|endoftext|>\\n"
    check(made(work, path, separator) == stories, "the documents are not the stories")
    with open(path, "rb") as file:
        check(made(work, "-", separator, stdin=file) == stories, "not from a pipe")
    fails(64, "'\\x' is none of", path, "--out=" + work + "/o", "--separator=\\x")


def json_lines(work):
    texts = ["one", "two\nlines", "\u00c9t\u00e9 \u65e5 \U0001f600", "", "five"]
    lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(texts)]
    lines.insert(2, json.dumps({"text": None}))
    wanted = [text for text in texts if text]
    path = write(work + "/a.jsonl", "\ufeff" + "\r\n".join(lines) + "\n\n")
    check(made(work, path, "--field=text") == wanted, "the texts")
    write(work + "/d/x.jsonl.gz", gzip.compress("\n".join(lines).encode()))
    write(work + "/d/x.txt", "not this one")
    check(made(work, work + "/d", "--field=text") == wanted, "the texts of a directory")
    long = "word " * 1000000
    path = write(work + "/long.jsonl", json.dumps({"text": long}) + "\n" + lines[0])
    check(made(work, path, "--field=text") == [long, "one"], "a line of 5 MB")


def tables(work):
    arrow_ = arrow()
    texts = ["one", "two\nlines", "\u65e5", None, "", "five"] * 700
    wanted = [text for text in texts if text]
    for column in (arrow_.array(texts), arrow_.array(texts, arrow_.large_string()),
                   arrow_.array(texts).dictionary_encode()):
        table = arrow_.table({"nested": [{"a": 1, "b": 2}] * len(texts), "text": column})
        arrow_.parquet.write_table(table, work + "/a.parquet", row_group_size=500)
        with arrow_.ipc.new_stream(work + "/b.arrow", table.schema) as file:
            file.write_table(table)
        with arrow_.ipc.new_file(work + "/c.arrow", table.schema) as file:
            file.write_table(table)
        reads_tables(work + "/a.parquet", work)
        for name in ("a.parquet", "b.arrow", "c.arrow"):
            check(made(work, work + "/" + name, "--field=text") == wanted, name)
    for compression in ("snappy", "zstd", "gzip", "none"):
        arrow_.parquet.write_table(table, work + "/a.parquet", compression=compression)
        check(made(work, work + "/a.parquet", "--field=text") == wanted, compression)
    out = "--out=" + work + "/o"
    path = work + "/a.parquet"
    fails(65, "a.parquet: no column 'txt'; --field can be one of: text", path, "--field=txt", out)
    fails(65, "a.parquet: the column 'nested' is struct", path, "--field=nested", out)
    fails(65, "a Parquet file; name the column that holds the text, as --field=text", path, out)
    table = content(path)
    fails(65, "short.parquet: damaged or truncated", write(work + "/short.parquet", table[:2000]),
          "--field=text", out)
    with open(path, "rb") as file:
        fails(65, "standard input: a Parquet file can be read from an uncompressed file only", "-",
              "--field=text", out, stdin=file)
    arrow_.parquet.write_table(arrow_.table({"n": [1, 2]}), work + "/n.parquet")
    fails(65, "it has no column of text", work + "/n.parquet", "--field=text", out)


def a_lost_library_is_named_where_it_is_needed(work):
    """The module does not load; text is read all the same, by a program in another folder."""
    program = shutil.copy(PREPARE, work + "/prepare")
    path, out = write(work + "/a.parquet", b"PAR1" + bytes(60)), "--out=" + work + "/out"
    for module, reason in ((None, "which this build cannot read; run python3 -m pip"),
                           (b"\x7fELF", "whose library does not load: ")):
        if module:
            write(work + "/table_arrow.so", module)
        done = subprocess.run([program, path, "--field=text", out], capture_output=True, timeout=60)
        said = done.stderr.decode()
        check(done.returncode == 65 and reason in said and said.count("\n") == 1, said)
    text = write(work + "/a.txt", "some text\n" * 20)
    done = subprocess.run([program, text, out, ALL], capture_output=True, timeout=60)
    check(done.returncode == 0, done.stderr.decode())


def the_split_takes_documents_by_the_seed(work):
    texts = ["document %d" % i for i in range(1000)]
    path = write(work + "/a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    vals = []
    for seed in ("1", "2", "1"):
        line = works(path, "--out=" + work + "/out", "--field=text", "--seed=" + seed)
        train, val = documents(work + "/out/train.h5"), documents(work + "/out/val.h5")
        check(sorted(train + val) == sorted(texts), "a document is missing or twice")
        check(len(val) == 100 and "of 900 + 100 documents, " in line, line)
        check(train == [text for text in texts if text not in val], "the order changed")
        for part in range(10):
            inside = [text for text in val if text in texts[100 * part:100 * part + 100]]
            check(len(inside) == 10, "part %d has %d" % (part, len(inside)))
        vals.append(val)
    check(vals[0] == vals[2] != vals[1], "the seed does not choose")
    fails(65, "a.jsonl: 3 documents are too few to reserve 0.01 of them",
          write(work + "/b/a.jsonl", "".join('{"text": "%d"}\n' % i for i in range(3))),
          "--out=" + work + "/few", "--field=text", "--val-fraction=0.01")


def the_shuffle_is_of_the_whole_set(work):
    texts = ["document %d %s" % (i, "x" * random.Random(i).randrange(300)) for i in range(5000)]
    texts[7] = "long " * 800000
    path = write(work + "/a.txt", "\n--\n".join(texts))
    options = [path, "--separator=\\n--\\n", "--shuffle", "--val-fraction=0.02"]
    works(*options, "--out=" + work + "/one")
    works(*options, "--out=" + work + "/two")
    works(*options, "--out=" + work + "/other", "--seed=2")
    train = documents(work + "/one/train.h5")
    check(sorted(train + documents(work + "/one/val.h5")) == sorted(texts), "not the same texts")
    one = content(work + "/one/train.h5")
    check(one == content(work + "/two/train.h5"), "not repeatable")
    check(one != content(work + "/other/train.h5"), "the seed is ignored")
    number = [int(text.split()[1]) for text in train if text.startswith("document")]
    mean = [sum(number[i:i + 500]) / 500 for i in range(0, 4500, 500)]
    check(all(2000 < value < 3000 for value in mean), "means of the tenths: %s" % mean)
    check(sorted(os.listdir(work + "/one")) == ["train.h5", "val.h5"], "leftovers")


def shards_follow_each_other(work):
    text = "".join("line %d\n" % i for i in range(2000))
    path = write(work + "/a.txt", text)
    for form in ("h5", "bin", "llmc"):
        out = work + "/" + form
        line = works(path, "--out=" + out, ALL, "--format=" + form, "--shard-tokens=5000")
        paths = sorted(glob.glob(out + "/train_*"))
        check("data: {train: %s/train_*.%s}" % (out, "h5" if form == "h5" else "bin") in line, line)
        check([len(tokens(path)) for path in paths[:-1]] == [5000] * (len(paths) - 1), "sizes")
        check(documents(*paths) == [text], form)
        check(paths[0].endswith("train_000000." + ("h5" if form == "h5" else "bin")), paths[0])
    header = struct.unpack("<256i", content(work + "/llmc/train_000000.bin")[:1024])
    check(header == (20240520, 1, 5000) + (0, ) * 253, "llm.c's header is %s" % (header[:4], ))
    fails(65, ".h5: already exists, and does not belong to the new files", path,
          "--out=" + work + "/h5", ALL, "--shard-tokens=10000")
    fails(64, "more than 400 shards; set a larger --shard-tokens", path, "--out=" + work + "/many",
          "--shard-tokens=10")
    check(not os.path.exists(work + "/many"), "leftovers")


def ten_thousand_files(work):
    for i in range(10000):
        write("%s/d/%02d/%04d.txt" % (work, i % 100, i), "file %d\n" % i)
    line = works(work + "/d", "--out=" + work + "/out", "--val-fraction=0.01")
    check(" of 9900 + 100 documents, " in line, line)
    check(len(documents(work + "/out/train.h5")) == 9900, "not all files")


STORIES = "story one\n<|endoftext|>\nstory two\n<|endoftext|>\n"


RECORDS = "".join('{"id": %d, "body": "words %d", "text": "words %d"}\n' % (i, i, i)
                  for i in range(2000))


def page_files(folder):
    """Small files of the form of each dataset on the page."""
    write(folder + "/book.txt", "a line of a book\n" * 99)
    for i in range(20):
        write("%s/notes/%d.md" % (folder, i), "note %d" % i)
    write(folder + "/dump.jsonl.gz", gzip.compress(RECORDS.encode()))
    write(folder + "/TinyStoriesV2-GPT4-train.txt", STORIES * 200)
    arrow_ = arrow()
    texts = ["web page %d" % i for i in range(3000)]
    table = arrow_.table({"id": list(range(len(texts))), "text": texts})
    for name in ("fineweb/sample/10BT/000_00000", "openwebtext/plain_text/train/0000"):
        os.makedirs(os.path.dirname(folder + "/" + name))
        arrow_.parquet.write_table(table, folder + "/" + name + ".parquet")
    write(folder + "/mine/dataset_info.json", "{}")
    with arrow_.ipc.new_stream(folder + "/mine/data-00000-of-00001.arrow", table.schema) as file:
        file.write_table(table)
    reads_tables(folder + "/mine/data-00000-of-00001.arrow", folder)


def the_page_of_datasets_works(work):
    with open("docs/datasets.md", encoding="utf-8") as file:
        commands = [line for line in file.read().splitlines() if " --out=datasets/" in line]
    check(len(commands) == 7, "%d commands" % len(commands))
    page_files(work)
    env = dict(os.environ, HOURGLASS_VOCAB=os.environ.get("HOURGLASS_VOCAB",
                                                          os.path.abspath("build/vocab")))
    if not os.path.exists(env["HOURGLASS_VOCAB"]):
        raise Skip("GPT-2's vocabulary is not there")
    for command in commands:
        done = subprocess.run(["bash", "-c", command.replace("./prepare", PREPARE)], cwd=work,
                              capture_output=True, text=True, timeout=60, env=env)
        check(done.returncode == 0 and not done.stderr, "%s: %s" % (command, done.stderr))


def an_interrupt_cleans_up(work):
    reader, writer = os.pipe()
    child = subprocess.Popen([PREPARE, "-", "--out=" + work + "/new/out", "--split=documents", ALL],
                             stdin=reader, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    os.close(reader)
    os.write(writer, b"text " * 10000)
    while not glob.glob(work + "/new/out/.train.h5.*"):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    os.write(writer, b"text " * 10000)
    os.close(writer)
    said = child.communicate(timeout=60)[1]
    check(child.returncode == -signal.SIGINT, "exit code %s" % child.returncode)
    check(said == b"prepare: error: interrupted by Interrupt; nothing was written\n", "%r" % said)
    check(not os.path.exists(work + "/new"), "leftovers")


def an_interrupt_ends_a_wait_for_text(work):
    """For a writer, for more bytes before the documents begin, and in a long first reading."""
    fifo, zeros = work + "/fifo", work + "/zeros.gz"
    os.mkfifo(fifo)
    reader, writer = os.pipe()
    os.write(writer, b"text " * 10000)
    with gzip.open(zeros, "wb", compresslevel=1) as file:
        for _ in range(400):
            file.write(b"text\n" * 200000)
    for source, number in ((fifo, signal.SIGTERM), ("-", signal.SIGINT), (zeros, signal.SIGTERM)):
        child = subprocess.Popen([PREPARE, source, "--out=" + work + "/new/out"], stdin=reader,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        while not os.path.exists(work + "/new/out"):
            time.sleep(0.01)
        time.sleep(0.1)
        began = time.monotonic()
        child.send_signal(number)
        said = child.communicate(timeout=60)[1].decode()
        check(child.returncode == -number, "%s: exit code %s" % (source, child.returncode))
        check(said == "prepare: error: interrupted by %s; nothing was written\n" %
              signal.strsignal(number), "%s: %r" % (source, said))
        check(time.monotonic() - began < 5, "%s: it took long" % source)
        check(not os.path.exists(work + "/new"), "leftovers")


if __name__ == "__main__":
    main(directories_and_lists, compressed_text_is_the_same, separators_cut_documents, json_lines,
         tables, a_lost_library_is_named_where_it_is_needed, the_split_takes_documents_by_the_seed,
         the_shuffle_is_of_the_whole_set, shards_follow_each_other, ten_thousand_files,
         the_page_of_datasets_works, an_interrupt_cleans_up,
         an_interrupt_ends_a_wait_for_text)
