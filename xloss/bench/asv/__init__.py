"""What the benchmarks need of asv: environments and their labels, the machine, stored results."""
