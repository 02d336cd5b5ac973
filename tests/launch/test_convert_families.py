#!/usr/bin/env python3
"""./convert and the models of Hugging Face's families, against what transformers computed
(tests/golden/make_families.py): logits, loss, every gradient; the way back; bad files. (fast
lane)"""

import json
import os
import shutil
import struct
import subprocess
import sys

import e2e
from e2e import Skip, check, equal, run
from model_files import (CASES, GOLDEN, content, convert, copy_of, farthest, imported,
                         path, read_safetensors, records, refused, trained, write_config,
                         write_safetensors)

sys.path.append(os.path.join("build", "python"))
try:
    import safetensors
    import tokenizers
except ImportError:
    safetensors = tokenizers = None

TOLERANCE = 1e-4


def exported(case):
    target = path("families_%s_back" % case)
    if not os.path.exists(target):
        convert(imported(case), target, "--format=hugging-face")
    return target


def stored(folder):
    """The tensors of a directory, whatever its shards."""
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors.update(read_safetensors(os.path.join(folder, name)))
    return tensors


def config_of(folder):
    return json.loads(content(os.path.join(folder, "config.json")))


# ---- tests ---------------------------------------------------------------------------------------

def logits_loss_and_gradients_are_those_of_transformers():
    for case in CASES:
        out = path("values_" + case)
        program = os.environ["BUILD"] + "/tests/launch/mpi_model_values"
        subprocess.run([program, imported(case), os.path.join(GOLDEN, case, "tokens"), out],
                       check=True)
        ours, theirs = records(content(out)), records(
            content(os.path.join(GOLDEN, case, "values.bin")))
        equal(set(ours), set(theirs), case)
        for name, wanted in theirs.items():
            scale = 1 if name == "logits" else max(map(abs, wanted))
            worst = farthest(ours[name], wanted)
            check(worst <= TOLERANCE * scale,
                  "%s, %s: off by %g of %g" % (case, name, worst, scale))


def the_way_back_gives_the_same_tensors_and_config():
    for case in CASES:
        there, back = (stored(folder) for folder in (os.path.join(GOLDEN, case), exported(case)))
        equal(there == back, True, case + ": tensors")
        before, after = (config_of(folder) for folder in (os.path.join(GOLDEN, case),
                                                          exported(case)))
        ours = set(after) & set(before) - {"torch_dtype", "bos_token_id", "eos_token_id", 
                             "max_window_layers"}
        equal({key: after[key] for key in ours}, {key: before[key] for key in ours}, case)
        equal(os.path.exists(os.path.join(exported(case), "generation_config.json")), True, case)
        again = path("families_%s_again" % case)
        convert(exported(case), again)
        equal(
            content(again + "/config.yaml").replace(again.encode(), b""),
            content(imported(case) + "/config.yaml").replace(imported(case).encode(), b""),
            case + ": the config of the run")


