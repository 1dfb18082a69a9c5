"""The vllm backend, up to the call of the engine: what it is asked, and the tables.

vLLM's place is taken by vllm_engine.py; everything around it is real.
"""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import evaluate_variants
import tiny
from rankone.errors import UserError
from rankone.evaluation import vllm_backend
from rankone.evaluation.settings import EvaluationSettings
from rankone.files import write_jsonl
from rankone.variants.grammar import VLLM_LORA_RANKS, parse
from rankone.variants.in_place import open_step_weights
from rankone.weights.checkpoints import index
from rankone.weights.model_files import weight_files
from saved import requests, save_step

MODULES = {
    "vllm/__init__.py": "from vllm_engine import LLM, SamplingParams, TokensPrompt\n",
    "vllm/lora/__init__.py": "",
    "vllm/lora/request.py": "from vllm_engine import LoRARequest\n",
    "vllm/renderers/__init__.py": "",
    "vllm/renderers/hf.py": "def resolve_chat_template(**_): return None\n",
    "vllm/tokenizers.py": (
        "from transformers import AutoTokenizer\n"
        "def get_tokenizer(name, **_): return AutoTokenizer.from_pretrained(name)\n"
    ),
    "vllm-0.31.0.dist-info/METADATA": "Name: vllm\nVersion: 0.31.0\n",
}
VARIANTS = [
    *("full", "rank1", "without_rank1", "rank4_rescaled", "shrunk", "direction2"),
    *("random_rank1", "bulk_matched", "0.5x_rank2_in_q_proj+down_proj_in_layer1"),
]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    """vLLM's names, importable as an installed package's."""
    folder = tmp_path_factory.mktemp("packages")
    for name, text in MODULES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
    for name in [n for n in sys.modules if n.split(".")[0] == "vllm"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """A folder with a step's files, a task, and the problems of another."""
    folder = tmp_path_factory.mktemp("step")
    paths = save_step(folder)
    tiny.save_task(folder / "tasks")
    (folder / "data" / "problems").mkdir(parents=True)
    rows = [
        {"id": i, "prompt": f"{i} + 1 =", "answer": f"{i + 1}"}
        | {"verifier": "integer", "stop": ["\n"]}
        for i in range(5)
    ]
    write_jsonl(folder / "data" / "problems" / "held_out.jsonl", rows)
    return folder, paths


def settings(folder, backend, **changes):
    options = {"dtype": "float32", "batch_size": 4, "backend": backend}
    knowledge = {"domain": "knowledge", "metric": "acc"}
    mathematics = {"domain": "mathematics", "metric": "exact_match"}
    given = {
        "benchmarks": {"weather": knowledge, "problems_held_out": mathematics},
        "evaluate": options | {"task_folders": [str(folder / "tasks")]},
        "others": "base",
        "seed": 3,
        "trust_remote_code": False,
    }
    return EvaluationSettings(**given | changes)


def table(step, backend, names=VARIANTS, **changes):
    folder, paths = step
    output = folder / f"{backend}.parquet"
    chosen = settings(folder, backend, **changes)
    files = (paths[0], folder / "data", *paths[1:])
    evaluate_variants.main("tiny", 4, names, *files, chosen, output)
    return pd.read_parquet(output)


@pytest.mark.parametrize("others", ["base", "trained"])
def test_both_backends_make_the_same_table(step, vllm, others):
    served = table(step, "vllm", others=others)
    here = table(step, "hf", others=others)
    pd.testing.assert_frame_equal(served, here)
    assert list(served["variant"].unique()) == VARIANTS


def test_both_backends_give_every_variant_the_same_likelihoods(step, vllm):
    folder, paths = step
    weights = open_step_weights(weight_files(paths[0]), *paths[1:])
    recipes = [None, *map(parse, VARIANTS)]
    asked = requests([("1 + 2 =", " 3"), ("what is sun", " good")])
    found = {}
    for backend, opener in evaluate_variants.BACKENDS.items():
        lm, applied = opener(paths[0], settings(folder, backend), weights, recipes)
        for recipe in (*recipes, None):
            with applied(recipe):
                scores = [score for score, _ in lm.loglikelihood(asked, True)]
            found.setdefault(backend, []).append(scores)
    here, served = torch.tensor(found["hf"]), torch.tensor(found["vllm"])
    torch.testing.assert_close(served, here, atol=1e-4, rtol=1e-5)
    assert torch.equal(served[0], served[-1])
    assert len({round(row[0].item(), 3) for row in served}) == len(recipes)


def opened(step, names, **changes):
    """An engine for the variants, and what puts one in place."""
    folder, paths = step
    weights = open_step_weights(weight_files(paths[0]), *paths[1:])
    recipes = [parse(name) for name in names]
    asked = settings(folder, "vllm", **changes)
    return vllm_backend.open_engine(paths[0], asked, weights, recipes)


def test_an_adapter_is_deleted_and_no_request_is_left(step, vllm):
    lm, applied = opened(step, ["rank1", "rank4"])
    assert lm.model_args["enable_lora"] and lm.model_args["max_lora_rank"] == 8
    for number, name in enumerate(("rank1", "rank4"), start=1):
        with applied(parse(name)):
            request = lm.lora_request
            assert (request.lora_name, request.lora_int_id) == (name, number)
            assert (Path(request.lora_path) / "adapter_model.safetensors").exists()
        assert lm.lora_request is None and not Path(request.lora_path).exists()
    assert lm.model.resets == 0


def test_other_weights_are_taken_in_place_and_given_back(step, vllm):
    lm, applied = opened(step, ["rank1", "shrunk"])
    before = lm.model.collective_rpc("weights_fingerprint")
    with pytest.raises(KeyboardInterrupt), applied(parse("shrunk")):
        assert lm.lora_request is None and lm.model.resets == 1
        assert lm.model.collective_rpc("weights_fingerprint") != before
        raise KeyboardInterrupt
    assert lm.model.collective_rpc("weights_fingerprint") == before
    assert lm.model.resets == 2


def test_without_adapters_the_engine_has_no_room_for_them(step, vllm):
    lm, _ = opened(step, ["rank1"], others="trained")
    assert not lm.model_args["enable_lora"]


def test_a_base_that_does_not_come_back_is_noticed(step, vllm):
    lm, applied = opened(step, ["shrunk"])
    lm.model.worker.restore_weights = lambda base: None
    with pytest.raises(RuntimeError, match="did not take the base back after shrunk"):
        with applied(parse("shrunk")):
            pass


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [([], None), ([1], 1), ([1, 2], 8), ([9, 16], 16), ([300], 320), ([512], 512)],
)
def test_the_engine_has_the_smallest_rank_that_vllm_allows(ranks, expected):
    assert vllm_backend.engine_rank(ranks) == expected


