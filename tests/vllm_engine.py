"""What of vLLM lm-eval and rankone.serving call, carried out by transformers and PEFT.

vLLM needs a GPU. tests/test_serving.py makes these classes importable under vLLM's
names, so that lm-eval's own vLLM model and all of rankone.serving run.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer

from rankone.names import MODULES
from rankone.variants.grammar import VLLM_LORA_RANKS
from rankone.weights.base_model import load_model


class SamplingParams:
    """The parameters of one request."""

    def __init__(self, **given):
        self.given = given


class LoRARequest(NamedTuple):
    """An adapter to answer with; an engine takes a number for always the same one."""

    lora_name: str
    lora_int_id: int
    lora_path: str


def TokensPrompt(prompt_token_ids):  # noqa: N802
    """A prompt of tokens."""
    return {"prompt_token_ids": prompt_token_ids}


class Loader:
    """A model by an engine's names, which wraps what adapters change."""

    def __init__(self, model):
        self.model = model

    def named_parameters(self):
        for name, tensor in self.model.named_parameters():
            if ".lora_" not in name:
                yield name.removeprefix("base_model.model."), tensor

    @torch.no_grad()
    def load_weights(self, weights):
        parameters = dict(self.named_parameters())
        for name, weight in weights:
            parameters[name].copy_(weight)


def load_class(path):
    """A class by its full name."""
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


class LLM:
    """An engine with one worker."""

    def __init__(
        self,
        model,
        dtype,
        worker_extension_cls,
        enable_lora=False,
        max_lora_rank=16,
        **_,
    ):
        assert max_lora_rank in VLLM_LORA_RANKS
        self.highest, self.numbers, self.resets = max_lora_rank, {}, 0
        self.model = load_model(model, getattr(torch, dtype))
        if enable_lora:
            config = LoraConfig(r=1, target_modules=list(MODULES))
            self.model = get_peft_model(self.model, config).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.worker = load_class(worker_extension_cls)()
        self.worker.model_runner = SimpleNamespace(model=Loader(self.model))
        length = self.model.config.max_position_embeddings
        place = SimpleNamespace(max_model_len=length)
        self.llm_engine = SimpleNamespace(model_config=place)

    def collective_rpc(self, method, args=()):
        return [getattr(self.worker, method)(*args)]

    def reset_prefix_cache(self):
        self.resets += 1

    def generate(self, prompts, sampling_params, use_tqdm=True, lora_request=None):
        if lora_request:
            self.answer_with(lora_request)
        answers = [
            self.answer(prompt["prompt_token_ids"], parameters.given)
            for prompt, parameters in zip(prompts, sampling_params, strict=True)
        ]
        if lora_request:
            self.model.set_adapter("default")
        return answers

    def answer_with(self, request):
        """Load an adapter, once for its number."""
        known = self.numbers.setdefault(request.lora_int_id, request.lora_path)
        assert known == request.lora_path
        name = str(request.lora_int_id)
        if name not in self.model.peft_config:
            self.model.load_adapter(request.lora_path, name)
        assert self.model.peft_config[name].r <= self.highest
        self.model.set_adapter(name)

    @torch.no_grad()
    def answer(self, tokens, given):
        """Log-probabilities of the prompt's tokens and of the best ones, or a text."""
        ids = torch.tensor([tokens])
        if given.get("prompt_logprobs"):
            scores = self.model(ids).logits[0].log_softmax(-1)
            found = [None]
            for token, row in zip(tokens[1:], scores[:-1], strict=True):
                best = int(row.argmax())
                found.append({t: row[t].item() for t in (token, best)})
            return SimpleNamespace(prompt_logprobs=found)
        count = given["max_tokens"]
        out = self.model.generate(
            input_ids=ids,
            attention_mask=ids > -1,
            max_new_tokens=count,
            do_sample=False,
        )
        text = self.tokenizer.decode(out[0, len(tokens) :], skip_special_tokens=True)
        return SimpleNamespace(outputs=[SimpleNamespace(text=text)])
