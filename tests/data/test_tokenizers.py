#!/usr/bin/env python3
"""./prepare makes the tokens of the packages `tokenizers` and `tiktoken`, from tokenizer.json and
from rank files. Small vocabularies are trained here; scripts/install_packages.sh --tests installs
the packages in build/python.

environment: REAL_TOKENIZERS   also compares these tokenizer.json, with `:` between the paths
"""

import base64
import hashlib
import json
import os
import random
import struct
import sys
import unicodedata

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[1:1] = [os.path.join(ROOT, "tests", "launch"), os.path.join(ROOT, "build", "python")]

from e2e import WORK, Skip, check, equal, main, run  # noqa: E402

try:
    import tiktoken
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers
except ImportError as error:
    tokenizers, MISSING = None, error

DIGITS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3, QWEN = DIGITS % r"\p{N}{1,3}", DIGITS % r"\p{N}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++"
          r"[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + r"*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

TEXTS = [
    "In the beginning God created the heaven and the earth.\n",
    "I'm they're WE'VE he'll she'D 'S 's't o'clock \u017f'\u017f \u2019s",
    "for (int i = 0; i < n; i++) { a[i] += b->c * 2.5f; }  // note\n\t#define X_Y 1\n",
    "def f(x):\n    return x\n\n\n  \n   class HTTPServer2XX: pass  \n  ",
    "0 1 12 123 1234 12345 3.14159 1,000,000 1e-5 0x1F \u0663\u0664\u0665\u0666 \u2163 \u00bd",
    "a\tb\t\tc\n\nd\r\ne\r\n\r\n  f \n g\n \n", "   ", "\n", "\r\n \r\n", "end   ", "x\n  ",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u4e2d\u6587\u3002 \ud55c\uad6d\uc5b4",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u200f\u200e abc \u064e\u0650",
    "\U0001f600 \U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "e\u0301 a\u030a\u0323 Z\u0335\u0321 \u0928\u092e\u0938\u094d\u0924\u0947 <\u0338 =\u0338",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \u212b\u2126 \u0958 \uf900 \u0344 \u304b\u3099 "
    "\u0e01\u0e33",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u1680h \u180e \u200b \ufeff \x1c\x1d",
    "<|endoftext|> a<|im_start|>user\nhi<|im_end|>\n<think>x</think> <|im_end <|endoftext|>",
]
UNITS = [
    "a", "B", "  ", "\n", "'s", "'RE", "\u00a0", "\u3000", "\u00e9", "e\u0301", "\u0301", "\u0338",
    "\u65e5", "\u1112", "\u1161", "\u11ab", "\ud55c", "\u0663", "\u2163", "\r\n", "\t", "1", "2345",
    "...", "/", " the", "The", "ing", "<", "=", "<|im_end|>", "<think>", "\U0001f44d\U0001f3fd"
]


def texts():
    dice = random.Random(13)
    mixed = ["".join(dice.choice(UNITS) for _ in range(80)) for _ in range(150)]
    return TEXTS + [unicodedata.normalize("NFD", text) for text in TEXTS] + mixed


def packages():
    if tokenizers is None:
        raise Skip("%s; scripts/install_packages.sh --tests installs it" % MISSING)


def needs_nfc():
    packages()
    file = ranks_write("bytes.tiktoken", [bytes([byte]) for byte in range(256)])
    if "libutf8proc" in run("prepare", files()[0], "--out=" + path("nfc"),
                            "--tokenizer=%s:qwen2" % file).err:
        raise Skip("this build has no libutf8proc")


def path(name):
    return os.path.join(WORK, name)


def write(name, content):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(content)
    return path(name)


def files():
    """Each text as a file, so that one ./prepare encodes them all."""
    if not os.path.exists(path("texts")):
        for number, text in enumerate(texts()):
            write("texts/%04d" % number, text.encode())
    return sorted(os.path.join(path("texts"), name) for name in os.listdir(path("texts")))


def prepared(which, *options, inputs=None, code=0):
    out = path("out-" + hashlib.sha256(repr((which, options)).encode()).hexdigest()[:16])
    done = run("prepare", *(inputs or files()), "--out=" + out, "--tokenizer=" + which,
               "--val-fraction=0", *options)
    equal(done.code, code, "prepare --tokenizer=%s: %r" % (which, done))
    return done, out + "/train.h5"


