#!/usr/bin/env python3
"""Memory search and predictions: the largest batch in a budget runs, and one more is refused before
any allocation, on all ranks; a plan for an absent GPU shows the largest batch and the predicted
time of each backend."""

import json
import os
import re

from e2e import (WORK, Skip, check, checkpoints, config, equal, main, metrics, run, run_directory,
                 summary, train)

BUDGET = "6MiB"
REFUSAL = re.compile(
    r"data\.batch_size: (\d+) needs [\d.]+ [MG]iB, .* [\d.]+ [MG]iB are within memory_budget and "
    r"free; the largest batch that fits is (\d+)")


def batch_of(done):
    return int(re.search(r" x batch (\d+) x ", done.out).group(1))


def the_largest_batch_runs_and_one_more_is_refused():
    for ranks in (0, 2):
        name = "largest_%d" % ranks
        path = config(name, memory_budget=BUDGET, data__batch_size="auto", evaluation__interval=2,
                      training__stop__steps=3)
        batch = batch_of(train(path, ranks=ranks))
        end = summary(run_directory(name))
        check(batch > 2 and end["status"] == "done" and end["batch_size"] == batch, repr(end))
        check(end["planned_bytes"] <= 6 << 20, "%d bytes planned" % end["planned_bytes"])
        check(
            any("val/loss" in record for record in metrics(run_directory(name))) and
            checkpoints(run_directory(name)), "it evaluated and saved")
        done = train(path, "data.batch_size=%d" % (batch + 1), "output=%s/over_%d" % (WORK, ranks),
                     ranks=ranks, code=71)
        found = REFUSAL.search(done.err)
        check(len(done.errors()) == 1 and found, repr(done))
        equal((int(found.group(1)), int(found.group(2))), (batch + 1, batch), "asked for, largest")
        check("rank 0: rank" not in done.err, done.err)
        equal(sorted(os.listdir("%s/over_%d" % (WORK, ranks))), ["run.lock", "summary.json"],
              "what stays of it")
        note = summary("%s/over_%d" % (WORK, ranks))
        equal((note["status"], note["outcome"]), ("no_room", "no_room"), "what it is known by")
        check(found.group() in note["message"], repr(note))
        train(path, "output=%s/over_%d" % (WORK, ranks), ranks=ranks)
        end = summary("%s/over_%d" % (WORK, ranks))
        check(end["status"] == "done" and "outcome" not in end,
              "the same directory with a batch that fits: %r" % end)


def nothing_fits():
    for ranks in (0, 2):
        done = train(config("none", memory_budget="100kB", data__batch_size="auto"), ranks=ranks,
                     code=71)
        check(len(done.errors()) == 1 and "below the smallest batch" in done.err, repr(done))
        check("rank 0: rank" not in done.err, done.err)
        equal(summary(run_directory("none"))["outcome"], "no_room", "what it is known by")


def a_run_that_no_longer_fits_keeps_its_summary():
    path, directory = config("shrunk", memory_budget=BUDGET), run_directory("shrunk")
    train(path)
    before = summary(directory)
    train(path, "memory_budget=100kB", "training.stop.steps=20", code=71)
    after = summary(directory)
    equal({key: after[key] for key in before}, before, "what the summary said")
    equal(after["outcome"], "no_room", "what became of the second start")
    train(path, "training.stop.steps=20")
    check("outcome" not in summary(directory), repr(summary(directory)))


