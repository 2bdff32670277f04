"""Let a folder be called like the function of the same name: ``ts.report(...)`` and ``ts.report.html`` both work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(module_name: str, function: Callable[..., Any]) -> None:
    """Make calls to the module `module_name` go to `function`, with its docstring and signature."""

    class CallableRoom(ModuleType):
        __wrapped__ = staticmethod(function)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    sys.modules[module_name].__class__ = CallableRoom
