#!/usr/bin/env python3
"""./watch: runs that are done, that go on, that have nothing to show; terminals, pipes and pages.
(fast lane)"""

import json
import os
import re
import shutil
import signal
import unicodedata

from e2e import (WORK, check, config, equal, main, on_a_terminal, run, run_directory, start, train)


def trained(name="watched"):
    """A small run that is done."""
    directory = run_directory(name)
    if not os.path.exists(directory):
        train(
            config(name, training__stop__steps=60, evaluation__interval=20,
                   checkpoint__interval=0))
    return directory


def copy_of(name):
    directory = run_directory(name)
    shutil.copytree(trained(), directory)
    return directory


def fails(code, pattern, *arguments):
    done = run("watch", *arguments)
    equal(done.code, code, repr(done))
    check(re.search(pattern, done.err), "%r is not in %r" % (pattern, done.err))
    equal(len(done.err.splitlines()), 1, "lines of the error")


def once(*arguments, **environment):
    done = run("watch", *arguments, **environment)
    equal((done.code, done.err), (0, ""), "watch: %r" % done)
    return done.out


def a_loss_that_is_not_finite_is_shown():
    path = copy_of("no_loss") + "/metrics.jsonl"
    with open(path, encoding="utf-8") as file:
        head, tail = file.read().rsplit('"val/loss": ', 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + '"val/loss": null' + tail[tail.index(","):])
    out = once(os.path.dirname(path))
    check(re.search(r"^loss \d\.\d{4} \| val nan \| best \d\.\d{4}$", out, re.M), out)


def lines_of(shown):
    return re.split(r"[\r\n]+", re.sub(r"\033\[[0-9;]*[A-Z]", "", shown))


def a_pipe_gets_one_snapshot():
    out = once(trained())
    check("\033" not in out and "\r" not in out, repr(out))
    check(max(len(line) for line in out.splitlines()) <= 80, out)
    check(re.match(r"watched +done\n100% of 60 steps \| step 60 \| \d+ s of training\n", out), out)
    check(re.search(r"^loss \d\.\d{4} \| val \d\.\d{4} \| best \d\.\d{4}$", out, re.M), out)
    check(re.search(r"^[\d.]+( K| M)? tok/s \| \d+ MiB$", out, re.M), out)
    check(any("BRAILLE" in unicodedata.name(c, "") for c in out) and "▁" <= max(out), out)
    equal("".join(out.splitlines()[5:-2]).count("o"), 3, "marks of evaluations in " + out)
    check("60 steps" in out.splitlines()[-2], out)
    check(once(trained(), LC_ALL="C").isascii(), "more than ASCII without UTF-8")


def terminals_of_any_width():
    directory = trained()
    for columns in (40, 80, 120, 200):
        shown = on_a_terminal("watch", directory, directory, directory, columns=columns)
        lines = lines_of(shown)
        check(all(len(line) < columns for line in lines), "%d: %r" % (columns, lines))
        equal(sum(line.count("100% of 60 steps") for line in lines), 3, "panels")


def a_run_that_goes_on():
    name = "goes_on"
    job = start(["train", config(name, training__stop={"time": "2s"}, logging__interval=20)])
    job.wait_for("step 20 ")
    shown = on_a_terminal("watch", run_directory(name))
    equal(job.end().code, 0, "train")
    check("\033[J" in shown and re.search(r"\033\[\d+A\r", shown), "not redrawn: %r" % shown[-300:])
    check("running" in shown and " left" in shown and shown.rstrip().count("done") == 1,
          repr(lines_of(shown)))
    states = re.findall(r"goes_on +(\w+)", shown)
    equal(states[-1], "done", "the last state of %r" % states)


