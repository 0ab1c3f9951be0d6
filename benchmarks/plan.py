"""benchmarks: does `longtake plan` tell the truth? Memory and processor time of `longtake ask`, planned and measured.

    python benchmarks/plan.py                 # 14 mixes; 3 GB of memory at most; minutes of processor time
    python benchmarks/plan.py --only nano     # those whose name has this in it
    python benchmarks/plan.py --smoke         # tiny shapes, two mixes: shows that it runs; always exits 0

Checkpoints of random weights are written: LongVA's layout (CLIP-L/14 at 336 px and Qwen2-0.5B's layers), OneVision
(SigLIP at 384 px, Qwen2-0.5B's layers) and LLaVA-NeXT-Video (CLIP, Llama), with few layers each and the whole
vocabulary; nano as it ships. Of each mix of model, layout, frames and dtype `longtake plan` is run and then `longtake
ask`, each in a process of its own with one thread. Truth: the process's peak of resident memory, and its processor time
from start to end, with no store and without evidence, which a plan does not count. The machine is measured anew before
every seventh mix: others use it too.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from longva import STORED_AS, TOWER
from shapes import BUNNY, CONTROLS, DTYPE, write_tokenizer, write_weights

from longtake import parts
from longtake.checkpoint import without_memory

HOUR = Path(__file__).resolve().parents[1] / "src" / "longtake" / "assets" / "demo" / "hour.mp4"
QUESTION = "What can be seen here, and what comes after it?"
TARGETS = {"memory_over": 0.15, "memory_under": 0.05, "processor": 0.30}
"""At most: planned memory over and under the measured; planned processor time off, either way."""
NEW_TOKENS = 8
WORDS, TOKENS = 151_643, 151_936
LANGUAGE = {"hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_key_value_heads": 2}
CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}


@dataclass(frozen=True)
class Mix:
    """One run: a model, and what is asked of it."""

    model: str
    frames: int
    dtype: str
    film: Path = BUNNY
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([self.model, f"{self.frames} frames", self.dtype, *self.options])


MIXES = (
    Mix("nano", 64, "float32"),
    Mix("nano", 3000, "float32", HOUR),
    Mix("nano", 600, "bfloat16", HOUR, ("--layout", "slowfast")),
    Mix("longva", 8, "bfloat16"),
    Mix("longva", 64, "bfloat16"),
    Mix("longva", 16, "float32"),
    Mix("longva", 32, "int8"),
    Mix("longva", 64, "bfloat16", BUNNY, ("--layout", "slowfast")),
    Mix("onevision", 32, "bfloat16"),
    Mix("onevision", 16, "float32"),
    Mix("onevision", 24, "int8"),
    Mix("onevision", 32, "bfloat16", BUNNY, ("--layout", "pool3d")),
    Mix("next_video", 24, "bfloat16"),
    Mix("next_video", 16, "float32", BUNNY, ("--layout", "every_token")),
)
SMOKE = (Mix("nano", 64, "float32"), Mix("longva", 8, "bfloat16", BUNNY, ("--layout", "slowfast")))


def small(shape: dict[str, int], *, smoke: bool) -> dict[str, int]:
    """The same with its proportions, where little is wanted."""
    return {**shape, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2} if smoke else shape


def write_longva(folder: Path, *, smoke: bool) -> None:
    language = {**small(LANGUAGE, smoke=smoke), "num_key_value_heads": 2, "num_hidden_layers": 6}
    seen = {**small(CLIP, smoke=smoke), "num_hidden_layers": 5, "image_size": 336, "patch_size": 14}
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
        **language,
        "vocab_size": TOKENS,
        "max_position_embeddings": 224_000,
        "rope_theta": 1e9,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    tower = folder / TOWER
    tower.mkdir(parents=True)
    (tower / "config.json").write_text(json.dumps(seen))
    (tower / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, WORDS)
    with without_memory():
        networks = parts.find("families", "longva")().networks(config, folder=folder)
    shapes = {"model.image_newline": torch.Size([language["hidden_size"]])}
    for network, module in networks.items():
        for name, tensor in module.named_parameters(prefix=network):
            own = next(prefix for prefix in STORED_AS if name.startswith(prefix))
            shapes[STORED_AS[own] + name.removeprefix(own)] = tensor.shape
    write_weights(folder, shapes)


def write_released(folder: Path, kind: str) -> None:
    """A checkpoint as transformers' own class saves it."""
    import transformers

    video = kind == "next_video"
    side_px = 336 if video else 384
    seen: dict[str, Any] = {**(CLIP if video else SIGLIP), "num_hidden_layers": 4, "image_size": side_px}
    seen |= {"model_type": "clip_vision_model"} if video else {"model_type": "siglip_vision_model"}
    seen |= {"patch_size": 14} if video else {"patch_size": 14, "vision_use_head": False}
    text: dict[str, Any] = {**LANGUAGE, "num_hidden_layers": 4, "vocab_size": TOKENS + 64, "tie_word_embeddings": True}
    text |= {"model_type": "llama" if video else "qwen2", "max_position_embeddings": 32_768}
    text |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    name = "LlavaNextVideo" if video else "LlavaOnevision"
    grids = [[336, 672], [672, 336]] if video else [[384 * high, 384 * wide] for high in (1, 2) for wide in (1, 2)]
    config = getattr(transformers, f"{name}Config")(
        vision_config=seen,
        text_config=text,
        image_token_index=WORDS + 3,
        video_token_index=WORDS + 4,
        image_grid_pinpoints=grids,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForConditionalGeneration")._from_config(config, dtype=DTYPE)
    model.save_pretrained(folder)
    write_tokenizer(folder, WORDS, (*CONTROLS, "<image>", "<video>"))
    size = {"shortest_edge": side_px} if video else {"height": side_px, "width": side_px}
    pixels: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": size}
    pixels |= {"do_center_crop": True, "crop_size": {"height": 336, "width": 336}} if video else {}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


def write(kind: str, folder: Path, *, smoke: bool) -> None:
    folder.mkdir()
    if kind == "longva":
        write_longva(folder, smoke=smoke)
    else:
        write_released(folder, kind)


def told(cache: Path, *arguments: object) -> tuple[dict[str, Any], float]:
    """The object that a command prints, and the processor seconds of its whole process."""
    command = [sys.executable, "-m", "longtake", *map(str, arguments), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache), "LONGTAKE_STORE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compared(mix: Mix, model: Path | str, cache: Path, *, anew: bool) -> dict[str, Any]:
    """Planned and measured."""
    asked = ["--model", model, "--frames", mix.frames, "--dtype", mix.dtype, "--device", "cpu", *mix.options]
    asked += ["--max-new-tokens", NEW_TOKENS, "--beyond-trained-context"]
    plan, _ = told(cache, "plan", mix.film, "--question", QUESTION, *asked, *(["--calibrate"] if anew else []))
    answer, processor_s = told(cache, "ask", mix.film, QUESTION, *asked, "--no-evidence")
    planned_s = sum(plan["processor_seconds"].values())
    return {
        "planned_mb": plan["memory_bytes"] / 1e6,
        "measured_mb": answer["peak_memory_bytes"] / 1e6,
        "memory": plan["memory_bytes"] / answer["peak_memory_bytes"] - 1,
        "planned_s": planned_s,
        "measured_s": processor_s,
        "processor": planned_s / processor_s - 1,
        "peak_stage": plan["peak_stage"],
        "stages_s": plan["processor_seconds"],
        "wall_s": answer["seconds"],
        "tokens": plan["tokens"]["visual"] == answer["tokens"]["visual"]
        and plan["tokens"]["text"] == answer["tokens"]["text"],
    }


def is_well(row: dict[str, Any]) -> bool:
    near = -TARGETS["memory_under"] <= row["memory"] <= TARGETS["memory_over"]
    return near and abs(row["processor"]) <= TARGETS["processor"] and row["tokens"]


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two mixes at tiny shapes")
    parser.add_argument("--only", default="", help="mixes whose name has this in it")
    parser.add_argument("--workdir", help="where checkpoints lie meanwhile; else where temporary files do")
    asked = parser.parse_args()
    mixes = [mix for mix in (SMOKE if asked.smoke else MIXES) if asked.only in mix.name]
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=asked.workdir, prefix="longtake-plan-") as name:
        folder = Path(name)
        for number, mix in enumerate(mixes):
            own = folder / mix.model
            if mix.model != "nano" and not own.exists():
                write(mix.model, own, smoke=asked.smoke)
            model = "nano" if mix.model == "nano" else own
            anew = number % 7 == 0
            row = figures[mix.name] = compared(mix, model, folder / "cache", anew=anew)
            print(
                f"{mix.name:<52}{row['planned_mb']:>8,.0f}{row['measured_mb']:>8,.0f} MB {row['memory']:>+7.1%}"
                f"{row['planned_s']:>8.1f}{row['measured_s']:>8.1f} s {row['processor']:>+7.1%}"
                f"  {row['peak_stage']:<8}{'' if is_well(row) else ' !'}",
                flush=True,
            )
    ok = all(map(is_well, figures.values()))
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok or asked.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
