#!/usr/bin/env python3
"""attention.pick: measured, and the lines of --plan and of a run's start about each backend."""

import glob
import json
import os
import re
import shutil

from e2e import WORK, check, config, equal, losses, main, run_directory, train

CACHE = os.path.join(WORK, "cache")
MEASURED = {"pick": "measured", "backends": ["flash", "math", "baseline"]}


def read(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return file.read()


def frozen(directory):
    return re.search(r"backends: \[(.*)\]\n +pick: (\w+)", read(directory, "config.yaml")).groups()


def times(directory):
    return {
        entry["name"]: entry["ms"]
        for entry in json.loads(read(directory, "plan.json"))["backends"]
    }


def measured_once_and_frozen():
    path, directory = config("measured", attention=MEASURED), run_directory("measured")
    done = train(path, "training.stop.steps=3", HOURGLASS_CACHE=CACHE)
    ms = times(directory)
    check(set(ms) >= {"flash", "math", "baseline"}, "backends of plan.json: %r" % set(ms))
    fastest = min(MEASURED["backends"], key=ms.get)
    equal(frozen(directory), (fastest, "measured"), "the run's config.yaml")
    for name in MEASURED["backends"]:
        check("attention: %s measured: %.3f ms" % (name, ms[name]) in read(directory, "train.log"),
              done.out)
    check(
        "attention: %s measured: %.3f ms forward and backward, picked" % (fastest, ms[fastest])
        in done.out, done.out)
    # of the cache: another run picks by the same times, a resume does not pick at all
    train(config("again", attention=MEASURED), "training.stop.steps=3", HOURGLASS_CACHE=CACHE)
    for name in MEASURED["backends"]:
        check(
            abs(times(run_directory("again"))[name] - ms[name]) <= 1e-6,
            "%s was measured again" % name)
    shutil.rmtree(CACHE)
    done = train(path, "training.stop.steps=6", HOURGLASS_CACHE=CACHE)
    check("resumed from" in done.out and "measured:" not in done.out, done.out)
    equal(frozen(directory), (fastest, "measured"), "config.yaml after the resume")
    equal(len(losses(directory)), 6, "steps")


def a_plan_does_not_measure():
    path, directory = config("planned", attention=MEASURED), run_directory("planned")
    done = train(path, "--plan", HOURGLASS_CACHE=os.path.join(WORK, "other"))
    check("attention.pick: measured has no time for every backend yet" in done.out, done.out)
    check(re.search(r"^flash +[0-9.]+ +[0-9]+ +- +- +picked$", done.out, re.M), done.out)
    train(path, "training.stop.steps=1", HOURGLASS_CACHE=os.path.join(WORK, "other"))
    ms = times(directory)
    shutil.rmtree(directory)
    done = train(path, "--plan", HOURGLASS_CACHE=os.path.join(WORK, "other"))
    check("no time" not in done.out, done.out)
    for name in MEASURED["backends"]:
        state = "picked" if ms[name] == min(ms[each]
                                            for each in MEASURED["backends"]) else "accepted"
        check(
            re.search(r"^%s +[0-9.]+ +[0-9]+ +%.3f +- +%s$" % (name, ms[name], state), done.out,
                      re.M), done.out)
    done = train(path, "--plan", "device=cuda", "training.dtype=bfloat16",
                 "attention.backends=[math,baseline]", HOURGLASS_CACHE=CACHE)
    if "planning device" in done.out:
        check("measured needs the device; this plan goes by the order" in done.out, done.out)


def every_rank_takes_rank_0s_choice():
    done = train(config("ranks", attention=MEASURED), "training.stop.steps=2", ranks=2,
                 HOURGLASS_CACHE=CACHE)
    backends, _ = frozen(run_directory("ranks"))
    check(backends in MEASURED["backends"] and "attention " + backends in done.out, done.out)
    equal(len(losses(run_directory("ranks"))), 2, "steps")


def a_batch_that_is_chosen_too():
    path = config("auto", attention=MEASURED, data__batch_size="auto", memory_budget="8MiB")
    train(path, "training.stop.steps=1", HOURGLASS_CACHE=CACHE)
    text = read(run_directory("auto"), "config.yaml")
    batch = int(re.search(r"batch_size: (\d+)", text).group(1))
    plan = json.loads(read(run_directory("auto"), "plan.json"))
    check(batch > 1 and plan["planned_bytes"] <= 8 << 20, str(plan))


def broken_caches_only_cost_a_measurement():
    for number, damage in enumerate((b"", b"\0\xff" * 5000, b"flash = 1 end\n" * 100, None)):
        shutil.rmtree(CACHE, ignore_errors=True)
        os.makedirs(CACHE)
        path = config("broken%d" % number, attention=MEASURED)
        train(path, "training.stop.steps=1", HOURGLASS_CACHE=CACHE)
        files = glob.glob(CACHE + "/attention-*")
        equal(len(files), 1, "files of the cache")
        if damage is None:
            os.remove(files[0])
            os.makedirs(files[0])
        else:
            with open(files[0], "wb") as file:
                file.write(damage)
        done = train(config("mended%d" % number, attention=MEASURED), "training.stop.steps=1",
                     HOURGLASS_CACHE=CACHE)
        equal(done.out.count("measured: "), 3, done.out)
        equal(done.err, "", "standard error")
    shutil.rmtree(CACHE)


def refusals_are_said():
    path = config("refused", training__dtype="float16")
    done = train(path, code=78)
    check("training.dtype float16 on the CPU is not computed" in done.err, done.err)
    done = train(config("order", attention={"backends": ["math", "flash"]}), "--plan")
    check(re.search(r"^math .* picked$", done.out, re.M), done.out)
    check(re.search(r"^flash .* accepted$", done.out, re.M), done.out)
    check(re.search(r"^baseline .* accepted, but not in attention.backends$", done.out, re.M),
          done.out)
    done = train(config("paper", training__dtype="float32", device="cuda"), "--plan")
    check(re.search(r"^flash +- +- +- +- +needs ", done.out, re.M), done.out)
    for head_dim, verdict in ((80, "picked"), (12, "needs HS up to 256, a multiple of 8")):
        done = train(config("heads", device="cuda", training__dtype="bfloat16"), "--plan",
                     "model.head_dim=%d" % head_dim)
        check(re.search(r"^flash .*%s$" % verdict, done.out, re.M), done.out)


if __name__ == "__main__":
    main(measured_once_and_frozen, a_plan_does_not_measure, every_rank_takes_rank_0s_choice,
         a_batch_that_is_chosen_too, broken_caches_only_cost_a_measurement, refusals_are_said)
