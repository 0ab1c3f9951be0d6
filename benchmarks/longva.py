"""benchmarks: LongVA-7B's true shapes with one of its 28 layers: what loading and 256 frames take in memory.

    python benchmarks/longva.py            # 3.3 GB of disk and as much memory; about 10 minutes on two processors
    python benchmarks/longva.py --smoke    # tiny shapes, few frames: shows that it runs; always exits 0

A checkpoint of random bfloat16 weights is made as LongVA's is laid out: sharded, with CLIP ViT-L/14-336 inside, the
whole vocabulary and tokenizer files (whose words are bytes). One process loads it and answers a question about the
bundled clip; another puts 64 frames and then 256 through tower and projector, 32 at a time. Peaks are of resident
memory, over what the process held before; from those with frames the features themselves are taken off (4.1 MB a
frame), which grow with the frames as they must.

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shapes import BUNNY, MB, forget_peak, measured, resident_bytes, write_tokenizer, write_weights

from longtake import parts
from longtake.checkpoint import without_memory
from longtake.loading import load
from longtake.video import Frames

TOWER = "openai/clip-vit-large-patch14-336"
STORED_AS = {
    "vision.model.": "model.vision_tower.vision_tower.vision_model.",
    "projector.rise.": "model.mm_projector.0.",
    "projector.land.": "model.mm_projector.2.",
    "language.": "",
}
TARGETS = {"load_peak": 1.15, "frames_memory": 1.2}
"""The most of each: peak over the start while loading, in sizes of the weights; the same of 256 frames, less their
features, over that of 64 (issue: real checkpoints)."""
QUESTION = "What can be seen?"


@dataclass(frozen=True)
class Shapes:
    """Of a checkpoint laid out as LongVA's.

    Attributes:
        language: of Qwen2, as config.json tells them.
        seen: of CLIP, likewise.
        words: where the tokenizer's control tokens begin.
        side_px: of the pictures that CLIP reads.
    """

    language: Mapping[str, Any]
    seen: Mapping[str, Any]
    words: int
    side_px: int


LONGVA = Shapes(
    {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 1,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
    },
    {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    words=151_643,
    side_px=336,
)
TINY = Shapes(
    {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 320,
    },
    {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2},
    words=300,
    side_px=56,
)


def write(folder: Path, shapes: Shapes) -> None:
    """The checkpoint, and the tower's own folder in it."""
    seen = shapes.seen
    config = {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "mm_vision_tower": TOWER,
        "mm_hidden_size": seen["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_patch_merge_type": "unires",
        "mm_vision_select_layer": -2,
        "mm_spatial_pool_stride": 2,
        "mm_spatial_pool_mode": "average",
        "max_position_embeddings": 224_000,
        "rope_theta": 1e9,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        **shapes.language,
    }
    tower = folder / TOWER
    tower.mkdir(parents=True)
    (tower / "config.json").write_text(json.dumps({**seen, "image_size": shapes.side_px, "patch_size": 14}))
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    (tower / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, shapes.words)
    with without_memory():
        networks = parts.find("families", "longva")().networks(config, folder=folder)
    tensors = {"model.image_newline": torch.Size([config["hidden_size"]])}
    for network, module in networks.items():
        for name, tensor in module.named_parameters(prefix=network):
            own = next(prefix for prefix in STORED_AS if name.startswith(prefix))
            tensors[STORED_AS[own] + name.removeprefix(own)] = tensor.shape
    write_weights(folder, tensors)


def loaded(folder: Path) -> tuple[Any, dict[str, float]]:
    """The model, and what loading it took; nothing else has been done in this process."""
    start, begin = resident_bytes(peak=False), time.perf_counter()
    model: Any = load(str(folder), device="cpu", dtype="bfloat16")
    took_s, rise = time.perf_counter() - begin, resident_bytes(peak=True) - start
    networks = (model.encoder.tower, model.encoder.projector, model.engine.language)
    weights = sum(parameter.nbytes for network in networks for parameter in network.parameters())
    return model, {"weights_mb": weights / MB, "load_peak": rise / weights, "load_s": took_s}


def answer(folder: Path) -> dict[str, float]:
    """Load, then ask about eight frames of a real film."""
    from dataclasses import replace

    from longtake.pipeline import ask, watch
    from longtake.plan import GREEDY
    from longtake.samplers.uniform import Uniform
    from longtake.video.opening import open_video

    model, figures = loaded(folder)
    begin = time.perf_counter()
    model = replace(model, sampler=Uniform(frames=8))
    watched = watch(model, open_video(BUNNY), QUESTION)
    found = ask(model, watched, QUESTION, replace(GREEDY, max_new_tokens=4))
    return {
        **figures,
        "ask_s": time.perf_counter() - begin,
        "visual_tokens": found.tokens["visual"],
        "new_tokens": found.tokens["new"],
    }


def look(folder: Path, few: int, many: int) -> dict[str, float]:
    """Load, then put some frames through tower and projector, and then more."""
    model, _ = loaded(folder)
    encoder = model.encoder
    del model
    figures: dict[str, float] = {}
    for count in (few, many):
        forget_peak()
        start, begin = resident_bytes(peak=False), time.perf_counter()
        features = encoder.encode(noise(count, encoder.recipe.side_px)).values_THWD
        figures[f"{count}_frames_s"] = time.perf_counter() - begin
        figures[f"{count}_frames_features_mb"] = features.nbytes / MB
        figures[f"{count}_frames_memory_mb"] = (resident_bytes(peak=True) - start - features.nbytes) / MB
        # Looked at only now, and frame by frame: the look takes memory too.
        if len(features) != count or not all(bool(frame.isfinite().all()) for frame in features):
            sys.exit(f"{count} frames came out as {tuple(features.shape)}, or not finite")
        del features
    figures["frames_memory"] = figures[f"{many}_frames_memory_mb"] / figures[f"{few}_frames_memory_mb"]
    return figures


def noise(count: int, side_px: int) -> Iterator[Frames]:
    """Frames one by one, as a decoder hands them on."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels_TCHW = random.integers(0, 256, (1, 3, side_px, side_px), dtype=np.uint8)
        yield Frames(pixels_TCHW, np.array([float(number)]), np.array([number]))


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes: seconds in all")
    parser.add_argument("--workdir", help="where the checkpoint lies meanwhile; else where temporary files do")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        task, folder, *counts = told.child
        if task == "write":
            write(Path(folder), TINY if told.smoke else LONGVA)
            figures = {}
        else:
            figures = answer(Path(folder)) if task == "answer" else look(Path(folder), *map(int, counts))
        print(json.dumps(figures))
        return 0
    smoke = ["--smoke"] if told.smoke else []
    with tempfile.TemporaryDirectory(dir=told.workdir) as folder:
        measured(__file__, *smoke, "--child", "write", folder)
        figures = measured(__file__, "--child", "answer", folder)
        figures |= measured(__file__, "--child", "look", folder, *((8, 32) if told.smoke else (64, 256)))
    figures = {name: round(value, 3) for name, value in figures.items()}
    for name, value in figures.items():
        print(f"  {name:26} {value:12,.3f}{f'   (at most {TARGETS[name]})' if name in TARGETS else ''}")
    ok = all(figures[name] <= most for name, most in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok or told.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
