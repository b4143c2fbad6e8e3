"""The workshop under audit, comparison and benchmarks: files, pools, parameters, clocks.

It knows no claim, no arm and no benchmark.
"""
