"""Whether a model can be sampled, trained and saved: its tokens, chat template, generation_config.json and positions.

The chat template is rendered without loading a tokenizer, and shows an example of what a model is given.
"""

import contextlib
import datetime
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

from rlready.errors import InputError, error_context, one_line
from rlready.models.architecture import Architecture, check_length, check_recurrence
from rlready.models.load import BUILTIN, find_file, get_folder, load_tokenizer, locate, read_json, read_tokenizer
from rlready.models.prompts import choose_prompt, continue_thought, refuse_tokens, write_messages
from rlready.models.weights import quiet_transformers, refuse_pointer
from rlready.records.candidate import BaseModel

# Keys of a generation_config.json in which there is nothing to refuse, unless it is a token of -1; the last if it samples.
PLAIN = {"_from_model_config", "transformers_version", "use_cache", "do_sample", "bos_token_id", "eos_token_id", "pad_token_id"}
SAMPLED = {"temperature", "top_p", "top_k"}
# Types of values of a tokenizer_config.json, besides its tokens.
TOKENIZER: dict[str, Any] = {"model_max_length": (int, float), "added_tokens_decoder": dict}
TOKENIZER |= dict.fromkeys(("additional_special_tokens", "extra_special_tokens"), (list, dict))
# Classes of which transformers takes a tokenizer.json with a vocabulary of bytes as it is, but for its splitting of words.
BYTE_LEVEL = {"TokenizersBackend", "PreTrainedTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer"}
SPACED = "The value of x is 12.\nSo \\boxed{A} < 5"
ROWS_TRIED = 20
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


# As in transformers' chat_template_utils.py, whose import takes a second.
ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
)
ENVIRONMENT.filters["tojson"] = lambda value, ensure_ascii=False, **options: json.dumps(
    value, ensure_ascii=ensure_ascii, **options
)
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

        Raises InputError if it has an error, raises, takes contents in parts only, begins no answer, or writes the date.
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
    """Returns the chat template of a model, from its own file or tokenizer_config.json.

    Raises InputError without one, or if a value of tokenizer_config.json is of another type than transformers reads.
    """
    config = read_json(base, "tokenizer_config.json") or {}
    given = {**(read_json(base, "special_tokens_map.json") or {}), **config}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in given.items()}
    tokens = {name: text for name, text in texts.items() if name.endswith("_token") and text and isinstance(text, str)}
    for name, value in given.items():
        kinds, read = TOKENIZER.get(name, object), value
        if name.endswith("_token") and not name.startswith("add_"):
            kinds, read = str, texts[name]
        if value is not None and not isinstance(read, kinds):
            raise InputError(
                f"{base.location}: transformers does not read {name} {value!r} in tokenizer_config.json; correct it"
            )
    template = config.get("chat_template")
    if path := find_file(base, "chat_template.jinja"):
        refuse_pointer(path)
        template = path.read_text()
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


def check_model(base: BaseModel, architecture: Architecture | None) -> None:
    """Checks what a model is sampled, trained and saved with, without loading it.

    Raises InputError if its tokenizer has no end token, its chat template cannot be used, its generation_config.json cannot be
    saved, or a token has no embedding; Unreachable if the hub cannot be reached.
    """
    if base.location in BUILTIN:
        return
    generation = read_json(base, "generation_config.json") or {}
    check_generation_config(generation)
    template = read_template(base)
    if "eos_token" not in template.tokens:
        from transformers import AutoTokenizer

        # That of its class, as GPT-2's has one.
        template.tokens["eos_token"] = AutoTokenizer.from_pretrained(**locate(base)).eos_token
    if not template.tokens["eos_token"]:
        raise InputError(
            f"the tokenizer of {base.location} has no end token, so no answer would end; give it one"
            " (eos_token in tokenizer_config.json)"
        )
    template.check()
    path = get_folder(base) / "tokenizer.json"
    if architecture and path.exists():
        own = (generation or read_json(base, "config.json") or {}).get("eos_token_id")
        _check_tokens(path, architecture.vocabulary, own, template)
        _check_class(base, path)


def _check_class(base: BaseModel, path: Path) -> None:
    """Raises InputError if transformers, because of a tokenizer's class, makes another one than tokenizer.json describes.

    It makes those of SentencePiece's classes itself, and with a vocabulary of bytes they lose every space.
    """
    tokenizer, named = read_tokenizer(path), (read_json(base, "tokenizer_config.json") or {}).get("tokenizer_class")
    if str(named).removesuffix("Fast") in BYTE_LEVEL or "ByteLevel" not in str(tokenizer.decoder):
        return
    try:
        loaded = load_tokenizer(base)
        kept = loaded.decode(loaded(SPACED, add_special_tokens=False)["input_ids"])
    except Exception as error:  # whatever transformers or tokenizers raise
        kept = one_line(error)
    if kept.strip() != (own := tokenizer.decode(tokenizer.encode(SPACED, add_special_tokens=False).ids)):
        raise InputError(
            f"transformers makes another tokenizer of the tokenizer_class {named} than {path} describes: {own!r} comes back as"
            f" {kept!r}; set tokenizer_class to PreTrainedTokenizerFast in tokenizer_config.json"
        )


