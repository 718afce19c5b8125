"""Long computations: a plan of work items, an engine that runs them, and a journal of finished work."""

from mesascope.plans.engines import Engine, Here, Processes
from mesascope.plans.executor import PlanFailed, execute
from mesascope.plans.work import Plan, Work

__all__ = ("Engine", "Here", "Plan", "PlanFailed", "Processes", "Work", "execute")
