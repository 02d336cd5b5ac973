#!/usr/bin/env python3
"""./convert: round trips preserve every bit, foreign files, and a run that trains from converted
weights."""

import json
import math
import os
import resource
import struct
import subprocess

import e2e
from e2e import SANITIZED, check, equal, run, run_directory, within
from model_files import (C, L, NH, T, V, content, convert, exported, path, raw_tensors,
                         read_safetensors, trained, write_config, write_safetensors)


def bf16(value):
    """Rounded to nearest, ties to even, as float."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


# ---- tests ---------------------------------------------------------------------------------------

def a_failure_leaves_no_folder():
    """The disk takes the first files, or not even one."""
    for name, options in (("left/a", ["--format=hugging-face"]), ("left/a/m.bin", []),
                          ("left/a/m.safetensors", [])):
        for limit in (0, 4096):
            done = subprocess.run(
                [os.path.join(e2e.PROGRAMS, "convert"), trained(), path(name), *options],
                env=e2e.ENVIRONMENT, capture_output=True, text=True, timeout=e2e.LIMIT,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            check(done.returncode == 1 and "cannot write" in done.stderr, repr(done))
            check(not os.path.exists(path("left")), "%s: a folder is left" % name)


def there_and_back_in_every_bit():
    first = exported()
    for index, middle in enumerate(
        (path("back.bin"), path("back_run"), path("hf2/model.safetensors"))):
        os.makedirs(os.path.dirname(middle), exist_ok=True)
        convert(first, middle)
        convert(middle, path("back_%d.safetensors" % index))
        equal(
            content(path("back_%d.safetensors" % index)) == content(first), True,
            "by way of " + middle)
    texts = {
        run("generate", directory, "--start=the sand", "--temperature=0", "--max-new-tokens=40").out
        for directory in (trained(), path("back_run"))
    }
    equal(len(texts), 1, "what the run and its copy say")


def names_and_shapes_are_hugging_faces():
    tensors = read_safetensors(exported())
    block = {
        "ln_1.weight": [C], "ln_1.bias": [C], "attn.c_attn.weight": [C, 3 * C],
        "attn.c_attn.bias": [3 * C], "attn.c_proj.weight": [C, C], "attn.c_proj.bias": [C],
        "ln_2.weight": [C], "ln_2.bias": [C], "mlp.c_fc.weight": [C, 4 * C],
        "mlp.c_fc.bias": [4 * C], "mlp.c_proj.weight": [4 * C, C], "mlp.c_proj.bias": [C]
    }
    wanted = {
        "transformer.h.%d.%s" % (i, name): shape
        for i in range(L)
        for name, shape in block.items()
    }
    wanted.update({
        "transformer.wte.weight": [V, C], "transformer.wpe.weight": [T, C],
        "transformer.ln_f.weight": [C], "transformer.ln_f.bias": [C]
    })
    equal({name: shape for name, (_, shape, _) in tensors.items()}, wanted)
    with open(os.path.dirname(exported()) + "/config.json", encoding="utf-8") as file:
        config = json.load(file)
    equal([
        config[key] for key in ("model_type", "vocab_size", "n_positions", "n_layer", "n_head",
                                "n_embd", "activation_function")
    ], ["gpt2", V, T, L, NH, C, "gelu_new"])


def llm_cs_layout():
    """The header, padded rows of zeros, arrays over blocks, and (N, K) instead of Hugging Face's
    (K, N)."""
    convert(exported(), path("layout.bin"))
    data, tensors = content(path("layout.bin")), read_safetensors(exported())
    header, padded = struct.unpack_from("<256i", data), 384
    equal(header[:8], (20240326, 3, T, V, L, NH, C, padded), "header")
    equal(len(data), 1024 + 4 * ((padded + T) * C + L * (12 * C * C + 13 * C) + 2 * C), "bytes")
    values = struct.unpack_from("<%df" % ((len(data) - 1024) // 4), data, 1024)
    equal(values[:V * C], tensors["transformer.wte.weight"][2], "wte")
    equal(set(values[V * C:padded * C]), {0.0}, "padding")
    at = (padded + T) * C + 2 * L * C  # behind ln_1: attn.c_attn.weight of both blocks
    for block in range(L):
        there = tensors["transformer.h.%d.attn.c_attn.weight" % block][2]
        here = values[at + block * 3 * C * C:at + (block + 1) * 3 * C * C]
        check(all(here[n * C + k] == there[k * 3 * C + n] for n in range(3 * C) for k in range(C)),
              "not transposed")
    equal(values[-2 * C:-C], tensors["transformer.ln_f.weight"][2], "ln_f")


def bfloat16_is_rounded_to_nearest():
    for half, full in (("half.safetensors", "full1.safetensors"), ("half.bin",
                                                                   "full2.safetensors")):
        convert(exported(), path(half), "--dtype=bfloat16")
        convert(path(half), path(full))
        for name, (_, _, values) in read_safetensors(exported()).items():
            equal(
                read_safetensors(path(full))[name][2] == tuple(map(bf16, values)), True,
                half + ": " + name)
    check(
        len(content(path("half.bin"))) < 0.51 * len(content(path("back.bin"))) + 1024,
        "bytes of bf16")


def a_strangers_file():
    """No prefix, buffers that old versions saved, a tied lm_head, halves; heads from config.json or
    the command line."""
    tensors = {name.replace("transformer.", ""): value for name, value in raw_tensors().items()}
    tensors["h.0.attn.bias"] = ("BOOL", [1, 1, 4, 4], bytes(16))
    tensors["h.1.attn.masked_bias"] = ("F32", [], bytes(4))
    tensors["lm_head.weight"] = tensors["wte.weight"]
    tensors["ln_f.bias"] = ("F16", [C],
                            struct.pack("<%de" % C, *[i / 8 - 6e-8 * (i == 1) for i in range(C)]))
    for folder in ("stranger", "stranger1", "stranger2"):
        os.makedirs(path(folder))
    source = write_safetensors(path("stranger/model.safetensors"), tensors, format="pt")
    done = convert(source, path("stranger1/model.safetensors"), "--heads=4")
    check("4 heads" in done.out, done.out)
    write_config("stranger", {"n_head": 8})
    check("8 heads" in convert(source, path("stranger2/model.safetensors")).out)
    values = read_safetensors(path("stranger2/model.safetensors"))["transformer.ln_f.bias"][2]
    equal(values[:3], (0.0, struct.unpack("<e", struct.pack("<e", 0.125 - 6e-8))[0], 0.25),
          "halves")


def training_goes_on_from_converted_weights():
    name = e2e.config("tuned", training__stop__steps=4, checkpoint__interval=0)
    convert(exported(), run_directory("tuned"), "--config=" + name, "--heads=%d" % NH)
    done = e2e.train(name)
    check("resumed from" in done.out, done.out)
    first, last = e2e.losses(run_directory("tuned"))[1], e2e.losses(trained())[20]
    check(
        abs(first - last) < 0.4 and first < 5.0,
        "the loss begins at %g, after training at %g" % (first, last))
    wrong = e2e.config("wrong", model__n_head=4)
    done = convert(exported(), path("wrong"), "--config=" + wrong, "--heads=%d" % NH, code=78)
    check("model.n_head is 4, but the weights have 2" in done.err, done.err)
    check(not os.path.exists(path("wrong")), "nothing is made then")


def bad_safetensors():
    tensors, wte = raw_tensors(), "transformer.wte.weight"

    def spoil(**entry):
        return lambda header: header[wte].update(entry)

    def fails(part, tensors=tensors, edit=lambda header: None, tail=b""):
        source = write_safetensors(path("bad.safetensors"), tensors, edit, tail)
        done = convert(source, path("bad_out"), code=65)
        equal(len(done.errors()), 1, repr(done))
        check(part in done.err, "%r not in %r" % (part, done.err))
        check(not os.path.exists(path("bad_out")), part)

    size = V * C * 4
    fails("lies outside", edit=spoil(data_offsets=[1 << 40, (1 << 40) + size]))
    fails("lies outside", edit=spoil(data_offsets=[size, 0]))
    fails("data_offsets", edit=spoil(data_offsets=[-4, size - 4]))
    fails("do not match its shape", edit=spoil(shape=[V, C + 1]))
    fails("overflows", edit=spoil(shape=[1 << 62, 1 << 62]))
    fails("non-integers", edit=spoil(shape=[1.5, C]))
    fails("no shape", edit=spoil(shape="many"))
    fails("unknown dtype", edit=spoil(dtype="F1"))
    fails(
        "overlaps", edit=lambda header: header.update(
            {"x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}))
    fails("belong to no tensor", tail=b"1234")
    fails("belong to no tensor", edit=lambda header: header.pop("transformer.wpe.weight"))
    fails("is it a GPT-2", {key: value for key, value in tensors.items() if key != wte})
    fails("has no tensor 'transformer.h.1.mlp.c_fc.bias'",
          {key: value for key, value in tensors.items() if key != "transformer.h.1.mlp.c_fc.bias"})
    fails("not one of GPT-2", dict(tensors, **{"transformer.extra": ("U8", [1], b"x")}))
    fails("lm_head", dict(tensors, **{"lm_head.weight": ("F32", [V, C], bytes(size))}))
    fails("expected", dict(tensors, **{"transformer.ln_f.bias": ("F32", [C // 2], bytes(2 * C))}))
    fails("floating-point", dict(tensors, **{"transformer.ln_f.bias": ("I32", [C], bytes(4 * C))}))
    whole = content(exported())
    for cut in (b"", whole[:7], whole[:100], whole[:-1], struct.pack("<Q", 1 << 63) + whole[8:],
                struct.pack("<Q", 5) + b"[1,2]"):
        with open(path("cut.safetensors"), "wb") as file:
            file.write(cut)
        equal(len(convert(path("cut.safetensors"), path("bad_out"), code=65).errors()), 1)


def bad_models_of_llm_c():
    convert(exported(), path("good.bin"))
    good = content(path("good.bin"))

    def fails(part, data):
        with open(path("bad.bin"), "wb") as file:
            file.write(data)
        check(part in convert(path("bad.bin"), path("bad_out"), code=65).err, part)

    def header(**changes):
        fields = list(struct.unpack_from("<256i", good))
        for index, value in changes.items():
            fields[int(index[1:])] = value
        return struct.pack("<256i", *fields) + good[1024:]

    fails("not a model of llm.c", b"short")
    fails("not a model of llm.c", header(_0=20240520))
    fails("version 1", header(_1=1))
    fails("is it cut?", good[:-2])
    fails("is it cut?", header(_6=1 << 30, _4=1 << 30))
    fails("no model has", header(_3=-5))
    fails("no model has", header(_7=V - 1))
    fails("heads", header(_5=5))


def many_tensors_take_no_longer_than_their_bytes():
    """20 k of them, in either format: names are found by hash."""
    blocks, block = 1700, {
        "ln_1.weight": [1], "ln_1.bias": [1], "attn.c_attn.weight": [1, 3], "attn.c_attn.bias": [3],
        "attn.c_proj.weight": [1, 1], "attn.c_proj.bias": [1], "ln_2.weight": [1], "ln_2.bias": [1],
        "mlp.c_fc.weight": [1, 4], "mlp.c_fc.bias": [4], "mlp.c_proj.weight": [4, 1],
        "mlp.c_proj.bias": [1]
    }
    shapes = {"h.%d.%s" % (i, name): shape for i in range(blocks) for name, shape in block.items()}
    shapes.update(
        {"wte.weight": [8, 1], "wpe.weight": [8, 1], "ln_f.weight": [1], "ln_f.bias": [1]})
    source = path("many/model.safetensors")
    os.makedirs(os.path.dirname(source))
    write_safetensors(
        source,
        {name: ("F32", shape, bytes(4 * math.prod(shape)))
         for name, shape in shapes.items()})
    for target in (path("many.bin"), path("many_back/model.safetensors")):
        within(30 if SANITIZED else 5, convert, source, target)
        source = target


def what_is_there_is_not_replaced():
    for target in ("there.safetensors", "there.bin", "there"):
        with open(path(target), "w", encoding="utf-8") as file:
            file.write("mine")
        done = convert(exported(), path(target), code=65)
        check("already exists" in done.err, done.err)
        equal(content(path(target)), b"mine")
    convert(path("nowhere.safetensors"), path("x.bin"), code=65)
    convert(path("nowhere"), path("x.bin"), code=65)
    convert(exported(), path("x.h5"), code=64)
    convert(exported(), path("x"), "--dtype=bfloat16", code=64)
    convert(exported(), path("x.bin"), "--config=x.yaml", code=64)
    check(not any("hourglass" in name for name in os.listdir(path(""))), "files are left lying")


def a_directory_of_others_is_left_alone():
    """What a path turns out to be once its parts are made, an unset variable of a script, and two
    at once."""
    home = path("others/home")
    os.makedirs(home)
    for to in ("new/..", "new/../..", "new/.", "a/b/../../.."):
        done = run("convert", trained(), os.path.join(home, to))
        check(
            done.code == 64 and len(done.errors()) == 1 and
            "is no name for a directory" in done.err, repr(done))
    equal((os.listdir(home), os.listdir(os.path.dirname(home))), ([], ["home"]), "left")
    for arguments in (["convert", trained(), ""], ["convert", "", home + "/x"], ["generate", ""],
                      ["evaluate", trained(), ""], ["train", ""], ["prepare", "", "--out=" + home]):
        done = run(*arguments)
        check(done.code == 64 and len(done.errors()) == 1 and "an argument is empty" in done.err,
              repr(done))
    jobs = [e2e.start(["convert", trained(), home + "/one"]) for _ in range(4)]
    ends = [job.end() for job in jobs]
    equal(sorted(done.code == 0 for done in ends), [False, False, False, True], repr(ends))
    check(all(len(done.errors()) == 1 for done in ends if done.code != 0), repr(ends))
    equal(run("generate", home + "/one", "--max-new-tokens=2").code, 0, "generate")


def a_config_json_of_another_model_is_not_left_beside_the_weights():
    """from_pretrained would believe it; the same model's stays as it is."""
    with open(os.path.dirname(exported()) + "/config.json", encoding="utf-8") as file:
        ours = json.load(file)
    others = [
        dict(ours, n_head=NH + 1),
        dict(ours, vocab_size=str(V)),
        dict(ours, model_type="llama"), [ours], None
    ]
    for index, there in enumerate(others + [dict(ours, note="mine")]):
        target, text = path("beside%d/model.safetensors" %
                            index), "{ no JSON" if there is None else json.dumps(there)
        os.makedirs(os.path.dirname(target))
        with open(path("beside%d/config.json" % index), "w", encoding="utf-8") as file:
            file.write(text)
        fits = index == len(others)
        done = convert(exported(), target, code=0 if fits else 65)
        check(
            fits or
            (len(done.errors()) == 1 and "config.json: is there already, and of" in done.err),
            repr(done))
        equal(content(path("beside%d/config.json" % index)).decode(), text, "config.json")
        equal(os.path.exists(target), fits, "weights beside " + text)


