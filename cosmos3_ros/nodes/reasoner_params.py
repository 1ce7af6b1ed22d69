# SPDX-License-Identifier: Apache-2.0
"""The parameters of the reasoner node."""

from __future__ import annotations

import dataclasses

from ..model.embodiment import SIMULATED
from ..model.model_params import MediaReasonerParams
from ..model.option_fields import check_choice, param
from ..ros.lifecycle import LifecycleParams
from ..ros.topics import IMAGE_RELIABILITY, RELIABILITIES
from ..serve.auth import read_token
from ..serve.clients.reasoner_client import RemoteReasoner


@dataclasses.dataclass(frozen=True)
class Params(MediaReasonerParams, LifecycleParams):
    """Parameters of the reasoner node."""

    views: list[str] = param(list(SIMULATED.views), "camera views it may look at")
    image_transport: str = param("raw", "raw or compressed")
    image_reliability: str = param("best_effort", IMAGE_RELIABILITY)
    max_age: float = param(1.0, "refuse to answer about images older than this [s]")
    video_seconds: float = param(
        0.0, "pictures are kept for so long, for questions about the last seconds [s]"
    )
    video_rate: float = param(2.0, "so many of them a second [Hz]")
    rate: float = param(
        0.2, "at most this many scenes per second; 0: only answer questions [Hz]", live=True
    )
    question: str = param("Describe the scene.", "what it asks itself for each scene", live=True)
    checks: list[str] = param(
        [],
        "yes-or-no questions that it answers for each scene, with the probability of yes",
        live=True,
    )
    remote_url: str = param(
        "",
        "OpenAI-compatible endpoint to ask, http(s)://HOST:PORT/v1; empty: the checkpoint; no "
        "weights are loaded then",
    )
    remote_model: str = param(
        "", "the endpoint's name of the model; empty: the first one it offers"
    )
    remote_token_file: str = param(
        "", "file with the endpoint's token in its first line; empty: none is sent"
    )
    remote_timeout: float = param(60.0, "give up what the endpoint has not answered after this [s]")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.video_seconds < 0 or self.video_rate <= 0:
            raise ValueError(
                "parameters video_seconds, video_rate: expected >= 0 and > 0, got "
                f"{self.video_seconds} and {self.video_rate}"
            )
        for name, choices in (
            ("image_transport", ("raw", "compressed")),
            ("image_reliability", tuple(RELIABILITIES)),
        ):
            check_choice(name, getattr(self, name), choices)
        if not self.views:
            raise ValueError("parameter 'views': expected at least one camera view")
        if self.max_age <= 0 or self.rate < 0 or self.max_tokens < 1:
            raise ValueError("parameters max_age, rate, max_tokens: expected > 0, >= 0, >= 1")
        if self.remote_timeout <= 0:
            raise ValueError(
                f"parameter 'remote_timeout': expected a positive number, got {self.remote_timeout}"
            )

    def remote(self) -> RemoteReasoner | None:
        """The endpoint to ask, if there is one.

        ValueError or OSError says what is wrong with its parameters.
        """
        if not self.remote_url:
            return None
        token = read_token(self.remote_token_file) if self.remote_token_file else ""
        return RemoteReasoner(self.remote_url, self.remote_model, token, self.remote_timeout)
