"""Traces of runs, by OpenTelemetry: one a run, with a span for each step and each call of BigQuery.

They are made if the environment says where they go (`OTEL_EXPORTER_OTLP_ENDPOINT`), and cost nothing else. A run's
trace has the run's own id, and the span of an attempt an id that follows from it: so what several processes do for a
run, one after the other, is one trace, and whoever knows the run finds it. The provider is our own: libraries that look
for the global one, such as Google's, add nothing to it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import importlib.util
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from tidemill import __version__
from tidemill.errors import Cancelled, ConfigError, TidemillError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

Value = str | int | float | bool | None

_WHERE = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_PROTOCOL = "http/protobuf"
#: In the ids of the next span: what is to be used instead of something random.
_IDS: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("tidemill_trace_ids", default=None)
#: The span of a stream's run, which goes on for longer than a block: calls are below it.
_ABOVE: contextvars.ContextVar[trace.Span | None] = contextvars.ContextVar("tidemill_trace_above", default=None)
#: How long the last spans may take to be sent when a process ends.
_FLUSHES_WITHIN_SECONDS = 3.0


def wanted() -> bool:
    """Whether the environment says where traces go."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return any(os.environ.get(name) for name in _WHERE) and not off and not none


def assert_usable() -> None:
    """See that traces can be made, if they are wanted.

    Raises
    ------
    ConfigError
        What they need is not installed, or they are wanted in a way that is not known.
    """
    if wanted():
        _assert_installed()
        _assert_protocol()


@functools.cache
def _provider() -> TracerProvider | None:
    """What makes them, for the life of the process; None if none are wanted."""
    assert_usable()
    if not wanted():
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # 0.1 s
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Those of a run, where its first span is made; else random ones."""

        def generate_trace_id(self) -> int:
            found = _IDS.get()
            return found[0] if found else super().generate_trace_id()

        def generate_span_id(self) -> int:
            found = _IDS.get()
            return found[1] if found else super().generate_span_id()

    named: dict[str, str | int] = {
        "service.version": __version__,
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    resource = Resource.create(named)
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # the environment does not say
        resource = resource.merge(Resource({"service.name": "tidemill"}))
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # each try to reach a collector would be told
    made = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def _assert_installed() -> None:
    for name in _NEEDED:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ConfigError(
                "otel_missing",
                f"Traces are wanted ({' or '.join(filter(os.environ.get, _WHERE))} is set), and OpenTelemetry is not "
                "installed.",
                hint="pip install 'tidemill[otel]'. Or make none: export OTEL_TRACES_EXPORTER=none",
            )


def _assert_protocol() -> None:
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    name = next((name for name in names if os.environ.get(name)), None)
    if name is not None and os.environ[name].strip().lower() != _PROTOCOL:
        raise ConfigError(
            "otel_protocol",
            f"{name} is {os.environ[name]!r}; traces go by {_PROTOCOL}.",
            hint=f"export OTEL_EXPORTER_OTLP_TRACES_PROTOCOL={_PROTOCOL}, with the collector's port for HTTP (4318).",
        )


def close() -> None:
    """Send what is left, within some seconds. What is told later is lost."""
    provider = _provider() if _provider.cache_info().currsize else None
    if provider is not None:  # which takes its own time, if the collector is away
        flushing = threading.Thread(target=provider.force_flush, name="tidemill-traces", daemon=True)
        flushing.start()
        flushing.join(_FLUSHES_WITHIN_SECONDS)


@contextlib.contextmanager
def attempt(run_id: uuid.UUID, number: int, **attributes: Value) -> Iterator[None]:
    """The first span of a run's trace, for the time of the block: an attempt to move it."""
    provider = _provider()
    if provider is None:
        yield
        return
    with _at_work(_first(provider, run_id, number), {**attributes, "run": str(run_id), "attempt": number}):
        yield


def ongoing(run_id: uuid.UUID, **attributes: Value) -> Callable[..., None]:
    """The first span of the trace of a stream's run, from now on. What is given is to be called at its end, with
    attributes; if it never is, somebody else goes on with the run, and tells of it."""
    provider = _provider()
    if provider is None:
        return lambda **_: None
    begun = _first(provider, run_id, 1)
    _note(begun, {**attributes, "run": str(run_id)})
    _ABOVE.set(begun)

    def end(**more: Value) -> None:
        _note(begun, more)
        begun.end()
        _ABOVE.set(None)

    return end


def _first(provider: TracerProvider, run_id: uuid.UUID, number: int) -> trace.Span:
    from opentelemetry.context import Context

    before = _IDS.set((run_id.int, _span_id(run_id, number)))
    try:
        return provider.get_tracer("tidemill", __version__).start_span("run", Context())
    finally:
        _IDS.reset(before)


@contextlib.contextmanager
def step(run_id: uuid.UUID, number: int, name: str, **attributes: Value) -> Iterator[None]:
    """A step of an attempt, whichever thread or process does it."""
    provider = _provider()
    if provider is None:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace.sampling import Decision

    sampled = provider.sampler.should_sample(None, run_id.int, "run").decision is Decision.RECORD_AND_SAMPLE
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    above = trace.SpanContext(run_id.int, _span_id(run_id, number), is_remote=True, trace_flags=flags)
    context = trace.set_span_in_context(trace.NonRecordingSpan(above))
    begun = provider.get_tracer("tidemill", __version__).start_span(name, context)
    with _at_work(begun, {**attributes, "run": str(run_id), "attempt": number}):
        yield


@contextlib.contextmanager
def call(name: str, **attributes: Value) -> Iterator[None]:
    """Something that a step asks of BigQuery. Outside of a step it is not told."""
    provider = _provider()
    if provider is None:
        yield
        return
    from opentelemetry import trace

    above = _ABOVE.get()
    if trace.get_current_span().get_span_context().is_valid:
        above = trace.get_current_span()
    if above is None:
        yield
        return
    context = trace.set_span_in_context(above)
    begun = provider.get_tracer("tidemill", __version__).start_span(name, context, kind=trace.SpanKind.CLIENT)
    begun.set_attribute("db.system.name", "gcp.bigquery")
    with _at_work(begun, attributes):
        yield


def note(**attributes: Value) -> None:
    """Attributes of the span that is at work."""
    if _provider() is not None:
        from opentelemetry import trace

        _note(trace.get_current_span(), attributes)


def event(name: str, **attributes: Value) -> None:
    """Something that happened within the span that is at work."""
    if _provider() is not None:
        from opentelemetry import trace

        trace.get_current_span().add_event(name, _named(attributes))


@contextlib.contextmanager
def _at_work(span: trace.Span, attributes: Mapping[str, Value]) -> Iterator[None]:
    """For the time of the block. Of an error, only its code is told: its text may hold what is nobody's business."""
    from opentelemetry import trace

    _note(span, attributes)
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        code = error.code if isinstance(error, TidemillError) else type(error).__name__
        span.set_attribute("error.type", code)
        if not isinstance(error, Cancelled):
            span.set_status(trace.Status(trace.StatusCode.ERROR, code))
        raise
    finally:
        span.end()


def _note(span: trace.Span, attributes: Mapping[str, Value]) -> None:
    span.set_attributes(_named(attributes))


def _named(attributes: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    return {f"tidemill.{name}": value for name, value in attributes.items() if value is not None}


def _span_id(run_id: uuid.UUID, number: int) -> int:
    """Of the first span of an attempt: never 0."""
    made = hashlib.blake2b(f"{run_id}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(made) or 1
