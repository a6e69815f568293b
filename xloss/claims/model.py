"""What a claim is: measured evidence, a rule that judges it, and the verdict.

The way of the data: an *experiment* (a plain function, see ``xloss.claims.experiments``) runs one framework and returns
named numbers; a claim holds one experiment per framework; its *judge* turns both frameworks' numbers into a verdict and
sees nothing else. The snippet that a reader copies is the source of the experiment itself, so it cannot drift from what
was measured.
"""

import ast
import contextlib
import inspect
import math
import re
import string
import textwrap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Framework = Literal["torch", "jax"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
Kind = Literal["holds", "fails", "holds only if"]

#: What an experiment returns: numbers, lists of numbers, and (as strings) what the framework said.
Measured = dict[str, Any]
Evidence = Mapping[str, Mapping[str, Any]]
Experiment = Callable[[], Measured]


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


class Numbers(Mapping[str, Any]):
    """One framework's evidence, read strictly: a missing name is an `EvidenceError`; what was read is remembered."""

    def __init__(self, framework: str, numbers: Mapping[str, Any]) -> None:
        """Refuse numbers that are not finite: every comparison with a NaN is false, which would pass for a verdict."""
        for name, value in numbers.items():
            if not isinstance(value, str) and not all(map(math.isfinite, as_list(value))):
                raise EvidenceError(f"{framework}: {name!r} is not finite: {value}")
        self.framework, self._numbers, self.read = framework, numbers, set[str]()

    def __getitem__(self, name: str) -> Any:
        """The number of that name."""
        if name not in self._numbers:
            raise EvidenceError(f"{self.framework}: no number {name!r} among {sorted(self._numbers)}")
        self.read.add(name)
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._numbers)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._numbers)


Rule = Callable[[Numbers], Verdict]
Judge = Callable[[Mapping[str, Numbers]], Verdict]


def decide(always: bool, sometimes: bool = False, condition: str = "") -> Verdict:
    """Return ``holds`` if always, else ``holds only if`` the condition if sometimes, else ``fails``."""
    if always:
        return Verdict("holds")
    return Verdict("holds only if", condition) if sometimes else Verdict("fails")


def near(got: Any, want: Any, rel: float = 1e-6, abs: float = 0.0) -> bool:
    """Whether each number of `got` is within a relative or an absolute distance of `want`, a number or as many."""
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
    """A number or a sequence of numbers, as a list."""
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]


