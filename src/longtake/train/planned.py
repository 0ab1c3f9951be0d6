"""train/planned: a recipe in; what each of its stages computes, as `costs.training` reckons with it, out.

Rows of text are as long as the recipe says. Samples with pictures are not: memory is reckoned for the longest that a
recipe lets in, hours for samples of a usual length, if somebody says it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoModelForCausalLM

from longtake.checkpoint import without_memory
from longtake.costs.arranging import Laid
from longtake.costs.training import Arrangement, Decoder, Load, Networks
from longtake.errors import LongtakeError
from longtake.train.align_recipe import AlignRecipe
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.language import Turning, scratch_config
from longtake.train.recipes import bad_recipe, read_recipe, read_table
from longtake.train.text_recipe import TextRecipe
from longtake.train.together import refuse_attention, refuse_hold, refuse_rows, refuse_samples

KINDS: Mapping[str, type[Any]] = {"text": TextRecipe, "align": AlignRecipe, "dpo": DpoRecipe}
"""Recipes by the command that reads them: `longtake train KIND --recipe FILE`."""
WORDS_TOKENS = 512
"""Tokens of a sample's words, questions and answers, where nobody says how long samples are."""


@dataclass(frozen=True)
class Sizes:
    """What a recipe does not say of its data.

    Attributes:
        samples: how many there are; 0: nobody knows.
        tokens: of a usual sample; 0: as many as of the longest.
    """

    samples: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a recipe.

    Attributes:
        longest: with the longest rows that may come, for memory.
        usual: with rows of the usual length, for hours.
    """

    longest: Load
    usual: Load


def kind_of(path: str) -> str:
    """Which command a recipe is for: the one that knows most of its keys.

    Raises:
        LongtakeError: `usage.bad_option` for a file that is no TOML, or fits two commands as well.
    """
    table = read_table(path)
    known = {name: _known(table, kind) for name, kind in KINDS.items()}
    best = max(known.values())
    fitting = [name for name, count in known.items() if count == best]
    if len(fitting) > 1:
        reason = f"may be for {' or '.join(fitting)}"
        raise bad_recipe(path, reason, f"say which: --kind {fitting[0]}")
    return fitting[0]


def read_for(kind: str, path: str, settings: Sequence[str], given: Mapping[str, Any]) -> Any:
    """The recipe in `path`, as `longtake train KIND` reads it.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    return read_recipe(KINDS[kind], path, settings, given)


def model_of(recipe: Any) -> str:
    """The model that a recipe starts from; empty for one from scratch."""
    return str(getattr(recipe, "start", "") if isinstance(recipe, TextRecipe) else recipe.model)


def untrained(recipe: TextRecipe) -> Any:
    """The language model that a recipe would make from scratch, without its numbers."""
    config = scratch_config(recipe.model, recipe.vocabulary, Turning(0.0, "keep", 0.0, 2), end_id=0)
    with without_memory():
        return AutoModelForCausalLM.from_config(config)


def stages_of(recipe: Any, networks: Networks, sizes: Sizes, arranged: Arrangement) -> list[PlannedStage]:
    """What a recipe's stages compute, on ranks that lie so.

    Raises:
        LongtakeError: `usage.bad_option` where nobody says how many samples there are, and for what the training
            refuses of so many ranks.
    """
    made: Callable[..., list[PlannedStage]] = next(make for kind, make in _STAGES.items() if isinstance(recipe, kind))
    return made(recipe, networks, sizes, arranged)


def laid(recipe: Any, networks: Networks, sizes: Sizes, number: int) -> Laid:
    """What stage `number` computes with its longest rows, on ranks that lie otherwise; None where that is refused."""

    def on(arranged: Arrangement) -> Load | None:
        try:
            return stages_of(recipe, networks, sizes, arranged)[number].longest
        except LongtakeError:
            return None

    return on


def _text_stages(recipe: TextRecipe, networks: Networks, sizes: Sizes, arranged: Arrangement) -> list[PlannedStage]:
    refuse_attention(networks.decoder.attention, ring=arranged.ring, together=arranged.together)
    refuse_hold(recipe, arranged.hold)
    refuse_rows(recipe, ranks=arranged.ranks, ring=arranged.ring, together=arranged.together)
    stages = []
    for number, stage in enumerate(recipe.stages, 1):
        load = Load(
            f"text-{number}",
            steps=recipe.steps(stage),
            passes=recipe.batches(stage, data_ranks=arranged.data, ring=arranged.ring),
            rows=recipe.rows_at_once(stage, data_ranks=arranged.data, ring=arranged.ring),
            length=stage.length,
            half=recipe.precision == "bfloat16",
        )
        stages.append(PlannedStage(load, load))
    return stages


