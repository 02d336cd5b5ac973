#!/usr/bin/env python3
"""Failures of files: no loss without a message, no damage to other files, no hang.
sanitizers: no"""

import errno
import glob
import os
import stat

from e2e import (WORK, check, checkpoints, config, content, equal, log_of, losses, main, run,
                 run_directory, summary, train, trained, write)
from injected import injected


def fails(done, code, wanted):
    """With one line and this exit code."""
    lines = done.err.splitlines()
    check(done.code == code and len(lines) == 1 and wanted in lines[0],
          "wanted %d and %r: %r" % (code, wanted, done))


def leftovers(directory):
    return [
        path for path in glob.glob(directory + "/**", recursive=True, include_hidden=True)
        if "hourglass" in path[len(WORK):]
    ]


def a_read_error_deletes_no_history():
    """On resume: the files stay unchanged, and a start without the fault continues from them."""
    path, directory = config("history", training__stop__steps=6), run_directory("history")
    train(path)
    longer = (path, "training.stop.steps=8")
    names = ("metrics.jsonl", "metrics.csv")
    before = {name: content(os.path.join(directory, name)) for name in names}
    for fault, named in (("read:/metrics.jsonl:1:5", "metrics.jsonl"), ("read:/metrics.csv:1:5",
                                                                        "metrics.csv"),
                         ("open:/metrics.jsonl:1:13", "metrics.jsonl"), ("read:/metrics.jsonl:2+:5",
                                                                         "metrics.jsonl"),
                         ("list:/checkpoints:1:5", "checkpoints"), ("list:/checkpoints:1:13",
                                                                    "checkpoints")):
        done = run("train", *longer, **injected(fault))
        check(done.code in (1, 65) and len(done.errors()) == 1 and named in done.errors()[0],
              "%s: %r" % (fault, done))
        equal({name: content(os.path.join(directory, name)) for name in names}, before, fault)
    train(*longer)
    equal(sorted(losses(directory)), list(range(1, 9)), "steps")


def a_disk_that_cannot_be_read_is_no_bad_file():
    """Exit 1 with the file and the reason: 65 would say that the file is to blame."""
    for ending in ("bin", "safetensors"):
        source = os.path.join(WORK, "unread", "model." + ending)
        equal(run("convert", trained(), source).code, 0, source)
        for when in ("1", "2", "9"):
            done = run("convert", source, os.path.join(WORK, "unread.bin"),
                       **injected("read:/model.%s:%s:5" % (ending, when)))
            fails(done, 1, source + ": cannot read it: Input/output error")
        for error in (errno.EIO, errno.EMFILE):
            fails(
                run("convert", source, os.path.join(WORK, "unread.bin"),
                    **injected("open:/model.%s:1:%d" % (ending, error))), 1,
                source + ": cannot open it: ")
    for program in ("train", "sweep"):
        for fault in ("open:/unread.yaml:1:5", "open:/unread.yaml:1:24", "read:/unread.yaml:1:5"):
            fails(run(program, config("unread"), **injected(fault)), 1, "unread.yaml: cannot ")
    text = write(os.path.join(WORK, "unread.txt"), "a line of text\n" * 100)
    for fault in ("read:/unread.txt:1:5", "open:/unread.txt:1:5", "open:/unread.txt:2:5"):
        fails(run("prepare", text, "--out=" + os.path.join(WORK, "unread"), **injected(fault)), 1,
              "unread.txt: cannot")


