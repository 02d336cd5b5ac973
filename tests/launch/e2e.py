"""Helpers of the end-to-end tests: a small corpus, configs, starting and watching programs, reading
a run.

The programs are in $PROGRAMS (default: the root), the test programs in $BUILD/tests
(default: build)."""

import atexit
import fcntl
import glob
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import mpirun  # noqa: E402
from mpirun import children, ranks_below  # noqa: E402
from sanitized import is_sanitized  # noqa: E402

PROGRAMS = os.environ.get("PROGRAMS", ".")
BUILD = os.environ.get("BUILD", "build" if PROGRAMS == "." else PROGRAMS)
WORK = tempfile.mkdtemp(prefix="hourglass-e2e-")
SANITIZED = is_sanitized(BUILD)
LIMIT = 120  # seconds that any one program may take

ENVIRONMENT = dict(os.environ, **mpirun.ENVIRONMENT, NO_COLOR="1", LC_ALL="C.UTF-8")
ENVIRONMENT.pop("HOURGLASS_TRACE", None)
ENVIRONMENT.setdefault("HOURGLASS_CACHE", os.path.join(WORK, "cache"))
# A background job ignores SIGINT, and its children would inherit that; a handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored


@atexit.register
def clean():
    shutil.rmtree(WORK, ignore_errors=True)


class Skip(Exception):
    """What this machine cannot run, with the reason."""


def check(condition, text="check failed"):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, text=""):
    if isinstance(got, dict) and isinstance(wanted, dict):  # only the differences
        keys = {
            key
            for key in got.keys() | wanted.keys() if got.get(key, wanted) != wanted.get(key, got)
        }
        got, wanted = ({key: side[key]
                        for key in sorted(keys) if key in side} for side in (got, wanted))
    check(got == wanted, "%s: got %.1000r, wanted %.1000r" % (text, got, wanted))


def main(*tests):
    """Runs the tests, a line for each that did not pass; the closing line is tests/run's."""
    passed, failed, skipped = 0, 0, 0
    for test in tests:
        start = time.monotonic()
        try:
            test()
            passed += 1
            print("ok       %-55s %5.1f s" % (test.__name__, time.monotonic() - start))
        except Skip as reason:
            skipped += 1
            print("skipped  %s: %s" % (test.__name__, reason))
        except Exception:  # whatever it was, the other tests still count
            failed += 1
            print("FAILED   %s\n%s" % (test.__name__, traceback.format_exc()))
        sys.stdout.flush()
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    sys.exit(1 if failed else 0)


