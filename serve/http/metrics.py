# SPDX-License-Identifier: Apache-2.0
"""What a server measures of itself, for Prometheus (prometheus_client): requests, queue, tokens."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds: from a health check to a video.
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The measurements of one server; every method may be called from any thread."""

    def __init__(self) -> None:
        # its own: a process may hold several servers
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "cosmos3_requests",
            "Requests that were answered.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "cosmos3_request_seconds",
            "From the request's head to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._waiting = Gauge(
            "cosmos3_queue_waiting", "Jobs that wait for the network or use it.", registry=registry
        )
        self._queued = Histogram(
            "cosmos3_queue_seconds", "How long a job waited.", buckets=BUCKETS, registry=registry
        )
        self._worked = Histogram(
            "cosmos3_job_seconds",
            "How long a job used the network.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "cosmos3_tokens",
            "Tokens read and written by the reasoner.",
            ["kind"],
            registry=registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; route: its pattern, so that there are few."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def waiting(self, jobs: int) -> None:
        """So many jobs wait or run now."""
        self._waiting.set(jobs)

    def job(self, queued: float, worked: float) -> None:
        """A job has ended, after so many seconds of waiting and of work."""
        self._queued.observe(queued)
        self._worked.observe(worked)

    def tokens(self, prompt: int, completion: int) -> None:
        """So many tokens were read and written."""
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("completion").inc(completion)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
