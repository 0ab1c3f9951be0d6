"""evals: which option an answer names; what names none, or several, is unreadable and not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.evals import Item, Place, VideoName, good_items
from longtake.evals.benchmarks.tempcompass import Tempcompass
from longtake.evals.figures import mark_choice
from longtake.evals.letters import Reading, is_right, likeliest, read_option

SAMPLES = Path(__file__).resolve().parent / "evals"
OPTIONS = ("a red boat", "a dog", "the dog runs", "blue", "a red boat at sea")


def named(answer: str, options: tuple[str, ...] = OPTIONS) -> str:
    reading = read_option(answer, options)
    return reading.why if reading.option is None else "ABCDE"[reading.option]


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "b", "(B)", "[B]", "B.", "B)", "(b)", "b.", "B:", "**B**", '"B"', " B \n", "B,"),
        *("B. a dog", "(B) a dog", "B) a dog", "B: a dog", "B - a dog", "B\nbecause it barks", "(B) it barks"),
        *(
            "Answer: B",
            "answer: b",
            "Answer:(B",
            "The answer is B",
            "The answer is B.",
            "the answer is (B).",
            "ANSWER IS B",
        ),
        *("The best answer is: B", "The correct answer would be B", "Option B", "option (B)", "The right choice is B."),
        *("The best option is B because it barks", "Best option: (B", "The answer is option B", "The letter is B"),
        *("I think it is B.", "It's B", "I would say B", "Probably (B)", "It shows (B) a dog"),
        *("a dog", "A dog.", "A dog", "It is a dog.", "Dog? Yes, a dog!", "The animal is a  DOG"),
    ],
)
def test_an_answer_that_names_one_option_is_read(answer: str) -> None:
    assert named(answer) == "B"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("A.", "A"),
        ("The answer is A", "A"),
        ("The answer is A because it floats", "A"),
        ("I think A.", "A"),
        ("It must be A", "A"),
        ("A is right", "A"),
        ("a red boat", "A"),
        ("It is a red boat.", "A"),
        ("a red boat at sea", "E"),
        ("I see a red boat at sea, I think", "E"),
        ("The sea is Blue", "D"),
        ("the dog runs", "C"),
        ("It is not B but C", "C"),
        ("not a dog: blue", "D"),
        ("E", "E"),
        ("A. a red boat B. a dog C. the dog runs D. blue. Answer: D", "D"),
        ("The best option is:\n\nB) a dog", "B"),
        ("B) a dog\n\nExplanation: A) is wrong, no boat is there", "B"),
        ("**C. the dog runs**", "C"),
        ("\\boxed{D}", "D"),
        ("B</s>", "B"),
    ],
)
def test_articles_denials_and_longer_options_are_understood(answer: str, letter: str) -> None:
    assert named(answer) == letter


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("Because he is tired", "nothing"),
        ("Dog", "nothing"),
        ("Everything is here", "nothing"),
        ("A man is walking", "nothing"),
        ("An apple", "nothing"),
        ("I do not know", "nothing"),
        ("F", "nothing"),
        ("(F)", "nothing"),
        ("The answer is Z", "nothing"),
        ("?", "nothing"),
        ("12", "nothing"),
        ("It is not B", "nothing"),
        ("It is not a dog", "nothing"),
        ("USA: yes", "nothing"),
        ("NA: no", "nothing"),
        ("none of the options", "nothing"),
        ("A or B", "ambiguous"),
        ("A and B", "ambiguous"),
        ("The answer is A or B", "ambiguous"),
        ("The answer is B, C", "ambiguous"),
        ("(A) or (B)", "ambiguous"),
        ("The answer is A. No, the answer is B.", "ambiguous"),
        ("B. blue", "ambiguous"),
        ("(B) the dog runs", "ambiguous"),
        ("Answer: (B) blue", "ambiguous"),
        ("a dog, or blue", "ambiguous"),
        ("B C", "ambiguous"),
        ("A. a red boat\nB. a dog\nC. the dog runs", "ambiguous"),
        ("It is option B, not option A", "ambiguous"),
    ],
)
def test_an_answer_that_names_none_or_several_is_unreadable(answer: str, why: str) -> None:
    assert named(answer) == why


@pytest.mark.parametrize(
    "answer",
    [
        *("Option A is incorrect", "(A) is wrong", "It isn't (A)", "A is not right", "I cannot answer with A"),
        *("It is neither A nor B", "Option C is wrong, D is right", "A: no, B: yes", "The answer is (A)? No. (B)"),
        *("A) B) C)", "A. B. C.", "It isn’t option A.", "The answer isn't option A.", "I don't think the answer is B"),
        *("The wrong answer is A", "not (A)", "I would not go with (A).", "(A) and (B) are incorrect", "(A) No, (B)"),
        *("A and B are wrong", "B - wrong", "It isn't a dog", "Neither a dog nor blue", "Anything except B", "B? No."),
    ],
)
def test_an_option_that_is_denied_is_not_chosen(answer: str) -> None:
    assert named(answer) in ("ambiguous", "nothing")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B, not A", "B"),
        ("B) because A) is wrong", "B"),
        ("A is the right one, not B", "A"),
        ("A and B are wrong, so C", "C"),
        ("There is no doubt: B", "B"),
        ("I am not sure, but B", "B"),
        ("I do not know\nB", "B"),
        ("No, B", "B"),
        ("B. No boat is there", "B"),
        ("(B) No, it is a dog", "B"),
        ("The answer is B because the sea is not blue", "B"),
        ("The man is not happy, so B", "B"),
        ("Why is he not in the boat B", "B"),
        ("The answer is (A), which is not a dog", "A"),
    ],
)
def test_a_denial_of_something_else_takes_nothing_away(answer: str, letter: str) -> None:
    assert named(answer) == letter


def test_options_that_are_denials_themselves_are_read() -> None:
    options = ("yes", "no", "not shown", "is wrong about it")
    said = [
        "B. No",
        "(B) No.",
        "B: no",
        "C. Not shown.",
        "(C) not shown",
        "D. is wrong about it",
        "D is wrong about it.",
    ]
    assert [read_option(one, options).option for one in said] == [1, 1, 1, 2, 2, 3, 3]


def test_labels_that_are_denied_are_not_chosen() -> None:
    options, labels = ("A woman saws.", "A woman rolls a log."), ("Option 1", "Option 2")
    for said in ("Option 1 is wrong", "It is not Option 1", "It isn't Option 2", "Neither Option 1 nor Option 2"):
        assert read_option(said, options, labels).why == "nothing", said
    assert read_option("Option 1 is wrong, Option 2 is right", options, labels) == Reading(1, "read")


def test_options_in_the_same_words_are_one() -> None:
    """Five rows of real files have an option twice: whichever is named, its words are right or wrong."""
    options = ("red", "blue", "Red.", "green")
    item = Item("1", VideoName(("v",)), "q", Place("f", 1), options=options, right=2)
    assert read_option("red", options) == Reading(0, "read")
    assert is_right(item, read_option("A", options))
    assert is_right(item, read_option("C", options))
    assert not is_right(item, read_option("B", options))


def test_options_that_differ_in_marks_only_are_not_one() -> None:
    options = ("2 > 1", "2 < 1", "-5", "5")
    assert read_option("2 < 1", options) == Reading(1, "read")
    assert read_option("2 1", options).why == "ambiguous"
    assert read_option("-5", options) == Reading(2, "read")
    item = Item("1", VideoName(("v",)), "q", Place("f", 1), options=options, right=0)
    assert is_right(item, read_option("A", options))
    assert not is_right(item, read_option("B", options))


def test_labels_are_read_as_letters_are() -> None:
    options, labels = ("A woman saws.", "A woman rolls a log."), ("Option 1", "Option 2")
    said = ["Option 2", "option 2: A woman rolls a log.", "2", "2.", "It is Option 2.", "A woman rolls a log"]
    assert {read_option(one, options, labels) for one in said} == {Reading(1, "read")}
    assert read_option("Option 1 or Option 2", options, labels).why == "ambiguous"
    assert read_option("both", options, labels).why == "nothing"
    assert read_option("B", options, ("Caption A", "Caption B")) == Reading(1, "read")
    truth = ("yes", "no")
    assert [read_option(one, truth, truth).option for one in ("Yes.", "no", "Yes, she does", "NO!")] == [0, 1, 0, 1]
    assert read_option("yes and no", truth, truth).why == "ambiguous"
    assert read_option("I do not know", truth, truth).why == "nothing"
    assert read_option("nobody", truth, truth).why == "nothing"


def test_the_right_answers_of_a_benchmark_are_read_as_right() -> None:
    """TempCompass writes its answers out; a model that says just those has all right."""
    for item in good_items(Tempcompass(), SAMPLES / "tempcompass"):
        if item.options:
            assert item.right is not None
            for answer in (item.options[item.right], item.called[item.right]):
                mark = mark_choice(item, read_option(answer, item.options, item.labels))
                assert (mark.value, mark.unreadable) == (1.0, False)


def test_the_likeliest_option_is_taken_where_options_are_weighed() -> None:
    assert likeliest([0.1, 0.7, 0.2]) == Reading(1, "likeliest")
    assert likeliest([0.5, 0.5]) == Reading(0, "likeliest")
    assert likeliest([]) == Reading(None, "empty")


def test_what_is_kept_back_cannot_be_marked() -> None:
    item = Item("1", VideoName(("v",)), "q", Place("f", 1), options=("x", "y"))
    with pytest.raises(ValueError, match="the right option of 1 is not known"):
        is_right(item, Reading(0, "read"))
    unreadable = mark_choice(
        Item("1", VideoName(("v",)), "q", Place("f", 1), options=("x", "y"), right=0), Reading(None, "empty")
    )
    assert (unreadable.value, unreadable.unreadable) == (0.0, True)


@settings(deadline=None)
@given(st.text(), st.lists(st.text(min_size=1), min_size=2, max_size=6))
def test_no_answer_breaks_the_reading(answer: str, options: list[str]) -> None:
    reading = read_option(answer, options)
    assert (reading.option is None) == (reading.why != "read")
    assert reading.option is None or 0 <= reading.option < len(options)


@settings(deadline=None)
@given(
    st.sampled_from(range(5)), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", "The answer is ({}).", "Option {}"])
)
def test_every_letter_is_read_in_every_form(place: int, form: str) -> None:
    assert read_option(form.format("ABCDE"[place]), OPTIONS).option == place
