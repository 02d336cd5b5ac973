#!/usr/bin/env python3
"""Makes tests/golden/families with Hugging Face's transformers: small random models, and what they
compute.

usage: python3 tests/golden/make_families.py        (needs torch and transformers)

Each folder is a model as save_pretrained writes it, with `tokens`, block_size + 1 of them as i32,
and `values.bin`: their logits, mean loss and all gradients, computed in f64, as records of
golden.h by this project's names.
"""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))
import hugging_face as hf  # noqa: E402

V, T = 48, 24
GPT2 = dict(vocab_size=V, n_embd=16, n_layer=2, n_head=4, n_positions=T, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0)
BASE = dict(vocab_size=V, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=T)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 12}
YARN = {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 8}
LINEAR = {"rope_type": "linear", "factor": 2.0}

CASES = {  # folder: (family, fields, arguments of save_pretrained)
    "gpt2_untied": ("gpt2", dict(GPT2, tie_word_embeddings=False, n_inner=40), {}),
    "llama_tied": ("llama", dict(BASE, tie_word_embeddings=True, num_key_value_heads=1,
                                 rope_scaling=LLAMA3, head_dim=8), {}),
    "llama_sharded": ("llama", dict(BASE, attention_bias=True, mlp_bias=True,
                                    rope_scaling=LINEAR), {"max_shard_size": "12KB"}),
    "mistral_window": ("mistral", dict(BASE, sliding_window=5), {}),
    "qwen2_biases": ("qwen2", dict(BASE, tie_word_embeddings=True, num_key_value_heads=4), {}),
    "qwen3_windows": ("qwen3", dict(BASE, head_dim=8, rope_scaling=YARN, use_sliding_window=True,
                                    sliding_window=6, layer_types=[
                                        "sliding_attention", "full_attention"]), {}),
}


def main():
    for seed, (name, (family, fields, saving)) in enumerate(CASES.items()):
        folder = os.path.join(HERE, "families", name)
        shutil.rmtree(folder, ignore_errors=True)
        model, tokens = hf.make(family, seed, **fields), hf.tokens_of(seed, T + 1, V)
        model.save_pretrained(folder, **saving)
        hf.write_tokens(folder + "/tokens", tokens)
        hf.write_records(folder + "/values.bin", hf.values_of(model, tokens))


if __name__ == "__main__":
    main()
