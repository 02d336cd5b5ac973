"""Selects the sources and how to compile them, by folder and file name.

  core/ nn/ dist/ data/ checkpoints/ launch/   every .c, in one library: static for programs, shared
                                               for tests, so that a change of one file links once,
                                               not once a test
  launch/{train,prepare,...}.c                 the programs, each with launch/base/at_load.c and
                                               the description of the build
  launch/base/{at_load,processor,...}.c        compiled for any processor of the architecture
  data/table_arrow.cc                          only with Arrow, a module that ./prepare loads
  core/cpu/*.c, nn/attention/cpu/*.c           CPU kernels, compiled for f32, f64 and bf16, those of
                                               WIDE for f32 and f64; *_common.c, *_absent.c once
  *.cu, *_cuda.c                               only with CUDA; *sm90/*.cu for Hopper alone,
                                               flash_sm80/*.cu not for Turing
  nccl.c, product_bf16_common.c,               only with NCCL, oneDNN, utf8proc, zstd, on x86
  nfc_utf8proc.c, zstd_frames.c,
  processor_x86.c
  *_absent.c                                   in their place without CUDA; those of SUBSTITUTES
                                               without the library
  tests/**/test_*.c, test_*.cu, mpi_*.c        test programs; *_helper.c is linked into those of its
                                               folder, and into others that include its header
  tests/fuzz/libfuzzer.c                       a program for clang's libFuzzer
  examples/*.c                                 examples; those in examples/installed/ are compiled
                                               with an installation
  launch/library/hourglass.{c,map}             also the library of an installation
"""

import glob
import os
import re
import subprocess
import sys

import SCons.Script

from release import PROGRAMS, PUBLIC, SONAME, commit

ROOMS = ("core", "nn", "dist", "data", "checkpoints", "launch")
AT_LOAD = "launch/base/at_load.c"
ANY_PROCESSOR = (AT_LOAD, "launch/base/processor.c", "launch/base/processor_x86.c",
                 "launch/base/processor_absent.c")
MODULE = "data/table_arrow.cc"
REALS = {"f32": "float", "f64": "double", "bf16": "float"}
WIDE = ("core/cpu/initialize.c", "core/cpu/reduce.c", "core/cpu/rope.c")
ARCHITECTURES = ("80", "90a", "100")
UNOPTIMIZED = ["-Xcicc=-O1", "-Xptxas=-O0"]  # with -O0 for both, ptxas takes twice as long
NEED_OPTIMIZATION = "sm90/"  # wgmma needs its operands in registers
FEATURES = {"nccl": "NCCL", "nfc_utf8proc": "utf8proc", "zstd_frames": "zstd",
            "processor_x86": "x86", "product_bf16_common": "oneDNN"}
SUBSTITUTES = {"nccl_absent": "NCCL", "nfc_absent": "utf8proc", "zstd_absent": "zstd",
               "processor_absent": "x86", "product_bf16_absent": "oneDNN"}
VISIBLE = ("PATH", "HOME", "TMPDIR", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "CUDA_HOME")


def environment():
    """The variables of the user's environment that compilers may see. Spack's need theirs."""
    return {name: value for name, value in os.environ.items()
            if name in VISIBLE or name.startswith("SPACK_")}


def one_of(key, value, allowed):
    if value not in allowed.split():
        print("scons: error: %s=%s is none of: %s" % (key, value, allowed), file=sys.stderr)
        SCons.Script.Exit(64)


def quiet(env):
    env.Replace(CCCOMSTR="  CC    $TARGET", LINKCOMSTR="  LINK  $TARGET",
                ARCOMSTR="  AR    $TARGET", RANLIBCOMSTR="  INDEX $TARGET",
                NVCCCOMSTR="  NVCC  $TARGET")


def gencode(architectures, portable):
    """One binary for each architecture, and PTX of the newest for later ones."""
    flags = ["-gencode=arch=compute_%s,code=sm_%s" % (arch, arch) for arch in architectures]
    if portable:
        flags.append("-gencode=arch=compute_%s,code=compute_%s" %
                     (architectures[-1], architectures[-1]))
    return flags


def architectures(env):
    """The architectures of cuda_arch, and whether to add PTX for later ones. native: those of the
    GPUs of this machine, or all if it has none."""
    if env["cuda_arch"] not in ("native", "all"):
        return env["cuda_arch"].split(","), False
    try:
        query = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
                               capture_output=True, text=True, check=True, timeout=30)
        here = sorted(set(re.findall(r"^(\d+)\.(\d+)$", query.stdout, re.MULTILINE)))
    except (OSError, subprocess.SubprocessError):
        here = []
    if env["cuda_arch"] == "native" and here:
        return [major + minor + ("a" if major == "9" else "") for major, minor in here], False
    return ARCHITECTURES, True


