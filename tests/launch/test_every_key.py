#!/usr/bin/env python3
"""Each key that names a part of the model, of the optimizer or of the schedule changes the numbers
of a run: one that is read and then forgotten would be a wrong number without a word.
sanitizers: no"""

import json
import os

from e2e import (check, checkpoints, config, equal, losses, main, metrics, run, run_directory,
                 train, WORK)

ROPE, FACTOR = {"model.position": "rope"}, {"model.rope.factor": 4}
YARN = {**ROPE, **FACTOR, "model.rope.scaling": "yarn", "model.rope.original_block_size": 1024}
LLAMA3 = {**YARN, "model.rope.scaling": "llama3"}
MUON = {"optimizer.matrices": "muon"}
MUON_DECAY = {**MUON, "optimizer.muon.weight_decay": 0.5}
SCALED = {"optimizer.lr_reference.batch_tokens": 1024}
FP8 = {"training.matmul": "fp8"}

# Key: another value than the default, and what it needs. These change the loss of the first
# weights.
FORWARD = {
    "seed": (8, {}),
    "model.n_layer": (3, {}),
    "model.n_head": (4, {}),
    "model.n_kv_head": (1, {}),
    "model.head_dim": (8, {}),
    "model.norm": ("rmsnorm", {}),
    "model.norm_eps": (0.5, {}),
    "model.position": ("none", {}),
    "model.rope.base": (7, ROPE),
    "model.rope.fraction": (0.5, ROPE),
    "model.rope.scaling": ("linear", {**ROPE, **FACTOR}),
    "model.rope.factor": (2, {**ROPE, "model.rope.scaling": "linear"}),
    "model.rope.original_block_size": (16, LLAMA3),
    "model.rope.low_freq_factor": (0.5, LLAMA3),
    "model.rope.high_freq_factor": (30, LLAMA3),
    "model.rope.beta_fast": (2, YARN),
    "model.rope.beta_slow": (0.1, YARN),
    "model.rope.attention_factor": (3, YARN),
    "model.mlp": ("relu2", {}),
    "model.mlp_width": (64, {}),
    "model.block": ("parallel", {}),
    "model.qk_norm": (True, {}),
    "model.tie_embeddings": (False, {}),
    "model.logit_softcap": (0.5, {}),
    "model.embedding_norm": (True, {}),
    "model.embedding_std": (0.1, {}),
    "model.linear_std": (0.1, {}),
    "model.value_embeddings": (True, {}),
    "model.short_conv.attention": (2, {}),
    "model.short_conv.qkv": (2, {}),
    "model.short_conv.mlp": (2, {}),
    "model.zero_init": (True, {}),
    "attention.window": (4, {}),
    "attention.scale": (3, {}),
    "attention.softcap": (0.05, {}),
    "evaluation.tokens": (512, {}),
}
# These change the losses of the next steps alone.
TRAINING = {
    "model.bias": (False, {}),
    "model.qkv_bias": (False, {}),
    "model.dropout": (0.5, {}),
    "model.norm_weight": (False, {}),
    "model.qk_norm_weight": (False, {"model.qk_norm": True}),
    "model.residual_scalars": (True, {}),
    "data.batch_size": (3, {}),
    "training.matmul": ("fp8", {}),
    "training.fp8.products": (["forward"], FP8),
    "training.fp8.head": (False, FP8),
    "training.fp8.gradient": ("e4m3", FP8),
    "training.fp8.scaling": ("current", FP8),
    "training.fp8.history": (1, FP8),
    "training.gradient_accumulation_steps": (3, {}),
    "training.batch_schedule": ([[0, 128], ["50%", 256]], {}),
    "optimizer.lr": (2e-2, {}),
    "optimizer.betas": ([0.5, 0.95], {}),
    "optimizer.eps": (1e-2, {}),
    "optimizer.weight_decay": (5, {}),
    "optimizer.grad_clip": (0.01, {"optimizer.eps": 1e-3}),
    "optimizer.matrices": ("muon", {}),
    "optimizer.muon.lr": (0.1, MUON),
    "optimizer.muon.momentum": (0.5, {**MUON, "optimizer.muon.momentum_warmup": 0}),
    "optimizer.muon.momentum_start": (0.2, MUON),
    "optimizer.muon.momentum_warmup": (4, MUON),
    "optimizer.muon.nesterov": (False, MUON),
    "optimizer.muon.iteration": ("quintic", MUON),
    "optimizer.muon.normuon": (True, MUON),
    "optimizer.muon.beta2": (0.3, {**MUON, "optimizer.muon.normuon": True}),
    "optimizer.muon.weight_decay": (0.5, MUON),
    "optimizer.muon.cautious": (True, MUON_DECAY),
    "optimizer.embeddings.lr": (0.1, {}),
    "optimizer.embeddings.betas": ([0.5, 0.5], {}),
    "optimizer.embeddings.weight_decay": (5, {}),
    "optimizer.head.lr": (0.1, {"model.tie_embeddings": False}),
    "optimizer.head.betas": ([0.5, 0.5], {"model.tie_embeddings": False}),
    "optimizer.head.weight_decay": (5, {"model.tie_embeddings": False}),
    "optimizer.vectors.lr": (0.1, {}),
    "optimizer.vectors.betas": ([0.5, 0.5], {}),
    "optimizer.vectors.weight_decay": (5, {}),
    "optimizer.beta2_half_life": (200, {}),
    "optimizer.lr_reference.batch_tokens": (4096, {}),
    "optimizer.lr_reference.exponent": (1, SCALED),
    "lr_scheduler.shape": ("constant", {}),
    "lr_scheduler.warmup": (2, {}),
    "lr_scheduler.decay": (7, {}),
    "lr_scheduler.min_lr": (9e-3, {}),
}
# Keys of sizes, of data, of files, of time and of the launch, which other tests are about.
OTHERS = ("model.preset", "model.block_size", "model.vocab_size", "model.n_embd", "model.pad_vocab",
          "attention.backends", "attention.pick", "attention.document_mask", "training.dtype",
          "training.fp8.fast_accumulation", "training.stop.", "training.recompute",
          "training.shard_optimizer", "optimizer.groups")
