#!/usr/bin/env python3
"""The files of a run and the output of the programs: names, keys, formats, times and memory as
documented."""

import csv
import glob
import json
import os
import re
import shutil
import subprocess

from e2e import (ENVIRONMENT, PROGRAMS, SANITIZED, WORK, Skip, check, checkpoints, config, equal,
                 losses, main, metrics, on_a_terminal, run, run_directory, start, summary, train)
from hardware import gpus

STEP_LINE = re.compile(
    r"step (\d+)/(\d+) \| loss \d+\.\d{4} \| norm \d+\.\d\d \| lr \d\.\de[+-]\d\d \| \d+\.\d ms \| "
    r"[\d.]+( [KMG])? tok/s \| \d+ MiB")
METRICS = (
    "step tokens train_s wall_s train/loss val/loss val/stderr val/bpb lr grad_norm tok_per_s mfu "
    "noise_scale joules tok_per_joule mem_bytes"
).split()
SUMMARY = (
    "status best_val_loss best_step val_tokens block_size steps tokens train_s start_s attention "
    "batch_size world_size device host peak_bytes planned_bytes data").split()


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def the_files_of_a_run():
    for ranks in (0, 2):
        name = "files_%d" % ranks
        directory = run_directory(name)
        done = train(config(name, checkpoint__keep=2, evaluation__interval=4), "--profile",
                     ranks=ranks)
        equal(done.err, "", "standard error")
        equal(sorted(os.listdir(directory)), [
            "checkpoints", "config.yaml", "metrics.csv", "metrics.jsonl", "plan.json", "run.lock",
            "summary.json", "trace.json", "train.log"
        ], "files")
        equal([os.path.basename(path) for path in checkpoints(directory)],
              ["step_00000009.h5", "step_00000010.h5"])
        equal(len(os.listdir(directory + "/checkpoints")), 3, "the checkpoints and best.h5")
        check(done.out.startswith(read(directory, "train.log")[:-200]),
              "train.log is not what was printed")
        plan, end = json.loads(read(directory, "plan.json")), summary(directory)
        equal(plan["planned_bytes"], end["planned_bytes"], "planned bytes")
        equal(plan["tokens_per_step"], max(ranks, 1) * 2 * 2 * 32, "tokens a step")
        equal(sum(plan["by_kind"].values()), plan["planned_bytes"], "the sum over kinds of memory")
        tokens = 10 * plan["tokens_per_step"]
        equal(
            {
                key: end[key]
                for key in ("status", "steps", "tokens", "batch_size", "world_size", "best_step")
            }, {
                "status": "done", "steps": 10, "tokens": tokens, "batch_size": 2, "world_size": max(
                    ranks, 1), "best_step": 10
            }, "summary")
        equal([key for key in end if key not in ("joules", "tok_per_joule")], SUMMARY,
              "summary keys")
        check(end["attention"] == "flash" and end["device"] and end["peak_bytes"] > 0, repr(end))


def console_lines():
    done = train(config("console", logging__interval=2, evaluation__interval=5))
    lines = done.out.splitlines()
    check(
        re.fullmatch(
            r".+ x 1, 1 threads \| attention flash \| [\d.]+ MiB planned, "
            r"[\d.]+ MiB base per rank, [\d.]+ MiB to save from", lines[0]), lines[0])
    check(lines[1].startswith("1 rank x batch 2 x accumulation 2 x T 32 = 128 tokens a step | "),
          lines[1])
    steps = [
        STEP_LINE.fullmatch(line) for line in lines
        if line.startswith("step ") and "validation" not in line
    ]
    check(all(steps), "console: %r" % lines)
    equal([int(match.group(1)) for match in steps], [2, 4, 6, 8, 10], "logged steps")
    equal([line.split(" | ")[0] for line in lines if "validation loss" in line],
          ["step 5", "step 10"], "evaluations")
    check(re.match("done: 10 steps, .*, the end by training.stop.steps; ", lines[-1]), lines[-1])
    check(lines[-1].endswith("the run is in " + run_directory("console")), lines[-1])
    check("\r" not in done.out and "\033" not in done.out, "a progress bar without a terminal")


def a_progress_bar_on_a_terminal_only():
    changes = {"logging__interval": 1000, "training__stop__steps": 300, "checkpoint__interval": 0}
    shown = on_a_terminal("train", config("bar", **changes), NO_COLOR="")
    check(
        re.search(
            r"\r\033\[K#*\.* +\d+% of 300 steps \| step \d+ \| loss \d+\.\d+ \| \d+ s left", shown),
        repr(shown[-500:]))
    shown = on_a_terminal("train", config("no_bar", **changes))
    check("\033" not in shown, "NO_COLOR is not honored: %r" % shown[-500:])


