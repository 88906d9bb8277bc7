"""What is asked and trained on: one <think> block, wherever the chat template and the solution write one."""

import pytest
from helpers.tokenizer import make_byte_tokenizer

from rlready.models.prompts import continue_thought, encode_example, encode_prompt
from rlready.records.outcome import BaseModel
from rlready.stages.plan.model import show_example

OPENINGS = {"none": "", "opened": "<think>\n", "opened without a line": "<think>", "closed": "<think>\n\n</think>\n\n"}
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


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("end", ["<|end|>", "<eos>"])
def test_plan_shows_the_very_text_that_is_trained(opening, end, tmp_path):
    template = TEMPLATE.replace("OPENING", OPENINGS[opening].replace("\n", "{{ '\\n' }}"))
    special = ["<|user|>", "<|assistant|>", "<|end|>"] if end == "<|end|>" else ["<|user|>", "<|assistant|>"]
    tokenizer = make_byte_tokenizer(template, special, eos_token="<eos>", pad_token="<eos>")
    tokenizer.save_pretrained(tmp_path)
    row = {"question": "What is 1+1?", "solution": "<think>\n1+1\n</think>\nIt is\n2.", "format": "boxed"}
    lines = show_example(BaseModel(str(tmp_path), "", ""), row)
    behind = lines.index("the text that SFT trains on, with its end token:")
    prompt, text = ("\n".join(line[4:] for line in part) for part in (lines[1:behind], lines[behind + 1 :]))
    trained = tokenizer.decode(encode_example(tokenizer, row)["input_ids"])
    assert trained.replace("\n", "") == (prompt + text).replace("\n", "") and text.endswith(end)
