"""Chats as data sets have them: messages or ShareGPT's conversations, their contents, and tokens of a chat template."""

import re
from collections.abc import Callable
from typing import TypeGuard

from rlready.errors import InputError, Misread

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai", "bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
TEXTS = ("text", "input_text", "output_text")  # parts of a content
REASONING = ("reasoning_content", "reasoning", "thinking")
TRAINED = ("train", "training", "trainable", "loss")
# Tokens by which chat templates separate turns; in a text, another template left them there.
TOKEN = re.compile(
    r"<\|[A-Za-z][A-Za-z_]{2,}\d*\|>|<｜[^｜<>\s]{3,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<[be]os>"
    r"|<image ?\d*>"
)
# Roles as text, as templates without tokens write them.
SPOKEN = re.compile(
    r"(?:^|\n)(?:### )?(?:Human|User|Instruction|Input):.*\n(?:### )?(Assistant|AI|Response|Output):\s*\Z", re.DOTALL
)
LAST_TOKEN = re.compile(rf"(?:{TOKEN.pattern})\Z")


def read_dialogue(messages: object, note: Callable[[str], None]) -> tuple[object, object]:
    """Returns (question, solution) of a chat, turns with role and content, or from and value; notes what is left out.

    Raises InputError if it is no chat of one question, then at most one answer.
    """
    if not is_chat(messages):
        raise Misread("messages is not a list of turns with role and content")
    turns = _list_messages(messages, note)
    roles = [role for role, _ in turns]
    for role in ("user", "assistant"):
        if roles.count(role) > 1:
            raise InputError(f"{roles.count(role)} turns of the {role}; only one can be used")
    if roles[:1] != ["user"]:
        raise InputError("the first turn is not the user's")
    return turns[0][1], turns[1][1] if len(turns) > 1 else None


def read_message(value: object, role: str, note: Callable[[str], None]) -> object:
    """Returns the text of a chat with one turn, of that role, or of a content in parts; any other value as it is.

    Raises InputError if a chat has other turns.
    """
    if not is_chat(value):
        return read_content(value)
    turns = _list_messages(value, note)
    said = [text for other, text in turns if other == role]
    if len(said) != 1:
        raise InputError(f"{len(said)} turns of the {role}; only one can be used")
    if len(turns) > 1:
        raise Misread(f"turns of roles other than the {role}; name the column under columns: messages")
    return said[0]


def is_chat(value: object) -> TypeGuard[list[dict]]:
    """Returns whether a value is a list of turns."""
    turns = value if isinstance(value, list) else []
    return bool(turns) and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns)


def read_content(value: object) -> object:
    """Returns the text of a content in parts, `[{"type": "text", "text": ...}]`; any other value as it is."""
    if not isinstance(value, list) or not value or not all(isinstance(part, dict) for part in value):
        return value
    for part in value:
        if part.get("type", "text") not in TEXTS or not isinstance(part.get("text"), str):
            raise InputError(f"a part of a turn holds {part.get('type', 'no text')}; only texts are read")
    return "".join(part["text"] for part in value)


def _list_messages(messages: list[dict], note: Callable[[str], None]) -> list[tuple[str, object]]:
    turns = []
    for turn in messages:
        named = turn.get("role") or turn.get("from")  # Arrow gives a turn the keys of all others, with null
        role = ROLES.get(named.casefold()) if isinstance(named, str) else None
        if role is None or turn.get("tool_calls") or turn.get("function_call"):
            raise InputError(f"a turn of {named!r}, or one that calls a tool; user, assistant and system are read")
        held = (turn[key] for key in ("content", "value", "text") if turn.get(key) is not None)
        text = read_content(next(held, None))
        if isinstance(text, list) and text and all(isinstance(part, str) for part in text):
            text = "".join(text)
        if role == "system":
            if text:
                note("a system turn")
            continue
        if role == "assistant" and turn.get("weight") == 0:
            raise InputError("the assistant's turn has weight 0")
        if role == "assistant" and any(turn.get(key) is False for key in TRAINED):
            raise InputError("the assistant's turn is not to be trained on (train: false)")
        if thought := role == "assistant" and next((turn[key] for key in REASONING if turn.get(key)), None):
            if isinstance(thought, str) and isinstance(text, str) and not text.lstrip().startswith("<think>"):
                text = f"<think>\n{thought.strip()}\n</think>\n\n{text}"  # as a template for reasoning models writes them
            else:
                note("reasoning next to the text of the assistant's turn")
        turns.append((role, text))
    return turns


def check_prompt(question: str, note: Callable[[str], None]) -> None:
    """Raises InputError if a question holds a token of a chat template, since one is added here; notes roles as text."""
    if spoken := SPOKEN.search(question) if question.rstrip().endswith(":") else None:
        note(f"the prompt ends in {spoken[1]}:, the role of another template")
    if token := _find_token(question):
        raise InputError(f"the prompt holds {token}, a token of a chat template")


def strip_end(solution: str, note: Callable[[str], None]) -> str:
    """Returns a solution without end tokens, since the base model's is added; raises InputError if it has others."""
    if not _find_token(solution):
        return solution
    stripped = solution.rstrip()
    while last := LAST_TOKEN.search(stripped):
        stripped = stripped[: last.start()].rstrip()
    if token := _find_token(stripped):
        raise InputError(f"the solution holds {token}, a token of a chat template")
    note("end tokens after the solution")
    return stripped


def _find_token(text: str) -> str | None:
    found = TOKEN.search(text) if "<" in text or "INST]" in text else None  # most texts hold neither
    return found and found[0]
