"""Text and picture encoders of a few thousand random weights, with tokenizers made here from a small vocabulary.

Every tokenizer spells words it doesn't know, so that two prompts never become the same tokens by being strange.
"""

import string
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

#: The width of every text encoder here but the Qwen ones.
WIDTH = 32
#: The width of the Qwen text encoders.
QWEN_WIDTH = 16
_LETTERS = string.ascii_letters + string.digits + string.punctuation
_FILM = "a an the of in on at and from above below through sea cells stars tissue petals dust light dusk drift slow"
#: Words of the templates that pipelines put around a prompt: whole tokens, so that templates are as long as in the
#: real tokenizers, where pipelines cut them off at fixed places.
_TEMPLATES = (
    "system user assistant Describe the video image by detailing the following aspects according to reference main "
    "content and theme of color shape size texture quantity text spatial relationships objects background Actions "
    "events behaviors temporal physical movement changes environment light style atmosphere camera angles movements "
    "transitions used in"
)


def t5_tokenizer() -> T5TokenizerFast:
    """A T5 tokenizer: film words are tokens, others are spelled."""
    words = sorted(set(_FILM.split()))
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in words] + [(letter, -8.0) for letter in _LETTERS]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)


def t5_encoder(words: int) -> T5EncoderModel:
    """A T5 encoder `WIDTH` wide for a vocabulary of that many words."""
    return T5EncoderModel(T5Config(vocab_size=words, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=4))


def umt5_encoder(words: int) -> UMT5EncoderModel:
    """The encoder of Wan, `WIDTH` wide."""
    return UMT5EncoderModel(UMT5Config(vocab_size=words, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=4))


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that spells every word; texts end after 77 tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def clip_text(tokenizer: CLIPTokenizer, *, projected: bool = False, width: int = WIDTH) -> Any:
    """A CLIP text model, with the projection that SDXL's second one has where ``projected``."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        projection_dim=width,
        num_attention_heads=4,
        num_hidden_layers=3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


def clip_vision(size: int, patch: int, width: int = WIDTH) -> CLIPVisionModelWithProjection:
    """A CLIP picture encoder for ``size`` × ``size`` pixels: (size / patch)² tokens and one for the whole."""
    config = CLIPVisionConfig(
        hidden_size=width,
        projection_dim=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=size,
        patch_size=patch,
    )
    return CLIPVisionModelWithProjection(config)


def clip_pictures(size: int) -> CLIPImageProcessor:
    """What makes pictures ready for `clip_vision`."""
    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with the marks of Llama 3's chat format and a picture token, and a first token."""
    marks = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>", "\n\n", "\n"]
    tokenizer = _spelling(["<|pad|>", "<|begin_of_text|>", *marks])
    first = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[first])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|pad|>",
        padding_side="right",
        model_max_length=1024,
    )


def _llama_config(words: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=4,
    )


def llama(words: int) -> LlamaModel:
    """HunyuanVideo's text encoder, `WIDTH` wide."""
    return LlamaModel(_llama_config(words))


def llava(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """The text encoder of HunyuanVideo image-to-video, which sees the picture as 24 × 24 tokens."""
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=336,
        patch_size=14,
    )
    picture = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=vision, text_config=_llama_config(len(tokenizer)), image_token_index=picture, pad_token_id=0
    )
    return LlavaForConditionalGeneration(config)


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a first token, as Gemma's."""
    tokenizer = _spelling(["<pad>", "<eos>", "<bos>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", model_max_length=1024
    )


def gemma(words: int) -> Gemma3ForConditionalGeneration:
    """The text encoder of LTX-2, `QWEN_WIDTH` wide, with two layers; its eye is not used."""
    text = {
        "vocab_size": words,
        "hidden_size": QWEN_WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
    }
    eye = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=eye, mm_tokens_per_image=4)
    return Gemma3ForConditionalGeneration(config)


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with Qwen's chat format."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_spelling(
            ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "\n\n", "\n"]
        ),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="right",
        model_max_length=2048,
    )
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def qwen3(words: int, *, causal: bool = False, layers: int = 2) -> Qwen3Model | Qwen3ForCausalLM:
    """The text encoder of Z-Image, or with ``causal`` of FLUX.2 klein: `QWEN_WIDTH` wide."""
    config = Qwen3Config(
        vocab_size=words,
        hidden_size=QWEN_WIDTH,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
    )
    return Qwen3ForCausalLM(config) if causal else Qwen3Model(config)


def qwen_vl(words: int) -> Qwen2_5_VLForConditionalGeneration:
    """The text encoder of Qwen-Image, `QWEN_WIDTH` wide."""
    text = {
        "vocab_size": words,
        "hidden_size": QWEN_WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": QWEN_WIDTH,
        "fullatt_block_indexes": [0],
    }
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision))


def _spelling(marks: list[str]) -> Tokenizer:
    """Words and punctuation as tokens, unknown words as letters; ``marks`` are tokens of their own, ids from 0."""
    words = sorted({*_FILM.split(), *_TEMPLATES.split()} - set(_LETTERS))
    pieces = [*marks, "<|unknown|>", *words, *_LETTERS]
    scores = [(piece, -3.0 if index < len(pieces) - len(_LETTERS) else -8.0) for index, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=len(marks), byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return tokenizer
