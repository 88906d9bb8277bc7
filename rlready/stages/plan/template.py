"""Chat templates, rendered without loading a tokenizer: checks, and an example of what a model is given."""

import contextlib
import datetime
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

from rlready.errors import InputError
from rlready.models.load import find_file, locate, read_json
from rlready.models.prompts import choose_prompt, continue_thought, write_messages
from rlready.models.weights import refuse_pointer
from rlready.records.candidate import BaseModel

QUESTION, ANSWER = "What is seven?", "It is seven."
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
TEMPLATE_SECONDS = 20  # that a chat template may take for two turns; it takes milliseconds


def read_tokens(base: BaseModel) -> tuple[dict, dict[str, str]]:
    """Returns what tokenizer_config.json holds, and the special tokens by name, such as eos_token."""
    config = read_json(base, "tokenizer_config.json") or {}
    given = {**(read_json(base, "special_tokens_map.json") or {}), **config}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in given.items()}
    return config, {name: text for name, text in texts.items() if name.endswith("_token") and text and isinstance(text, str)}


def read_template(base: BaseModel, config: dict) -> str:
    """Returns the chat template, from its own file or from tokenizer_config.json; raises InputError if there is none."""
    path = find_file(base, "chat_template.jinja")
    if path:
        refuse_pointer(path)
    template = path.read_text() if path else config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not template:
        raise InputError(f"{base.location} has no chat template; add chat_template.jinja")
    return template


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


def render_turns(template: str, tokens: dict[str, str], turns: list[dict], day: int = 1) -> str:
    """Returns a chat as a chat template writes it, up to where the model answers if the last turn is the user's.

    Raises InputError if the template has an error or raises. `tokens` are special tokens by name, such as eos_token, and `day`
    is that of a month, for templates that write the date.
    """

    def strftime_now(form: str) -> str:
        return datetime.datetime(2001, day, day, day, day).strftime(form)

    given: dict[str, Any] = {"messages": turns, "tools": None, "documents": None, "strftime_now": strftime_now, **tokens}
    try:
        with _limit_time():
            return ENVIRONMENT.from_string(template).render(given, add_generation_prompt=turns[-1]["role"] == "user")
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"the chat template has a syntax error in line {error.lineno}: {error}") from error
    except Exception as error:  # whatever a template does
        turn = "a question of the user" if len(turns) == 1 else "a question of the user and its answer"
        raise InputError(f"the chat template fails for {turn}: {error}") from error


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


def check_template(template: str, tokens: dict[str, str]) -> None:
    """Checks that a chat template writes a question and its answer, and the same text every day.

    Raises InputError if it has an error, raises, takes contents in parts only, or writes the date.
    """
    asked, answered = (render_turns(template, tokens, turns) for turns in (TURNS[:1], TURNS))
    if QUESTION not in asked or ANSWER not in answered:
        raise InputError(
            "the chat template does not write the content of a turn that is a text; templates for pictures take contents in"
            " parts, but rlready trains text models"
        )
    if (asked, answered) != tuple(render_turns(template, tokens, turns, 12) for turns in (TURNS[:1], TURNS)):
        raise InputError(
            "the chat template writes today's date, so the same question is another prompt tomorrow; write a fixed date into"
            " chat_template.jinja (for a hub model, in a copy of its folder)"
        )


def find_end(tokenizer, template: str, tokens: dict[str, str]) -> str:
    """Returns the token that ends an answer, as `find_eos_token_id` does, with a tokenizer of the library tokenizers."""
    after = tokenizer.encode(render_turns(template, tokens, TURNS).rpartition(ANSWER)[2], add_special_tokens=False).ids
    special = {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
    return next((special[token] for token in after if token in special), tokens.get("eos_token", ""))


def show_example(base: BaseModel, row: dict) -> list[str]:
    """Returns lines with a problem's prompt and what is trained after it, or its reference, if the tokenizer is here."""
    path = Path(locate(base)["pretrained_model_name_or_path"]) / "tokenizer.json"
    if not path.exists():
        return []
    from tokenizers import Tokenizer

    config, tokens = read_tokens(base)
    template = read_template(base, config)
    turns = write_messages(row["question"], choose_prompt(row))
    prompt = render_turns(template, tokens, turns)
    if "solution" in row:
        text = continue_thought(prompt.rpartition(turns[0]["content"])[2], row["solution"])
        text += find_end(Tokenizer.from_file(str(path)), template, tokens)
        shown = {"a prompt, as the model sees it:": prompt, "the text that SFT trains on, with its end token:": text}
    else:
        shown = {"an evaluation problem, as the model sees it:": prompt, "its reference answer:": row["answer"]}
    return [line for title, body in shown.items() for line in (title, *(f"  | {part}" for part in body.splitlines()))]
