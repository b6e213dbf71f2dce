"""Ways to run cells: in this process, in local worker processes, on Slurm. One file each, one protocol in `base`."""
