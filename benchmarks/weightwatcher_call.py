"""WeightWatcher's spectra of the updates, run by the peers' own Python.

weightwatcher_call.py BASE TRAINED TABLE.tsv
"""

import sys

import weightwatcher

base, trained, table = sys.argv[1:]
watcher = weightwatcher.WeightWatcher(model=trained, base_model=base)
details = watcher.analyze(svd_method="fast", plot=False, mp_fit=False, randomize=False)
details.to_csv(table, sep="\t", index=False)
