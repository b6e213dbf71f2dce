"""`python run_benchmark.py` is the console script `c2f`."""

from benchmark.cli import main

main()
