"""Many pairs: in parallel, resumable, one record a pair."""

from optreg.batch.folder import BatchFolder
from optreg.batch.parallel import Cluster, Local, each, run_all
from optreg.batch.records import Records
from optreg.batch.work import Job, Task, register_pair

__all__ = [
    "BatchFolder",
    "Cluster",
    "Job",
    "Local",
    "Records",
    "Task",
    "each",
    "register_pair",
    "run_all",
]
