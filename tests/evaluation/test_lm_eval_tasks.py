"""The lm-eval tasks load the prepared files and score answers as training does.

The model is a Llama whose next token depends on the current one in a planted way, so
that every score is known before it is measured.
"""

import json
from collections.abc import Callable
from functools import partial

import pytest
import torch
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rankone.data.benchmark import BENCHMARKS
from rankone.data.verifier import correct
from rankone.errors import UserError
from rankone.evaluation.tasks import own_tasks, write_own_tasks
from rankone.files import write_jsonl

PROBLEMS = ("held_out", "shifted", "train_probe")
SAID = {"=": "4", "4": "6", "6": "\n", " ": "b"}
EOS = "<eos>"


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, EOS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS
    )


def bigram_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama that says SAID[token] after a token of SAID, and else anything.

    Embeddings are one-hot and both residual branches add nothing, so that the head
    reads the current token alone.
    """
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size + 1,  # even, as rotary embeddings need
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, size + 1))
        model.lm_head.weight.zero_()
        for now, then in SAID.items():
            (i,), (j,) = tokenizer.encode(now), tokenizer.encode(then)
            model.lm_head.weight[j, i] = 1.0
    return model


@pytest.fixture(scope="module")
def planted() -> HFLM:
    tokenizer = byte_tokenizer()
    return HFLM(
        pretrained=bigram_model(tokenizer),
        tokenizer=tokenizer,
        device="cpu",
        batch_size=4,
    )


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Four problems a file, three answered rightly, and four questions likewise."""
    answers = ["46", "46", "46", "47"]
    problems = [
        {"id": f"p{i}", "prompt": f"1 + 1 = 2\n{i} + 4{6 - i} =", "answer": answer}
        | {"verifier": "integer", "stop": ["\n"]}
        for i, answer in enumerate(answers)
    ]
    for name in PROBLEMS:
        write_jsonl(tmp_path / "problems" / f"{name}.jsonl", problems)
    questions = [
        {
            "id": f"q{i}",
            "question": "Which flies?",
            "choices": ["cat", "bat", "rat"],
            "label": label,
            "source": "test",
        }
        for i, label in enumerate([1, 1, 0, 1])
    ]
    for name in BENCHMARKS:
        write_jsonl(tmp_path / "benchmarks" / f"{name}.jsonl", questions)
    monkeypatch.setenv("RANKONE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> TaskManager:
    """As lm-eval's own command line has them after scripts/write_tasks.py."""
    folder = write_own_tasks(tmp_path_factory.mktemp("tasks"))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.fixture
def evaluate(planted, data, tasks) -> Callable[[list[str]], dict]:
    """Gives lm-eval's result of some tasks or groups."""
    return partial(simple_evaluate, planted, task_manager=tasks, log_samples=True)


def test_every_benchmark_and_problem_set_has_a_task(tasks):
    names = {f"problems_{name}" for name in PROBLEMS} | set(BENCHMARKS)
    assert set(tasks.all_subtasks) == names == own_tasks([])


def test_problem_tasks_count_exactly_the_right_answers(evaluate):
    result = evaluate(tasks=["problems_held_out"])
    scores = [x["exact_match"] for x in result["samples"]["problems_held_out"]]
    assert scores == [1.0, 1.0, 1.0, 0.0]
    assert result["results"]["problems_held_out"]["exact_match,none"] == 0.75


def test_problem_tasks_score_with_the_verifier_of_training(evaluate):
    samples = evaluate(tasks=["problems_shifted"])["samples"]["problems_shifted"]
    for sample in samples:
        (response,) = sample["filtered_resps"]
        assert response == "46"
        assert [sample["exact_match"]] == correct([response], [sample["doc"]])


def test_knowledge_group_is_the_unweighted_mean_accuracy(evaluate, data):
    easy = [json.loads(line) for line in open(data / "benchmarks/mmlu_sample.jsonl")]
    write_jsonl(
        data / "benchmarks/wikidata_facts.jsonl", [{**easy[0], "label": 1}] * 12
    )
    results = evaluate(tasks=["knowledge"])["results"]
    assert results["wikidata_facts"]["acc,none"] == 1.0
    assert results["mmlu_sample"]["acc,none"] == 0.75
    assert results["knowledge"]["acc,none"] == pytest.approx((1 + 3 * 0.75) / 4)


def test_mathematics_group_holds_both_kinds_of_task(evaluate):
    results = evaluate(tasks=["mathematics"])["results"]
    assert results["unit_conversion"]["acc,none"] == 0.75
    for name in PROBLEMS:
        assert results[f"problems_{name}"]["exact_match,none"] == 0.75


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        ("wikidata_facts", "Which flies?"),
        ("science_questions", "Question: Which flies?\nAnswer:"),
        ("problems_held_out", "1 + 1 = 2\n0 + 46 ="),
    ],
)
def test_prompts_reach_the_model_unchanged(data, tasks, task, prompt):
    loaded = tasks.load([task])["tasks"][task]
    assert loaded.doc_to_text(next(iter(loaded.test_docs()))) == prompt


def test_missing_data_are_named(data, tasks):
    (data / "problems/held_out.jsonl").unlink()
    with pytest.raises(UserError, match="held_out.jsonl: run the study's preparation"):
        tasks.load(["problems_held_out"])
