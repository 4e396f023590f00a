"""Transformers: the library's models built from small configurations, and torch's own."""

from __future__ import annotations

import torch
import transformers as hf
from benchmarks.derive_models import Built, entry
from torch import nn

WIDTH, HEADS, VOCABULARY = 128, 4, 1000


def _tokens(examples: int = 4, positions: int = 32) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (examples, positions))


def _images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32)


def _llama_like(**more: int) -> dict[str, int]:
    return {
        "num_hidden_layers": 3,
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "intermediate_size": 352,
        "vocab_size": VOCABULARY,
        **more,
    }


def _bert_like(**more: int) -> dict[str, int]:
    return {
        "num_hidden_layers": 3,
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        **more,
    }


@entry(draws=20)
def gpt2() -> Built:
    config = hf.GPT2Config(
        n_layer=3,
        n_embd=WIDTH,
        n_head=HEADS,
        vocab_size=VOCABULARY,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
    )
    return hf.GPT2LMHeadModel(config), {"input_ids": _tokens()}


@entry(draws=20)
def bert() -> Built:
    config = hf.BertConfig(**_bert_like(vocab_size=VOCABULARY))
    return hf.BertModel(config), {"input_ids": _tokens()}


@entry(draws=20)
def bert_padded() -> Built:
    config = hf.BertConfig(**_bert_like(vocab_size=VOCABULARY))
    mask = (torch.arange(32) < torch.tensor([[32], [24], [16], [8]])).long()
    return hf.BertModel(config), {"input_ids": _tokens() * mask, "attention_mask": mask}


@entry(draws=20)
def t5() -> Built:
    config = hf.T5Config(
        num_layers=2,
        d_model=WIDTH,
        num_heads=HEADS,
        d_kv=WIDTH // HEADS,
        d_ff=4 * WIDTH,
        vocab_size=VOCABULARY,
    )
    inputs = {"input_ids": _tokens(), "decoder_input_ids": _tokens()}
    return hf.T5ForConditionalGeneration(config), inputs


@entry(draws=20)
def vit() -> Built:
    config = hf.ViTConfig(**_bert_like(image_size=32, patch_size=8))
    return hf.ViTModel(config), {"pixel_values": _images()}


@entry(draws=20)
def swin() -> Built:
    config = hf.SwinConfig(
        embed_dim=WIDTH,
        depths=[2, 2],
        num_heads=[HEADS, 2 * HEADS],
        window_size=4,
        image_size=32,
        patch_size=2,
    )
    return hf.SwinModel(config), {"pixel_values": _images()}


@entry(draws=20)
def llama() -> Built:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**_llama_like())), {"input_ids": _tokens()}


@entry(draws=20)
def qwen3() -> Built:
    config = hf.Qwen3Config(**_llama_like(head_dim=WIDTH // HEADS))
    return hf.Qwen3ForCausalLM(config), {"input_ids": _tokens()}


@entry(draws=20)
def mixtral() -> Built:
    config = hf.MixtralConfig(**_llama_like(num_local_experts=4))
    return hf.MixtralForCausalLM(config), {"input_ids": _tokens()}


@entry(draws=20)
def whisper() -> Built:
    config = hf.WhisperConfig(
        encoder_layers=2,
        decoder_layers=2,
        d_model=WIDTH,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        vocab_size=VOCABULARY,
        num_mel_bins=40,
        max_source_positions=50,
        max_target_positions=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    inputs = {"input_features": torch.randn(4, 40, 100), "decoder_input_ids": _tokens(4, 16)}
    return hf.WhisperModel(config), inputs


@entry(draws=20)
def wav2vec2() -> Built:
    config = hf.Wav2Vec2Config(
        **_bert_like(num_feat_extract_layers=3, num_conv_pos_embeddings=16),
        conv_dim=(WIDTH,) * 3,
        conv_stride=(5, 2, 2),
        conv_kernel=(10, 3, 2),
        num_conv_pos_embedding_groups=4,
        apply_spec_augment=False,
        layerdrop=0.0,
    )
    return hf.Wav2Vec2Model(config), {"input_values": torch.randn(4, 1600)}


@entry(draws=20)
def torch_transformer() -> Built:
    model = nn.Transformer(WIDTH, HEADS, 2, 2, 4 * WIDTH, batch_first=True)
    return model, (torch.randn(4, 24, WIDTH), torch.randn(4, 20, WIDTH))


@entry(draws=20)
def torch_encoder_causal() -> Built:
    layers = [
        nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, batch_first=True, norm_first=True)
        for _ in range(3)
    ]
    model = nn.TransformerEncoder(layers[0], 3, enable_nested_tensor=False)
    model.layers = nn.ModuleList(layers)  # torch's own are copies of one layer's weights
    mask = nn.Transformer.generate_square_subsequent_mask(24)
    return model, {"src": torch.randn(4, 24, WIDTH), "mask": mask, "is_causal": True}
