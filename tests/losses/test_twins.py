"""The PyTorch and the JAX implementation of a loss, and of what the losses share, have the same statements.

Where frameworks only spell an operation differently, `Normalized` gives both one spelling. What differs then is in
`DIFFERENCES`, each with its kind and the least share of equal statements: a change of one twin alone fails here.
"""

import ast
import copy
import difflib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import xloss
from xloss.catalog import LOSSES

ROOT = Path(xloss.__file__).parent

KINDS = {
    "eager": "eager PyTorch calls a fused kernel, works in place, or replaces where by arithmetic; XLA fuses by itself",
    "index": "PyTorch gathers and scatters, for vmap and speed; JAX indexes, or compares with a broadcasted iota",
    "loop": "a Python loop in PyTorch is scan, map or while_loop in JAX, whose compile time grows with unrolled loops",
    "dtype": "strict promotion in JAX asks for explicit dtypes; without x64 it has no int64, torch's dtype of labels",
    "input": "JAX also takes NumPy arrays and Python numbers, and converts them",
    "state": "compilation, transformations, autocast, devices and recomputation are each framework's own",
    "derivative": "the derivative that one framework's operation has at a tie or kink, the other's formula spells out",
    "xla": "XLA flushes subnormals, has a less accurate log1p, and multiplies matrices with few bits by default",
    "forward": "PyTorch's forward mode gives a 0-d float32 tensor times a Python number a float64 tangent",
    "rank": "JAX may be set to refuse implicit rank promotion (jax_numpy_rank_promotion)",
    "spelling": "one operation, two names, too rare for a rule of `Normalized`",
}

