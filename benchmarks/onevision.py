"""benchmarks: what a laptop's case takes: LLaVA-OneVision-0.5B at its true shapes, all layers, asked about 32 frames.

    python benchmarks/onevision.py            # 1.8 GB of disk, 4 GB of memory, some minutes on two processors
    python benchmarks/onevision.py --smoke    # tiny shapes: shows that it runs; always exits 0

A checkpoint of random bfloat16 weights is saved by transformers' own class: SigLIP so400m at 384 px (26 layers) and
Qwen2-0.5B (24 layers), with tokenizer files whose words are bytes. A process of its own loads it in bfloat16 and
answers a question about 32 frames of the bundled clip, in 16 tokens; where openvino is installed, another does the same
with the tower computed by it in int8 (`--tower openvino-int8`). What is answered means nothing; what it takes does.

Ends with one line of JSON: {"figures", "targets", "ok"}; times have no targets.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from shapes import BUNNY, CONTROLS, DTYPE, MB, measured, resident_bytes, write_tokenizer

from longtake.loading import load
from longtake.pipeline import ask, watch
from longtake.plan import GREEDY
from longtake.video.opening import open_video

FRAMES = 32
NEW_TOKENS = 16
TARGETS = {"load_peak": 1.15}
"""At most: peak over the start while loading, in sizes of the weights (issue: real checkpoints)."""
QUESTION = "What can be seen?"


def write(folder: Path, *, smoke: bool) -> None:
    """The checkpoint, as llava-hf/llava-onevision-qwen2-0.5b-ov-hf is."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    seen = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16}
    text = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    side_px, words, tokens = 384, 151_643, 152_000
    if smoke:
        seen = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
        text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        side_px, words, tokens = 74, 300, 320
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "image_size": side_px,
            "patch_size": 14,
            "vision_use_head": False,
            **seen,
        },
        text_config={
            "model_type": "qwen2",
            "num_key_value_heads": 2,
            "vocab_size": tokens,
            "max_position_embeddings": 32_768,
            "rope_theta": 1e6,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
            **text,
        },
        image_token_index=words + len(CONTROLS),
        video_token_index=words + len(CONTROLS) + 1,
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[side_px * rows, side_px * columns] for rows in range(1, 7) for columns in range(1, 7)],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlavaOnevisionForConditionalGeneration._from_config(config, dtype=DTYPE)
    model.save_pretrained(folder, max_shard_size="1GB")
    write_tokenizer(folder, words, (*CONTROLS, "<image>", "<video>"))
    size = {"height": side_px, "width": side_px}
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


def answer(folder: Path, tower: Any) -> dict[str, float]:
    """Load, then ask about a real film; nothing else has been done in this process."""
    start, begin = resident_bytes(peak=False), time.perf_counter()
    model: Any = load(str(folder), device="cpu", dtype="bfloat16", tower=tower)
    load_s, rise = time.perf_counter() - begin, resident_bytes(peak=True) - start
    networks = (model.encoder.tower, model.encoder.projector, model.engine.language)
    weights = sum(parameter.nbytes for network in networks for parameter in network.parameters())
    model = replace(model, sampler=replace(model.sampler, frames=FRAMES))
    cpu = time.process_time()
    watched = watch(model, open_video(BUNNY), QUESTION)
    found = ask(model, watched, QUESTION, replace(GREEDY, max_new_tokens=NEW_TOKENS))
    return {
        "weights_mb": weights / MB,
        "load_s": load_s,
        "load_peak": rise / weights,
        **{f"{stage}_s": taken for stage, taken in found.seconds.items()},
        "answer_cpu_s": time.process_time() - cpu,
        "answer_s": sum(found.seconds.values()),
        "frames": sum(len(look.numbers) for look in found.looks),
        "visual_tokens": found.tokens["visual"],
        "new_tokens": found.tokens["new"],
        "peak_mb": resident_bytes(peak=True) / MB,
    }


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes: seconds in all")
    parser.add_argument("--workdir", help="where the checkpoint lies meanwhile; else where temporary files do")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        task, folder, *rest = told.child
        if task == "write":
            write(Path(folder), smoke=told.smoke)
        print(json.dumps(answer(Path(folder), *rest) if task == "answer" else {}))
        return 0
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=told.workdir) as folder:
        measured(__file__, *(["--smoke"] if told.smoke else []), "--child", "write", folder)
        figures |= measured(__file__, "--child", "answer", folder, "torch")
        if importlib.util.find_spec("openvino") is not None:
            fast = measured(__file__, "--child", "answer", folder, "openvino-int8")
            figures |= {f"openvino_int8_{name}": fast[name] for name in ("load_s", "encode_s", "answer_s", "peak_mb")}
    figures = {name: round(value, 3) for name, value in figures.items()}
    print(f"{torch.get_num_threads()} threads; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name, value in figures.items():
        print(f"  {name:26} {value:12,.3f}{f'   (at most {TARGETS[name]})' if name in TARGETS else ''}")
    ok = all(figures[name] <= most for name, most in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok or told.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
