#!/usr/bin/env python3
"""./convert's sources: config.json field by field, shards and directories, NaN and Inf, files of
other programs."""

import json
import os
import struct

import e2e
from e2e import check, equal, within
from model_files import (C, NH, T, V, content, convert, exported, our_config, path, raw_tensors,
                         read_safetensors, refused, trained, write_config, write_safetensors,
                         write_shards)


def each_field_of_config_json_is_honoured_or_refused_by_name():
    write_config_beside("fields")
    source, ours = path("fields/model.safetensors"), our_config()
    nothing = object()
    wrong = {
        "activation_function": [
            "relu", "gelu", "gelu_10", "quick_gelu", "silu", None, 3, ["gelu_new"]
        ], "hidden_act": ["silu"], "layer_norm_epsilon": [0, -1e-5, "1e-5",
                                                          None], "layer_norm_eps": [0, 0.5],
        "scale_attn_weights": [False, None, 1], "scale_attn_by_inverse_layer_idx": [True, "false"],
        "reorder_and_upcast_attn": ["yes"], "model_type": ["llama", "gpt_neo", "", None, 2],
        "architectures": [["LlamaForCausalLM"], "GPT2LMHeadModel",
                          [None]], "n_inner": [C, 4 * C + 1, "128"], "intermediate_size": [3 * C],
        "add_cross_attention": [True], "is_encoder_decoder": [True], "vocab_size": [V + 1, 0, 1e3],
        "n_positions": [T * 2], "n_ctx": [T // 2], "max_position_embeddings": [T + 1],
        "n_layer": [1, 3, -1], "num_hidden_layers": [3], "n_embd": [C + 1,
                                                                    "32"], "hidden_size": [64],
        "n_head": ["2", 1e9, 2.0, 2.5, 0, -2, 5, 1 << 40, True, None,
                   [2]], "num_attention_heads": [4], "num_key_value_heads": [1], "head_dim": [8],
        "tie_word_embeddings": [False, "true"], "quantization_config": [{"bits": 4}
                                                                        ], "rope_theta": [10000.0],
        "rope_scaling": [{"type": "linear"}
                         ], "rotary_dim": [64], "alibi": [True], "auto_map": [{"AutoModel": "a.B"}],
        "pruned_heads": [{"0": [1]}], "rms_norm_eps": [1e-6], "sliding_window": [128],
        "multi_query": [True], "num_experts": [8], "position_embedding_type": ["relative_key"]
    }
    for key, values in wrong.items():
        for value in values:
            write_config("fields", dict(ours, **{key: value}))
            refused(source, "config.json: ", key)
    right = {
        "activation_function": ["gelu_pytorch_tanh", "gelu_fast",
                                nothing], "layer_norm_epsilon": [1e-05, nothing],
        "scale_attn_weights": [True], "scale_attn_by_inverse_layer_idx": [False],
        "n_inner": [None, 4 * C], "reorder_and_upcast_attn": [True, False], "model_type": [nothing],
        "architectures": [None,
                          ["GPT2Model"]], "quantization_config": [None], "rope_scaling": [None],
        "pruned_heads": [{}], "n_ctx": [nothing], "_name_or_path": ["x"], "resid_pdrop": [0.1],
        "task_specific_params": [{"n_head": 7}], "use_cache": [True], "num_attention_heads": [NH]
    }
    for index, (key, value) in enumerate(
        (key, value) for key, values in right.items() for value in values):
        changed = dict(ours, **{key: value})
        if value is nothing:
            del changed[key]
        write_config("fields", changed)
        done = convert(source, path("fields%d.bin" % index))
        equal(done.err, "", "%s %r" % (key, value))
    write_config("fields", dict(ours, colour="red", **{"od\x1bd": 1}))
    done = convert(source, path("fields_unknown.bin"))
    check("colour, od\\x1Bd" in done.err and done.err.count("\n") == 1,
          "what is not known is named, escaped: " + repr(done))


def write_config_beside(folder):
    os.makedirs(path(folder))
    write_safetensors(path(folder + "/model.safetensors"), raw_tensors(), format="pt")
    write_config(folder, our_config())


def a_broken_config_json_is_an_error_and_a_guess_is_said():
    write_config_beside("broken")
    source, whole = path("broken/model.safetensors"), json.dumps(our_config())
    for text in ("", whole[:-20], whole + "}", "[1]", "null", "{\"n_head\": 2, \"n_head\": 4}",
                 "{\"n_head\": NaN}", "[" * 100000, "\x00", "\ufeff" + whole):
        write_config("broken", text)
        refused(source, "config.json")
    write_config("broken", {"model_type": "gpt2"})
    refused(source, "config.json: has no n_head", "--heads")
    write_config("broken", dict(our_config(), n_head=4))
    done = convert(source, path("refused"), "--heads=2", code=65)
    check("n_head is 4" in done.err, repr(done))
    os.remove(path("broken/config.json"))
    done = convert(source, path("guessed.bin"))
    check("config.json is not there: 1 heads are a guess" in done.err and done.err.count("\n") == 1,
          repr(done))
    equal(convert(source, path("told.bin"), "--heads=2").err, "", "with --heads nothing is guessed")
    os.mkdir(path("broken/config.json"))
    refused(source, "config.json")
    done = convert(path("told.bin"), path("refused"), "--heads=2", code=64)
    check("--heads" in done.err, repr(done))


def an_untied_output_layer_is_one_of_its_own():
    """And a tied one that is there in spite of that is the embedding."""
    tensors, wte = raw_tensors(), "transformer.wte.weight"
    write_config_beside("untied")
    write_config("untied", dict(our_config(), tie_word_embeddings=False))
    refused(path("untied"), "tie_word_embeddings", "lm_head.weight")
    other = dict(tensors, **{"lm_head.weight": ("F32", [V, C], bytes(4 * V * C))})
    write_safetensors(path("untied/model.safetensors"), other)
    convert(path("untied"), path("untied_run"))
    convert(path("untied_run"), path("untied_back/model.safetensors"))
    equal(read_safetensors(path("untied_back/model.safetensors"))["lm_head.weight"][2],
          (0.0, ) * (V * C), "lm_head")
    done = convert(path("untied_run"), path("untied.bin"), code=65)
    check("model.tie_embeddings is false" in done.err, repr(done))
    write_config("untied", our_config())
    refused(path("untied"), "lm_head.weight", "tie_word_embeddings is true")
    same = dict(tensors, **{"lm_head.weight": tensors[wte]})
    write_safetensors(path("untied/model.safetensors"), same)
    convert(path("untied"), path("tied.bin"))
    equal(content(path("tied.bin")) == content(by_llm_c()), True, "bits")


def by_llm_c():
    if not os.path.exists(path("plain.bin")):
        convert(exported(), path("plain.bin"))
    return path("plain.bin")


def shards_and_directories_are_read():
    tensors = raw_tensors()
    for n in (1, 2, 3):
        folder = write_shards("shards%d" % n, tensors, n)
        write_config("shards%d" % n, our_config())
        for source in (folder, folder + "/", folder + "/model.safetensors.index.json"):
            target = path("from_shards.bin")
            equal(convert(source, target).err, "", source)
            equal(content(target) == content(by_llm_c()), True, "bits of " + source)
            os.remove(target)
    convert(os.path.dirname(exported()), path("from_directory.bin"))
    equal(
        content(path("from_directory.bin")) == content(by_llm_c()), True,
        "bits of the directory that was written")
    refused(path("shards2/model-00001-of-00002.safetensors"), "one shard of several", "index.json")
    write_safetensors(path("shards2/model.safetensors"), tensors)
    refused(path("shards2"), "model.safetensors", "index.json")
    os.makedirs(path("hollow"))
    refused(path("hollow"), "neither a run nor a model")
    refused(os.path.dirname(exported()) + "/config.json", "weight_map")


def bad_indices():
    tensors, wte = raw_tensors(), "transformer.wte.weight"
    first, second = ("model-%05d-of-00002.safetensors" % i for i in (1, 2))

    def fails(*parts, edit=lambda index: None, then=lambda folder: None):
        folder = write_shards("spoilt", tensors, 2, edit)
        write_config("spoilt", our_config())
        then(folder)
        refused(folder, *parts)

    def maps(name, to):
        return lambda index: index["weight_map"].update({name: to})

    with open(path("outside.safetensors"), "wb") as file:
        file.write(content(exported()))
    for outside in ("../outside.safetensors", path("outside.safetensors"), "./" + first,
                    "a/../" + first):
        fails(wte, "beside", edit=maps(wte, outside))
    fails(second, "is not there", then=lambda folder: os.remove(folder + "/" + second))
    fails("not in", "transformer.x", edit=maps("transformer.x", first))
    fails(wte, second, edit=maps(wte, second))
    fails(wte, "is not in", edit=lambda index: index["weight_map"].pop(wte))
    fails(wte, "names no file", edit=maps(wte, 3))
    fails("no *.safetensors", edit=maps(wte, "pytorch_model-00001-of-00002.bin"))
    fails("no *.safetensors", edit=maps(wte, ""))
    fails("weight_map", edit=lambda index: index.pop("weight_map"))
    fails("weight_map", edit=lambda index: index.update(weight_map={}))
    fails("weight_map", edit=lambda index: index.update(weight_map=[first]))

    def twice(folder):
        held = {name: tensors[name] for i, name in enumerate(tensors) if i % 2 == 1}
        write_safetensors(folder + "/" + second, dict(held, **{wte: tensors[wte]}))

    fails(second, "holds tensor '%s'" % wte, first, then=twice)

    def key_twice(folder):
        text = content(folder + "/model.safetensors.index.json").decode()
        with open(folder + "/model.safetensors.index.json", "w", encoding="utf-8") as file:
            file.write(
                text.replace("{\"transformer", "{\"%s\": \"%s\", \"transformer" % (wte, second), 1))

    fails("index.json", "duplicate", then=key_twice)


def nan_and_inf_are_named_with_their_place():
    tensors, name = raw_tensors(), "transformer.h.1.mlp.c_fc.weight"
    bits = {
        "F32": ("<I", 0x7fc00000, 0x7f800000, 0xff800000), "F16": ("<H", 0x7e00, 0x7c00, 0xfc00),
        "BF16": ("<H", 0x7fc0, 0x7f80, 0xff80),
        "F64": ("<Q", 0x7ff8 << 48, 0x7ff0 << 48, 0xfff0 << 48)
    }
    for dtype, (form, *values) in bits.items():
        for value, word in zip(values, ("nan", "inf", "-inf")):
            size = struct.calcsize(form)
            raw = bytearray(size * 4 * C * C)
            struct.pack_into(form, raw, size * (3 * 4 * C + 5), value)
            spoilt = dict(tensors, **{name: (dtype, [C, 4 * C], bytes(raw))})
            refused(write_safetensors(path("nan.safetensors"), spoilt),
                    "'%s' is %s at [3, 5]" % (name, word))
    raw = bytearray(tensors["transformer.ln_f.bias"][2])
    struct.pack_into("<f", raw, 4 * 7, float("nan"))
    spoilt = dict(tensors, **{"transformer.ln_f.bias": ("F32", [C], bytes(raw))})
    refused(write_safetensors(path("nan.safetensors"), spoilt),
            "'transformer.ln_f.bias' is nan at [7]")
    spoilt = dict(tensors,
                  **{"lm_head.weight": ("F32", [V, C], struct.pack("<f", float("inf")) * (V * C))})
    refused(write_safetensors(path("nan.safetensors"), spoilt), "'lm_head.weight' is inf at [0, 0]")
    for options, form, value in (((), "<f", float("nan")), (("--dtype=bfloat16",), "<H", 0x7f80)):
        source = path("nan%d.bin" % len(options))
        convert(exported(), source, *options)
        data = bytearray(content(source))
        struct.pack_into(form, data, 1024 + struct.calcsize(form) * (2 * C + 1), value)
        with open(source, "wb") as file:
            file.write(data)
        refused(source, "'wte.weight' is %s at [2, 1]" % ("inf" if options else "nan"))
    large = struct.pack("<f", 3.4e38) + tensors["transformer.ln_f.bias"][2][4:]
    source = write_safetensors(path("large.safetensors"),
                               dict(tensors, **{"transformer.ln_f.bias": ("F32", [C], large)}))
    done = convert(source, path("large.bin"), "--dtype=bfloat16", code=65)
    check("beyond bfloat16" in done.err and not os.path.exists(path("large.bin")), repr(done))


def files_of_other_programs_are_told_what_to_do():
    pickle, archive = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
                       b"PK\x03\x04\0\0\x08\x08" + bytes(64))
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for folder, name, data, part in (("torch1", "pytorch_model.bin", archive, "save_pretrained"),
                                     ("torch2", "pytorch_model.bin", pickle, "save_pretrained"),
                                     ("torch3", "model.pt", archive, "save_pretrained"),
                                     ("torch4", "model.safetensors", archive, "save_pretrained"),
                                     ("torch5", "pytorch_model.bin.index.json", b"{}", ""),
                                     ("lfs", "model.safetensors", lfs, "git lfs pull"),
                                     ("gguf", "model.gguf", b"GGUF\3\0\0\0", "GGUF")):
        os.makedirs(path(folder))
        with open(path(folder + "/" + name), "wb") as file:
            file.write(data)
        refused(path(folder + "/" + name), name, part)
        if name != "model.pt" and name != "model.gguf":
            refused(path(folder), name, part or "save_pretrained")
    for target in ("x.pt", "x.json", "x.gguf", "pytorch_model.bin"):
        convert(exported(), path(target), code=64)
        check(not os.path.exists(path(target)), target)