def nothing_waits_for_a_pipe():
    """FIFOs and devices at the places of files."""
    path, directory = config("pipes", training__stop__steps=2), run_directory("pipes")
    train(path)
    for name in ("metrics.jsonl", "metrics.csv", "train.log", "config.yaml"):
        moved = os.path.join(directory, name)
        os.rename(moved, moved + ".away")
        os.mkfifo(moved)
        done = run("train", path, "training.stop.steps=3")
        check(done.code in (1, 65, 78) and len(done.errors()) == 1 and name in done.errors()[0],
              "%s: %r" % (name, done))
        os.rename(moved + ".away", moved)
    pipe = os.path.join(WORK, "pipe")
    for ending in ("", ".bin", ".safetensors"):
        os.mkfifo(pipe + ending)
    os.makedirs(os.path.join(WORK, "beside"))
    os.mkfifo(os.path.join(WORK, "beside", "config.json"))
    run("convert", trained(), os.path.join(WORK, "whole", "model.safetensors"))
    os.link(os.path.join(WORK, "whole", "model.safetensors"),
            os.path.join(WORK, "beside", "model.safetensors"))
    for arguments in (["generate", pipe], ["generate",
                                           trained(), "--start=FILE:" + pipe], ["train", pipe],
                      ["convert", pipe,
                       os.path.join(WORK, "a.bin")], ["train", path, "--resume=" + pipe], [
                           "convert",
                           os.path.join(WORK, "beside", "model.safetensors"),
                           os.path.join(WORK, "b.bin")
                       ], ["convert", pipe + ".bin",
                           os.path.join(WORK, "c.bin")
                           ], ["convert", pipe + ".safetensors",
                               os.path.join(WORK, "c.bin")
                               ], ["prepare", "corpus.txt", "--out=" + WORK, "--tokenizer=" + pipe],
                      ["train", path, "data.train=" + pipe], ["generate",
                                                              "/dev/zero"], ["sweep", pipe]):
        done = run(*arguments)
        check(done.code in (1, 64, 65, 78) and len(done.errors()) == 1 and done.seconds < 20,
              "%s: %r" % (arguments, done))


def nobody_elses_file_is_destroyed():
    notes = {}
    for name in ("mine.bin.new", ".mine.bin.new", "mine.bin.part", "mine.safetensors.new",
                 "summary.json.new"):
        notes[os.path.join(WORK, name)] = b"notes"
    path, directory = config("notes", training__stop__steps=3), run_directory("notes")
    train(path)
    for name in ("summary.json.new", "config.yaml.new", "plan.json.new", "metrics.csv.new",
                 "checkpoints/step_00000004.h5", "checkpoints/.step_00000004.h5.tmp-abcdef"):
        notes[os.path.join(directory, name)] = b"notes"
    for name, text in notes.items():
        write(name, text)
    train(path, "training.stop.steps=5")
    equal(run("convert", directory, os.path.join(WORK, "mine.bin")).code, 0, "convert")
    equal(run("convert", directory, os.path.join(WORK, "mine.safetensors")).code, 0, "convert")
    moved = os.path.join(directory, "checkpoints/step_00000004.h5")
    notes[moved + ".aside-1"] = notes.pop(moved)
    equal({name: content(name) for name in notes}, notes, "what was there")
    equal(leftovers(directory), [], "left over")


def a_directory_that_cannot_be_synced_is_tolerated():
    """EINVAL: some FUSE and SMB mounts."""
    path = config("unsynced")
    done = train(path, **injected("fsync:unsynced/checkpoints:0/2:22"))
    equal(log_of("unsynced").count("cannot sync a directory"), 1, "said: %r" % done)
    equal(len(checkpoints(run_directory("unsynced"))), 10, "checkpoints")
    done = run("convert", trained(), os.path.join(WORK, "unsynced.bin"),
               **injected("fsync:%s:0/2:22" % WORK))
    check(done.code == 0 and done.err.count("cannot sync a directory") == 1, repr(done))
    fails(
        run("convert", trained(), os.path.join(WORK, "io.bin"),
            **injected("fsync:%s:0/2:5" % WORK)), 1, "cannot sync it")


def a_file_system_without_locks_is_said():
    done = train(config("unlocked"), **injected("lock:/run.lock:1+:%d" % errno.ENOLCK))
    equal(log_of("unlocked").count("this file system has no locks"), 1, "said: %r" % done)


