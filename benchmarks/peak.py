"""Run a command; print its seconds and the peak of its resident memory as JSON.

A process of its own, and a small one: the kernel counts the memory of the process that
starts a command as the command's.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

with tempfile.TemporaryFile("w+", errors="replace") as output:
    begun = time.perf_counter()
    end = subprocess.run(sys.argv[1:], stdout=output, stderr=subprocess.STDOUT)
    seconds = time.perf_counter() - begun
    output.seek(0)
    lines = output.read().strip().splitlines() or ["no output"]
kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
row = {"seconds": seconds, "peak_mb": kilobytes * 1024 / 1e6}
print(json.dumps(row | ({"error": lines[-1]} if end.returncode else {})))
