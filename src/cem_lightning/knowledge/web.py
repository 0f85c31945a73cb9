"""Passages from the web: searched by a SearXNG instance, fetched politely, their main text taken.

Which documents become passages is the business of `acquire`; how pages come, that of `fetching`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cem_lightning.errors import UserError
from cem_lightning.knowledge.config import WebKnowledge
from cem_lightning.knowledge.corpora import Corpus, Unfetched
from cem_lightning.knowledge.domains import domain_of
from cem_lightning.knowledge.fetching.fetcher import Fetcher
from cem_lightning.knowledge.fetching.pages import NoPage, Page
from cem_lightning.knowledge.html import page_text
from cem_lightning.knowledge.markdown import plain_blocks
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.knowledge.searxng import SearXng
from cem_lightning.knowledge.services import ServiceFailure
from cem_lightning.knowledge.splitting import packed, paragraphs
from cem_lightning.secrets import redacted
from cem_lightning.storage.digests import digest_value

_KEY = "knowledge.searxng"
_RESERVE = 2  # times as many tokens for the control as passages may come to: some are filtered out

# Two of these at random find pages that nobody's mistake is about.
SPARE_DRAWS = 8  # searches for the control beyond one a query: some find nothing
_CHINESE = "河流 城市 音乐 学校 市场 季节 动物 家具 天气 道路 厨房 花园 船只 衣服 历史 语言"
_ENGLISH = """
    river city music school market season animal furniture weather road kitchen garden boat clothes
    history language harvest bridge painting village letter journey festival mountain library
"""


@dataclass
class _Found:
    """Addresses found for a query, and what came of them."""

    addresses: list[str]
    pages: list[Page | NoPage] = field(default_factory=list)


class WebRetriever:
    """Pages for every query, then pages at random, as documents of some paragraphs."""

    def __init__(self, config: WebKnowledge) -> None:
        self._config = config

    def known(self) -> Corpus:
        check_access(self._config)
        return Corpus(())

    def gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Callable[[int, str], None],
        *,
        unit: str = "mistakes",
        control: bool = True,
    ) -> Corpus:
        """A page that does not come is left out and listed; a search that fails ends it all.

        Raises:
            UserError: if the instance stays out of reach or refuses; what was fetched is kept.
        """
        check_access(self._config)
        return asyncio.run(self._gather(queries, count_tokens, served, unit, control))

    async def _gather(
        self,
        queries: Sequence[Sequence[str]],
        count_tokens: Callable[[str], int],
        served: Callable[[int, str], None],
        unit: str,
        control: bool,
    ) -> Corpus:
        config = self._config
        folder = config.cache / "web"
        search = SearXng(config, folder)
        done = 0
        async with contextlib.aclosing(search), Fetcher(config, ResponseCache(folder)) as fetcher:

            def note() -> str:
                requests = search.requests + fetcher.requests
                return f"{requests} requests, {search.hits + fetcher.hits} from the cache"

            try:
                chosen = _Chosen(config)
                found: list[_Found] = []
                for query in queries:
                    found.append(_Found(chosen.of(await search.results(" ".join(query)))))
                    done += 1
                    served(0, f"searched {done} of {len(queries)}, {note()}")
                await asyncio.gather(*(_fetch(each, fetcher, served, note) for each in found))
                read = _Read()
                documents = read.documents(found)
                sought = len(documents)
                if control:
                    lengths = (
                        min(config.passage_tokens, count_tokens(each.text)) for each in documents
                    )
                    limit = len(queries) * config.passages * config.passage_tokens
                    wanted = _RESERVE * min(limit, sum(lengths))
                    seed = digest_value([list(query) for query in queries])
                    documents += await self._draw(
                        _Draw(seed, config.language, len(queries) + SPARE_DRAWS),
                        wanted,
                        chosen,
                        read,
                        search,
                        fetcher,
                        count_tokens,
                        lambda: served(0, f"pages at random for the control, {note()}"),
                    )
            except ServiceFailure as failure:
                raise UserError(
                    f"{config.source} {failure}. {done} of {len(queries)} {unit} have been "
                    f"searched for; what came is kept in knowledge.cache: {config.cache}, and the "
                    "same command continues there."
                ) from None
        missed = tuple(
            Unfetched(page.url, page.reason, page.detail, at)
            for at, each in enumerate(found)
            for page in each.pages
            if isinstance(page, NoPage)
        )
        return Corpus(tuple(documents), sought, missed)

    async def _draw(
        self,
        draw: _Draw,
        wanted: float,
        chosen: _Chosen,
        read: _Read,
        search: SearXng,
        fetcher: Fetcher,
        count_tokens: Callable[[str], int],
        asked: Callable[[], None],
    ) -> list[Document]:
        """Documents of pages at random that nobody sought, about as many tokens as are wanted."""
        drawn: list[Document] = []
        for query in draw:
            if wanted <= 0:
                break
            results = await search.results(query)
            found = _Found(chosen.of([each for each in results if each not in chosen.seen]))
            await _fetch(found, fetcher, lambda *_: asked(), lambda: "")
            new = read.documents([found])
            wanted -= sum(min(self._config.passage_tokens, count_tokens(e.text)) for e in new)
            drawn += new
        return drawn


class _Chosen:
    """The addresses that are worth fetching: each once, and few of one domain.

    Attributes:
        seen: chosen so far.
    """

    def __init__(self, config: WebKnowledge) -> None:
        self._config = config
        self.seen: set[str] = set()
        self._domains: Counter[str] = Counter()

    def of(self, addresses: Sequence[str]) -> list[str]:
        """The first of a search's results, less what would be too much of one domain."""
        found: list[str] = []
        for address in addresses:
            if len(found) == self._config.results:
                break
            domain = domain_of(address)
            if not domain or self._domains[domain] == self._config.pages_per_domain:
                continue
            if address not in self.seen:
                self.seen.add(address)
                self._domains[domain] += 1
            found.append(address)
        return found


