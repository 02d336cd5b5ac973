#!/usr/bin/env python3
"""Tokens per second of ./generate, against `transformers` generate with its cache, in turn.

usage: scripts/bench_generate.py [--tokens=N] [--runs=N] [--threads=N] [--device=cpu|cuda]
           [--dtype=float32|bfloat16] [--programs=DIR] [--alone]
  GPT-2 124M with random weights, a prompt of 8 tokens, one sample, the likeliest token each time.
  Prints the rate of each run, the medians and their ratio. The time includes the prompt and
  excludes loading. --alone runs ./generate only and needs neither torch nor transformers.
"""

import argparse
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

START = "one two three four five six seven eight"
V, T, L, C = 50257, 1024, 12, 768


def shapes():
    """Names and shapes of GPT-2's tensors; linear weights are (K, N)."""
    yield from (("wte.weight", (V, C)), ("wpe.weight", (T, C)))
    for i in range(L):
        layer = "h.%d." % i
        for norm in ("ln_1", "ln_2"):
            yield from ((layer + norm + ".weight", (C, )), (layer + norm + ".bias", (C, )))
        for name, K, N in (("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C),
                           ("mlp.c_proj", 4 * C, C)):
            yield from ((layer + name + ".weight", (K, N)), (layer + name + ".bias", (N, )))
    yield from (("ln_f.weight", (C, )), ("ln_f.bias", (C, )))


def values(name, shape, rng):
    """Random weights, repeated: a rate does not depend on them."""
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    if len(shape) == 1:
        return struct.pack("<f", float(name.endswith("weight"))) * count
    block = struct.pack("<4099f", *(rng.gauss(0, 0.02) for _ in range(4099)))
    return (block * (count // 4099 + 1))[:4 * count]


def write_model(folder):
    """model.safetensors and config.json, as transformers writes them."""
    rng, header, offset = random.Random(1), {}, 0
    for name, shape in shapes():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header["transformer." + name] = {
            "dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]
        }
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with open(folder + "/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes():
            file.write(values(name, shape, rng))
    with open(folder + "/config.json", "w", encoding="utf-8") as file:
        json.dump({
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": L, "n_head": 12,
            "n_embd": C, "n_positions": T, "vocab_size": V,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5
        }, file)


def our_rate(options, run):
    command = [
        os.path.join(options.programs, "generate"), run, "--start=" + START, "--temperature=0",
        "--max-new-tokens=%d" % options.tokens, "--dtype=" + options.dtype
    ]
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    if options.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=True)
    found = re.search(r"(\d+) prompt tokens at (\S+) .*, (\d+) new ones at (\S+) tokens/s",
                      done.stderr)
    if int(found[3]) != options.tokens - 1:
        sys.exit("bench_generate: an end of text after %s tokens" % found[3])
    seconds = int(found[1]) / float(found[2]) + int(found[3]) / float(found[4])
    return options.tokens / seconds, done.stderr


def theirs(options, folder):
    """A function that returns the rate of transformers."""
    import torch  # pylint: disable=import-outside-toplevel
    import transformers  # pylint: disable=import-outside-toplevel
    torch.set_num_threads(options.threads)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder)
    model = model.to(options.device, getattr(torch, options.dtype)).eval()
    prompt = torch.tensor([list(range(100, 108))], device=options.device)
    print("torch %s, transformers %s" % (torch.__version__, transformers.__version__))

    def rate():
        start = time.monotonic()
        with torch.inference_mode():
            out = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                 max_new_tokens=options.tokens, min_new_tokens=options.tokens,
                                 use_cache=True, pad_token_id=0)
        assert out.shape[1] == 8 + options.tokens and out.cpu() is not None
        return options.tokens / (time.monotonic() - start)

    rate()
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--programs", default=".")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_model(folder)
        run = folder + "/run"
        subprocess.run([os.path.join(options.programs, "convert"), folder, run], check=True)
        their_rate = None if options.alone else theirs(options, folder)
        ours, others = [], []
        for _ in range(options.runs):
            rate, line = our_rate(options, run)
            ours.append(rate)
            if their_rate is not None:
                others.append(their_rate())
            print("ours %.1f%s tokens/s   (%s)" %
                  (ours[-1], "" if options.alone else ", transformers %.1f" % others[-1],
                   line.strip()))
        print("median: ours %.1f tokens/s" % statistics.median(ours))
        if others:
            ratios = [a / b for a, b in zip(ours, others)]
            print("        transformers %.1f tokens/s; median ratio %.2f" %
                  (statistics.median(others), statistics.median(ratios)))


if __name__ == "__main__":
    main()
