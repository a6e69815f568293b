"""`python -m xloss.gpu`: use an accelerator that is lent for half an hour, and lose nothing of it.

    needs       what is installed, what is missing, and which steps that costs: said before anything runs
    steps       what is asked, in the order of its worth; a cell is a small dictionary
    engine      runs a step's cells in child processes, under deadlines, each answer kept as it comes
    work        what a child does with a cell
    measure     the timed cells among them: device time, memory, determinism, the precision of products
    journal     one line of JSON for each cell, flushed to the disk; what was torn is dropped
    planted     the crash, the hang and the poisoned device of a rehearsal, and what must have survived them
    summary     the page that is written after every step
    published   what others measured, by shape, beside a place for ours
    truth       `make truth`: exact results in a file, for machines without ball arithmetic

Proofs that need no accelerator: `fake` (a device without values), `lowering` (XLA's programs for cuda, tpu and rocm),
`noise` (elementary functions that are an ulp off).
"""