def describe_losses(models: list[BaseModel], rows: list[dict]) -> list[str]:
    """Returns a line for each model whose tokenizer changes texts of the data, such as their capitals."""
    lines = []
    texts = [text for row in rows[:ROWS_TRIED] for text in (row["question"], row.get("solution", row["answer"]))]
    for base in models:
        path = get_folder(base) / "tokenizer.json"
        tokenizer = read_tokenizer(path) if path.exists() else None
        back = [tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, False) for text in texts if tokenizer]
        lost = [(a, b) for a, b in zip(texts, back, strict=False) if "".join(a.split()) != "".join(b.split())]
        if lost:
            place = next((n for n, (a, b) in enumerate(zip(*lost[0], strict=False)) if a != b), 0)
            a, b = (text[max(0, place - 10) : place + 30] for text in lost[0])
            lines.append(f"{base.location}: its tokenizer loses part of {len(lost)} of {len(texts)} texts: {a!r} becomes {b!r}")
    return lines


def _check_tokens(path: Path, rows: int, own: int | list[int] | None, template: ChatTemplate) -> None:
    """Raises InputError if a token that is used has no embedding; see `check_tokens` of models/prompts.py."""
    try:
        tokenizer = read_tokenizer(path)
    except Exception as error:  # it raises nothing more special
        raise InputError(f"{path} cannot be read ({one_line(error)}); save the tokenizer again") from error
    tokens = template.tokens
    tokenizer.add_special_tokens(list(tokens.values()))  # as transformers does with those that the vocabulary lacks
    ends = own if isinstance(own, list) else [own]
    ends = [*ends, *map(tokenizer.token_to_id, (tokens["eos_token"], template.find_end(tokenizer)))]
    pad = [tokenizer.token_to_id(tokens.get("pad_token", tokens["eos_token"]))]
    prompt = template.render(write_messages("a question", "word"))
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    refuse_tokens(pad, ends, ids, rows, tokenizer.id_to_token)
    if tokenizer.get_vocab_size() > rows:
        special = {id for id, added in tokenizer.get_added_tokens_decoder().items() if added.special}
        beyond = {id: text for text, id in tokenizer.get_vocab().items() if id >= rows and id not in special}
        for id in sorted(beyond)[:1]:  # special ones are not in the data
            raise InputError(
                f"{path}: the token {beyond[id]!r} is number {id}, and the model has {rows} embeddings (0 to {rows - 1}); use"
                " the tokenizer of this model, or enlarge the embedding (resize_token_embeddings)"
            )


def check_size(
    location: str, architecture: Architecture, prompt: float, completion: int, example: float, engine: str
) -> str | None:
    """Returns a warning if texts exceed a model's positions and it accepts them anyway, or it is slow to sample; else None.

    `prompt` and `example` are tokens of the longest prompt and SFT example (0 without SFT), `completion` the maximum. Raises
    InputError if the model has no positions for them, or the engine cannot sample it.
    """
    with error_context(location):
        note = None if engine == "vllm" else check_recurrence(architecture.kind, architecture.recurrent)
    what = f"{location}: the longest prompt and sampling_max_tokens are {prompt:.0f} + {completion} tokens"
    what += f", the longest SFT example {example:.0f}"
    advice = "lower sampling_max_tokens or curate_max_tokens"
    warning = check_length(architecture.positions, max(prompt + completion, example), what, advice)
    return "; ".join(filter(None, (note and f"{location}: {note}", warning))) or None


def check_generation_config(values: dict) -> None:
    """Raises InputError if transformers refuses to save a generation_config.json, as SFT would find at its first save.

    So it does if a token is neither a number nor a list of numbers.
    """
    for name, value in values.items():
        tokens = value if isinstance(value, list) and name == "eos_token_id" else [] if value is None else [value]
        if name.endswith("_token_id") and any(type(token) is not int or token >= 2**31 for token in tokens):
            raise InputError(
                f"its generation_config.json: {name} is {value!r}, not a number (or a list, if it is eos_token_id)"
            )
    plain = PLAIN | SAMPLED if values.get("do_sample") is True else PLAIN
    if all((name in plain and value != -1) or value is None or value is False for name, value in values.items()):
        return  # most are like this, and transformers takes seconds to import
    from transformers import GenerationConfig

    try:
        with quiet_transformers():
            GenerationConfig.from_dict(values).validate(strict=True)
    except (ValueError, TypeError) as error:
        wrong = " ".join(line.strip("- ") for line in str(error).splitlines() if "`" in line)
        raise InputError(
            f"transformers does not save its generation_config.json: {wrong or error} Correct the file (for a hub model, in a"
            " copy of its folder)"
        ) from error
