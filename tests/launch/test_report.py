#!/usr/bin/env python3
"""The report of a study: tables, charts and the page."""

import os
import shutil

import e2e
from e2e import check, equal
from reports import (CHARTS, charts, grid, needs_gnuplot, page, point, read, report, sentences,
                     study, table, write)


def tables_hold_the_numbers():
    directory = study("numbers")
    grid(directory)
    done = report(directory)
    check("6 of 8 points done" in done.stdout, done.stdout)
    points = {row["name"]: row for row in table(directory, "points")}
    equal(len(points), 8)
    row = points["flash_8_2"]
    equal([
        row[key]
        for key in ("state", "batch_size", "attention", "seed", "steps", "tokens", "train_s")
    ], ["done", "8", "flash", "2", "300", "24000", "6"])
    equal([row[key] for key in ("best_val_loss", "tok_per_s", "planned_bytes", "peak_bytes")],
          ["3.25", "1002", "900000", "1000000"])
    row = points["baseline_8_1"]
    equal([row["state"], row["attention"], row["best_val_loss"]], ["oom", "baseline", ""])
    check("83 GiB" in row["message"], row["message"])
    summary = {(row["attention.backends"], row["data.batch_size"]): row
               for row in table(directory, "summary")}
    row = summary["flash", "8"]
    equal([float(row[key]) for key in ("n", "mean", "min", "max", "tok_per_s")],
          [2, 3.21875, 3.1875, 3.25, 1002])
    equal([summary["baseline", "8"][key] for key in ("n", "mean", "note")],
          ["0", "", "does not fit"])
    check("| flash | 8 | 2 | 3.2188 | 0.3971 | 3.1875 | 3.2500 |" in read(directory, "summary.md"),
          read(directory, "summary.md"))
    check("| baseline\\_8\\_1 | oom |" in read(directory, "points.md"),
          read(directory, "points.md"))


def charts_are_drawn():
    needs_gnuplot()
    directory = study("charts")
    grid(directory)
    outside = e2e.tree(directory)
    report(directory)
    charts(directory)
    svg = read(directory, "best.svg")
    for text in ("Best validation loss after 6 s of training", "baseline", "flash", "oom",
                 "batch, sequences per rank"):
        check(text in svg, "best.svg without %r" % text)
    for name, text in (("loss_time", "flash, batch 8"), ("loss_energy", "energy, J"),
                       ("noise_scale", "gradient noise scale, tokens")):
        check(text in read(directory, name + ".svg"), "%s.svg without %r" % (name, text))
    now = {
        path: state
        for path, state in e2e.tree(directory).items() if not path.startswith(directory + "/report")
    }
    equal({k: v
           for k, v in now.items() if v}, {k: v
                                           for k, v in outside.items() if v},
          "what lies outside of report/")
    parsed = page(directory)
    equal(parsed.tags.count("figure"), len(CHARTS))
    first = read(directory, "points.csv")
    report(directory)  # again, over the first report
    charts(directory)
    equal(read(directory, "points.csv"), first, "the same again")


def disturbed_points_are_marked():
    directory = study("disturbed")
    write(directory, [
        point(directory, "b%d_%d" % (batch, seed), {"data.batch_size": batch, "seed": seed},
              steps=steps, rate=rate)
        for batch, seed, steps, rate in ((4, 1, 300, 1000), (4, 2, 300, 1050), (4, 3, 120, 400),
                                         (8, 1, 300, 600), (16, 1, 13, 1200))
    ], series=None)
    report(directory)
    remarks = {row["name"]: row["remark"] for row in table(directory, "points")}
    equal(remarks, {
        "b4_1": "", "b4_2": "", "b4_3": "slow: 40% of the rate of its seeds",
        "b8_1": "slow: 57% of the rate of a smaller batch", "b16_1": "only 13 steps"
    })
    notes = {row["data.batch_size"]: row["note"] for row in table(directory, "summary")}
    equal(notes, {"4": "1 with a remark", "8": "1 with a remark", "16": "1 with a remark"})
    check("3 of 5 points have a remark" in "\n".join(sentences(directory)), sentences(directory))
    check("40% of the rate of its seeds" in "".join(page(directory).data), "the page")
    if shutil.which("gnuplot"):
        check("hollow" in read(directory, "index.html"), "the caption")


