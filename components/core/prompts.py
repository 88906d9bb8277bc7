"""The one prompt and answer format: what the model is asked, and how a worked solution is written for training."""

import re

# Formats by name; a data row says which is its own.
INSTRUCTIONS = {
    "word": "{question}",
    "boxed": "{question}\n\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    "letter": "{question}\n\nPlease reason step by step, and put the letter of the right option within \\boxed{{}}.",
}


def write_messages(question: str, answer_format: str) -> list[dict[str, str]]:
    """Returns the chat that asks a question in a format of INSTRUCTIONS."""
    return [{"role": "user", "content": INSTRUCTIONS[answer_format].format(question=question)}]


def encode_prompt(tokenizer, question: str, answer_format: str) -> list[int]:
    """Returns the token ids of the prompt, ending where the model's answer begins."""
    messages = write_messages(question, answer_format)
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


def encode_completion(tokenizer, solution: str) -> list[int]:
    """Returns the token ids of a worked solution and the end token that stops the model at inference."""
    return tokenizer(solution, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]


def encode_example(tokenizer, row: dict) -> dict[str, list[int]]:
    """Returns input_ids and labels of one SFT example; labels are -100 on the prompt, so only the completion has loss."""
    prompt = encode_prompt(tokenizer, row["question"], row["format"])
    completion = encode_completion(tokenizer, row["solution"])
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


def clean_gsm8k_solution(text: str) -> tuple[str, str]:
    """Returns (solution, answer) of a GSM8K answer field: calculator marks removed, `#### 72` turned into a boxed answer."""
    text, _, answer = text.rpartition("####")
    answer = answer.strip().replace(",", "")
    solution = re.sub(r"<<.*?>>", "", text).strip()
    return f"{solution}\nThe answer is \\boxed{{{answer}}}.", answer