def terminals_of_any_width():
    """Nothing wraps; the bar names the rule that ends the run."""
    changes = {
        "logging__interval": 20, "evaluation__interval": 40, "checkpoint__interval": 0,
        "training__stop": {"steps": 1000000, "time": "1.5s"}
    }
    for columns in (40, 80, 120):
        shown = on_a_terminal("train", config("wide_%d" % columns, **changes), NO_COLOR="",
                              columns=columns)
        lines = re.split(r"[\r\n]+", shown.replace("\033[K", ""))
        directory = run_directory("wide_%d" % columns)
        long = [line for line in lines if len(line) > columns and directory not in line]
        check(not long, "%d columns: %r" % (columns, long))
        check(any(re.match(r"#*\.* +\d+% of [12] s \|", line) for line in lines), repr(lines))
        check("the end by training.stop.time; " in read(directory, "train.log"), repr(lines))
        for line in read(directory, "train.log").splitlines():
            if line.startswith("step ") and "validation" not in line:
                check(re.match(r"step \d+/1000000 \|.* ms \|.* MiB$", line), line)


def the_bar_ends_before_an_error():
    changes = {
        "logging__interval": 100000, "training__stop__steps": 100000, "checkpoint__interval": 0
    }
    shown = on_a_terminal("train", config("bar_error", **changes), NO_COLOR="", code=75,
                          interrupt_at="% of 100000 steps")
    check(re.search(r"% of 100000 steps [^\n]*\r\033\[Kstopped: ", shown), repr(shown[-800:]))
    overflow = config("bar_overflow", optimizer__lr=1000, optimizer__weight_decay=1000, **changes)
    shown = on_a_terminal("train", overflow, NO_COLOR="", code=1)
    check(re.search(r"% of 100000 steps [^\n]*\r\033\[Ktrain: error: step \d+: ", shown),
          repr(shown[-800:]))