# For each function whose twins differ: the kinds of difference, and the least share of equal statements.
DIFFERENCES: dict[str, tuple[str, float]] = {
    "losses/cross_entropy": ("input", 0.96),
    "losses/ctc_loss": ("eager", 0.92),
    "losses/dpo_loss": ("state, spelling", 0.89),
    "losses/kl_div": ("derivative", 0.92),
    "losses/linear_cross_entropy": ("eager, state", 0.71),
    "losses/log_cosh_loss": ("eager", 0.56),
    "losses/multilabel_margin_loss": ("dtype, spelling", 0.78),
    "losses/poly_loss": ("input", 0.96),
    "losses/self_distillation_loss": ("index", 0.96),
    "losses/sigmoid_focal_loss": ("eager, dtype", 0.86),
    "losses/sparsemax_loss": ("index, dtype", 0.88),
    "ops/reduce": ("forward, spelling, state", 0.81),
    "ops/compensated/two_sum_error": ("spelling", 0.6),
    "ops/ctc/validate_labels_and_lengths": ("state, input", 0.7),
    "ops/ctc/_validate_lengths": ("input, dtype", 0.7),
    "ops/ctc/_validate_labels": ("index, dtype, state, input", 0.44),
    "ops/ctc/negative_log_likelihood": ("index, spelling, rank", 0.65),
    "ops/ctc/_interleave": ("spelling", 0.57),
    "ops/ctc/_forward_log_probs": ("loop, eager, xla", 0.5),
    "ops/ctc/_add_double_word": ("spelling", 0.72),
    "ops/ctc/_forward_relative": ("loop, eager", 0.25),
    "ops/ctc/_log_sum_exp": ("index, xla", 0.26),
    "ops/distances/distance": ("xla, eager", 0.88),
    "ops/distances/_rescale": ("index, xla, dtype", 0.48),
    "ops/distances/cosine_similarities": ("xla", 0.66),
    "ops/fused/_soft_margin": ("rank", 0.5),
    "ops/fused/binary_cross_entropy_with_logits": ("eager", 0.1),
    "ops/fused/cross_entropy": ("eager", 0.1),
    "ops/fused/nll": ("eager", 0.1),
    "ops/fused/soft_cross_entropy": ("eager", 0.1),
    "ops/fused/soft_margin": ("eager", 0.1),
    "ops/linear/logits": ("eager, xla", 0.28),
    "ops/linear/nll_of_rows": ("eager", 0.28),
    "ops/linear/map_chunks": ("loop, state", 0.2),
    "ops/linear/sum/may_sum": ("state", 0.4),
    "ops/linear/add_cluster_nll": ("state", 0.71),
    "ops/distances/cosine_minus": ("eager", 0.79),
    "ops/margins/mean_hinge": ("eager", 0.6),
    "ops/squared_error": ("eager", 0.4),
    "ops/reduced_squared_error": ("eager", 0.57),
    "ops/reduced_smooth_l1": ("eager", 0.5),
    "ops/margins/scale": ("forward", 0.5),
    "ops/margins/neg_log_odds": ("index", 0.72),
    "ops/margins/neg_log_odds_of_all": ("derivative, index", 0.6),
    "ops/margins/sparsemax_support": ("loop", 0.11),
    "ops/as_array": ("input", 0.11),
    "ops/as_arrays": ("state", 0.66),
    "ops/check_devices": ("state", 0.1),
    "ops/option": ("state", 0.84),
    "ops/is_integer": ("dtype", 0.5),
    "ops/validate_and_upcast": ("dtype, input, state, eager", 0.65),
    "ops/as_indices": ("dtype", 0.4),
    "ops/gather_class_weight": ("index", 0.5),
    "ops/validate_unit_interval": ("eager, spelling, state", 0.47),
    "ops/nan_where": ("dtype, eager", 0.75),
    "ops/concrete": ("state", 0.5),
    "ops/broadcast_with_warning": ("state", 0.76),
    "ops/full_like": ("spelling", 0.5),
    "ops/clear_ignored": ("eager", 0.4),
    "ops/leave_out": ("eager", 0.75),
    "ops/is_empty": ("state", 0.5),
    "ops/absolute": ("derivative", 0.5),
    "ops/positive_part": ("eager", 0.4),
    "ops/smooth_l1": ("eager", 0.47),
    "ops/log1p": ("xla", 0.22),
    "ops/neg_sign": ("eager", 0.5),
    "ops/bce_of_logits": ("eager, rank", 0.71),
    "ops/log_sum_exp": ("eager", 0.85),
    "ops/nll_of_logits": ("index", 0.76),
    "ops/nll_of_logits_soft": ("index", 0.69),
    "ops/bce": ("eager, derivative", 0.18),
    "losses/binary_cross_entropy": ("rank", 0.9),
    "ops/distances/pair_masks": ("input", 0.9),
    "losses/multilabel_soft_margin_loss": ("rank", 0.75),
    "ops/validate_range": ("input, eager", 0.69),
    "ops/validate_labels": ("input, eager", 0.4),
}

# The share of equal statements in all pairs together; raise it where twins became more alike.
SHARE = 0.81

Pair = tuple[ast.FunctionDef, ast.FunctionDef]

# Method of a tensor -> function; the receiver becomes the first argument.
METHODS = {"abs": "abs", "argmax": "argmax", "clamp": "clip", "clip": "clip", "detach": "stop_gradient", "exp": "exp",
           "expand": "broadcast_to", "gather": "take_along_axis", "isnan": "isnan", "log": "log", "movedim": "moveaxis",
           "round": "round", "square": "square", "unsqueeze": "expand_dims"}  # fmt: skip
RENAMED = {"amax": "max", "amin": "min", "cat": "concatenate", "clamp": "clip", "to": "astype", "keepdim": "keepdims",
           "dim": "axis", "size": "numel"}  # fmt: skip
NAMES = {"torch": "X", "jax": "X", "jnp": "X", "tensor": "array"}
KERNEL_LOSSES = ("cross_entropy", "linear_cross_entropy")
# Arguments by which a framework is told what the other infers.
SILENT = ("device", "initial")


