#!/usr/bin/env python3
"""Sends the records of a run to MLflow while it goes on.

usage: examples/follow_mlflow.py RUN [EXPERIMENT]  MLFLOW_TRACKING_URI says where to
needs: pip install mlflow; ends when the run's summary.json says how it ended."""

import json
import os
import sys
import time

import mlflow

run = sys.argv[1]
mlflow.set_experiment(sys.argv[2] if len(sys.argv) > 2 else "hourglass")
with mlflow.start_run(run_name=os.path.basename(run.rstrip("/"))), \
        open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
    mlflow.log_artifact(os.path.join(run, "config.yaml"))
    rest, status = "", "running"
    while True:
        lines = (rest + file.read()).split("\n")
        rest = lines.pop()  # a line that is still being written
        for record in map(json.loads, lines):
            mlflow.log_metrics({key: value for key, value in record.items() if value is not None},
                               step=record["step"])
        if status != "running":
            break
        time.sleep(2)
        with open(os.path.join(run, "summary.json"), encoding="utf-8") as summary:
            status = json.load(summary)["status"]
