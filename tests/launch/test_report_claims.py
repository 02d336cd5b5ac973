#!/usr/bin/env python3
"""What the report of a study claims: differences with their intervals, tuned values,
critical batches."""

import math
import shutil

import e2e
from e2e import check, equal
from reports import (CHARTS, charts, page, point, read, report, sentences, study, table, write)


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


def other_tokens_are_no_ruler():
    """Nor are other contexts, which older versions did not record."""
    says = "The points were not evaluated on the same tokens with the same contexts"
    for name, rulers, differ in (("same", ((500, "ab", 32), (500, "ab", 32)), False),
                                 ("fewer", ((500, "ab", 32), (64, "ab", 32)), True),
                                 ("file", ((500, "ab", 32), (500, "cd", 32)), True),
                                 ("contexts", ((500, "ab", 32), (500, "ab", 64)), True),
                                 ("older", ((500, "ab", None), (500, "ab", 64)), False)):
        directory = study("ruler_" + name)
        write(directory, [
            point(directory, "b%d" % batch, {"data.batch_size": batch}, val_tokens=tokens,
                  block_size=contexts, data={"val": {"path": "v.h5", "tokens": 900, "xxh3": of}})
            for batch, (tokens, of, contexts) in zip((4, 8), rulers)
        ], series=None)
        report(directory)
        equal(says in "\n".join(sentences(directory)), differ, name)


def answer_of(name, points, **changes):
    """The first sentence of a report on {batch: the other arguments of its point}."""
    directory = study(name)
    write(directory, [
        point(directory, "b%d" % batch, {"data.batch_size": batch}, **more)
        for batch, more in points.items()
    ], series=None, **changes)
    report(directory)
    return sentences(directory)[0]


def an_answer_has_the_unit_and_the_direction_of_its_metric():
    for key, wanted in (("val/bpb", "lowest validation loss after 6 s of training is 2.0000 bits "
                         "per byte (one seed), of batch 4;"),
                        ("tok_per_joule", "highest energy efficiency after 6 s of training is 6 "
                         "tokens/J (one seed), of batch 8;"),
                        ("grad_norm", "lowest gradient norm after 6 s of training is 2 (one seed), "
                         "of batch 4;")):
        told = answer_of("unit_" + key.replace("/", "_"), {
            4: {"losses": (4, 2), "evaluated": key}, 8: {"losses": (6, 3), "evaluated": key}
        }, metric=key)
        check(told.startswith("The " + wanted), told)


def a_metric_that_no_run_has_is_said():
    for name, state, wanted in (("unmeasured", "done", "No finished point has a number for mfu, "
                                 "so there is no answer."),
                                ("unfinished", "running", "No point is done yet, so there is no "
                                 "answer.")):
        equal(answer_of(name, {4: {"state": state}}, metric="mfu"), wanted)


def a_budget_is_named_if_it_ended_the_runs():
    steps, both, early = "{steps: 20}", "{steps: 20, time: 1h}", "{steps: 20, early: 50%}"
    for i, (stops, wanted) in enumerate((((steps, steps), "loss after 20 steps is"),
                                         ((both, both), "loss is"), ((steps, early), "loss is"),
                                         ((both, steps), "loss is"), ((early, early), "loss is"))):
        told = answer_of("budget_%d" % i, {4: {"stop": stops[0]}, 8: {"stop": stops[1]}})
        check("The lowest validation " + wanted in told, told)


def a_loss_that_is_not_finite_is_no_result():
    """The last loss of a run is not the one before it, and the mean of its losses not that of the
    finite ones."""
    for reduce in ("last", "mean"):
        directory = study("infinite_" + reduce)
        points = [
            point(directory, "b%d_%d" % (batch, seed), {"data.batch_size": batch, "seed": seed})
            for batch in (4, 8) for seed in (1, 2)
        ]
        path = points[0]["directory"] + "/metrics.jsonl"
        with open(path, encoding="utf-8") as file:
            head = file.read().rsplit('"val/loss": ', 1)[0]
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + '"val/loss": null}\n')
        write(directory, points, series=None, reduce=reduce)
        report(directory)
        rows = {row["name"]: row for row in table(directory, "points")}
        equal([row["remark"] for row in rows.values()], ["loss not finite", "", "", ""], reduce)
        equal([(row["data.batch_size"], row["n"]) for row in table(directory, "summary")],
              [("4", "1"), ("8", "2")], reduce)


