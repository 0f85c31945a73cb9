"""Markdown as plain text: what a reader sees, without marks, links, comments and front matter.

Knows CommonMark with tables; other dialects' marks stay as they are.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\n(?=[\w-]+[ \t]*[:=])(.*?)\n\1[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(['\"]?)(.+?)\1[ \t]*$", re.M)


def plain_blocks(text: str) -> tuple[str, list[str]]:
    """The title of a Markdown text ("" if it has none), and its blocks as plain text.

    The title is that of the front matter (YAML or TOML), or else the first heading. A row of a
    table is a block.
    """
    title = ""
    if front := _FRONT.match(text):
        text = text[front.end() :]
        if named := _TITLE.search(front[2]):
            title = named[2]
    blocks: list[str] = []
    row: list[str] | None = None
    before = ""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            blocks.append(", ".join(filter(None, row)))
            row = None
        elif token.type in ("fence", "code_block"):
            blocks.append(token.content)
        elif token.type == "inline":
            said = _said(token)
            if row is not None:
                row.append(said)
            else:
                blocks.append(said)
                if before == "heading_open":
                    title = title or said
        before = token.type
    return title, [block.strip() for block in blocks if block.strip()]


def _said(inline: Token) -> str:
    """The words of a paragraph, heading or cell."""
    said = {"softbreak": "\n", "hardbreak": "\n"}
    return "".join(
        said.get(each.type, each.content if each.type in ("text", "code_inline") else "")
        for each in inline.children or ()
    ).strip()
