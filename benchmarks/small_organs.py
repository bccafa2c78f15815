"""Stock nnU-Net and other trainers side by side on one dataset: same plans, same data, same time on the same cores.

    python benchmarks/small_organs.py DATASET -o STATE -tr FocusNetTrainer [--minutes 90] [--spacing 2.5 2 2]

DATASET is the folder of a raw nnU-Net dataset, or an ID in nnUNet_raw. Stock is trained twice, with its own optimiser
and with AdamW at 1e-3, and with --coarse_spacing twice more, on a second plan; --stock trains some of these only.
Each trainer is timed for a few steps first; then epochs and iterations are set so that its whole schedule takes the
given time. It segments the first cases by name, on which nobody trains. Whether stock's curves are flat, goals,
tables, CSV files, curves and the comparison's report go into STATE/results; STATE also has its own nnUNet_raw,
nnUNet_preprocessed and nnUNet_results. Stopped or killed, the same command goes on; further trainers and seeds can be
added later.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from cpu_plans import NAME
from csv_files import write_csv
from side_by_side.arguments import add_shared_arguments, settings_of
from side_by_side.flatness import Flatness
from side_by_side.goals import NOT_FLAT, Goal, Judge
from side_by_side.jobs import BenchmarkError
from side_by_side.pipeline import Findings, check_trainers, evaluate, measure, say, train_and_predict
from side_by_side.prepare import find_dataset, prepare
from side_by_side.results import write_findings
from side_by_side.runs import COARSE, STOCK, WITHOUT_SOS, Recipe, Row, Run
from side_by_side.state import State
from side_by_side.tables import METRICS, flatness_rows, goal_rows, goals_table, organ_rows, organ_table, trainers_table

from nnunetv2_focusnet.cli.command import as_command


def write_results(
    state: State, folder: Path, findings: Findings, stock: list[Recipe], others: list[Recipe], time_factor: float
) -> Path:
    """Write everything; returns the Markdown file."""
    flatness = findings.flatness
    stock_rows = [recipe.name for recipe in stock]
    decisive = decisive_row(flatness, stock_rows)
    is_flat = flatness[decisive].is_flat

    def goals_of(row: Row) -> list[Goal]:
        same_plan = [recipe.name for recipe in stock if recipe.plans == row.recipe.plans]
        judged = (findings.patients, findings.groups, findings.figures)
        return Judge(*judged, stock_rows, same_plan, is_flat, time_factor).goals(
            row.name, Row(row.recipe, WITHOUT_SOS[row.way]).name
        )

    goals = {row.name: goals_of(row) for recipe in others for row in rows_to_judge(recipe, findings)}
    if goals:
        write_csv(folder / "goals.csv", goal_rows(goals))
    decides = [row | {"decides": row["trainer"] == decisive} for row in flatness_rows(flatness)]
    organs = organ_rows(findings.patients, list(findings.figures), findings.groups)
    verdict = "This budget counts" if is_flat else f"This budget {NOT_FLAT}"
    opening = [f"**{verdict}.** {decisive}, the better stock row: {flatness[decisive].reason}."]
    opening += [f"{row} isn't flat: {flatness[row].reason}." for row in stock_rows if not flatness[row].is_flat]
    parts: list[str] = []
    for row, of_row in goals.items():
        parts += [f"## Goals of {row}, each against the stock row that is hardest to beat in it", goals_table(of_row)]
    parts += ["## Trainers", trainers_table(list(findings.figures.values()))]
    for metric, title in METRICS.items():
        parts += [f"## {title}", organ_table(organs, metric)]
    return write_findings(state, folder, findings, decides, organs, opening, parts)


def decisive_row(flatness: Mapping[str, Flatness], stock: list[str]) -> str:
    """The stock row that ends highest; another one may still be rising towards it."""
    return max(stock, key=lambda row: (flatness[row].small_end, flatness[row].large_end))


def rows_to_judge(recipe: Recipe, findings: Findings) -> list[Row]:
    """Of the ways to predict with a recipe's trainings all but those without what it is for."""
    return [row for way in WITHOUT_SOS if (row := Row(recipe, way)).name in findings.figures]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_shared_arguments(parser, minutes=90, parallel=1)
    parser.add_argument(
        "-tr", nargs="+", default=[], metavar="TRAINER", help="beside stock; TRAINER_coarse: on the second plan"
    )
    parser.add_argument(
        "--stock", nargs="+", metavar="ROW", help="stock rows (default: both optimisers, on the second plan as well)"
    )
    parser.add_argument(
        "--coarse_spacing", type=float, nargs=3, metavar=("Z", "Y", "X"), help="of a second plan, for stock as well"
    )
    parser.add_argument("--coarse_patch", type=int, nargs=3, metavar=("Z", "Y", "X"), help="of that plan (as --patch)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each trainer (default: 2)")
    parser.add_argument("--unseen", type=int, default=8, help="cases that nobody trains on (default: 8)")
    parser.add_argument(
        "--time_goal", type=float, default=0.5, help="share of stock's time to its final DSC (default: 0.5)"
    )
    arguments = parser.parse_args()
    arguments.coarse_patch = arguments.coarse_patch or arguments.patch
    return arguments


def recipes_of(arguments: argparse.Namespace) -> tuple[list[Recipe], list[Recipe]]:
    """Stock rows, and what ``-tr`` names beside them.

    Raises:
        BenchmarkError: a row is of the second plan, and there is none; or ``--stock`` names another trainer.
    """
    plans = (NAME, COARSE) if arguments.coarse_spacing else (NAME,)
    all_stock = [Recipe(trainer, of_plans) for of_plans in plans for trainer in STOCK]
    stock = [Recipe.named(name) for name in dict.fromkeys(arguments.stock)] if arguments.stock else all_stock
    others = [recipe for name in dict.fromkeys(arguments.tr) if (recipe := Recipe.named(name)) not in stock]
    if coarse := [recipe.name for recipe in (*stock, *others) if recipe.plans not in plans]:
        raise BenchmarkError(f"there is no second plan for {', '.join(coarse)}: give --coarse_spacing")
    if strangers := [recipe.name for recipe in stock if recipe.trainer not in STOCK]:
        raise BenchmarkError(f"--stock: {', '.join(strangers)} isn't {' or '.join(STOCK)}")
    return stock, others


@as_command("small_organs.py", when_stopped="the same command goes on from here")
def main() -> None:
    arguments = parse_arguments()
    source = find_dataset(arguments.dataset)
    stock, others = recipes_of(arguments)  # before anything is written
    state = State.open(arguments.o.resolve(), settings_of(arguments, source))
    runs = [Run(recipe, seed) for seed in range(arguments.seeds) for recipe in (*stock, *others)]

    say(f"preparing {source.name} ({state.folder / 'logs' / 'prepare.log'})")
    prepare(state, source)
    check_trainers(state, [*stock, *others])
    measure(state, [*stock, *others])
    train_and_predict(state, runs)
    folder = state.folder / "results"
    findings = evaluate(state, folder, runs, stock)
    file = write_results(state, folder, findings, stock, others, arguments.time_goal)
    print(file.read_text(encoding="utf-8"))
    print(f"Results: {file.parent}")


if __name__ == "__main__":
    main()
