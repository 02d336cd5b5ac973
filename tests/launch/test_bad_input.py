#!/usr/bin/env python3
"""Every error is one line, printed once: file, location, fix. The exit code is the documented one,
no rank hangs, nothing is written outside the run, and no existing file is lost."""

import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile

from e2e import (ENVIRONMENT, WORK, Skip, check, checkpoints, config, corpus, equal, main, run,
                 run_directory, start, states, train, tree)

USAGE, DATA, CONFIG, FAILURE = 64, 65, 78, 1


def expect(code, pattern, *arguments, ranks=(0,), program="train", untouched=None, output=None):
    """Runs the program for each number of ranks (0: without mpirun); checks exit code, one error
    line, and unchanged files."""
    for count in ranks:
        before = tree(untouched) if untouched else None
        done = run(program, *arguments, ranks=count)
        what = "%s under %d ranks" % (" ".join(arguments), count)
        equal(done.code, code, "exit code of %s: %r" % (what, done))
        lines = done.errors()
        equal(len(lines), 1, "error lines of %s: %r" % (what, done))
        check(re.search(pattern, lines[0]), "%s: %r, not %r" % (what, lines[0], pattern))
        check(done.out == "" or code == FAILURE, "%s printed %r" % (what, done.out))
        if not count:  # a config's error shows its source line below, for the eye
            equal(len(done.err.splitlines()), 3 if "^" in done.err else 1,
                  "lines of %s: %r" % (what, done))
        if untouched:
            equal(tree(untouched), before, "what %s did to %s" % (what, untouched))
        if output:
            check(not os.path.lexists(output), "%s left %s behind" % (what, output))


def file(name, data=b""):
    path = os.path.join(WORK, name)
    with open(path, "wb") as out:
        out.write(data)
    return path


# ---- nothing may be written ----------------------------------------------------------------------

def bad_flags():
    path, output = config("flags"), run_directory("flags")
    for pattern, *arguments in (
            (r"CONFIG is missing", ),
            (r"unknown option '--resum=auto'; did you mean '--resume'", path, "--resum=auto"),
            (r"unknown option '-x'", path, "-x"),
            (r"--plan takes no value", path, "--plan=yes"),
            (r"--resume requires a value", path, "--resume"),
            (r"--resume is given twice", path, "--resume=auto", "--resume=none"),
            (r"--hosts requires --ranks", path, "--plan", "--hosts=2"),
            (r"--hosts must be between 1 and 1e\+06, not 0", path, "--plan", "--ranks=2",
             "--hosts=0"),
            (r"--ranks=6 does not divide into 4 hosts", path, "--plan", "--ranks=6", "--hosts=4",
             "--network=400Gb/s"),
            (r"--hosts above 1 requires --network", path, "--plan", "--ranks=4", "--hosts=2"),
            (r"--network requires --hosts above 1", path, "--plan", "--ranks=4", "--hosts=1",
             "--network=400Gb/s"),
            *[(r"--network requires a bandwidth such as 400Gb/s, not '%s'" % rate, path, "--plan",
               "--ranks=4", "--hosts=2", "--network=" + rate)
              for rate in ("400", "0Gb/s", "-1Gb/s", "400Gb", "400GiB/s", "1e400Gb/s",
                           "1e-300Gb/s")],
            (r"--ranks requires --plan", path, "--ranks=4", "--hosts=2", "--network=400Gb/s"),
            (r"unexpected argument", path, path)):
        expect(USAGE, pattern, *arguments, ranks=(0, 2) if not arguments else (0,), output=output)


def bad_configs():
    path, output = config("configs"), run_directory("configs")
    expect(CONFIG, r"none\.yaml.*No such file", WORK + "/none.yaml", ranks=(0, 2), output=output)
    for pattern, override in (
        (r"unknown key 'model\.n_layers'; did you mean 'model\.n_layer'", "model.n_layers=2"),
        (r"'model\.n_embd' \(32\) must be a multiple of 'model\.n_head' \(3\)", "model.n_head=3"),
        (r"optimizer\.lr", "optimizer.lr=fast"),
        (r"training\.dtype float16 on the CPU is not computed", "training.dtype=float16")):
        expect(CONFIG, pattern, path, *override.split(), ranks=(0, 2) if "dtype" in override else
               (0, ), output=output)
    expect(CONFIG, r"cuda|CUDA|GPU|NVIDIA", path, "device=cuda", output=output)
    expect(CONFIG, r"'attention\.backends' needs one of ", path, "attention.backends=[fast]",
           output=output)
    broken = file("broken.yaml", b"model: {n_layer: 2\n")
    expect(CONFIG, r"broken\.yaml:\d+:\d+: error", broken)


