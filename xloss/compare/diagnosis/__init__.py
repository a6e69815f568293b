"""Why two functions disagree: one line, with the evidence."""

from xloss.compare.diagnosis.evidence import Diagnosis, Evidence


def diagnose(evidence: Evidence) -> list[Diagnosis]:
    """Return the causes that fit, the likeliest first."""
    del evidence
    return []


__all__ = ["Diagnosis", "Evidence", "diagnose"]
