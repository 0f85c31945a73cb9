from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from cem_lightning.knowledge.decontamination import LeakIndex
from cem_lightning.questions.pools import Pools
from cem_lightning.questions.records import Question

MMLU = Path(__file__).parents[3] / "shared/data/mmlu/test"
ELEMENTS = (
    "helium",
    "neon",
    "argon",
    "krypton",
    "xenon",
    "radon",
    "iron",
    "gold",
    "silver",
    "zinc",
)
STEMS = {
    "discoverer": "Which scientist is named as the first to discover {}?",
    "year": "In which year did scientists find {} for the first time?",
    "source": "What do we get {} from?",
    "use": "What do people mainly use {} for?",
}
LONG = (
    "A technician who services the cooling loop of a hospital scanner notices that the liquid in "
    "its reservoir boils away within hours; which noble gas has escaped from the machine?"
)
AROUND = "Iron rusts in damp air. {} Gold does not rust, and neither does silver."


def question(name: str, stem: str, *choices: str) -> Question:
    return Question(name, stem, choices or ("Janssen", "Ramsay", "Curie", "Davy"), 0, name)


@pytest.fixture(scope="module")
def index() -> LeakIndex:
    """Source asks for discoverer and source of each element, heldout for year and use."""
    pools: dict[str, list[Question]] = {"source": [], "heldout": []}
    for element in ELEMENTS:
        for kind, stem in STEMS.items():
            pool = "source" if kind in ("discoverer", "source") else "heldout"
            pools[pool].append(question(f"{element}/{kind}", stem.format(element)))
    pools["heldout"] += [
        question("long", LONG, "helium", "neon"),
        question("short", "Who isolated radium?", "Curie", "Davy", "Hahn"),
        question("gap", "The symbol of tungsten is ____.", "W", "Tu", "Wo", "Tg"),
        question("true", "Which of these is true?", "Ice floats on water.", "Ice sinks."),
        question("true too", "Which of these is true?", "Sand is wet.", "Sand is dry."),
    ]
    ood = (
        question("capital", "What is the capital of Peru?", "Lima", "Quito", "La Paz", "Bogota"),
    )
    return LeakIndex(Pools(tuple(pools["source"]), tuple(pools["heldout"]), ood))


def found(index: LeakIndex, text: str) -> list[str]:
    return [leak.question for leak in index.find(AROUND.format(text))]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("In which year did scientists find helium for the first time?", "helium/year"),
        ("IN WHICH YEAR DID SCIENTISTS FIND HELIUM FOR THE FIRST TIME", "helium/year"),
        ("In which year did chemists find helium for the first time?", "helium/year"),
        ("In what year did scientists find helium for the first time? 1868.", "helium/year"),
        ("Q: What do people mainly use neon for? D. signs B. balloons A. coins", "neon/use"),
        ("What do people chiefly use neon for?", "neon/use"),
        ("Question: who isolated radium? Answer: Curie.", "short"),
        ("Who discovered radium?", "short"),
        ("What is the capital of Peru?", "capital"),
        ("what's the capital of Peru? Lima", "capital"),
        ("The symbol of tungsten is ____.", "gap"),
        ("The symbol of tungsten is _____: (a) Tu (b) W (c) Tg (d) Wo", "gap"),
        ("The symbol of tungsten is: Wo, Tg, W, Tu.", "gap"),
        ("Which of these is true? Ice sinks. Ice floats on water.", "true"),
        (LONG, "long"),
        (LONG.replace("hospital", "clinic"), "long"),
        (" ".join(LONG.split()[4:19]), "long"),
    ],
)
def test_a_planted_question_is_found(index: LeakIndex, text: str, name: str) -> None:
    assert found(index, text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "Helium was first found by scientists in 1868, the year of the eclipse.",
        "The year of discovery of helium: 1868. Helium is used for balloons.",
        "People mainly use neon for signs.",
        "The capital of Peru is Lima.",
        "Curie, who isolated radium, was born in Warsaw.",
        "The symbol of tungsten is W.",
        "Wax melts, and which of these is true of ice is not known.",
        "The liquid in a scanner boils away when helium has escaped from the machine.",
        "",
    ],
)
def test_a_text_that_states_the_fact_is_no_leak(index: LeakIndex, text: str) -> None:
    assert found(index, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Which scientist is named as the first to discover helium? Janssen",
        "Helium dates from 1868. In which year was it? What do we get helium from? Natural gas",
        "In which year did scientists find uranium for the first time?",
        "What do people mainly use tin for?",
        "Which of these is true? Ice is blue.",
        "Is the symbol of tungsten known?",
    ],
)
def test_other_questions_of_the_same_form_are_no_leak(index: LeakIndex, text: str) -> None:
    assert found(index, text) == []


def test_a_question_one_word_from_a_source_question_does_not_forbid_it() -> None:
    source = question("s", "In which country was helium first discovered?", "France", "Sweden")
    heldout = question("h", "In which year was helium first discovered?", "1868", "1898")
    index = LeakIndex(Pools((source,), (heldout,)))
    assert index.find(f"{source.question} {source.gold}") == []
    assert [leak.question for leak in index.find(heldout.question)] == ["h"]


