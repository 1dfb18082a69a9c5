"""Interventions on a tiny model: what they do to weights, optimizer, and runs."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import ranks
from rankone.errors import UserError
from rankone.training import callbacks, fit, interventions, measurement, run_state
from rankone.training.interventions import make, substitute
from rankone.training.settings import Intervention, TrainingSettings
from rankone.variants.grammar import parse
from rankone.weights.checkpoints import index, read
from rankone.weights.model_files import weight_files
from rankone.weights.updates import locate
from tiny import make_model, make_tokenizer, save_model

NAMES = sorted(name for name, _ in make_model().named_parameters() if locate(name))
PROBLEMS = [
    {"id": str(i), "prompt": f"{i} + 1 =", "answer": f"{i + 1}"}
    | {"verifier": "integer", "stop": ["\n"]}
    for i in range(6)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return weight_files(save_model(tmp_path_factory.mktemp("base")))


def trained(steps: int = 3) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A model some steps of Adam away from the base, on random gradients."""
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for parameter in model.parameters():
            shape = parameter.shape
            parameter.grad = torch.randn(shape, generator=generator)
        optimizer.step()
    return model, optimizer


def carry_out(base, recipe: str, **settings):
    """Weights before, weights object and optimizer after one intervention."""
    model, optimizer = trained()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    weights = interventions.updates_of(model, index(base))
    rank = parse(recipe).rank or 1
    measured = {name: weights.factors(name, rank) for name in weights.names}
    intervention = make(Intervention(period=1, recipe=recipe, **settings))
    substitute(weights, intervention, measured, "0:1", optimizer)
    return before, weights, optimizer


def test_rank1_leaves_updates_of_numerical_rank_one(base):
    _, weights, _ = carry_out(base, "rank1")
    for name in NAMES:
        sigma = torch.linalg.svdvals(weights.update(name))
        assert sigma[1] < 1e-4 * sigma[0]


@pytest.mark.parametrize("recipe", ["rank1", "shrunk", "random_rank1"])
def test_controls_have_the_norm_of_the_rank1_part(base, recipe):
    before, weights, _ = carry_out(base, recipe)
    start = index(base)
    for name in NAMES:
        update = before[name] - read(start, name)
        expected = torch.linalg.matrix_norm(update, 2).item()
        assert weights.update(name).norm().item() == pytest.approx(expected, rel=1e-3)


def test_a_random_direction_differs_between_steps(base):
    model, optimizer = trained()
    weights = interventions.updates_of(model, index(base))
    intervention = make(Intervention(period=1, recipe="random_rank1"))
    found = []
    for step in (1, 2):
        measured = {name: weights.factors(name, 1) for name in weights.names}
        substitute(weights, intervention, measured, f"0:{step}", optimizer)
        found.append(weights.factors(NAMES[0], 1).left[:, 0])
    assert (found[0] @ found[1]).abs() < 0.9


def test_full_changes_no_bit(base):
    before, weights, _ = carry_out(base, "full")
    assert all(torch.equal(before[n], p) for n, p in weights.tensors.items())


def test_other_tensors_are_kept_or_reset(base):
    before, weights, _ = carry_out(base, "rank1_in_q_proj")
    others = [n for n in weights.tensors if "q_proj" not in n]
    assert all(torch.equal(before[n], weights.tensors[n]) for n in others)
    _, weights, _ = carry_out(base, "rank1_in_q_proj", others="reset")
    start = index(base)
    for name in others:
        assert torch.equal(weights.tensors[name], read(start, name))


def test_a_kept_optimizer_state_is_untouched_and_a_zeroed_one_is_new(base):
    for policy, expected in (("keep", True), ("zero", False)):
        _, weights, optimizer = carry_out(base, "rank1", optimizer_state=policy)
        state = optimizer.state[weights.tensors[NAMES[0]]]
        moments = state["exp_avg"].any(), state["exp_avg_sq"].any(), state["step"].any()
        assert [m.item() for m in moments] == [expected] * 3
        other = optimizer.state[weights.tensors["model.norm.weight"]]
        assert other["exp_avg"].any()


def test_a_projected_first_moment_lies_in_the_kept_directions(base):
    model, optimizer = trained()
    weights = interventions.updates_of(model, index(base))
    measured = {name: weights.factors(name, 2) for name in weights.names}
    name = NAMES[0]
    state = optimizer.state[weights.tensors[name]]
    before = {key: value.clone() for key, value in state.items()}
    intervention = make(
        Intervention(period=1, recipe="rank2", optimizer_state="project")
    )
    substitute(weights, intervention, measured, "0:1", optimizer)
    left, right = measured[name].left[:, :2], measured[name].right[:2]
    core = left.T @ before["exp_avg"] @ right.T
    torch.testing.assert_close(state["exp_avg"], left @ core @ right)
    assert torch.equal(state["exp_avg_sq"], before["exp_avg_sq"])


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"period": 3}, [3, 6, 9]),
        ({"period": 3, "from_step": 4}, [6, 9]),
        ({"period": 2, "from_step": 3, "to_step": 6}, [4, 6]),
    ],
)
def test_an_intervention_acts_at_its_steps(settings, steps):
    intervention = make(Intervention(recipe="rank1", **settings))
    assert [step for step in range(1, 11) if intervention.due(step)] == steps
    assert intervention.last_before(10) == steps[-1]
    assert intervention.last_before(steps[0] - 1) is None


def settings(**changes) -> TrainingSettings:
    found = {
        "schedule": {"max_steps": 6, "save_steps": 2, "export_steps": [6]},
        "probes": {
            "splits": ["train_probe", "held_out"],
            "problems": 2,
            "samples": 2,
            "batch_size": 16,
        },
    }
    return ranks.settings(**found | changes)


