"""Texts through a tokenizer: padding under the mask, cuts and unknown words counted."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from torch import nn

from transferscope.adapters.text_to_tokens import Tokenize
from transferscope.sources import TokensInput

PAD, UNKNOWN, START, END = range(4)


def spec(tokenizer: Any, max_length: int = 64, prefix: str = "") -> TokensInput:
    return TokensInput(tokenizer, max_length, nn.Embedding(len(tokenizer), 4), prefix)


def test_shorter_texts_are_padded_at_the_end_under_the_mask(tokenizer: Any) -> None:
    edits: Counter[str] = Counter()
    made = Tokenize(spec(tokenizer), [])(["the cat", "the cat sat on the mat", "dog"], edits)
    ids, mask = made["input_ids"], made["attention_mask"]
    assert ids.shape == mask.shape == (3, 8)
    assert mask.sum(dim=1).tolist() == [4, 8, 3]
    assert (ids[mask == 0] == PAD).all()
    assert ids[:, 0].tolist() == [START] * 3
    assert [row[n - 1] for row, n in zip(ids.tolist(), (4, 8, 3), strict=True)] == [END] * 3
    word = dict(tokenizer.get_vocab())
    assert ids[0, 1:3].tolist() == [word["the"], word["cat"]]
    assert edits == {"tokens": 9, "tokens_unknown": 0}


def test_long_texts_are_cut_inside_their_special_tokens_and_counted(tokenizer: Any) -> None:
    edits: Counter[str] = Counter()
    made = Tokenize(spec(tokenizer, max_length=6), [])(["the cat " * 5, "the dog", "a cat sat on"], edits)
    ids = made["input_ids"]
    assert ids.shape == (3, 6)
    assert (ids[0, 0], ids[0, -1]) == (START, END)
    assert edits["tokens"] == 10 + 2 + 4
    assert edits["tokens_dropped"] == 10 + 2 - 6
    assert edits["truncated"] == 1  # the last one fits exactly


def test_unknown_words_are_counted(tokenizer: Any) -> None:
    edits: Counter[str] = Counter()
    made = Tokenize(spec(tokenizer), [])(["the zebra sat", "你好 cat"], edits)
    assert edits["tokens_unknown"] == 2
    assert (made["input_ids"] == UNKNOWN).sum() == 2


def test_a_prefix_is_put_before_every_text(tokenizer: Any) -> None:
    plain = Tokenize(spec(tokenizer), [])(["the cat", "dog"], Counter())
    prefixed = Tokenize(spec(tokenizer, prefix="big red "), [])(["the cat", "dog"], Counter())
    assert prefixed["attention_mask"].sum() == plain["attention_mask"].sum() + 4
    word = dict(tokenizer.get_vocab())
    assert prefixed["input_ids"][1].tolist() == [START, word["big"], word["red"], word["dog"], END, PAD]


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", "the cat"], ["  ", "cat"]])
def test_empty_texts_keep_a_position(tokenizer: Any, texts: list[str]) -> None:
    edits: Counter[str] = Counter()
    mask = Tokenize(spec(tokenizer), [])(texts, edits)["attention_mask"]
    assert mask[0].tolist()[:2] == [1, 1]
    assert edits["tokens"] == sum(len(text.split()) for text in texts)


@pytest.fixture
def bare() -> Any:
    """A tokenizer with neither special tokens nor padding, as GPT-2's, but with an end token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<end>": 2, "<unk>": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")


def test_without_a_padding_token_the_end_token_pads(bare: Any) -> None:
    made = Tokenize(spec(bare), [])(["a b a", "b", ""], Counter())
    assert made["input_ids"].tolist() == [[0, 1, 0], [1, 2, 2], [2, 2, 2]]
    assert made["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]  # one position of the empty text
    bare.eos_token = None
    assert Tokenize(spec(bare), [])(["a b", "b"], Counter())["input_ids"].tolist() == [[0, 1], [1, 0]]


def test_other_vocabularies_have_other_records(tokenizer: Any, bare: Any) -> None:
    first, second = (Tokenize(spec(t), []).settings() for t in (tokenizer, bare))
    assert first["tokenizer_sha256"] != second["tokenizer_sha256"]
    assert first == Tokenize(spec(tokenizer), ["some probe"]).settings()
    assert (first["max_length"], first["prefix"], first["tokenizer"]) == (64, "", type(tokenizer).__name__)


def test_rules_count_too_and_what_a_call_left_behind_does_not(tokenizer: Any) -> None:
    """One vocabulary, but one of the two folds case: other ids, so another record."""
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    folding = PreTrainedTokenizerFast(tokenizer_object=deepcopy(tokenizer.backend_tokenizer))
    before = Tokenize(spec(folding), []).settings()
    Tokenize(spec(folding, max_length=4), [])(["the quick brown fox jumps"], Counter())  # cuts
    assert Tokenize(spec(folding), []).settings() == before
    folding.backend_tokenizer.normalizer = normalizers.Lowercase()
    after = Tokenize(spec(folding), []).settings()
    assert folding.get_vocab() == tokenizer.get_vocab()
    assert after["tokenizer_sha256"] != before["tokenizer_sha256"]


def test_an_end_token_that_is_also_the_unknown_one_is_no_unknown_word(tokenizer: Any) -> None:
    closing = deepcopy(tokenizer)  # as CLIP's: every text ends in what stands for unknown words
    closing.unk_token = closing.eos_token = "[SEP]"
    edits: Counter[str] = Counter()
    Tokenize(spec(closing), [])(["the cat", "dog"], edits)
    assert edits == {"tokens": 3, "tokens_unknown": 0}


def test_lengths_are_those_of_the_mask(tokenizer: Any) -> None:
    texts = ["the cat", "the cat sat on the mat " * 9, "dog", "", "你好 cat"]
    convert = Tokenize(spec(tokenizer, max_length=20), [])
    mask = convert(texts, Counter())["attention_mask"]
    assert convert.lengths(texts) == mask.sum(dim=1).tolist()
