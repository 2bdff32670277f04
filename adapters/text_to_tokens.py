"""Texts through a source's own tokenizer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..examples import Look, Piece, State
from ..results import Setting
from ..sources.source import Inputs, TokensInput
from .graph import register_converter

MOST_SHOWN, MOST_CUT = 60, 12  # tokens of a text that a person is shown, in the source's input and cut off from it


@register_converter(
    "text", "tokens", cost=1.0, reference="Devlin et al., BERT, NAACL 2019 (subword ids, mask, truncation)"
)
class Tokenize:
    """Texts to ``{"input_ids", "attention_mask"}``, cut at the source's longest input and padded at the end."""

    def __init__(self, spec: TokensInput, probe: Sequence[str]) -> None:
        self.spec, self.tokenizer = spec, spec.tokenizer
        self.n_special = self.tokenizer.num_special_tokens_to_add(pair=False)

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the ids; vocabulary and rules by their hash."""
        return {
            "tokenizer": type(self.tokenizer).__name__, "max_length": self.spec.max_length, "prefix": self.spec.prefix,
            "tokenizer_sha256": hashlib.sha256(self._rules().encode()).hexdigest()[:16],
        }  # fmt: skip

    def _rules(self) -> str:
        """All that the tokenizer does, as text: two may share a vocabulary and differ in how they split or fold."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:  # written in Python: its class, which is recorded beside, holds the rules
            return repr(sorted(self.tokenizer.get_vocab().items()))
        backend.no_truncation()  # what the last call left behind; each call sets its own
        backend.no_padding()
        return backend.to_str()

    def __call__(self, samples: Sequence[str], edits: Counter[str]) -> Inputs:
        import torch

        texts = [self.spec.prefix + text for text in samples]
        rows: list[list[int]] = self._ids(texts)
        for i, ids in enumerate(rows):
            edits["tokens"] += len(ids) - self.n_special
            edits["tokens_unknown"] += self._unknown(ids)
            if (excess := len(ids) - self.spec.max_length) > 0:
                edits["tokens_dropped"] += excess
                edits["truncated"] += 1
                # the tokenizer itself cuts, since it knows which special tokens to keep
                rows[i] = self._ids([texts[i]], truncation=True, max_length=self.spec.max_length)[0]
        longest = max(1, *(len(row) for row in rows))
        padding = self._padding()
        values = torch.full((len(rows), longest), padding, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for i, row in enumerate(rows):
            values[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[i, : max(1, len(row))] = 1  # an empty text keeps one position, so that means are defined
        return {"input_ids": values, "attention_mask": mask}

    def lengths(self, samples: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included: a batch is as long as its longest, which letters tell badly."""
        return [
            min(len(ids), self.spec.max_length) for ids in self._ids([self.spec.prefix + text for text in samples])
        ]

    def show(self, sample: str, made: Inputs) -> Look:
        """The tokens by their own names; of many the first ones, then the first that are cut off."""
        text = self.spec.prefix + sample
        whole, kept = self._ids([text])[0], made["input_ids"][0].tolist()
        n_cut = max(0, len(whole) - len(kept))
        begin = next((i for i, (a, b) in enumerate(zip(whole, kept, strict=False)) if a != b), len(kept))
        cut = range(begin, begin + n_cut) if n_cut else range(0)  # between the start and special tokens at the end
        names = self.tokenizer.convert_ids_to_tokens(whole)
        states = [self._state(token, place in cut) for place, token in enumerate(whole)]
        pieces = [Piece(str(name), state) for name, state in zip(names, states, strict=True)]
        n_words = len(text.split())
        size = f"{len(kept)} of {len(whole)} tokens" if n_cut else f"{len(whole)} tokens"
        each = f", {(len(whole) - self.n_special) / n_words:.1f} a word" if n_words else ""
        return Look(f"{size}{each}", pieces=tuple(_few(pieces)))

    def _state(self, token: int, is_cut: bool) -> State:
        if is_cut:
            return "cut"
        if self._unknown([token]):
            return "unknown"
        return "special" if token in self.tokenizer.all_special_ids else "known"

    def _ids(self, texts: list[str], **options: Any) -> list[list[int]]:
        made = self.tokenizer(texts, return_attention_mask=False, verbose=False, **options)
        return [list(ids) for ids in made["input_ids"]]

    def _unknown(self, ids: Sequence[int]) -> int:
        """A tokenizer of bytes knows all, and names its end token as the unknown one."""
        known = self.tokenizer
        unknown = known.unk_token_id
        if unknown is None or unknown in (known.bos_token_id, known.eos_token_id, known.pad_token_id):
            return 0
        return sum(i == unknown for i in ids)

    def _padding(self) -> int:
        """A tokenizer without a padding token pads with its end token, under a mask of 0."""
        for known in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if known is not None:
                return int(known)
        return 0


def _few(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The first of what is kept, and of what is cut; how many more there are is counted."""
    for is_cut, group in groupby(pieces, lambda piece: piece.state == "cut"):
        own = list(group)
        most = MOST_CUT if is_cut else MOST_SHOWN
        yield from own[:most]
        if len(own) > most:
            yield Piece(f"{len(own) - most} more{' cut off' if is_cut else ''}", "more")