def run(folder, base, **changes) -> dict[str, torch.Tensor]:
    """Train the tiny model in `folder`, or go on; the weights that it exports."""
    chosen = {"per_device_train_batch_size": 16, "num_generations": 8, "bf16": False}
    chosen |= {"learning_rate": 1e-2, "max_completion_length": 2, "beta": 0.0}
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    fit.train(
        make_model(),
        tokenizer,
        dict.fromkeys(("train", "train_probe", "held_out"), PROBLEMS),
        *("prs-seed0", settings(grpo=chosen, **changes), folder, base, {}),
    )
    return load_file(run_state.export_path(folder / "exports", 6))


def same(first: dict, second: dict) -> bool:
    """Whether all weights are equal, bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


PRS = {"period": 3, "recipe": "rank1"}


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), base)


def test_a_noop_and_more_probes_change_no_bit_of_the_training(plain, base, tmp_path):
    noop = {"period": 2, "recipe": "full", "others": "keep"}
    assert same(plain, run(tmp_path, base, intervention=noop))


def test_a_substituted_run_differs_and_ends_with_rank1_updates(plain, base, tmp_path):
    weights = run(tmp_path, base, intervention=PRS)
    assert not same(plain, weights)
    start = index(base)
    for name in NAMES:
        update = weights[name] - read(start, name)
        sigma = torch.linalg.svdvals(update)
        assert sigma[1] < 1e-3 * sigma[0]


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def fail_at(monkeypatch, target, name: str, call: int) -> None:
    """Make the n-th call of a function end the run."""
    original, calls = getattr(target, name), []

    def wrapper(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(target, name, wrapper)


CRASHES = [
    (interventions.FullUpdates, "set_update", 1),  # before the first matrix
    (
        interventions.FullUpdates,
        "set_update",
        20,
    ),  # in the middle of the second substitution
    (interventions, "update_optimizer_state", 7),
    (measurement, "probe", 3),
    (measurement, "save_factors", 4),
    (callbacks.Exporter, "on_step_end", 5),
]
KILLS = [
    *(("base", *crash) for crash in CRASHES),
    ("last", *CRASHES[1]),
    *(pytest.param("last", *c, marks=pytest.mark.long) for c in CRASHES if c[2] != 20),
]


@pytest.mark.parametrize(("reference", "target", "name", "call"), KILLS)
def test_a_run_killed_anywhere_ends_with_the_same_weights_and_tables(
    base, tmp_path, monkeypatch, undisturbed, reference, target, name, call
):
    intervention = PRS | {"reference": reference, "optimizer_state": "zero"}
    with monkeypatch.context() as patch:
        fail_at(patch, target, name, call)
        with pytest.raises(Killed):
            run(tmp_path, base, intervention=intervention)
    weights = run(tmp_path, base, intervention=intervention)
    folder, expected = undisturbed[reference]
    assert same(weights, expected)
    moments = measurement.measure_points(settings(intervention=intervention))
    for gather in (measurement.gather_probes, measurement.gather_updates):
        tables = [gather(f / "measured", "r", moments) for f in (tmp_path, folder)]
        pd.testing.assert_frame_equal(*tables)


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    """Folder and weights of a run with either reference that nothing interrupts."""
    found = {}
    for reference in ("base", "last"):
        folder = tmp_path_factory.mktemp(reference)
        intervention = PRS | {"reference": reference, "optimizer_state": "zero"}
        found[reference] = folder, run(folder, base, intervention=intervention)
    return found


def test_the_reference_can_be_the_last_substitution(undisturbed):
    first, second = (weights for _, weights in undisturbed.values())
    assert not same(first, second)


def test_every_moment_has_its_probes_and_updates(undisturbed):
    folder, _ = undisturbed["base"]
    moments = measurement.measure_points(settings(intervention=PRS))
    assert moments == [
        *((0, "step"), (3, "before"), (3, "after"), (6, "before"), (6, "after"))
    ]
    probes = measurement.gather_probes(folder / "measured", "r", moments)
    assert len(probes) == len(moments) * 2 * 2 * 2
    assert probes["correct"].between(0, probes["samples"]).all()
    updates = measurement.gather_updates(folder / "measured", "r", moments)
    after = updates[updates["moment"] == "after"]
    assert after["norm_share"].min() > 0.999
    assert updates["exp_avg_norm"].notna().all()
    rows = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["substitution_seconds"] > 0 for row in rows] == [False, False, True] * 2


@pytest.mark.parametrize("recipe", ["rank1", "random_rank1", "shrunk", "without_rank1"])
def test_a_lora_run_is_substituted_within_its_factors(base, tmp_path, recipe):
    lora = {"r": 3, "lora_alpha": 6}
    intervention = {"period": 3, "recipe": recipe}
    weights = run(tmp_path, base, intervention=intervention, lora=lora)
    ranks = []
    for name in NAMES:
        if f"{name}:lora_B" in weights:
            update = weights[f"{name}:lora_B"] @ weights[f"{name}:lora_A"]
            sigma = torch.linalg.svdvals(update.double())
            ranks.append(int((sigma > 1e-5 * sigma[0]).sum()) if sigma[0] > 0 else 0)
    expected = {"shrunk": 3, "without_rank1": 2}.get(recipe, 1)
    assert max(ranks) == expected


def test_half_precision_master_weights_are_refused(base, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "make_model", lambda: MODEL().bfloat16())
    with pytest.raises(UserError, match="float32 master weights are needed"):
        run(tmp_path, base, intervention=PRS)


MODEL = make_model