def a_run_that_cannot_be_finished_leaves_nothing_of_its_own():
    """Somebody takes the place of config.yaml while the checkpoint is written."""
    for attempt in range(20):
        target, made = path("disturbed%d" % attempt), False
        job = e2e.start(["convert", exported(), target])
        while not made and job.process.poll() is None:
            if not os.path.isdir(target + "/checkpoints"):  # existing files would be refused
                continue
            try:
                os.mkdir(target + "/config.yaml")
                made = True
            except FileExistsError:  # too late
                break
        done = job.end()
        if made:
            break
    check(made and done.code in (1, 65) and "config.yaml: " in done.err, repr(done))
    equal([os.path.relpath(name, target) for name in e2e.tree(target)], [".", "config.yaml"],
          "what is left")


def the_tokenizer_is_named_where_it_is_known():
    """A run's own is handed on; other weights tell theirs by the vocabulary's size, or nothing
    does."""
    e2e.train(
        e2e.config("wide", model__vocab_size=300, training__stop__steps=2, checkpoint__interval=0))
    convert(run_directory("wide"), path("wide_run"))
    equal(
        run("generate", path("wide_run"), "--max-new-tokens=5", "--top-k=1").code, 0,
        "the run's own")
    for vocabulary, wanted in ((300, "weights of 300 tokens with an unknown"),
                               (50304, path("none"))):
        tensors = dict(
            raw_tensors(),
            **{"transformer.wte.weight": ("F32", [vocabulary, C], bytes(4 * vocabulary * C))})
        os.makedirs(path("of%d" % vocabulary))
        convert(write_safetensors(path("of%d/model.safetensors" % vocabulary), tensors),
                path("run%d" % vocabulary))
        done = run("generate", path("run%d" % vocabulary), HOURGLASS_VOCAB=path("none"))
        check(done.code == 65 and len(done.errors()) == 1 and wanted in done.err, repr(done))


if __name__ == "__main__":
    e2e.main(there_and_back_in_every_bit, a_failure_leaves_no_folder,
             names_and_shapes_are_hugging_faces, llm_cs_layout,
             bfloat16_is_rounded_to_nearest, a_strangers_file,
             training_goes_on_from_converted_weights, bad_safetensors, bad_models_of_llm_c,
             many_tensors_take_no_longer_than_their_bytes, what_is_there_is_not_replaced,
             a_directory_of_others_is_left_alone,
             a_config_json_of_another_model_is_not_left_beside_the_weights,
             a_run_that_cannot_be_finished_leaves_nothing_of_its_own,
             the_tokenizer_is_named_where_it_is_known)