class Normalized(ast.NodeTransformer):
    """Rewrite a function in the spelling that both frameworks share: no annotations, docstrings, imports, devices."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        body = [statement for statement in node.body if not self.is_docstring(statement)]
        node.body = [new for statement in body if (new := self.visit(statement)) is not None] or [ast.Pass()]
        node.returns, node.decorator_list, node.name = None, [], node.name.removeprefix("torch_").removeprefix("jax_")
        self.visit(node.args)
        return node

    @staticmethod
    def is_docstring(node: ast.stmt) -> bool:
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else self.visit(ast.Assign([node.target], node.value, lineno=0))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        own = node.id.removeprefix("torch_").removeprefix("jax_")
        name = own if own in KERNEL_LOSSES else node.id  # which hand themselves over, to be called without a kernel
        return ast.Name(NAMES.get(name, name), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(NAMES.get(node.arg, node.arg))

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return ast.keyword(RENAMED.get(node.arg or "", node.arg), self.visit(node.value))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value, name = self.visit(node.value), RENAMED.get(node.attr, node.attr)
        if is_module(value):
            if name in (
                "bool",
                "nn",
                "functional",
                "lax",
            ):  # jax.lax.stop_gradient, torch.nn.functional.pad, torch.bool
                return ast.Name("bool") if name == "bool" else value
            return ast.Name("Array") if name in ("Tensor", "Array") else ast.Attribute(value, name, node.ctx)
        return ast.Attribute(value, name, node.ctx)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Turn x[None] and x[:, None] into expand_dims."""
        value, text = self.visit(node.value), ast.unparse(node.slice)
        for axis, index in enumerate(("None", ":, None")):
            if text.strip("()") == index:
                return call("expand_dims", value, ast.Constant(axis))
        return ast.Subscript(value, self.visit(node.slice), node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function, arguments = self.visit(node.func), [self.visit(argument) for argument in node.args]
        keywords = [self.visit(word) for word in node.keywords if word.arg not in SILENT and not is_int32(word)]
        if ast.unparse(function) in ("gather", "ops.gather"):  # JAX's take_along_axis, of arrays sharded anyhow
            return call("take_along_axis", *arguments)
        if isinstance(function, ast.Attribute) and ast.unparse(function.value) not in ("X", "math", "np"):
            receiver, name = function.value, function.attr
            if name == "item" or (name == "numel" and not arguments):
                return receiver if name == "item" else ast.Attribute(receiver, "numel")
            if name == "is_floating_point":
                return call("issubdtype", ast.Attribute(receiver, "dtype"), ast.Name("X.floating"))
            if name == "take_along_axis" or node_name(node) == "gather":
                return call("take_along_axis", receiver, *reversed(arguments))
            if node_name(node) in METHODS:
                return ast.Call(
                    ast.Attribute(ast.Name("X"), METHODS[node_name(node)]), [receiver, *arguments], keywords
                )
        return ast.Call(function, arguments, keywords)


def is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "X"


def is_int32(word: ast.keyword) -> bool:
    return word.arg == "dtype" and ast.unparse(word.value) == "jnp.int32"


def node_name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name("X"), name), list(arguments), [])


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the functions of a module by their names in it, normalized."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != "_"]
    return {node.name: ast.fix_missing_locations(Normalized().visit(node)) for node in found}


def catalogue_pairs() -> Iterator[tuple[str, Pair]]:
    for name in LOSSES:
        found = functions(ROOT / "losses" / f"{name}.py")
        yield f"losses/{name}", (found[f"torch_{name}"], found[f"jax_{name}"])


def ops_pairs() -> Iterator[tuple[str, Pair]]:
    reductions = functions(ROOT / "ops/reductions.py")
    yield "ops/reduce", (reductions["torch_reduce"], reductions["jax_reduce"])
    for path in sorted((ROOT / "ops").glob("*torch.py")):
        twin = path.with_name(path.name.replace("torch", "jax"))
        if twin.exists():
            ours, theirs = functions(path), functions(twin)
            family = path.stem.removesuffix("torch").replace("_", "/")
            yield from ((f"ops/{family}{name}", (ours[name], theirs[name])) for name in ours if name in theirs)


PAIRS = dict([*catalogue_pairs(), *ops_pairs()])


def statements(function: ast.FunctionDef) -> list[str]:
    """Return the lines of a function, one for each statement, with their indentation."""
    return ast.unparse(function).splitlines()


def equal_and_all(pair: Pair) -> tuple[int, int]:
    """Return how many statements of both twins are equal, and how many there are."""
    ours, theirs = map(statements, pair)
    blocks = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks), len(ours) + len(theirs)


