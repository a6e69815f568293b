"""Define a claim: measured evidence, a rule that judges it, and the verdict.

An *experiment* (a plain function, see ``xloss.claims.experiments``) runs one framework and returns named numbers. A
claim names its experiment, which exists once per framework; its *judge* turns the numbers of both frameworks into a
verdict and sees nothing else. The snippet that a reader copies is cut out of the experiment's source, so it cannot
differ from what was measured.
"""

import ast
import contextlib
import functools
import importlib
import math
import re
import string
import textwrap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal, get_args

Framework = Literal["torch", "jax"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
Kind = Literal["holds", "fails", "holds only if"]

#: What an experiment returns: numbers, lists of numbers, and (as strings) what the framework said.
Measured = dict[str, Any]
Evidence = Mapping[str, Mapping[str, Any]]


class EvidenceError(ValueError):
    """The evidence settles nothing: a number is missing or not finite, or the frameworks contradict each other."""


@dataclass(frozen=True)
class Verdict:
    """``holds``, ``fails``, or ``holds only if`` with the condition."""

    kind: Kind
    condition: str = ""

    def __post_init__(self) -> None:
        """Refuse a condition without its kind and the other way round."""
        if (self.kind == "holds only if") != bool(self.condition):
            raise ValueError(f"a condition belongs to 'holds only if' alone, got {self.kind!r} with {self.condition!r}")

    def __str__(self) -> str:
        """The verdict as a phrase."""
        return f"{self.kind} {self.condition}".strip()


class Numbers(dict[str, Any]):
    """One framework's evidence: reading a missing name is an `EvidenceError`, and what was read is remembered."""

    def __init__(self, framework: str, numbers: Mapping[str, Any]) -> None:
        """Refuse numbers that are not finite: every comparison with a NaN is false, which would pass for a verdict."""
        for name, value in numbers.items():
            if not isinstance(value, str) and not all(map(math.isfinite, as_list(value))):
                raise EvidenceError(f"{framework}: {name!r} is not finite: {value}")
        super().__init__(numbers)
        self.framework, self.read = framework, set[str]()

    def __getitem__(self, name: str) -> Any:
        """Return the number of that name."""
        if name not in self:
            raise EvidenceError(f"{self.framework}: no number {name!r} among {sorted(self)}")
        self.read.add(name)
        return super().__getitem__(name)


Rule = Callable[[Numbers], Verdict]
Judge = Callable[[Mapping[str, Numbers]], Verdict]


def decide(always: bool, sometimes: bool = False, condition: str = "") -> Verdict:
    """Return ``holds`` if always, else ``holds only if`` the condition if sometimes, else ``fails``."""
    if always:
        return Verdict("holds")
    return Verdict("holds only if", condition) if sometimes else Verdict("fails")


def near(got: Any, want: Any, rel: float = 1e-6, abs: float = 0.0) -> bool:
    """Tell whether each number of `got` is within a relative or an absolute distance of `want`, a number or as many."""
    left, right = as_list(got), as_list(want)
    right = right * len(left) if len(right) == 1 else right
    return len(left) == len(right) and all(
        math.isclose(a, b, rel_tol=rel, abs_tol=abs) for a, b in zip(left, right, strict=True)
    )


def each(rule: Rule) -> Judge:
    """Judge each framework by the same rule, and refuse a verdict where they contradict each other."""

    def judge(evidence: Mapping[str, Numbers]) -> Verdict:
        verdicts = {framework: rule(numbers) for framework, numbers in evidence.items()}
        if len({verdict.kind for verdict in verdicts.values()}) > 1:
            said = ", ".join(f"{framework}: {verdict}" for framework, verdict in verdicts.items())
            raise EvidenceError(f"the frameworks contradict each other ({said})")
        return verdicts["torch"]

    return judge


def as_list(value: Any) -> list[float]:
    """Return a number or a sequence of numbers as a list."""
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]


@contextlib.contextmanager
def settled(framework: Framework) -> Iterator[None]:
    """Run an experiment the same way, whatever the caller's settings: on the CPU, in JAX without 64 bits.

    The caller's random state is left as it was.
    """
    with contextlib.ExitStack() as stack:
        if framework == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng(devices=[]))
        else:
            import jax

            if hasattr(jax, "enable_x64"):
                stack.enter_context(jax.enable_x64(False))
            else:
                from jax.experimental import disable_x64

                stack.enter_context(disable_x64())
            # JAX_PLATFORMS can leave the CPU out; then the default device has to do.
            with contextlib.suppress(RuntimeError):
                stack.enter_context(jax.default_device(jax.local_devices(backend="cpu")[0]))
        yield


@functools.cache
def _source(framework: Framework) -> tuple[ast.Module, list[str]]:
    """Return the experiments in a framework as a syntax tree and as lines, without importing the framework."""
    text = resources.files("xloss.claims.experiments").joinpath(f"{framework}_.py").read_text("utf-8")
    return ast.parse(text), text.splitlines()