def _align_stages(recipe: AlignRecipe, networks: Networks, sizes: Sizes, arranged: Arrangement) -> list[PlannedStage]:
    """A picture that is shown as users' are (AnyRes) is taken to have no more tokens than one in tiles."""
    refuse_samples(recipe, "step_samples", ranks=arranged.ranks, ring=arranged.ring)
    refuse_hold(recipe, arranged.hold)
    room = (recipe.most_tokens - WORDS_TOKENS) // max(1, networks.view_tokens)
    views = max(1, min(recipe.most_images * recipe.tiles, room))
    stages = []
    for number, stage in enumerate(recipe.stages, 1):
        if not stage.steps and not sizes.samples and recipe.data != ("world",):
            raise _uncounted(f"stage {number} goes through all samples")
        load = Load(
            f"align-{number}",
            steps=recipe.steps(stage, sizes.samples or recipe.world_samples),
            passes=recipe.batches(arranged.data),
            rows=recipe.batch_samples(arranged.data),
            length=views * networks.view_tokens + WORDS_TOKENS,
            views=recipe.batch_samples(arranged.data) * views,
            learning=frozenset(stage.train),
            half=recipe.precision == "bfloat16",
            adapters=adapters(recipe, networks.decoder) if "language" in stage.train else 0,
        )
        stages.append(PlannedStage(load, _usual(load, sizes.tokens)))
    return stages


def _dpo_stages(recipe: DpoRecipe, networks: Networks, sizes: Sizes, arranged: Arrangement) -> list[PlannedStage]:
    """Two rows a pair, of one video; what the untrained model gave them is computed once for all rounds."""
    refuse_samples(recipe, "step_pairs", ranks=arranged.ranks, ring=arranged.ring)
    refuse_hold(recipe, arranged.hold)
    if not recipe.steps and not sizes.samples and recipe.data != ("world",):
        raise _uncounted("it goes through all pairs")
    frames = recipe.frames or networks.frames
    longest = min(recipe.most_tokens, frames * networks.view_tokens + WORDS_TOKENS)
    load = Load(
        "dpo",
        steps=recipe.steps_of(sizes.samples or recipe.world_pairs),
        passes=recipe.batches(arranged.data),
        rows=2 * recipe.batch_pairs(arranged.data),
        length=longest,
        views=recipe.batch_pairs(arranged.data) * max(1, (longest - WORDS_TOKENS) // max(1, networks.view_tokens)),
        learning=frozenset(recipe.train),
        read_only=1 / max(1.0, recipe.epochs),
        half=recipe.precision == "bfloat16",
        adapters=adapters(recipe, networks.decoder),
    )
    return [PlannedStage(load, _usual(load, sizes.tokens))]


def adapters(recipe: Any, decoder: Decoder) -> int:
    """Numbers of a recipe's low-rank adapters; 0 where it has none.

    Raises:
        LongtakeError: `usage.bad_option` for a matrix that such a model has not.
    """
    lora = getattr(recipe, "lora", None)
    if lora is None:
        return 0
    wide, keys = decoder.heads * decoder.head_width, decoder.key_heads * decoder.head_width
    sizes = {
        "q_proj": decoder.width + wide,
        "k_proj": decoder.width + keys,
        "v_proj": decoder.width + keys,
        "o_proj": wide + decoder.width,
        "gate_proj": decoder.width + decoder.hidden,
        "up_proj": decoder.width + decoder.hidden,
        "down_proj": decoder.hidden + decoder.width,
    }
    lacking = [name for name in lora.modules if name not in sizes]
    if lacking:
        raise bad_recipe("lora.modules", f"has {', '.join(lacking)}", f"name some of {', '.join(sizes)}")
    return decoder.layers * int(lora.rank) * sum(sizes[name] for name in lora.modules)


def _uncounted(what: str) -> LongtakeError:
    return bad_recipe("recipe", f"{what}, and nobody has counted them", "say how many there are: --samples NUMBER")


def _usual(load: Load, tokens: int) -> Load:
    """The same of samples that have so many tokens, with as many fewer pictures."""
    if not tokens:
        return load
    words = min(WORDS_TOKENS, tokens // 2)
    share = (tokens - words) / max(1, load.length - WORDS_TOKENS)
    return dataclasses.replace(load, length=tokens, views=max(1, round(load.views * share)))


def _known(table: Mapping[str, Any], kind: type[Any]) -> int:
    """How many keys of a recipe, and of its first stage, such recipes have, less those that they have not."""
    names = {field.name: field for field in dataclasses.fields(kind)}
    count = sum(1 if key in names else -1 for key in table)
    stages = table.get("stages")
    if isinstance(stages, list) and stages and isinstance(stages[0], Mapping) and "stages" in names:
        defaults: Any = names["stages"].default
        stage = {field.name for field in dataclasses.fields(defaults[0])}
        count += sum(1 if key in stage else -1 for key in stages[0])
    return count


_STAGES: Mapping[type[Any], Callable[..., list[PlannedStage]]] = {
    TextRecipe: _text_stages,
    AlignRecipe: _align_stages,
    DpoRecipe: _dpo_stages,
}
