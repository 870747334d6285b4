from __future__ import annotations

from pathlib import Path

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_models.architectures.registry import architecture_names
from fdabnn_models.training.recipe import Recipe, merge, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_whole(name: str) -> None:
    recipe = merge(read_recipe(name), {})
    assert recipe.arch in architecture_names()


def test_paper_recipe_is_the_papers() -> None:
    recipe = merge(read_recipe("resnet20-cifar10-paper"), {})
    assert recipe == Recipe("resnet20", 400, optimizer="sgd", batch_size=128, lr=0.1, weight_decay=1e-4)


def test_options_override_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("arch: vgg_small\nepochs: 7\noptimizer: adam\nlr: 1\n")
    recipe = merge(read_recipe(str(path)), {"epochs": 3, "seed": None, "amp": None})
    assert (recipe.arch, recipe.epochs, recipe.optimizer, recipe.lr) == ("vgg_small", 3, "adam", 1.0)
    assert (recipe.weight_decay, recipe.seed, recipe.amp) == (0.0, 0, False)


def test_defaults_follow_the_optimizer() -> None:
    assert merge({}, {"arch": "a", "epochs": 1}).lr == 0.1
    assert merge({}, {"arch": "a", "epochs": 1, "optimizer": "adam"}).lr == 1e-3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("arch: a\nlearning_rate: 1", "has the key 'learning_rate', which no recipe has; known are arch"),
        ("epochs: many", "has epochs: 'many', which is no int"),
        ("amp: 1", "has amp: 1, which is no bool"),
        ("optimizer: lion", "has optimizer: 'lion', which is no Optimizer"),
        ("lr: -1", "has lr: -1"),
        ("- 1", "holds a list, not keys"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_recipe(str(path))


def test_unknown_names_and_gaps_are_told() -> None:
    with pytest.raises(UsageError, match="no recipe 'paper': known are resnet20-cifar10-paper"):
        read_recipe("paper")
    with pytest.raises(UsageError, match="no arch: give --arch, --model or a --recipe"):
        merge({}, {"epochs": 1})
    with pytest.raises(UsageError, match="no epochs: give --epochs"):
        merge({}, {"arch": "a"})
