"""Writes a tiny Qwen2 as a GGUF, as llama.cpp's converter would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path: Path, network: Any, tokenizer: Any, *, licence: str = "apache-2.0") -> Path:
    """A Qwen2 and its byte-level tokenizer, which needs a merge at least, in float32."""
    config = network.config
    writer = GGUFWriter(path, "qwen2")
    writer.add_license(licence)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    specials = [each.content for each in tokenizer.added_tokens_decoder.values() if each.special]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if each in specials else TokenType.NORMAL for each in tokens]
    )
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(each) for each in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    for name, weight in network.state_dict().items():
        writer.add_tensor(_name(name), weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _name(name: str) -> str:
    """What llama.cpp calls a tensor of transformers."""
    whole, _, kind = name.rpartition(".")
    if whole == "lm_head":
        return f"output.{kind}"
    if whole == "model.embed_tokens":
        return f"token_embd.{kind}"
    if whole == "model.norm":
        return f"output_norm.{kind}"
    _, _, layer, part = whole.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.{kind}"
