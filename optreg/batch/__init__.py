"""Many pairs: in parallel, resumable, one record a pair."""

from optreg.batch.parallel import Cluster, Local, each, run_all
from optreg.batch.records import Records, discard_leftovers
from optreg.batch.work import Job, done_before, register_pair

__all__ = [
    "Cluster",
    "Job",
    "Local",
    "Records",
    "discard_leftovers",
    "done_before",
    "each",
    "register_pair",
    "run_all",
]
