"""What is trained, and the rows of the tables that come of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpu_plans import NAME

STOCK = ("StockTrainer", "StockTrainerAdamW")
COARSE = f"{NAME}Coarse"  # the coarser plan, at --coarse_spacing
_SUFFIX = "_coarse"

# Ways to predict with a network that has SOS-Nets: with nnU-Net's predictor, as nnUNetv2_predict does, or this
# package's; and the same with the main network alone.
NNUNET, OWN = "", "own_predictor"
WITHOUT_SOS = {NNUNET: "main_network", OWN: "own_predictor_main_network"}


@dataclass(frozen=True)
class Recipe:
    """A trainer and the plans that it trains on."""

    trainer: str
    plans: str = NAME

    @property
    def name(self) -> str:
        return self.trainer if self.plans == NAME else f"{self.trainer}{_SUFFIX}"

    @classmethod
    def named(cls, name: str) -> "Recipe":
        """The inverse of ``name``."""
        trainer = name.removesuffix(_SUFFIX)
        return cls(trainer, NAME if trainer == name else COARSE)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        recipe: trainer and plans.
        seed: of its random numbers.
        fold: whose validation cases it doesn't see.
    """

    recipe: Recipe
    seed: int = 0
    fold: int = 0

    @property
    def name(self) -> str:
        return f"{self.recipe.name}_seed{self.seed}_fold{self.fold}"

    @property
    def arguments(self) -> list[str]:
        return [self.recipe.trainer, self.recipe.plans, str(self.seed), str(self.fold)]

    @classmethod
    def parse(cls, trainer: str, plans: str, seed: str, fold: str) -> "Run":
        """The inverse of ``arguments``."""
        return cls(Recipe(trainer, plans), int(seed), int(fold))


@dataclass(frozen=True)
class Row:
    """A row of the tables: a recipe's trainings of all seeds and folds, and a way to predict with them."""

    recipe: Recipe
    way: str = NNUNET

    @property
    def name(self) -> str:
        return f"{self.recipe.name}_{self.way}" if self.way else self.recipe.name

    def model(self, seed: int) -> str:
        """Name of one seed's predictions."""
        return f"{self.name}_seed{seed}"


@dataclass(frozen=True)
class Model:
    """Predictions of one seed.

    Attributes:
        name: of the model, in the comparison's report.
        row: name of the row that it belongs to.
        seed: of its trainings.
        folder: of the label maps.
    """

    name: str
    row: str
    seed: int
    folder: Path


def ways_to_predict(training: dict[str, Any]) -> list[str]:
    """Those that a trained network has, as the record of its training tells."""
    if not training["has_sos"]:
        return [NNUNET]
    return [way for pair in WITHOUT_SOS.items() for way in pair]
