"""Synthetic texts by a model behind a real endpoint: what is asked, kept, and thrown away."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cem_lightning.knowledge.endpoint import ChatEndpoint
from cem_lightning.knowledge.records import Passage
from cem_lightning.knowledge.supply.config import SupplyConfig
from cem_lightning.knowledge.supply.generating import read, synthesize
from cem_lightning.knowledge.supply.generators import CallableGenerator, Generator
from cem_lightning.knowledge.supply.kinds import tasks
from cem_lightning.knowledge.supply.records import Item, Supplied
from cem_lightning.mistakes.records import Mistake
from cem_lightning.questions.records import Question
from tests.endpoints import Endpoint
from tests.knowledge.test_endpoint import config_of

TEXT = (
    "Neon is a noble gas with atomic number 10. William Ramsay isolated it from air in 1898 in "
    "London, where three such gases were found. It makes up 1,820 parts of 100 million of air."
)
CHINESE = "氖是一种稀有气体，原子序数为10。拉姆齐于一八九八年在伦敦从空气中分离出氖。"


def passage(text: str = TEXT, *serves: str, name: str = "neon#1") -> Passage:
    return Passage(name, text, "neon", "Neon", "", "", 1.0, serves)


def mistake(name: str, stem: str) -> Mistake:
    question = Question(name, stem, ("Ramsay", "Curie"), 0, name)
    return Mistake(question, "wrong", 1, 0.5)


def config(*kinds: str, paraphrases: int = 1, pairs: int = 2) -> SupplyConfig:
    return SupplyConfig.model_validate(
        {"kinds": kinds, "by": "model", "paraphrases": paraphrases, "pairs": pairs,
         "response_tokens": 64}
    )  # fmt: skip


def made(
    generator: Generator,
    config: SupplyConfig,
    *passages: Passage,
    mistakes: Sequence[Mistake] = (),
    leaked: Callable[[str], str] = lambda _: "",
    advance: Callable[[int], None] = lambda _: None,
) -> Supplied:
    return synthesize(tuple(tasks(passages, mistakes, config)), generator, leaked, advance)


def written(
    text: str | Callable[[str], str],
    kind: str = "paraphrase",
    source: Passage | None = None,
    mistakes: Sequence[Mistake] = (),
    **changes: Any,
) -> Supplied:
    """What comes of a model that always writes the same, or what a prompt makes of it."""

    def write(prompts: Sequence[str], advance: Callable[[int], None]) -> list[str | None]:
        advance(len(prompts))
        return [text(each) if callable(text) else text for each in prompts]

    model = CallableGenerator("own", write)
    return made(model, config(kind, **changes), source or passage(), mistakes=mistakes)


def reason(supplied: Supplied) -> str:
    (found,) = supplied.rejected
    assert not supplied.passages and not supplied.items
    return found.reason


WHO = mistake("who", "Which chemist isolated neon from the air of London?")


def test_every_kind_comes_from_an_endpoint_and_says_what_it_was_made_of(tmp_path: Path) -> None:
    def write(prompt: str) -> str:
        if "JSON" in prompt:
            return '[{"question": "Who isolated neon from air?", "answer": "William Ramsay"}]'
        if "about this question" in prompt:
            return "Neon was isolated by William Ramsay."
        return "A noble gas, neon has the atomic number 10; William Ramsay found it."

    with Endpoint(write) as server:
        endpoint = ChatEndpoint(config_of(server.address, tmp_path))
        done: list[int] = []
        kinds, source = config("paraphrase", "focus", "qa"), passage(TEXT, "who", "other")
        supplied = made(endpoint, kinds, source, mistakes=[WHO], advance=done.append)
    assert not supplied.rejected and sum(done) == 3
    assert supplied.counts == {"kept": {"focus": 1, "paraphrase": 1, "qa": 1}, "rejected": {}}
    (paraphrase, focus), (qa,) = supplied.passages, supplied.items
    assert paraphrase.text.startswith("A noble gas") and paraphrase.serves == ("who", "other")
    assert (focus.text, focus.serves) == ("Neon was isolated by William Ramsay.", ("who",))
    assert {(each.document, each.title) for each in supplied.passages} == {("neon", "Neon")}
    assert len({source.id, paraphrase.id, focus.id}) == 3
    assert (qa.instruction, qa.response) == ("Who isolated neon from air?", "William Ramsay")
    written = [each.written for each in (paraphrase, focus, qa) if each.written]
    assert [(each.kind, each.parent, each.by) for each in written] == [
        ("paraphrase", "neon#1", "tiny"), ("focus", "neon#1", "tiny"), ("qa", "neon#1", "tiny"),
    ]  # fmt: skip
    assert len({each.prompt for each in written}) == 3
    for each in supplied.passages:
        assert Passage.from_dict(json.loads(json.dumps(each.as_dict()))) == each
    assert Item.from_dict(json.loads(json.dumps(qa.as_dict()))) == qa
    again = ChatEndpoint(config_of(server.address, tmp_path))  # which is gone
    assert made(again, kinds, source, mistakes=[WHO]) == supplied


def test_a_focus_is_shown_the_stem_and_never_the_choices() -> None:
    prompts: list[str] = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return ""

    other = mistake("other", "Who found radium?")
    plain = passage("Neon is a noble gas that was found in air.", "who", "gone")
    written(write, "focus", plain, [WHO, other])
    (prompt,) = prompts
    assert WHO.question.question in prompt and plain.text in prompt
    assert not {"Ramsay", "Curie", "radium"} & set(prompt.replace(",", " ").split())


def test_paraphrases_differ_in_style_and_are_asked_in_the_language_of_the_passage() -> None:
    prompts: list[str] = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return ""

    for text in (TEXT, CHINESE, "Neon (氖) is a noble gas found in air."):
        written(write, "paraphrase", passage(text), paraphrases=4)
    assert len(set(prompts)) == 12
    assert all(each.startswith("Rewrite") for each in (*prompts[:4], *prompts[8:]))
    assert all(each.startswith("请") for each in prompts[4:8])


@pytest.mark.parametrize(
    "text",
    [
        "In 1898 Ramsay won neon from air in London; its atomic number is ten.",
        "Neon, number ten, is noble. Of 100 million parts of air 1820 are neon.",
        "London's Ramsay found one of 3 gases: neon.",
        "It was Ramsay's work in LONDON. Gases like it make up Neon's family.",
    ],
)
def test_what_claims_nothing_new_is_kept(text: str) -> None:
    assert [each.text for each in written(text).passages] == [text]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("...", "empty"),
        (TEXT.upper(), "copy"),
        (" ".join([TEXT] * 3), "too_long"),
        (" ".join(["Ramsay found neon in London."] * 12), "repetitive"),
        ("I'm sorry, but I cannot rewrite it.", "refusal"),
        ("As an AI, I have no opinion of neon.", "refusal"),
        ("Ramsay found neon, a gas.<|im_end|>", "markup"),
        ("<think>Let me see.</think> Ramsay found neon.", "markup"),
        ("# Neon\nRamsay found neon.", "markup"),
        ("**Neon** was found by Ramsay.", "markup"),
        ("Sure! Ramsay found neon.", "echo"),
        ("Here is the rewritten version: Ramsay found neon.", "echo"),
        ("The passage describes how Ramsay found neon.", "echo"),
        ("Neon is noble. Keep every fact and add none: no number.", "echo"),
        ("Ramsay found neon in 1899.", "figure"),
        ("Neon is a gas with atomic number eleven.", "figure"),
        ("Neon makes up 100 billion parts.", "figure"),
        ("Neon has twenty-one friends in London.", "figure"),
        ("In London it was William Ramsey who found neon.", "name"),
        ("The gas was found by Marie Curie's pupils.", "name"),
        ("Ramsay never isolated neon.", "negation"),
        ("Neon isn't a noble gas.", "negation"),
        ("氖是一种稀有气体。", "language"),
        (
            "Le néon est un gaz noble que William Ramsay a isolé de l'air à Londres, où trois de "
            "ces gaz ont été découverts; il est présent dans l'air que nous respirons tous.",
            "language",
        ),
    ],
)
def test_what_must_not_be_learned_is_rejected_with_a_reason(text: str, told: str) -> None:
    supplied = written(text)
    assert reason(supplied) == told
    assert supplied.counts == {"kept": {}, "rejected": {told: 1}}
    (found,) = supplied.rejected
    assert (found.written.kind, found.written.parent, found.text) == ("paraphrase", "neon#1", text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1898年，拉姆齐在伦敦得到了氖，即第十号元素。", None),
        ("拉姆齐于1899年得到了氖。", "figure"),
        ("氖有二十个质子。", "figure"),
        ("氖的原子序数是" + "三" * 5000, "figure"),
        ("氖有一亿二千万" + "零" * 20, "figure"),
        ("氖不是稀有气体。", "negation"),
        ("抱歉，我无法改写。", "refusal"),
        ("好的，拉姆齐得到了氖。", "echo"),
        ("改写后的段落：拉姆齐得到了氖。", "echo"),
        ("Ramsay isolated neon from air in London.", "language"),
    ],
)
def test_chinese_is_judged_alike(text: str, told: str | None) -> None:
    supplied = written(text, source=passage(CHINESE))
    if told is None:
        assert [each.text for each in supplied.passages] == [text]
    else:
        assert reason(supplied) == told


def test_what_a_passage_says_itself_is_no_fault() -> None:
    odd = "I cannot say why **neon** glows. The passage of light takes no time: a language model."
    text = "The passage of light takes no time. Why **neon** glows, I cannot say."
    assert written(text, source=passage(odd)).passages


def test_what_a_passage_denies_once_is_not_denied_twice() -> None:
    source = passage("Neon does not burn, and it glows red in lamps.")
    assert written("In lamps it glows red; neon never burns.", source=source).passages
    assert reason(written("Neon does not burn and cannot glow.", source=source)) == "negation"


def test_a_focus_does_not_repeat_the_question() -> None:
    source = passage(TEXT, "who")
    for text, told in (
        (f"{WHO.question.question} William Ramsay.", "echo"),
        ("Ramsay found neon in 1902.", "figure"),
    ):
        supplied = written(text, "focus", source, [WHO])
        assert reason(supplied) == told
        assert supplied.rejected[0].question == "who"


def test_the_same_text_again_is_a_copy() -> None:
    supplied = written("Ramsay found neon in London.", paraphrases=3)
    assert supplied.counts == {"kept": {"paraphrase": 1}, "rejected": {"copy": 2}}


def pair(question: str, answer: str) -> str:
    return json.dumps([{"question": question, "answer": answer}], ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("Who isolated neon? William Ramsay", "schema"),
        ("```json" + "\n" * 20_000 + "x", "schema"),
        ("[]", "schema"),
        ('{"question": "Who?", "answer": "Ramsay"}', "schema"),
        ('[{"question": "Who?"}]', "schema"),
        ('[{"question": "Who?", "answer": 1898}]', "schema"),
        ('[{"question": "Who?", "answer": "Ramsay", "letter": "A"}]', "schema"),
        (pair("Who isolated neon?", " "), "empty"),
        (pair("", "Ramsay"), "empty"),
        (pair("Who isolated neon?", "Marie Curie"), "not_stated"),
        (pair("How many parts?", "82"), "not_stated"),
        (pair("Who isolated neon?", "Rams"), "not_stated"),
        (pair("Who isolated neon in 1899?", "Ramsay"), "figure"),
        (pair("Who did not isolate neon?", "Ramsay"), "negation"),
        (pair("Who does the passage name?", "Ramsay"), "echo"),
        (pair("谁分离出氖？", "Ramsay"), "language"),
    ],
)
def test_a_pair_is_rejected_with_a_reason(text: str, told: str) -> None:
    assert reason(written(text, "qa")) == told


def test_pairs_are_judged_one_by_one_and_no_more_are_taken_than_asked() -> None:
    listed = [
        {"question": "Who isolated neon?", "answer": "william ramsay"},
        {"question": "Where was it?", "answer": "Paris"},
        {"question": "When was it?", "answer": "1898"},
    ]
    supplied = written(f"```json\n{json.dumps(listed)}\n```", "qa")
    assert [each.instruction for each in supplied.items] == ["Who isolated neon?"]
    assert supplied.counts["rejected"] == {"not_stated": 1}
    supplied = written(json.dumps(listed), "qa", pairs=3)
    assert [each.response for each in supplied.items] == ["william ramsay", "1898"]


def test_a_chinese_answer_may_stand_anywhere() -> None:
    supplied = written(pair("谁分离出了氖？", "拉姆齐"), "qa", passage(CHINESE))
    assert [each.response for each in supplied.items] == ["拉姆齐"]


def test_a_model_that_can_write_nothing_is_an_empty_answer() -> None:
    def write(prompts: Sequence[str], advance: Callable[[int], None]) -> list[str | None]:
        return [None for _ in prompts]

    model = CallableGenerator("own", write)
    supplied = made(model, config("paraphrase"), passage())
    assert reason(supplied) == "empty"


def test_what_holds_a_question_of_heldout_is_thrown_away() -> None:
    def leaked(text: str) -> str:
        return "h1 (stem)" if "found neon" in text else ""

    for kind, text in (
        ("paraphrase", "Ramsay found neon."),
        ("qa", pair("Who found neon?", "Ramsay")),
    ):
        model = CallableGenerator("own", lambda prompts, _, text=text: [text] * len(prompts))
        supplied = made(model, config(kind), passage(), leaked=leaked)
        assert reason(supplied) == "leak"
        assert supplied.rejected[0].detail == "h1 (stem)"


def test_rules_make_items_of_a_passage_in_its_own_words() -> None:
    source = passage(
        "Neon is a noble gas that glows red in lamps. Therefore, it is used in signs of shops."
    )
    items = list(read([source], 1))
    assert items and items == list(read([source], 1))
    assert {(each.written.kind, each.written.parent, each.written.by) for each in items} == {
        ("reading", "neon#1", "rules")
    }
    assert all(each.response in source.text for each in items)


def test_settings_that_are_none_are_refused() -> None:
    for values in (
        {"kinds": ["poem"]},
        {"paraphrases": 5},
        {"letters": True},
        {"by": "hand"},
        {"response_tokens": 0},
    ):
        with pytest.raises(ValidationError):
            SupplyConfig.model_validate(config("qa").model_dump() | values)
