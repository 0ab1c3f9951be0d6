"""benchmarks: from a video file to an answer, beside the way in which LongVA answers, rebuilt from stock parts.

    python benchmarks/answer.py                    # 3 rounds of 5 sides: an hour and a half of processor time
    python benchmarks/answer.py --only fp32        # stock's and this side's part; the table shows what is kept, too
    python benchmarks/answer.py --smoke            # tiny shapes, 8 frames, 1 round: shows that it runs; always exits 0

The model has CLIP ViT-L/14-336 and the shapes of Qwen2-0.5B, with random weights, in LongVA's layout on disk; the film
is a minute of H.264 at 720p (film.py); 64 frames of 144 tokens each (2 x 2 pooling), 16 new tokens. `stock` is decord,
transformers' image processor (Pillow), CLIPVisionModel over all frames at once with all states of all layers kept, two
linear layers, pooling, and Qwen2ForCausalLM.generate, in float32, all as installed (attention by sdpa). The others are
longtake as anybody runs it, load, watch and ask: in float32, in bfloat16, and both with the tower computed by OpenVINO
(which takes bfloat16 for it in either case, see tower.py).

Each run is a process of its own, in turn, on one thread; counted are the processor seconds of all its threads from the
file to the last token, the model being loaded (and, for OpenVINO, converted: that is told apart). Medians of rounds.
What the models say with random weights means nothing, but it must be the same at equal precision: the greedy tokens are
compared, and how likely stock's tokens are by either's numbers. Needs decord (the extra `bench`), and Linux, which
tells a process's memory. Results are kept in --workdir, so that a run can be broken off and taken up. Ends with one
line of JSON: {"figures", "targets", "ok"}; `ok` is null where a side was not measured, or --frames is given.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from film import WORKDIR, Film
from longva import STORED_AS, TINY, TOWER, Shapes, write
from safetensors.torch import load_file
from shapes import MB, forget_peak, measured, resident_bytes

QUESTION = "What can be seen?"
CLIP_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
SMALL_QWEN2 = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
}
"""But for its head, which is Qwen2-0.5B's embedding again: with random weights the same word would be said over and
over, and equal tokens would tell little. A head of its own costs the same, and 545 MB in float32."""
TARGETS = {"fp32": 1.1, "bf16": 1.8, "openvino": 1.25, "openvino_bf16": 2.1}
"""At least so many times as fast as stock (issue: watch once, ask many); and the same tokens in `fp32`."""


@dataclass(frozen=True)
class Size:
    """What is measured: a model's shapes, a film, and so many frames and new tokens."""

    shapes: Shapes
    film: Film
    frames: int
    new_tokens: int


FULL = Size(Shapes(SMALL_QWEN2, CLIP_L, 151_936 - 3, 336), Film("b_frames", 20, 3), 64, 16)
SMOKE = Size(replace(TINY, words=320 - 3), Film("small", 2, 1), 8, 4)
SIDES: dict[str, dict[str, Any]] = {
    "fp32": {"dtype": "float32"},
    "bf16": {"dtype": "bfloat16"},
    "openvino": {"dtype": "float32", "tower": "openvino"},
    "openvino_bf16": {"dtype": "bfloat16", "tower": "openvino"},
}


