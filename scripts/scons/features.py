"""Detects the features of this machine by compiling and linking a program that uses each."""

import glob
import os
import re
import subprocess
import sys

import SCons.SConf
import SCons.Script

# The oldest oneDNN that is tested.
ONEDNN = """#include <dnnl.h>
#if DNNL_VERSION_MAJOR * 100 + DNNL_VERSION_MINOR < 206
#error older than 2.6
#endif"""

# feature: (Debian package, preamble, an expression that must link, the version as arguments of
# printf, candidates: each a folder of headers, a folder of libraries and the libraries, where
# {arch} is the machine's library folder; the first candidate that links is used)
LIBRARIES = {
    "HDF5": ("libhdf5-dev", "#include <hdf5.h>", "H5open()", "\"%s\", H5_VERS_INFO",
             [("/usr/include/hdf5/serial", "", ["hdf5_serial"]),
              ("/usr/include/hdf5/serial", "/usr/lib/{arch}/hdf5/serial", ["hdf5"]),
              ("", "", ["hdf5"])]),
    "libyaml": ("libyaml-dev", "#include <yaml.h>", "yaml_get_version_string() == 0",
                "\"%s\", yaml_get_version_string()", [("", "", ["yaml"])]),
    "jansson": ("libjansson-dev", "#include <jansson.h>", "json_object() == 0",
                "\"%s\", JANSSON_VERSION", [("", "", ["jansson"])]),
    "PCRE2": ("libpcre2-dev", "#define PCRE2_CODE_UNIT_WIDTH 8\n#include <pcre2.h>",
              "pcre2_config(PCRE2_CONFIG_UNICODE, 0) < 0", "\"%d.%d\", PCRE2_MAJOR, PCRE2_MINOR",
              [("", "", ["pcre2-8"])]),
    # The OpenMP build of OpenBLAS shares its threads with our kernels. It is named by its folder,
    # since the system's default may be another build.
    "OpenBLAS": ("libopenblas-openmp-dev", "#include <cblas.h>", "openblas_get_num_threads() == 0",
                 "\"%s\", openblas_get_config()",
                 [("/usr/include/{arch}/openblas-openmp",
                   "/usr/lib/{arch}/openblas-openmp", ["openblas"]), ("", "", ["openblas"]),
                  ("/usr/include/openblas", "", ["openblas"])]),
    "xxhash": ("libxxhash-dev", "#include <xxhash.h>", "XXH3_64bits(\"\", 0) == 0",
               "\"%u.%u.%u\", XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE",
               [("", "", ["xxhash"])]),
    "zlib": ("zlib1g-dev", "#include <zlib.h>", "zlibVersion() == 0", "\"%s\", ZLIB_VERSION",
             [("", "", ["z"])]),
    "zstd": ("libzstd-dev", "#include <zstd.h>", "ZSTD_versionNumber() == 0",
             "\"%s\", ZSTD_VERSION_STRING", [("", "", ["zstd"])]),
    "oneDNN": ("libdnnl-dev", ONEDNN, "dnnl_version() == 0",
               "\"%d.%d.%d\", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH",
               [("", "", ["dnnl"])]),
    "utf8proc": ("libutf8proc-dev", "#include <utf8proc.h>", "utf8proc_version() == 0",
                 "\"%s\", utf8proc_version()", [("", "", ["utf8proc"])]),
    "CUnit": ("libcunit1-dev", "#include <CUnit/CUnit.h>", "CU_get_error() != 0",
              "\"%s\", CU_VERSION", [("", "", ["cunit"])]),
}
OPTIONAL = {
    "CUnit": "tests are not built",
    "oneDNN": "no bfloat16 on the CPU; 2.6 at least",
    "utf8proc": "no tokenizers with NFC, such as Qwen's",
    "zstd": "no text that is compressed with zstd",
    "Arrow": "no Parquet",
}
ARROW_PACKAGE = "pyarrow: python3 -m pip install --target build/python pyarrow"
# Compilers call functions for such a loop that the library of an older compiler lacks.
OPENMP = """#include <omp.h>
static int loop(int n) {
    int sum = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += omp_get_thread_num();
    return sum;
}"""
PROGRAM = "%s\nint main(void) { return (%s) ? 1 : 0; }\n"
VERSION = "#include <stdio.h>\n%s\nint main(void) { return printf(%s) < 0; }\n"
KEYS = ("LIBS", "CCFLAGS", "LIBPATH", "RPATH", "LINKFLAGS")


def fail(message):
    print("scons: error: " + message, file=sys.stderr)
    SCons.Script.Exit(1)