def interrupted_calls_are_taken_up_again():
    faults = ["%s:%s:1/2:%d" % (call, WORK, errno.EINTR) for call in
              ("open", "read", "write", "fsync", "rename", "flock", "list", "close")]
    path = config("interrupted")
    done = train(path, **injected(*faults))
    equal(done.err, "", "stderr")
    train(path, "training.stop.steps=12", **injected(*faults))
    train(config("calm"), "training.stop.steps=10")
    train(config("calm"), "training.stop.steps=12")
    equal(losses(run_directory("interrupted")), losses(run_directory("calm")), "losses")
    equal(leftovers(run_directory("interrupted")), [], "left over")
    for arguments in (["generate", trained(), "--max-new-tokens=5"
                       ], ["convert", trained(), WORK + "/interrupted.safetensors"],
                      ["prepare", WORK + "/corpus.txt", "--out=" + WORK + "/interrupted"]):
        done = run(*arguments, **injected(*faults))
        equal(done.code, 0, repr(done))


def a_lost_log_is_said_once():
    path = config("nolog")
    done = train(path, **injected("write:/train.log:3+:%d" % errno.ENOSPC))
    equal(done.err.count("train.log: cannot write: No space left on device"), 1, repr(done))
    equal(len(done.err.splitlines()), 1, repr(done))
    check("step 10/10" in done.out and summary(run_directory("nolog"))["status"] == "done",
          repr(done))


def the_first_cause_is_named_with_its_file():
    full = ":2+:%d" % errno.ENOSPC
    for i, name in enumerate(("metrics.jsonl", "metrics.csv")):
        done = run("train", config("full_%d" % i), **injected("write:/%s%s" % (name, full)))
        fails(done, 1, name + ": cannot write: No space left on device; free some space")
    # All is full from the first checkpoint on: the summary that cannot be written either is not the
    # news.
    done = run("train", config("full_all"),
               **injected("write:/checkpoints/:1+:28", "write:.summary.json.:2+:28"))
    fails(done, 1, "step_00000001.h5: cannot be written")
    check("free some space: checkpoint.keep + 1 = 1001 of them must fit" in done.err, repr(done))
    equal(leftovers(run_directory("full_all")), [], "left over")


def nothing_is_left_of_what_fails():
    """If any step of the replacement fails, the old file stays and no other file is left."""
    target = os.path.join(WORK, "clean", "model.bin")
    os.makedirs(os.path.dirname(target))
    for fault in ("write:clean:1:28", "write:clean:2+:5", "fsync:clean:1:5", "rename:clean:1:5",
                  "rename:clean:2:5", "open:clean/.model:1:28"):
        done = run("convert", trained(), target, **injected(fault))
        check(done.code == 1 and len(done.errors()) == 1 and "model.bin" in done.errors()[0],
              "%s: %r" % (fault, done))
        equal(os.listdir(os.path.dirname(target)), [], fault)
    done = run("convert", trained(), target, **injected("flock:clean:1+:%d" % errno.ENOLCK))
    equal((done.code, os.listdir(os.path.dirname(target))), (0, ["model.bin"]), repr(done))


def a_failing_close_is_no_crash():
    """HDF5 keeps files that it could not close, and its exit handler would crash on them."""
    directory = trained()
    for fault in ("close:/step_:1+:5", "close:.h5:1:5", "close:.h5:2+:5", "close::1+:5"):
        for arguments in (["generate", directory, "--max-new-tokens=3"],
                          ["train", config("trained")], [
                              "convert", directory,
                              os.path.join(WORK, "close",
                                           fault.replace("/", "_") + ".safetensors")
                          ]):
            done = run(*arguments, **injected(fault))
            check(done.code in (0, 1), "%s %s: %r" % (fault, arguments, done))


