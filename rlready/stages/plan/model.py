"""Whether a model can be asked, trained and saved: its tokenizer, chat template and generation_config.json."""

import contextlib
import datetime
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rlready.errors import InputError, Unreachable
from rlready.models.load import BUILTIN, load_tokenizer, locate
from rlready.models.prompts import check_tokens, list_eos_token_ids
from rlready.models.weights import (
    RECURRENT,
    build_empty,
    check_length,
    is_recurrent,
    quiet_transformers,
    read_architecture,
)
from rlready.records.candidate import BaseModel

QUESTION, ANSWER = "What is seven?", "It is seven."
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
TEMPLATE_SECONDS = 20  # that a chat template may take for two turns; it takes milliseconds
# Keys of a generation_config.json in which there is nothing to refuse, unless it is a token of -1.
PLAIN = {"_from_model_config", "transformers_version", "use_cache", "do_sample"}
PLAIN |= {"bos_token_id", "eos_token_id", "pad_token_id"}


def check_model(base: BaseModel) -> None:
    """Checks what a model is asked, trained and saved with, without loading it.

    Raises:
        InputError: If its tokenizer has no end token, its chat template cannot be used, or its generation_config.json cannot be
            saved.
        Unreachable: If the hub could not be asked.
    """
    if base.location in BUILTIN:
        return
    check_generation_config(read_json(base, "generation_config.json") or {})
    config, tokens = read_tokens(base)
    if "eos_token" not in tokens and not _find_end_token(base):
        raise InputError(
            f"the tokenizer of {base.location} has no end token, so no answer would end; give it one"
            " (eos_token in tokenizer_config.json)"
        )
    check_template(read_template(base, config), tokens)
    location = locate(base)
    if Path(location["pretrained_model_name_or_path"]).is_dir():
        built = read_architecture(location)
        tokenizer, given = load_tokenizer(base), read_json(base, "generation_config.json") or {}
        ends = list_eos_token_ids(tokenizer, SimpleNamespace(eos_token_id=given.get("eos_token_id")))
        check_tokens(tokenizer, ends, built.get_text_config().vocab_size)


def check_size(base: BaseModel, prompt: float, completion: int, example: float, engine: str) -> str | None:
    """Returns a line if texts are longer than a model was made for and it takes them anyway; None if they are not.

    Args:
        base: The model; one that is not in a folder here is looked at when it is loaded.
        prompt: Tokens of the longest prompt.
        completion: Longest completion.
        example: Tokens of the longest SFT example; 0 where none is trained on.
        engine: That is asked for.

    Raises:
        InputError: If it has no positions for them, or the engine cannot sample it.
    """
    location = locate(base)
    if base.location in BUILTIN or not Path(location["pretrained_model_name_or_path"]).is_dir():
        return None
    config = read_architecture(location)
    if engine != "vllm" and is_recurrent(config, build_empty(config)):
        raise InputError(f"{base.location}: {RECURRENT.format(config.model_type)}")
    what = f"{base.location}: the longest prompt and sampling_max_tokens are {prompt:.0f} + {completion} tokens"
    what += f", the longest SFT example {example:.0f}"
    advice = "lower sampling_max_tokens or curate_max_tokens"
    return check_length(config, max(prompt + completion, example), what, advice)


def read_tokens(base: BaseModel) -> tuple[dict, dict[str, str]]:
    """Returns what tokenizer_config.json holds, and the special tokens by name, such as eos_token."""
    config = read_json(base, "tokenizer_config.json") or {}
    tokens = {**(read_json(base, "special_tokens_map.json") or {}), **config}
    tokens = {name: _read_token(value) for name, value in tokens.items() if name.endswith("_token")}
    return config, {name: text for name, text in tokens.items() if text}


def check_generation_config(values: dict) -> None:
    """Raises InputError if transformers refuses to save a generation_config.json, as SFT would find at its first save."""
    if all((name in PLAIN and value != -1) or value in (None, False) for name, value in values.items()):
        return  # most are like this, and transformers takes seconds to import
    from transformers import GenerationConfig

    try:
        with quiet_transformers():
            GenerationConfig.from_dict(values).validate(strict=True)
    except ValueError as error:
        wrong = " ".join(line.strip("- ") for line in str(error).splitlines() if "`" in line)
        raise InputError(
            f"transformers does not save its generation_config.json: {wrong or error} Correct the file (in a copy"
            " of the model's folder, where it comes from the hub)"
        ) from error