def output(env, *command):
    """The output of a command; empty if it fails or is missing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True,
                              env=env["ENV"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def retried(test, *arguments):
    """A cached success is reused; a cached failure is tried again, because a package may have been
    installed since."""
    if test(*arguments):
        return True
    SCons.SConf.SetCacheMode("force")
    result = test(*arguments)
    SCons.SConf.SetCacheMode("auto")
    return result


def links(conf, preamble, expression, headers="", libraries="", names=(), **more):
    """Whether a program compiles and links with these; if so, the flags stay in the environment.
    System headers use -isystem, which suppresses warnings in them."""
    env = conf.env
    keep = {key: list(env.get(key, [])) for key in KEYS}
    env.Prepend(LIBS=list(names))
    if headers and headers != "/usr/include":
        env.Append(CCFLAGS=["-isystem", headers])
    if libraries:
        env.Append(LIBPATH=[libraries], RPATH=[libraries])
    env.Append(**more)
    if retried(conf.TryLink, PROGRAM % (preamble, expression), ".c"):
        return True
    env.Replace(**keep)
    return False


def version_in(text):
    match = re.search(r"\d+([.-]\d+)+", text)
    return match.group() if match else ""


def version_of(conf, spec):
    """The version of one of LIBRARIES that links."""
    _, preamble, _, version, _ = spec
    return version_in(conf.TryRun(VERSION % (preamble, version), ".c")[1])


def find_library(conf, arch, spec):
    """The path of one of LIBRARIES, or None."""
    _, preamble, expression, _, candidates = spec
    for headers, libraries, names in candidates:
        headers, libraries = headers.format(arch=arch), libraries.format(arch=arch)
        there = all(os.path.isdir(folder) for folder in (headers, libraries) if folder)
        if there and links(conf, preamble, expression, headers, libraries, names):
            return "-l%s%s" % (names[0], " in " + libraries if libraries else "")
    return None


def find_arrow(conf):
    """Apache Arrow's C++ library, which the Python package pyarrow holds with its headers. It is
    linked by the paths of its files and needs C++20."""
    env = conf.env
    script = "import pyarrow; print(pyarrow.__version__, pyarrow.get_include(), " \
        "pyarrow.get_library_dirs()[0], sep='\\n')"
    found = output(env, "env", "PYTHONPATH=build/python", "python3", "-c", script).split("\n")
    if len(found) != 3:
        return None, ""
    version, headers, folder = found
    files = [
        env.File(path) for name in ("parquet", "arrow")
        for path in glob.glob(os.path.join(folder, "lib%s.so.[0-9]*" % name))
        if path.count(".") == folder.count(".") + 2
    ]
    flags = ["-std=c++20", "-isystem", headers, "-Wno-missing-field-initializers"]
    keep = {key: list(env.get(key, [])) for key in ("CXXFLAGS", *KEYS)}
    env.Append(CXXFLAGS=flags, LIBS=files + ["stdc++"], RPATH=[folder])
    source = "#include <arrow/api.h>\n#include <parquet/arrow/reader.h>\n" \
        "int main() { return arrow::default_memory_pool() == nullptr; }\n"
    is_there = len(files) == 2 and retried(conf.TryLink, source, ".cc")
    env.Replace(**keep)
    if not is_there:
        return None, ""
    env.Replace(ARROWFLAGS=flags, ARROWLIBS=files + ["stdc++"], ARROWPATH=[folder])
    return "pyarrow in " + folder, version


def find_mpi(conf):
    """Takes the flags from the compiler wrapper, the only reliable source on every system."""
    flags = output(conf.env, "mpicc", "--showme").split()[1:]
    folders = [flag[2:] for flag in flags if flag.startswith("-I")]
    if flags and links(conf, "#include <mpi.h>", "MPI_Initialized(&(int){0})",
                       CCFLAGS=[part for folder in folders for part in ("-isystem", folder)],
                       LIBPATH=[flag[2:] for flag in flags if flag.startswith("-L")],
                       LIBS=[flag[2:] for flag in flags if flag.startswith("-l")]):
        return "mpicc", version_in(output(conf.env, "mpicc", "--showme:version"))
    return None, ""


def find_cuda(conf, found):
    """CUDA is nvcc, the static runtime and cuBLASLt together; NCCL is separate. None of them needs
    a driver to link."""
    env = conf.env
    home = env["ENV"].get("CUDA_HOME", "/usr/local/cuda")
    nvcc = env.WhereIs("nvcc") or env.WhereIs("nvcc", os.path.join(home, "bin"))
    if not nvcc:
        found["CUDA"] = (None, "no nvcc in PATH nor in %s/bin" % home, "")
        return
    root = os.path.dirname(os.path.dirname(os.path.realpath(nvcc)))
    folders = [os.path.join(root, name) for name in ("lib64", "lib")]
    libraries = next(
        (folder
         for folder in folders if os.path.exists(os.path.join(folder, "libcudart_static.a"))), "")
    env["NVCC"] = nvcc
    source = "__global__ void nothing() {}\nvoid call() { nothing<<<1, 1>>>(); }\n"
    if not retried(conf.TryBuild, env.CudaObject, source, ".cu"):
        found["CUDA"] = (None, "%s compiles no kernel: see config.log in the build folder" % nvcc,
                         "")
        return
    flags = list(env["CCFLAGS"])
    cuda = links(conf, "#include <cuda_runtime_api.h>", "cudaGetDeviceCount(&(int){0})",
                 os.path.join(root, "include"), libraries,
                 ["cudart_static", "dl", "rt", "pthread", "stdc++"])
    blas = cuda and links(conf, "#include <cublasLt.h>", "cublasLtGetVersion() == 0",
                          names=["cublasLt"])
    nccl = blas and links(conf, "#include <nccl.h>", "ncclGetVersion(&(int){0})", names=["nccl"])
    env.Replace(CUDAHEADERS=env["CCFLAGS"][len(flags):],
                CCFLAGS=flags)  # for the few files that request them
    if cuda and blas:
        release = re.search(r"release ([\d.]+)", output(env, nvcc, "--version"))
        found["CUDA"] = ("%s for %s" % (nvcc, env["NVCCTARGETS"]), "",
                         release.group(1) if release else "")
    else:
        found["CUDA"] = (None, "cuBLASLt is missing"
                         if cuda else "the CUDA runtime does not link: see config.log", "")
    found["cuBLASLt"] = ("-lcublasLt" if blas else None, "does not compile and link", "")
    found["NCCL"] = ("-lnccl" if nccl else None, "does not compile and link (package libnccl-dev)",
                     "")


def find_processor(env):
    """What the value of march means, and whether it is an x86 processor."""
    compiler = env["CC"].split()
    shown = output(env, *compiler, "-march=" + env["march"], "-Q", "--help=target")
    match = re.search(r"(?m)^\s+-march=\s+(\S+)$", shown)
    is_x86 = output(env, *compiler, "-dumpmachine").startswith("x86_64")
    return match.group(1) if match else env["march"], is_x86


def table(found):
    print("%-10s %-6s %-9s %s" % ("feature", "found", "version", "where, or why not"))
    for name, (where, why, version) in found.items():
        print("%-10s %-6s %-9s %s" % (name, "yes" if where else "no", version, where or why))
    print(flush=True)


def configure(env, build, with_cuda, required_cuda, with_arrow):
    """Tests all features, adds the flags to `env`, prints the table; ends the build if a required
    one is missing. Returns the versions of the features found, by name; "" where unknown."""
    conf = env.Configure(conf_dir=os.path.join(build, "config"),
                         log_file=os.path.join(build, "config.log"), help=False)
    SCons.SConf.progress_display.set_mode(0)
    compiler = env["CC"].split()
    if not env.WhereIs(compiler[0]):
        fail("cc=%s: there is no such program" % env["CC"])
    arch = output(env, *compiler, "-print-multiarch") or "x86_64-linux-gnu"
    found, missing = {}, []

    def note(name, package, where, version):
        found[name] = (where, "%s; package %s" % (OPTIONAL.get(name, "required"), package), version)
        if not where and name not in OPTIONAL:
            missing.append((name, package))

    openmp = links(conf, OPENMP, "loop(omp_get_max_threads()) < 0", names=["m"])
    version = output(env, *compiler, "-dumpfullversion") or output(env, *compiler, "-dumpversion")
    clang = re.search(r"clang(-\d+)?$", compiler[0])
    note("OpenMP", "libomp%s-dev" % (clang.group(1) or "") if clang else "build-essential",
         env["CC"] if openmp else None, version)
    if openmp:
        if not links(conf, "", "(_Float16){1} == 0"):
            fail("cc=%s has no _Float16; take gcc 12 or clang 15, or later" % env["CC"])
        note("MPI", "libopenmpi-dev", *find_mpi(conf))
        for name, spec in LIBRARIES.items():
            where = find_library(conf, arch, spec)
            note(name, spec[0], where, version_of(conf, spec) if where else "")
        note("Arrow", ARROW_PACKAGE, *(find_arrow(conf) if with_arrow else (None, "")))
        if with_cuda:
            find_cuda(conf, found)
        else:
            found["CUDA"] = (None, "not asked for", "")
        processor, is_x86 = find_processor(env)
        found["processor"] = ("-march=" + processor, "", "")
        env.Replace(MARCH=processor)
    conf.Finish()
    table(found)
    if missing:
        fail("%s is missing: apt-get install %s (or run scripts/install_packages.sh)" %
             (", ".join(name for name, _ in missing), " ".join(package for _, package in missing)))
    if required_cuda and not found["CUDA"][0]:
        fail("cuda=yes, but %s" % found["CUDA"][1])
    names = {name: version for name, (where, _, version) in found.items() if where}
    return {**names, "x86": ""} if is_x86 else names