def test_a_rank_beyond_vllms_is_refused():
    with pytest.raises(
        UserError, match=f"rank 513, but vLLM serves at most {VLLM_LORA_RANKS[-1]}"
    ):
        vllm_backend.engine_rank([1, 513])


@pytest.mark.parametrize(
    ("name", "rank"), [("rank3", 3), ("rank40pct", 13), ("direction7", 1)]
)
def test_an_adapters_rank_is_known_before_it_is_written(step, name, rank):
    base = index(weight_files(step[1][0]))
    assert vllm_backend.adapter_rank(parse(name), base) == rank


FUSED = {"model.layers.0.self_attn.qkv_proj.base_layer.weight", "model.norm.weight"}
PLAIN = {"model.layers.0.self_attn.qkv_proj.weight", "model.norm.weight"}
EMBEDDING = "model.embed_tokens"


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("model.layers.0.self_attn.q_proj", FUSED, ".base_layer.weight"),
        ("model.layers.0.self_attn.q_proj", PLAIN, ".weight"),
        ("model.norm", FUSED, ".weight"),
        (EMBEDDING, {f"{EMBEDDING}.base_layer.weight"}, ".base_layer.weight"),
        (EMBEDDING, FUSED | {f"{EMBEDDING}.weight"}, ".weight"),
    ],
)
def test_a_tensor_is_loaded_by_the_engines_name(name, known, expected):
    assert vllm_backend.engine_name(f"{name}.weight", known) == f"{name}{expected}"


def test_a_missing_vllm_is_explained(step, monkeypatch):
    monkeypatch.setattr(vllm_backend, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"vLLM is not installed .* install lm-eval"):
        opened(step, ["rank1"])
