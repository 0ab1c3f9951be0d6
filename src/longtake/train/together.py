"""train/together: a recipe, what its model's attention is, and ranks in; a refusal where these cannot do that, out.

The same for a training and for its plan, which tells no way that the training would refuse. Knows nothing of how it is
done.
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm

from longtake.costs.training import Attention, Hold
from longtake.errors import ErrorCode, LongtakeError
from longtake.train.align_recipe import AlignRecipe
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.recipes import bad_recipe, refuse_uneven
from longtake.train.text_recipe import TextRecipe


def refuse_rows(recipe: TextRecipe, *, ranks: int, ring: int, together: str) -> None:
    """Refuse what cannot be shared: the rows of each step go to rings of `ring` ranks, as many to each.

    Args:
        together: how the ranks of a ring attend, as recipes call it.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    data_ranks = ranks // ring
    for stage in recipe.stages:
        rows = recipe.rows_a_step(stage)
        if rows % data_ranks:
            reason = f"{rows} rows of {stage.length:,} tokens a step are not to be shared by {data_ranks} data ranks"
            advice = _fitting(recipe, ranks, ring, together)
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"step_tokens = {recipe.step_tokens}", reason, advice)


def refuse_attention(attention: Attention, *, ring: int, together: str) -> None:
    """Refuse a model whose attention the ranks of a ring cannot do together; alone each may do what it likes.

    Args:
        together: how they would, as recipes call it.

    Raises:
        LongtakeError: `usage.bad_option`: what is refused here, `parallel.attending` and `parallel.ulysses` refuse too,
            as mistakes of a programmer.
    """
    if ring == 1:
        return
    if attention.besides:
        reason = f"this model's attention wants {', '.join(attention.besides)}, which ranks do not do together"
        advice = "let each read rows of its own: --ring 1"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"ring = {ring}", reason, advice)
    if together == "ulysses" and attention.heads % lcm(attention.key_heads, ring):
        reason = (
            f"{attention.heads} heads on {attention.key_heads} of keys and values cannot be dealt out to {ring} ranks"
        )
        advice = "take the ring (--set attending=ring), or another number of ranks"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "attending = ulysses", reason, advice)


def refuse_samples(recipe: AlignRecipe | DpoRecipe, step: str, *, ranks: int, ring: int) -> None:
    """Refuse samples that cannot be shared out: each has pictures, and no two ranks read one together.

    Args:
        step: the recipe's key that says how many samples a step reads.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    if ring > 1:
        reason = "samples with pictures are not shared by ranks"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--ring {ring}", reason, "leave it out")
    refuse_uneven(recipe, step, ranks)


def refuse_hold(recipe: TextRecipe | AlignRecipe | DpoRecipe, hold: Hold) -> None:
    """Refuse weights that are held as the recipe's optimiser, or its adapters, cannot have them.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    try:
        replace(recipe, weights=hold)
    except ValueError as error:
        raise bad_recipe(f"weights = {hold}", str(error), "let each rank hold them whole") from error


def _fitting(recipe: TextRecipe, ranks: int, ring: int, together: str) -> str:
    """What these ranks could do instead."""
    ways = []
    if together == "ring":
        # One ring of all ranks always can.
        fitting = (more for more in range(ring + 1, ranks + 1) if ranks % more == 0 and _shared(recipe, ranks // more))
        ways.append(f"let more of them share a row: --ring {next(fitting)}")
    at_least = ranks // ring * max(stage.length for stage in recipe.stages)
    tokens = -(-recipe.step_tokens // at_least) * at_least
    if _shared(replace(recipe, step_tokens=tokens), ranks // ring):
        ways.append(f"take larger steps: --set step_tokens={tokens}")
    return ", or ".join([*ways, "take another number of ranks"])


def _shared(recipe: TextRecipe, data_ranks: int) -> bool:
    return all(recipe.rows_a_step(stage) % data_ranks == 0 for stage in recipe.stages)