def snippet(framework: Framework, experiment: str) -> str:
    """Return the experiment as a script of its own: imports, helpers, its body, and a loop that prints the numbers."""
    tree, lines = _source(framework)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    function = functions[experiment]
    helpers = [functions[name] for name in functions if name in _names(function) and not _measures(functions[name])]
    used = set().union(*map(_names, (function, *helpers))) - {"Measured"}
    wanted = [node for node in imports if used & {alias.asname or alias.name for alias in node.names}]
    last = function.body[-1]
    assert isinstance(last, ast.Return)
    assert last.end_lineno
    body = lines[function.body[0].end_lineno : last.end_lineno]
    returned = last.lineno - last.end_lineno - 1
    body[returned] = body[returned].replace("return ", "numbers = ", 1)
    code = textwrap.dedent("\n".join(body)).replace(": Measured = ", " = ").removesuffix("\nnumbers = numbers").strip()
    summary = textwrap.indent(ast.get_docstring(function) or "", "# ")
    parts = [summary + "\n" + "\n".join(map(ast.unparse, wanted))]
    parts += ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in helpers]
    return (
        "\n\n\n".join(parts) + f'\n\n{code}\nfor name, value in numbers.items():\n    print(f"{{name}} = {{value}}")\n'
    )


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _measures(function: ast.FunctionDef) -> bool:
    return isinstance(function.returns, ast.Name) and function.returns.id == "Measured"


@dataclass(frozen=True)
class Claim:
    """One claim of a source, the experiment that settles it, and the verdict that is expected."""

    id: str  #: ``source/name``
    statement: str
    experiment: str  #: the name of the function in both of ``xloss.claims.experiments``'s modules
    judge: Judge  #: a pure function of the evidence
    expected: Kind
    explanation: str  #: two sentences; ``{torch[name]}`` and ``{jax[name]}`` stand for measured numbers
    faults: Mapping[str, Mapping[str, Any]]  #: what would change the verdict: why -> the numbers one would see then

    @property
    def source(self) -> str:
        """The slug of the source."""
        return self.id.partition("/")[0]

    @property
    def snippets(self) -> dict[str, str]:
        """A script for each framework that prints its evidence and imports nothing of xloss."""
        return {framework: snippet(framework, self.experiment) for framework in FRAMEWORKS}

    def evidence(self, memo: MutableMapping[str, Evidence] | None = None) -> Evidence:
        """Run the experiment in both frameworks; `memo` keeps those that several claims share."""
        memo = {} if memo is None else memo
        if self.experiment not in memo:
            measured: dict[str, Any] = {}
            for framework in FRAMEWORKS:
                module = importlib.import_module(f"xloss.claims.experiments.{framework}_")
                with settled(framework):
                    measured[framework] = getattr(module, self.experiment)()
            memo[self.experiment] = measured
        return memo[self.experiment]

    def verdict(self, evidence: Evidence) -> Verdict:
        """Return the verdict that this evidence supports; raise `EvidenceError` where it supports none."""
        return self._judged(evidence)[0]

    def used(self, evidence: Evidence) -> set[str]:
        """Return the names of the numbers that the judge read or the explanation tells."""
        read = self._judged(evidence)[1]
        fields = [field for _, field, _, _ in string.Formatter().parse(self.explanation) if field]
        return read | {part for field in fields for part in re.findall(r"\[([^\]]*)\]", field)}

    def _judged(self, evidence: Evidence) -> tuple[Verdict, set[str]]:
        missing = [framework for framework in FRAMEWORKS if not evidence.get(framework)]
        if missing:
            raise EvidenceError(f"no evidence from {' and '.join(missing)}")
        numbers: dict[str, Numbers] = {name: Numbers(name, evidence[name]) for name in FRAMEWORKS}
        try:
            return self.judge(numbers), set().union(*(measured.read for measured in numbers.values()))
        except EvidenceError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A judge divides, indexes and unpacks; evidence on which that fails settles nothing.
            raise EvidenceError(f"the evidence cannot be judged ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Source:
    """One text and its claims."""

    slug: str
    title: str
    about: str  #: one sentence
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Result:
    """A claim with what was measured. Without a verdict, `error` says why; `crashed`, whether code failed."""

    claim: Claim
    verdict: Verdict | None = None
    evidence: Evidence = field(default_factory=dict)
    error: str = ""
    crashed: bool = False
    seconds: float = 0.0

    @property
    def status(self) -> Literal["as expected", "changed", "undecided", "crashed"]:
        """How the verdict compares with the expected one."""
        if self.verdict is None:
            return "crashed" if self.crashed else "undecided"
        return "as expected" if self.verdict.kind == self.claim.expected else "changed"

    @property
    def explanation(self) -> str:
        """The explanation with its numbers, or the error that stands in its place."""
        return self.claim.explanation.format(**self.evidence) if self.verdict else self.error

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        claim = self.claim
        return {
            "id": claim.id,
            "seed": claim.source,  # the key that readers of the JSON know
            "statement": claim.statement,
            "verdict": self.verdict.kind if self.verdict else None,
            "condition": self.verdict.condition if self.verdict else "",
            "expected": claim.expected,
            "status": self.status,
            "explanation": self.explanation,
            "evidence": {framework: flatten(numbers) for framework, numbers in self.evidence.items()},
            "said": {
                framework: {name: value for name, value in numbers.items() if isinstance(value, str)}
                for framework, numbers in self.evidence.items()
            },
            "snippets": claim.snippets,
            "seconds": round(self.seconds, 3),
        }


def flatten(measured: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers alone: strings left out, lists as ``name[0]``, ``name[1]``, ..."""
    flat: dict[str, float] = {}
    for name, value in measured.items():
        if isinstance(value, str):
            continue
        if isinstance(value, Sequence):
            flat.update({f"{name}[{i}]": float(v) for i, v in enumerate(value)})
        else:
            flat[name] = float(value)
    return flat