def a_trace_on_request():
    path = config("trace")
    plain, traced = run("train", path, "seed=x"), run("train", path, "seed=x", HOURGLASS_TRACE="1")
    places = traced.err[len(plain.err):].splitlines()
    check(traced.err.startswith(plain.err) and places, repr(traced))
    for place in places:
        check(re.match(r"  at launch/\S+\.c:\d+: ", place), repr(place))


def bad_data():
    path, output = config("data"), run_directory("data")
    good = open(corpus() + "/train.h5", "rb").read()
    llmc = struct.pack("<256i", 20240520, 1, 100, *[0] * 253)
    cases = [
        (r"none\.h5: no such file; make it with \./prepare", WORK + "/none.h5"),
        (r"empty\.bin", file("empty.bin")),
        (r"odd\.bin", file("odd.bin", b"abc")),
        (r"truncated\.h5", file("truncated.h5", good[:len(good) // 2])),
        (r"text\.h5: .*token", file("text.h5", b"no HDF5 file, whatever its name says\n" * 100)),
        (r"llmc\.bin", file("llmc.bin", llmc + b"\0\0" * 50)),
        (r"version\.bin", file("version.bin", struct.pack("<256i", 20240520, 9, 0, *[0] * 253))),
        (r"large\.bin: .*token.*300", file("large.bin", struct.pack("<H", 300) * 4000)),
        (r"short\.bin", file("short.bin", b"\1\0" * 20)),
        (r"data: .*directory", corpus()),
    ]
    for pattern, name in cases:
        ranks = (0, 2) if "truncated" in name else (0,)
        expect(DATA, pattern, path, "data.train=" + name, "model.vocab_size=257", ranks=ranks,
               output=output)
    expect(DATA, r"large\.bin", path, "data.val=" + WORK + "/large.bin", output=output)
    expect(DATA, r"train\.h5", path, "model.block_size=100000", output=output)
    expect(DATA, r"train\.h5.*257", path, "model.vocab_size=64", output=output)


def files_without_permission():
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise Skip("root may read everything, and there is no setpriv")
    path = config("secret", data__train=file("secret.bin", b"\1\0" * 4000), model__vocab_size=257)
    os.chmod(WORK + "/secret.bin", 0)
    os.chmod(WORK, 0o711)
    programs = os.path.abspath(os.environ.get("PROGRAMS", "."))
    copy = shutil.copy(programs + "/train", WORK + "/train_copy")
    drop = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*drop, copy, path], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    equal(done.returncode, DATA, done.stderr)
    equal(done.stderr.count("\n"), 1, done.stderr)
    check(re.search(r"secret\.bin: no permission to read it", done.stderr), done.stderr)
    done = subprocess.run([*drop, copy, config("closed", output="/proc/hourglass/run")],
                          env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    equal(done.returncode, FAILURE, done.stderr)


def bad_outputs():
    path = config("outputs")
    taken = file("taken", b"mine")
    expect(CONFIG, r"taken: is a file; choose another `output`", path, "output=" + taken,
           ranks=(0, 2))
    equal(open(taken, "rb").read(), b"mine", "the file")
    foreign = os.path.join(WORK, "foreign")
    os.makedirs(foreign)
    file("foreign/thesis.tex", b"years of work")
    for resume in ("auto", "none"):
        expect(CONFIG, r"foreign: holds files but no run", path, "output=" + foreign,
               "--resume=" + resume, untouched=foreign)
    expect(FAILURE, r"/proc/hourglass.*choose another `output`", path, "output=/proc/hourglass/run",
           ranks=(0, 2))
    expect(FAILURE, r"taken/run.*choose another `output`", path, "output=" + taken + "/run")


def resume_flags():
    path, output = config("resume"), run_directory("resume")
    expect(DATA, r"/none/step_00000001\.h5: no such file", path,
           "--resume=" + WORK + "/none/step_00000001.h5", ranks=(0, 2), output=output)
    expect(DATA, r"corpus\.txt", path, "--resume=" + WORK + "/corpus.txt", output=output)
    train(path)
    expect(CONFIG, r"resume: holds a run, and --resume=none would overwrite it", path,
           "--resume=none", ranks=(0, 2), untouched=output)
    other = config("other_run", output=output, model__n_layer=3)
    expect(CONFIG, r"runs/resume: the saved run differs in model\.n_layer \(saved 2, now 3\)",
           other, untouched=output)


# ---- existing files stay -------------------------------------------------------------------------

def a_directory_that_another_run_uses():
    path = config("busy", training__stop__steps=10**6, checkpoint__interval=0, logging__interval=10)
    job = start(["train", path])
    try:
        job.wait_for(r"(?m)^step 20/")
        expect(FAILURE, r"busy: another run is using this directory: process \d+ on \S+", path,
               ranks=(0, 2))
    finally:
        job.send(signal.SIGUSR1)
    equal(job.end().code, 75, "the first run")


def spoil(path):
    with open(path, "r+b") as out:
        out.seek(os.path.getsize(path) // 2)
        out.write(b"\xff\x00\xff\x00")


def a_bad_newest_checkpoint():
    path, output = config("spoiled"), run_directory("spoiled")
    train(path)
    wanted, files = states(checkpoints(output)), checkpoints(output)
    spoil(files[-1])
    with open(files[-2], "r+b") as out:
        out.truncate(1000)
    done = train(path)
    check("step_00000010.h5" in done.err and "step_00000009.h5" in done.err,
          "the bad ones are not named: %r" % done)
    check("resumed from %s at step 8" % files[-3] in done.out, repr(done))
    equal(states(checkpoints(output)), wanted, "the states")


def nothing_but_bad_checkpoints():
    path, output = config("all_bad", training__stop__steps=3), run_directory("all_bad")
    train(path)
    for name in checkpoints(output):
        spoil(name)
    expect(DATA, r"all_bad/checkpoints", path, ranks=(0, 2), untouched=output)


def a_full_disk():
    folder = tempfile.mkdtemp(dir=WORK)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder],
                           stderr=subprocess.PIPE, text=True)
    if mount.returncode != 0:
        raise Skip("mount is not allowed here: " + mount.stderr.strip())
    try:
        for count in (0, 2):
            output = folder + "/run"
            done = run("train", config("full", output=output, training__stop__steps=50),
                       ranks=count)
            equal(done.code, FAILURE, repr(done))
            check(
                len(done.errors()) == 1 and "No space left" in done.errors()[0] and
                output in done.errors()[0], repr(done))
            left = checkpoints(output)
            check(left, "no checkpoint was kept")
            states(left)  # all of them are good
            equal([
                name for name in os.listdir(output + "/checkpoints") if not name.startswith("step_")
            ], [], "litter")
            shutil.rmtree(output)
    finally:
        subprocess.run(["umount", folder], check=True)


def a_loss_that_is_not_finite():
    for count in (0, 2):
        name = "diverged_%d" % count
        done = run(
            "train",
            config(name, optimizer__lr=1000, optimizer__weight_decay=1000, lr_scheduler__warmup=0,
                   training__stop__steps=50), ranks=count)
        equal(done.code, FAILURE, repr(done))
        equal(len(done.errors()), 1, repr(done))
        found = re.search(
            r"step (\d+): loss \S+ and gradient norm \S+ are not finite \(first in (\S+)\)",
            done.errors()[0])
        check(found and "optimizer.lr" in done.errors()[0], repr(done))
        check("-nan" not in done.out + done.err, "a NaN has no sign: %r" % done)
        check(re.match(r"wte|wpe|h\.\d|ln_f|the", found.group(2)), found.group(2))
        saved = states(checkpoints(run_directory(name)))
        check(saved and max(saved) < int(found.group(1)), "saved steps %r" % list(saved))
        for step, state in saved.items():
            check(state.endswith("finite yes"), "what is not finite was saved at step %d" % step)


def bad_input_to_prepare():
    out = os.path.join(WORK, "prepared")
    expect(USAGE, r"INPUT.* is missing", "--out=" + out, program="prepare", output=out)
    expect(USAGE, r"--out", WORK + "/corpus.txt", program="prepare", output=out)
    expect(DATA, r"none\.txt", WORK + "/none.txt", "--out=" + out, program="prepare", output=out)


if __name__ == "__main__":
    main(bad_flags, bad_configs, a_trace_on_request, bad_data, files_without_permission,
         bad_outputs, resume_flags, a_directory_that_another_run_uses, a_bad_newest_checkpoint,
         nothing_but_bad_checkpoints, a_full_disk, a_loss_that_is_not_finite, bad_input_to_prepare)
