"""Chat templates, rendered without loading a tokenizer: checks, and an example of what a model is given."""

import contextlib
import datetime
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

from rlready.errors import InputError
from rlready.models.load import find_file, get_folder, read_json, read_tokenizer
from rlready.models.prompts import choose_prompt, continue_thought, write_messages
from rlready.models.weights import refuse_pointer
from rlready.records.candidate import BaseModel

QUESTION, ANSWER = 'What is {7} & "seven"?\nIs it < \\8\'?', "It is {7} & seven.\nAnd < \\8."  # nothing of it may be escaped
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
TEMPLATE_SECONDS = 20  # that a chat template may take for two turns; it takes milliseconds


class _Generation(jinja2.ext.Extension):
    """The tag around what the assistant writes, which transformers adds to Jinja."""

    tags = {"generation"}

    def parse(self, parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


# As in transformers' chat_template_utils.py, whose import takes a second.
ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
)
ENVIRONMENT.filters["tojson"] = _to_json
ENVIRONMENT.globals["raise_exception"] = _raise_exception


@contextlib.contextmanager
def _limit_time() -> Iterator[None]:
    """Raises InputError in what takes longer than a chat template may, if this thread can be interrupted."""

    def stop(*_) -> None:
        raise InputError(f"it has not ended after {TEMPLATE_SECONDS} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, TEMPLATE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, and the special tokens that it may write, by names such as eos_token."""

    text: str
    tokens: dict[str, str]

    def render(self, turns: list[dict], day: int = 1) -> str:
        """Returns a chat as the template writes it, up to where the model answers if the last turn is the user's.

        `day` is that of a month, for templates that write the date. Raises InputError if the template has an error or raises.
        """
        today = datetime.datetime(2001, day, day, day, day)
        given: dict[str, Any] = {"messages": turns, "tools": None, "documents": None, "strftime_now": today.strftime}
        try:
            with _limit_time():
                asks = turns[-1]["role"] == "user"
                return ENVIRONMENT.from_string(self.text).render(given | self.tokens, add_generation_prompt=asks)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"the chat template has a syntax error in line {error.lineno}: {error}") from error
        except Exception as error:  # whatever a template does
            turn = "a question of the user" if len(turns) == 1 else "a question of the user and its answer"
            raise InputError(f"the chat template fails for {turn}: {error}") from error

    def check(self) -> None:
        """Checks that the template writes a question and its answer, and the same text every day.

        Raises InputError if it has an error, raises, takes contents in parts only, begins no answer, or writes
        the date.
        """
        asked, answered = (self.render(turns) for turns in (TURNS[:1], TURNS))
        if QUESTION not in asked or ANSWER not in answered:
            raise InputError(
                "the chat template does not write the content of a turn that is a text, or escapes or shortens it; templates"
                " for pictures take contents in parts, but rlready trains text models"
            )
        opening, between = asked.rpartition(QUESTION)[2], answered.partition(QUESTION)[2].partition(ANSWER)[0]
        header = between.removeprefix(opening).strip() if between.startswith(opening) else ""
        if header and "add_generation_prompt" not in self.text:
            raise InputError(
                f"the chat template does not read add_generation_prompt, so a prompt ends without {header!r}, which it writes"
                " before an answer; write that at its end, within {% if add_generation_prompt %} and {% endif %}"
            )
        if (asked, answered) != tuple(self.render(turns, 12) for turns in (TURNS[:1], TURNS)):
            raise InputError(
                "the chat template writes today's date, so the same question is another prompt tomorrow; write a fixed date"
                " into chat_template.jinja (for a hub model, in a copy of its folder)"
            )

    def find_end(self, tokenizer) -> str:
        """Returns the token that ends an answer, as `find_eos_token_id` does, with a tokenizer of the library tokenizers."""
        after = tokenizer.encode(self.render(TURNS).rpartition(ANSWER)[2], add_special_tokens=False).ids
        special = {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
        return next((special[token] for token in after if token in special), self.tokens.get("eos_token", ""))


def read_template(base: BaseModel) -> ChatTemplate:
    """Returns the chat template of a model, from its own file or from tokenizer_config.json.

    Raises InputError if there is none.
    """
    config = read_json(base, "tokenizer_config.json") or {}
    given = {**(read_json(base, "special_tokens_map.json") or {}), **config}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in given.items()}
    tokens = {name: text for name, text in texts.items() if name.endswith("_token") and text and isinstance(text, str)}
    path = find_file(base, "chat_template.jinja")
    if path:
        refuse_pointer(path)
    template = path.read_text() if path else config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not template:
        raise InputError(f"{base.location} has no chat template; add chat_template.jinja")
    return ChatTemplate(template, tokens)


def show_example(base: BaseModel, row: dict) -> list[str]:
    """Returns lines with a problem's prompt and what is trained after it, or its reference, if the tokenizer is here."""
    path = get_folder(base) / "tokenizer.json"
    if not path.exists():
        return []
    template = read_template(base)
    turns = write_messages(row["question"], choose_prompt(row))
    prompt = template.render(turns)
    if "solution" in row:
        text = continue_thought(prompt.rpartition(turns[0]["content"])[2], row["solution"])
        text += template.find_end(read_tokenizer(path))
        shown = {"a prompt, as the model sees it:": prompt, "the text that SFT trains on, with its end token:": text}
    else:
        shown = {"an evaluation problem, as the model sees it:": prompt, "its reference answer:": row["answer"]}
    return [line for title, body in shown.items() for line in (title, *(f"  | {part}" for part in body.splitlines()))]
