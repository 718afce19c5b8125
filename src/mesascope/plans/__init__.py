"""How anything that takes a while is run: a plan of pieces of work, an engine, and a journal of what is done."""

from mesascope.plans.engines import Engine, Here, Processes
from mesascope.plans.executor import PlanFailed, execute
from mesascope.plans.work import Plan, Work

__all__ = ("Engine", "Here", "Plan", "PlanFailed", "Processes", "Work", "execute")