def tokens(which, *options, inputs=None):
    """The tokens, and the size of the vocabulary as the last line of ./prepare has it."""
    done, made = prepared(which, *options, inputs=inputs)
    count, size = int(done.out.split()[0]), int(done.out.rsplit(": ", 1)[1].split("}")[0])
    width = "H" if size <= 65536 else "I"
    with open(made, "rb") as file:
        found = file.read()[-count * struct.calcsize(width):]
    return list(struct.unpack("<%d%s" % (count, width), found)), size


def joined(pieces, end_of_text):
    return [token for number, piece in enumerate(pieces)
            for token in [end_of_text] * (number > 0) + piece]


def same(got, wanted, text):
    if got != wanted:
        at = next(i for i, (a, b) in enumerate(zip(got + [-1], wanted + [-1])) if a != b)
        check(False, "%s: %d and %d tokens; from token %d: got %r, wanted %r" %
              (text, len(got), len(wanted), at, got[at:at + 9], wanted[at:at + 9]))


# ---- tokenizer.json ------------------------------------------------------------------------------

def split(pattern):
    return pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")


def steps(*before):
    return pre_tokenizers.Sequence(
        [*before, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(name, pre_tokenizer, normalizer=None, ignore_merges=False, added=()):
    """A byte-level BPE of 1000 tokens, trained on the texts, as NAME/tokenizer.json."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    made.pre_tokenizer = pre_tokenizer
    if normalizer:
        made.normalizer = normalizer
    made.train_from_iterator(
        texts() * 3,
        trainers.BpeTrainer(vocab_size=1000, show_progress=False, special_tokens=SPECIAL,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made.add_tokens(list(added))
    os.makedirs(path(name), exist_ok=True)
    made.save(path(name + "/tokenizer.json"))
    return path(name + "/tokenizer.json")


def compare(file):
    theirs = tokenizers.Tokenizer.from_file(file)
    end_of_text = theirs.token_to_id("<|endoftext|>")
    for reads_special in (False, True):
        theirs.encode_special_tokens = not reads_special
        wanted = [theirs.encode(text, add_special_tokens=False).ids for text in texts()]
        got, size = tokens(file, *["--special-tokens"] * reads_special)
        equal(size, theirs.get_vocab_size(), "vocabulary")
        same(got, joined(wanted, end_of_text), "%s, special tokens %s" % (file, reads_special))


def json_of_gpt2():
    packages()
    compare(trained("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False)))


def json_of_llama3():
    packages()
    compare(trained("llama3", steps(split(LLAMA3)), ignore_merges=True, added=["<think>"]))


def json_of_qwen():
    needs_nfc()
    compare(trained("qwen", steps(split(QWEN)), normalizers.NFC(), added=["<think>", "</think>"]))


def json_with_several_splits():
    packages()
    compare(trained("several", steps(pre_tokenizers.Digits(individual_digits=True), split(LLAMA3))))
    compare(trained("string", steps(pre_tokenizers.Split("th", "isolated"),
                                    pre_tokenizers.Digits())))
    compare(trained("none", steps()))


def json_of_real_models():
    packages()
    real = os.environ.get("REAL_TOKENIZERS", "")
    if not real:
        raise Skip("REAL_TOKENIZERS names no tokenizer.json")
    for file in real.split(":"):
        compare(file)


def merges_are_written_in_two_ways():
    packages()
    file = trained("pairs", steps(split(LLAMA3)))
    with open(file, encoding="utf-8") as text:
        tree = json.load(text)
    wanted, _ = tokens(file)
    tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
    got, _ = tokens(write("lines/tokenizer.json", json.dumps(tree).encode()))
    same(got, wanted, "merges as lines")


def a_directory_holds_tokenizer_json():
    packages()
    file = trained("directory", steps(split(LLAMA3)))
    write("directory/vocab.json", b"{}")
    write("directory/merges.txt", b"")
    wanted, _ = tokens(file)
    same(tokens(os.path.dirname(file))[0], wanted, "the directory")


# ---- rank files ----------------------------------------------------------------------------------

def ranks_of_small():
    """The tokens of a small vocabulary in the order of their ids."""
    with open(trained("ranks", steps(split(GPT2))), encoding="utf-8") as file:
        tree = json.load(file)
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    printable = [*range(33, 127), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable}
    byte_of.update({chr(256 + i): byte for i, byte in enumerate(others)})
    equal(set(byte_of), set(letters), "letters")
    words = sorted(tree["model"]["vocab"].items(), key=lambda item: item[1])
    return [bytes(byte_of[c] for c in word) for word, _ in words if word not in SPECIAL]


def ranks_write(name, ordered):
    return write(name, b"".join(base64.b64encode(token) + b" %d\n" % rank
                                for rank, token in enumerate(ordered)))


def ranks_compare(file, name, pattern, ordered, end_of_text, size, nfc=False):
    theirs = tiktoken.Encoding(name, pat_str=pattern, special_tokens={},
                               mergeable_ranks={token: i for i, token in enumerate(ordered)})
    form = (lambda text: unicodedata.normalize("NFC", text)) if nfc else str
    wanted = [theirs.encode_ordinary(form(text)) for text in texts()]
    got, found = tokens(file + ":" + name)
    equal(found, size, "vocabulary of " + name)
    same(got, joined(wanted, end_of_text), name)


def ranks_with_each_pattern():
    packages()
    ordered = ranks_of_small()
    file, n = ranks_write("small.tiktoken", ordered), len(ordered)
    for name, pattern in (("gpt2", GPT2), ("r50k_base", GPT2), ("p50k_base", GPT2),
                          ("cl100k_base", CL100K), ("o200k_base", O200K), ("llama3", LLAMA3)):
        ranks_compare(file, name, pattern, ordered, n, n + 1)
    same(tokens(file)[0], tokens(file + ":gpt2")[0], "without a name it is GPT-2's")


def ranks_of_qwen():
    needs_nfc()
    ordered = ranks_of_small()
    ranks_compare(ranks_write("small.tiktoken", ordered), "qwen2", QWEN, ordered, len(ordered),
                  len(ordered) + 1, nfc=True)


def large():
    """As many tokens as cl100k_base has, of one to three bytes."""
    pairs = [bytes([a, b]) for a in range(256) for b in range(256)]
    triples = [b"the"[:1] + pair for pair in pairs]
    return ([bytes([a]) for a in range(256)] + pairs + triples)[:100256]


def a_large_vocabulary_takes_32_bits():
    packages()
    file = ranks_write("large.tiktoken", large())
    ranks_compare(file, "cl100k_base", CL100K, large(), 100257, 100277)
    done, _ = prepared(file + ":cl100k_base", "--format=bin", code=64)
    check(
        "--format=bin stores uint16, too small for a vocabulary of 100277; use --format=h5"
        in done.err, done.err)


def special_tokens_of_rank_files():
    packages()
    file = ranks_write("large.tiktoken", large())
    text = write("special.txt", b"a<|fim_prefix|><|endofprompt|>b")
    got, _ = tokens(file + ":cl100k_base", "--special-tokens", inputs=[text])
    equal(got, [ord("a"), 100258, 100276, ord("b")], "tokens")


def the_wrong_encoding_is_refused():
    file = ranks_write("large.tiktoken", large())
    for name in ("", ":o200k_base", ":gpt2"):
        done, _ = prepared(file + name, code=65)
        check("100256 tokens are those of cl100k_base" in done.err, done.err)
    done, _ = prepared(file + ":latin", code=65)
    check("'latin' is not a known encoding; it must be gpt2, r50k_base" in done.err, done.err)
    done, _ = prepared(path("absent:llama3"), code=65)
    check("absent: cannot open the vocabulary" in done.err, done.err)


if __name__ == "__main__":
    main(json_of_gpt2, json_of_llama3, json_of_qwen, json_with_several_splits, json_of_real_models,
         merges_are_written_in_two_ways, a_directory_holds_tokenizer_json, ranks_with_each_pattern,
         ranks_of_qwen, a_large_vocabulary_takes_32_bits, special_tokens_of_rank_files,
         the_wrong_encoding_is_refused)
