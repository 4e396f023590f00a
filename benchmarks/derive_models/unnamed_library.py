"""Networks that no rule was made for: architectures of Transformers, as small as they go, in the
library's own initialisation, evaluating."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from benchmarks.derive_models import Built, entry

WIDTH, HEADS, VOCABULARY = 128, 4, 1000
Inputs = Callable[[], dict[str, Any]]


def _tokens(positions: int = 24) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (4, positions))


def _text() -> dict[str, Any]:
    return {"input_ids": _tokens()}


def _generated() -> dict[str, Any]:
    return {"input_ids": _tokens(), "use_cache": False}


def _translated() -> dict[str, Any]:
    return {"input_ids": _tokens(), "decoder_input_ids": _tokens(16), "use_cache": False}


def _image() -> dict[str, Any]:
    return {"pixel_values": torch.randn(4, 3, 32, 32)}


def _large_image() -> dict[str, Any]:
    return {"pixel_values": torch.randn(4, 3, 64, 64)}


def _both() -> dict[str, Any]:
    return _text() | _image()


def _sound() -> dict[str, Any]:
    return {"input_values": torch.randn(4, 1600)}


def _series() -> dict[str, Any]:
    return {"past_values": torch.randn(16, 64, 3)}


def _latents() -> dict[str, Any]:
    return {"inputs": torch.randn(4, 24, WIDTH)}


_BLOCKS: dict[str, Any] = {
    "num_hidden_layers": 3,
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "intermediate_size": 4 * WIDTH,
}
_TEXT = _BLOCKS | {
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 64,
}
_GROUPED = _TEXT | {"num_key_value_heads": 2}
_GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": WIDTH,
    "n_layer": 3,
    "n_head": HEADS,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_PATCHES = _BLOCKS | {"image_size": 32, "patch_size": 8}
_STAGES = {
    "hidden_sizes": [WIDTH, 2 * WIDTH],
    "depths": [2, 2],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_encoder_blocks": 2,
}
_SOUND = _BLOCKS | {
    "num_feat_extract_layers": 3,
    "conv_dim": (WIDTH,) * 3,
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
}
_TRANSLATION = {
    "vocab_size": VOCABULARY,
    "d_model": WIDTH,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 512,
    "decoder_ffn_dim": 512,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": WIDTH}

_ARCHITECTURES: dict[str, tuple[str, str, Inputs, dict[str, Any]]] = {
    "opt": ("OPTForCausalLM", "OPTConfig", _generated, _TEXT | {"word_embed_proj_dim": WIDTH}),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        _generated,
        {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "n_layer": 3, "n_head": HEADS},
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _generated, _TEXT),
    "gpt_j": ("GPTJForCausalLM", "GPTJConfig", _generated, _GPT | {"rotary_dim": 16}),
    "codegen": ("CodeGenForCausalLM", "CodeGenConfig", _generated, _GPT | {"rotary_dim": 16}),
    "falcon": ("FalconForCausalLM", "FalconConfig", _generated, _TEXT),
    "gemma2": (
        "Gemma2ForCausalLM",
        "Gemma2Config",
        _generated,
        _GROUPED | {"head_dim": 32, "sliding_window": 8},
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        _generated,
        _GROUPED | {"head_dim": 32, "sliding_window": 8, "num_hidden_layers": 6},
    ),
    "phi": ("PhiForCausalLM", "PhiConfig", _generated, _TEXT),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", _generated, _GROUPED),
    "cohere": ("CohereForCausalLM", "CohereConfig", _generated, _GROUPED),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", _generated, _GROUPED),
    "stablelm": ("StableLmForCausalLM", "StableLmConfig", _generated, _GROUPED),
    "granite": ("GraniteForCausalLM", "GraniteConfig", _generated, _GROUPED),
    "mpt": (
        "MptForCausalLM",
        "MptConfig",
        _generated,
        {"vocab_size": VOCABULARY, "d_model": WIDTH, "n_layers": 3, "n_heads": HEADS},
    ),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        _generated,
        _GROUPED | _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": WIDTH},
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        _generated,
        _GROUPED | {"head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "distilbert": (
        "DistilBertModel",
        "DistilBertConfig",
        _text,
        {"vocab_size": VOCABULARY, "dim": WIDTH, "n_layers": 3, "n_heads": HEADS},
    ),
    "electra": ("ElectraForPreTraining", "ElectraConfig", _text, _TEXT),
    "deberta": (
        "DebertaModel",
        "DebertaConfig",
        _text,
        _TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    ),
    "deberta_v2": (
        "DebertaV2Model",
        "DebertaV2Config",
        _text,
        _TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    ),
    "xlnet": (
        "XLNetModel",
        "XLNetConfig",
        lambda: {"input_ids": _tokens(), "use_mems": False},
        {"vocab_size": VOCABULARY, "d_model": WIDTH, "n_layer": 3, "n_head": HEADS},
    ),
    "fnet": ("FNetModel", "FNetConfig", _text, _TEXT),
    "squeezebert": (
        "SqueezeBertModel",
        "SqueezeBertConfig",
        _text,
        _TEXT | {"embedding_size": WIDTH},
    ),
    "bart": ("BartModel", "BartConfig", _translated, _TRANSLATION),
    "pegasus": ("PegasusModel", "PegasusConfig", _translated, _TRANSLATION),
    "clip": (
        "CLIPModel",
        "CLIPConfig",
        _both,
        {"text_config": _TEXT, "vision_config": _PATCHES, "projection_dim": WIDTH},
    ),
    "siglip": (
        "SiglipModel",
        "SiglipConfig",
        _both,
        {"text_config": _TEXT | {"projection_size": WIDTH}, "vision_config": _PATCHES},
    ),
    "deit": ("DeiTModel", "DeiTConfig", _image, _PATCHES),
    "dinov2": (
        "Dinov2Model",
        "Dinov2Config",
        _image,
        {key: value for key, value in _PATCHES.items() if key != "intermediate_size"},
    ),
    "convnext_v2": (
        "ConvNextV2Model",
        "ConvNextV2Config",
        _image,
        {"hidden_sizes": [WIDTH, 2 * WIDTH], "depths": [2, 2], "num_stages": 2, "patch_size": 4},
    ),
    "mobilenet_v2": ("MobileNetV2Model", "MobileNetV2Config", _large_image, {}),
    "segformer": (
        "SegformerModel",
        "SegformerConfig",
        _image,
        _STAGES | {"sr_ratios": [4, 1], "num_attention_heads": [2, 4], "mlp_ratios": [4, 4]},
    ),
    "poolformer": ("PoolFormerModel", "PoolFormerConfig", _image, _STAGES | {"padding": [2, 1]}),
    "hubert": ("HubertModel", "HubertConfig", _sound, _SOUND),
    "sew": ("SEWModel", "SEWConfig", _sound, _SOUND),
    "perceiver": (
        "PerceiverModel",
        "PerceiverConfig",
        _latents,
        {
            "num_latents": 16,
            "d_latents": WIDTH,
            "d_model": WIDTH,
            "num_self_attends_per_block": 2,
            "num_self_attention_heads": HEADS,
            "num_cross_attention_heads": HEADS,
        },
    ),
    "patchtst": (
        "PatchTSTModel",
        "PatchTSTConfig",
        _series,
        {
            "num_input_channels": 3,
            "context_length": 64,
            "patch_length": 8,
            "patch_stride": 8,
            "d_model": WIDTH,
            "num_attention_heads": HEADS,
            "ffn_dim": 256,
        },
    ),
}


def _enter(name: str, model: str, config: str, inputs: Inputs, options: dict[str, Any]) -> None:
    def build() -> Built:
        return getattr(hf, model)(getattr(hf, config)(**options)).eval(), inputs()

    build.__name__ = name
    entry(draws=6)(build)


for _name, _row in _ARCHITECTURES.items():
    _enter(_name, *_row)
