"""`python run_benchmark.py` is the console script `c2f`."""

from benchmark.cli import main

if __name__ == "__main__":  # worker processes import this file
    main()