def add_nvcc(env):
    chosen, portable = architectures(env)
    env.Replace(
        CUDAHEADERS=[],
        NVCCTARGETS=", ".join("sm_" + arch for arch in chosen) + (" and later" if portable else ""),
        NVCCARCH=gencode(chosen, portable),
        NVCCFLAGS=["-std=c++17", "-O3", "--expt-relaxed-constexpr",
                   "-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers,-fopenmp,-fPIC"]
        + (["-lineinfo"] if env["cuda_optimize"] == "yes" else [])
        + (["-Werror=all-warnings"] if env["werror"] == "yes" else []),
        NVCCCOM="$NVCC $NVCCFLAGS $NVCCARCH -I. -c -o $TARGET $SOURCE")
    action = SCons.Script.Action("$NVCCCOM", "$NVCCCOMSTR")
    builder = SCons.Script.Builder(action=action, suffix=".o", src_suffix=".cu", single_source=True)
    env.Append(BUILDERS={"CudaObject": builder})
    for suffix in (".cu", ".cuh"):
        SCons.Tool.SourceFileScanner.add_scanner(suffix, SCons.Tool.CScanner)


def walk(folder, pattern):
    return sorted(glob.glob(os.path.join(folder, "**", pattern), recursive=True))


def is_main(path):
    """Whether the file belongs to a program, not to the library."""
    return path == AT_LOAD or path in ["launch/%s.c" % name for name in PROGRAMS]


def is_for_cuda(path):
    name = os.path.splitext(os.path.basename(path))[0]
    if name.endswith("_absent"):
        return False
    return name == "nccl" or name.endswith("_cuda") or path.endswith(".cu")