class Stages:
    """Processor seconds of one stage after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before_s = time.process_time()

    def ended(self, stage: str) -> None:
        """What came since the last stage was this one."""
        now_s = time.process_time()
        self.seconds[stage] = now_s - self._before_s
        self._before_s = now_s


def stock(folder: Path, film: Path, size: Size) -> dict[str, Any]:
    """LongVA's way, as its paper and its settings tell (arXiv 2406.16852): everything of a stage at once."""
    import decord
    from transformers import CLIPImageProcessorPil, Qwen2ForCausalLM, Qwen2Tokenizer

    stored = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    tower = stock_tower(folder, stored)
    projector = torch.nn.Sequential(
        torch.nn.Linear(size.shapes.seen["hidden_size"], size.shapes.language["hidden_size"]),
        torch.nn.GELU(),
        torch.nn.Linear(size.shapes.language["hidden_size"], size.shapes.language["hidden_size"]),
    )
    filled(projector, stored, "model.mm_projector.")
    language: Any = Qwen2ForCausalLM(stock_config(folder)).eval()
    filled(language, stored, "")
    del stored
    tokenizer: Any = Qwen2Tokenizer.from_pretrained(folder)
    side_px = size.shapes.side_px
    crop = {"height": side_px, "width": side_px}
    processor: Any = CLIPImageProcessorPil(size={"shortest_edge": side_px}, crop_size=crop)

    start = ready()
    stages = Stages()
    reader = decord.VideoReader(str(film), num_threads=1)
    images_THWC = reader.get_batch(np.linspace(0, len(reader) - 1, size.frames, dtype=int)).asnumpy()
    stages.ended("read")
    pixels_TCHW = processor(list(images_THWC), return_tensors="pt")["pixel_values"]
    stages.ended("preprocess")
    features_TNC = tower(pixels_TCHW, output_hidden_states=True).hidden_states[-2][:, 1:]
    stages.ended("tower")
    visual_TNC = projector(features_TNC)
    places = side_px // 14
    visual_TCHW = visual_TNC.unflatten(1, (places, places)).permute(0, 3, 1, 2)
    visual_ND = torch.nn.functional.avg_pool2d(visual_TCHW, 2).flatten(2).transpose(1, 2).flatten(0, 1)
    stages.ended("projector")
    before, after = (
        tokenizer(part, return_tensors="pt").input_ids[0]
        for part in (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
            f"\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
        )
    )
    embed = language.get_input_embeddings()
    prompt_LD = torch.cat([embed(before), visual_ND, embed(after)])
    came = language.generate(
        inputs_embeds=prompt_LD[None],
        attention_mask=torch.ones(1, len(prompt_LD), dtype=torch.long),
        max_new_tokens=size.new_tokens,
        do_sample=False,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        output_logits=True,
        return_dict_in_generate=True,
    )
    stages.ended("generate")
    said = came.sequences[0].tolist()
    logprobs = [float(logits_1V[0].log_softmax(-1)[token]) for logits_1V, token in zip(came.logits, said, strict=True)]
    return told(start, stages, visual_ND, before.tolist(), {"tokens": said, "logprobs": logprobs})


def stock_tower(folder: Path, stored: dict[str, torch.Tensor]) -> Any:
    """transformers' class, in float32."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = CLIPVisionModel(CLIPVisionConfig(**json.loads((folder / TOWER / "config.json").read_text()))).eval()
    # Checkpoints on the hub have a level of names more than the class of transformers 5.
    return filled(tower, stored, STORED_AS["vision.model."])


def stock_config(folder: Path) -> Any:
    """Of the language model."""
    from transformers import Qwen2Config

    return Qwen2Config.from_dict({**json.loads((folder / "config.json").read_text()), "model_type": "qwen2"})


def filled(module: torch.nn.Module, stored: dict[str, torch.Tensor], prefix: str) -> torch.nn.Module:
    """`module` with what is stored for it, in float32."""
    wanted = dict(module.named_parameters())
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(stored[prefix + name])
    return module.requires_grad_(False)


def ours(folder: Path, film: Path, size: Size, side: str) -> dict[str, Any]:
    """longtake: load, watch, ask. What stock said is then looked at by this side's numbers."""
    import longtake
    from longtake.prompt import question_ids
    from longtake.samplers.uniform import Uniform

    begin_s = time.process_time()
    model: Any = longtake.load(str(folder), device="cpu", **SIDES[side])
    load_s = time.process_time() - begin_s
    noting = Noting(model.engine)
    model = replace(model, sampler=Uniform(frames=size.frames), engine=noting)

    start = ready()
    stages = Stages()
    video = longtake.open_video(film)
    stages.ended("open")
    options = longtake_options(size)
    watched = longtake.watch(model, video, QUESTION, options=options)
    stages.ended("watch")
    longtake.ask(model, watched, QUESTION, options)
    stages.ended("ask")
    asked = question_ids(watched.template, model.tokenizer, QUESTION)
    (kept,) = noting.prompts
    opening = kept.token_ids_L[: len(kept.token_ids_L) - len(kept.visual_ND)].tolist()
    theirs = json.loads((folder / "stock.json").read_text())
    spent = told(start, stages, kept.visual_ND.float(), opening, {"tokens": noting.said, "load_s": load_s})
    forced = noting.inner.force(watched.prefix, asked, theirs["tokens"])
    apart = (forced.logprobs_A - torch.tensor(theirs["logprobs"])).abs()
    features = torch.load(folder / "stock.pt")
    return {
        **spent,
        "likeliest_same": float((forced.likeliest_A == torch.tensor(theirs["tokens"])).float().mean()),
        "logprob_error": float(apart.max()),
        "visual_error": float((kept.visual_ND.float() - features).norm() / features.norm()),
        "same_opening": opening == theirs["opening"],
    }