def share(pair: Pair) -> float:
    equal, count = equal_and_all(pair)
    return equal / count


def difference(pair: Pair) -> str:
    return "\n".join(difflib.unified_diff(*map(statements, pair), "torch", "jax", lineterm="", n=0))


def problems(pairs: Mapping[str, Pair], table: Mapping[str, tuple[str, float]]) -> list[str]:
    """Return what is to be changed in the table, or in the twins."""
    found = [f"remove {name!r}: there is no such pair" for name in table if name not in pairs]
    for name, pair in pairs.items():
        (kinds, least), now = table.get(name, ("", 1.0)), share(pair)
        if name in table and now == 1:
            found.append(f"remove {name!r}: the twins are equal")
        elif now < least:
            entry = f'"{name}": ("{kinds}", {math.floor(100 * now) / 100}),'
            found.append(f"make these alike, or enter the kind of difference:\n    {entry}\n{difference(pair)}")
    return found


def test_twins_have_the_same_statements_but_for_the_differences_listed() -> None:
    found = problems(PAIRS, DIFFERENCES)
    assert not found, "\n\n".join(found)


def test_each_difference_is_of_a_kind_that_is_explained() -> None:
    kinds = {kind for listed, _ in DIFFERENCES.values() for kind in listed.split(", ")}
    assert kinds == set(KINDS)


def test_the_share_of_equal_statements_is_the_one_recorded() -> None:
    equal, count = map(sum, zip(*map(equal_and_all, PAIRS.values()), strict=True))
    assert SHARE <= equal / count < SHARE + 0.02, f"{equal} of {count} statements: SHARE = {equal / count:.3f}"


def test_both_modules_of_a_family_have_the_same_names() -> None:
    """But for what one framework alone needs, which is not shared."""
    for path in (ROOT / "ops").glob("*torch.py"):
        twin = path.with_name(path.name.replace("torch", "jax"))
        if twin.exists():
            names = [
                re.search(r"__all__ = (\[.*?\])", file.read_text(encoding="utf-8"), re.DOTALL) for file in (path, twin)
            ]
            ours, theirs = (ast.literal_eval(found[1]) for found in names if found)
            assert ours == theirs, path.name


def bodies(function: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(block, list):
                yield block


def swap_statements(function: ast.FunctionDef) -> bool:
    for block in bodies(function):
        for i, (one, other) in enumerate(itertools.pairwise(block)):
            if ast.unparse(one) != ast.unparse(other):
                block[i], block[i + 1] = other, one
                return True
    return False


def change_constant(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            node.value += 1
            return True
    return False


def remove_branch(function: ast.FunctionDef) -> bool:
    for block in bodies(function):
        for statement in block:
            if isinstance(statement, ast.If):
                block.remove(statement)
                return True
    return False


@pytest.mark.parametrize("fault", [swap_statements, change_constant, remove_branch])
def test_a_fault_in_one_twin_is_caught(fault: Callable[[ast.FunctionDef], bool]) -> None:
    """In every pair that is equal, one at a time."""
    planted = 0
    for name, (ours, theirs) in PAIRS.items():
        changed = copy.deepcopy(theirs)
        if share((ours, theirs)) == 1 and fault(changed):
            planted += 1
            assert problems({name: (ours, changed)}, {}), f"{name}: {ast.unparse(changed)}"
    assert planted >= 10


def test_a_further_difference_and_a_needless_entry_are_caught() -> None:
    name = "ops/nll_of_logits_soft"
    ours, theirs = PAIRS[name]
    assert not problems({name: (ours, theirs)}, {name: DIFFERENCES[name]})
    changed = copy.deepcopy(theirs)
    changed.body.pop()
    assert problems({name: (ours, changed)}, {name: DIFFERENCES[name]})
    assert problems({name: (ours, ours)}, {name: DIFFERENCES[name]}) == [f"remove {name!r}: the twins are equal"]
    assert problems({}, {name: DIFFERENCES[name]}) == [f"remove {name!r}: there is no such pair"]
