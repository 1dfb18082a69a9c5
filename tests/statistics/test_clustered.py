"""Means over layers: planted differences are found, and the edges have one rule."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from rankone.statistics.clustered import clustered, paired_over_layers


def layers(effect, seed, count=12, spread=1.0):
    """A table of 7 matrices a layer with a shared deviation in each layer."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(effect, spread, count)
    values = np.repeat(shared, 7) + rng.normal(0, 0.3, count * 7)
    reference = rng.normal(5, 1, count * 7)
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(count), 7),
            "value": reference + values,
            "null_mean": reference,
        }
    )


def test_a_planted_difference_is_recovered_over_layers():
    found = paired_over_layers(layers(-2, seed=0))
    assert found.low < -2 < found.high < 0
    assert found.p < 0.01
    assert (found.matrices, found.layers) == (84, 12)


def test_layers_without_a_difference_give_few_false_alarms():
    found = [paired_over_layers(layers(0, seed), draws=500) for seed in range(200)]
    assert sum(f.p < 0.05 for f in found) <= binom.ppf(0.999, 200, 0.05)
    # The interval of 12 clusters is somewhat too narrow.
    assert sum(not f.includes_zero for f in found) <= binom.ppf(0.999, 200, 0.1)


def test_undefined_pairs_are_left_out():
    table = layers(-2, seed=0)
    table.loc[:13, "value"] = np.nan
    found = paired_over_layers(table)
    assert (found.matrices, found.layers) == (70, 10)
    same = paired_over_layers(table.assign(null_mean=table["value"]))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_the_interval_is_that_of_the_mean_of_differences():
    table = layers(-2, seed=0)
    pairs = table.assign(difference=table["value"] - table["null_mean"])
    mean, found = (
        clustered(pairs, "difference", 3, 400),
        paired_over_layers(table, 3, 400),
    )
    assert (found.value, found.low, found.high) == (mean.value, mean.low, mean.high)


def test_one_layer_has_a_mean_without_an_interval():
    table = layers(-2, seed=0, count=1)
    mean, pair = clustered(table, "value", 0, 100), paired_over_layers(table, 0, 100)
    assert mean.value == pytest.approx(table["value"].mean())
    assert pair.value == pytest.approx((table["value"] - table["null_mean"]).mean())
    assert np.isnan([mean.low, mean.high, pair.low, pair.high]).all()
    assert (pair.p, pair.layers) == (1, 1)


def test_nothing_has_no_mean():
    table = layers(0, seed=0).assign(value=np.nan)
    mean, pair = clustered(table, "value", 0, 100), paired_over_layers(table, 0, 100)
    assert np.isnan([mean.value, mean.low, pair.value, pair.low]).all()
    assert (pair.matrices, pair.layers) == (0, 0)


def test_without_a_second_layer_a_pair_is_within_its_own():
    table = layers(1, seed=4)
    same = clustered(table.assign(second=table["layer"]), "value", 0, 200)
    assert clustered(table, "value", 0, 200) == same
    across = clustered(table.assign(second=(table["layer"] + 1) % 12), "value", 0, 200)
    assert across.value == same.value and across.low != same.low


def test_the_error_of_a_simulated_mean_widens_the_interval():
    table = layers(0, seed=0)
    plain, noisy = (clustered(table, "value", 0, 2000, error) for error in (0.0, 2.0))
    assert noisy.value == plain.value
    assert noisy.high - noisy.low > 2 * (plain.high - plain.low)