def metrics_in_both_forms():
    directory = run_directory("metrics")
    train(config("metrics", evaluation__interval=3, logging__interval=2))
    records = metrics(directory)
    for record in records:
        check(list(record) == [key for key in METRICS if key in record], "keys %r" % list(record))
        check(all(key in record for key in ("step", "tokens", "train_s", "wall_s", "mem_bytes")),
              repr(record))
        equal(record["tokens"], record["step"] * 128, "tokens")
        check(0 < record["train_s"] <= record["wall_s"],
              "train_s is not within wall_s: %r" % record)
    equal([r["step"] for r in records if "train/loss" in r], [2, 4, 6, 8, 10], "logged steps")
    equal([r["step"] for r in records if "val/loss" in r], [3, 6, 9, 10], "evaluated steps")
    with open(directory + "/metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    equal(list(rows[0]), METRICS, "columns")
    equal(len(rows), len(records), "records")
    for row, record in zip(rows, records):
        equal([key for key in METRICS if row[key]], list(record), "the values that are there")
        for key in record:
            check(
                abs(float(row[key]) - record[key]) <= 1e-8 * abs(record[key]),
                "%s: %r, %r" % (key, row, record))
    end, best = summary(directory), min(
        (r["val/loss"], r["step"]) for r in records if "val/loss" in r)
    equal((end["best_val_loss"], end["best_step"]), best, "the best evaluation")


def no_evaluation_without_its_data():
    path = config("no_val", data__val=None, evaluation__interval=2)
    train(path)
    check("val/loss" not in read(run_directory("no_val"), "metrics.jsonl"), "an evaluation")
    equal(summary(run_directory("no_val"))["best_step"], -1, "best_step")
    check("best_val_loss" not in summary(run_directory("no_val")), "best_val_loss")


def the_resolved_config_reruns_the_same():
    directory = run_directory("resolved")
    train(config("resolved", data__batch_size="auto", memory_budget="2MiB"), "seed=11",
          "model.n_head=4")
    copy = shutil.copy(directory + "/config.yaml", WORK + "/copy.yaml")
    train(copy, "output=" + WORK + "/runs/copy")
    equal(losses(WORK + "/runs/copy"), losses(directory), "losses")
    first, second = read(directory, "config.yaml"), read(WORK, "runs", "copy", "config.yaml")
    equal(second.replace("runs/copy", "runs/resolved"), first, "the config of the copy")
    # `auto` of a group of parameters stands for the value of `optimizer`, also in a rerun.
    aliases = r"device: \w+|threads: \w+|autotune|(?m:^    (lr|betas|weight_decay): auto$)"
    check("auto" not in re.sub(aliases, "", first), "an auto is left: " + first)


def print_config_round_trip():
    path = config("printed")
    first = train(path, "--print-config", "seed=3").out
    with open(WORK + "/printed_again.yaml", "w", encoding="utf-8") as file:
        file.write(first)
    equal(
        train(WORK + "/printed_again.yaml", "--print-config").out, first,
        "the config, printed again")
    equal(train(path, "--print-config", "seed=3", ranks=2).out, first, "the config under two ranks")
    check("\nseed: 3\n" in first, first)
    check(not os.path.exists(run_directory("printed")), "a run directory")


def the_plan_alone_touches_nothing():
    huge = config("huge", model={"preset": "gpt2-xl", "vocab_size": 50257, "block_size": 1024},
                  data__batch_size=4, data__train=tokens(1025 * 8), data__val=None)
    for ranks in (0, 2):
        done = train(huge, "--plan", ranks=ranks)
        found = re.search(r"(?m)^planned +([\d.]+)$", done.out)
        check(found and float(found.group(1)) > 20000, "1.5 G parameters plan in %s" % done.out)
        equal(done.err, "", "standard error")
        check(done.seconds < (60 if SANITIZED else 20), "%.1f s" % done.seconds)
    check(not os.path.exists(run_directory("huge")), "a run directory")


def a_plan_for_a_gpu_that_is_not_here():
    """bfloat16 on a machine without a GPU: planned for any number of ranks."""
    if gpus() > 0:
        raise Skip("there is a GPU, which is planned for as it is")
    paper = config("paper", device="auto", model={"preset": "gpt2"}, training__dtype="bfloat16",
                   data__train="nowhere.h5", data__val=None, data__batch_size="auto",
                   memory_budget="90%")
    for ranks in (0, 2):
        done = run("train", paper, "--plan", "--device-memory=40GiB", "--ranks=8", ranks=ranks)
        equal((done.code, done.err), (0, ""), "exit code and standard error")
        check("planning device sm_90, 40 GiB" in done.out and "| 8 ranks x batch" in done.out,
              done.out)
        planned = float(re.search(r"(?m)^planned +([\d.]+)$", done.out).group(1))
        check(0.85 * 40960 < planned <= 0.9 * 40960, "%.1f MiB of 90%% of 40 GiB" % planned)
    check(not os.path.exists(run_directory("paper")), "a run directory")
    equal(run("train", paper, "--plan", "--device-memory=many").code, 64, "a size that is none")
    equal(run("train", paper, "--ranks=8").code, 64, "--ranks without --plan")


def tokens(count):
    path = os.path.join(WORK, "ones_%d.bin" % count)
    with open(path, "wb") as file:
        file.write(b"\1\0" * count)
    return path


def peak_memory_is_the_plan_and_a_base():
    if SANITIZED:
        raise Skip("sanitizers keep memory of their own")
    path = config(
        "memory",
        model={"n_layer": 4, "n_head": 4, "n_embd": 384, "block_size": 128,
               "vocab_size": 8192}, data__batch_size=4, data__val=None,
        training__gradient_accumulation_steps=1, training__stop__steps=3, checkpoint__interval=2)
    job, used = start(["train", path]), 0
    while job.process.poll() is None:
        try:
            status = read("/proc/%d/status" % job.process.pid)
        except OSError:
            break
        used = max(
            used,
            sum(int(kib) * 1024 for kib in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status)))
    done = job.end()
    equal(done.code, 0, repr(done))
    planned = summary(run_directory("memory"))["planned_bytes"]
    check(planned >= 200 << 20, "the plan is too small to judge: %.1f MiB" % (planned / 2**20))
    said = re.search(r"([\d.]+) MiB planned, ([\d.]+) MiB base per rank, ([\d.]+) MiB to save from",
                     done.out)
    wanted = sum(map(float, said.groups())) * 2**20
    check(
        abs(used - wanted) <= 0.05 * wanted, "%.1f MiB resident, %s" % (used / 2**20, said.group()))


