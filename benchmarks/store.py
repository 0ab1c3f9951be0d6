"""benchmarks: what does a kept video save a new process? A prefix from disk beside its prefill, and nano's hour.

    python benchmarks/store.py                 # 16,384 tokens at Qwen2-0.5B's shapes, an hour of film: minutes
    python benchmarks/store.py --smoke         # small shapes, few frames: shows that it runs; always exits 0

A first process reads a prompt of visual tokens with a Qwen2 of random weights, answers a question of 32 tokens, and
keeps the prefix. A second, new process makes the same weights, takes the prefix from disk (checked, mapped; the system
is told to forget the file's pages first) and answers too: counted is the time from opening the store to the first new
token, against the prefill and the same question in the first. The tokens must be the same.

Then the command line: `longtake ask` about the bundled hour, a frame each second, with --no-store, with features kept,
and with keys and values kept; each a process of its own, start and loading included. Processor time on one thread
counts, so that what else the machine does matters less; wall time is told beside it.

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake.checkpoint import without_memory
from longtake.engines import GenerateOptions
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.store import Entry, Store
from longtake.store.files import files_of, tensors_of

QWEN2_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32_768,
    "rope_theta": 1_000_000.0,
}
SMALL = {**QWEN2_05B, "hidden_size": 112, "intermediate_size": 256, "num_hidden_layers": 2, "vocab_size": 500}
TOKENS, SMALL_TOKENS = 16_384, 512
QUESTION_TOKENS, NEW_TOKENS = 32, 16
TEXT_TOKENS = 16
"""Of the template, before the visual tokens."""
MOST_OF_PREFILL = 1 / 30
"""Time from the prefix on disk to the first token, by that of prefill and first token (issue: watch once, ask many)."""
HOUR = Path(__file__).parents[1] / "src" / "longtake" / "assets" / "demo" / "hour.mp4"
ASKED = "What number is on the orange moon?"


def engine(*, smoke: bool) -> LocalEngine:
    """A Qwen2 in bfloat16 with random weights, the same in every process."""
    shapes = SMALL if smoke else QWEN2_05B
    with without_memory():
        language = Qwen2ForCausalLM(Qwen2Config(**shapes))
    language = language.to(torch.bfloat16).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(2026)
    with torch.no_grad():
        for name, weights in language.named_parameters():
            if name.endswith("norm.weight"):
                weights.fill_(1)
            else:
                weights.normal_(0, 0.05, generator=generator)
    # Rotary frequencies are no weights, and were built without memory.
    language.model.rotary_emb = type(language.model.rotary_emb)(language.config)
    language.tie_weights()
    language.eval().requires_grad_(False)
    return LocalEngine(folding(language), (), shapes["max_position_embeddings"])


def prompt(tokens: int, width: int) -> Prompt:
    """A template's beginning and visual tokens."""
    generator = torch.Generator().manual_seed(7)
    visual_ND = torch.randn(tokens - TEXT_TOKENS, width, generator=generator).mul_(0.05).to(torch.bfloat16)
    ids_L = torch.cat([torch.arange(1, TEXT_TOKENS + 1), torch.full((len(visual_ND),), VISUAL_PLACE)])
    return Prompt(ids_L, visual_ND)


def entry(folder: Path) -> Entry:
    """Where the prefix is kept."""
    return Store(folder, most_bytes=1 << 40).entry("prefixes", {"benchmark": "store"}, label="benchmark")


def answered(reader: LocalEngine, prefix: Any, spent: dict[str, float], started: tuple[float, float]) -> list[int]:
    """A question's new tokens; the time to the first is told."""
    question = list(range(100, 100 + QUESTION_TOKENS))
    said = []
    for token_id in reader.generate(prefix, question, GenerateOptions(max_new_tokens=NEW_TOKENS)):
        if not said:
            spent["cpu_s"], spent["wall_s"] = time.process_time() - started[0], time.perf_counter() - started[1]
        said.append(token_id)
    return said


