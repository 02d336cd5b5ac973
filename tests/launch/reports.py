"""Helpers of the tests of a study's report: studies and run directories to report on, and readers
of the result. The studies are synthetic: no number in them was measured."""

import csv
import html.parser
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree

import e2e
from e2e import check, equal

CHARTS = ("best", "throughput", "memory", "loss_time", "loss_tokens", "loss_energy", "noise_scale")


def point(study, name, values, state="done", losses=(5.0, 4.0, 3.5), rate=1000.0,
          evaluated="val/loss", stop="{time: 6s}", **summary):
    """A run directory with a distinct curve, and its entry in sweep.json. `evaluated`: the key of
    the losses."""
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
            file.write(json.dumps({**common, evaluated: loss}) + "\n")
    with open(directory + "/config.yaml", "w", encoding="utf-8") as file:
        file.write(
            "name: made_up\ndata: {train: a.h5, val: b.h5, batch_size: %d}\nmodel: {preset: gpt2}\n"
            "training: {stop: %s}\n" % (batch, stop))
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


def sentences(directory):
    return read(directory, "answer.txt").splitlines()


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
