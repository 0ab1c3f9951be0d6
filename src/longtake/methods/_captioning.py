"""methods._captioning: frames that are held in, what a model says of them in words out. Knows no method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from longtake import parts
from longtake.answer import Caption, Look
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.methods._held import Held
from longtake.pipeline import ask, watch
from longtake.plan import Plan, is_still, plan_of, refuse_too_many_frames, text_need
from longtake.video import Video
from longtake.video.seen import Seen


@dataclass(frozen=True)
class Taken:
    """Frames that a method has taken already.

    Attributes:
        numbers: theirs.
    """

    numbers: tuple[int, ...]

    def pick(self, video: Video, question: str) -> list[int]:
        """These, whatever is asked."""
        return list(self.numbers)


@dataclass(frozen=True)
class Made:
    """A caption, and what it took.

    Attributes:
        caption: the words, and when they hold.
        numbers: of the frames that it was made of.
        tokens: visual, text, new.
        seconds: by stage.
        cut: whether it was stopped because it went on too long.
        beyond: whether there were more tokens than the model was trained to read.
    """

    caption: Caption
    numbers: tuple[int, ...]
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    cut: bool
    beyond: bool


@dataclass(frozen=True)
class Captioner:
    """A model that is asked the same of every few frames.

    Attributes:
        model: its layout and template are used; its sampler is not asked.
        prompt: what it is asked.
        options: how long it may talk.
    """

    model: Model
    prompt: str
    options: GenerateOptions

    def plan(self, video: Video, numbers: Sequence[int]) -> Plan:
        """What these frames of a video will cost.

        Raises:
            LongtakeError: `limit.context` if the model cannot see them all at once.
        """
        plan = plan_of(self._taking(numbers), video, self.prompt)
        template = self.model.image_template if is_still(video) else self.model.template
        refuse_too_many_frames(self.model, [plan], text_need(self.model, template, self.prompt, self.options))
        return plan

    def caption(self, held: Held, place: Caption) -> Made:
        """What the model says of some frames.

        Args:
            held: at least one frame.
            place: when that is; without words yet.
        """
        numbers = tuple(int(number) for number in held.numbers)
        taking = self._taking(numbers)
        said = ask(taking, watch(taking, held, self.prompt, options=self.options), self.prompt, self.options)
        # One line each, whatever the model thinks of lines.
        words = " ".join(said.text.split())
        cut = said.tokens["new"] == self.options.max_new_tokens
        return Made(replace(place, text=words), numbers, said.tokens, said.seconds, cut, said.beyond_trained_context)

    def _taking(self, numbers: Sequence[int]) -> Model:
        return replace(self.model, sampler=Taken(tuple(numbers)))

    def look(self, video: Video, seen: Seen, made: Sequence[Made]) -> Look:
        """A file as all its captions together show it."""
        layout = self.model.image_layout if is_still(video) else self.model.layout
        visual_tokens = sum(each.tokens["visual"] for each in made)
        return Look.at(video, seen, visual_tokens, parts={"layout": parts.told(layout, "layouts")})


def summed(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """All of them together, key by key."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
