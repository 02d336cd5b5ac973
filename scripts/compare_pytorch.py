#!/usr/bin/env python3
"""Trains GPT-2 124M in PyTorch from the initial weights and on the batches of a run, and compares
the losses.

    scripts/compare_pytorch.py --initial=CHECKPOINT --run=RUN --tokens=TRAIN.h5 \
        --starts=FILE --out=CURVE.csv

--initial: a checkpoint that holds the weights before the first step (a run of one step with
optimizer.lr=0);
--starts: where each sample starts in the token file (build/tests/data/mpi_order). bf16 autocast,
AdamW, clipping, warm-up and cosine as in the run's config.yaml. Exits with 1 where the final losses
differ by more than 0.5%.
"""
import argparse
import csv
import json
import math
import re
import sys

import h5py
import numpy as np
import torch

import bench_pytorch as reference

NAMES = {
    "attn.c_attn": "c_attn", "attn.c_proj": "attn_proj", "mlp.c_fc": "c_fc",
    "mlp.c_proj": "mlp_proj"
}
N_TOKENS = 50257


def reference_name(name):
    """h.3.attn.c_proj.weight -> blocks.3.attn_proj.weight"""
    match = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
    if not match:
        return name
    layer, part, kind = match.groups()
    return "blocks.%s.%s.%s" % (layer, NAMES.get(part, part), kind)


def load_weights(model, path):
    with h5py.File(path, "r") as file:
        state = {reference_name(name[len("weights."):]): torch.from_numpy(file[name][...])
                 for name in file if name.startswith("weights.")}
    model.load_state_dict(state, strict=True)


def setting(config, key):
    """A number in the run's config.yaml, which has one key per line."""
    section, name = key.split(".")
    body = re.search(r"^%s:\n((?:  .*\n)+)" % section, config, re.M).group(1)
    return float(re.search(r"^  %s: (\S+)" % name, body, re.M).group(1))


def rate(step, lr, low, warmup, decay):
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    if step >= decay:
        return low
    return low + (lr - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (decay - warmup)))


def curve(options, config, steps):
    B, T = int(setting(config, "data.batch_size")), int(setting(config, "model.block_size"))
    lr, low = setting(config, "optimizer.lr"), setting(config, "lr_scheduler.min_lr")
    warmup, decay = setting(config, "lr_scheduler.warmup"), setting(config, "lr_scheduler.decay")
    with h5py.File(options.tokens, "r") as file:
        tokens = file["tokens"][...].astype(np.int64)
    starts = np.loadtxt(options.starts, dtype=np.int64)
    model = reference.Gpt().cuda()
    load_weights(model, options.initial)
    groups = [{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)
    losses = []
    for step in range(steps):
        batch = np.stack([tokens[s:s + T + 1] for s in starts[step * B:(step + 1) * B]])
        batch = torch.from_numpy(batch).cuda()
        for group in optimizer.param_groups:
            group["lr"] = rate(step, lr, low, warmup, decay)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(batch[:, :-1], batch[:, 1:], N_TOKENS)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser()
    for name in ("initial", "run", "tokens", "starts", "out"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    with open(options.run + "/config.yaml", encoding="utf-8") as file:
        config = file.read()
    with open(options.run + "/metrics.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    ours = [record["train/loss"] for record in records if "train/loss" in record]
    theirs = curve(options, config, len(ours))
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "hourglass", "pytorch"])
        writer.writerows(
            (i + 1, "%.6f" % a, "%.6f" % b) for i, (a, b) in enumerate(zip(ours, theirs)))
    last, first = slice(-10, None), abs(ours[0] - theirs[0]) / theirs[0]
    a, b = sum(ours[last]) / 10, sum(theirs[last]) / 10
    worst = max(abs(x - y) / y for x, y in zip(ours, theirs))
    print(
        "first loss %.5f, PyTorch %.5f (%.4f%%); mean of the last ten %.5f, PyTorch %.5f (%.3f%%); "
        "worst step %.3f%%"
        % (ours[0], theirs[0], 100 * first, a, b, 100 * abs(a - b) / b, 100 * worst))
    return int(abs(a - b) > 0.005 * b)


if __name__ == "__main__":
    sys.exit(main())