def interrupted_and_stopped():
    name = "stopped"
    path = config(name, training__stop={"time": "60s"}, logging__interval=1)
    job = start(["train", path])
    job.wait_for("step 20 ")
    page = os.path.join(WORK, "running.html")
    check(re.match(r"stopped +running\n", once(run_directory(name))), "not running")
    once(run_directory(name), "--once", "--html=" + page)
    with open(page, encoding="utf-8") as file:
        check('http-equiv="refresh" content="10"' in file.read(), "the page is not reloaded")
    job.send(signal.SIGUSR1)
    equal(job.end().code, 75, "train")
    check(re.match(r"stopped +stopped\n", once(run_directory(name))), "not stopped")


def half_written_files():
    directory = copy_of("half")
    path = os.path.join(directory, "metrics.jsonl")
    os.remove(directory + "/summary.json")  # which is as good as metrics
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    for text, wanted in (("", "no step logged yet"), (lines[0][:20], "no step logged yet"),
                         ("".join(lines[:30]) + lines[30][:-9], "interrupted"),
                         ("x\n{}\n" + lines[0], "interrupted")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        out = once(directory)
        check(wanted in out, out)
        if text.startswith(lines[0]):
            wanted = json.loads(lines[29]).get("train/loss", json.loads(lines[28])["train/loss"])
            check("loss %.4f" % wanted in out, out)
    os.remove(path)
    check("no step logged yet" in once(directory), "without metrics")


def wrong_directories():
    fails(64, r"^watch: error: RUN\.\.\. is missing")
    fails(64, r"unexpected argument .*; \./watch takes RUN\.\.\., at most 64; see --help",
          *[trained()] * 65)
    fails(65, r"nowhere: no such run; name the directory of a run", WORK + "/nowhere")
    fails(65, r"\.yaml: no such run", config("never"))
    fails(65, r"data: not a run: it has no config\.yaml", WORK + "/data")
    study = os.path.join(WORK, "study")
    os.makedirs(study)
    with open(study + "/sweep.json", "w", encoding="utf-8") as file:
        file.write("{}")
    fails(65, r"study: a study; name its runs, .*/study/NAME, or see \./sweep .* --report", study)
    done = run("sweep", trained(), "--report")
    check("run, not a study; ./watch %s --html=FILE shows it" % trained() in done.err, done.err)


def a_page():
    strange, page = run_directory("a<b>&'c"), os.path.join(WORK, "page.html")
    shutil.copytree(trained(), strange)
    equal(once(trained(), strange, "--html=" + page), "", "output beside the page")
    with open(page, encoding="utf-8") as file:
        text = file.read()
    check("refresh" not in text, "the page of runs that are done is reloaded")
    check("a&lt;b&gt;&amp;&#39;c" in text and "<b>" not in text, "a name is not escaped")
    check(not re.search(r"(src|href)=[\"']?(http|//)", text), "the page needs a network")
    check("2 runs, 2 done" in text, "no states")
    if shutil.which("gnuplot"):
        charts = re.findall(r"<svg role=\"img\" aria-label=", text)
        check(len(charts) >= 4, "%d charts" % len(charts))
    without = run("watch", trained(), "--html=" + page, PATH=WORK + "/nowhere")
    with open(page, encoding="utf-8") as file:
        check("gnuplot is not installed" in file.read(), repr(without))
    fails(1, "cannot", trained(), "--html=" + WORK + "/nowhere/page.html")
    notes = os.path.join(WORK, "notes")
    for text in ("notes", "notes of an afternoon"):
        with open(notes, "w", encoding="utf-8") as file:
            file.write(text)
        fails(65, "not a page, so it is not replaced", trained(), "--html=" + notes)
        with open(notes, encoding="utf-8") as file:
            equal(file.read(), text, "somebody's file")
    open(notes, "w", encoding="utf-8").close()
    once(trained(), "--html=" + notes)


main(a_pipe_gets_one_snapshot, terminals_of_any_width, a_run_that_goes_on, interrupted_and_stopped,
     half_written_files, wrong_directories, a_page,
     a_loss_that_is_not_finite_is_shown)
