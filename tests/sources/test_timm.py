"""timm's families with random weights: taps of the right width, inputs from their own config, twins by seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from transferscope.errors import SourceError, TransferScopeError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Outputs, Source, load_source
from transferscope.sources.timm import create_timm, wrap_timm


def run(source: Source, n: int = 2) -> Outputs:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(n, source.input.channels, *source.input.size, generator=generator)
    with torch.no_grad():
        return source.run({"pixel_values": pixels}, source.card.layers)


def widths(model: Any) -> dict[str, int]:
    """Channels of each stage as timm's own feature info has them."""
    info = model.feature_info if isinstance(model.feature_info, list) else model.feature_info.info
    return {stage["module"]: stage["num_chs"] for stage in info}


SHRUNK = [  # name, what makes it small, layout of the last stage
    ("test_resnet", {}, "NCHW"),
    ("mobilenetv3_small_050", {}, "NCHW"),
    ("test_efficientnet", {}, "NCHW"),
    ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (4, 8, 12, 16)}, "NCHW"),
    ("test_byobnet", {}, "NCHW"),
    ("test_nfnet", {}, "NCHW"),
    ("vit_tiny_patch16_224", {"depth": 2, "embed_dim": 24, "img_size": 64}, "NTC"),
    ("deit_tiny_distilled_patch16_224", {"depth": 2, "embed_dim": 24, "img_size": 64}, "NTC"),
    ("xcit_nano_12_p16_224", {"depth": 2, "embed_dim": 24, "img_size": 64}, "NTC"),
    (
        "swin_tiny_patch4_window7_224",
        {"depths": (1, 1), "embed_dim": 12, "num_heads": (1, 2), "img_size": 64, "window_size": 4},
        "NHWC",
    ),
    ("coat_tiny", {"serial_depths": (1,) * 4, "parallel_depth": 1, "embed_dims": (16,) * 4, "img_size": 64}, "NTC"),
]
WHOLE = (
    "regnetx_002", "mixer_s32_224", "mobilenetv4_conv_small_035", "ghostnet_050", "convnextv2_atto", "pvt_v2_b0",
    "levit_128s", "volo_d1_224",
)  # fmt: skip


def check_taps(source: Source) -> Outputs:
    """Every stage of timm's feature info gives its number of channels, and nothing is taken for a head."""
    outputs, expected = run(source), widths(source.model)
    assert source.card.layers == (*expected, "penultimate")
    for layer, width in expected.items():
        values = pool(outputs.layers[layer])
        assert values.shape == (2, width), layer
        assert torch.isfinite(values).all()
    assert pool(outputs.layers["penultimate"]).shape == (2, source.model.head_hidden_size)  # type: ignore[arg-type]
    assert outputs.logits is None  # a random head says nothing
    assert source.card.n_source_classes is None
    assert source.card.n_parameters == sum(p.numel() for p in source.model.parameters()) > 0
    return outputs


@pytest.mark.parametrize(("name", "options", "layout"), SHRUNK, ids=[case[0] for case in SHRUNK])
def test_every_family_is_tapped_at_its_stages(name: str, options: dict[str, Any], layout: str) -> None:
    model = create_timm(name, pretrained=False, **options)
    outputs = check_taps(wrap_timm(model, f"timm:{name}", size=(64, 64), is_random=True))
    assert outputs.layers[list(widths(model))[-1]].layout == layout
    assert outputs.layers["penultimate"].layout == "NC"


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_more_families_at_their_own_size(name: str) -> None:
    check_taps(load_source(f"timm:{name}?weights=random"))


