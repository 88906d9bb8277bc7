"""One prompt and one training text whole, as the base model sees them, made without loading it."""

from pathlib import Path

from rlready.models.load import locate
from rlready.models.prompts import choose_prompt, continue_thought, write_messages
from rlready.records.candidate import BaseModel
from rlready.stages.plan.model import TURNS, read_template, read_tokens, render_turns


def show_example(base: BaseModel, row: dict) -> list[str]:
    """Returns lines that show the prompt of an SFT row and the text that is trained behind it, with the token that ends it.

    Args:
        base: The base model; without its tokenizer on this machine nothing is shown.
        row: Question, solution, format and prompt.
    """
    folder = Path(locate(base)["pretrained_model_name_or_path"])
    if not (folder / "tokenizer.json").exists():
        return []
    config, tokens = read_tokens(base)
    template = read_template(base, config)
    turns = write_messages(row["question"], choose_prompt(row))
    prompt = render_turns(template, tokens, turns)
    opening = prompt.rpartition(turns[0]["content"])[2]
    text = continue_thought(opening, row["solution"]) + _find_end(folder, template, tokens)
    return [
        "a prompt, as the model sees it:",
        *_indent(prompt),
        "the text trained behind it, to its end token:",
        *_indent(text),
    ]


def _find_end(folder: Path, template: str, tokens: dict[str, str]) -> str:
    """Returns the text of the token that `find_eos_token_id` of core/prompts.py finds, without transformers' tokenizer."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    answer = TURNS[-1]["content"]
    after = tokenizer.encode(render_turns(template, tokens, TURNS).rpartition(answer)[2], add_special_tokens=False).ids
    special = {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
    return next((special[token] for token in after if token in special), tokens.get("eos_token", ""))


def _indent(text: str) -> list[str]:
    return [f"  | {line}" for line in text.splitlines()]
