"""A tokenizer of bytes."""


def make_byte_tokenizer(template, special, **tokens):
    """Returns a tokenizer whose tokens are bytes and some special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE({c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **tokens)
    fast.add_special_tokens({"additional_special_tokens": special})
    return fast
