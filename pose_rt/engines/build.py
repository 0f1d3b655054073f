"""ONNX bytes -> the bytes of an engine, with any TensorRT that `runtime` finds; builds without a GPU where that TensorRT can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ModelError
from .runtime import Log, Runtime, failure, made

Progress = Callable[[str, float], None]
"""``progress(what is done, fraction in [0, 1])``; called on the building thread, many times a second."""

WAIT_S = 0.1


class _Phases:
    """TensorRT's nested phases as one growing fraction."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._parent: dict[str, str | None] = {}
        self._total: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._shown = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._parent[name], self._total[name], self._done[name] = parent, max(steps, 1), 0
        self._show(name, 0.0)

    def step(self, name: str, step: int) -> None:
        self._done[name] = step + 1
        self._show(name, 0.0)

    def finish(self, name: str) -> None:
        self._show(name, 1.0 - self._done.get(name, 0) / self._total.get(name, 1))

    def _show(self, name: str, more: float) -> None:
        fraction, inner = min(1.0, self._done.get(name, 0) / self._total.get(name, 1) + more), self._parent.get(name)
        while inner is not None and inner in self._total:
            fraction = min(1.0, (self._done[inner] + fraction) / self._total[inner])
            inner = self._parent.get(inner)
        self._shown = max(self._shown, fraction)
        self._progress(name, self._shown)


def _monitor(module: Any, phases: _Phases, cancelled: threading.Event) -> Any:
    """An IProgressMonitor. Nothing may escape from its methods: an error in them ends the process."""

    class Monitor(module.IProgressMonitor):
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


def parse(runtime: Runtime, builder: Any, onnx: bytes, name: str, log: Log, logger: Any) -> tuple[Any, Any]:
    """The network of an ONNX file, and its parser (which owns the weights and must live as long).

    Raises:
        ModelError: the file is damaged, is empty, or has an operator that TensorRT does not have; the node is named.
    """
    network = made(lambda: builder.create_network(runtime.network_bits()), f"{runtime.title}: making a network", log)
    parser = made(lambda: runtime.module.OnnxParser(network, logger), f"{runtime.title}: making a parser", log)
    if not parser.parse(onnx):
        raise ModelError(f"{name} cannot become a {runtime.title} engine: {_parse_error(parser, log)}", _PARSE_CURE)
    if network.num_outputs == 0 or network.num_inputs == 0:
        raise ModelError(f"{name} is no network: {runtime.title} found no inputs and outputs in it", _PARSE_CURE)
    log.take()
    return network, parser


_PARSE_CURE = "export it again with python -m exporters, or run it with --backend onnxruntime"


def _parse_error(parser: Any, log: Log) -> str:
    if parser.num_errors == 0:
        return (log.take() or ["the ONNX file cannot be read"])[0]
    error = parser.get_error(parser.num_errors - 1)
    text = " ".join(str(error.desc()).split())
    node, operator = _maybe(error, "node_name"), _maybe(error, "node_operator")
    if not operator:
        return text
    what = f"node {node or error.node()!r} ({operator})"
    return f"{what} is not supported: {text}" if text not in ("", "false") else f"{what} is not supported"


def _maybe(error: Any, method: str) -> str:
    return str(getattr(error, method)()) if hasattr(error, method) else ""


def compile_plan(
    runtime: Runtime, onnx: bytes, shapes: Mapping[str, Sequence[Sequence[int]]], name: str, progress: Progress = lambda _what, _done: None
) -> bytes:
    """Build an engine. Ctrl-C stops TensorRT at its next step and then raises KeyboardInterrupt.

    Args:
        onnx: a model whose file says the precision of every value (networks are strongly typed).
        shapes: {input: [least, best, largest shape]}.
        name: of the model, for messages.

    Raises:
        ModelError: the file is no model that TensorRT can build; the node is named.
        BackendError: TensorRT failed: no driver, too little memory, an unknown GPU.
    """
    log = Log()
    logger = runtime.logger(log)
    builder = made(lambda: runtime.module.Builder(logger), f"{runtime.title}: making a builder", log)
    network, parser = parse(runtime, builder, onnx, name, log, logger)
    config = made(builder.create_builder_config, f"{runtime.title}: making a configuration", log)
    profile = made(builder.create_optimization_profile, f"{runtime.title}: making a profile", log)
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        profile.set_shape(tensor.name, *(tuple(shape) for shape in shapes[tensor.name]))
    config.add_optimization_profile(profile)
    flags = runtime.module.BuilderFlag
    config.clear_flag(flags.TF32)  # on by default, and it rounds the factors of fp32 products to 10 bits
    if hasattr(flags, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX: no allocation while running, which CUDA graphs need
        config.set_flag(flags.REQUIRE_USER_ALLOCATION)
    cancelled = threading.Event()
    if hasattr(config, "progress_monitor") and hasattr(runtime.module, "IProgressMonitor"):
        config.progress_monitor = _monitor(runtime.module, _Phases(progress), cancelled)
    plan = _interruptible(lambda: builder.build_serialized_network(network, config), cancelled, f"building {name}", log)
    del parser
    if plan is None:
        raise failure(f"building an engine of {name} with {runtime.title} {runtime.version}", log.take())
    return bytes(plan)


def _interruptible(work: Callable[[], Any], cancelled: threading.Event, what: str, log: Log) -> Any:
    """Run `work` on another thread, because while native code runs on the main one nobody hears Ctrl-C."""
    result: list[Any] = [None]
    problem: list[BaseException] = []

    def run() -> None:
        try:
            result[0] = work()
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=run, name="engine build", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(WAIT_S)
    except KeyboardInterrupt:
        cancelled.set()
        thread.join()
        raise
    if problem:
        raise failure(what, log.take() or [f"{type(problem[0]).__name__}: {problem[0]}"]) from problem[0]
    return result[0]