def a_point_that_cannot_count_its_attempts_is_not_started_again():
    """For ever, that is. The other points run, as does one that does not fail."""
    base = config("uncounted", training__stop__steps=2)
    no_save = "write:/seed-1/checkpoints/:1+:%d" % errno.ENOSPC

    def swept(name, *faults):
        directory = run_directory(name)
        path = write(os.path.join(WORK, name + ".yaml"),
                     "extends: %s\noutput: %s\nsweep: {seed: [1, 2]}\nlaunch: {retries: 2}\n" %
                     (base, directory))
        done = run("sweep", path, "--local", **injected(*faults))
        starts = [content(directory + "/seed-%d/attempts.log" % seed).count(b"start ")
                  for seed in (1, 2)]
        return path, done, starts

    path, done, starts = swept("never_read", "read:/seed-1/attempts.log:1+:5", no_save)
    check("1 of 2 points failed; seed-1: " in done.err
          and "attempts.log: cannot read it: Input/output error; fix this, and the same command "
          "resumes" in done.err, repr(done))
    equal((done.code, starts), (1, [1, 1]), repr(done))
    equal(run("sweep", path, "--local").code, 0, "without a fault")
    path, done, starts = swept("once_unread", "read:/seed-1/attempts.log:2:5", no_save)
    check("No space left on device" in done.err, repr(done))
    equal((done.code, starts), (1, [3, 1]), "the first attempt and two retries: %r" % done)
    path, done, starts = swept("not_needed", "read:/attempts.log:1+:5")
    equal((done.code, starts), (0, [1, 1]), repr(done))


def a_log_of_attempts_that_takes_no_line_costs_that_line():
    """Said once. The attempts are counted all the same."""
    base = config("unlogged", training__stop__steps=2)
    full, no_save = ":%d" % errno.ENOSPC, "write:/seed-1/checkpoints/:1+:%d" % errno.ENOSPC
    for name, code, attempts, faults in (
            ("never_logged", 0, 1, ["write:/seed-1/attempts.log:1+" + full]),
            ("end_unlogged", 0, 1, ["write:/seed-1/attempts.log:2" + full]),
            ("never_ends", 1, 3, ["write:/seed-1/attempts.log:1+" + full, no_save])):
        directory = run_directory(name)
        path = write(os.path.join(WORK, name + ".yaml"),
                     "extends: %s\noutput: %s\nsweep: {seed: [1, 2]}\nlaunch: {retries: 2}\n" %
                     (base, directory))
        done = run("sweep", path, "--local", **injected(*faults))
        warnings = [line for line in done.err.splitlines() if "warning: " in line]
        check(done.code == code and len(warnings) == 1 and
              "seed-1/attempts.log: cannot write: No space left on device; free some space; the "
              "study goes on" in warnings[0], repr(done))
        equal([done.out.count(", attempt %d\n" % n) for n in (1, 2, 3, 4)],
              [2] + [int(attempts >= n) for n in (2, 3, 4)], repr(done))
        check("seed-2: done" in done.out, repr(done))


def a_sweep_json_that_cannot_be_written_ends_no_study():
    """Said once, and written again at each change. The report needs the last one."""
    base = config("unsaved", training__stop__steps=2)
    for name, code, when in (("once_unsaved", 0, "2"), ("never_saved", 1, "2+")):
        directory = run_directory(name)
        path = write(os.path.join(WORK, name + ".yaml"),
                     "extends: %s\noutput: %s\nsweep: {seed: [1, 2]}\n" % (base, directory))
        fault = "rename:%s/sweep.json:%s:%d" % (name, when, errno.ENOSPC)
        done = run("sweep", path, "--local", **injected(fault))
        said = [line for line in done.err.splitlines() if "sweep.json: " in line]
        check(done.code == code and len(said) == 1 + code and "the study goes on" in said[0]
              and "error: " in (said + ["error: "])[1], repr(done))
        check("2 of 2 points done" in done.out, repr(done))
        states = content(directory + "/sweep.json").count(b'"state": "done"')
        equal(states, 0 if code else 2, "points that are done in sweep.json")


