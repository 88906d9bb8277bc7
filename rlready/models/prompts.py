"""Prompts, from prompts.yaml, how solutions are encoded for training, and the tokens that end them."""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from rlready.errors import InputError

INSTRUCTIONS: dict[str, str] = yaml.safe_load((Path(__file__).parent / "prompts.yaml").read_text())

QUESTION = "{question}"
THOUGHT = re.compile(r"\s*<think>(?P<thought>.*?)(?:</think>|\Z)", re.DOTALL)
OPENED = re.compile(r"<think>\s*\Z")
CLOSED = re.compile(r"<think>\s*</think>\s*\Z")


def choose_prompt(row: dict) -> str:
    """Returns a row's prompt, a name or a text with {question}: its source's own, else that of its format."""
    return row.get("prompt") or row["format"]


def is_prompt(text: str) -> bool:
    """Returns True if a text is a prompt or the name of one."""
    return text in INSTRUCTIONS or QUESTION in text


def fill_prompt(question: str, prompt: str) -> str:
    """Returns a question in a prompt, which is a name in INSTRUCTIONS or a text with {question}."""
    named = INSTRUCTIONS.get(prompt)
    # Not format(), since the text may have braces of its own.
    return named.format(question=question) if named else prompt.replace(QUESTION, question)


def write_messages(question: str, prompt: str) -> list[dict[str, str]]:
    """Returns the chat messages for a question; see `fill_prompt`."""
    return [{"role": "user", "content": fill_prompt(question, prompt)}]


def encode_prompt(tokenizer, question: str, prompt: str) -> list[int]:
    """Returns the token ids of the prompt, up to where the model's answer begins."""
    messages = write_messages(question, prompt)
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


@functools.lru_cache(maxsize=4)
def find_eos_token_id(tokenizer) -> int:
    """Returns the token that ends an answer: the one that the chat template writes after it, else the tokenizer's end token.

    They differ if a base model has the template of its chat model: Qwen's messages end with <|im_end|>, its texts with
    <|endoftext|>. Trained on one and stopped at the other, a model would never stop.
    """
    answer = "an answer"
    for in_parts in (False, True):  # templates for images take a list of parts
        contents = [[{"type": "text", "text": text}] if in_parts else text for text in ("a question", answer)]
        turns = [{"role": role, "content": content} for role, content in zip(("user", "assistant"), contents, strict=True)]
        rendered = tokenizer.apply_chat_template(turns, tokenize=False)
        if answer in rendered:
            break
    after = tokenizer(rendered[rendered.rindex(answer) + len(answer) :], add_special_tokens=False)["input_ids"]
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return next((token for token in after if token in special), tokenizer.eos_token_id)


def list_eos_token_ids(tokenizer, generation_config) -> list[int]:
    """Returns every token that ends a completion: the model's own, its tokenizer's and its chat template's."""
    own = generation_config.eos_token_id
    own = [own] if isinstance(own, int) else own or []
    return sorted({*own, tokenizer.eos_token_id, find_eos_token_id(tokenizer)})


def check_tokens(tokenizer, ends: Iterable[int], rows: int) -> None:
    """Raises InputError if a token of the prompt, the pad token or an end token has no row in the embedding."""
    prompt = encode_prompt(tokenizer, "a question", "word")
    refuse_tokens([tokenizer.pad_token_id], ends, prompt, rows, tokenizer.convert_ids_to_tokens)


def refuse_tokens(
    pad: Iterable[int | None], ends: Iterable[int | None], prompt: Iterable[int], rows: int, name: Callable
) -> None:
    """Raises InputError if one of these tokens has no row in the embedding; `name` returns the text of a token."""
    for what, ids in (("pad token", pad), ("end token", ends), ("chat template's token", prompt)):
        if beyond := [token for token in ids if token is not None and token >= rows]:
            text = f" {name(beyond[0])!r}" if name(beyond[0]) else ""
            raise InputError(
                f"the {what}{text} is number {beyond[0]}, and the model has {rows} embeddings (0 to {rows - 1}); use another"
                " token (tokenizer_config.json, generation_config.json), or enlarge the embedding (resize_token_embeddings)"
            )


@functools.lru_cache(maxsize=4)
def find_opening(tokenizer) -> str:
    """Returns what the chat template writes between a question and its answer."""
    turns = [{"role": "user", "content": "a question"}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return rendered.rpartition("a question")[2]


def continue_thought(opening: str, solution: str) -> str:
    """Returns a solution that continues what the chat template writes before the answer, with one <think> block, not two.

    If the template opens a block, the solution continues that one; if it closes an empty one, so that the model thinks outside
    of a block, so does the solution.
    """
    block = THOUGHT.match(solution)
    if not block:
        return solution
    if OPENED.search(opening):
        return solution[block.start("thought") :].lstrip("\n" if opening.endswith("\n") else "")
    if CLOSED.search(opening):
        return "\n\n".join(filter(None, (block["thought"].strip(), solution[block.end() :].strip())))
    return solution


def encode_example(tokenizer, row: dict) -> dict[str, list[int]]:
    """Returns input_ids and labels of one SFT example; labels are -100 on the prompt, so loss is on the completion only."""
    prompt = encode_prompt(tokenizer, row["question"], choose_prompt(row))
    solution = continue_thought(find_opening(tokenizer), row["solution"])
    # With the end token that stops the model at inference.
    completion = tokenizer(solution, add_special_tokens=False)["input_ids"] + [find_eos_token_id(tokenizer)]
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}
