"""Model files for the tests of ./convert and ./evaluate: a small run, the same model as
safetensors, variants of it, and the models of tests/golden/make_families.py."""

import json
import math
import os
import shutil
import struct
import subprocess

import e2e
from e2e import WORK, check, content, equal, run, run_directory

V, T, L, NH, C = 257, 32, 2, 2, 32  # of e2e.config's model


def convert(source, target, *options, code=0):
    done = run("convert", source, target, *options)
    equal(done.code, code, "convert %s %s: %r" % (source, target, done))
    return done


def path(name):
    folder = os.path.join(WORK, "convert")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def trained():
    """The directory of a run of a few steps."""
    if not os.path.exists(run_directory("origin")):
        e2e.train(e2e.config("origin", training__stop__steps=20, checkpoint__interval=0))
    return run_directory("origin")


def exported():
    """The same as safetensors in a separate directory."""
    target = path("hf/model.safetensors")
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target))
        convert(trained(), target)
    return target


def read_safetensors(name):
    """{tensor: (dtype, shape, values or bytes)}, and the metadata."""
    data = content(name)
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__")
    found = {}
    for tensor, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[8 + length + begin:8 + length + end]
        values = struct.unpack("<%df" % (len(raw) // 4), raw) if entry["dtype"] == "F32" else raw
        found[tensor] = (entry["dtype"], entry["shape"], values)
    return found


def write_safetensors(name, tensors, edit=lambda header: None, tail=b"", **metadata):
    """tensors: {name: (dtype, shape, bytes)}; `edit` may spoil the header."""
    header, data = {"__metadata__": metadata}, b""
    for tensor, (dtype, shape, raw) in tensors.items():
        header[tensor] = {
            "dtype": dtype, "shape": shape, "data_offsets": [len(data),
                                                             len(data) + len(raw)]
        }
        data += raw
    edit(header)
    text = json.dumps(header).encode()
    with open(name, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data + tail)
    return name


def raw_tensors():
    return {name: (dtype, shape, struct.pack("<%df" % len(values), *values))
            for name, (dtype, shape, values) in read_safetensors(exported()).items()}


def write_config(folder, config):
    """`config` as text: unchanged, or as JSON."""
    with open(path(folder + "/config.json"), "w", encoding="utf-8") as file:
        file.write(config if isinstance(config, str) else json.dumps(config))


def our_config():
    return json.loads(content(os.path.dirname(exported()) + "/config.json"))


def write_shards(folder, tensors, n=2, edit=lambda index: None):
    """The tensors in turn over n files; `edit` may spoil the index. Returns the folder."""
    os.makedirs(path(folder), exist_ok=True)
    names = ["model-%05d-of-%05d.safetensors" % (i + 1, n) for i in range(n)]
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {t: names[i % n]
                       for i, t in enumerate(tensors)}
    }
    for i, name in enumerate(names):
        held = {t: tensors[t] for t, file in index["weight_map"].items() if file == name}
        write_safetensors(path(folder + "/" + name), held, format="pt")
    edit(index)
    with open(path(folder + "/model.safetensors.index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file)
    return path(folder)


def refused(source, *parts, code=65):
    """One error with all the parts, and nothing written."""
    done = convert(source, path("refused"), code=code)
    equal(len(done.errors()), 1, repr(done))
    for part in parts:
        check(part in done.err, "%r not in %r" % (part, done.err))
    check(not os.path.exists(path("refused")), "written in spite of " + done.err)


# ---- models of Hugging Face ----------------------------------------------------------------------

GOLDEN = "tests/golden/families"
CASES = sorted(os.listdir(GOLDEN))


def records(data):
    """{name: values} of tests/golden/golden.h."""
    found, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, *shape = data[at:end].decode().split()
        count = 1
        for n in shape:
            count *= int(n)
        found[name] = struct.unpack_from("<%df" % count, data, end + 1)
        at = end + 1 + 4 * count
    return found


def dumped(file, name, kind):
    """A dataset of four-byte values: kind is struct's letter. A GPU host may have h5py alone."""
    if shutil.which("h5dump") is None:
        try:
            import h5py
        except ImportError:
            raise e2e.Skip("neither h5dump (hdf5-tools) nor h5py is installed") from None
        with h5py.File(file) as found:
            return tuple(found[name][...].astype("<%s4" % kind).ravel().tolist())
    target = path("dumped")
    subprocess.run(["h5dump", "-d", name, "-b", "LE", "-o", target, file], check=True,
                   stdout=subprocess.DEVNULL)
    data = content(target)
    return struct.unpack("<%d%s" % (len(data) // 4, kind), data)


def farthest(got, wanted):
    """The largest difference of two lists of numbers; infinite if a number is NaN, which max() may
    leave out, or if the lists differ in length."""
    differences = [abs(a - b) for a, b in zip(got, wanted)]
    same_length = len(got) == len(wanted) > 0
    return max(differences) if same_length and not any(map(math.isnan, differences)) else math.inf


def imported(case):
    """The run that ./convert makes."""
    target = path("families_" + case)
    if not os.path.exists(target):
        convert(os.path.join(GOLDEN, case), target)
    return target


def copy_of(case, name):
    folder = path(name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(os.path.join(GOLDEN, case), folder)
    return folder
