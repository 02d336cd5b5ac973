#!/usr/bin/env python3
"""The report of studies that are unusual: half done, huge, hostile, none at all."""

import json
import os
import shutil

import e2e
from e2e import check, equal, within
from reports import charts, grid, oom, page, point, read, report, study, table, write


def nothing_escapes():
    directory = study("escapes")
    evil = "a'b\"c<script>&`touch pwned`\n|*_%s\\"
    points = [
        point(directory, "evil %d" % seed,
              {"attention.backends": [evil], "data.batch_size": 4, "seed": seed}) for seed in (1, 2)
    ]
    points[0]["message"] = "=1,\"2\"\n" + evil
    points[1]["name"] = evil
    injection = "'; system('touch pwned') #"
    points.append(
        point(directory, "other",
              {"attention.backends": [injection], "data.batch_size": 8, "seed": 1},
              device="<img src=x>"))
    write(directory, points, metric="val/loss")
    report(directory)
    check(not os.path.exists(directory + "/report/pwned"), "a shell ran")
    equal([row["name"] for row in table(directory, "points")], ["evil 1", evil, "other"],
          "names in CSV")
    equal(table(directory, "points")[0]["message"], points[0]["message"])
    parsed = page(directory)
    check("img" not in parsed.tags and "script" not in parsed.tags, "markup")
    check(injection in "".join(parsed.data), "the name as text")
    equal(len(read(directory, "summary.md").splitlines()), 4, "a row a line")
    if shutil.which("gnuplot"):
        charts(directory)


def half_done_studies():
    directory = study("partial")
    values = [{"attention.backends": ["flash"], "data.batch_size": batch, "seed": 1}
              for batch in (4, 8, 16, 32, 64, 128)]
    points = [point(directory, "p%d" % i, v) for i, v in enumerate(values[:3])]
    points[0]["state"] = "running"
    os.remove(directory + "/p0/summary.json")
    with open(directory + "/p0/metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 35, "train/loss": NaN}\n[1, 2]\n\n{"step": 40, "train/loss": 3.')
    points[1]["state"] = "failed"
    for name in ("summary.json", "plan.json", "config.yaml", "metrics.jsonl"):
        with open("%s/p1/%s" % (directory, name), "w", encoding="utf-8") as file:
            file.write("{\x01 not what it should be")
    points += [dict(oom("p3", values[3]), state="waiting", message=""), oom("p4", values[4])]
    points.append({
        "name": "p5", "directory": "x", "values": 7, "state": ["odd"], "attempts": "many",
        "message": None
    })
    write(directory, points)
    report(directory)
    rows = {row["name"]: row for row in table(directory, "points")}
    equal([rows["p0"][key] for key in ("state", "steps", "best_val_loss", "peak_bytes")],
          ["running", "30", "3.5", "1048576"])
    equal([rows["p1"][key] for key in ("state", "batch_size", "best_val_loss")],
          ["failed", "8", ""])
    equal([rows["p3"][key] for key in ("state", "batch_size", "tokens")], ["waiting", "32", ""])
    notes = {row["data.batch_size"]: row["note"] for row in table(directory, "summary")}
    equal([notes["4"], notes["16"], notes["64"]], ["0 of 1 done", "", "does not fit"])
    page(directory)
    if shutil.which("gnuplot"):
        charts(directory)


def a_long_runs_metrics_are_read():
    """80 MB of them: some 400 thousand steps that log each step."""
    directory = study("long")
    points = [point(directory, "p0", {"data.batch_size": 4})]
    with open(directory + "/p0/metrics.jsonl", "a", encoding="utf-8") as file:
        for step in range(100, 200):
            file.write(json.dumps({"step": step, "padding": "x" * 800000}) + "\n")
    write(directory, points)
    report(directory)
    equal([row["steps"] for row in table(directory, "points")], ["300"], "steps")
    os.remove(directory + "/p0/summary.json")
    report(directory)
    equal([row["steps"] for row in table(directory, "points")], ["199"], "steps")


def nothing_was_logged_yet():
    directory = study("waiting")
    write(directory, [
        dict(oom("w%d" % i, {"data.batch_size": 4, "seed": i}), state="waiting", message="")
        for i in (1, 2)
    ])
    report(directory)
    check("No run has logged anything yet" in "".join(page(directory).data))
    equal(table(directory, "summary")[0]["n"], "0")


def what_is_no_study():
    def fails(directory, code, *parts):
        done = report(directory, code=code)
        equal(len(done.stderr.splitlines()), 1, done.stderr)
        check(all(part in done.stderr for part in parts), done.stderr)

    fails(os.path.join(e2e.WORK, "nowhere"), 65, "nowhere: no such study")
    directory = study("empty")
    fails(directory, 65, "sweep.json", "name the directory of a study")
    for text, part in (("{\n\"points\": [}", "sweep.json:2:"), ("[]", "no points"),
                       ('{"points": []}', "no points"),
                       ('{"points": [{"name": 3}]}', "no name or directory"),
                       ('{"points": ["p"]}', "no name or directory")):
        with open(directory + "/sweep.json", "w", encoding="utf-8") as file:
            file.write(text)
        fails(directory, 65, part)
    check(not os.path.exists(directory + "/report"), "nothing is written then")
    directory = study("blocked")
    grid(directory)
    os.symlink(e2e.WORK, directory + "/report")
    fails(directory, 1, "but the report needs this name")
    os.remove(directory + "/report")
    os.makedirs(directory + "/report/points.csv")
    fails(directory, 1, "points.csv: cannot write")
    equal(os.listdir(directory + "/report"), ["points.csv"], "nothing is left lying")


def thousands_of_points_are_reported_soon():
    """3,000 points in as many series: none is compared with every other."""
    directory = study("many")
    keys = ("optimizer.lr", "optimizer.eps", "model.dropout", "data.batch_size")
    write(directory, [
        oom("p%d" % i,
            dict({key: i + k
                  for k, key in enumerate(keys)}, **{"attention.backends": ["flash"]}))
        for i in range(3000)
    ])
    within(20, report, directory)
    equal(len(table(directory, "points")), 3000, "points")


if __name__ == "__main__":
    e2e.main(nothing_escapes, half_done_studies, nothing_was_logged_yet,
             a_long_runs_metrics_are_read, thousands_of_points_are_reported_soon, what_is_no_study)
