# SPDX-License-Identifier: Apache-2.0
import dataclasses

from cosmos3_ros.model.loaded_model import Model


def test_a_model_is_where_its_transformer_is(model: Model) -> None:
    assert model.device == model.transformer.device


def test_every_model_has_a_lock_of_its_own_unless_processes_share_it(model: Model) -> None:
    fields = {field.name: field for field in dataclasses.fields(Model)}
    make = fields["lock"].default_factory
    assert make is not dataclasses.MISSING
    assert make() is not make()
    assert model.team is None