@dataclass
class Noting:
    """An engine that notes what it is given to read and what it says."""

    inner: Any
    prompts: list[Any] = field(default_factory=list)
    said: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def prefill(self, prompt: Any, **options: Any) -> Any:
        """As the engine."""
        self.prompts.append(prompt)
        return self.inner.prefill(prompt, **options)

    def generate(self, prefix: Any, token_ids: Sequence[int], options: Any) -> Iterator[int]:
        """As the engine."""
        for token_id in self.inner.generate(prefix, token_ids, options):
            self.said.append(token_id)
            yield token_id


def longtake_options(size: Size) -> Any:
    """The likeliest token each time."""
    from longtake.engines import GenerateOptions

    return GenerateOptions(max_new_tokens=size.new_tokens)


def ready() -> int:
    """Bytes held before anything is measured; from here on the peak counts anew."""
    forget_peak()
    return resident_bytes(peak=False)


def told(
    start: int, stages: Stages, visual_ND: torch.Tensor, opening: list[int], more: dict[str, Any]
) -> dict[str, Any]:
    """What one run came to; the first, stock's, leaves its visual tokens for the others to compare theirs with."""
    peak = resident_bytes(peak=True)
    return {
        "cpu_s": sum(stages.seconds.values()),
        **{f"{name}_s": spent_s for name, spent_s in stages.seconds.items()},
        "peak_mb": peak / MB,
        "rise_mb": (peak - start) / MB,
        "visual_tokens": len(visual_ND),
        "opening": opening,
        "visual_ND": visual_ND,
        **more,
    }


def work(side: str, folder: Path, film: Path, size: Size) -> dict[str, Any]:
    """One run, in this process."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = stock(folder, film, size) if side == "stock" else ours(folder, film, size, side)
    visual_ND = found.pop("visual_ND")
    if side == "stock":
        torch.save(visual_ND.clone(), folder / "stock.pt")
        (folder / "stock.json").write_text(
            json.dumps({name: found[name] for name in ("tokens", "logprobs", "opening")})
        )
    return found


class Results:
    """The runs of every side, kept in a file; those of other code are not looked at."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._file, self._size = folder / "answer.json", size
        self._runs: list[dict[str, Any]] = json.loads(self._file.read_text()) if self._file.exists() else []

    def of(self, side: str) -> list[dict[str, Any]]:
        """Its runs so far."""
        wanted = side, code_of(side, self._size)
        return [run["found"] for run in self._runs if (run["side"], run["code"]) == wanted]

    def add(self, side: str, found: dict[str, Any]) -> None:
        """Keep one more."""
        self._runs.append({"side": side, "code": code_of(side, self._size), "found": found})
        self._file.write_text(json.dumps(self._runs))


def code_of(side: str, size: Size) -> str:
    """Changes with the code that a side runs, and what it runs on."""
    code = inspect.getsource(stock if side == "stock" else ours) + repr(size)
    if side != "stock":
        package = Path(__file__).resolve().parents[1] / "src" / "longtake"
        code += "".join(file.read_text() for file in sorted(package.rglob("*.py")))
    return hashlib.blake2b(code.encode(), digest_size=8).hexdigest()


def sides_here() -> list[str]:
    """Those that can be measured: stock wants decord, two of longtake's want OpenVINO."""
    missing = [name for name in ("decord", "openvino") if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"{name} is not installed: pip install 'longtake[{'bench' if name == 'decord' else name}]'")
    if "decord" in missing:
        return []
    return ["stock", *(name for name in SIDES if not ("openvino" in missing and name.startswith("openvino")))]


