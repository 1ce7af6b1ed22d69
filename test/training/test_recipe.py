# SPDX-License-Identifier: Apache-2.0
"""Recipes: readable, changed on the command line, mistakes named."""

from pathlib import Path

import pytest

from cosmos3_ros.training.recipe import read_recipe, write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"


def test_recipes_are_readable_and_mistakes_are_named(tmp_path):
    for file in RECIPES.glob("*.yaml"):
        recipe = read_recipe(file)
        assert recipe.generator.steps or recipe.autoencoder or recipe.reasoner  # something to train
        write_recipe(tmp_path / "again.yaml", recipe)
        assert read_recipe(tmp_path / "again.yaml") == recipe
    file = tmp_path / "r.yaml"
    for text, message in (
        ("policy: {stepz: 3}", r"policy: unknown \['stepz'\]"),
        ("policy: {steps: many}", "policy.steps: expected int, got 'many'"),
        ("policy: {rate: fast}", "policy.rate: expected a number"),
        ("- 1", "expected a table"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_recipe(file)
    file.write_text("policy: {rate: 1e-3}\nlora: {r: 4}\nstart: somewhere")
    changed = read_recipe(
        file,
        [
            "policy.rate=2e-3",
            "data.workers=3",
            "seed=7",
            "data.encoder=",
            "lora=null",
            "device=cpu",
        ],
    )
    assert (changed.policy.rate, changed.data.workers, changed.seed, changed.device) == (
        2e-3,
        3,
        7,
        "cpu",
    )
    assert changed.lora is None
    assert changed.data.encoder == ""
    for change, message in (
        ("policy.stepz=3", r"policy: unknown \['stepz'\]"),
        ("policy.steps=many", "policy.steps: expected int, got 'many'"),
        ("policy", "expected KEY=VALUE as in policy.seconds=600, got 'policy'"),
        ("=3", "expected KEY=VALUE"),
        ("start.x=3", "expected KEY=VALUE"),
        ("seed=[", "not readable as YAML"),
    ):
        with pytest.raises(ValueError, match=message):
            read_recipe(file, [change])
    assert read_recipe(file).policy.rate == 1e-3


@pytest.mark.parametrize(
    "change",
    [
        *("policy.rate=.nan", "policy.rate=nan", "policy.rate=inf", "policy.rate=1e999"),
        *("policy.seconds=.nan", "policy.seconds=-.inf", "objective.modes=[0.8, .nan, 0.1]"),
        *("policy.betas=[.inf, 0.9]", "size={layers: .nan}"),
        f"policy.rate={10**400}",
    ],
)
def test_numbers_that_are_not_finite_are_refused(tmp_path, change):
    file = tmp_path / "r.yaml"
    file.write_text("start: somewhere")
    with pytest.raises(ValueError, match=r"expected (a (finite )?number|int)") as caught:
        read_recipe(file, [change])
    assert change.partition("=")[0] in str(caught.value)


def test_a_training_may_have_no_end(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("start: somewhere\npolicy: {seconds: .inf}")
    assert read_recipe(file).policy.seconds == float("inf")


def test_a_recipe_may_start_from_the_embedded_checkpoint(tmp_path: Path) -> None:
    """Wherever the package is installed."""
    (tmp_path / "mine.yaml").write_text("start: embedded\n")
    start = Path(read_recipe(tmp_path / "mine.yaml").start)
    assert (start / "embodiment.yaml").is_file()
    assert start.is_absolute()


def test_folders_may_lie_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/somebody")
    (tmp_path / "r.yaml").write_text("start: ~/a\ndata: {dataset: ~/b}\npolicy: {steps: 0}\n")
    recipe = read_recipe(tmp_path / "r.yaml", ["video.clips=~/c"])
    assert recipe.video is not None
    assert [recipe.start, recipe.data.dataset, recipe.video.clips] == [
        f"/home/of/somebody/{name}" for name in "abc"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video: {clips: a}", "policy.steps: expected 0 beside video, .* got 10000"),
        ("policy: {steps: 0}\nvideo: {}", "video.clips: expected the folder of clips"),
        (
            "policy: {steps: 0}\nvideo: {clips: a, frames: 6}",
            r"video.frames: expected 0, or 1 \+ 4k",
        ),
        ("policy: {steps: 0}\nvideo: {clips: a, tier: '9'}", "video.tier: expected one of"),
        ("policy: {steps: 0}\nvideo: {clips: a, aspect: '2,1'}", "video.aspect: expected one of"),
        ("policy: {steps: 0}\nvideo: {clips: a, size: [16]}", "video.size: expected height and"),
        ("policy: {steps: 0}\nvideo: {clips: a, modes: [0, 0, 0]}", "video.modes: expected three"),
        ("policy: {steps: 0}\nvideo: {clips: a, fps: -1}", "video.fps: expected 0 or more, got -1"),
        ("policy: {steps: 0}\nvideo: {clips: a, compile: default}", "video.compile: expected none"),
        ("policy: {steps: 0}\nvideo: {clips: a, accumulate: 0}", "video.accumulate: expected 1 or"),
        ("policy: {steps: 0}\nvideo: {clips: a}\ndecoder: {}", "expected none of .* got decoder"),
        (
            "policy: {steps: 0}\ndistill: {levels: [0.9, 0.5]}",
            "distill.levels: .* that fall from 1",
        ),
        ("policy: {steps: 0}\ndistill: {levels: [1.0, x]}", "distill.levels: expected a number"),
        ("policy: {steps: 0}\ndistill: {levels: []}", "distill.levels: .* that fall from 1"),
        ("policy: {steps: 0}\ndistill: {substeps: 0}", "distill.substeps: expected 1 or more"),
        ("policy: {steps: 0}\ndistill: {rollout: 2}", "distill.rollout: expected a share"),
        ("policy: {steps: 0}\ndistill: {text: true}", "distill: expected text false"),
        ("policy: {steps: 0}\ndistill: {}\nsize: {layers: 2}", "expected the start .* and no size"),
    ],
)
def test_a_generator_learns_in_one_way_with_options_that_fit(tmp_path, text, message):
    file = tmp_path / "r.yaml"
    file.write_text(f"start: somewhere\n{text}")
    with pytest.raises(ValueError, match=message):
        read_recipe(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("policy.batch=0", "policy.batch: expected 1 or more, got 0"),
        ("policy.steps=-3", "policy.steps: expected 0 or more, got -3"),
        ("policy.seconds=0", "policy.seconds: expected more than 0, got 0"),
        ("policy.average=0.0", "policy.average: expected 1e-06 to 0.288675135, got 0"),
        ("policy.betas=[0.9]", r"policy.betas: expected 2 of float, got \[0.9\]"),
        ("policy.betas=[0.9, 1.0]", "policy.betas: expected 0 to"),
        ("policy.betas=[0.9, x]", "policy.betas: expected a number, got 'x'"),
        ("autoencodr.steps=1", "unknown .'autoencodr'., did you mean 'autoencoder'., expected"),
        ("policy.compile=fast", "policy.compile: expected one of"),
        ("policy.accumulate=0", "policy.accumulate: expected 1 or more"),
        ("data.episodes=-1", "data.episodes: expected 1 to"),
        ("data.whole=1.5", "data.whole: expected 0 to 1"),
        ("data.tasks=[lift, fly]", "data.tasks: expected one of .*, got 'fly'"),
        ("data.units=[1]", "data.units: expected str, got 1"),
        ("data.features=top", "data.features: expected a table"),
        ("data.features={state: 5}", "data.features.state: expected a name or several, got 5"),
        ("data.encoder=gpu", "data.encoder: expected cpu, cuda or cuda:N, got 'gpu'"),
        ("device=tpu", "device: expected cpu, cuda or cuda:N, got 'tpu'"),
        ("seed=-1", "seed: expected 0 or more"),
        (f"seed={2**40}", "seed: expected at most 2147483647"),
        ("data.features={a: {b: [.inf]}}", "features.a: expected a name or several"),
        ('data.features={"\\x85": 1}', r"expected names of options, got '\\x85'"),
        ("size.foo=7", r"size: unknown \['foo'\]"),
        ("size.hidden=many", "size.hidden: expected int, got 'many'"),
        ("size.kv_heads=0", "size.kv_heads: expected more than 0"),
        ("size.head_dim=64", "rope_sections: .* do not add up to 32"),
        ("autoencoder.frames=-3", "autoencoder.frames: expected 1 or more, got -3"),
        ("reasoner={looks: 0, stills: 0}", "reasoner: expected looks, stills or endings"),
        ("start=&a [*a]", "not readable as YAML .a reference"),
        ("policy={steps: 1, steps: 2}", "line 1: 'steps' twice"),
        ('start="a\\nb"', r"start: expected one line that can be printed, got 'a\\nb'"),
        ('data.dataset="\\0"', r"data.dataset: expected one line"),
        ('"a\\u2028b"=1', "unknown|expected names of options"),
        ('data.features={"a\\nb": c}', r"expected names of options, got 'a\\nb'"),
        (f"start={'y' * 300}", "start: expected a shorter text, got 300 characters"),
        (f"embodiment=a/{'é' * 130}.yaml", "embodiment: expected a shorter text"),
        ('data.instruction="a\\x1b[31m"', "instruction: expected one line that can be printed"),
        (f"data.instruction={'y ' * 2500}", "instruction: expected a shorter text"),
        ('policy.average={"a\\nb": .nan}', "policy.average: expected float"),
        ("{1: 2}=3", "unknown"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, change, message):
    file = tmp_path / "r.yaml"
    file.write_text("start: somewhere")
    with pytest.raises(ValueError, match=message) as caught:
        read_recipe(file, [change])
    assert len(str(caught.value).splitlines()) == 1


def test_texts_of_any_language_are_read(tmp_path):
    file = tmp_path / "r.yaml"
    said = "\u8d64\u3044\u7acb\u65b9\u4f53\u3092\u3000\u7f6e\u304f"
    file.write_text(f"data: {{instruction: {said}}}", encoding="utf-8")
    assert read_recipe(file).data.instruction == said
    file.write_text("data:\n  instruction: >\n    put the cup\n    on the plate\n")
    assert read_recipe(file).data.instruction == "put the cup on the plate\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe\xfa", "not readable as YAML"),
        (b"[" * 5000, "not readable as YAML"),
        (b"1: 2", "expected names of options, got 1"),
        (b"seed: " + b"9" * 5000, "not readable as YAML"),
        (b"start: 2001-99-99", "not readable as YAML"),
        (b"#" * 2**21, "expected a recipe, got 2097152 bytes"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, text, message):
    file = tmp_path / "r.yaml"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_recipe(file)
    assert "r.yaml" in str(caught.value)