class _Draw:
    """Queries of two common nouns, the same ones for the same seed, and no more than `most`."""

    def __init__(self, seed: str, language: str, most: int) -> None:
        self._random = random.Random(seed)
        self._most = most
        self._nouns = (_CHINESE if language.startswith("zh") else _ENGLISH).split()

    def __iter__(self) -> Iterator[str]:
        for _ in range(self._most):
            yield " ".join(self._random.sample(self._nouns, 2))


def check_access(config: WebKnowledge) -> None:
    """Refuse settings with which nothing could be fetched.

    Raises:
        UserError: if there is no instance, its address holds credentials, or there is no contact.
    """
    told = "give the address of a SearXNG instance, such as knowledge.searxng=http://localhost:8080"
    if config.searxng is None:
        raise UserError(f"{_KEY}: must be set; {told}")
    try:
        parts = urlsplit(config.searxng)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(f"{_KEY}: {redacted(config.searxng)} cannot be used; {told}")
    if config.contact is None:
        raise UserError(
            "knowledge.contact: must be set. Whoever runs a program that fetches pages says how "
            "to be reached; give your mail address or a web page: knowledge.contact=you@example.org"
        )


async def _fetch(
    found: _Found, fetcher: Fetcher, served: Callable[[int, str], None], note: Callable[[], str]
) -> None:
    found.pages = list(await asyncio.gather(*map(fetcher.fetch, found.addresses)))
    served(1, note())


class _Read:
    """Documents of pages, each page once, however many addresses lead to it."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def documents(self, found: Sequence[_Found]) -> list[Document]:
        """The documents of the pages that are new, in the order in which they were found."""
        documents: list[Document] = []
        for page in (page for each in found for page in each.pages):
            if isinstance(page, Page) and not self._seen & {page.address, page.digest}:
                documents += page_documents(page)
                self._seen |= {page.address, page.digest}
        return documents


def page_documents(page: Page) -> list[Document]:
    """The main text of a page as documents of a few paragraphs."""
    licence = ""
    if page.type in ("text/html", "application/xhtml+xml"):
        read = page_text(page.text)
        title, licence, blocks = read.title, read.licence, list(read.blocks)
    elif page.type == "text/markdown":
        title, blocks = plain_blocks(page.text)
    else:
        title, blocks = "", paragraphs(page.text)
    digest = hashlib.sha256(page.address.encode()).hexdigest()
    name = f"{urlsplit(page.address).hostname}/{digest[:12]}"
    return [
        Document(
            id=f"{name}#{at}",
            text=text,
            title=title,
            origin=page.address,
            licence=licence,
            fetched=page.fetched,
            revision=page.revision,
        )
        for at, text in enumerate(packed(blocks), start=1)
    ]
