"""From mistakes to a corpus of articles, and a whole round on it, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cem_lightning.errors import UserError
from cem_lightning.evolution.run import run
from cem_lightning.knowledge.articles import article_documents
from cem_lightning.knowledge.config import WikipediaKnowledge
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.wikipedia import (
    WikipediaRetriever,
    check_access,
    search_words,
)
from tests.knowledge.settings import FILTERS
from tests.serving import Fault
from tests.wikipedia import REVISION, Wikipedia
from tests.workspace import Workspace, compose_config

ARTICLES = {
    "Neon": "Neon is a gas.\n\n\n== History ==\nRamsay isolated neon in 1898.\n\n"
    "=== Name ===\nIt is Greek for new.\n\n== References ==\nRamsay, W. Neon.",
    "Argon": "Argon is a gas that Ramsay found.",
    "Ramsay": "Ramsay may mean:\nRamsay, a chemist\nRamsay, a town",
    **{f"Town {at}": f"Town {at} lies on river {at} below hill {at}." for at in range(30)},
}


@pytest.fixture
def wiki() -> Iterator[Wikipedia]:
    with Wikipedia(ARTICLES, redirects={"Ne": "Neon"}, disambiguations=("Ramsay",)) as running:
        yield running


def config(wiki: Wikipedia | None, cache: Path, **changes: Any) -> WikipediaKnowledge:
    settings: dict[str, Any] = {
        "retriever": "wikipedia",
        "language": "en",
        "variant": None,
        "endpoint": wiki.endpoint if wiki else None,
        "articles": 3,
        "contact": "someone@example.org",
        "cache": cache,
        "requests_per_second": 1e6,
        "retries": 0,
        "timeout": 5,
        "passages": 2,
        "passage_tokens": 8,
        **FILTERS,
        "min_score": 0,
    }
    return WikipediaKnowledge(**settings | changes)


def fetch(
    wiki: Wikipedia, cache: Path, *queries: tuple[str, ...], notes: Any = None, **changes: Any
) -> Corpus:
    def served(amount: int, note: str) -> None:
        if notes is not None:
            notes.append((amount, note))

    def count(text: str) -> int:
        return len(text.split())

    retriever = WikipediaRetriever(config(wiki, cache, **changes))
    return retriever.gather(queries, count, served)


def titles(corpus: Corpus) -> list[str]:
    return [each.title for each in corpus.documents[: corpus.sought]]


def test_an_article_becomes_documents_of_its_sections_with_permanent_links(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    corpus = fetch(wiki, tmp_path, ("neon", "1898"))
    found = corpus.documents[: corpus.sought]
    assert [(each.title, each.text) for each in found] == [
        ("Neon", "Neon is a gas."),
        ("Neon: History", "Ramsay isolated neon in 1898."),
        ("Neon: Name", "It is Greek for new."),
    ]
    assert len({each.id for each in corpus.documents}) == len(corpus.documents)
    for each in found:
        assert each.licence == "CC BY-SA 4.0"
        assert each.revision == str(REVISION + 1) and each.fetched.endswith("+00:00")
        page = wiki.endpoint.replace("api.php", "index.php")
        assert each.origin == f"{page}?title=Neon&oldid={REVISION + 1}"


def test_all_phrases_are_searched_and_the_last_left_out_until_something_is_found(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    corpus = fetch(wiki, tmp_path, ("ramsay", "argon", "in a blue laboratory"))
    assert titles(corpus) == ["Argon"]
    searched = [each["srsearch"] for each in wiki.requests if "srsearch" in each]
    assert searched == ["ramsay argon in a blue laboratory", "ramsay argon"]
    assert fetch(wiki, tmp_path, ("nowhere", "to be found")).documents == ()
    assert fetch(wiki, tmp_path, ()).documents == ()


def test_an_article_of_several_mistakes_is_fetched_once_and_lists_of_meanings_are_left_out(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    notes: list[tuple[int, str]] = []
    corpus = fetch(wiki, tmp_path, ("ramsay",), ("gas", "ramsay"), notes=notes)
    assert titles(corpus) == ["Neon", "Neon: History", "Neon: Name", "Argon"]
    searches = 2
    assert notes[:2] == [
        (1, "7 requests, 0 from the cache"),  # a search, and three articles in two parts
        (1, f"{6 + searches} requests, 0 from the cache"),
    ]
    assert sum(amount for amount, _ in notes) == 2


def test_the_control_is_filled_with_random_articles_that_nobody_looked_for(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    corpus = fetch(wiki, tmp_path, ("neon",), passages=4)
    rest = corpus.documents[corpus.sought :]
    sizes = [min(8, len(each.text.split())) for each in corpus.documents]
    sought, drawn = sum(sizes[: corpus.sought]), sum(sizes[corpus.sought :])
    assert sought < drawn < 2 * sought + 8
    assert not {"Neon", "Neon: History"} & {each.title for each in rest}
    other = fetch(wiki, tmp_path / "other", ("argon",), ("town 3",))
    assert other.documents[other.sought :] != rest[: len(other.documents) - other.sought]


def test_again_without_the_server_gives_the_same(tmp_path: Path) -> None:
    queries = [("neon",), ("argon", "gas")]
    notes: list[tuple[int, str]] = []
    with Wikipedia(ARTICLES) as wiki:
        first = fetch(wiki, tmp_path, *queries)
    again = fetch(wiki, tmp_path, *queries, notes=notes)  # nobody listens there any more
    assert again == first
    assert notes[-1][1].startswith("0 requests, ")


def test_a_source_that_stays_down_says_how_far_it_came_and_goes_on_from_there(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    queries = [("neon",), ("argon",), ("town 3",)]
    fetch(wiki, tmp_path, *queries[:2])
    before = len(wiki.requests)
    wiki.always = Fault(503, b"")
    with pytest.raises(UserError) as error:
        fetch(wiki, tmp_path, *queries)
    told = str(error.value)
    assert wiki.endpoint in told and "status 503" in told
    assert "2 of 3 mistakes have been served" in told
    assert f"knowledge.cache: {tmp_path}" in told and "the same command continues" in told
    assert len(wiki.requests) == before + 1  # what was served is not asked for again
    wiki.always = None
    assert "Town 3" in titles(fetch(wiki, tmp_path, *queries))


def test_missing_pages_redirects_and_odd_answers_are_passed_over(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    def answer(*rows: Any) -> Fault:
        return Fault(200, json.dumps({"query": {"search": rows}}).encode())

    redirect, missing = len(ARTICLES) + 1, len(ARTICLES) + 2
    wiki.faults = [
        answer({"pageid": missing}, {"pageid": redirect}, {"pageid": 1}, {"pageid": "2"}, None)
    ]
    corpus = fetch(wiki, tmp_path, ("neon",))
    assert titles(corpus) == ["Neon", "Neon: History", "Neon: Name"]
    odd = [{"pageid": [1]}, {"pageid": 1, "pageprops": 3, "title": 4}, {"pageid": 1, "extract": []}]
    bodies = [{}, *({"pages": each} for each in ([], *([page] for page in odd)))]
    for number, body in enumerate(bodies):
        wiki.faults = [answer({"pageid": 1}), Fault(200, json.dumps({"query": body}).encode())]
        assert fetch(wiki, tmp_path / str(number), ("neon",)).documents == ()


@pytest.mark.parametrize(
    "body",
    [{}, {"query": []}, {"query": {}}, {"query": {"search": "x", "pages": 5}}, {"search": []}],
)
def test_json_that_no_mediawiki_answers_is_not_taken_for_nothing_found(
    wiki: Wikipedia, tmp_path: Path, body: Any
) -> None:
    wiki.faults = [Fault(200, json.dumps(body).encode())]
    with pytest.raises(UserError, match=r"without the list query\.search, so it is no MediaWiki"):
        fetch(wiki, tmp_path, ("neon",))
    assert not list(tmp_path.rglob("*.json"))
    assert titles(fetch(wiki, tmp_path, ("argon",))) == ["Argon"]


def test_an_article_in_a_form_that_is_not_read_is_refused(wiki: Wikipedia, tmp_path: Path) -> None:
    wiki.faults = [
        Fault(200, b'{"query": {"search": [{"pageid": 1}]}}'),
        Fault(200, b'{"query": {"pages": {"1": {"title": "Neon"}}}}'),
    ]
    with pytest.raises(UserError, match=r"without the list query\.pages"):
        fetch(wiki, tmp_path, ("neon",))


def test_a_cache_that_cannot_be_written_is_named(wiki: Wikipedia, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"knowledge\.cache: .*cache.* cannot be written"):
        fetch(wiki, tmp_path / "cache", ("neon",))


def test_operators_of_the_search_engine_are_taken_out_and_long_queries_cut(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    assert search_words('-5 "neon" insource:x ~gas* 3.5 o\'neill (a|b) -') == (
        "5 neon insource x gas 3.5 o'neill a b"
    )
    fetch(wiki, tmp_path, ("word " * 50, "more " * 50, "last " * 50), ("x" * 900,))
    assert all(len(each.get("srsearch", "")) <= 300 for each in wiki.requests)


def test_formulas_are_told_in_tex_and_long_sections_cut_between_paragraphs() -> None:
    symbols = "\n  \n    \n      \n        E\n        =\n      \n    \n    "
    formula = symbols + "{\\displaystyle E=mc^{2}}\n  \n"
    text = f"Einstein found {formula}, which is known.\n" + "\n".join(
        f"Paragraph {at} tells more of it. " * 20 for at in range(5)
    )
    page = {"pageid": 3, "title": "Energie & Masse", "lastrevid": 7, "extract": text}
    documents = article_documents(page, "https://de.wikipedia.org/w/api.php")
    assert documents[0].text.startswith("Einstein found E=mc^{2} , which is known.\n\nParagraph 0")
    assert documents[0].origin == (
        "https://de.wikipedia.org/w/index.php?title=Energie_%26_Masse&oldid=7"
    )
    assert [each.id for each in documents] == [
        f"de.wikipedia.org/3@7#{at}" for at in range(1, len(documents) + 1)
    ]
    assert len(documents) > 1 and all(len(each.text) <= 1500 for each in documents)


def test_chinese_is_asked_where_it_is_spoken_and_in_the_variant_wanted(
    wiki: Wikipedia, tmp_path: Path
) -> None:
    shipped = compose_config("knowledge=wikipedia_zh").knowledge
    assert isinstance(shipped, WikipediaKnowledge)
    assert shipped.api == "https://zh.wikipedia.org/w/api.php"
    assert compose_config("knowledge=wikipedia").knowledge.api == (  # type: ignore[union-attr]
        "https://en.wikipedia.org/w/api.php"
    )
    fetch(wiki, tmp_path, ("neon",), variant=shipped.variant)
    asked = [each.get("variant") for each in wiki.requests if each.get("list") != "random"]
    assert set(asked) == {"zh-cn"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"contact": None}, r"knowledge\.contact: must be set.*knowledge\.contact=you@example"),
        ({"endpoint": "ftp://example.org/w/api.php"}, "not the http or https address"),
        ({"endpoint": "example.org/w/api.php"}, "not the http or https address"),
        ({"endpoint": "https://me:word@example.org/w/api.php"}, "without a user name or password"),
        ({"endpoint": "https://me:wo/rd@example.org/w/api.php"}, "without a user name"),
        ({"endpoint": "https://example.org/wiki/Main_Page"}, "not an address that ends with /api"),
        ({"endpoint": "https://example.org/w/api.php?action=raw"}, "/api.php, without a query"),
        ({"endpoint": "https://example.org/w/api.php?key=PLANT"}, r"api\.php\?\*\*\* is not"),
    ],
)
def test_settings_with_which_nothing_could_be_fetched_are_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told) as error:
        check_access(config(None, tmp_path, **changes))
    assert "word@" not in str(error.value) and "rd@" not in str(error.value)


@pytest.mark.parametrize("contact", ["me", "a b@example.org", "a@b\r\nX:y", "(a@b.c)", "ä@b.c"])
def test_a_contact_that_is_none_is_refused(contact: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a mail address"):
        config(None, tmp_path, contact=contact)


def test_bad_settings_are_named_by_their_keys() -> None:
    with pytest.raises(UserError, match=r"knowledge\.contact: give a mail address"):
        compose_config("knowledge=wikipedia", "knowledge.contact=me")
    with pytest.raises(UserError, match=r"knowledge\.articles: .*greater than 0"):
        compose_config("knowledge=wikipedia", "knowledge.articles=0")
    with pytest.raises(UserError, match=r"knowledge\.artikles: .*did you mean 'articles'"):
        compose_config("knowledge=wikipedia", "+knowledge.artikles=2")


def articles_of(workspace: Workspace) -> dict[str, str]:
    """The facts of the small world, and articles about something else."""
    rows = [json.loads(line) for line in (workspace.folder / "corpus.jsonl").open()]
    hills = {f"Hill {at}": f"Hill {at} rises over the plain of sheep {at}." for at in range(40)}
    return {row["title"]: row["text"] for row in rows} | hills


def round_config(workspace: Workspace, endpoint: str, *more: str) -> Any:
    return compose_config(
        *(each for each in workspace.overrides() if "knowledge" not in each),
        "rounds=1",
        "knowledge=wikipedia",
        f"knowledge.endpoint={endpoint}",
        "knowledge.contact=someone@example.org",
        f"knowledge.cache={workspace.folder / 'cache'}",
        "knowledge.requests_per_second=1000",
        "knowledge.retries=0",
        f"run_dir={workspace.folder / 'run'}",
        *more,
    )


def rows(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    (path,) = (workspace.folder / "store" / "acquire").glob(f"*/{name}.jsonl")
    return [json.loads(line) for line in path.open()]


@pytest.mark.slow
def test_a_whole_round_learns_from_the_wiki_and_again_without_it(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    open_book = "answering.open_book_passages=1"
    with Wikipedia(articles_of(workspace)) as wiki:
        run(round_config(workspace, wiki.endpoint, open_book))
    assert "from the cache" in capsys.readouterr().out
    passages, control = rows(workspace, "passages"), rows(workspace, "control")
    assert passages and all("the " in each["title"] for each in passages)
    assert all("index.php?title=" in each["origin"] for each in passages)
    assert control and all(each["title"].startswith("Hill") for each in control)
    assert all(
        "someone@example.org" not in path.read_text()
        for path in (workspace.folder / "cache").rglob("*.json")
    )
    # Another pace is no other run: everything is reused. A new store asks the cache alone.
    run(round_config(workspace, wiki.endpoint, open_book, "knowledge.timeout=1"))
    assert len(list((workspace.folder / "store" / "acquire").glob("*/record.json"))) == 1
    (workspace.folder / "store").rename(workspace.folder / "old")
    run(round_config(workspace, wiki.endpoint, open_book))
    assert (rows(workspace, "passages"), rows(workspace, "control")) == (passages, control)


def test_a_run_whose_source_breaks_off_goes_on_where_it_stopped(workspace: Workspace) -> None:
    closed_book = "answering.open_book_passages=0"
    with Wikipedia(articles_of(workspace)) as wiki:
        served = 9
        answer = wiki._answer
        wiki._answer = lambda params: (  # type: ignore[method-assign]
            answer(params) if len(wiki.requests) <= served else {"error": {"code": "readonly"}}
        )
        with pytest.raises(UserError, match=r"of \d+ mistakes have been served"):
            run(round_config(workspace, wiki.endpoint, closed_book))
        wiki._answer = answer  # type: ignore[method-assign]
        run(round_config(workspace, wiki.endpoint, closed_book))
        asked = [json.dumps(each) for each in wiki.requests]
        assert [each for each in asked if asked.count(each) > 1] == [asked[served]] * 2
    assert rows(workspace, "control")


def test_credentials_in_the_endpoint_never_reach_a_file(workspace: Workspace) -> None:
    with pytest.raises(UserError) as error:
        run(round_config(workspace, "http://me:secretword@127.0.0.1/w/api.php"))
    assert "secretword" not in str(error.value)
    with pytest.raises(UserError, match="a user name, password or token before its @") as error:
        run(round_config(workspace, "http://secretword@127.0.0.1/w/api.php"))
    assert "secretword" not in str(error.value)
    assert not (workspace.folder / "run").exists()


def test_every_shipped_source_has_the_keys_that_experiments_may_set() -> None:
    folder = Path(__file__).parents[2] / "conf" / "knowledge"
    shared = {"passages", "passage_tokens", "min_score", "near_duplicate", "leak_threshold"}
    for path in sorted(folder.glob("*.yaml")):
        needed = {
            "local": ["knowledge.corpus=elements"],
            "hybrid": ["knowledge.corpus=elements"],
            "wikipedia_dump": ["knowledge.corpus=wiki.xml.bz2"],
            "custom": ["knowledge.target=notes:Notes"],
        }
        found = compose_config(f"knowledge={path.stem}", *needed.get(path.stem, ())).knowledge
        assert shared < set(found.model_dump())
        for word in ("# Needs: ", "# Costs: "):
            assert word in path.read_text(encoding="utf-8")