def read_template(base: BaseModel, config: dict) -> str:
    """Returns the chat template, from its own file or from tokenizer_config.json.

    Raises:
        InputError: If there is none.
    """
    path = find_file(base, "chat_template.jinja")
    template = path.read_text() if path else config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not template:
        raise InputError(f"{base.location} has no chat template; add chat_template.jinja")
    return template


def render_turns(template: str, tokens: dict[str, str], turns: list[dict], day: int = 1) -> str:
    """Returns a chat as a chat template writes it, up to where the model answers if the last turn is the user's.

    Args:
        template: Jinja.
        tokens: Special tokens by name, that it may write.
        turns: With role and content.
        day: Of a month, for templates that write the date.

    Raises:
        InputError: If it has an error or raises.
    """
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template

    def strftime_now(form: str) -> str:
        return datetime.datetime(2001, day, day, day, day).strftime(form)

    more: dict[str, Any] = {**tokens, "add_generation_prompt": turns[-1]["role"] == "user", "strftime_now": strftime_now}
    try:
        with _limit_time():
            return render_jinja_template([turns], chat_template=template, **more)[0][0]
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"the chat template has a syntax error in line {error.lineno}: {error}") from error
    except Exception as error:  # whatever a template does
        raise InputError(
            f"the chat template fails for a question of the user{' and its answer' * (len(turns) - 1)}: {error}"
        ) from error


@contextlib.contextmanager
def _limit_time() -> Iterator[None]:
    """Raises InputError in what takes longer than a chat template may, where this thread can be interrupted."""

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
    """Checks that a chat template writes a question and its answer, and the same ones every day.

    Args:
        template: Jinja.
        tokens: Special tokens by name, such as eos_token, that it may write.

    Raises:
        InputError: If it has an error, raises, takes contents in parts only, or writes the date.
    """

    def render(turns: list[dict], day: int = 1) -> str:
        return render_turns(template, tokens, turns, day)

    asked, answered = render(TURNS[:1]), render(TURNS)
    for text, written in ((QUESTION, asked), (ANSWER, answered)):
        if text not in written:
            raise InputError(
                "the chat template does not write the content of a turn that is a text; templates for pictures take"
                " contents in parts, and here text models are trained"
            )
    if (asked, answered) != (render(TURNS[:1], 12), render(TURNS, 12)):
        raise InputError(
            "the chat template writes today's date, so tomorrow the same question is another prompt; write a fixed"
            " date into chat_template.jinja (in a copy of the model's folder, where it comes from the hub)"
        )


def find_file(base: BaseModel, name: str) -> Path | None:
    """Returns a file of a model, None where it has none.

    Raises:
        Unreachable: If the hub could not be asked.
    """
    folder = Path(locate(base)["pretrained_model_name_or_path"])
    if folder.is_dir():
        return folder / name if (folder / name).exists() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(base.location, name, revision=base.revision or None))
    except LocalEntryNotFoundError as error:
        raise Unreachable(f"the hub could not be asked for {name} of {base.location}") from error
    except EntryNotFoundError:
        return None
    except Exception as error:
        raise Unreachable(f"the hub could not be asked for {name} of {base.location} ({error})") from error


def read_json(base: BaseModel, name: str) -> dict | None:
    """Returns what a JSON file of a model holds, None where the model has none.

    Raises:
        InputError: If it is not JSON.
        Unreachable: If the hub could not be asked.
    """
    path = find_file(base, name)
    try:
        return json.loads(path.read_text()) if path else None
    except ValueError as error:
        raise InputError(f"{name} of {base.location} is not JSON ({error})") from error


def _read_token(value: object) -> str | None:
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None


def _find_end_token(base: BaseModel) -> str | None:
    """Returns the end token that the tokenizer's class has by itself, as GPT-2's does."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(**locate(base)).eos_token
