"""Why two functions disagree: one line, with the evidence."""

from xloss.compare.diagnosis.diagnose import diagnose
from xloss.compare.diagnosis.evidence import Diagnosis, Evidence

__all__ = ["Diagnosis", "Evidence", "diagnose"]
