"""Documents in a row: no token sees a neighbour's, on any architecture and attention."""

from __future__ import annotations

import random

import pytest
import torch

from cem_lightning.models.documents import isolates_documents, row, within_documents
from tests.tiny import Architecture, tiny_model

PACKINGS = 100
VOCABULARY = 64
ATTENTIONS = ["sdpa", "eager"]


@pytest.mark.invariant
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma3"])
def test_no_packing_leaks(architecture: Architecture, attention: str) -> None:
    network = tiny_model(architecture, vocabulary=VOCABULARY)
    network.set_attn_implementation(attention)
    vocabulary = network.config.get_text_config().vocab_size
    draw = random.Random(architecture + attention)
    with torch.inference_mode(), within_documents(network):
        for _ in range(PACKINGS):
            lengths = [draw.randint(1, 12) for _ in range(draw.randint(2, 5))]
            ids = torch.tensor([draw.randrange(vocabulary) for _ in range(sum(lengths))])
            kept = draw.randrange(len(lengths))
            start = sum(lengths[:kept])
            own = slice(start, start + lengths[kept])
            other = (ids + draw.randrange(1, vocabulary)) % vocabulary
            other[own] = ids[own]
            one, two = (
                network(**row(network, each, lengths)).logits[0, own] for each in (ids, other)
            )
            alone = network(**row(network, ids[own], [lengths[kept]])).logits[0]
            assert torch.equal(one, two), lengths
            assert torch.allclose(one, alone, atol=1e-5)


@pytest.mark.invariant
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_within_documents_is_as_transformers_reads_each(attention: str) -> None:
    """Sliding windows included: Gemma 3's are shorter than these documents."""
    network = tiny_model("gemma3", vocabulary=VOCABULARY)
    network.set_attn_implementation(attention)
    vocabulary = network.config.get_text_config().vocab_size
    lengths = [40, 3, 25]
    ids = torch.arange(sum(lengths)) * 7 % vocabulary
    with torch.inference_mode():
        expected = [network(each[None]).logits[0] for each in torch.split(ids, lengths)]
        with within_documents(network):
            found = network(**row(network, ids, lengths)).logits[0]
        assert torch.allclose(found, torch.cat(expected), atol=1e-5)
        assert network.config._attn_implementation == attention


def test_a_model_that_would_mix_documents_is_known() -> None:
    from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM

    assert isolates_documents(tiny_model("llama", vocabulary=VOCABULARY))
    bloom = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2))
    assert not isolates_documents(bloom)
    mamba = MambaForCausalLM(
        MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    assert not isolates_documents(mamba)


def test_capped_scores_need_the_attention_written_out() -> None:
    network = tiny_model("gemma2", vocabulary=VOCABULARY)
    network.set_attn_implementation("eager")
    assert isolates_documents(network)


def test_several_documents_are_not_given_to_a_model_that_would_mix_them() -> None:
    network = tiny_model("llama", vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match="would mix the documents"):
        row(network, torch.arange(5), [2, 3])
    assert row(network, torch.arange(5), [5])["input_ids"].shape == (1, 5)
