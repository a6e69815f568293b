"""Why two functions disagree: one line, with the evidence."""

from xloss.compare.diagnosis.diagnose import SECONDS, diagnose
from xloss.compare.diagnosis.evidence import Diagnosis, Evidence

__all__ = ["SECONDS", "Diagnosis", "Evidence", "diagnose"]