def a_foreign_directory_gets_no_note():
    folder = WORK + "/foreign"
    os.mkdir(folder)
    for name in ("notes.txt", "summary.json"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("mine")
    train(config("none", memory_budget="100kB"), "output=" + folder, code=71)
    equal(sorted(os.listdir(folder)), ["notes.txt", "summary.json"], "files")
    with open(folder + "/summary.json", encoding="utf-8") as file:
        equal(file.read(), "mine", "somebody's summary.json")


def a_plan_says_what_does_not_fit():
    path = config("planned", memory_budget=BUDGET, data__batch_size=4000,
                  attention={"backends": ["flash", "math", "baseline"]})
    done = train(path, "--plan")
    check("IT DOES NOT FIT" in done.out, done.out)
    rows = {
        name: int(batch)
        for name, batch in re.findall(r"(?m)^(\w+) +[\d.]+ +(\d+) +\S+ +- ", done.out)
    }
    check({"baseline", "flash", "math"} <= set(rows), "rows %r" % rows)
    check(rows["flash"] >= rows["math"] >= 1, "batches %r" % rows)
    equal(batch_of(train(path, "--plan", "data.batch_size=auto", "attention.backends=[baseline]")),
          rows["baseline"], "the largest batch of baseline")


def a_gpu_that_is_not_here():
    """124M in bf16 on an 80 GB Hopper: each backend's largest batch and its predicted speed, and
    the faster one taken."""
    path = config("paper", device="auto", model={"preset": "gpt2"}, training__dtype="bfloat16",
                  data__val=None, data__batch_size="auto", training__gradient_accumulation_steps=1,
                  attention={"backends": ["baseline", "flash"], "pick": "predicted"})
    done = run("train", path, "--plan", "--device-memory=80GiB")
    if "planning device" not in done.out:
        raise Skip("there is a GPU, which is planned for as it is")
    equal((done.code, done.err), (0, ""), "exit code and standard error")
    kinds = dict(re.findall(r"(?m)^([a-z ]+?) +([\d.]+)(?: +\(.*\))?$", done.out))
    total = sum(
        float(kinds[kind]) for kind in kinds
        if kind not in ("planned", "may be taken", "checkpoint", "base"))
    check(
        abs(total - float(kinds["planned"])) < 2 and float(kinds["context and code"]) > 300,
        repr(kinds))
    check("attention flash" in done.out, "flash is predicted to be the faster one:\n" + done.out)
    found = re.search(
        r"(?m)^predicted ([\d.]+) ms a step, (\d+) tokens/s "
        r"\(supposing (\d+) TFLOP/s and ([\d.]+) TB/s\)$",
        done.out)
    check(found and 200e3 < int(found.group(2)) < 800e3, done.out)
    ranks = run("train", path, "--plan", "--device-memory=80GiB", "--ranks=2", "data.batch_size=12")
    check(
        re.search(r"(?m)^communication +[1-9]\d{2}\.", ranks.out) and "communication" not in kinds,
        ranks.out)
    both = {}
    for name in ("baseline", "flash"):
        one = train(path, "--plan", "--device-memory=80GiB", "attention.backends=[%s]" % name)
        both[name] = batch_of(one), int(
            re.search(r"(?m)^predicted [\d.]+ ms a step, (\d+) tokens/s", one.out).group(1))
    check(both["flash"][0] >= 190 and both["baseline"][0] >= 44, "largest batches %r" % both)
    check(both["flash"][1] > both["baseline"][1], "predicted speeds %r" % both)


def a_picked_backend_stays_the_runs():
    path = config("picked", attention={"backends": ["math", "baseline"], "pick": "predicted"})
    train(path)
    with open(run_directory("picked") + "/config.yaml", encoding="utf-8") as file:
        check(re.search(r"backends: \[math\]", file.read()), "one backend is frozen")
    train(path, "training.stop.steps=12")
    equal(summary(run_directory("picked"))["steps"], 12, "steps after the resume")
    with open(run_directory("picked") + "/plan.json", encoding="utf-8") as file:
        equal(json.load(file)["attention"], "math", "the backend")


if __name__ == "__main__":
    main(the_largest_batch_runs_and_one_more_is_refused, nothing_fits,
         a_run_that_no_longer_fits_keeps_its_summary, a_foreign_directory_gets_no_note,
         a_plan_says_what_does_not_fit, a_gpu_that_is_not_here, a_picked_backend_stays_the_runs)