def tuning_of(directory, points, batch, optimum, rates, **more):
    """A tuning whose results are a parabola in log(rate); its best candidate is a point."""

    def result(rate, rung):
        return 3.2 + 0.05 * math.log(rate / optimum)**2 + 0.4 * (rung == 0)

    def named(rate):
        return "_".join(["b%d_%g" % (batch, rate), *map(str, more.values())])

    best = min(rates, key=lambda rate: result(rate, 1))
    candidates = []
    for rate in rates:
        values = {"data.batch_size": batch, "optimizer.lr": rate, "seed": 1, **more}
        name = named(rate)
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
        "keys": ["optimizer.lr"], "rungs": [0.25, 1.0], "decided": True, "best": named(best),
        "edge": "optimizer.lr is at the upper edge" * (batch == 64),
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


def a_mean_names_the_seeds_that_failed():
    directory = study("failed_seeds")
    write(directory, [
        point(directory, "b%d_%d" % (batch, seed), {"data.batch_size": batch, "seed": seed},
              state="failed" if batch == 16 and seed > 1 else "done", losses=(5, 4, 32 / batch))
        for batch in (8, 16) for seed in (1, 2, 3)
    ], series=None)
    report(directory)
    told = sentences(directory)
    check("2 of 3 runs of batch 16 failed and are not in its mean." in told, told)


def a_mean_names_the_global_batches_that_it_mixes():
    directory = study("mixed_ranks")
    points = [
        point(directory, "b%d_%d" % (batch, seed), {"data.batch_size": batch, "seed": seed})
        for batch in (4, 8) for seed in (1, 2)
    ]
    with open(points[1]["directory"] + "/plan.json", "w", encoding="utf-8") as file:
        file.write('{"batch_size": 4, "world_size": 4, "tokens_per_step": 8000}')
    write(directory, points, series=None)
    report(directory, path=e2e.WORK)
    told = [line for line in sentences(directory) if "tokens per step" in line]
    equal(told, ["The mean of batch 4 mixes runs of 4.00 K and 8.00 K tokens per step, such as "
                 "those of other ranks: they are no seeds of one config."])


def every_finished_point_is_in_the_answer():
    """One without the key of the x axis; points that differ in a key that is tuned elsewhere."""
    directory = study("without_x")
    write(directory, [
        point(directory, "a", {"optimizer.lr": 1e-4}, losses=(5, 4)),
        point(directory, "b", {"optimizer.lr": 3e-4}, losses=(5, 4.5)),
        point(directory, "c", {"attention.backends": ["flash"]}, losses=(5, 3)),
        {"name": "d", "directory": directory + "/d", "values": {"seed": 2}, "state": "waiting"}
    ], x="optimizer.lr")
    report(directory)
    check("is 3.0000 nats (one seed), of flash at lr 0.0006;" in sentences(directory)[0],
          sentences(directory)[0])
    directory, points = study("listed_rates"), []
    tuning = tuning_of(directory, points, 4, 3e-3, [1e-3, 3e-3])
    points.extend(point(directory, "l%g" % rate, {"data.batch_size": 4, "optimizer.lr": rate,
                                                  "seed": 1}, losses=(5, 4)) for rate in (1, 2))
    write(directory, points, tuning=[tuning], series=None)
    report(directory)
    equal([(row["series"], row["n"]) for row in table(directory, "summary")],
          [("lr tuned", "3"), ("lr 1", "1"), ("lr 2", "1")], "seeds")


def what_was_tuned_makes_no_series():
    """Each width has its own best rate at each batch. A batch with two grids has two results."""
    directory, points, rates = study("widths"), [], [1e-3 * 2**i for i in range(6)]
    tuning = [tuning_of(directory, points, batch, rate * batch, rates, **{"model.n_embd": width})
              for width, rate in ((64, 1e-3), (128, 3e-3)) for batch in (4, 8)]
    write(directory, points, tuning=tuning, series=None)
    report(directory, path=e2e.WORK)
    equal([row["series"] for row in table(directory, "summary")],
          ["n_embd 64"] * 2 + ["n_embd 128"] * 2, "series")
    directory, points = study("grids"), []
    tuning = [tuning_of(directory, points, 4, 3e-3, rates) for rates in ([1e-3], [3e-3])]
    write(directory, points, tuning=tuning, series=None)
    report(directory, path=e2e.WORK)
    equal([row["n"] for row in table(directory, "summary")], ["3", "3"], "seeds of each grid")


