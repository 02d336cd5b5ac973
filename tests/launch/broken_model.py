"""A run whose newest checkpoint is a good file of bad weights."""

import ctypes
import json
import os
import shutil
import struct

from e2e import WORK, checkpoints, equal, run


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def spoil(checkpoint, values, replacement):
    """Replaces bytes of a checkpoint and gives it the hashes of docs/checkpoints.md: a good file of
    bad weights."""
    with open(checkpoint, "rb") as file:
        data = file.read()
    image, trailer = data[:-56].replace(values, replacement), data[-56:]
    equal(data.count(values), 1, "places of the weights")
    xxhash = ctypes.CDLL("libxxhash.so.0")
    xxhash.XXH3_128bits.restype, xxhash.XXH3_64bits.restype = Hash128, ctypes.c_uint64
    found = xxhash.XXH3_128bits(image, ctypes.c_size_t(len(image)))
    trailer = trailer[:32] + struct.pack(">QQ", found.high, found.low)
    trailer += struct.pack("<Q", xxhash.XXH3_64bits(trailer, ctypes.c_size_t(48)))
    with open(checkpoint, "wb") as file:
        file.write(image + trailer)


def tensor(source, name):
    """The bytes of a run's tensor."""
    target = os.path.join(WORK, "tensor.safetensors")
    equal(run("convert", source, target).code, 0, "convert")
    with open(target, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    begin, end = json.loads(data[8:8 + length])["transformer." + name]["data_offsets"]
    return data[8 + length + begin:8 + length + end]


def broken_copy(source):
    """A copy of a run with a NaN in its last norm."""
    broken = os.path.join(WORK, "broken")
    shutil.copytree(source, broken)
    values = tensor(source, "ln_f.weight")
    spoil(checkpoints(broken)[-1], values, struct.pack("<f", float("nan")) + values[4:])
    return broken
