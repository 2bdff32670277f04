"""timm's families with random weights: taps of the right width, inputs from their own config, twins by seed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from transferscope.errors import SourceError, TransferScopeError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Outputs, Source, load_source
from transferscope.sources.timm import _taps, create_timm, wrap_timm


def run(source: Source, n: int = 2) -> Outputs:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(n, source.input.channels, *source.input.size, generator=generator)
    with torch.no_grad():
        return source.run({"pixel_values": pixels}, source.card.layers)


TINY_VIT = {"depth": 2, "embed_dim": 24, "num_heads": 2, "img_size": 64}
SHRUNK = [  # name, what makes it small, layout of the last stage
    ("test_resnet", {}, "NCHW"),
    ("test_efficientnet", {}, "NCHW"),
    ("mobilenetv3_small_050", {}, "NCHW"),
    ("test_convnext", {}, "NCHW"),
    ("densenet121", {"growth_rate": 4, "block_config": (1, 1, 1, 1)}, "NCHW"),
    ("regnetx_002", {}, "NCHW"),
    ("test_byobnet", {}, "NCHW"),
    ("test_nfnet", {}, "NCHW"),
    ("resnetv2_18", {"layers": (1, 1, 1, 1), "channels": (16, 16, 24, 24)}, "NCHW"),
    ("test_mambaout", {}, "NHWC"),
    ("test_vit", {}, "NTC"),
    ("vit_tiny_patch16_224", TINY_VIT, "NTC"),
    ("deit_tiny_distilled_patch16_224", TINY_VIT, "NTC"),
    ("eva02_tiny_patch14_224", {**TINY_VIT, "img_size": 56}, "NTC"),
    ("vit_small_patch14_reg4_dinov2", {**TINY_VIT, "img_size": 56}, "NTC"),
    ("vit_tiny_r_s16_p8_224", {"depth": 2, "embed_dim": 24, "num_heads": 2, "img_size": 64}, "NTC"),
    ("test_coatnet", {"img_size": 64}, "NCHW"),
    ("test_maxvit", {"img_size": 64}, "NCHW"),
    ("mixer_s32_224", {"img_size": 64}, "NTC"),
    ("xcit_nano_12_p16_224", {"depth": 2, "embed_dim": 24, "img_size": 64}, "NTC"),
    ("cait_xxs24_224", {**TINY_VIT, "depth_token_only": 1}, "NTC"),
    ("convit_tiny", {**TINY_VIT, "local_up_to_layer": 1, "num_heads": 4}, "NTC"),
    (
        "swin_tiny_patch4_window7_224",
        {"depths": (1, 1), "embed_dim": 12, "num_heads": (1, 2), "img_size": 64, "window_size": 4},
        "NHWC",
    ),
    # a stage that is no module, two of one name, or one that gives something else: timm's own maps
    ("coat_tiny", {"serial_depths": (1,) * 4, "parallel_depth": 1, "embed_dims": (16,) * 4, "img_size": 64}, "NCHW"),
    ("twins_svt_small", {"depths": (1,) * 4, "embed_dims": (16, 32, 48, 64), "num_heads": (1,) * 4}, "NCHW"),
    ("mvitv2_tiny", {"img_size": 64}, "NCHW"),
    (
        "crossvit_tiny_240",
        {"depth": ((1, 2, 0), (1, 2, 0)), "embed_dim": (16, 32), "num_heads": (2, 2), "img_size": 240},
        "NCHW",
    ),
    ("tnt_s_legacy_patch16_224", {"depth": 2, "embed_dim": 24, "img_size": 64}, "NCHW"),
    ("hrnet_w18_small", {}, "NCHW"),
]
WHOLE = (
    "mixer_s16_224", "mobilenetv4_conv_small_035", "ghostnet_050", "convnextv2_atto", "pvt_v2_b0", "levit_128s",
    "volo_d1_224", "tresnet_m", "sequencer2d_s", "efficientvim_m1", "dla34", "dpn48b", "vgg11", "mobilenetv5_base",
    "samvit_base_patch16_224", "hiera_tiny_224", "vitamin_small_224", "vit_base_r50_s16_224", "edgenext_xx_small",
    "densenet121", "swinv2_tiny_window8_256", "eva02_tiny_patch14_224", "maxvit_tiny_rw_224", "nest_tiny",
)  # fmt: skip


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * max(1.0, float(b.detach().abs().max())))


def check_laws(source: Source) -> Outputs:
    """Taps pool to what timm's own functions give, whatever else is in the batch."""
    model: Any = source.model
    pixels = torch.randn(3, source.input.channels, *source.input.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = source.run({"pixel_values": pixels}, source.card.layers)
        maps = model.forward_intermediates(pixels, intermediates_only=True)
        pooled = model.forward_head(model.forward_features(pixels), pre_logits=True)
        logits = model(pixels)
        alone = source.run({"pixel_values": pixels[1:2]}, source.card.layers)
    *stages, last = source.card.layers
    assert last == "penultimate"
    for layer, expected in zip(stages, maps, strict=True):
        found = pool(outputs.layers[layer])
        close(found, expected.flatten(2).mean(dim=2))
        assert found.std(dim=0).max() > 0, f"{layer} is the same for every picture"
    pooled = torch.cat(list(pooled), dim=1) if isinstance(pooled, tuple | list) else pooled
    close(pool(outputs.layers[last]), pooled.flatten(1))
    for layer in source.card.layers:
        close(pool(alone.layers[layer])[0], pool(outputs.layers[layer])[1])
    if source.card.n_source_classes is None:
        assert outputs.logits is None
    else:
        assert outputs.logits is not None
        close(outputs.logits, logits)
        assert logits.shape == (3, source.card.n_source_classes)
    return outputs


@pytest.mark.parametrize(("name", "options", "layout"), SHRUNK, ids=[case[0] for case in SHRUNK])
def test_every_family_is_tapped_at_every_stage(name: str, options: dict[str, Any], layout: str) -> None:
    side = options.get("img_size", 64)
    source = wrap_timm(create_timm(name, pretrained=False, **options), f"timm:{name}", size=(side, side))
    outputs = check_laws(source)
    assert outputs.layers[source.card.layers[-2]].layout == layout
    assert source.card.n_source_classes == (source.model.num_classes or None)
    assert source.card.n_parameters == sum(p.numel() for p in source.model.parameters()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_more_families_at_their_own_size(name: str) -> None:
    source = load_source(f"timm:{name}?weights=random")
    check_laws(source)
    assert source.card.n_source_classes is None  # a random head says nothing


def test_stages_have_timms_own_names_where_they_are_modules() -> None:
    resnet = load_source("timm:test_resnet?weights=random&size=32").card.layers
    assert resnet == ("act1", "layer1", "layer2", "layer3", "layer4", "penultimate")
    hrnet = load_source("timm:hrnet_w18_small?weights=random&size=64").card.layers
    assert hrnet == ("stem", "stage1", "stage2", "stage3", "stage4", "penultimate")


def test_hooks_are_removed_and_gradients_flow_through_every_kind_of_tap() -> None:
    for name, options in (
        ("test_resnet", {}),
        ("deit_tiny_distilled_patch16_224", TINY_VIT),
        ("coat_tiny", {"serial_depths": (1,) * 4, "parallel_depth": 1, "embed_dims": (16,) * 4, "img_size": 64}),
    ):
        source = wrap_timm(create_timm(name, pretrained=False, **options), name, size=(64, 64))
        layers = source.card.layers
        found = source.run({"pixel_values": torch.randn(2, 3, 64, 64)}, layers)
        sum(pool(found.layers[layer]).square().sum() for layer in layers).backward()  # type: ignore[union-attr]
        gradients = [p.grad for p in source.model.parameters() if p.grad is not None]
        assert len(gradients) > 0.7 * len(list(source.model.parameters()))
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in source.model.modules())


def test_class_and_register_tokens_are_no_content() -> None:
    for name, skip in (("vit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)):
        model = create_timm(name, pretrained=False, size=(32, 32), depth=2)
        found = run(wrap_timm(model, name, size=(32, 32)), 1).layers["blocks.1"]
        assert found.values.shape[1] == 4 + skip
        torch.testing.assert_close(pool(found), found.values[:, skip:].mean(dim=1))
        torch.testing.assert_close(pool(found, "first"), found.values[:, 0])


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


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_saved_checkpoint_is_interpolated_to_the_size(name: str, tmp_path: Path) -> None:
    saved: Any = create_timm(name, pretrained=False, seed=3)
    torch.save(saved.state_dict(), tmp_path / "saved.pth")
    local = {"file": str(tmp_path / "saved.pth"), "hf_hub_id": None}
    model: Any = create_timm(name, pretrained=True, size=(64, 96), pretrained_cfg_overlay=local)
    source = wrap_timm(model, name, size=(64, 96))
    check_laws(source)
    if name == "test_vit":
        from timm.layers import resample_abs_pos_embed

        expected = resample_abs_pos_embed(saved.pos_embed, (4, 6), num_prefix_tokens=saved.num_prefix_tokens)
        close(model.pos_embed, expected)
        assert model.pos_embed.shape != saved.pos_embed.shape
    close(dict(model.named_parameters())["fc.weight" if name == "test_resnet" else "head.weight"],
          saved.get_classifier().weight)  # fmt: skip


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_one_channel_gives_what_a_gray_picture_gave_in_three(name: str) -> None:
    colour = load_source(f"timm:{name}?weights=random&size=64", seed=5)
    gray = load_source(f"timm:{name}?weights=random&size=64&channels=1", seed=5)
    assert (gray.input.channels, colour.input.channels) == (1, 3)  # type: ignore[union-attr]
    picture = torch.rand(2, 1, 64, 64)
    found = []
    for source in (colour, gray):
        mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (source.input.mean, source.input.std))  # type: ignore[union-attr]
        with torch.no_grad():
            found.append(source.run({"pixel_values": (picture - mean) / std}, source.card.layers))
    for layer in colour.card.layers:
        close(pool(found[1].layers[layer]), pool(found[0].layers[layer]))
    check_laws(gray)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("test_vit?weights=random&size=8", r"8x8 pixels \(Input height \(8\) should be divisible by patch size .*"),
        ("vgg11?weights=random&size=16", r"16x16 pixels \(.*too small\)"),
        ("test_convnext?weights=random&size=2x64", r"2x64 pixels \(.*\)"),
    ],
)
def test_a_size_that_the_model_cannot_take_is_refused_at_once(spec: str, reason: str) -> None:
    with pytest.raises(SourceError, match=rf"timm:.*: does not take pictures of {reason}; expected a size= that is"):
        load_source(f"timm:{spec}")