def a_directory_that_a_disk_refuses_is_no_bad_argument():
    text = write(os.path.join(WORK, "refused.txt"), "a line of text\n" * 100)
    new, missing = os.path.join(WORK, "refused", "new"), "new: cannot make this directory: "
    for arguments in (["prepare", text, "--out=" + new], ["convert", trained(), new],
                      ["convert", trained(),
                       new + "/a.bin"], ["train", config("refused", output=new)]):
        for error in (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT):
            fails(run(*arguments, **injected("mkdir:/new:1:%d" % error)), 1,
                  missing + os.strerror(error))
        check(not os.path.exists(os.path.dirname(new)), "left over")
    done = run("prepare", text, "--out=" + new, **injected("mkdir:/new:1:%d" % errno.EACCES))
    fails(done, 64, missing + os.strerror(errno.EACCES))
    for when, code in ("1+", 64), ("1", 0):  # another process removes the parent: always, once
        done = run("prepare", text, "--out=" + new,
                   **injected("mkdir:/new:%s:%d" % (when, errno.ENOENT)))
        check(done.code == code and os.path.exists(new) == (code == 0), repr(done))


def modes_and_links():
    before = os.umask(0o077)
    try:
        path, directory = config("private", training__stop__steps=3), run_directory("private")
        train(path)
    finally:
        os.umask(before)
    for folder, _, names in os.walk(directory):
        for name in names:
            mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
            equal(mode, 0o600, os.path.join(folder, name))
    target = os.path.join(WORK, "target")
    for name in ("train.log", "metrics.jsonl", "metrics.csv", "run.lock"):
        write(target, "notes\n")
        os.rename(os.path.join(directory, name), os.path.join(directory, name + ".away"))
        os.symlink(target, os.path.join(directory, name))
        done = run("train", path, "training.stop.steps=4")
        check(done.code in (1, 65) and name in done.errors()[0], repr(done))
        equal(content(target), b"notes\n", name)
        os.rename(os.path.join(directory, name + ".away"), os.path.join(directory, name))
    # Links that are of use: the run directory, and its checkpoints, on another disk.
    os.makedirs(os.path.join(WORK, "disk"))
    os.rename(os.path.join(directory, "checkpoints"), os.path.join(WORK, "disk", "checkpoints"))
    os.symlink(os.path.join(WORK, "disk", "checkpoints"), os.path.join(directory, "checkpoints"))
    train(path, "training.stop.steps=5")
    check(os.path.exists(os.path.join(WORK, "disk", "checkpoints", "step_00000005.h5")),
          "through the link")


def nothing_stays_in_shared_memory():
    """HDF5 writes a token file's header to a file that has no name any more; one that was killed
    before goes later."""
    left = "/dev/shm/hourglass-header-%d" % os.getpid()
    with open(left, "w", encoding="utf-8"):
        os.utime(left, (1, 1))
    try:
        done = run("prepare", WORK + "/corpus.txt", "--out=" + WORK + "/unnamed",
                   **injected("write:(deleted):1+:%d" % errno.ENOSPC))
        fails(done, 1, "HDF5 cannot write the header")
        check(not os.path.exists(left), "what a killed process left is still there")
    finally:
        if os.path.exists(left):
            os.remove(left)


if __name__ == "__main__":
    main(a_read_error_deletes_no_history, a_disk_that_cannot_be_read_is_no_bad_file,
         nothing_waits_for_a_pipe, nobody_elses_file_is_destroyed,
         a_directory_that_cannot_be_synced_is_tolerated, a_file_system_without_locks_is_said,
         interrupted_calls_are_taken_up_again, a_lost_log_is_said_once,
         the_first_cause_is_named_with_its_file, nothing_is_left_of_what_fails,
         a_failing_close_is_no_crash,
         a_point_that_cannot_count_its_attempts_is_not_started_again,
         a_log_of_attempts_that_takes_no_line_costs_that_line,
         a_sweep_json_that_cannot_be_written_ends_no_study,
         a_directory_that_a_disk_refuses_is_no_bad_argument,
         modes_and_links, nothing_stays_in_shared_memory)
