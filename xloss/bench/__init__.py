"""Measuring: time, a GPU's own time, compile time, peak memory, accuracy, and which of two is faster.

`Work(loss, contestant, quantity, size, dtype, device)` (`work`) says what; `contestant` is one of `work.CONTESTANTS`, such as
"torch/compile/xloss", `quantity` one of "value", "value_and_grad", "per_sample", `size` one of `work.SIZES`. What does not
exist raises `xloss.catalog.Unsupported` with the reason. All times are seconds, all sizes bytes, all errors ulps.

    with work.ready(w) as run:                      arrays on the device, the framework's settings
        work.first_run(run)                         compiles
        timer.measure(run.call, run.wait)           Timing(samples, number): what the host sees
        device.measure(run, cold=False)             Timing: what the GPU takes, by events
    compiling.seconds(w, "cold")                    "lowering", "cold", "cached"
    processes.fresh(memory.peak_of, w, "resident")  bytes above the inputs; rulers "resident", "analysed", "device"
    accuracy.ulps(w)                                worst and 99th percentile of value and gradient
    floor.least_bytes(w), floor.flops(w)            the least that it can cost
    bandwidth.bytes_per_second("torch", "cpu")      the machine's copy
    compare.compare(partial(compare.time_work, a), partial(compare.time_work, b))
                                                    Ratio(ratio, low, high, verdict, rounds): b's seconds over a's
    results.derive(results.read("reports/history")) all that asv stored, as a table, with rates and shares

`labels` and `given` are about asv's environments. The benchmarks themselves are in benchmarks/, whose README says what they
are called.
"""