def test_an_old_timm_without_intermediates_is_named() -> None:
    class Old:
        feature_info: ClassVar[list[Any]] = []

        def get_classifier(self) -> torch.nn.Module:
            return torch.nn.Identity()

    with pytest.raises(SourceError, match="old: this version of timm gives no intermediate features of it; upgrade"):
        _taps(Old(), ImageInput((8, 8), (0.0,), (1.0,)), "old")


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


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub's client may ask, but nothing answers; its cache is an empty folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_hub_that_does_not_answer_is_an_error_within_seconds(no_hub: Path) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"cannot be had \(no connection to http://127.0.0.1:9: .*local cache\)"):
        load_source("timm:test_resnet.r160_in1k")
    assert time.monotonic() - started < 10


def test_weights_in_the_hubs_cache_need_no_hub(no_hub: Path) -> None:
    from huggingface_hub import constants
    from safetensors.torch import save_file

    saved = create_timm("test_resnet", pretrained=False, seed=7)
    repository = no_hub / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(saved.state_dict(), repository / "snapshots" / ("0" * 40) / "model.safetensors")
    source = load_source("timm:test_resnet.r160_in1k?size=64")
    torch.testing.assert_close(source.model.state_dict(), saved.state_dict())
    assert source.card.n_source_classes == 1000
    assert constants.HF_HUB_OFFLINE is False


def test_an_architecture_that_cannot_be_built_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"timm:xcit_nano_12_p16_224: cannot be built \(.*patch_size.* divide"):
        load_source("timm:xcit_nano_12_p16_224?weights=random&size=33")