def limits_are_said_after_many_comparisons():
    """However many they are: here a seed of each mean has failed."""
    directory = study("many")
    write(directory, [
        point(directory, "%d_%d_%d" % (layers, batch, seed),
              {"model.n_layer": layers, "data.batch_size": batch, "seed": seed},
              losses=(5, layers + batch / 8 + seed / 16), val_tokens=64 * seed,
              state="failed" if seed == 3 else "done",
              data={"val": {"path": "v.h5", "tokens": 900, "xxh3": "ab"}})
        for layers in range(6) for batch in range(1, 6) for seed in (1, 2, 3)
    ], series="model.n_layer")
    report(directory, path=e2e.WORK)
    told = sentences(directory)
    equal(len([line for line in told if " of 3 runs of " in line]), 30, "failed seeds")
    check(any(line.startswith("The points were not evaluated on the same") for line in told), told)
    check(any(line.endswith("more comparisons are left out; the summary has each mean.")
              for line in told), told)


def branches(name, losses, seeds=3, path=None, key="data.batch_size"):
    """Branches from two forks of a trunk for each seed; `losses`: {batch: last loss}. `path`: to
    leave out the charts. `key`: what makes the batch larger."""
    directory, points = study(name), []
    for seed in range(seeds):
        point(directory, "trunk-%d" % seed, {"data.batch_size": 4})
        for at, more in (("10%", 0.2), ("50%", 0)):
            for batch, loss in losses.items():
                values = {"data.batch_size": batch, "seed": seed}
                made = point(directory, "at-%s_%d_%d" % (at[:-1], batch, seed), values, losses=(
                    2, loss + more * (batch > 4) + 0.1 * seed + 1e-4 * (batch == 8) * seed),
                             joules=5000 * batch, tokens=20000 * batch)
                made["values"] = {key: batch, "seed": seed}
                made["branch"] = {"at": at, "tokens": 8000, "tolerance": 0.01,
                                  "run": "moved/trunk-%d" % seed}
                points.append(made)
    write(directory, points, series=None, reduce="last", x=key)
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
    done, rows, directory = branches("one_seed", losses, seeds=1, path=e2e.WORK)
    check("one seed, so the batches beside it" in done.stdout, done.stdout)
    check("A result of one seed has no interval" in read(directory, "answer.txt"), "limits")
    done, rows, _ = branches("below", {4: 3, 8: 3, 16: 2.99}, path=e2e.WORK)
    check("is above 16.0 K tokens per step, the largest batch with a result" in done.stdout,
          done.stdout)
    equal(rows[1]["critical batch"], "", "no critical batch")
    # the interval at 8 reaches beyond the tolerance
    done, rows, _ = branches("unsure", {4: 3, 8: 3.0097, 16: 3.0099}, path=e2e.WORK)
    check("50% of the run was not found (above 4.00 K; 95%, 3 seeds): up to 16.0 K" in done.stdout,
          done.stdout)
    # the smallest step is the reference, however it is made, and listed last
    done, rows, _ = branches("accumulated", {16: 3.05, 8: 3.004, 4: 3}, path=e2e.WORK,
                             key="training.gradient_accumulation_steps")
    check(abs(float(rows[1]["critical batch"]) - wanted) < 1, rows[1])


if __name__ == "__main__":
    e2e.main(sentences_claim_no_more_than_their_intervals,
             other_tokens_are_no_ruler, an_answer_has_the_unit_and_the_direction_of_its_metric,
             a_metric_that_no_run_has_is_said, a_budget_is_named_if_it_ended_the_runs,
             a_loss_that_is_not_finite_is_no_result,
             a_mean_names_the_seeds_that_failed, a_mean_names_the_global_batches_that_it_mixes,
             every_finished_point_is_in_the_answer, what_was_tuned_makes_no_series,
             limits_are_said_after_many_comparisons, tunings_are_reported,
             branches_show_the_critical_batch)
