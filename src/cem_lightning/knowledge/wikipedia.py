"""A small corpus from a Wikipedia: articles found for mistakes, and random ones beside them.

Fetches and cuts into documents; which of them become passages is the business of `acquire`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from cem_lightning.errors import UserError
from cem_lightning.knowledge.articles import article_documents
from cem_lightning.knowledge.config import WikipediaKnowledge
from cem_lightning.knowledge.corpora import Corpus
from cem_lightning.knowledge.mediawiki import ApiFailure, MediaWiki
from cem_lightning.knowledge.records import Document
from cem_lightning.knowledge.responses import ResponseCache
from cem_lightning.secrets import redacted
from cem_lightning.storage.digests import digest_value

LONGEST_QUERY = 300  # characters (https://www.mediawiki.org/wiki/Help:CirrusSearch)
RANDOM_BATCH = 50  # ids a request; at most 500 (https://www.mediawiki.org/wiki/API:Random)
RESERVE = 1.25  # random text fetched for a token of passages: filters drop some of it

_OPERATORS = re.compile(r"[^\w\s.'-]|(?<!\w)[.'-]|[.'-](?!\w)")


def check_access(config: WikipediaKnowledge) -> None:
    """Refuse settings with which nothing could be fetched.

    Raises:
        UserError: if the endpoint is no address of an api.php or holds credentials, or if there
            is no contact.
    """
    try:
        parts = urlsplit(config.api)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named or "@" in parts.netloc:
        raise UserError(
            "knowledge.endpoint: not the http or https address of a MediaWiki's api.php without a "
            "user name or password; for instance https://en.wikipedia.org/w/api.php, or null for "
            "that of knowledge.language."
        )
    if not parts.path.endswith("/api.php") or parts.query or parts.fragment:
        raise UserError(
            f"knowledge.endpoint: {redacted(config.api)} is not an address that ends with "
            "/api.php, without a query; give the full address of a MediaWiki's action API, such as "
            "https://en.wikipedia.org/w/api.php."
        )
    if config.contact is None:
        raise UserError(
            "knowledge.contact: must be set. Wikimedia's User-Agent policy asks whoever runs a "
            "program to say how to be reached, and slows down or blocks those who do not; give "
            "your mail address or a web page: knowledge.contact=you@example.org"
        )


class WikipediaRetriever:
    """The best articles for each query, then random ones, as documents of some paragraphs."""

    def __init__(self, config: WikipediaKnowledge) -> None:
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
        """Articles must hold all keyphrases; where none does, the last one is left out.

        Raises:
            UserError: if the source stays out of reach or refuses; what was fetched is kept.
        """
        config = self._config
        check_access(config)
        host = urlsplit(config.api).netloc.replace(":", "_")
        api = MediaWiki(
            config.api,
            config.contact or "",
            ResponseCache(config.cache / "mediawiki" / host),
            requests_per_second=config.requests_per_second,
            retries=config.retries,
            timeout=config.timeout,
        )
        wiki = _Wiki(api, config)
        done = 0

        def note() -> str:
            return f"{api.requests} requests, {api.hits} from the cache"

        try:
            for query in queries:
                wiki.look_up(query)
                done += 1
                served(1, note())
            sought = len(wiki.documents)
            if control:
                limit = len(queries) * config.passages
                lengths = (
                    min(config.passage_tokens, count_tokens(each.text)) for each in wiki.documents
                )
                wanted = RESERVE * min(limit * config.passage_tokens, sum(lengths))
                draw = digest_value([list(query) for query in queries])
                for page in wiki.draw(draw, limit + RANDOM_BATCH):
                    if wanted <= 0:
                        break
                    for each in wiki.fetch(page):
                        wanted -= min(config.passage_tokens, count_tokens(each.text))
                    served(0, note())
            return Corpus(tuple(wiki.documents), sought)
        except ApiFailure as failure:
            raise UserError(
                f"{config.source} {failure}. {done} of {len(queries)} {unit} have been served; "
                f"what was fetched is kept in knowledge.cache: {config.cache}, and the same "
                "command continues there."
            ) from None
        finally:
            api.close()


class _Wiki:
    """The articles fetched so far, each once."""

    def __init__(self, api: MediaWiki, config: WikipediaKnowledge) -> None:
        self.documents: list[Document] = []
        self._api = api
        self._config = config
        self._seen: set[int] = set()
        # Conversion takes part in what a search finds and in what an article says.
        self._spoken = {"variant": config.variant} if config.variant else {}

    def look_up(self, phrases: Sequence[str]) -> None:
        """Fetch the articles that hold all phrases, or as many of the first ones as any does."""
        left = [phrase for phrase in map(search_words, phrases) if phrase]
        while left:
            query = " ".join(left)
            if len(query) <= LONGEST_QUERY or len(left) == 1:
                response = self._api.query(
                    {
                        "list": "search",
                        "srsearch": query[:LONGEST_QUERY],
                        "srnamespace": "0",
                        "srlimit": str(self._config.articles),
                        "srprop": "",
                        **self._spoken,
                    }
                )
                if found := _ids(response, "search", "pageid"):
                    for page in found:
                        self.fetch(page)
                    return
            left.pop()

    def draw(self, name: str, most: int) -> Iterator[int]:
        """Ids of unknown articles at random, as long as there are any.

        The source draws them; a draw of the same name is the same again since it is kept.
        """
        for batch in range(most // RANDOM_BATCH + 1):
            response = self._api.query(
                {"list": "random", "rnnamespace": "0", "rnlimit": str(RANDOM_BATCH)},
                draw=f"{name}:{batch}",
            )
            new = [page for page in _ids(response, "random", "id") if page not in self._seen]
            if not new:
                return
            yield from new

    def fetch(self, page: int) -> list[Document]:
        """The documents of an article; none if it is known, missing or a list of meanings."""
        if page in self._seen:
            return []
        self._seen.add(page)
        told: dict[str, Any] = {}
        # Whole articles come one a request: "exlimit was too large for a whole article extracts
        # request, lowered to 1" (https://www.mediawiki.org/wiki/Extension:TextExtracts).
        asked = {
            "prop": "extracts|info|pageprops",
            "explaintext": "1",
            "exsectionformat": "wiki",
            "exlimit": "1",
            "ppprop": "disambiguation",
            "redirects": "1",
            "pageids": str(page),
            **self._spoken,
        }
        for response in self._api.continued(asked):
            for each in response["query"].get("pages", [])[:1]:  # none leads to another wiki
                told |= each if isinstance(each, dict) else {}
        target = told.get("pageid")  # another one where the page redirects
        if not isinstance(target, int) or (target != page and target in self._seen):
            return []
        self._seen.add(target)
        properties = told.get("pageprops")
        if isinstance(properties, dict) and "disambiguation" in properties:
            return []
        documents = article_documents(told, self._config.api, self._api.retrieved(asked))
        self.documents.extend(documents)
        return documents


def search_words(phrase: str) -> str:
    """A phrase without what a search engine would take for an operator."""
    return " ".join(_OPERATORS.sub(" ", phrase).split())


def _ids(response: dict[str, Any], name: str, key: str) -> list[int]:
    """The page ids of a list in a response, in its order."""
    return [
        row[key]
        for row in response["query"][name]
        if isinstance(row, dict) and isinstance(row.get(key), int)
    ]
