"""lmms (outer ring): what lmms-eval asks in, longtake's answers out; task files for what it lacks. Knows no benchmark.

lmms-eval (github.com/EvolvingLMMs-Lab/lmms-eval, 0.7.3) finds models by the entry points of the group
`lmms_eval.models`; ours is `manifest`. It is imported only where it has imported us: here inside a function, and in
`lmms.model`, which nobody else imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TASKS = Path(__file__).parent / "tasks"
"""For lmms-eval's `--include_path`."""


def manifest() -> Any:
    """What lmms-eval's registry wants to know: `--model longtake` is the chat model, with `--force_simple` the other.

    Returns:
        A `lmms_eval.models.registry_v2.ModelManifest`.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="longtake",
        simple_class_path="longtake.lmms.model.Simple",
        chat_class_path="longtake.lmms.model.Chat",
    )