def shards_have_at_most_their_size_and_an_index():
    folder = path("shards_out")
    convert(imported("llama_tied"), folder, "--format=hugging-face", "--max-shard-size=0.000008")
    files = [name for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")]
    index = json.loads(content(folder + "/model.safetensors.index.json"))
    equal(files, ["model-%05d-of-%05d.safetensors" % (i + 1, len(files))
                  for i in range(len(files))])
    check(len(files) > 2, "%d files" % len(files))
    for name in files:
        tensors = read_safetensors(os.path.join(folder, name))
        size = sum(4 * len(values) for _, _, values in tensors.values())
        check(size <= 8000 or len(tensors) == 1, "%s has %d bytes" % (name, size))
        equal({index["weight_map"][tensor] for tensor in tensors}, {name})
    equal(index["metadata"]["total_size"],
          sum(4 * len(values) for _, _, values in stored(folder).values()))
    equal(stored(folder) == stored(os.path.join(GOLDEN, "llama_tied")), True, "tensors")
    convert(folder, path("shards_in"))
    done = convert(imported("llama_tied"), folder, "--format=hugging-face", code=65)
    check("already exists" in done.err, repr(done))


def the_package_safetensors_reads_what_is_written():
    if safetensors is None:
        raise Skip("the packages tokenizers and safetensors are not installed")
    for case in CASES:
        theirs = {}
        for name in os.listdir(exported(case)):
            if name.endswith(".safetensors"):
                theirs.update(safetensors.deserialize(content(os.path.join(exported(case), name))))
        ours = stored(os.path.join(GOLDEN, case))
        equal(set(theirs), set(ours), case)
        for name, tensor in theirs.items():
            equal((tensor["dtype"], list(tensor["shape"])), ours[name][:2], name)
            equal(bytes(tensor["data"]) == struct.pack("<%df" % len(ours[name][2]), *ours[name][2]),
                  True, name)


def halves_are_rounded():
    for dtype, name, size in (("bfloat16", "BF16", 2), ("float16", "F16", 2),
                              ("float32", "F32", 4)):
        folder = path("dtype_" + dtype)
        convert(imported("qwen2_biases"), folder, "--format=hugging-face", "--dtype=" + dtype)
        tensors = stored(folder)
        equal({kind for kind, _, _ in tensors.values()}, {name})
        equal(config_of(folder)["torch_dtype"], dtype)
        values = tensors["model.norm.weight"][2]
        equal(len(values) * (1 if size == 2 else 4), 16 * size)
        convert(folder, path("dtype_run_" + dtype))


def a_run_trains_on_from_the_weights():
    model = {"preset": "none", "n_layer": 2, "n_head": 4, "n_kv_head": 2, "n_embd": 16,
             "block_size": 20, "vocab_size": 48, "mlp_width": 24, "bias": False, "norm": "rmsnorm",
             "norm_eps": 1e-6, "position": "rope", "mlp": "swiglu", "tie_embeddings": False}
    source = os.path.join(GOLDEN, "mistral_window")
    name = e2e.config("mistral", model=model, attention={"window": 5}, training__stop__steps=2)
    convert(source, path("mistral_run"), "--config=" + name)
    for optimizer in ({}, {"matrices": "muon"}):
        config = e2e.config("tuned", model=dict(model, vocab_size=257, tie_embeddings=True),
                            attention={"window": 5}, optimizer=optimizer, training__stop__steps=3,
                            checkpoint__interval=0)
        shutil.rmtree(e2e.run_directory("tuned"), ignore_errors=True)
        shutil.rmtree(path("tuned_0"), ignore_errors=True)
        e2e.train(config)
        convert(e2e.run_directory("tuned"), path("tuned_0"), "--config=" + config)
        done = e2e.train(config, "output=" + path("tuned_0"))
        check("resumed from" in done.out, done.out)
    wrong = e2e.config("mistral_wrong", model=model, attention={"window": 6})
    done = convert(source, path("mistral_wrong"), "--config=" + wrong, code=78)
    check("attention.window is 6, but the weights have 5" in done.err, repr(done))


def the_tokenizer_is_written():
    """GPT-2's and that of bytes, as tokenizer.json that gives the same tokens."""
    if tokenizers is None:
        raise Skip("the packages tokenizers and safetensors are not installed")
    with open("tests/golden/tokens_gpt2.json", encoding="utf-8") as file:
        texts = json.load(file)
    for name, vocabulary in (("byte", 257), ("gpt2", 50257)):
        if name == "gpt2" and not os.path.exists(os.environ.get("HOURGLASS_VOCAB", "build/vocab")):
            raise Skip("GPT-2's vocabulary is not there: scripts/fetch_gpt2_vocab.sh")
        tensors = {"wte.weight": [vocabulary, 8], "wpe.weight": [8, 8], "ln_f.weight": [8],
                   "ln_f.bias": [8]}
        for part in ("ln_1", "ln_2"):
            tensors.update({"h.0.%s.weight" % part: [8], "h.0.%s.bias" % part: [8]})
        for part, K, N in (("attn.c_attn", 8, 24), ("attn.c_proj", 8, 8), ("mlp.c_fc", 8, 32),
                           ("mlp.c_proj", 32, 8)):
            tensors.update({"h.0.%s.weight" % part: [K, N], "h.0.%s.bias" % part: [N]})
        source = write_safetensors(path("tokenizer_%s.safetensors" % name), {
            key: ("F32", shape, bytes(4 * shape[0] * (shape + [1])[1]))
            for key, shape in tensors.items()})
        convert(source, path("tokenizer_" + name), "--format=hugging-face", "--heads=1")
        theirs = tokenizers.Tokenizer.from_file(path("tokenizer_%s/tokenizer.json" % name))
        equal(theirs.get_vocab_size(), vocabulary, name)
        for case in texts:
            wanted = case.get("tokens") if name == "gpt2" else list(case["text"].encode())
            if wanted is not None and "<|endoftext|>" not in case["text"]:
                equal(theirs.encode(case["text"]).ids, wanted, case["name"])


def the_tokenizer_comes_along():
    """From a run to a directory of Hugging Face, back, and out again as a copy."""
    said = {run("generate", trained(), "--temperature=0", "--max-new-tokens=8").out}
    convert(trained(), path("with_tokenizer"), "--format=hugging-face")
    equal(config_of(path("with_tokenizer"))["eos_token_id"], 256)
    convert(path("with_tokenizer"), path("with_tokenizer_run"))
    said.add(run("generate", path("with_tokenizer_run"), "--temperature=0",
                 "--max-new-tokens=8").out)
    equal(len(said), 1, "texts: %r" % said)
    convert(path("with_tokenizer_run"), path("with_tokenizer_2"), "--format=hugging-face")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        equal(content(path("with_tokenizer_2/" + name)), content(path("with_tokenizer/" + name)))
    os.makedirs(path("bad_tokenizer"))
    for name in os.listdir(path("with_tokenizer")):
        shutil.copy(path("with_tokenizer/" + name), path("bad_tokenizer"))
    with open(path("bad_tokenizer/tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump({"model": {"type": "Unigram", "vocab": []}}, file)
    done = convert(path("bad_tokenizer"), path("bad_tokenizer_run"))
    check("tokenizer.json: not used: " in done.err and done.err.count("\n") == 1, repr(done))


def a_model_of_no_class_is_refused_by_its_layer():
    for number, (layer, changes) in enumerate((("model.norm_weight", {"preset": "modern-small"}),
                                               ("model.qk_norm", {"qk_norm": True}),
                                               ("model.short_conv.mlp: 3",
                                                {"short_conv": {"mlp": 3}}),
                                               ("model.block", {"block": "parallel"}))):
        model = dict({"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32,
                      "vocab_size": "auto"}, **changes)
        name = "classless%d" % number
        e2e.train(e2e.config(name, model=model, training__stop__steps=1))
        done = convert(e2e.run_directory(name), path(name), "--format=hugging-face", code=65)
        check(layer in done.err and len(done.errors()) == 1, repr(done))
        check(not os.path.exists(path(name)), "written in spite of " + done.err)
        done = convert(e2e.run_directory(name), path(name + ".bin"), code=65)
        check("llm.c" in done.err and len(done.errors()) == 1, repr(done))
        convert(e2e.run_directory(name), path(name + "_copy"))
        equal(run("generate", path(name + "_copy"), "--max-new-tokens=3", "--temperature=0").out,
              run("generate", e2e.run_directory(name), "--max-new-tokens=3",
                  "--temperature=0").out)


def bad_configs():
    def fails(case, change, *parts):
        copy_of(case, "bad")
        config = dict(config_of(path("bad")), **change)
        write_config("bad", {key: value for key, value in config.items() if value != "absent"})
        refused(path("bad"), "config.json", *parts)

    fails("llama_tied", {"model_type": "mamba"}, "model_type is \"mamba\"", "llama")
    fails("llama_tied", {"architectures": ["MambaForCausalLM"]}, "architectures", "Llama")
    for kind in ("dynamic", "longrope", "su", 3, None):
        fails("llama_tied", {"rope_parameters": {"rope_type": kind, "factor": 2.0}},
              "rope_parameters.rope_type", "linear")
    fails("llama_tied", {"rope_parameters": None, "rope_scaling": {"type": "ntk", "factor": 2.0}},
          "rope_scaling.type is \"ntk\"")
    fails("llama_tied", {"rope_parameters": {"rope_type": "linear"}}, "factor")
    for key in ("rope_scaling", "rope_parameters"):
        fails("llama_tied", dict({"rope_parameters": None}, **{key: {"factor": 2.0}}), key,
              "no rope_type")
    fails("llama_tied", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "mscale": 0.7}},
          "rope_parameters.mscale")
    fails("llama_tied", {"rope_parameters": {"rope_type": "default", "rope_theta": -1}},
          "rope_parameters.rope_theta")
    fails("llama_tied", {"rope_parameters": [1]}, "rope_parameters")
    for key, value in (("hidden_act", "relu"), ("hidden_act", "gelu"), ("rms_norm_eps", 0),
                       ("attention_bias", 1), ("mlp_bias", True), ("sliding_window", 8),
                       ("head_dim", 1.5), ("num_key_value_heads", 0), ("partial_rotary_factor", .5),
                       ("final_logit_softcapping", 30.0), ("num_local_experts", 8),
                       ("quantization_config", {"bits": 4}), ("hidden_size", "absent"),
                       ("num_hidden_layers", "absent"), ("max_position_embeddings", "absent"),
                       ("auto_map", {"AutoModel": "a.B"}), ("tie_word_embeddings", "yes"),
                       ("num_attention_heads", "4"), ("layer_types", ["sliding_attention"])):
        fails("llama_tied", {key: value}, key)
    copy_of("llama_tied", "bad")
    write_config("bad", dict(config_of(path("bad")), rms_norm_eps=1e-20))
    refused(path("bad"), "'model.norm_eps' must be at least 1e-12")
    fails("mistral_window", {"sliding_window": 0}, "sliding_window")
    fails("qwen3_windows", {"layer_types": ["full_attention"]}, "layer_types")
    fails("qwen3_windows", {"layer_types": ["full_attention", "linear_attention"]}, "layer_types")
    fails("qwen3_windows", {"attention_bias": True}, "attention_bias")
    fails("qwen2_biases", {"use_sliding_window": 1}, "use_sliding_window")


def bad_tensors():
    def fails(edit, *parts):
        folder = copy_of("qwen2_biases", "bad")
        tensors = {name: (dtype, shape, struct.pack("<%df" % len(values), *values))
                   for name, (dtype, shape, values) in stored(folder).items()}
        edit(tensors)
        write_safetensors(folder + "/model.safetensors", tensors)
        refused(folder, "model.safetensors", *parts)

    query = "model.layers.1.self_attn.q_proj.bias"
    up = "model.layers.0.mlp.up_proj.weight"
    fails(lambda tensors: tensors.pop(query), "has no tensor '%s'" % query)
    fails(lambda tensors: tensors.update({"model.layers.2.extra": ("F32", [1], bytes(4))}),
          "'model.layers.2.extra' is not one of Qwen2")
    fails(lambda tensors: tensors.update({up: ("F32", [16, 24], bytes(4 * 24 * 16))}),
          "'%s' has shape (16, 24); expected was (24, 16)" % up)
    fails(lambda tensors: tensors.update({query: ("F32", [2, 8], bytes(64))}),
          "'%s' has shape (2, 8); expected was (16)" % query)
    spoilt = struct.pack("<f", float("nan")) + bytes(60)
    fails(lambda tensors: tensors.update({query: ("F32", [16], spoilt)}),
          "'%s' is nan at [0]" % query)
    fails(lambda tensors: tensors.update({query: ("I32", [16], bytes(64))}), query,
          "floating-point")
    folder = copy_of("llama_sharded", "bad")
    gone = "model-00002-of-%05d.safetensors" % sum(
        name.endswith(".safetensors") for name in os.listdir(folder))
    os.remove(os.path.join(folder, gone))
    refused(folder, gone, "is not there", "index.json")
    folder = copy_of("qwen2_biases", "bad")
    os.remove(folder + "/config.json")
    refused(folder, "config.json")


if __name__ == "__main__":
    e2e.main(logits_loss_and_gradients_are_those_of_transformers,
             the_way_back_gives_the_same_tensors_and_config,
             shards_have_at_most_their_size_and_an_index,
             the_package_safetensors_reads_what_is_written, halves_are_rounded,
             a_run_trains_on_from_the_weights, the_tokenizer_is_written,
             the_tokenizer_comes_along, a_model_of_no_class_is_refused_by_its_layer, bad_configs,
             bad_tensors)
