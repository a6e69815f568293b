"""An option means something else in one function: its inverse, its square, one minus it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import of_changed
from xloss.compare.diagnosis.question import Question, numbers, same, show
from xloss.compare.run import Case


def option_convention(question: Question) -> Diagnosis | None:
    """B with an option o is A with another value of it: 1 - o, 1/o, its square or root, 0 (not used), ..."""
    case = question.cases[0]
    maps: dict[str, Callable[[float], float]] = {
        "0 (it is not used)": lambda v: 0.0, "1 (it is not used)": lambda v: 1.0, "1 - {}": lambda v: 1 - v,
        "1/{}": lambda v: 1 / v, "{} squared": lambda v: v * v, "the square root of {}": lambda v: abs(v) ** 0.5,
        "2 * {}": lambda v: 2 * v, "{}/2": lambda v: v / 2, "-{}": lambda v: -v, "exp({})": lambda v: float(np.exp(v)),
        "log({})": lambda v: float(np.log(v)), "1 + {}": lambda v: 1 + v, "{} - 1": lambda v: v - 1,
    }  # fmt: skip
    for option, value in numbers(case).items():
        for text, function in maps.items():
            if value <= 0 and any(word in text for word in ("1/", "log")):
                continue
            for base, deviating in question.directions():

                def change(c: Case, option: str = option, function: Callable[[float], float] = function) -> Case:
                    return c.with_options(**{option: function(numbers(c)[option])})

                if question.explains(of_changed(base, change), deviating):
                    written = text.format(option)
                    unused = "not used" in text
                    return question.says(
                        "option_unused" if unused else "option_convention",
                        f"{deviating.name} with {option} = {show(value)} is {base.name} with {option} = {written}",
                        deviating.label if unused else "",
                        option=option,
                    )
    return None


def option_turned_inside(question: Question) -> Diagnosis | None:
    """B has 1 - o where A has o, in a part of the formula: they agree where o is 1/2, and nowhere else."""
    case = question.telling[0]
    for option, value in numbers(case).items():
        if not 0 < value < 1 or value == 0.5:
            continue
        agree = []
        for number in (
            0.5,
            1 - value,
            0.3 if abs(value - 0.3) > 0.05 else 0.4,
            0.8 if abs(value - 0.8) > 0.05 else 0.7,
        ):
            pairs = [question.results([c.with_options(**{option: number})]) for c in question.telling[:2]]
            agree.append(all(pair and same(*pair[0]) for pair in pairs))
        if agree == [True, False, False, False]:
            return question.says(
                "option_convention",
                f"{question.pair[0].name} and {question.pair[1].name} agree where {option} = 1/2 = 1 - {option}, and "
                f"for no other {option} that was tried: in a part of the formula one takes {option} where the other "
                f"takes 1 - {option}",
                option=option,
            )
    return None