GROUPS = ("model.", "attention.", "training.", "optimizer.", "lr_scheduler.")


def all_keys():
    shown = run("train", "--help").out.split("Keys, for the config")[1]
    return [line.split()[0] for line in shown.splitlines()[1:] if line.startswith("  ")]


def every_key_is_tried_here_or_elsewhere():
    tried = set(FORWARD) | set(TRAINING)
    left = [key for key in all_keys()
            if key.startswith(GROUPS) and key not in tried and not key.startswith(OTHERS)]
    equal(left, [], "keys that no list has")
    equal(sorted(tried - set(all_keys())), [], "keys that are gone")


def numbers(settings):
    """The loss of the first weights, and those of eight steps."""
    name = "key_%d" % len(os.listdir(os.path.join(WORK, "runs")))
    path = config(name, evaluation__at_start=True, training__stop__steps=8,
                  training__gradient_accumulation_steps=None, model={
        "n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 32, "vocab_size": "auto",
        "linear_std": 0.3, "embedding_std": 0.3},
        optimizer={"lr": 1e-2}, lr_scheduler={"warmup": 3, "decay": 20, "min_lr": 1e-4},
        checkpoint={"interval": 0, "best": False}, noise_scale={"interval": 0})
    train(path, *("%s=%s" % (key, value if isinstance(value, str) else json.dumps(value))
                  for key, value in settings.items()))
    directory = run_directory(name)
    first = [record["val/loss"] for record in metrics(directory) if "val/loss" in record][0]
    return first, sorted(losses(directory).items())


def compared(keys, index):
    """The keys that change nothing."""
    plain, same = {}, []
    for key, (value, needs) in keys.items():
        base = json.dumps(needs, sort_keys=True)
        if base not in plain:
            plain[base] = numbers(needs)
        if numbers({**needs, key: value})[index] == plain[base][index]:
            same.append(key)
    return same


def what_the_model_is_made_of_changes_its_loss():
    os.makedirs(os.path.join(WORK, "runs"), exist_ok=True)
    equal(compared(FORWARD, 0), [], "keys that change no loss of the first weights")


def how_it_is_trained_changes_its_losses():
    os.makedirs(os.path.join(WORK, "runs"), exist_ok=True)
    equal(compared(TRAINING, 1), [], "keys that change no loss in eight steps")


def evaluations_of_training_and_alone_hear_the_softcap():
    path = config("capped", checkpoint__interval="5 steps", model={
        "n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 32, "vocab_size": "auto",
        "linear_std": 0.3, "embedding_std": 0.3, "logit_softcap": 2})
    train(path)
    last = checkpoints(run_directory("capped"))[-1]
    loss = {cap: json.loads(run("evaluate", last, "--json", "model.logit_softcap=%g" % cap).out)
            for cap in (2, 0)}
    logged = [record for record in metrics(run_directory("capped")) if "val/loss" in record][-1]
    check(abs(loss[2]["loss"] - logged["val/loss"]) < 1e-6, repr((loss, logged)))
    check(abs(loss[0]["loss"] - loss[2]["loss"]) > 1e-3, repr(loss))


if __name__ == "__main__":
    main(every_key_is_tried_here_or_elsewhere, what_the_model_is_made_of_changes_its_loss,
         how_it_is_trained_changes_its_losses,
         evaluations_of_training_and_alone_hear_the_softcap)
