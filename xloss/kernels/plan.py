"""Compile the Triton kernels for a card that is not there, and write what the compiler planned; nothing is measured.

`python -m xloss.kernels.plan --out reports/kernels` writes `plan.json` and `plan.md`: for each kernel, dtype and number
of classes the registers of a thread, the bytes it spills, the shared memory of a program, and the bytes of a row that
are read and written over the least that are. It needs the package triton, which brings NVIDIA's assembler, and no GPU.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xloss.files import write_text

LABEL = "planned by the compiler, not measured"
#: The compute capability of an H100.
CAPABILITY = 90
CLASSES = (32000, 128256)
TRITON_NAME = {"bfloat16": "bf16", "float32": "fp32"}
SIZE = {"bfloat16": 2, "float32": 4}
# What forward's and backward's arguments are, but for those in the dtype of the logits.
SIGNATURE = {"labels": "*i64", "smoothing": "*fp32", "most": "*i64", "loss": "*fp32", "kept": "*fp32", "scale": "*fp32",
             "held": "*fp32", "row_stride": "i64", "slope_stride": "i64", "scale_stride": "i64",
             "ignore_index": "i64"}  # fmt: skip
# Kernel, whether it writes the gradient, label smoothing, class weights.
KERNELS = (("forward", False, False, False), ("forward", True, False, False), ("forward", True, True, True),
           ("backward", True, False, False))  # fmt: skip


def plan(classes: Sequence[int] = CLASSES, dtypes: Sequence[str] = ("bfloat16", "float32"),
         capability: int = CAPABILITY) -> dict[str, Any]:  # fmt: skip
    """Compile every kernel for every dtype and number of classes; return the table with where it comes from."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("TRITON_INTERPRET: expected it not to be set, for nothing is compiled under it")
    import triton

    rows = [
        compiled(name, slope, smooth, weighted, dtype, number, capability)
        for name, slope, smooth, weighted in KERNELS for dtype in dtypes for number in classes
    ]  # fmt: skip
    return {"label": LABEL, "target": f"sm_{capability}", "triton": triton.__version__, "kernels": rows}


def compiled(name: str, slope: bool, smooth: bool, weighted: bool, dtype: str, classes: int,
             capability: int) -> dict[str, Any]:  # fmt: skip
    """Compile one kernel; return its row of the table."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from xloss.kernels import triton_kernels
    from xloss.kernels.torch import block_of, warps

    kernel = getattr(triton_kernels, name)
    block = block_of(classes)
    constants: dict[str, Any] = {"CLASSES": classes, "WEIGHTED": weighted, "SMOOTH": smooth, "BLOCK": block,
                                 "ACC": tl.float32}  # fmt: skip
    constants |= {"SLOPE": slope} if name == "forward" else {"HELD": True}
    logits = dict.fromkeys(("x", "slope", "weight"), f"*{TRITON_NAME[dtype]}")
    kinds = {**SIGNATURE, **logits, **dict.fromkeys(constants, "constexpr")}
    signature = {argument: kinds[argument] for argument in kernel.arg_names}
    # Strides of rows are multiples of 16 where the number of classes is: loads of 16 bytes.
    keyword = "constexprs" if "constexprs" in inspect.signature(ASTSource).parameters else "constants"
    strides = ("row_stride", "slope_stride") if classes % 16 == 0 else ()
    wide = {argument for argument in kernel.arg_names if signature[argument][0] == "*" or argument in strides}
    aligned = {(i,): [["tt.divisibility", 16]] for i, argument in enumerate(kernel.arg_names) if argument in wide}
    source = ASTSource(fn=kernel, signature=signature, attrs=aligned, **{keyword: constants})
    number = warps(block)
    found = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": number})
    moved, least = row_bytes(found.asm["ttir"], dtype, classes, slope)
    title = name + " with gradient" * (slope and name == "forward") + ", smoothing, weights" * weighted
    return {"kernel": title, "dtype": dtype, "classes": classes, "block": block, "warps": number,
            **resources(found.asm["ptx"]), "shared_bytes": found.metadata.shared, "bytes_moved": moved,
            "moved_over_least": round(moved / least, 3), "narrows": narrowing(found.asm["ptx"])}  # fmt: skip


def row_bytes(ttir: str, dtype: str, classes: int, slope: bool) -> tuple[int, int]:
    """Return the bytes of a row that are asked of memory, and the least: logits read once, the gradient written once.

    Counted in the compiled program: each loop over the classes that loads logits, or class weights of their dtype,
    passes over them once; what is read again may come from a cache. A row is written, or filled, by one of two loops.
    """
    name = TRITON_NAME[dtype].replace("fp", "f")
    reads = len(re.findall(rf"tt\.load .*tensor<\d+x!tt\.ptr<{name}>>", ttir))
    writes = len(re.findall(rf"tt\.store .*tensor<\d+x!tt\.ptr<{name}>>", ttir))
    return (reads + math.ceil(writes / 2)) * classes * SIZE[dtype], (1 + slope) * classes * SIZE[dtype]


def narrowing(ptx: str) -> str:
    """Return the instructions that round to 16 bits; `.rn` is to the nearest."""
    return " ".join(sorted(set(re.findall(r"cvt\.[a-z.]*bf16x?2?\.f32", ptx)))) or "-"


def resources(ptx: str) -> dict[str, int]:
    """Return registers of a thread and bytes spilled, as the assembler of the triton package says them."""
    import triton.backends.nvidia

    assembler = Path(triton.backends.nvidia.__file__).parent / "bin" / "ptxas"
    target = re.search(r"\.target (sm_\w+)", ptx)
    if target is None:
        raise ValueError("ptx: expected a line .target, got none")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx, encoding="utf-8")
        command = [str(assembler), "-v", "--gpu-name", target[1], str(path), "-o", f"{path}.cubin"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    numbers = {"registers": r"Used (\d+) registers", "spill_stores": r"(\d+) bytes spill stores",
               "spill_loads": r"(\d+) bytes spill loads"}  # fmt: skip
    found = {key: re.search(pattern, said) for key, pattern in numbers.items()}
    return {key: int(match[1]) for key, match in found.items() if match is not None}


def markdown(table: Mapping[str, Any]) -> str:
    """Return the table as text."""
    rows = table["kernels"]
    names = list(rows[0])
    lines = [f"# Triton kernels for {table['target']}: {table['label']}", "",
             f"Compiled with triton {table['triton']} and its assembler, without a GPU. `bytes_moved` is of a row.", "",
             f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]  # fmt: skip
    lines += [f"| {' | '.join(str(row[name]) for name in names)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; return 1 where a kernel spills registers."""
    parser = argparse.ArgumentParser(prog="python -m xloss.kernels.plan", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/kernels"), help="folder of plan.json and plan.md")
    parser.add_argument("--classes", type=int, nargs="+", default=list(CLASSES))
    parser.add_argument("--dtypes", nargs="+", choices=list(SIZE), default=list(SIZE))
    given = parser.parse_args(arguments)
    table = plan(given.classes, given.dtypes)
    write_text(given.out / "plan.json", json.dumps(table, indent=1) + "\n")
    write_text(given.out / "plan.md", markdown(table))
    sys.stdout.write(markdown(table))
    return int(any(row["spill_stores"] or row["spill_loads"] for row in table["kernels"]))


if __name__ == "__main__":
    sys.exit(main())
