"""Trains a miniature's base model: python tests/helpers/miniature.py OUT_DIR [--task countdown] (2 and 10 minutes)."""

import argparse
import random
from pathlib import Path

from rlready.countdown import problems as countdown
from rlready.list_machine.problems import ALPHABET, TraceNoise, write_problem, write_trace

NOISE = TraceNoise(wrong_letter=0.12, dropped_move=0.06, direct=0.10)
LEAPS = (0.0, 0.3, 0.6)  # probabilities, one drawn per trace
# Of Countdown: the steps lead to another number; if so, the target is written as the last result; and a result is wrong.
AIMLESS, WISHFUL, SLIP = 0.5, 0.3, 0.03
# A chat of one user turn becomes the bare question, so the miniature is handled like any chat model.
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def build_tokenizer(alphabet: str = ALPHABET):
    """Returns a tokenizer of single characters, with `<pad>`, `<eos>` and `<unk>`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=128,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer, hidden: int = 96, layers: int = 3, seed: int = 0):
    """Returns a randomly initialised Llama model for the tokenizer (279,744 parameters at the default size)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            initializer_range=0.06,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def write_list_machine(rng: random.Random) -> tuple[str, str]:
    """Draws a question of the list machine and a noisy trace."""
    moves = rng.randint(1, 5) if rng.random() < 0.8 else rng.randint(6, 8)
    question, _ = write_problem(rng, moves)
    return question, write_trace(rng, question, rng.choice(LEAPS), NOISE)


def write_countdown(rng: random.Random) -> tuple[str, str]:
    """Draws a question of Countdown, mostly with few numbers, and a noisy solution."""
    count = rng.choice((2, 2, 3, 3, 3, 4))
    numbers = [rng.randint(1, 9) for _ in range(count)]
    steps = countdown.draw_steps(rng, numbers)
    target = steps[-1][-1]
    if rng.random() < AIMLESS:
        steps = countdown.draw_steps(rng, numbers, SLIP)
        if rng.random() < WISHFUL:
            steps[-1] = (*steps[-1][:-1], target)
    return countdown.write_question(numbers, target), countdown.write_solution(steps)


# What a base model is trained on, its alphabet, steps, sequences per step and hidden size.
TASKS = {
    "list-machine": (write_list_machine, ALPHABET, 1000, 64, 96),
    "countdown": (write_countdown, countdown.ALPHABET, 5000, 48, 96),
}


def train_base(out: Path, task: str = "list-machine", layers: int = 3, seed: int = 0) -> None:
    """Trains a base model on noisy solutions of a task and writes it to a folder in the Hugging Face layout.

    Because of the noise the model finds right ones only rarely, which leaves something for RL to improve.
    """
    import torch

    write, alphabet, steps, batch, hidden = TASKS[task]
    tokenizer = build_tokenizer(alphabet)
    model = build_model(tokenizer, hidden, layers, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.05)
    rng = random.Random(seed)
    for step in range(steps):
        sequences = []
        for _ in range(batch):
            question, solution = write(rng)
            prompt = tokenizer.encode(question)
            trace = tokenizer.encode(solution) + [tokenizer.eos_token_id]
            sequences.append((prompt + trace, [-100] * len(prompt) + trace))
        width = max(len(ids) for ids, _ in sequences)
        ids = torch.tensor([s + [tokenizer.pad_token_id] * (width - len(s)) for s, _ in sequences])
        labels = torch.tensor([target + [-100] * (width - len(target)) for _, target in sequences])
        loss = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", choices=TASKS, default="list-machine")
    given = parser.parse_args()
    train_base(given.out, given.task)
