"""Calls a Python function: an async one in the event loop, another one in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from provisioning.codec import CodecError, plain
from provisioning.core.model import Step
from provisioning.core.ports import Outcome, Task
from provisioning.engine.actions import Context, Result, Traits
from provisioning.errors import NotFoundError, ProvisioningError

_SIMPLE = (str, bool, type(None))
_CALLERS = (__file__,)
_GREATEST = 2**53  # whole numbers up to here are the same in every JSON reader


class Running(Protocol):
    """What a function sees of its attempt."""

    added: list[Step]
    stopped: bool


class Functions(Protocol):
    """Where functions come from."""

    def find(self, name: str) -> Callable[..., Any]:
        """Return the function of this name. Raises NotFoundError."""
        ...

    def enter(self, task: Task, worker: str, said: Context) -> Running:
        """Make this the attempt that functions called in this context belong to."""
        ...


class PythonAction:
    """The action `python`: `{function: name}`; the task's arguments are `{args, kwargs}`.

    A function in a thread cannot be stopped: after a cancellation or a timeout nobody listens to it any more, and `current()`
    tells it so. Its thread does not keep the program from ending.
    """

    traits = Traits(eager_log=False)

    def __init__(self, functions: Functions, worker: str) -> None:
        self._functions, self._worker = functions, worker

    async def run(self, task: Task, context: Context) -> Result:
        """Call it. What it returns is the step's output; what it raises fails the step."""
        try:
            function = self._functions.find(str(task.action.settings.get("function", "")))
        except NotFoundError as error:
            return _failed("unknown_task", f"{error.message}; {error.hint}", retryable=False)
        running = self._functions.enter(task, self._worker, context)
        args, kwargs = _arguments(task.args)
        try:
            output = await self._call(function, args, kwargs)
        except asyncio.CancelledError as error:
            running.stopped = True
            current = asyncio.current_task()
            if current is not None and not current.cancelling():  # its own doing: nobody stopped us
                return _raised(error, context)
            raise
        except BaseException as error:  # whatever it raises, SystemExit too, is the end of the step and not of the worker
            return _refused(function, args, kwargs) or _raised(error, context)
        return _succeeded(output, running)

    async def _call(self, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        if inspect.iscoroutinefunction(function):
            return await function(*args, **kwargs)
        found = await _in_a_thread(partial(contextvars.copy_context().run, function, *args, **kwargs))
        return await found if inspect.isawaitable(found) else found


async def _in_a_thread(call: Callable[[], object]) -> object:
    """Return what a call returns, or raise what it raises. No pool: one that never ends would keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()

    def run() -> None:
        result: object = None
        error: BaseException | None = None
        try:
            result = call()
        except StopIteration as raised:  # a future cannot carry it
            error = RuntimeError("the function raised StopIteration").with_traceback(raised.__traceback__)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has closed: nobody listens any more
            loop.call_soon_threadsafe(_deliver, future, result, error)

    threading.Thread(target=run, name="task", daemon=True).start()
    return await future


def _deliver(future: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _arguments(stored: object) -> tuple[Sequence[object], Mapping[str, object]]:
    if not isinstance(stored, Mapping):
        return (), {}
    args, kwargs = stored.get("args"), stored.get("kwargs")
    return args if isinstance(args, list | tuple) else (), kwargs if isinstance(kwargs, Mapping) else {}


def _succeeded(output: object, running: Running) -> Result:
    if not isinstance(output, _SIMPLE) and not (type(output) is int and abs(output) <= _GREATEST):
        try:
            output = plain(output)
        except CodecError as error:
            return _failed("output", f"what it returned cannot be stored: {error}", retryable=False)
    elif isinstance(output, str) and not output.isascii():
        output = output.encode("utf-8", "backslashreplace").decode()
    return Result(outcome=Outcome.OK, output=output, added=tuple(running.added))


def _refused(function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> Result | None:
    """Return what to say where the arguments did not fit: the function was not to blame, and no other attempt can help."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return _failed("arguments", f"{function.__qualname__} cannot be called like this: {error}", retryable=False)
    except ValueError:
        return None
    return None


def _raised(error: BaseException, context: Context) -> Result:
    """Tell what a function raised: in one line, and where it happened in the log."""
    theirs = error.with_traceback(_from_their_frames(error.__traceback__))
    context.write("".join(traceback.format_exception(theirs)).encode("utf-8", "backslashreplace"))
    if isinstance(error, ProvisioningError):
        return _failed(error.code, f"{error.message}; {error.hint}" if error.hint else error.message)
    kind, retryable = getattr(error, "kind", None), getattr(error, "retryable", True)
    if isinstance(kind, str) and kind:
        return _failed(kind, str(error), retryable=bool(retryable))
    name = type(error).__name__
    return _failed(name if isinstance(error, Exception) else "panic", f"{name}: {error}" if str(error) else name)


def _from_their_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a trace that begins in the function: how it was called is nobody's concern."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.endswith(_CALLERS):
        first = first.tb_next
    return first or trace


def _failed(kind: str, message: str, *, retryable: bool = True) -> Result:
    return Result(outcome=Outcome.FAILED, error_kind=kind, error=message, retryable=retryable)
