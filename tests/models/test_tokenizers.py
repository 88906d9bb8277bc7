"""Tokenizers that would lose what they read, and models that bring code: refused before anything is sampled or trained."""

import json
import shutil

import pytest
from helpers.tokenizer import make_byte_tokenizer

from rlready.errors import InputError
from rlready.models.architecture import read_architecture
from rlready.models.load import load_token_counter, locate
from rlready.records.candidate import BaseModel
from rlready.stages.plan.model import check_model, describe_losses

ROW = {"question": "What is A?", "answer": "\\boxed{A}"}
TEMPLATE = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"


@pytest.fixture
def folder(tiny_model, tmp_path):
    """Returns a copy of the tiny model with a tokenizer of bytes."""
    copy = shutil.copytree(tiny_model, tmp_path / "model")
    make_byte_tokenizer(TEMPLATE, ["<|end|>"], eos_token="<|end|>", pad_token="<|end|>").save_pretrained(copy)
    return copy


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_class_that_makes_another_tokenizer_is_refused(folder):
    """Llama's class takes a space for the mark of SentencePiece, which a vocabulary of bytes does not have."""
    from types import SimpleNamespace

    base, known = BaseModel(str(folder), "", "d"), SimpleNamespace(vocabulary=10**6)
    check_model(base, known)
    change(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast")
    with pytest.raises(InputError, match="tokenizer_class LlamaTokenizerFast .* comes back as .*PreTrainedTokenizerFast"):
        check_model(base, known)


def test_a_tokenizer_that_loses_part_of_the_data_is_noted(folder):
    base = BaseModel(str(folder), "", "d")
    assert describe_losses([base], [ROW]) == []
    change(folder / "tokenizer.json", normalizer={"type": "Lowercase"})
    assert "its tokenizer loses part of 2 of 2 texts: 'What is A?' becomes 'what is a?'" in describe_losses([base], [ROW])[0]


def test_truncation_and_padding_that_a_training_left_in_a_tokenizer_count_no_tokens(folder):
    expected = load_token_counter(str(folder), "")(["one and two", "a"])
    padding = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<|end|>"}
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    change(folder / "tokenizer.json", padding=padding | {"pad_to_multiple_of": None}, truncation=truncation)
    assert load_token_counter(str(folder), "")(["one and two", "a"]) == expected


def test_a_model_with_code_of_its_own_is_refused_without_a_question(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("transformers asked whether to run the code"))
    change(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})
    with pytest.raises(InputError, match="model_type own is unknown"):
        read_architecture(locate(folder))