def now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def first_process(folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Prefill, answer, keep."""
    reader, spent = engine(smoke=smoke), dict[str, float]()
    asked = prompt(SMALL_TOKENS if smoke else TOKENS, reader.language.config.hidden_size)
    started = now()
    prefix = reader.prefill(asked)
    tokens = answered(reader, prefix, spent, started)
    second = dict[str, float]()
    answered(reader, prefix, second, now())
    started = now()
    written = entry(folder).add(prefix.state(), {}, records=1)
    keeping_s = time.process_time() - started[0]
    return {"tokens": tokens, **spent, "second_cpu_s": second["cpu_s"], "keeping_cpu_s": keeping_s, "bytes": written}


def second_process(folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Take what was kept, answer."""
    reader, spent = engine(smoke=smoke), dict[str, float]()
    # What is imported, and set up by a first computation, a server has long behind it.
    warm = reader.prefill(prompt(2 * TEXT_TOKENS, reader.language.config.hidden_size))
    answered(reader, warm, {}, now())
    forget(files_of(entry(folder).path)[0])
    started = now()
    (header,), _ = entry(folder).headers()
    state = {name: tensor for name, tensor in tensors_of(header) if tensor is not None}
    tokens = answered(reader, reader.restored(state), spent, started)
    return {"tokens": tokens, **spent}


def forget(path: Path) -> None:
    """Have the system drop the pages of a file, so that it is read from the disk again."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def apart(role: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Play a role in a new process."""
    command = [sys.executable, __file__, "--role", role, "--folder", str(folder), *(["--smoke"] if smoke else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def command_line(store: Path, *, smoke: bool) -> dict[str, dict[str, Any]]:
    """`longtake ask` about the hour, in processes of their own: afresh, from features, from keys and values."""
    looking = [str(HOUR), "--sampler", "every", "--set", f"sampler.seconds={240 if smoke else 1}"]
    ask = ["ask", looking[0], ASKED, *looking[1:], "--json"]
    kept = ["--store", str(store)]
    watch = ["watch", *looking, *kept, "--quiet"]
    features = {} if smoke else {"watch": ran(watch), "features": ran([*ask, *kept])}
    return {
        "afresh": ran([*ask, "--no-store"]),
        **features,
        "watch --keep-prefix": ran([*watch, "--keep-prefix"]),
        "keys and values": ran([*ask, *kept]),
    }


def ran(arguments: list[str]) -> dict[str, Any]:
    """Processor seconds of one command, and what it says of its stages."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "longtake", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(done.stdout) if "--json" in arguments else {}
    stages = {stage: round(stage_s, 2) for stage, stage_s in found.get("seconds", {}).items()}
    return {"cpu_s": round(spent_s, 2), "stages_wall_s": stages, "answer": found.get("answer")}


def main() -> int:
    """Measure, print what was found and the JSON line; 1 if a target is missed by a run that is not the smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small shapes, few frames; misses no target")
    parser.add_argument("--role", choices=["first", "second"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.role:
        role = first_process if asked.role == "first" else second_process
        print(json.dumps(role(asked.folder, smoke=asked.smoke)))
        return 0
    with tempfile.TemporaryDirectory(prefix="longtake-store-") as name:
        folder = Path(name)
        first = apart("first", folder / "prefix", smoke=asked.smoke)
        second = apart("second", folder / "prefix", smoke=asked.smoke)
        hour = command_line(folder / "hour", smoke=asked.smoke)
    same = first.pop("tokens") == second.pop("tokens")
    share = second["cpu_s"] / first["cpu_s"]
    tokens = SMALL_TOKENS if asked.smoke else TOKENS
    print(f"{tokens:,} tokens, bfloat16, one thread; seconds of processor (wall) to the first token of an answer")
    print(f"  prefill and question      {first['cpu_s']:9.3f} ({first['wall_s']:.3f})")
    print(f"  from the store            {second['cpu_s']:9.3f} ({second['wall_s']:.3f})   {share:.4f} of it")
    print(f"  second question, kept     {first['second_cpu_s']:9.3f}")
    print(f"  writing {first['bytes'] / 2**20:,.0f} MiB took {first['keeping_cpu_s']:.3f}; same tokens: {same}")
    print("the hour on the command line, seconds of processor, start and loading included; wall by stage")
    for what, row in hour.items():
        print(f"  {what:<22}{row['cpu_s']:8.2f}  {row['stages_wall_s']}  {row['answer'] or ''}")
    answers = {row["answer"] for what, row in hour.items() if not what.startswith("watch")}
    figures = {"prefill": first, "from store": second, "share": share, "same tokens": same, "hour": hour}
    ok = share <= MOST_OF_PREFILL and same and len(answers) == 1
    targets = {"share": MOST_OF_PREFILL, "same tokens": True}
    print(json.dumps({"figures": figures, "targets": targets, "ok": ok}))
    return 0 if ok or asked.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