def notes_beside_a_target_stay():
    for name in ("kept/model.bin", "kept/model.safetensors", "kept_run"):
        os.makedirs(path("kept"), exist_ok=True)
        beside = [path(name + ending) for ending in (".new", ".tmp", ".part", "~")]
        for file_name in beside:
            with open(file_name, "w", encoding="utf-8") as file:
                file.write("notes")
        convert(trained(), path(name))
        equal([content(file_name) for file_name in beside], [b"notes"] * len(beside), name)


def names_of_tensors_are_escaped():
    bad = dict(raw_tensors(), **{"\x1b[2Jx\nconvert: done": ("U8", [1], b"x")})
    done = convert(write_safetensors(path("escape.safetensors"), bad), path("refused"), code=65)
    check("\x1b" not in done.err and done.err.count("\n") == len(done.err.splitlines()), repr(done))
    check("\\x1B[2Jx\\nconvert" in done.err, repr(done))


def a_small_hostile_file_takes_no_time():
    """65536 blocks of one channel: names are found by hash."""
    blocks = 1 << 16
    with open(path("many.bin"), "wb") as file:
        file.write(struct.pack("<256i", 20240326, 3, 1, 1, blocks, 1, 1, 1, *[0] * 248))
        file.write(bytes(4 * (2 + 25 * blocks + 2)))
    within(20, convert, path("many.bin"), path("many2.bin"))


if __name__ == "__main__":
    e2e.main(each_field_of_config_json_is_honoured_or_refused_by_name,
             a_broken_config_json_is_an_error_and_a_guess_is_said,
             an_untied_output_layer_is_one_of_its_own, shards_and_directories_are_read,
             bad_indices, nan_and_inf_are_named_with_their_place,
             files_of_other_programs_are_told_what_to_do, notes_beside_a_target_stay,
             names_of_tensors_are_escaped, a_small_hostile_file_takes_no_time)
