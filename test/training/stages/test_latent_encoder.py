# SPDX-License-Identifier: Apache-2.0
"""Latents of the training: those of the policy, encoded beside the training or before it."""

import collections
import dataclasses
import threading

import pytest
import torch

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.stages.latent_encoder import Encoder, Feed
from cosmos3_ros.training.stages.window_dataset import WindowDataset

DROID_SIM = EMBODIMENTS["droid_sim"]


def test_training_sees_what_the_policy_sees(tiny_small, episode, tmp_path):
    """Latents of a picture that was padded for the autoencoder, and the padding cut off."""
    panels = tuple(
        dataclasses.replace(panel, top=0, left=0, height=40, width=56)
        for panel in DROID_SIM.canvas.panels
    )
    canvas = dataclasses.replace(
        DROID_SIM.canvas, panels=panels, composite=(40, 56), content=(40, 56), size=(48, 64)
    )
    embodiment = dataclasses.replace(DROID_SIM, canvas=canvas)
    model = load_model(tiny_small, reasoner=False)
    unlabelled = dataclasses.replace(model, path=tmp_path, policy_config={})
    policy, made = Cosmos3Policy(unlabelled, embodiment), episode(17)
    encoder = Encoder(policy.model.vae, embodiment)
    windows = WindowDataset(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([make_clip(made, embodiment, stride=17)]))
    picture = embodiment.compose({view: frames[0] for view, frames in made.views.items()})
    seen = policy.encode(torch.from_numpy(picture))
    assert windows.shape == (5, 2, 3)
    # kept in bfloat16
    assert torch.allclose(windows.draw(1, 0.0).latents[:, :, :1], seen, atol=0.02)


def test_pictures_encoded_beside_the_training_are_the_same(tiny_small, episode):
    encoder = Encoder(load_policy(tiny_small).model.vae, DROID_SIM)
    clips, more = (
        [make_clip(episode(20, seed), DROID_SIM, stride=9) for seed in seeds]
        for seeds in ((0, 1), (2, 3))
    )
    going_on = threading.Event()

    def make():
        yield from clips
        going_on.wait()
        yield from more

    source = BackgroundLoader(make)
    source.wait_for(2)
    feed = Feed(encoder, source, beside=True)
    first = feed.take()
    assert feed.take() == []  # from now on in a thread of its own
    going_on.set()
    later = []
    while not later:
        later = feed.take()
    for got, some in ((first, clips), (later, more)):
        expected = encoder.encode(some)[0]
        assert torch.allclose(torch.cat([part.latents for part in got]), expected.latents)
        assert torch.equal(torch.cat([part.rows for part in got]), expected.rows)
        assert sum((part.asked for part in got), ()) == expected.asked
    for one in (feed, source):
        one.close()


def test_what_goes_wrong_in_making_data_ends_the_encoding_beside(tiny_small, episode):
    def broken():
        yield make_clip(episode(20), DROID_SIM)
        raise OSError("no renderer")

    source = BackgroundLoader(broken)
    feed = Feed(Encoder(load_policy(tiny_small).model.vae, DROID_SIM), source, beside=True)
    with pytest.raises(OSError, match="no renderer"):
        collections.deque(iter(feed.take, None), maxlen=0)  # take for ever
