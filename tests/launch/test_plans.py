#!/usr/bin/env python3
"""Plans for a GPU do not depend on the build: with CUDA or without, --plan prints the committed
text of tests/launch/plans/NAME.txt. In the fast lane.

UPDATE_PLANS=1 writes the files anew, for a change of plans or predictions that is meant."""

import difflib
import os

from e2e import check, config, equal, main, run

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plans")
GPT2 = dict(device="cuda", model={"preset": "gpt2"}, data__train="nowhere.h5", data__val=None,
            memory_budget="90%")
BACKENDS = ["flash", "mem_efficient", "math", "baseline"]


def plan(name, *arguments, **changes):
    """Compares the plan of a config, without warnings and the line that counts this process's own
    memory."""
    path = config(name, **{**GPT2, "attention": {"backends": BACKENDS}, **changes})
    done = run("train", path, "--plan", "--device-memory=80GiB", *arguments,
               CUDA_VISIBLE_DEVICES="-1")
    equal((done.code, done.err), (0, ""), "exit code and standard error")
    text = "".join(line for line in done.out.splitlines(True)
                   if not line.startswith(("base  ", "warning: ")))
    golden = os.path.join(FOLDER, name + ".txt")
    if os.environ.get("UPDATE_PLANS"):
        with open(golden, "w", encoding="utf-8") as file:
            file.write(text)
    with open(golden, encoding="utf-8") as file:
        wanted = file.read()
    check(text == wanted, "\n".join(
        difflib.unified_diff(wanted.splitlines(), text.splitlines(), golden, "now")))


def half():
    plan("bfloat16", training__dtype="bfloat16", data__batch_size="auto",
         attention={"backends": BACKENDS, "pick": "predicted"})


def single():
    plan("float32", training__dtype="float32", data__batch_size=8,
         model={"preset": "gpt2", "dropout": 0.1})


def tf32_on_ranks():
    plan("tf32_ranks", "--ranks=4", training__dtype="tf32", data__batch_size=8,
         training__recompute="gelu", training__shard_optimizer=True,
         attention={"backends": ["math", "mem_efficient"], "document_mask": True})


def many_hosts():
    plan("hosts", "--ranks=64", "--hosts=8", "--network=3.2Tb/s", training__dtype="bfloat16",
         data__batch_size=12, training__shard_optimizer=True)


if __name__ == "__main__":
    main(half, single, tf32_on_ranks, many_hosts)