def content(path):
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    """Creates a file of text or bytes, and its folder; returns the path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


# ---- input ---------------------------------------------------------------------------------------

WORDS = (
    "the sand runs down and the glass is turned once more by a hand that counts hours of light and "
    "of water while slow bells mark noon over roofs where no clock has ever told wrong time to "
    "anyone"
).split()


def text(n_bytes, seed=1):
    """Words in a random order: enough of a language for a loss that falls."""
    rng, lines, size = random.Random(seed), [], 0
    while size < n_bytes:
        lines.append(" ".join(rng.choice(WORDS) for _ in range(8)) + ".\n")
        size += len(lines[-1])
    return "".join(lines)


def corpus():
    """The folder with train.h5 and val.h5 of the small corpus, byte by byte."""
    folder = os.path.join(WORK, "data")
    if not os.path.exists(folder):
        source = os.path.join(WORK, "corpus.txt")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text(40000))
        done = start(["prepare", source, "--out=" + folder]).end()
        check(done.code == 0, "prepare: " + done.err)
    return folder


def config(name, **changes):
    """Writes WORK/NAME.yaml (JSON is YAML) and returns its path. `changes` are keys with __ for the
    dot."""
    data = corpus()
    tree = {
        "name": name,
        "seed": 7,
        "device": "cpu",
        "threads": 1,
        "model": {
            "n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 32, "vocab_size": "auto",
            "dropout": 0.1
        },
        "data": {"train": data + "/train.h5", "val": data + "/val.h5", "batch_size": 2},
        "training": {"gradient_accumulation_steps": 2, "stop": {"steps": 10}},
        "optimizer": {"lr": 1e-3},
        "lr_scheduler": {"warmup": 5, "decay": 500, "min_lr": 1e-4},
        "evaluation": {"interval": 0, "tokens": 256},
        "checkpoint": {"interval": "1 steps", "keep": 1000},
        "logging": {"interval": 1},
        "output": os.path.join(WORK, "runs", name),
    }
    for key, value in changes.items():
        node, *path = tree, *key.split("__")
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    path = os.path.join(WORK, name + ".yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(tree, file, indent=1)
    return path


# Sizes of a small model, and layers that GPT-2 does not have.
SMALL = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 32, "vocab_size": "auto"}
FAMILIES = {
    "llama": dict(SMALL, preset="llama-124m", n_kv_head=2, mlp_width=48, dropout=0.1),
    "qwen3": dict(SMALL, preset="qwen3-0.6b", n_kv_head=1, head_dim=16, mlp_width=48),
    "mistral": dict(SMALL, preset="mistral-124m", n_kv_head=2, mlp_width="auto"),
    "modern": dict(SMALL, preset="modern", value_embeddings=[False, True], n_head=2,
                   logit_softcap=5, short_conv={"attention": 3, "qkv": 2, "mlp": 2}),
    "parallel": dict(SMALL, block="parallel", position="none", mlp="geglu", tie_embeddings=False),
}


def run_directory(name):
    return os.path.join(WORK, "runs", name)


# ---- programs ------------------------------------------------------------------------------------

class Done:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def errors(self):
        """The program's own error lines, `train: error: ...` or `FILE:LINE:COLUMN: error: ...`;
        mpirun adds others."""
        return [line for line in self.err.splitlines() if ": error: " in line]

    def __repr__(self):
        return "exit %d after %.1f s\n%s%s" % (self.code, self.seconds, self.out[-2000:],
                                               self.err[-2000:])


class Job:
    """A program that runs."""

    def __init__(self, command, environment):
        self.out, self.err = tempfile.TemporaryFile("w+", dir=WORK), tempfile.TemporaryFile(
            "w+", dir=WORK)
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=self.err)

    def ranks(self, count):
        """The pids of the ranks, in their order."""
        pids = {}
        while len(pids) < count:
            check(self.process.poll() is None and time.monotonic() - self.start < 30,
                  "the ranks do not start")
            pids = {int(rank): pid for pid, rank in ranks_below(self.process.pid)}
            time.sleep(0.01)
        return [pids[rank] for rank in range(count)]

    def send(self, signal):
        if self.process.poll() is None:
            self.process.send_signal(signal)

    def wait_until(self, holds, what="no progress"):
        """Until holds() is true, which it must be before the program ends."""
        while not holds():
            check(self.process.poll() is None and time.monotonic() - self.start < LIMIT,
                  "%s: %r" % (what, self.done(0)))
            time.sleep(0.01)

    def wait_for(self, pattern, limit=LIMIT):
        """Until the standard output holds the pattern."""
        while not re.search(pattern, self.read(self.out)):
            if self.process.poll() is not None and not re.search(pattern, self.read(self.out)):
                raise AssertionError("ended before it printed %r: %r" % (pattern, self.end()))
            check(time.monotonic() - self.start < limit, "never printed %r" % pattern)
            time.sleep(0.005)

    @staticmethod
    def read(file):
        return os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace")

    def end(self, limit=LIMIT):
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            for pid, _ in ranks_below(self.process.pid):
                os.kill(pid, 9)
            self.process.kill()
            self.process.wait()
            raise AssertionError("still there after %d s: %r" % (limit, self.done(-1)))
        return self.done(code)

    def done(self, code):
        return Done(code, self.read(self.out), self.read(self.err), time.monotonic() - self.start)


def rank_of(job):
    """A rank below the mpirun below a ./supervise."""
    while True:
        for launcher in children(job.process.pid):
            for pid, _ in ranks_below(launcher):
                return pid


def start(arguments, ranks=0, **environment):
    """Starts a program, under mpirun if ranks is not 0."""
    program, *rest = arguments
    command = [os.path.join(PROGRAMS, program), *rest]
    if ranks:
        command = ["mpirun", "-np", str(ranks), *command]
    return Job(command, dict(ENVIRONMENT, **environment))


def run(*arguments, ranks=0, **environment):
    return start(arguments, ranks, **environment).end()


def on_a_terminal(*arguments, columns=80, code=0, interrupt_at=None, **environment):
    """What a program shows that is started on a terminal; colors are allowed by NO_COLOR="". Sends
    SIGINT once it has shown `interrupt_at`."""
    program, *rest = arguments
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = subprocess.Popen(
        [os.path.join(PROGRAMS, program), *rest], stdout=follower, stderr=follower,
        env={key: value
             for key, value in dict(ENVIRONMENT, **environment).items() if value})
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            part = b""
        if not part:
            break
        shown += part
        if interrupt_at is not None and re.search(interrupt_at, shown.decode(errors="replace")):
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(leader)
    equal(process.wait(LIMIT), code, "exit code: %r" % shown[-500:])
    return shown.decode()


def train(*arguments, ranks=0, code=0, **environment):
    done = run("train", *arguments, ranks=ranks, **environment)
    check(done.code == code, "train %s: %r" % (" ".join(arguments), done))
    return done


def within(seconds, function, *arguments):
    """The result of function(*arguments), whose programs may take these seconds of a processor."""
    before = os.times()
    result = function(*arguments)
    after = os.times()
    used = (after.children_user + after.children_system - before.children_user -
            before.children_system)
    check(used < seconds, "%s took %.1f s of a processor" % (arguments, used))
    return result


# ---- runs ----------------------------------------------------------------------------------------

def trained():
    """The directory of a run of ten steps."""
    directory = run_directory("trained")
    if not os.path.exists(directory):
        train(config("trained"))
    return directory


def log_of(name):
    return content(os.path.join(run_directory(name), "train.log")).decode()


def metrics(directory):
    with open(os.path.join(directory, "metrics.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def losses(directory):
    return {
        record["step"]: record["train/loss"]
        for record in metrics(directory) if "train/loss" in record
    }


def summary(directory):
    with open(os.path.join(directory, "summary.json"), encoding="utf-8") as file:
        return json.load(file)


def no_duplicates(directory):
    """Each step has at most one record of training and one of evaluation, in order."""
    for key in ("train/loss", "val/loss"):
        steps = [record["step"] for record in metrics(directory) if key in record]
        equal(steps, sorted(set(steps)), directory + ": steps with " + key)


def checkpoints(directory):
    """Those in the directory of a run: files, and directories of shards."""
    return sorted(path for path in glob.glob(os.path.join(directory, "checkpoints", "step_*"))
                  if re.search(r"/step_\d+(\.h5)?$", path))


def states(paths):
    """{step: the line of tests/launch/mpi_state_hash.c} of checkpoints."""
    done = subprocess.run([os.path.join(BUILD, "tests", "launch", "mpi_state_hash"), *paths],
                          env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT)
    check(done.returncode == 0, "mpi_state_hash: " + done.stderr)
    return {int(line.split()[1]): line for line in done.stdout.splitlines()}


def unfinished(directory, name):
    """Creates the leftovers of a killed writer of the file `name`: see core/base/replacement.h."""
    path = os.path.join(directory, "unfinished")
    with open(path, "w", encoding="utf-8") as file:
        file.write("a beginning")
    mask, tag = (1 << 64) - 1, 0xcbf29ce484222325
    for byte in name.encode():
        tag = (tag ^ byte) * 0x100000001b3 & mask
    tag = (tag ^ os.stat(path).st_ino) * 0x9e3779b97f4a7c15 & mask
    os.rename(path, os.path.join(directory, ".%s.%016x.hourglass" % (name, tag ^ tag >> 29)))


def tree(directory):
    """What is in a directory, and when it was last touched; but for the lock, which every start
    takes."""
    found = {}
    for path in glob.glob(directory + "/**", recursive=True):
        if path.endswith("/run.lock"):
            continue
        info = os.stat(path)
        found[path] = (info.st_mtime_ns, info.st_size) if os.path.isfile(path) else None
    return found
