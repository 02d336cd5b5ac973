#!/usr/bin/env python3
"""./bench: its tables on shapes too small for meaningful times, its files, and its refusals."""

import csv
import os
import re
import shutil
import signal

from e2e import WORK, Skip, check, content, equal, main, run, start

SMALL = ["--device=cpu", "--B=1", "--NH=2", "--HS=8", "--repeats=2"]
NAMES = ["flash", "mem_efficient", "math", "baseline"]


def bench(*arguments, code=0, **environment):
    done = run("bench", *arguments, **environment)
    equal(done.code, code, "bench %s: %r" % (" ".join(arguments), done))
    return done


def path_of(name):
    return os.path.join(WORK, name)


def rows_of(name):
    with open(path_of(name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_drawn(done, name):
    """Where gnuplot is there the picture is; elsewhere one line says so."""
    if shutil.which("gnuplot") is None:
        check("no gnuplot here" in done.err, done.err)
        check(not os.path.exists(path_of(name)), "a picture without gnuplot")
        return
    equal(done.err, "", "standard error")
    with open(path_of(name), "rb") as file:
        start_of = file.read(64)
    check(start_of.startswith(b"\x89PNG" if name.endswith(".png") else b"<?xml"), repr(start_of))
    check(not any(entry.endswith(".hourglass") for entry in os.listdir(WORK)), "something is left")


def attention_measures_every_backend():
    done = bench("attention", *SMALL, "--T=16,40", "--causal", "--csv=" + path_of("a.csv"),
                 "--plot=" + path_of("a.svg"))
    is_drawn(done, "a.svg")
    rows = rows_of("a.csv")
    equal([(row["T"], row["backend"]) for row in rows],
          [(T, name) for T in ("16", "40") for name in NAMES], "rows")
    equal(
        list(rows[0]),
        "device dtype B NH T HS mask backend forward_us both_us forward_tflops both_tflops "
        "forward_share both_share bytes refusal NH_kv Tk dropout layout "
        "forward_low_us forward_high_us both_low_us both_high_us".split(), "columns")
    lines = done.out.splitlines()
    for row in rows:
        shown = [line for line in lines if line.split()[:2] == [row["T"], row["backend"]]]
        equal(len(shown), 1, "lines of " + row["backend"])
        equal([row["B"], row["NH"], row["HS"], row["mask"], row["dtype"]],
              ["1", "2", "8", "causal", "f32"], "the call")
        if row["refusal"]:
            check("refused: " + row["refusal"] in shown[0] and not row["forward_us"], shown[0])
            continue
        T, us, tflops = int(row["T"]), float(row["both_us"]), float(row["both_tflops"])
        check(0 < float(row["forward_us"]) and 0 < us, str(row))
        flops = 14 * 2 * 8 * T * (T +
                                  1) / 2  # seven products over the keys that a causal query sees
        check(
            abs(1e-6 * flops / us - tflops) <= 1e-3 * tflops,
            "%s TFLOP/s of %s in %s us" % (tflops, flops, us))
        check(0 < float(row["forward_share"]), str(row))
    measured = {(row["T"], row["backend"]): int(row["bytes"]) for row in rows if not row["refusal"]}
    check({"flash", "math", "baseline"} <= {name for _, name in measured}, str(measured))
    check(measured["40", "math"] > 3 * measured["16", "math"], "math keeps T^2: %s" % measured)
    check("of the" in done.out and "product reaches here" in done.out, done.out)


def attention_with_documents():
    bench("attention", *SMALL, "--T=48", "--documents=8", "--backends=math",
          "--csv=" + path_of("d.csv"))
    rows = rows_of("d.csv")
    equal([row["mask"] for row in rows], ["causal", "documents 8"], "masks")
    check(all(float(row["both_us"]) > 0 for row in rows), str(rows))


def seen_keys(row, flops_a_pair=14):
    """The pairs of query and key that correspond to a row's FLOPs: seven products in both
    directions."""
    return 1e6 * float(row["both_tflops"]) * float(row["both_us"]) / (flops_a_pair * int(row["HS"]))


def visible(T, Tk, window=0, shift=0):
    """Keys that causal queries see, the diagonal being `shift` keys further."""
    return sum(
        max(0,
            min(Tk, i + 1 + shift) - (max(0, i + 1 + shift - window) if window else 0))
        for i in range(T))


def attention_by_flags():
    """FLOPs are of the pairs that each flag leaves, on every layout."""
    cases = [
        ("--T=16 --Tk=40 --causal --alignment=upper_left --layout=heads", visible(16, 40), "causal",
         "heads"),
        ("--T=40 --Tk=16 --window=5 --alignment=lower_right", visible(40, 16, 5, -24),
         "window 5 lower_right", "tokens"),
        ("--T=1 --Tk=64 --causal --alignment=lower_right --NH_kv=1", 64, "causal lower_right",
         "tokens"),
        ("--T=24 --NH_kv=2 --dropout=0.2 --causal", visible(24, 24), "causal", "packed"),
        ("--T=24 --Tk=30 --bias=additive --bias-dims=bhqk --window=7", visible(24, 30, 7),
         "window 7 + additive bhqk", "tokens"),
        ("--T=20 --key-lengths=20,3 --causal", sum(visible(20, keys) for keys in (20, 3, 20)) / 3,
         "causal + lengths", "packed"),
    ]
    for flags, pairs, mask, layout in cases:
        bench("attention", "--device=cpu", "--B=3", "--NH=4", "--HS=8", "--repeats=1",
              *flags.split(), "--csv=" + path_of("f.csv"), OMP_NUM_THREADS="1")
        rows = rows_of("f.csv")
        equal([row["backend"] for row in rows], NAMES, flags)
        for row in rows:
            equal([row["mask"], row["layout"]], [mask, layout], flags)
            if "additive" in flags and row["backend"] == "flash":
                equal([row["refusal"], row["both_us"]], ["takes no arbitrary mask", ""], flags)
                continue
            equal(row["refusal"], "", "%s by %s" % (flags, row["backend"]))
            check(
                abs(seen_keys(row) / (3 * 4 * pairs) - 1) < 1e-3,
                "%s: %s pairs, not %s" % (flags, seen_keys(row), 12 * pairs))
            for name in ("Tk", "NH_kv", "dropout"):
                given = re.search("--%s=([0-9.]+)" % name, flags)
                equal(
                    row[name],
                    given.group(1)
                    if given else {"Tk": row["T"], "NH_kv": "4", "dropout": "0"}[name], flags)


def attention_with_a_boolean_mask():
    """Half of the pairs, also of those that other masks leave; the table gives the reason why flash
    is missing."""
    for flags, pairs in (("--T=48 --bias-dims=bhqk --causal", visible(48, 48)),
                         ("--T=48 --bias-dims=hk --key-lengths=20", 48 * 20)):
        done = bench("attention", *SMALL, "--bias=boolean", *flags.split(),
                     "--csv=" + path_of("b.csv"), OMP_NUM_THREADS="1")
        rows = rows_of("b.csv")
        check("refused: takes no arbitrary mask" in done.out, done.out)
        seen = {round(seen_keys(row)) for row in rows if not row["refusal"]}
        check(
            len(rows) == 4 and len(seen) <= 2 and 0.3 < max(seen) / (2 * pairs) < 0.7,
            "%s: %s" % (flags, seen))


def attention_by_many_lengths():
    """Flags apply to every length, with and without documents; the header lists all differences
    from the model's call."""
    done = bench("attention", *SMALL, "--NH_kv=1", "--T=16,40", "--documents=8", "--window=6",
                 "--backends=flash,math", "--csv=" + path_of("m.csv"), "--plot=" + path_of("m.svg"),
                 OMP_NUM_THREADS="1")
    rows = rows_of("m.csv")
    equal([(row["T"], row["mask"], row["backend"]) for row in rows],
          [(T, mask, name) for T in ("16", "40") for mask in ("window 6", "documents 8")
           for name in ("flash", "math")], "rows")
    check("HS 8, NH_kv 1; medians" in done.out, done.out)
    for plain, apart in zip(rows[0:2] + rows[4:6],
                            rows[2:4] + rows[6:8]):  # the window of a document is at most the row's
        check(0 < seen_keys(apart) < seen_keys(plain) * 1.001,
              "%s and %s" % (seen_keys(apart), seen_keys(plain)))
        check(
            abs(seen_keys(plain) / (2 * visible(int(plain["T"]), int(plain["T"]), 6)) - 1) < 1e-3,
            str(plain))


def attention_that_nothing_takes():
    done = bench("attention", "--device=cpu", "--dtype=f16", "--T=16",
                 "--csv=" + path_of("none.csv"), code=78)
    check("no backend takes this call" in done.err, done.err)
    equal(len(re.findall("refused: ", done.out)), len(NAMES), done.out)
    check(not os.path.exists(path_of("none.csv")), "a file of a table that failed")


LADDER = [
    "model.n_layer=1", "model.n_embd=16", "model.n_head=2", "model.block_size=16",
    "model.vocab_size=50"
]


def the_ladder_stands_beside_the_articles():
    done = bench("ladder", "--device=cpu", "--repeats=1", *LADDER, "--csv=" + path_of("l.csv"),
                 "--plot=" + path_of("l.png"))
    is_drawn(done, "l.png")
    rows = rows_of("l.csv")
    equal([row["rung"] for row in rows],
          ["baseline", "math", "mem_efficient", "flash", "flash, padded"], "rungs")
    equal([row["article_ms"] for row in rows], ["143", "134", "119", "113", "87"], "the article's")
    equal([round(float(row["article_speedup"]), 2) for row in rows], [1.0, 1.07, 1.2, 1.27, 1.64],
          "its speed-ups")
    for row in rows:
        check(row["rung"] in done.out, done.out)
        if row["refusal"]:
            check(row["refusal"] in done.out and not row["ms"], str(row))
            continue
        equal(row["vocabulary"], "64" if "padded" in row["rung"] else "50",
              "vocabulary of " + row["rung"])
        speedup = float(rows[0]["ms"]) / float(row["ms"])
        check(abs(speedup - float(row["speedup"])) <= 0.01 * speedup, str(row))
        check(int(row["planned_bytes"]) > 0 and float(row["tokens_per_s"]) > 0, str(row))
    check(sum(not row["refusal"] for row in rows) >= 4, str(rows))


def numerics_show_rounding_and_overflow():
    done = bench("numerics", "--device=cpu", "--NH=1", "--T=80", "--HS=64",
                 "--csv=" + path_of("n.csv"), "--plot=" + path_of("n.svg"))
    is_drawn(done, "n.svg")
    error = {
        (row["dtype"], row["name"], row["tensor"], float(row["magnitude"])): float(row["error"])
        for row in rows_of("n.csv")
    }
    magnitudes = [2.0 ** power for power in range(-2, 7)]
    for magnitude in magnitudes:
        for name in ("unscaled", "pre-scaled"):
            sizes = [error[dtype, name, "out", magnitude] for dtype in ("f32", "f16", "bf16")]
            if magnitude < 16:
                check(0 < sizes[0] < 1e-6 < 1e-5 < sizes[1] < sizes[2] < 0.3,
                      "%s at %g: %s" % (name, magnitude, sizes))
        for name in ("flash", "math", "baseline"):
            check(0 <= error["f32", name, "out", magnitude] < 1e-4, "%s at %g" % (name, magnitude))
            check(0 <= error["f32", name, "gradients", magnitude] < 1e-2,
                  "%s at %g" % (name, magnitude))
    # q.k has a standard deviation of 64^2 sqrt(64) = 32768, f16 ends at 65504: only scaling before
    # the product helps
    overflowed = error["f16", "unscaled", "out", 64.0]
    check(overflowed != overflowed or overflowed == float("inf"), "unscaled f16: %s" % overflowed)
    check(error["f16", "pre-scaled", "out", 64.0] < 1, "pre-scaled f16")
    check(error["bf16", "unscaled", "out", 64.0] < 1, "unscaled bf16")
    check(" nan" in done.out or " inf" in done.out, done.out)
    check("refused: needs f32, f64 or bf16" in done.out, done.out)


def wrong_words():
    cases = [
        (["attention", "--dtpye=f16"], "did you mean '--dtype'?"),
        (["attention", "--dtype=f8"], "--dtype requires one of"),
        (["attention", "--B=0"], "--B must be between 1"),
        (["attention", "--B=-3"], "--B must be between 1"),
        (["attention", "--B=many"], "--B requires an integer"),
        (["attention", "--repeats=0"], "--repeats must be between 1"),
        (["attention", "--window=0"], "--window must be between 1"),
        (["attention", "--documents=-1"], "--documents must be between 1"),
        (["attention", "--T=0"], "--T needs lengths from 1"),
        (["attention", "--T=64,-1"], "--T needs lengths from 1"),
        (["attention", "--T=64,,32"], "--T needs lengths from 1"),
        (["attention", "--T=" + ",".join(["8"] * 20)], "up to 16 lengths"),
        (["numerics", "--T=16,32"], "--T needs one length"),
        (["attention", "--NH=4", "--NH_kv=3"], "NH must be a multiple of NH_kv"),
        (["attention", "--alignment=lower_right",
          "--Tk=9"], "--alignment is the causal mask's: give --causal or --window"),
        (["attention", "--documents=4", "--Tk=9"], "--documents has as many keys as queries"),
        (["attention", "--documents=4", "--key-lengths=9"], "two masks of one kind"),
        (["attention", "--bias-dims=qk"], "--bias-dims is the bias's"),
        (["attention", "--dropout=1"], "--dropout must be between 0"),
        (["attention", "--key-lengths=0"], "--key-lengths needs lengths from 1"),
        (["attention", "--T=32,16",
          "--key-lengths=17"], "--key-lengths: 17 is more than the 16 keys of a row"),
        (["attention", "--B=2",
          "--key-lengths=1,2,3"], "--key-lengths has 3 lengths, but --B=2 rows"),
        (["attention", "--B=1M", "--NH=1M", "--T=16M"], "too large to address"),
        (["attention", "--B=2", "--NH=1M", "--T=16M", "--bias=boolean",
          "--bias-dims=bhqk"], "a bias is too large"),
        (["numerics", "--Tk=9"], "--Tk does not apply to bench numerics"),
        (["attention",
          "--backends=flash,fast"], "'fast' is none of flash, mem_efficient, math, baseline"),
        (["attention", "--backends=flash,"], "'' is none of"),
        (["numerics", "--backends=x"], "'x' is none of"),
        (["attention", "--plot=" + path_of("x.pdf")], "FILE.svg and FILE.png"),
        (["attention", "model.n_layer=1"], "takes no key=value"),
        (["numerics", "--window=3"], "--window does not apply to bench numerics"),
        (["ladder", "--T=16"], "--T does not apply to bench ladder"),
        (["step", "--csv=x.csv"], "--csv does not apply to bench step"),
        (["ladder", "training.gradient_accumulation_steps=2"], "one micro-batch"),
        (["ladder", "data.batch_size=auto"], "set data.batch_size to a number"),
        (["atention"], "did you mean 'attention'?"),
    ]
    for arguments, part in cases:
        if arguments[0] != "step":
            arguments = arguments + ["--device=cpu"]
        done = bench(*arguments, code=64)
        equal(len(done.err.splitlines()), 1, "lines of %r" % done.err)
        check(part in done.err, "%s: %r, not %r" % (arguments, done.err, part))
    for key in ("model.n_layer=0", "data.batch_size=-1", "model.block_size=0"):
        done = bench("ladder", "--device=cpu", key, code=78)
        check(key.split("=")[0] in done.err, done.err)


def files_that_cannot_be_written():
    for path in (path_of("none/x"), "/dev/null/x", WORK):
        for option, suffix in (("--csv=", ".csv"), ("--plot=", ".svg")):
            name = (path if path == WORK and option == "--csv=" else
                    path + suffix if path != WORK else path_of("none/y.svg"))
            done = bench("attention", *SMALL, "--T=16", option + name, code=1)
            check(name in done.err, done.err)
            equal(done.out, "", "nothing is measured first")
    done = bench("attention", *SMALL, "--T=16", "--backends=math", "--csv=/dev/full", code=1)
    check("/dev/full: cannot write" in done.err, done.err)
    os.symlink(path_of("target.csv"), path_of("link.csv"))  # a link stays one, as /dev/stdout must
    bench("attention", *SMALL, "--T=16", "--backends=math", "--csv=" + path_of("link.csv"))
    check(os.path.islink(path_of("link.csv")) and len(rows_of("target.csv")) == 1, "the link")


def files_of_others_are_kept():
    """Tables and charts of earlier tests are replaced, whichever command made them."""
    quick = ["attention", *SMALL, "--T=16", "--backends=math"]
    for name, option, kind in (("theirs.csv", "--csv=", "a table of ./bench"),
                               ("theirs.svg", "--plot=", "a chart of gnuplot"),
                               ("theirs.png", "--plot=", "a chart of gnuplot")):
        for text in (b"x", b"device,price\n1,2\n", b"<?xml version=\"1.0\"?>\n<svg></svg>\n"):
            with open(path_of(name), "wb") as file:
                file.write(text)
            done = bench(*quick, option + path_of(name), code=65)
            check("%s: not %s, so it is not replaced" % (name, kind) in done.err, done.err)
            equal((content(path_of(name)), done.out), (text, ""), "somebody's file")
        open(path_of(name), "wb").close()
        bench(*quick, option + path_of(name))
    for name in ("a.csv", "l.csv", "n.csv"):
        bench(*quick, "--csv=" + path_of(name))
        equal(len(rows_of(name)), 1, "rows")
    for name in ("a.svg", "n.svg", "l.png"):
        bench(*quick, "--plot=" + path_of(name))


def without_gnuplot_the_table_still_comes():
    done = bench("attention", *SMALL, "--T=16", "--backends=math", "--plot=" + path_of("no.svg"),
                 PATH=path_of("none"))
    check("no gnuplot here" in done.err and len(done.err.splitlines()) == 1, done.err)
    check(" math " in done.out and not os.path.exists(path_of("no.svg")), done.out)
    check(not any(entry.endswith(".hourglass") for entry in os.listdir(WORK)), "something is left")


def an_interrupt_leaves_nothing_behind():
    job = start([
        "bench", "attention", "--device=cpu", "--B=4", "--NH=8", "--T=2048", "--HS=64",
        "--repeats=1000", "--csv=" + path_of("cut.csv")
    ])
    job.wait_for("backend")
    job.send(signal.SIGINT)
    done = job.end(20)
    equal(done.code, -signal.SIGINT, repr(done))
    equal([name for name in os.listdir(WORK) if name.startswith("cut")], [], "files")
    equal(done.err, "", "standard error")


def one_device_a_benchmark():
    if shutil.which("mpirun") is None:
        raise Skip("no mpirun")
    for command in ("attention", "ladder", "numerics"):
        done = run("bench", command, "--device=cpu", ranks=2)
        equal(done.code, 64, repr(done))
        check("without mpirun" in done.err, done.err)


def help_tells_all():
    text = bench("attention", "--help").out
    for word in ("attention", "ladder", "numerics", "--csv=", "--plot=", "--documents=", "--causal",
                 "--NH_kv=", "--Tk=", "--alignment=", "--key-lengths=", "--bias=", "--bias-dims=",
                 "--dropout=", "--layout=", "--backends=", "--dtype="):
        check(word in text, word)


if __name__ == "__main__":
    main(help_tells_all, wrong_words, attention_measures_every_backend, attention_with_documents,
         attention_by_flags, attention_with_a_boolean_mask, attention_by_many_lengths,
         attention_that_nothing_takes, the_ladder_stands_beside_the_articles,
         numerics_show_rounding_and_overflow, files_that_cannot_be_written,
         files_of_others_are_kept,
         without_gnuplot_the_table_still_comes, an_interrupt_leaves_nothing_behind,
         one_device_a_benchmark)