def test_class_and_register_tokens_are_no_content() -> None:
    for name, skip in (("vit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)):
        model = create_timm(name, pretrained=False, size=(32, 32), depth=2)
        found = run(wrap_timm(model, name, size=(32, 32)), 1).layers["blocks.1"]
        assert found.values.shape[1] == 4 + skip
        torch.testing.assert_close(pool(found), found.values[:, skip:].mean(dim=1))
        torch.testing.assert_close(pool(found, "first"), found.values[:, 0])


@pytest.mark.parametrize(
    ("name", "options", "width"),
    [
        ("twins_svt_small", {"depths": (1, 1, 1, 1), "embed_dims": (16, 32, 48, 64), "num_heads": (1, 1, 1, 1)}, 64),
        pytest.param("mvitv2_tiny", {}, 768, marks=pytest.mark.slow),
        pytest.param("hrnet_w18_small", {}, 2048, marks=pytest.mark.slow),
        pytest.param("crossvit_tiny_240", {}, 192, marks=pytest.mark.slow),
    ],
)
def test_odd_feature_infos_and_heads_leave_what_can_be_tapped(name: str, options: dict[str, Any], width: int) -> None:
    source = wrap_timm(create_timm(name, pretrained=False, **options), name)
    outputs = run(source, 1)
    assert set(outputs.layers) == set(source.card.layers)
    assert all(pool(found).isfinite().all() for found in outputs.layers.values())
    assert outputs.layers["penultimate"].values.shape == (1, width)


def test_penultimate_is_what_the_classifier_reads() -> None:
    source = wrap_timm(create_timm("resnet10t", pretrained=False), "timm:resnet10t", size=(32, 32))
    outputs = run(source)
    model: Any = source.model
    torch.testing.assert_close(outputs.logits, model.fc(outputs.layers["penultimate"].values))
    assert outputs.logits is not None
    assert outputs.logits.shape == (2, source.card.n_source_classes) == (2, 1000)
    torch.testing.assert_close(outputs.layers["penultimate"].values, pool(outputs.layers["layer4"]))


def test_a_model_without_a_classifier_has_no_logits() -> None:
    source = wrap_timm(create_timm("resnet10t", pretrained=False, num_classes=0), "timm:resnet10t", size=(32, 32))
    outputs = run(source)
    assert outputs.logits is None
    assert source.card.n_source_classes is None
    assert outputs.layers["penultimate"].values.shape == (2, 512)


def test_one_sample_and_a_batch_agree() -> None:
    source = load_source("timm:test_convnext?weights=random&size=64")
    pixels = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        batch = source.run({"pixel_values": pixels}, source.card.layers)
        for row in range(3):
            alone = source.run({"pixel_values": pixels[row : row + 1]}, source.card.layers)
            for layer in source.card.layers:
                torch.testing.assert_close(
                    alone.layers[layer].values[0], batch.layers[layer].values[row], rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("name", ["resnet10t", "deit_tiny_patch16_224"])
def test_input_is_read_from_the_models_own_config(name: str) -> None:
    import timm

    model = timm.create_model(name)
    config = timm.data.resolve_data_config({}, model=model)
    spec = wrap_timm(model, name).input
    assert isinstance(spec, ImageInput)
    assert (3, *spec.size) == config["input_size"]
    assert (spec.mean, spec.std) == (config["mean"], config["std"])
    assert (spec.interpolation, spec.crop) == (config["interpolation"], config["crop_pct"])


@pytest.mark.parametrize(("option", "size"), [("48", (48, 48)), ("32x96", (32, 96))])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_size_is_an_option(name: str, option: str, size: tuple[int, int]) -> None:
    source = load_source(f"timm:{name}?weights=random&size={option}")
    assert source.input.size == size
    assert pool(run(source).layers["penultimate"]).isfinite().all()


def test_twins_differ_by_seed_only() -> None:
    name = "timm:test_resnet?weights=random&size=32"
    torch.manual_seed(0)
    first = load_source(name, seed=1)
    torch.manual_seed(9)
    again, other = load_source(name, seed=1), load_source(name, seed=2)
    assert first.card == again.card
    assert first.card.weights_sha256 != other.card.weights_sha256
    assert (first.card.is_random, first.card.twin_of) == (True, "timm:test_resnet?size=32")
    torch.testing.assert_close(run(first).layers["penultimate"].values, run(again).layers["penultimate"].values)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnet118", r"no timm model named 'resnet118'. Did you mean .*'resnet18'"),
        ("timm:resnet18.a1_in2k", r"no pretrained weights of timm:resnet18 named .* mean 'resnet18.a1_in1k'"),
        ("timm:resnet18?weight=random", r"no option of timm: named 'weight'. Did you mean 'weights'"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(spec: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_source(spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("weights=randm", r"option weights='randm' is not valid \(expected pretrained or random\)"),
        ("size=0", r"option size='0' is not valid \(expected a positive whole number\)"),
        ("size=axb", "option size='axb' is not valid"),
    ],
)
def test_options_are_checked(options: str, message: str) -> None:
    with pytest.raises(TransferScopeError, match=message):
        load_source(f"timm:resnet18?{options}")


def test_without_a_network_the_message_names_the_local_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = r"timm:resnet18.a1_in1k: its pretrained weights cannot be had \(.+\)\. Without a network, name a local "
    with pytest.raises(SourceError, match=message + r"copy: file:CHECKPOINT\?arch=timm:resnet18.a1_in1k"):
        load_source("timm:resnet18.a1_in1k")


def test_an_architecture_that_cannot_be_built_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"timm:xcit_nano_12_p16_224: cannot be built \(.*patch_size.* divide"):
        load_source("timm:xcit_nano_12_p16_224?weights=random&size=33")
