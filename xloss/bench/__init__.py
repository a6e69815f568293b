"""Measuring: time, a GPU's own time, compile time, peak memory, accuracy, and which of two is faster.

A `Workload(loss, contestant, quantity, size, dtype, device, variant, shape)` says what (names and values, picklable);
the functions take the `Loss` record beside it. What does not exist raises `xloss.catalog.Unsupported` with the reason.
All times are seconds, all sizes bytes, all errors ulps.

    with runner.prepare(loss, workload) as prepared:    arrays on the device, the framework's settings
        runner.compile_and_run(prepared)
        timer.measure(prepared.call, prepared.wait)     Timing(samples, number): what the host sees
        device_time.measure(prepared, cold=False)       Timing: what the GPU takes, by events
    compile_time.seconds(loss, workload, "cold")        "lowering", "cold", "cached"
    peak_memory.peak(loss, workload, "resident")        bytes above the inputs; "resident", "analysed", "device"
    accuracy.ulps(loss, workload)                       worst and 99th percentile of value and gradient
    roofline.least_bytes(inputs, quantity), .flops      the least that it can cost, by `workload.draw(loss, workload)`
    bandwidth.bytes_per_second("torch", "cpu")          the machine's copy
    compare.ratio(first, second)                        Ratio(ratio, low, high, verdict, rounds): second over first
    session.run(workloads, settings, show)              all of these in fresh processes, in turn: rows of `xloss bench`
    asv.results.derive(asv.results.read(folder))        all that asv stored, as a table, with rates and shares

The benchmarks that asv runs are in benchmarks/, whose README says what they are called.
"""
