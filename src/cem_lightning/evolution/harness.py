"""action=harness: the question pools as tasks of lm-evaluation-harness, to check the scores with.

Writes files that EleutherAI's harness reads, and runs nothing of it. Asks what round 0 asks: no
name-blind form, no open book.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cem_lightning.errors import UserError
from cem_lightning.evolution.config import Config
from cem_lightning.evolution.prepare import prepare
from cem_lightning.evolution.runner import Runner
from cem_lightning.models.encoding import Encoder
from cem_lightning.progress import SilentProgress
from cem_lightning.questions.records import Question
from cem_lightning.questions.wording import EXTRACTED, LETTERS, Wording
from cem_lightning.storage.atomic import write_jsonl, write_text
from cem_lightning.storage.store import Store

VERSION = "0.4.13"  # of the harness, whose reading of a task this follows

_METRICS = {"sum": "acc", "byte": "acc_bytes", "token": "acc_tokens"}
_BY_TOKENS = '''"""Accuracy by log-likelihood per token, which the harness does not have itself."""


def process_results(doc, results):
    """What is counted for one question, whose row holds the tokens of its choices."""
    sums = [score for score, _ in results]
    means = [score / count for score, count in zip(sums, doc["tokens"])]
    return {
        name: float(scores.index(max(scores)) == doc["target"])
        for name, scores in (("acc", sums), ("acc_tokens", means))
    }
'''


@dataclass(frozen=True)
class Task:
    """One task of the harness.

    Attributes:
        rows: one a question: id, prompt and target, with choices where it is chosen from them.
        settings: what stands in its YAML file.
        metric: what compares with the pool's accuracy.
        other_tokens: ids of the questions in which the harness reads or scores other tokens: it
            takes control tokens in a question for such, and knows no token that spans the join.
        too_long: ids of the questions that do not fit into the context; the harness cuts them.
    """

    name: str
    rows: tuple[dict[str, Any], ...]
    settings: Mapping[str, Any]
    metric: str
    other_tokens: tuple[str, ...]
    too_long: tuple[str, ...]


def write_harness(config: Config) -> Path:
    """Write every pool as tasks into `harness.folder`, and return the folder.

    Raises:
        UserError: if something the user gave cannot be used, or the folder is a file.
    """
    from cem_lightning.models.loading import load_encoder

    folder = (config.harness.folder or config.folder / "harness").absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"harness.folder: {folder} is a file; name a folder.")
    prepared = prepare(config)
    model = prepared.model(Runner(Store(config.store_dir), SilentProgress())).path
    encoder, context = load_encoder(model, config.model)
    shots = Wording(config.answering.method).solved(prepared.pools.shots)
    encoder = encoder.with_shots(shots)
    tasks = [
        make_task(f"cem_{config.name}_{name}{end}", questions, config, encoder, context)
        for name, pool in prepared.pools.items()
        for end, questions in (
            ("", [each for each in pool if not each.short]),
            ("_short", [each for each in pool if each.short]),
        )
        if questions
    ]
    for task in tasks:
        data = folder / f"{task.name}.jsonl"
        write_jsonl(data, task.rows)
        files = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
        settings = {"task": task.name, "tag": f"cem_{config.name}", **files, **task.settings}
        write_text(folder / f"{task.name}.yaml", _yaml(settings))
        if "process_results" in settings:
            write_text(folder / "by_tokens.py", _BY_TOKENS)
    write_text(folder / "README.md", _readme(tasks, folder, model, config))
    print(f"tasks: {folder}")
    return folder


def make_task(
    name: str, questions: Sequence[Question], config: Config, encoder: Encoder, context: int
) -> Task:
    """The questions of one pool that are asked alike: all short-answer ones, or none.

    Prompts are written out as the model reads them, its chat template included. So neither the
    harness nor its user has to repeat how they are made (system prompt, thinking, the day).
    """
    method = config.answering.method
    wording = Wording(method)
    short = questions[0].short
    written = short or method == "extract"
    lead = encoder.lead
    rows, other, long = [], [], []
    for question in questions:
        prompt = wording.prompt(question)
        responses = [wording.response(question, at).strip() for at in range(len(question.choices))]
        shown = encoder.rendered(prompt)
        row: dict[str, Any] = {"id": question.id, "prompt": shown}
        if written:
            row["target"] = question.gold if short else LETTERS[question.answer]
        else:
            row |= {"choices": responses, "target": question.answer}
        start = encoder.prompt(prompt)
        wholes = [encoder.continuation(prompt, each) for each in responses]
        if not written and config.answering.normalise == "token":
            row["tokens"] = [len(each) - len(start) for each in wholes]
        rows.append(row)
        texts = [shown + lead + each for each in responses]
        if any(
            list(ids) != _read(text, encoder.tokenizer) or ids[: len(start)] != start
            for ids, text in zip(wholes, texts, strict=True)
        ):
            other.append(question.id)
        if max(map(len, wholes)) > context:
            long.append(question.id)
    settings = {"test_split": "test", "doc_to_text": "prompt", "doc_to_target": "target"}
    metric = "exact_match" if written else _METRICS[config.answering.normalise]
    return Task(
        name,
        tuple(rows),
        settings
        | (_generation(short, config) if written else _choice(lead, metric))
        | {"metadata": {"version": 1.0, "wording": wording.version}},
        metric,
        tuple(other),
        tuple(long),
    )


def _choice(lead: str, metric: str) -> dict[str, Any]:
    """The choice of highest log-likelihood, as it is or by its length."""
    settings = {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "target_delimiter": lead,
    }
    if metric != "acc_tokens":
        return settings | {"metric_list": _metrics("acc", "acc_norm", "acc_bytes")}
    function = {"process_results": "!function by_tokens.process_results"}
    return settings | {"metric_list": _metrics("acc", metric)} | function


def _generation(short: bool, config: Config) -> dict[str, Any]:
    """A greedy response: its first line, or the first letter that it names as the answer."""
    pattern = r"^\s*([^\n]*)" if short else f"(?i){EXTRACTED.pattern}"
    steps = [
        {"function": "regex", "regex_pattern": pattern, "group_select": 0},
        {"function": "take_first"},
    ]
    return {
        "output_type": "generate_until",
        "generation_kwargs": {
            "until": [],
            "do_sample": False,
            "max_gen_toks": config.answering.response_tokens,
        },
        "filter_list": [{"name": "answer", "filter": steps}],
        "metric_list": [
            each | {"ignore_case": True, "ignore_punctuation": short}
            for each in _metrics("exact_match")
        ],
    }


def _metrics(*names: str) -> list[dict[str, Any]]:
    return [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]


def _read(text: str, tokenizer: Any) -> list[int]:
    """The tokens that the harness makes of a text (`HFLM.tok_encode`)."""
    begin = tokenizer.bos_token or tokenizer.eos_token
    ids: list[int] = tokenizer.encode(text, add_special_tokens=not text.startswith(begin))
    return ids


def _yaml(settings: Mapping[str, Any]) -> str:
    """One key a line. JSON is YAML, but for the mark of a function of a file beside."""
    return "".join(
        f"{key}: {each if key == 'process_results' else json.dumps(each, ensure_ascii=False)}\n"
        for key, each in settings.items()
    )


def _readme(tasks: Sequence[Task], folder: Path, model: Path, config: Config) -> str:
    """What the tasks are, how they are run, and where the scores may differ."""
    rows = "\n".join(
        f"| `{each.name}` | {len(each.rows)} | `{each.metric}` "
        f"| {_named(each.other_tokens)} | {_named(each.too_long)} |"
        for each in tasks
    )
    arguments = f"pretrained={model.absolute()},dtype={config.model.dtype}"
    return f"""# The question pools as tasks of lm-evaluation-harness

