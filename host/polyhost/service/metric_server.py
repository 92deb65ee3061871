"""Metrics in Prometheus' format, health and readiness over HTTP, in threads of their own: whoever asks, and however
slowly, asks for what was collected last and never waits for trading, nor trading for him (LOG-05)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from polyhost.errors import ConfigError
from polyhost.service.metric_samples import Health, Labels, Samples
from polyhost.service.metric_table import BY_NAME, Kind, Metric
from polyhost.service.metric_tally import Buckets

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family
    from prometheus_client.registry import Collector

EXTRA: Final = "pip install 'polyhost[metrics]'"
LOOPBACK: Final = "127.0.0.1"
NAMES: Final = frozenset({LOOPBACK, "localhost"})
STALE_S: Final = 10.0
"""Figures older than this, wall seconds: the event loop is stuck, or nobody collects."""
REQUEST_S: Final = 10.0
"""A request takes this long at most, wall seconds; then its connection is closed."""
POLL_S: Final = 0.1
"""The server notices within this time, wall seconds, that it is to end."""
LABELS_MAX: Final = 200
"""Label sets of one metric; what is beyond that is summed under ``other``."""
Start: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]


class Page:
    """What was collected last; set by the collecting loop, read by the server's threads."""

    def __init__(self) -> None:
        self.samples: Samples = {}
        self.health: Health | None = None

    def told(self, *, ready: bool) -> dict[str, Any]:
        """The answer of ``/ready`` or ``/health``."""
        health = self.health
        if health is None:
            return {"ok": False, "why": "nothing was collected yet", "accounts": []}
        age = time.monotonic() - health.at
        accounts = [{"name": name, "ready": not why, "why": why} for name, why in health.unready.items()]
        why = f"nothing was collected for {age:.0f} s" if age > STALE_S else health.stuck
        if ready and not why:
            why = "; ".join(f"{each['name']}: {each['why']}" for each in accounts if each["why"])
        return {"ok": not why, "why": why, "accounts": accounts}


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request, none of which keeps the process from ending."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Requests are not logged."""

    timeout = REQUEST_S

    def log_message(self, format: str, *args: Any) -> None:
        return


class MetricServer:
    """Serves ``page`` until ``close``; raises OSError when the port cannot be had."""

    def __init__(self, page: Page, port: int) -> None:
        library()
        self._server = make_server(LOOPBACK, port, _application(page), _Server, _Quiet)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def library() -> None:
    """Is it there? Raises ConfigError."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigError(
            "metrics need the library prometheus-client", table="metrics", key="port", remedy=EXTRA
        ) from None


def _application(page: Page) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    from prometheus_client import CollectorRegistry, make_wsgi_app

    registry = CollectorRegistry()
    registry.register(_collector(page))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("HTTP_HOST", "").partition(":")[0] not in NAMES:
            # A page of another name that points here would let a browser read it.
            return _said(start, "403 Forbidden", {"ok": False, "why": "ask for 127.0.0.1 or localhost"})
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _said(start, "405 Method Not Allowed", {"ok": False, "why": "only GET"})
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start)
            return found
        if path in ("/health", "/ready"):
            told = page.told(ready=path == "/ready")
            return _said(start, "200 OK" if told["ok"] else "503 Service Unavailable", told)
        return _said(start, "404 Not Found", {"ok": False, "why": "/metrics, /health and /ready are here"})

    return answer


def _said(start: Start, status: str, told: dict[str, Any]) -> list[bytes]:
    body = json.dumps(told).encode() + b"\n"
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _collector(page: Page) -> Collector:
    from prometheus_client.registry import Collector

    class Collected(Collector):
        """The library asks it at each scrape."""

        def collect(self) -> Iterator[Family]:
            for name, values in page.samples.items():
                yield _family(BY_NAME[name], bounded(values))

    return Collected()


def _family(metric: Metric, values: Mapping[Labels, float | Buckets]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    labels, text = list(metric.all_labels), metric.meaning
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, text, labels=labels)
        for key, buckets in values.items():
            assert isinstance(buckets, Buckets)
            histogram.add_metric(list(key), list(_cumulative(buckets)), buckets.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, text, labels=labels)
    for key, value in values.items():
        assert not isinstance(value, Buckets)
        family.add_metric(list(key), float(value))
    return family


def _cumulative(buckets: Buckets) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, buckets.bounds), "+Inf"), buckets.counts, strict=True):
        total += count
        yield bound, total


def bounded(
    values: Mapping[Labels, float | Buckets], most: int = LABELS_MAX
) -> dict[Labels, float | Buckets]:
    """At most so many label sets, and one more an account: what is beyond them is summed under ``other``."""
    found = dict(islice(values.items(), most))
    for key, value in islice(values.items(), most, None):
        rest = (*key[:1], *("other" for _ in key[1:]))
        before = found.get(rest, 0.0)
        assert not isinstance(value, Buckets), "a histogram has no labels but its account"
        assert not isinstance(before, Buckets)
        found[rest] = before + value
    return found
