#!/usr/bin/env python3
"""Sends the records of a run to Weights & Biases while it goes on.

usage: examples/follow_wandb.py RUN [PROJECT]      WANDB_MODE=offline keeps them in ./wandb
needs: pip install wandb; ends when the run's summary.json says how it ended."""

import json
import os
import sys
import time

import wandb

run = sys.argv[1]
project = sys.argv[2] if len(sys.argv) > 2 else "hourglass"
wandb.init(project=project, name=os.path.basename(run.rstrip("/")))
wandb.save(os.path.join(run, "config.yaml"), policy="now")
with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
    rest, status = "", "running"
    while True:
        lines = (rest + file.read()).split("\n")
        rest = lines.pop()  # a line that is still being written
        for record in map(json.loads, lines):
            wandb.log(record, step=record.pop("step"))
        if status != "running":
            break
        time.sleep(2)
        with open(os.path.join(run, "summary.json"), encoding="utf-8") as summary:
            status = json.load(summary)["status"]
wandb.finish()