def a_time_budget():
    path, directory = config("timed", training__stop={"time": "2s"}, checkpoint__interval=0,
                             logging__interval=1, evaluation__interval=20), run_directory("timed")
    for budget, changes in ((2, []), (3, ["training.stop.time=3s"])):
        done = train(path, *changes)
        records = [record for record in metrics(directory) if "train/loss" in record]
        seconds = [record["train_s"] for record in records]
        longest = max(after - before for before, after in zip(seconds, seconds[1:]))
        last = metrics(directory)[-1]
        check(
            budget <= last["train_s"] and
            seconds[-1] <= budget + longest,  # it may end within an evaluation
            "ended after %.3f s of %d" % (last["train_s"], budget))
        check(seconds[-2] < budget, "a step began after the end")
        equal(
            summary(directory)["train_s"], last["train_s"],
            "training seconds of the summary and the last record")
        check(last["step"] % 20 == 0 or last["train_s"] == seconds[-1],
              "the evaluation that closes a run has no budget")
    check("resumed from" in done.out, "the second run trained anew: %r" % done)


def the_system_clock_is_not_used():
    """But for dates in logs, and how long ago a file was written."""
    of_files = ("launch/base/utc.c", "launch/study/", "core/base/leftovers.c")
    found = []
    for path in glob.glob("*/**/*.[ch]", recursive=True):
        if path.startswith(("core/", "nn/", "dist/", "data/", "checkpoints/",
                            "launch/")) and not path.startswith(of_files):
            uses = re.findall(r"CLOCK_REALTIME|\bgettimeofday\(|[^_\w]time\(NULL\)|MPI_Wtime",
                              read(path))
            found += ["%s: %s" % (path, use) for use in uses]
    equal(found, [], "uses of a clock that can be set")


def a_profile():
    done = train(config("profile"), "--profile")
    events = json.loads(read(run_directory("profile"), "trace.json"))["traceEvents"]
    names = {event["name"] for event in events}
    check(
        len(events) > 30 and {"linear", "adamw"} <= {re.sub(r"_.*", "", name)
                                                     for name in names}, repr(names))
    for event in events:
        check(event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0, repr(event))
    table = re.findall(r"(?m)^(\w+) +(\d+) +[\d.]+ +[\d.]+% +[\d.]+ +[\d.]+ +[\d.]+%$", done.out)
    equal(sum(int(calls) for _, calls in table), len(events), "calls in the table")
    equal({name for name, _ in table}, names, "ops in the table")


def help_is_the_option_table():
    for program in ("train", "prepare", "generate", "convert", "evaluate", "sweep", "bench"):
        done = run(program, "--help")
        equal((done.code, done.err), (0, ""), program + " --help")
        table = read("launch", program + ".c").split("const Option options[]")[1].split("\n};")[0]
        wanted = re.findall(r'\{"([\w-]+)", OPTION_', table)
        check(wanted, "no options in launch/%s.c" % program)
        options = done.out.split("\nOptions:\n")[1].split("\n\n")[0]
        equal(re.findall(r"(?m)^  --([\w-]+)", options), wanted + ["help", "version"],
              program + " --help")
        check(re.fullmatch(program + r" \(Hourglass\) [\d.]+\ncommit +\S+\ncompiler +\S+ [\d.]+\n"
                           r"processor +\S+\nMPI +[\d.]+\n(\w+ +[\w.-]+\n)+",
                           run(program, "--version").out), "--version")
    keys = re.findall(r"(?m)^\| `([\w.]+)` \|", read("docs", "config.md").split("## Presets")[0])
    shown = run("train", "--help").out
    equal([key for key in keys if not re.search(r"(?m)^  %s " % re.escape(key), shown)], [],
          "keys that --help lacks")


def a_start_loads_no_library_of_cuda():
    """They take longer than all the rest of it; the first GPU that is opened loads them."""
    if re.search(r"(?m)^CUDA +no$", run("train", "--version").out):
        raise Skip("needs a build with CUDA")
    for program in ("train", "prepare", "generate", "evaluate", "sweep"):
        done = subprocess.run([os.path.join(PROGRAMS, program)], text=True, capture_output=True,
                              env=dict(ENVIRONMENT, LD_TRACE_LOADED_OBJECTS="1"), timeout=60)
        check("libc.so" in done.stdout, "%s: %r" % (program, done))
        check(not re.search("lib(cu|nccl)", done.stdout.replace("libcurl", "")), done.stdout)


if __name__ == "__main__":
    main(the_files_of_a_run, console_lines, a_progress_bar_on_a_terminal_only,
         terminals_of_any_width, the_bar_ends_before_an_error,
         metrics_in_both_forms, no_evaluation_without_its_data, the_resolved_config_reruns_the_same,
         print_config_round_trip, the_plan_alone_touches_nothing, a_plan_for_a_gpu_that_is_not_here,
         peak_memory_is_the_plan_and_a_base, a_time_budget, the_system_clock_is_not_used, a_profile,
         help_is_the_option_table, a_start_loads_no_library_of_cuda)
