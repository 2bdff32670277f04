"""What a checkpoint's README says of it."""

from __future__ import annotations

from pathlib import Path

from transferscope.sources.model_card import read_model_card

HUB = {"revision": None, "local_files_only": True}
NOTHING = {"license": None, "pretraining": None, "source_accuracy": None}
CARD = """---
license: apache-2.0
datasets: [imagenet-1k]
model-index:
- name: net
  results:
  - task: {type: image-classification}
    dataset: {type: imagenet-1k, name: ImageNet}
    metrics:
    - {type: loss, value: 0.9}
    - {type: accuracy, value: 81.3}
---
# A model
"""


def test_licence_data_and_accuracy_are_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert read_model_card(tmp_path, "x", HUB) == {
        "license": "apache-2.0", "pretraining": "imagenet-1k", "source_accuracy": 0.813
    }  # fmt: skip


def test_no_card_or_one_without_facts_says_nothing(tmp_path: Path) -> None:
    assert read_model_card(tmp_path, "x", HUB) == NOTHING
    (tmp_path / "README.md").write_text("# only words\n")
    assert read_model_card(tmp_path, "x", HUB) == NOTHING
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    assert read_model_card(tmp_path, "x", HUB) == NOTHING
    assert read_model_card(None, "nobody/has-this-model", HUB) == NOTHING
