"""benchmarks: what it costs and saves when several ranks read and keep one text together.

    python benchmarks/ranks.py            # 32,768 positions on one process, then on two: some processor minutes
    python benchmarks/ranks.py --ranks 4
    python benchmarks/ranks.py --smoke    # 1,024 positions: shows that it runs; always exits 0

A Qwen2 of random weights (two layers, four query heads, two key-value heads, float32) reads a prompt and answers in 32
tokens, greedily: in this process alone, and then as the first of several processes that torch starts and gloo joins.
Each has one thread. Processor seconds are each process's own; on a shared machine they say more than a clock does.

tokens     those of one process and of all ranks are the same, and so nearly are the answer's log-probabilities
bytes      of keys and values that each rank holds, as a share of one process's
prefill    processor seconds of each rank, as a share of one process's
forced     processor seconds of each rank while a question of 16 tokens and its answer are read behind the prompt

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake.engines import GenerateOptions
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.parallel.engine import SpreadEngine, leading
from longtake.parallel.following import follow
from longtake.parallel.seats import company
from longtake.parallel.shards import Shards, Told
from longtake.parallel.talking import Talk
from longtake.prompt import Prompt

LENGTH, SMOKE_LENGTH, NEW_TOKENS = 32_768, 1024, 32
VOCABULARY = 1000
TARGETS = {"bytes": 1.02, "prefill": 1.35, "logprobs": 1e-4}
"""Of what is a rank's part if all is dealt evenly, at most that many times as much; and the largest difference."""


def engine_of() -> LocalEngine:
    """The same weights wherever it is made; large ones, so that the likeliest token changes from place to place."""
    torch.manual_seed(2026)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        max_position_embeddings=2 * LENGTH,
    )
    return LocalEngine(folding(Qwen2ForCausalLM(config).eval()), stop_ids=(), trained_context=2 * LENGTH)


def asked(engine: LocalEngine, prompt: Prompt, told: Any) -> dict[str, Any]:
    """Read the prompt, answer it and look the answer up again; `told` says how each process is, between the steps."""
    question = torch.randint(0, VOCABULARY, (16,), generator=torch.Generator().manual_seed(3)).tolist()
    begun = told()
    kept = engine.prefill(prompt)
    read = told()
    tokens = list(engine.generate(kept, question, GenerateOptions(max_new_tokens=NEW_TOKENS)))
    said = told()
    logprobs = engine.logprobs(kept, question, tokens)
    forced = told()
    return {
        "tokens": tokens,
        "logprobs": logprobs.tolist(),
        "bytes": [one.kept_bytes for one in read],
        "prefill_s": spent(begun, read),
        "generate_s": spent(read, said),
        "forced_s": spent(said, forced),
    }


def spent(before: list[Told], after: list[Told]) -> list[float]:
    return [now.processor_s - then.processor_s for then, now in zip(before, after, strict=True)]


def alone(prompt: Prompt) -> dict[str, Any]:
    """One process: its keys and values are counted as they are dealt, on one rank."""
    engine = engine_of()
    found = asked(engine, prompt, lambda: [told_of_one()])
    kept = engine.prefill(Prompt(prompt.token_ids_L[:1024], prompt.visual_ND))
    bytes_each = sum(states.nbytes for layer in kept.layers for states in layer.dense()) / kept.length
    return {**found, "bytes": [int(bytes_each * len(prompt.token_ids_L))]}


def told_of_one() -> Told:
    return Told(0, time.process_time())


def following(talk: Talk) -> None:
    """What the other ranks do."""
    torch.set_num_threads(1)
    follow(Shards(engine_of(), talk))


def measure(length: int, size: int) -> dict[str, Any]:
    ids = torch.randint(0, VOCABULARY, (length,), generator=torch.Generator().manual_seed(1))
    prompt = Prompt(ids, torch.zeros(0, 128))
    one = alone(prompt)
    with company(following, size, torch.device("cpu")) as talk, leading(engine_of(), talk) as engine:
        torch.set_num_threads(1)
        all_ = asked(engine, prompt, partial(SpreadEngine.told, engine))
    errors = [abs(mine - theirs) for mine, theirs in zip(one["logprobs"], all_["logprobs"], strict=True)]
    return {
        "positions": length,
        "ranks": size,
        "same_tokens": one["tokens"] == all_["tokens"],
        "kinds_of_tokens": len(set(one["tokens"])),
        "logprob_difference": max(errors),
        "one_bytes": one["bytes"][0],
        "bytes_shares": [of / one["bytes"][0] for of in all_["bytes"]],
        **{
            figure: {
                "one_s": one[figure][0],
                "ranks_s": all_[figure],
                "shares": [s / one[figure][0] for s in all_[figure]],
            }
            for figure in ("prefill_s", "generate_s", "forced_s")
        },
    }


def judged(figures: dict[str, Any], targets: dict[str, float]) -> bool:
    """Whether all that was measured reaches its target, if it has one."""
    size = figures["ranks"]
    found = {
        "bytes": max(figures["bytes_shares"]) * size,
        "prefill": max(figures["prefill_s"]["shares"]) * size,
        "logprobs": figures["logprob_difference"],
    }
    return figures["same_tokens"] and all(found[name] <= target for name, target in targets.items())


def main() -> int:
    """Measure, print, judge; 1 if a target is missed by a run that is not the smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="a short prompt; no target for time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(SMOKE_LENGTH if given.smoke else LENGTH, given.ranks)
    print(json.dumps(figures, indent=2))
    # Hundredths of a second say nothing about time.
    targets = {name: target for name, target in TARGETS.items() if not (given.smoke and name == "prefill")}
    ok = judged(figures, targets)
    print(json.dumps({"figures": figures, "targets": targets, "ok": ok}))
    return 0 if ok or given.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
