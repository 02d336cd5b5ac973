#!/usr/bin/env python3
"""clang-tidy finds nothing in the C sources that changed since they were last recorded as clean.

usage: tests/style/test_tidy.py [--record | --all]
  --record  also records what is clean in tests/style/tidy.json, which is committed
  --all     the same, and looks at every source

A source is looked at again where a hash of its code, and of .clang-tidy, is not the recorded one. A
header that has changed is looked at through one source that includes it. sanitizers: no
"""

import concurrent.futures
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from test_style import files, lines_of, ROOT

RECORD = "tests/style/tidy.json"
VERSION = 14
ROOMS = ("core/", "nn/", "dist/", "data/", "checkpoints/", "launch/", "examples/")
KERNELS = ("core/cpu/", "nn/attention/cpu/")
FOLDERS = ("/usr/include/hdf5/serial", "/usr/lib/x86_64-linux-gnu/openmpi/include",
           "/usr/include/x86_64-linux-gnu/openblas-openmp")
OPENMP = glob.glob("/usr/lib/llvm-*/lib/clang/*/include/omp.h")  # of any version; gcc's needs gcc
HEADERS = tempfile.TemporaryDirectory()  # has omp.h alone: other headers beside it suit their clang
FLAGS = [
    "-D_GNU_SOURCE", "-DH5_USE_110_API", "-DHOURGLASS_CUDA=0",
    "-DHOURGLASS_CUDA_OPTIMIZED=1", "-I.", "-Ilaunch/library", "-std=gnu17", "-fopenmp",
    "-mavx512fp16", *(part for folder in FOLDERS for part in ("-isystem", folder)),
    "-idirafter", HEADERS.name
]
REALS = ["-DREAL=float", "-DREAL_NAME=f32"]  # of KERNELS, which the build also compiles for others


def is_checked(path):
    """Sources that compile without CUDA and NCCL, and the headers that they may include."""
    name = os.path.basename(path)
    for_cuda = name.endswith("_cuda.c") or name == "nccl.c" or path.startswith("core/cuda/peer")
    return path.startswith(ROOMS) and path.endswith((".c", ".h")) and not for_cuda


def digest(path):
    """Of the code without comments and white space, and of the rules."""
    code = re.sub(r'("(?:\\.|[^"\\])*")|/\*.*?\*/|//[^\n]*|\s+', r"\1",
                  "\n".join(lines_of(path)), flags=re.DOTALL)
    return hashlib.sha256((code + "\n".join(lines_of(".clang-tidy"))).encode()).hexdigest()[:12]


def includer(header, sources):
    """The source of the header's name, or the first that includes it; None where none does."""
    own = header[:-2] + ".c"
    wanted = '#include "%s"' % header
    return own if own in sources else next(
        (path for path in sources if wanted in lines_of(path)), None)


def findings(path):
    flags = FLAGS + (REALS if path.startswith(KERNELS) else [])
    run = subprocess.run(["clang-tidy", "--quiet", path, "--", *flags], capture_output=True,
                         text=True)
    lines = [line for line in run.stdout.splitlines() if re.search(r": (warning|error): ", line)]
    return [line.replace(ROOT + "/", "") for line in lines] or (
        ["%s: %s" % (path, run.stderr.strip()[-200:])] if run.returncode else [])


def has_clang_tidy():
    if not shutil.which("clang-tidy"):
        return False
    shown = subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True).stdout
    return "version %d." % VERSION in shown  # each version finds something else


def recorded():
    if not os.path.exists(RECORD):
        return {}
    with open(RECORD, encoding="utf-8") as file:
        return json.load(file)


def look(everything, known):
    """What clang-tidy finds, by path, in what is not known."""
    sources = [path for path in everything if path.endswith(".c")]
    changed = [path for path in everything if known.get(path) != digest(path)]
    through = {path: path if path.endswith(".c") else includer(path, sources) for path in changed}
    todo = sorted({source for source in through.values() if source})
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(todo, pool.map(findings, todo)))
    return {path: found.get(source, []) for path, source in through.items()}


def record(everything, found):
    clean = {path: digest(path) for path in everything if not found.get(path)}
    with open(RECORD, "w", encoding="utf-8") as file:
        json.dump(clean, file, indent=0, sort_keys=True)
        file.write("\n")


def main(arguments):
    os.chdir(ROOT)
    for path in OPENMP[:1]:
        os.symlink(path, os.path.join(HEADERS.name, "omp.h"))
    if not has_clang_tidy():
        print("  tidy: skipped (needs clang-tidy %d)\n0 passed, 0 failed, 1 skipped" % VERSION)
        return 0
    everything = [path for path in files() if is_checked(path)]
    found = look(everything, {} if arguments == ["--all"] else recorded())
    wrong = sorted({line for lines in found.values() for line in lines})
    print("  tidy: %d of %d sources looked at" % (len(found), len(everything)))
    print("".join("    %s\n" % line for line in wrong), end="")
    if arguments:
        record(everything, found)
    print("%d passed, %d failed, 0 skipped" % (not wrong, bool(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
