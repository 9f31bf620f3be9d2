"""The supervision tree: keeps tasks and processes running, by the rules of Erlang/OTP.

A guided tour. You describe each child by a `ChildSpec`: its name, how to start it, whether it is
started again (`Restart`), and its time limits. How to start it is a function that returns a
running `Child`; `process_child`, `task_child`, `task_child_with_ready` and `supervisor_child`
make such functions for programs, coroutines and subtrees. A `Supervisor` takes a list of specs
and a `Strategy`, starts them in order, restarts what dies after a `BackOff`, and stops them in
reverse order. When there are more restarts than its `Intensity` allows, it stops everything and
raises `RestartIntensityExceeded`; its own supervisor then does with it as with any child that
failed. How a child ended is an `Exit`.

Inside: `core` decides and is pure; `supervisor` carries out and logs; `life` is one life of one
child with its limits. A supervised program calls `die_with_parent` and `say_ready` (`inside`).

Not for: what the children do, and not for retrying a single request.
"""

from tenhertz.supervise.child import Child, Exit, ExitedBeforeReady, ExitKind, Sleep, Start
from tenhertz.supervise.counts import ChildStatistics, SupervisorStatistics
from tenhertz.supervise.inside import die_with_parent, say_ready
from tenhertz.supervise.process import ProcessChild, process_child
from tenhertz.supervise.spec import BackOff, ChildSpec, Intensity, Restart, Strategy
from tenhertz.supervise.subtree import SupervisorChild, supervisor_child
from tenhertz.supervise.supervisor import RestartIntensityExceeded, Supervisor
from tenhertz.supervise.task import TaskChild, task_child, task_child_with_ready

__all__ = [
    "BackOff",
    "Child",
    "ChildSpec",
    "ChildStatistics",
    "Exit",
    "ExitKind",
    "ExitedBeforeReady",
    "Intensity",
    "ProcessChild",
    "Restart",
    "RestartIntensityExceeded",
    "Sleep",
    "Start",
    "Strategy",
    "Supervisor",
    "SupervisorChild",
    "SupervisorStatistics",
    "TaskChild",
    "die_with_parent",
    "process_child",
    "say_ready",
    "supervisor_child",
    "task_child",
    "task_child_with_ready",
]