def test_text_that_source_questions_share_is_no_leak_but_the_question_is() -> None:
    shared = (
        "In the spring of 1898 two chemists in London boiled liquid air and looked at the light"
    )
    source = question("s", f"{shared}; what was the name of the instrument they used?")
    heldout = question("h", f"{shared}; after which Greek word did they name what they had found?")
    index = LeakIndex(Pools((source,), (heldout,)))
    assert index.find(f"{shared} of the gas.") == []
    assert index.find(source.question) == []
    assert [leak.question for leak in index.find(heldout.question)] == ["h"]


def test_a_leak_says_where_and_by_which_rule(index: LeakIndex) -> None:
    (exact,) = index.find("What do people mainly use neon for?")
    (changed,) = index.find("So what do people chiefly use neon for?")
    (long,) = index.find(LONG)
    (part,) = index.find("what is the capital of Peru?")
    assert (exact.rule, exact.share, exact.pool) == ("same question", 1.0, "heldout")
    assert changed.rule == "reworded question"
    assert changed.share == pytest.approx(6 / 7, abs=1e-3)
    assert (long.rule, long.share) == ("13-gram", 1.0)
    assert part.pool == "ood"


def test_chinese_questions_are_found_with_one_character_changed() -> None:
    gap = question(
        "gap", "目前中国最大的水利枢纽工程是_____", "长江三峡", "二滩", "葛洲坝", "小浪底"
    )
    asked = question("asked", "氦是由哪位科学家发现的？", "让森", "居里")
    index = LeakIndex(Pools((), (gap, asked)))

    def names(text: str) -> list[str]:
        return [leak.question for leak in index.find(text)]

    assert names("目前中国最大的水力枢纽工程是_____") == ["gap"]
    assert names("氦是由哪位化学家发现的？让森。") == ["asked"]
    assert names("目前中国最大的水利枢纽工程是长江三峡。氦是由让森发现的。") == []


def test_empty_and_odd_questions_do_no_harm() -> None:
    pools = Pools((), (question("a", "????"), question("b", "____"), question("c", "Why?")))
    index = LeakIndex(pools)
    assert index.find("") == []
    assert index.find("____ and ??") == []
    assert index.find("This is why.") == []


@pytest.mark.skipif(not MMLU.exists(), reason="MMLU is not at hand")
def test_real_questions_planted_in_real_text() -> None:
    files = [path for path in sorted(MMLU.glob("high_*.csv")) if "history" not in path.name]
    rows = [row for path in files for row in csv.reader(path.open())]
    draw = random.Random("plants")
    draw.shuffle(rows)
    pool = [
        question(str(at), row[0], *dict.fromkeys(row[1:5])) for at, row in enumerate(rows[:300])
    ]
    index = LeakIndex(Pools((), tuple(pool)))
    clean = " ".join(row[0] for row in rows[2000:2003])
    exact = edited = 0
    for each in pool:
        listed = "\n".join(draw.sample(each.choices, len(each.choices)))
        tokens = each.question.split(" ")
        tokens[draw.randrange(len(tokens))] = "other"
        for text, count in ((each.question.upper(), True), (" ".join(tokens), False)):
            hit = any(
                leak.question == each.id
                for leak in index.find(f"{clean}\n{text}\n{listed}\n{clean}")
            )
            exact += hit and count
            edited += hit and not count
    assert exact == len(pool)
    assert edited >= 0.9 * len(pool)
    others = [row[0] for row in rows[300:800]]
    assert sum(bool(index.find(text)) for text in others) <= 0.03 * len(others)


ASKED = {
    "Arabic": "ما هو المعدن الذي عزله العالم هارالد نوردمان عام 1887؟",
    "Greek": "Ποιο μέταλλο απομόνωσε ο Χάραλντ Νόρντμαν από το ορυχείο;",
    "Armenian": "Ո՞ր մետաղն է մեկուսացրել Հարալդ Նորդմանը հանքից",
    "Thai": "โลหะชนิดใดที่ฮาราลด์นอร์ดมันน์แยกออกจากแร่ในเหมืองเควนส์",
    "kana": "このなかで、もっともはやくはしるどうぶつはどれですか",
    "Tibetan": "སྐད་ཡིག་འདི་ལ་ལྕགས་རིགས་གང་ཞིག་ཐོན་པ་རེད།",
    "Russian": "Какой металл выделил Харальд Нордман из руды рудника Квенс?",
}


@pytest.mark.parametrize("script", ASKED)
def test_questions_of_any_script_are_found_within_a_paragraph(script: str) -> None:
    index = LeakIndex(Pools((), (question("asked", ASKED[script], "a", "b"),)))
    (leak,) = index.find(AROUND.format(ASKED[script]))
    assert leak.share == 1
    assert not index.find(AROUND.format("Nobody knows."))


DISGUISES = {
    "entities": lambda stem: stem.replace(" ", "&nbsp;"),
    "tags": lambda stem: " ".join(f"<b>{word}</b>" for word in stem.split()),
    "a tag in a word": lambda stem: stem.replace("o", "<i>o</i>"),
    "links": lambda stem: " ".join(f"[{word}](http://x.org/{word})" for word in stem.split()),
    "a table": lambda stem: stem.replace(" ", " | "),
    "hyphens": lambda stem: stem.replace("scien", "scien-\n"),
    "what cannot be seen": lambda stem: "\u034f".join(stem),
}


@pytest.mark.parametrize("way", DISGUISES)
def test_what_a_reader_would_see_is_searched(index: LeakIndex, way: str) -> None:
    hidden = DISGUISES[way](STEMS["year"].format("neon"))
    assert "neon/year" in [each.question for each in index.find(AROUND.format(hidden))]
