#!/usr/bin/env python3
"""./prepare on what is no text: what each bad input is told, and what it says of unusual text.
(fast lane)

environment: PROGRAMS  the directory of ./prepare (the repository root)
"""

import gzip
import os
import random
import struct

from prepare_files import (ALL, Skip, check, content, documents, fails, main, run, tokens, works,
                           write, zstd)


def reads_zstd(work):
    """Whether this build does: it says so otherwise."""
    done = run(zstd(write(work + "/probe", "probe\n" * 20)), "--out=" + work + "/probed", ALL)
    if "which this build cannot read" in done.stderr:
        raise Skip("this build lacks libzstd")


BINARY = [
    ("a.xz", b"\xfd7zXZ\0" + bytes(99), "compressed with xz; decompress it first, with xz -d"),
    ("a.zip", b"PK\3\4" + bytes(99), "it is a zip archive or a PyTorch checkpoint; unpack it"),
    ("a.pdf", b"%PDF-1.7\n", "it is a PDF file; take the text out of it first, with pdftotext"),
    ("a.png", b"\x89PNG\r\n\x1a\n", "it is a PNG image; leave it out"),
    ("a.npy", b"\x93NUMPY\1\0", "it is a NumPy array"),
    ("a16.txt", "text".encode("utf-16"), "text in UTF-16; convert it first, with iconv -f UTF-16"),
    ("a.bin", struct.pack("<64H", *range(64)), "not text: byte 0 is zero"),
    ("nul", b"some text\0and more", "not text: byte 9 is zero; leave it out"),
    ("koi8", "\u0442\u0435\u043a\u0441\u0442 ".encode("koi8-r") * 9, "are not UTF-8; convert it"),
    ("llmc.bin", struct.pack("<256i", 20240520, 1, 0, *(0, ) * 253), "ready for data.train"),
    ("a.jsonl", '{"id": 7, "text": "words"}\n' * 3, "(fields of the first line: text)"),
    ("long.json", '{"text": "%s"}' % ("x" * 9000), "JSON lines, not plain text; name the field"),
    ("spaced.json", '{ "text": "%s"}' % ("x" * 9000), "JSON lines, not plain text"),
    ("marked.json", '\ufeff{"text": "words"}\n{"text": "more"}\n', "JSON lines, not plain text"),
    ("array.json", '[\n  {\n    "text": "words"\n  }\n]\n', "JSON lines, not plain text"),
    ("a.ndjson.gz", gzip.compress(b"words\n"), "JSON lines, not plain text"),
]


def what_is_no_text_is_refused(work):
    out = "--out=" + work + "/out"
    for name, data, message in BINARY:
        fails(65, name + ": ", write(work + "/d/" + name, data), out)
        fails(65, message, work + "/d/" + name, out)
    write(work + "/d/z.txt", "text\n")
    for text in ('{\n  "name": "of a program"\n}\n', "{ a block }\n", '{"words"} in\nlines\n',
                 "[{a: 1}]\n"):
        works(write(work + "/p/package.json", text), out, ALL)
    fails(65, "a.bin: not text", work + "/d", out)
    works(work + "/d/nul", out, "--input=text", ALL)
    check(documents(work + "/out/train.h5") == ["some text\0and more"], "not as it is")
    fails(65, "a.gz: truncated: its gzip data ends within a stream, after 4185",
          write(work + "/a.gz", gzip.compress(b"text " * 40000, 0)[:4200]), out)
    packed = bytearray(gzip.compress(b"text %d\n" % 7 * 9000))
    packed[60] ^= 255
    fails(65, "after 4096 bytes of text: damaged gzip data", write(work + "/b.gz", packed), out)
    fails(65, "c.gz: other bytes follow its gzip data, after 5 bytes",
          write(work + "/c.gz", gzip.compress(b"text\n") + b"more"), out)


