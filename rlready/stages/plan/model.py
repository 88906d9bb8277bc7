"""Whether a model can be sampled, trained and saved: its tokens, chat template, generation_config.json and positions."""

from pathlib import Path

from rlready.errors import InputError, error_context, one_line
from rlready.models.architecture import Architecture, check_length, check_recurrence
from rlready.models.load import BUILTIN, get_folder, load_tokenizer, locate, read_json, read_tokenizer
from rlready.models.prompts import refuse_tokens, write_messages
from rlready.models.weights import quiet_transformers
from rlready.records.candidate import BaseModel
from rlready.stages.plan.template import ChatTemplate, read_template

# Keys of a generation_config.json in which there is nothing to refuse, unless it is a token of -1; the last if it samples.
PLAIN = {"_from_model_config", "transformers_version", "use_cache", "do_sample", "bos_token_id", "eos_token_id", "pad_token_id"}
SAMPLED = {"temperature", "top_p", "top_k"}
# Classes of which transformers takes a tokenizer.json with a vocabulary of bytes as it is, but for its splitting of words.
BYTE_LEVEL = {"TokenizersBackend", "PreTrainedTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer"}
SPACED = "The value of x is 12.\nSo \\boxed{A} < 5"
ROWS_TRIED = 20


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
        tokens = value if isinstance(value, list) else [] if value is None else [value]
        if name.endswith("_token_id") and any(type(token) is not int for token in tokens):
            raise InputError(f"its generation_config.json: {name} is {value!r}, not a number or a list of them; correct it")
    plain = PLAIN | SAMPLED if values.get("do_sample") is True else PLAIN
    if all((name in plain and value != -1) or value in (None, False) for name, value in values.items()):
        return  # most are like this, and transformers takes seconds to import
    from transformers import GenerationConfig

    try:
        with quiet_transformers():
            GenerationConfig.from_dict(values).validate(strict=True)
    except ValueError as error:
        wrong = " ".join(line.strip("- ") for line in str(error).splitlines() if "`" in line)
        raise InputError(
            f"transformers does not save its generation_config.json: {wrong or error} Correct the file (for a hub model, in a"
            " copy of its folder)"
        ) from error