def figures_of(results: Results, sides: Sequence[str]) -> dict[str, float | bool]:
    """Medians and ratios; prints the table."""
    figures: dict[str, float | bool] = {}
    runs = {side: results.of(side) for side in sides}
    runs = {side: some for side, some in runs.items() if some}
    for side, some in runs.items():
        row = {name: statistics.median(run[name] for run in some) for name in some[0] if name.endswith(("_s", "_mb"))}
        figures |= {f"{side}_{name}": round(value, 2) for name, value in row.items()}
        stages = ", ".join(f"{name[:-2]} {value:.1f}" for name, value in row.items() if name.endswith("_s"))
        print(f"  {side:14} {len(some)} rounds  {stages}; peak {row['peak_mb']:,.0f} MB, rise {row['rise_mb']:,.0f} MB")
    if "stock" not in runs:
        return figures
    theirs = runs["stock"][-1]
    for side in (name for name in SIDES if name in runs):
        last = runs[side][-1]
        figures |= {
            f"{side}_speedup": round(figures["stock_cpu_s"] / figures[f"{side}_cpu_s"], 3),
            f"{side}_memory": round(figures[f"{side}_peak_mb"] / figures["stock_peak_mb"], 3),
            f"{side}_same_tokens": all(run["tokens"] == theirs["tokens"] for run in runs[side]),
            **{f"{side}_{name}": last[name] for name in ("likeliest_same", "logprob_error", "visual_error")},
            f"{side}_same_opening": last["same_opening"],
        }
        tokens = "the same" if figures[f"{side}_same_tokens"] else "other"
        print(
            f"  {side:14} {figures[f'{side}_speedup']:.2f} x of stock's speed, {figures[f'{side}_memory']:.2f} of its "
            f"memory; {tokens} tokens, {last['likeliest_same']:.0%} of stock's likeliest, log probabilities at most "
            f"{last['logprob_error']:.1e} off, visual tokens {last['visual_error']:.1e}"
        )
    figures["visual_tokens"], figures["different_tokens"] = theirs["visual_tokens"], len(set(theirs["tokens"]))
    return figures


def verdict(figures: dict[str, float | bool]) -> bool | None:
    """Whether all targets are met; None where something was not measured."""
    if not all(f"{side}_speedup" in figures for side in TARGETS):
        return None
    same = figures["fp32_same_tokens"] and all(figures[f"{side}_same_opening"] for side in TARGETS)
    return bool(same and all(figures[f"{side}_speedup"] >= least for side, least in TARGETS.items()))


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes: a minute in all, nothing is kept")
    parser.add_argument("--rounds", type=int, default=3, help="until each side has so many (%(default)s)")
    parser.add_argument("--only", action="append", choices=["stock", *SIDES], help="this side (may be given again)")
    parser.add_argument("--workdir", type=Path, default=WORKDIR, help="where all is kept (%(default)s)")
    parser.add_argument("--frames", type=int, help="other than 64: for a first look, without a verdict")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    size = SMOKE if asked.smoke else FULL
    size = replace(size, frames=asked.frames or size.frames)
    if asked.child:
        side, folder, film = asked.child
        print(json.dumps(work(side, Path(folder), Path(film), size)))
        return 0
    shapes = hashlib.blake2b(repr(size.shapes).encode(), digest_size=4).hexdigest()
    folder = asked.workdir / f"answer_{shapes}"
    if asked.smoke or not (folder / "model.safetensors.index.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        torch.manual_seed(0)
        write(folder, size.shapes)
    film, results, sides = size.film.file(asked.workdir), Results(folder, size), sides_here()
    for number in range(1, (1 if asked.smoke else asked.rounds) + 1):
        for side in sides:
            if len(results.of(side)) < number and side in (asked.only or sides):
                print(f"{side}, round {number} ...", file=sys.stderr, flush=True)
                flags = ["--frames", str(size.frames), *(["--smoke"] if asked.smoke else [])]
                results.add(side, measured(__file__, *flags, "--child", side, folder, film))
    print(f"{size.frames} frames, {size.new_tokens} new tokens, 1 thread; load {os.getloadavg()[0]:.1f}")
    figures = figures_of(results, sides)
    if asked.smoke:
        shutil.rmtree(folder)
    ok = verdict(figures) if size in (FULL, SMOKE) else None
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok is not False or asked.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
