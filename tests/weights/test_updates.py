"""Updates: read from any kind of checkpoint, and statistics that mean what they say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from rankone.linalg import svd
from rankone.weights import updates
from rankone.weights.checkpoints import index
from rankone.weights.factors import (
    load_directions,
    load_factors,
    save_directions,
    save_factors,
)

NAME = "model.layers.0.self_attn.q_proj.weight"
OTHER = "model.norm.weight"
GENERATOR = torch.Generator().manual_seed(0)
BASE = torch.randn(24, 16, generator=GENERATOR)
MOVE = 1e-3 * torch.randn(24, 16, generator=GENERATOR)
LEFT, RIGHT = MOVE[:, :3].clone(), MOVE[:3].clone()
NORM = BASE[0].clone()


@pytest.fixture
def write(tmp_path):
    """Writes tensors to a file and gives its index."""

    def save(name="w", **tensors):
        names = {"weight": NAME, "norm": OTHER}
        names |= {"left": f"{NAME}:lora_B", "right": f"{NAME}:lora_A"}
        path = tmp_path / f"{name}.safetensors"
        save_file({names[key]: t.contiguous() for key, t in tensors.items()}, path)
        handles = index([path])
        return handles

    return save


def planted(sigma, rows=24, columns=16):
    left, right = (
        torch.linalg.qr(torch.randn(n, len(sigma), generator=GENERATOR))[0]
        for n in (rows, columns)
    )
    return left * torch.tensor(sigma) @ right.T


def test_a_global_update_is_against_the_base_a_local_one_from_the_step_before(write):
    base, first = write("base", weight=BASE), write("first", weight=BASE + MOVE)
    second = write("second", weight=BASE + 3 * MOVE)
    torch.testing.assert_close(updates.read_update(base, second, NAME), 3 * MOVE)
    local = updates.read_update(base, second, NAME, before=first)
    torch.testing.assert_close(local, 2 * MOVE)
    assert torch.equal(
        updates.read_update(base, first, NAME, before={}),
        updates.read_update(base, first, NAME),
    )


def test_the_bfloat16_view_is_the_difference_of_rounded_weights(write):
    base, step = write("base", weight=BASE), write("step", weight=BASE + MOVE)
    seen = updates.read_update(base, step, NAME, dtype=torch.bfloat16)
    expected = (BASE + MOVE).bfloat16().float() - BASE.bfloat16().float()
    assert torch.equal(seen, expected)
    assert (seen == 0).float().mean() > (MOVE == 0).float().mean()


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_base_and_checkpoint_may_be_stored_in_different_dtypes(write, stored):
    base, step = write("base", weight=BASE.to(stored)), write("s", weight=BASE + MOVE)
    expected = BASE + MOVE - BASE.to(stored).float()
    assert torch.equal(updates.read_update(base, step, NAME), expected)


def test_reading_an_update_leaves_the_files_as_they_were(write):
    base, step = write("base", weight=BASE), write("step", weight=BASE + MOVE)
    before = step[NAME].read_bytes()
    updates.read_update(base, step, NAME)
    assert step[NAME].read_bytes() == before


def test_a_lora_update_is_the_product_of_its_factors(write):
    base = write("base", weight=BASE, norm=NORM)
    step = write("step", left=LEFT, right=RIGHT)
    torch.testing.assert_close(updates.read_update(base, step, NAME), LEFT @ RIGHT)
    trained = updates.read_trained(base, step, NAME)
    torch.testing.assert_close(trained, BASE + LEFT @ RIGHT)
    assert not updates.read_update(base, step, OTHER).any()
    assert torch.equal(updates.read_trained(base, step, OTHER), NORM)


def test_a_local_lora_update_is_the_difference_of_the_products(write):
    base = write("base", weight=BASE)
    first = write("first", left=LEFT, right=RIGHT)
    second = write("second", left=2 * LEFT, right=RIGHT + 1)
    expected = 2 * LEFT @ (RIGHT + 1) - LEFT @ RIGHT
    update = updates.read_update(base, second, NAME, before=first)
    torch.testing.assert_close(update, expected)
    factors, _ = updates.decompose(base, second, NAME, 8, before=first)
    torch.testing.assert_close(factors.part(8), expected, atol=1e-5, rtol=1e-4)


def test_a_lora_run_is_decomposed_without_forming_the_product(write, monkeypatch):
    monkeypatch.setattr(updates, "read_update", None)
    base, step = write("base", weight=BASE), write("step", left=LEFT, right=RIGHT)
    factors, values = updates.decompose(base, step, NAME, 16)
    expected = torch.linalg.svdvals((LEFT @ RIGHT).double())
    torch.testing.assert_close(
        factors.sigma.double(), expected[:3], atol=1e-9, rtol=1e-5
    )
    torch.testing.assert_close(values, expected, atol=1e-9, rtol=1e-5)


@given(st.sampled_from(["float32", "bfloat16"]), st.booleans(), st.booleans())
@settings(max_examples=8, deadline=None)
def test_every_view_of_every_kind_of_checkpoint_agrees_with_its_update(
    view, lora, spec
):
    tensors = {"left": LEFT, "right": RIGHT} if lora else {"weight": BASE + MOVE}
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, parts in (("base", {"weight": BASE}), ("step", tensors)):
            names = {
                "weight": NAME,
                "left": f"{NAME}:lora_B",
                "right": f"{NAME}:lora_A",
            }
            path = f"{folder}/{name}"
            save_file({names[key]: value for key, value in parts.items()}, path)
            handles = index([path])
            files.append(handles)
        options = {"dtype": updates.VIEWS[view], "spectrum": spec}
        factors, values = updates.decompose(*files, NAME, 2, **options)
        update = updates.read_update(*files, NAME, dtype=updates.VIEWS[view])
    expected = torch.linalg.svdvals(update.double())
    torch.testing.assert_close(
        factors.sigma.double(), expected[:2], atol=1e-8, rtol=1e-4
    )
    assert (values is not None) == spec


def row(matrix, spectrum=True):
    values = svd.singular_values(matrix)[0] if spectrum else None
    return updates.update_statistics(svd.leading(matrix, 3), values)


def test_statistics_of_known_singular_values():
    found = row(planted([2.0, 1.0, 1.0]))
    assert found["norm_share"] == pytest.approx(2 / math.sqrt(6), rel=1e-5)
    assert found["energy_share"] == pytest.approx(4 / 6, rel=1e-5)
    assert found["stable_rank"] == pytest.approx(1.5, rel=1e-5)
    entropy = -(4 / 6 * math.log(4 / 6) + 2 / 6 * math.log(1 / 6))
    assert found["effective_rank"] == pytest.approx(math.exp(entropy), rel=1e-4)
    assert found["relative_gap"] == pytest.approx(0.5, rel=1e-4)
    assert found["identifiable"]
    assert found["residual"] < 1e-5


def test_without_the_spectrum_the_effective_rank_is_unknown():
    assert math.isnan(row(planted([2.0, 1.0]), spectrum=False)["effective_rank"])


def test_equal_leading_singular_values_are_not_identifiable():
    assert not row(planted([1.0, 1.0, 0.5]))["identifiable"]


def test_a_zero_update_has_no_direction_and_no_rank():
    found = row(torch.zeros(5, 4))
    assert not found["identifiable"]
    assert math.isnan(found["norm_share"]) and math.isnan(found["stable_rank"])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "q_proj")),
        ("model.layers.12.mlp.down_proj.weight", (12, "down_proj")),
        ("model.layers.3.self_attn.q_proj.bias", None),
        ("model.layers.3.input_layernorm.weight", None),
        ("model.embed_tokens.weight", None),
        ("lm_head.weight", None),
    ],
)
def test_only_the_seven_linear_maps_are_substituted(name, place):
    assert updates.locate(name) == place


def test_directions_are_those_of_each_step_before_any_substitution(tmp_path):
    moments = [(2, "step"), (10, "before"), (10, "after")]
    sources = {
        moment: tmp_path / f"{i}.safetensors" for i, moment in enumerate(moments)
    }
    for i, path in enumerate(sources.values()):
        save_factors(path, {"w": svd.leading((i + 1) * planted([2.0, 1.0]), 1)}, {})
    save_directions(tmp_path / "all.safetensors", sources, {"run": "full-seed0"})
    loaded = load_directions(tmp_path / "all.safetensors")
    assert list(loaded) == [2, 10]
    sigma = [kept["w"].sigma.item() for kept in loaded.values()]
    assert sigma == pytest.approx([2, 4])
    assert all(kept["w"].identifiable.all() for kept in loaded.values())


def test_factors_survive_a_round_trip(tmp_path):
    factors = svd.leading(planted([2.0, 1.0]), 2)
    save_factors(tmp_path / "f.safetensors", {"w": factors}, {"step": 4})
    handles = index([tmp_path / "f.safetensors"])
    loaded = load_factors(handles, "w")
    for part in ("left", "sigma", "right", "residual", "gap"):
        assert torch.equal(getattr(loaded, part), getattr(factors, part))
    assert loaded.norm == factors.norm
