#!/usr/bin/env python3
"""The report of a study. The studies, including their run directories, are synthetic: no number in
them was measured."""

import csv
import html.parser
import json
import math
import os
import shutil
import subprocess
import xml.etree.ElementTree

import e2e
from e2e import check, equal

CHARTS = ("best", "throughput", "memory", "loss_time", "loss_tokens", "loss_energy", "noise_scale")


def point(study, name, values, state="done", losses=(5.0, 4.0, 3.5), rate=1000.0, **summary):
    """A run directory with a distinct curve, and its entry in sweep.json."""
    directory = os.path.join(study, name.replace("/", "_").replace("\n", "_"))
    os.makedirs(directory)
    batch = values.get("data.batch_size", 4)
    batch = batch if isinstance(batch, int) else 4
    with open(directory + "/metrics.jsonl", "w", encoding="utf-8") as file:
        for i, loss in enumerate(losses, 1):
            common = {
                "step": 10 * i, "tokens": 1000 * i * batch, "train_s": 2.0 * i,
                "mem_bytes": 1 << 20, "joules": 700.0 * i
            }
            file.write(
                json.dumps({**common, "train/loss": loss + 0.1, "tok_per_s": rate + i,
                            "noise_scale": 500.0 * i}) + "\n")
            file.write(json.dumps({**common, "val/loss": loss}) + "\n")
    with open(directory + "/config.yaml", "w", encoding="utf-8") as file:
        file.write(
            "name: made_up\ndata: {train: a.h5, val: b.h5, batch_size: %d}\nmodel: {preset: gpt2}\n"
            "training: {stop: {time: 6s}}\n" % batch)
    with open(directory + "/plan.json", "w", encoding="utf-8") as file:
        json.dump(
            {"planned_bytes": 900000, "batch_size": batch, "world_size": 2, "attention": "flash",
             "tokens_per_step": 1000 * batch}, file)
    if state in ("done", "interrupted"):
        with open(directory + "/summary.json", "w", encoding="utf-8") as file:
            json.dump(
                {
                    "status": state, "best_val_loss": min(losses), "steps": 300, "tokens": 3000 *
                    batch, "train_s": 6.0, "attention": "flash", "batch_size": batch,
                    "world_size": 2, "device": "made-up <device>", "host": "made-up-host",
                    "planned_bytes": 900000, "peak_bytes": 1000000, **summary
                }, file)
    return {
        "name": name, "directory": directory, "values": values, "state": state, "attempts": 1,
        "message": ""
    }


def oom(name, values):
    return {
        "name": name, "directory": "runs/nowhere/" + name, "values": values, "state": "oom",
        "attempts": 0, "message": "needs 83 GiB, the budget is 80 GiB"
    }


def study(name):
    directory = os.path.join(e2e.WORK, "studies", name)
    os.makedirs(directory)
    return directory


def write(directory, points, tuning=None, **report):
    report = {
        "metric": "val/loss", "reduce": "best", "x": "data.batch_size",
        "series": "attention.backends", **report
    }
    report = {key: value for key, value in report.items() if value is not None}
    with open(directory + "/sweep.json", "w", encoding="utf-8") as file:
        more = {"tuning": tuning} if tuning else {}
        json.dump({"study": "made up", "report": report, "points": points, **more}, file)


def grid(directory):
    """Two backends, two batch sizes, two seeds; the larger batch of one backend does not fit."""
    points = []
    for b, backend in enumerate(("baseline", "flash")):
        for batch in (4, 8):
            for seed in (1, 2):
                values = {"attention.backends": [backend], "data.batch_size": batch, "seed": seed}
                name = "%s_%d_%d" % (backend, batch, seed)
                last = 3.5 - 0.25 * b - 0.125 * (batch == 8) + 0.0625 * seed
                points.append(
                    oom(name, values) if backend == "baseline" and batch == 8 else point(
                        directory, name, values, losses=(5, 4, last), attention=backend))
    write(directory, points)


def report(directory, code=0, path=None):
    program = os.path.join(e2e.BUILD, "tests", "launch", "mpi_report")
    environment = dict(e2e.ENVIRONMENT, **({"PATH": path} if path else {}))
    done = subprocess.run([program, directory], env=environment, text=True, capture_output=True,
                          timeout=e2e.LIMIT)
    equal(done.returncode, code, "%s: %s%s" % (directory, done.stdout, done.stderr))
    return done