def is_wanted(path, found):
    """Whether the features of this build select the file or its substitute."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in FEATURES:
        return FEATURES[name] in found
    if name in SUBSTITUTES:
        return SUBSTITUTES[name] not in found
    if name.endswith("_absent"):
        return "CUDA" not in found
    return "CUDA" in found or not is_for_cuda(path)


def is_kernel(path):
    """Whether the file is a CPU kernel written once for all precisions."""
    folder, name = os.path.split(path)
    if name.endswith(("_common.c", "_absent.c")):
        return False
    return folder in ("core/cpu", "nn/attention/cpu")


def objects(env, build, path):
    stem = os.path.join(build, os.path.splitext(path)[0])
    if path.endswith(".cu"):
        arch, flags = env["NVCCARCH"], env["NVCCFLAGS"]
        if env["cuda_optimize"] == "no" and NEED_OPTIMIZATION not in path:
            flags = [*flags, *UNOPTIMIZED]
        if "sm90/" in path:
            arch = gencode(("90a",), False)
        elif "/flash_sm80/" in path:
            arch = [flag for flag in arch if "compute_75" not in flag] or gencode(("80",), False)
        return env.CudaObject(stem + "_cu.o", path, NVCCARCH=arch, NVCCFLAGS=flags)
    if path in ANY_PROCESSOR:
        flags = [flag for flag in env["CCFLAGS"] if not flag.startswith("-march=")]
        return env.Object(stem + ".o", path, CCFLAGS=flags)
    if path == "core/device.c":
        optimized = "HOURGLASS_CUDA_OPTIMIZED=%d" % (env["cuda_optimize"] == "yes")
        return env.Object(stem + ".o", path, CPPDEFINES=[*env["CPPDEFINES"], optimized])
    if path == "launch/base/processor_features.c":
        return env.Object(stem + ".o", path,
                          CPPDEFINES=[*env["CPPDEFINES"], "HOURGLASS_MARCH=" + env["MARCH"]])
    if is_for_cuda(path):
        return env.Object(stem + ".o", path, CCFLAGS=env["CCFLAGS"] + env["CUDAHEADERS"])
    if not is_kernel(path):
        return env.Object(stem + ".o", path)
    return [
        env.Object("%s_%s.o" % (stem, name), path,
                   CPPDEFINES=[*env["CPPDEFINES"], "REAL=" + real, "REAL_NAME=" + name])
        for name, real in REALS.items() if name != "bf16" or path not in WIDE
    ]


def library_objects(env, build, found):
    paths = [path for room in ROOMS for ending in ("*.c", "*.cu")
             for path in walk(room, ending)]
    chosen = [path for path in paths if is_wanted(path, found) and not is_main(path)]
    return [objects(env, build, path) for path in chosen]


def libraries(env, build, found):
    """The static and the shared library, from the same objects."""
    parts = library_objects(env, build, found)
    return (env.StaticLibrary(build + "/libhourglass.a", parts),
            env.SharedLibrary(build + "/libhourglass.so", parts))


def public_library(env, build, library):
    """The library of an installation: the functions of its header, and what they need."""
    symbols = PUBLIC + ".map"
    flags = ["-Wl,-soname," + SONAME, "-Wl,--version-script=" + symbols, "-Wl,-z,defs"]
    target = env.SharedLibrary(build + "/public/libhourglass.so",
                               objects(env, build, PUBLIC + ".c"), LIBS=library + env["LIBS"],
                               LINKFLAGS=env["LINKFLAGS"] + flags, RPATH=[])
    env.Depends(target, symbols)
    return target


def module(env, build, version):
    """The module that reads tables by Arrow, whose libraries take long to load and may go away
    after the build. The program that loads it has the functions of core/status.h. Another version
    of Arrow has other headers, which scons does not see."""
    parts = env.Object(build + "/data/table_arrow_cc.o", MODULE, CXXFLAGS=env["ARROWFLAGS"])
    env.Depends(parts, env.Value(version))
    return env.LoadableModule(build + "/table_arrow.so", parts, LIBS=env["ARROWLIBS"],
                              RPATH=env["ARROWPATH"], LDMODULEPREFIX="")


def build_info(env, build, found):
    """The generated source with the BuildInfo of launch/base/options.h."""
    compiler = "%s %s" % (env["CC"], found.get("OpenMP", ""))
    parts = [name for name in found if name not in ("OpenMP", "CUnit", "x86", "processor")]
    lines = ["%-11s %s" % (name, found[name] or "yes") for name in parts]
    lines += ["%-11s no" % name for name in ("Arrow", "CUDA", "NCCL", "oneDNN", "utf8proc", "zstd")
              if name not in found]
    fields = {"commit": commit(), "compiler": compiler, "libraries": "\\n".join(lines)}
    source = env.Textfile(build + "/build_info.c", [
        '#include "launch/base/options.h"',
        "const BuildInfo build_info = {%s};" %
        ", ".join('.%s = "%s"' % pair for pair in fields.items())
    ])
    return env.Object(build + "/build_info.o", source)


def program(env, build, target, sources, library, **more):
    """A program that finds the shared library relative to itself, so that the build folder can
    move."""
    parts = [objects(env, build, path) for path in sources]
    up = os.path.relpath(build, os.path.dirname(target) or ".")
    more.setdefault("RPATH", [env.Literal(os.path.join("\\$$ORIGIN", up))])
    return env.Program(target, parts + more.pop("also", []), LIBS=library + env["LIBS"], **more)


def programs(env, build, library, found, at_root):
    info = build_info(env, build, found)
    flags = env["LINKFLAGS"] + [
        "-Wl,--export-dynamic-symbol=" + name for name in ("status_error", "status_passed")
    ]
    return [
        program(env, build, name if at_root else os.path.join(build, name),
                ["launch/%s.c" % name, AT_LOAD], library, also=info, RPATH=[],
                LINKFLAGS=flags if name == "prepare" else env["LINKFLAGS"]) for name in PROGRAMS
    ] + ([module(env, build, found["Arrow"])] if "Arrow" in found else [])


def examples(env, build, library):
    return [
        program(env, build, os.path.join(build, path[:-2]), [path], library)
        for path in sorted(glob.glob("examples/*.c"))
    ]


def helpers(path):
    """The helpers of a test: those of its folder, those of other folders that it includes, and the
    helpers that these include."""
    found, todo = set(), [path] + glob.glob(os.path.join(os.path.dirname(path), "*_helper.c"))
    while todo:
        source = todo.pop()
        found.add(source)
        with open(source) as file:
            named = re.findall(r'^#include "(tests/\S+_helper)\.h"', file.read(), re.MULTILINE)
        for name in named:
            with open(name + ".h") as file:
                inner = re.findall(r'^#include "(tests/\S+_helper)\.h"', file.read(), re.MULTILINE)
            todo += [stem + ".c" for stem in [name] + inner if stem + ".c" not in found]
    return sorted(found - {path})


def fuzzer(env, build, library):
    """The program of tests/fuzz/run."""
    path = "tests/fuzz/libfuzzer.c"
    return program(env, build, build + "/fuzz", [path, *helpers(path)], library,
                   LINKFLAGS=env["LINKFLAGS"] + ["-fsanitize=fuzzer"])


def tests(env, build, library, found):
    paths = walk("tests", "test_*.c") + walk(
        "tests", "mpi_*.c") + (walk("tests", "test_*.cu") if "CUDA" in found else [])
    built = []
    for path in paths:
        sources = [path, "tests/harness.c"] + helpers(path)
        built += program(env, build, os.path.join(build,
                                                  os.path.splitext(path)[0]), sources, library)
    return built
