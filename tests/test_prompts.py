"""What is asked and trained on: one <think> block, wherever the chat template and the solution write one."""

import pytest
from conftest import make_byte_tokenizer

from rlready.components.core.prompts import continue_thought, encode_example, encode_prompt

OPENINGS = {
    "none": "",
    "opened": "<think>\n",
    "opened without a line": "<think>",
    "closed": "<think>\n\n</think>\n\n",
}
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>OPENING{% endif %}"
)


@pytest.mark.parametrize(
    ("opening", "solution", "written"),
    [
        ("none", "<think>\n1+1\n</think>\nIt is 2.", "<think>\n1+1\n</think>\nIt is 2."),
        ("opened", "<think>\n1+1\n</think>\nIt is 2.", "<think>\n1+1\n</think>\nIt is 2."),
        ("opened", "\n<think>1+1</think>It is 2.", "<think>\n1+1</think>It is 2."),
        ("opened", "<think>\n\n</think>\n\nIt is 2.", "<think>\n</think>\n\nIt is 2."),
        ("opened without a line", "<think>\n1+1\n</think>It is 2.", "<think>\n1+1\n</think>It is 2."),
        ("opened", "It is 2.", "<think>\nIt is 2."),
        ("closed", "<think>\n\n</think>\n\nIt is 2.", "<think>\n\n</think>\n\nIt is 2."),
        ("closed", "<think>\n1+1\n</think>\n\nIt is 2.", "<think>\n\n</think>\n\n1+1\n\nIt is 2."),
        ("closed", "<think>\n1+1 is 2.", "<think>\n\n</think>\n\n1+1 is 2."),
        ("closed", "It is 2.", "<think>\n\n</think>\n\nIt is 2."),
    ],
)
def test_prompt_and_solution_have_one_block_of_thought(opening, solution, written):
    assert OPENINGS[opening] + continue_thought("<|assistant|>" + OPENINGS[opening], solution) == written
    template = TEMPLATE.replace("OPENING", OPENINGS[opening].replace("\n", "{{ '\\n' }}"))
    special = ["<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer = make_byte_tokenizer(template, special, eos_token="<|end|>", pad_token="<|end|>")
    row = {"question": "What is 1+1?", "solution": solution, "format": "word"}
    example = encode_example(tokenizer, row)
    assert tokenizer.decode(example["input_ids"]) == f"<|user|>What is 1+1?<|end|><|assistant|>{written}<|end|>"
    prompt = encode_prompt(tokenizer, row["question"], "word")
    assert example["labels"] == [-100] * len(prompt) + example["input_ids"][len(prompt) :]