Written by `action=harness` for lm-eval {VERSION}. Method `{config.answering.method}`, style
`{config.model.style}`, wording {Wording(config.answering.method).version}.

```bash
lm_eval --model hf --model_args {arguments} --tasks cem_{config.name} \\
  --include_path {folder} --batch_size 8 --log_samples --output_path {folder / "results"}
```

These are the scores of round 0. For a later round, export its model (`action=export`) and give
that folder as `pretrained`. Prompts are written out with the template of the model's tokenizer:
leave out `--apply_chat_template`, which would apply it again, and write the tasks anew for another
tokenizer. The YAML files name the data by its full path: write them anew if the folder moves.

| task | questions | compare its pool's accuracy with | other tokens | too long |
|---|---|---|---|---|
{rows}

## What agrees

- `acc` takes the choice of the highest log-likelihood: our `answering.normalise=sum`.
- `acc_bytes` divides by the UTF-8 bytes of the choice: our `byte`. `acc_norm` divides by
  characters, which is the same for ASCII alone.
- `acc_tokens` divides by tokens: our `token`. The harness has nothing like it, so `by_tokens.py`,
  written with the tasks that need it, makes it of the harness's log-likelihoods.
- `exact_match` of `extract` looks for the letter by our own pattern.
- A pool with short answers is two tasks; its accuracy is the mean of both, weighted by questions.

## What differs

- White space at the end of a chat template counts for a part of the response there. Its
  log-likelihood is added to that of every choice alike: `acc` is the same, while `acc_bytes` and
  `acc_tokens` may differ where the model thinks that white space unlikely.
- Short answers: there, the first line without case and ASCII punctuation must be the accepted
  answer. Here, or the whole text; articles, the comma of thousands and punctuation of other scripts
  do not count either.
- *Other tokens*: control tokens written in a question are plain text here, control tokens there;
  and where a token spans prompt and response, it is scored here and not there.
- *Too long*: a question beyond the model's context counts as not right here; there its beginning
  is cut off.
- Log-likelihoods agree within rounding (about 1e-4 in float32), so of two choices closer than that
  either may win.
"""


def _named(questions: Sequence[str]) -> str:
    """How many questions, and the first of them by name."""
    if not questions:
        return "0"
    shown = ", ".join(f"`{each}`" for each in questions[:3])
    return f"{len(questions)}: {shown}" + (", ..." if len(questions) > 3 else "")
