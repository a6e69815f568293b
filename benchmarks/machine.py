"""What the machine itself does: the copy that the other times are a share of."""

from asv_runner.benchmarks import mark

from benchmarks._suite import RULER, samples
from xloss import catalog
from xloss.bench import bandwidth
from xloss.bench.asv import labels


class Memory:
    """Seconds to copy `bandwidth.COPY_BYTES` bytes (2**28 on a CPU, 2**31 on a GPU) by the framework's own copy."""

    unit = "seconds"
    timeout = 600
    version = f"{RULER} {bandwidth.COPY_BYTES}"
    params = (catalog.FRAMEWORKS,)
    param_names = ("framework",)

    def track_copy(self, framework):
        try:
            labels.require(framework)
        except catalog.Unsupported as reason:
            raise mark.SkipNotImplemented(str(reason)) from None
        return samples(bandwidth.copy(framework, labels.device()))