def the_page_carries_everything():
    directory = study("page")
    grid(directory)
    with open(directory + "/study.yaml", "w", encoding="utf-8") as file:
        file.write("sweep: {seed: [1, 2]}  # <b>& the study\n")
    report(directory)
    text = "".join(page(directory).data)
    for part in ("made up", "made-up <device>", "made-up-host",
                 "8 points, 6 done, 2 that did not fit", "6 s of training", "flash_8_2",
                 "does not fit", "# <b>& the study", "config.yaml of baseline_4_1", "preset: gpt2"):
        check(part in text, "no %r in the page" % part)


def other_axes():
    needs_gnuplot()
    directory = study(
        "axes")  # x is a word; keys other than x, series and seed make separate series
    write(directory, [
        point(directory, "r%d%d%d" %
              (r, lr, seed), {"training.recompute": name, "optimizer.lr": 10.0**-lr, "seed": seed},
              losses=(4, 3.5 + lr + seed)) for r, name in enumerate(("none", "block"))
        for lr in (3, 4) for seed in (1, 2)
    ], x="training.recompute", series=None, reduce="last", metric="train/loss")
    report(directory)
    rows = {(row["series"], row["training.recompute"]): row for row in table(directory, "summary")}
    equal(len(rows), 4)
    equal([float(rows["lr 0.0001", "block"][key]) for key in ("n", "mean", "min", "max")],
          [2, 9.1, 8.6, 9.6])
    check("Last training loss" in read(directory, "best.svg"))
    charts(directory)
    directory = study("rate")  # no x and no series; the best rate is the highest
    write(directory, [point(directory, "s%d" % seed, {"seed": seed}) for seed in (1, 2)],
          metric="tok_per_s", x=None, series=None)
    report(directory)
    equal([float(table(directory, "summary")[0][key]) for key in ("n", "mean")], [2, 1003])
    charts(directory)
    moved = study("elsewhere") + "/moved"
    shutil.copytree(directory, moved)
    shutil.rmtree(directory)
    report(moved)  # the runs are found beside sweep.json
    equal(table(moved, "points")[0]["steps"], "300")


def what_goes_along_makes_no_series():
    """A list of points whose evaluation interval follows from the backend and the batch: the series
    are the backends."""
    directory = study("along")
    write(directory, [
        point(directory, "%s%d" % (backend, batch), {
            "attention.backends": [backend], "data.batch_size": batch,
            "evaluation.interval": interval
        }) for backend, batch, interval in (("flash", 4, 30), ("flash", 8, 20), ("math", 4, 25),
                                            ("math", 8, 10))
    ])
    report(directory)
    equal(sorted({row["attention.backends"]
                  for row in table(directory, "summary")}), ["flash", "math"])


def without_gnuplot():
    directory = study("bare")
    grid(directory)
    empty = os.path.join(e2e.WORK, "empty")
    os.makedirs(empty)
    if shutil.which("gnuplot"):
        report(directory)
    done = report(directory, path=empty)
    equal(len(done.stdout.splitlines()), 3, done.stdout)
    check("gnuplot-nox" in done.stdout, done.stdout)
    charts(directory, names=())  # nor those of before
    parsed = page(directory)
    equal(parsed.tags.count("svg"), 0)
    check("gnuplot-nox" in "".join(parsed.data))
    with open(empty + "/gnuplot", "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\necho 'line 7: unknown terminal type' >&2\nexit 1\n")
    os.chmod(empty + "/gnuplot", 0o755)
    done = report(directory, path=empty)
    check("unknown terminal type" in done.stdout, done.stdout)
    charts(directory, names=())


if __name__ == "__main__":
    e2e.main(tables_hold_the_numbers, charts_are_drawn, the_page_carries_everything,
             disturbed_points_are_marked, other_axes, what_goes_along_makes_no_series,
             without_gnuplot)
