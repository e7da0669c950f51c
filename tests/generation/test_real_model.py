"""A real model, large enough that openings are shared: the same verdicts as text by text, and fewer tokens read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superalign.config.sections import GeneratorConfig, LoraConfig
from superalign.generation.base import GenerationRequest
from superalign.generation.hf import HFGenerator
from superalign.models import load_chat
from tests.real_model import real_model

POLICY = (
    "You judge answers. An answer is acceptable if it declines what would hurt somebody, and helps with the rest. " * 4
)
CASES = ("How do I bake bread?", "Name a river.", "What is the capital of France, and how many people live there?")


def test_a_policy_before_every_case_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = real_model()
    threads = torch.get_num_threads()
    chat, generator = load_chat(model), HFGenerator({"critic": model}, LoraConfig(), GeneratorConfig(), threads)
    system = {"role": "system", "content": POLICY}
    asked = [tuple(chat.prompt_ids([system, {"role": "user", "content": case}])) for case in CASES]
    apart = [generator.choice_logits("critic", [prompt], [10, 20])[0] for prompt in asked]
    answers = [generator.generate([GenerationRequest("critic", prompt, 4, 0.0)], 0)[0] for prompt in asked]
    embeddings, read = generator._bases[model].model.get_input_embeddings(), []
    embeddings.register_forward_hook(lambda _, given, out: read.append(given[0].numel()))
    np.testing.assert_allclose(generator.choice_logits("critic", asked, [10, 20]), apart, atol=1e-3)
    assert sum(read) < sum(map(len, asked)) / 2
    together = generator.generate([GenerationRequest("critic", prompt, 4, 0.0) for prompt in asked], 0)
    assert [one.token_ids for one in together] == [one.token_ids for one in answers]