def table(directory, name):
    with open("%s/report/%s.csv" % (directory, name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(directory, name):
    with open("%s/report/%s" % (directory, name), encoding="utf-8") as file:
        return file.read()


class Page(html.parser.HTMLParser):
    """The content of a page; fails if its elements do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.data = [], [], [], [], []
        self.feed(text)
        self.close()
        equal(self.open, [], "open elements")

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for key, value in attributes:
            if key == "id":
                self.ids.append(value)
            if key in ("href", "xlink:href", "src"):
                self.links.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, "nesting")

    def handle_data(self, data):
        self.data.append(data)


def page(directory):
    text = read(directory, "index.html")
    parsed = Page(text)
    check("script" not in parsed.tags and "link" not in parsed.tags and "img" not in parsed.tags,
          "not self-contained")
    check(all(link.startswith("#") for link in parsed.links), "links: %r" % parsed.links)
    equal(len(parsed.ids), len(set(parsed.ids)), "each id once")
    return parsed


def charts(directory, names=CHARTS, more=frozenset()):
    """All files exist and are complete, and no other file is left."""
    for name in names:
        root = xml.etree.ElementTree.parse("%s/report/%s.svg" % (directory, name)).getroot()
        check(root.tag.endswith("svg"), name)
        with open("%s/report/%s.png" % (directory, name), "rb") as file:
            picture = file.read()
        check(
            picture.startswith(b"\x89PNG\r\n") and picture.endswith(b"IEND\xaeB`\x82"),
            name + ".png")
    tables = {
        "answer.txt", "points.csv", "points.md", "summary.csv", "summary.md", "index.html",
        "charts.gnuplot"
    }
    equal(set(os.listdir(directory + "/report")),
          tables | more | {n + e
                    for n in names
                    for e in (".svg", ".png")}, "files")


def needs_gnuplot():
    if not shutil.which("gnuplot"):
        raise e2e.Skip("needs gnuplot")


# ---- tests ---------------------------------------------------------------------------------------

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


def sentences(directory):
    return read(directory, "answer.txt").splitlines()


def compared(name, losses, reduce="best", **changes):
    """The sentences for points of {batch: loss of each seed}."""
    directory = study(name)
    write(directory, [
        point(directory, "b%d_%d" % (batch, seed), {"data.batch_size": batch, "seed": seed},
              losses=(5, 4, loss), steps=300, **changes) for batch, each in losses.items()
        for seed, loss in enumerate(each, 1)
    ], series=None, reduce=reduce)
    report(directory)
    return sentences(directory)


def sentences_claim_no_more_than_their_intervals():
    told = compared("told", {39: (3.280, 3.281, 3.2825), 12: (3.341, 3.3435, 3.3425)})
    equal(told, [
        "The lowest validation loss after 6 s of training is 3.2812 ± 0.0031 nats (95%, 3 seeds), "
        "of batch 39; it beats batch 12 by 0.0612 ± 0.0031 nats (95%, 3 seeds)."
    ])
    apart = compared("apart", {39: (3.280, 3.284, 3.279), 64: (3.284, 3.2835, 3.288)})
    check("of batch 39; cannot tell it from batch 64 apart: 0.004 ± 0.012 nats (95%, 3 seeds); "
          "about 8 seeds would tell." in apart[0], apart[0])
    one = compared("one", {39: (3.280, ), 12: (3.341, )})
    check("3.2800 nats (one seed), of batch 39; one seed cannot tell it from batch 12: the "
          "difference is 0.0610 nats." in one[0], one[0])
    check("one seed has no interval" in one[-1], one[-1])
    equal(len(one), 2)


def tuning_of(directory, points, batch, optimum, rates):
    """A tuning whose results are a parabola in log(rate); its best candidate is a point."""

    def result(rate, rung):
        return 3.2 + 0.05 * math.log(rate / optimum)**2 + 0.4 * (rung == 0)

    best = min(rates, key=lambda rate: result(rate, 1))
    candidates = []
    for rate in rates:
        values = {"data.batch_size": batch, "optimizer.lr": rate, "seed": 1}
        name = "b%d_%g" % (batch, rate)
        is_near = abs(math.log(rate / best)) < 1
        if rate == best:
            points.append(point(directory, name, values, losses=(5, 4, result(rate, 1))))
            points.extend(
                point(directory, "%s_%d" % (name, seed), dict(values, seed=seed),
                      losses=(5, 4, result(rate, 1) + 0.0005 * seed)) for seed in (2, 3))
        results = [result(rate, 0), result(rate, 1) if is_near else None]
        candidates.append({
            "name": name, "directory": directory + "/" + name, "values": values, "state": "done",
            "share": 1.0 if is_near else 0.25, "results": results, "ended_by_rung": None,
            "why": "" if is_near else "4.1 at 25% of the budget"
        })
    return {
        "keys": ["optimizer.lr"], "rungs": [0.25, 1.0], "decided": True, "best":
        "b%d_%g" % (batch, best), "edge": "optimizer.lr is at the upper edge" * (batch == 64),
        "candidates": candidates
    }


def tunings_are_reported():
    directory, points = study("tuned"), []
    rates = [1e-3 * 2**i for i in range(6)]
    tuning = [tuning_of(directory, points, batch, 3e-3 * (batch / 8)**0.4, rates)
              for batch in (4, 8, 16, 64)]
    write(directory, points, tuning=tuning, series=None)
    report(directory)
    text = "\n".join(sentences(directory))
    check("The best lr grows as batch^(0.40 ± " in text and "excludes both 1/2 and 1/3" in text,
          text)
    check("1 of 4 tunings found their best at the edge" in text, text)
    equal(len(table(directory, "tuning")), 24, "candidates")
    shown = "".join(page(directory).data)
    check("Tuning of optimizer.lr" in shown and "0.003 (0.00" in shown, "the optimum at batch 8")
    check("4.1 at 25% of the budget" in shown and "the best" in shown, "why candidates ended")
    if shutil.which("gnuplot"):
        charts(directory, CHARTS + ("tuning", ), {"tuning.csv"})
    directory = study("undecided")  # no point yet
    tuning[0].update(decided=False, best=None)
    write(directory, [], tuning=tuning[:1])
    report(directory)
    check("1 of 1 tunings are not decided yet" in "\n".join(sentences(directory)), "sentences")


def branches(name, losses, seeds=3, path=None):
    """Branches from two forks of a trunk for each seed; `losses`: {batch: last loss}. `path`: to
    leave out the charts."""
    directory, points = study(name), []
    for seed in range(seeds):
        point(directory, "trunk-%d" % seed, {"data.batch_size": 4})
        for at, more in (("10%", 0.2), ("50%", 0)):
            for batch, loss in losses.items():
                values = {"data.batch_size": batch, "seed": seed}
                made = point(directory, "at-%s_%d_%d" % (at[:-1], batch, seed), values, losses=(
                    2, loss + more * (batch > 4) + 0.1 * seed + 1e-4 * (batch == 8) * seed),
                             joules=5000 * batch, tokens=20000 * batch)
                made["branch"] = {"at": at, "tokens": 8000, "tolerance": 0.01,
                                  "run": "moved/trunk-%d" % seed}
                points.append(made)
    write(directory, points, series=None, reduce="last")
    done = report(directory, path=path)
    return done, table(directory, "critical"), directory


def branches_show_the_critical_batch():
    losses = {4: 3, 8: 3.004, 16: 3.05}
    done, rows, directory = branches("critical", losses)
    equal([row["branches"] for row in rows], ["at 10%", "at 50%"], "forks")
    # the mean difference at 8 is 0.0041: log-linear up to 0.05 at 16
    wanted = 8000 * 2**((0.01 - 0.0041) / (0.05 - 0.0041))
    check(abs(float(rows[1]["critical batch"]) - wanted) < 1, rows[1])
    equal([rows[1][key] for key in ("at least", "at most", "noise scale", "seeds")],
          ["8000", "16000", "1000", "3"], "bounds")
    for text in ("The critical batch at 50% of the run is 8.75 K tokens per step",
                 "(8.00 K to 16.0 K; 95%, 3 seeds)", "the noise scale is 1.00 K"):
        check(text in done.stdout, done.stdout)
    check(float(rows[0]["at most"]) == 8000 and float(rows[0]["at least"]) == 4000, rows[0])
    differences = {(r["branches"], r["tokens per step"]): r for r in table(directory, "branches")}
    row = differences["at 50%", "16000"]
    check(abs(float(row["difference"]) - 0.05) < 1e-9 and row["n"] == "3", row)
    check("Critical batch" in page(directory).data, "the page")
    points = {row["name"]: row for row in table(directory, "points")}
    equal([points["at-50_16_1"][key] for key in ("joules", "tok_per_joule")], ["80000", "4"],
          "energy")
    check("| 80.0 kJ |" in read(directory, "points.md"), "energy for people")
    if shutil.which("gnuplot"):
        charts(directory, CHARTS + ("branches",), {"critical.csv", "branches.csv"})
    # one seed bounds nothing but its grid, and a loss that never rises has no critical batch
    done, rows, _ = branches("one_seed", losses, seeds=1, path=e2e.WORK)
    check("one seed, so the batches beside it" in done.stdout, done.stdout)
    done, rows, _ = branches("below", {4: 3, 8: 3, 16: 2.99}, path=e2e.WORK)
    check("is above 16.0 K tokens per step, the largest batch tried" in done.stdout, done.stdout)
    equal(rows[1]["critical batch"], "", "no critical batch")


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
    before = os.times()
    report(directory)
    after = os.times()
    seconds = (after.children_user + after.children_system - before.children_user -
               before.children_system)
    check(seconds < 20, "%.1f s" % seconds)
    equal(len(table(directory, "points")), 3000, "points")


if __name__ == "__main__":
    e2e.main(tables_hold_the_numbers, charts_are_drawn, the_page_carries_everything,
             sentences_claim_no_more_than_their_intervals, disturbed_points_are_marked,
             tunings_are_reported, branches_show_the_critical_batch, nothing_escapes,
             half_done_studies, nothing_was_logged_yet,
             a_long_runs_metrics_are_read, other_axes, what_goes_along_makes_no_series,
             thousands_of_points_are_reported_soon, without_gnuplot, what_is_no_study)