@contextlib.contextmanager
def settled(framework: Framework) -> Iterator[None]:
    """Run an experiment as vouched for, whatever the caller's settings: on the CPU, in JAX without 64 bits.

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


def snippet(experiment: Experiment) -> str:
    """The experiment as a file of its own: its body, with the returned numbers printed instead."""
    source = textwrap.dedent(inspect.getsource(experiment))
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    said, last = function.body[0], function.body[-1]
    assert isinstance(last, ast.Return)
    lines = source.splitlines()
    body, tail = lines[said.end_lineno : last.lineno - 1], lines[last.lineno - 1 :]
    if isinstance(last.value, ast.Name):
        name, tail = last.value.id, []
    else:
        name, tail = "numbers", [tail[0].replace("return ", "numbers = ", 1), *tail[1:]]
    code = textwrap.dedent("\n".join([*body, *tail])).strip()
    summary = (ast.get_docstring(function) or "").replace("\n", "\n# ")
    return f'# {summary}\n{code}\nfor name, value in {name}.items():\n    print(f"{{name}} = {{value}}")\n'


@dataclass(frozen=True)
class Claim:
    """One claim of a seed, the experiments that settle it, and the verdict that the repository vouches for today."""

    id: str  #: ``seed/name``
    statement: str  #: the short claim
    question: str  #: the same for someone new to it, one plain sentence
    torch: Experiment
    jax: Experiment
    judge: Judge  #: a pure function of the evidence
    expected: Kind
    explanation: str  #: two sentences; ``{torch[name]}`` and ``{jax[name]}`` stand for measured numbers
    faults: Mapping[str, Mapping[str, Any]]  #: what would change the verdict: why -> the numbers one would see then
    figure: Callable[[Evidence], str] | None = None  #: evidence -> SVG

    @property
    def seed(self) -> str:
        """The slug of the seed."""
        return self.id.partition("/")[0]

    @property
    def snippets(self) -> dict[str, str]:
        """About ten lines for each framework that print its evidence; they import nothing of xloss."""
        return {framework: snippet(getattr(self, framework)) for framework in FRAMEWORKS}

    def evidence(self, memo: MutableMapping[Experiment, Measured] | None = None) -> Evidence:
        """Run both experiments; `memo` keeps those that several claims share."""
        memo = {} if memo is None else memo
        for framework in FRAMEWORKS:
            experiment = getattr(self, framework)
            if experiment not in memo:
                with settled(framework):
                    memo[experiment] = dict(experiment())
        return {framework: memo[getattr(self, framework)] for framework in FRAMEWORKS}

    def verdict(self, evidence: Evidence) -> Verdict:
        """The verdict that this evidence supports; `EvidenceError` where it supports none."""
        missing = [framework for framework in FRAMEWORKS if not evidence.get(framework)]
        if missing:
            raise EvidenceError(f"no evidence from {' and '.join(missing)}")
        numbers: dict[str, Numbers] = {framework: Numbers(framework, evidence[framework]) for framework in FRAMEWORKS}
        try:
            return self.judge(numbers)
        except EvidenceError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A judge divides, indexes and unpacks; evidence on which that fails is no evidence for anything.
            raise EvidenceError(f"the evidence cannot be judged ({type(error).__name__}: {error})") from error

    def used(self, evidence: Evidence) -> set[str]:
        """The names of the numbers that the judge read or the explanation tells: what this claim is about."""
        numbers: dict[str, Numbers] = {fw: Numbers(fw, evidence[fw]) for fw in FRAMEWORKS}
        self.judge(numbers)
        fields = [field for _, field, _, _ in string.Formatter().parse(self.explanation) if field]
        return {part for field in fields for part in re.findall(r"\[([^\]]*)\]", field)}.union(
            *(measured.read for measured in numbers.values())
        )

    def explain(self, evidence: Evidence) -> str:
        """The explanation with its numbers filled in."""
        return self.explanation.format(torch=evidence["torch"], jax=evidence["jax"])


@dataclass(frozen=True)
class Seed:
    """One text and its claims."""

    number: int  #: its place among the seeds
    slug: str
    title: str
    about: str  #: one sentence
    claims: tuple[Claim, ...]

    def __post_init__(self) -> None:
        """Refuse a claim under another seed's name, or two of one name."""
        ids = [claim.id for claim in self.claims]
        if len(set(ids)) < len(ids) or any(claim.seed != self.slug for claim in self.claims):
            raise ValueError(
                f"claims of {self.slug!r} need distinct ids that start with {self.slug + '/'!r}, got {ids}"
            )


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
        """How the verdict compares with the one vouched for."""
        if self.verdict is None:
            return "crashed" if self.crashed else "undecided"
        return "as expected" if self.verdict.kind == self.claim.expected else "changed"

    @property
    def explanation(self) -> str:
        """The explanation with its numbers, or the error that stands in its place."""
        if self.verdict is None:
            return self.error
        return self.claim.explain(self.evidence)

    @property
    def figure(self) -> str | None:
        """The figure as SVG, if the claim has one and there is evidence to draw."""
        return self.claim.figure(self.evidence) if self.claim.figure and self.verdict else None

    def numbers(self) -> dict[str, dict[str, float]]:
        """The numbers per framework, lists as ``name[0]``, ``name[1]``, ..."""
        return {framework: flatten(measured) for framework, measured in self.evidence.items()}

    def said(self) -> dict[str, dict[str, str]]:
        """What the frameworks said, where words are part of the evidence: error messages, for the most part."""
        return {
            framework: {name: value for name, value in measured.items() if isinstance(value, str)}
            for framework, measured in self.evidence.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        claim = self.claim
        return {
            "id": claim.id,
            "seed": claim.seed,
            "statement": claim.statement,
            "question": claim.question,
            "verdict": self.verdict.kind if self.verdict else None,
            "condition": self.verdict.condition if self.verdict else "",
            "expected": claim.expected,
            "status": self.status,
            "explanation": self.explanation,
            "evidence": self.numbers(),
            "said": self.said(),
            "snippets": claim.snippets,
            "seconds": round(self.seconds, 3),
        }


def flatten(measured: Mapping[str, Any]) -> dict[str, float]:
    """Named numbers alone: strings left out, lists as ``name[0]``, ``name[1]``, ..."""
    flat: dict[str, float] = {}
    for name, value in measured.items():
        if isinstance(value, str):
            continue
        if isinstance(value, Sequence):
            flat.update({f"{name}[{i}]": float(v) for i, v in enumerate(value)})
        else:
            flat[name] = float(value)
    return flat