def zstd_damage_is_refused(work):
    reads_zstd(work)
    whole = content(zstd(write(work + "/a", random.Random(1).randbytes(90000).hex())))
    out = "--out=" + work + "/out"
    fails(65, "t.zst: truncated: its zstd data ends within a stream, after ",
          write(work + "/t.zst", whole[:len(whole) // 2]), out)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    fails(65, "d.zst: after ", write(work + "/d.zst", damaged), out)


def bad_records_name_their_line(work):
    out, good = "--out=" + work + "/out", '{"text": "words"}\n'
    for lines, message in (
        (good + '{"txt": "words"}', "a:2: no field 'text'; --field can be one of: txt"),
        (good * 2 + '{"text": 7}', "a:3: the field 'text' is a number, not a string"),
        (good + '{"text": ["a"]}', "a:2: the field 'text' is a list, not a string"),
        (good + '{"text": "wo', "a:2: not a JSON object (premature end of input"),
        (good + good.strip() + good, "a:2: not a JSON object (end of file expected"),
        ("words\n", "a:1: not a JSON object ('['"),
        ('[{"text": "words"}]', "a:1: a JSON array, not JSON lines; convert it with jq -c '.[]'"),
        ('{\n"text": "words"\n}\n', "a:1: not a whole JSON object"),
        ('{"text": "\\ud800"}\n' + good, "'\"\\ud800\"'); correct or remove the line"),
        (good.encode() + b'{"text": "\xff"}', "a:2: not a JSON object (unable to decode byte 0xff"),
        ("\n\n", "a: no document has any text"),
        ('{"text": ""}\n{"text": null}', "a: no document has any text"),
    ):
        fails(65, message, write(work + "/a", lines), out, "--field=text")
    check(not os.path.exists(work + "/out"), "leftovers")
    fails(64, "--separator is for plain text", work + "/a", out, "--field=text", "--separator=x")
    fails(64, "--split=end cuts plain text", work + "/a", out, "--field=text", "--split=end")


def bad_directories(work):
    out = "--out=" + work + "/out"
    write(work + "/d/a.txt", "text")
    fails(65, "d: no file in this directory matches '*.md'; set --include", work + "/d", out,
          "--include=*.md")
    os.symlink(".", work + "/d/loop")
    fails(65, "d/loop: a symbolic link to a directory above it; remove it", work + "/d", out)
    os.remove(work + "/d/loop")
    os.symlink("self", work + "/d/self")
    fails(65, "d/self: a symbolic link that leads back to itself; remove it", work + "/d", out)
    os.remove(work + "/d/self")
    os.symlink("gone", work + "/d/b.txt")
    fails(65, "d/b.txt: no such file", work + "/d", out)
    os.remove(work + "/d/b.txt")
    write(work + "/d/a.txt", "")
    fails(65, "all files are empty", work + "/d", out)
    fails(65, "none: no such file", "--files-from=" + work + "/none", out)
    fails(65, "list: names no file", "--files-from=" + write(work + "/list", "\n\n"), out)


def unusual_text_is_noted(work):
    for data, note in (
        (b"caf\xe9 au lait\n", "a.txt: byte 3: is not UTF-8 and stays as it is; to convert"),
        (b"text \xe6\x97", "a.txt: byte 5: is not UTF-8"),
        (b"\xef\xbb\xbftext", "a.txt: byte 0: a byte order mark, which becomes tokens"),
        (b"one\r\ntwo\r\n", "a.txt: byte 3: a line that ends with CR LF"),
    ):
        works(write(work + "/a.txt", data), "--out=" + work + "/out", ALL, notes=note)
        check(bytes(tokens(work + "/out/train.h5")) == data, "the text changed")
    split = b"x" * ((1 << 20) - 1) + "\u65e5\r\n".encode()
    works(write(work + "/a.txt", split), "--out=" + work + "/out", ALL,
          notes="byte %d: a line that ends" % ((1 << 20) + 2))


if __name__ == "__main__":
    main(what_is_no_text_is_refused, zstd_damage_is_refused, bad_records_name_their_line,
         bad_directories, unusual_text_is_noted)
